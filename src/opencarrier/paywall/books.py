"""The ledger follows the till: first what reached it, then whose it is.

    Transfer to the till, final     debit till        credit unclaimed
    a payment that this transfer is  debit unclaimed   credit what was bought
    Transfer from the till, final    debit funding     credit till

The first and the last mirror the chain, each transfer once by its place there; so the books hold
what the till holds, gifts included. The second happens once per payment, and only out of what came.
What leaves goes to the funding account of whose address it reached, the hub's where it is nobody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from sqlalchemy import Connection

from opencarrier.chain.contracts import StableToken
from opencarrier.chain.events import Transfer as TokenTransfer
from opencarrier.chain.logs import FinalityBrokenError, Followed, LogFollower
from opencarrier.chain.model import LATEST, BlockAt, Call, Log
from opencarrier.chain.ports import LogReader, UnitOfWork
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import Id, derive, to_hex
from opencarrier.kernel.money import int64
from opencarrier.kernel.signatures import Address
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.paywall import store
from opencarrier.paywall.model import Kept, PaymentState, Till
from opencarrier.spine.notices import Announcer, Notice, NoticeKind
from opencarrier.spine.ports import Members

BATCHES_MAX = 16
"""Ranges of blocks that one `follow` reads."""


class TillChain(LogReader, Protocol):
    """What the books ask of the chain."""

    def call(self, call: Call, at: BlockAt = LATEST) -> bytes:
        """Run a call without sending it."""
        ...


class TillBooks:
    """Books the till's transfers and the payments they are; repeat as often as one likes."""

    def __init__(
        self, till: Till, chain: TillChain, members: Members, announcer: Announcer | None = None
    ) -> None:
        self._till = till
        self._announcer = announcer
        self._chain = chain
        self._members = members
        self._token = StableToken(till.token)
        transfers = self._token.topics(TokenTransfer)
        ours = bytes(12) + bytes.fromhex(till.address[2:])
        self._followed = (
            self._of_till("till", (transfers, None, (ours,))),
            self._of_till("till-out", (transfers, (ours,), None)),
        )

    def follow(self, begin: UnitOfWork, *, now_us: int) -> str:
        """Book the new final transfers; return what holds the books up, empty for nothing."""
        handler = _Handler(self, now_us)
        try:
            for followed in self._followed:
                LogFollower(self._chain, followed, handler).poll(begin, batches_max=BATCHES_MAX)
        except FinalityBrokenError as error:
            return f"what was final is gone, nothing is booked until a person looked: {error}"
        return ""

    def claim(self, begin: UnitOfWork, mined: Sequence[Kept], *, now_us: int) -> None:
        """Credit those of some payments whose transfers are booked."""
        for kept in mined:
            crashpoint("paywall.before_claim")
            with begin() as unit:
                self._claim(unit, kept, now_us)
            crashpoint("paywall.after_claim")

    def compare(self, unit: Connection) -> tuple[int, int]:
        """Return what the ledger and the token say is in the till, as of the final block."""
        final = self._chain.final_block_number() or 0
        booked = ledger.balance(unit, self._till.asset, chart.TILL).posted_minor
        return -booked, self._token.balance_of(self._till.address).ask(self._chain, final)

    def unclaimed_minor(self, unit: Connection) -> int:
        """Return what is in the till and is no payment's, or not yet."""
        return ledger.balance(unit, self._till.asset, chart.UNCLAIMED).posted_minor

    def book(self, unit: Connection, log: Log, now_us: int) -> None:
        """Book one final transfer to or from the till."""
        event = self._token.event(log)
        assert isinstance(event, TokenTransfer), "the filter lets transfers through"
        if not event.value or event.sender == event.receiver:
            return
        key = _transfer_id(log.block_hash, log.log_index)
        if event.receiver == self._till.address:
            sides, code = (chart.TILL, chart.UNCLAIMED), "till/in"
        else:
            sides, code = (self._funding(unit, event.receiver), chart.TILL), "till/out"
        self._apply(unit, key, sides, event.value, code, now_us)

    def _funding(self, unit: Connection, address: Address) -> str:
        """Return the account of whose address the money reached: a member's, else the hub's."""
        members = {item: party for party, item in self._members.members(unit).items()}
        return chart.funding(members.get(address, self._till.owner))

    def _of_till(self, name: str, topics: tuple[tuple[bytes, ...] | None, ...]) -> Followed:
        return Followed(
            name=f"{name}/{self._till.address}",
            from_block=self._till.from_block,
            addresses=(self._till.token,),
            topics=topics,
            only_final=True,
        )

    def _claim(self, unit: Connection, kept: Kept, now_us: int) -> None:
        """Credit one payment and close it, both or neither."""
        assert kept.place is not None, "a mined payment has its place"
        key = _transfer_id(kept.place.block_hash, kept.place.log_index)
        if not ledger.booked(unit, [key]):
            return
        if store.move(unit, kept, replace(kept, state=PaymentState.BOOKED)):
            sale = kept.sale
            sides = (chart.UNCLAIMED, sale.account)
            paid = derive("transfer", "payment", kept.payment_id)
            self._apply(unit, paid, sides, sale.amount_minor, sale.code, now_us)
            if self._announcer is not None:
                self._announcer.tell(unit, [_booked(kept, now_us)])

    def _apply(
        self,
        unit: Connection,
        key: Id,
        sides: tuple[str, str],
        amount_minor: int,
        code: str,
        now_us: int,
    ) -> None:
        debit, credit = sides
        transfer = Transfer(
            transfer_id=key,
            asset=self._till.asset,
            debit=debit,
            credit=credit,
            amount_minor=int64(amount_minor, "a transfer to the till"),
            code=code,
        )
        ledger.ensure(unit, self._till.asset, sides)
        outcome = ledger.apply(unit, [transfer], now_us)
        assert outcome == [None], f"{code} is not booked: {outcome}"


class _Handler:
    """Gives the follower's batches to the books with the caller's instant."""

    def __init__(self, owner: TillBooks, now_us: int) -> None:
        self._owner = owner
        self._now_us = now_us

    def apply(self, connection: Connection, logs: tuple[Log, ...]) -> None:
        for log in logs:
            self._owner.book(connection, log, self._now_us)

    def rewind(self, connection: Connection, to_block: int) -> None:
        raise AssertionError("what follows final blocks does not go back")


def _booked(kept: Kept, now_us: int) -> Notice:
    """Return who hears of a payment: whose money it is now, else the installation it paid."""
    payer = chart.prepaid_of(kept.sale.account)
    return Notice(
        kind=NoticeKind.PAYMENT_RECEIVED,
        parties=frozenset() if payer is None else frozenset({payer}),
        about={"payment_id": to_hex(kept.payment_id)},
        at_us=now_us,
        personal=payer is not None,
    )


def _transfer_id(block_hash: bytes, log_index: int) -> Id:
    return derive("transfer", block_hash, log_index)
