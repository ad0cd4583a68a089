"""Follow a stake contract: every commitment that is final, and to which second that is all.

Nothing else asks the chain; a discount is looked up in what was followed.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.chain import events
from opencarrier.chain.contracts import StakeDiscount, Tier
from opencarrier.chain.errors import ChainError
from opencarrier.chain.events import Event
from opencarrier.chain.logs import FinalityBrokenError, Followed, LogFollower
from opencarrier.chain.model import Log
from opencarrier.chain.ports import LogReader, UnitOfWork
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.staking import rules, store
from opencarrier.staking.model import Commitment, StakeContract

BATCHES_MAX = 16
"""Ranges of blocks that one `follow` reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeVenue:
    """The stake contract a venue pins, and where its first log may be."""

    contract: Address
    chain_id: int
    asset: AssetId
    from_block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """How far a stake contract was followed, and what holds it up, if anything."""

    followed_s: int
    logs: int
    note: str = ""


class StakeFollower:
    """Keeps the history of one stake contract; `follow` as often as one likes."""

    def __init__(self, venue: StakeVenue, chain: LogReader) -> None:
        self._venue = venue
        self._chain = chain
        self._contract = StakeDiscount(venue.contract)
        self._followed = Followed(
            name=f"staking/{venue.contract}",
            from_block=venue.from_block,
            addresses=(venue.contract,),
            only_final=True,
        )

    def follow(self, begin: UnitOfWork) -> Caught:
        """Keep the final events that are new, each batch with its cursor.

        A chain that does not answer or took back what was final holds it up; discounts are then
        read as of the second it stands at.
        """
        with begin() as unit:
            store.put_contract(unit, self._unknown())
        follower = LogFollower(self._chain, self._followed, _Handler(self._contract))
        note, logs = "", 0
        try:
            polled = follower.poll(begin, batches_max=BATCHES_MAX)
            logs = polled.events
            at = polled.at and self._chain.block(polled.at.number)
            if polled.at and at and at.hash == polled.at.hash:
                with begin() as unit:
                    store.set_followed(unit, self._venue.contract, at.timestamp_s)
        except FinalityBrokenError as error:
            note = str(error)
        except ChainError as error:
            note = f"the chain does not answer: {error}"
        with begin() as unit:
            known = store.contract(unit, self._venue.contract)
        assert known is not None, "it was kept above"
        return Caught(followed_s=known.followed_s, logs=logs, note=note)

    def _unknown(self) -> StakeContract:
        return StakeContract(
            address=self._venue.contract,
            chain_id=self._venue.chain_id,
            asset=self._venue.asset,
            cap_ppm=0,
            tiers=(),
            followed_s=0,
        )


class _Handler:
    """Takes a contract's events into the tables."""

    def __init__(self, contract: StakeDiscount) -> None:
        self._contract = contract

    def apply(self, connection: Connection, logs: tuple[Log, ...]) -> None:
        for log in logs:
            event = self._contract.event(log)
            assert event is not None, "every event of this contract is known"
            take(connection, self._contract.address, event)

    def rewind(self, connection: Connection, to_block: int) -> None:
        raise AssertionError("what follows final blocks does not go back")


def take(unit: Connection, address: Address, event: Event) -> None:
    """Take one event of a contract, after all before it."""
    match event:
        case events.SpendCapSet():
            store.set_cap(unit, address, event.cap_ppm)
        case events.TierSet():
            _take_tier(unit, address, event)
        case events.StakeCommitted():
            at_s = event.unlock_at - event.lock_s
            _take_stake(unit, address, event.account, at_s, event.amount, event.lock_s)
        case events.StakeWithdrawn():
            _take_stake(unit, address, event.account, event.withdrawn_at, 0, 0)


def _take_tier(unit: Connection, address: Address, event: events.TierSet) -> None:
    known = store.contract(unit, address)
    assert known is not None, "a contract is kept before its events"
    tier = Tier(
        min_amount=event.min_amount,
        min_lock_s=event.min_lock_s,
        discount_ppm=event.discount_ppm,
    )
    store.add_tier(unit, address, len(known.tiers), tier)


def _take_stake(
    unit: Connection, address: Address, account: Address, at_s: int, amount: int, lock_s: int
) -> None:
    before = store.commitment(unit, address, account, at_s)
    item = Commitment(
        account=account,
        at_s=at_s,
        amount=amount,
        lock_s=lock_s,
        began_s=rules.began_s(before, at_s),
    )
    store.put_commitment(unit, address, item)
