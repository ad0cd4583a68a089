"""What an event of the clearing house moves in the ledger.

    Deposited            custody              -> collateral/<member>
    Withdrawn            collateral/<member>  -> custody, and the notice ends
    WithdrawalRequested  notices              -> noticed/<member>
    WithdrawalCancelled  noticed/<member>     -> notices
    ClaimPosted          collateral/<debtor>  -> escrow/<debtor>
    ClaimDisputed        collateral/<debtor>  -> escrow/<debtor> (the bond)
                         escrow/<debtor>      -> collateral/<creditor> (the undisputed part)
    ClaimEnded           escrow/<debtor>      -> collateral of creditor and debtor
                         collateral/<creditor> -> collateral/<debtor> (the penalty)

What gave notice can still be debited by a settlement, so it stays collateral and is only noted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from opencarrier.chain import events
from opencarrier.kernel.signatures import Address
from opencarrier.ledger import chart
from opencarrier.spine.parties import PartyId

NOTICE_MINOR_MAX = 10**15
"""A notice may name any amount; more than this is all there ever is, and is kept as this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An amount from one account to another, and what for."""

    debit: str
    credit: str
    amount_minor: int
    what: str


class Bookings:
    """Reads one token's events; `party` says who an address is, `posted` what an account holds."""

    def __init__(
        self,
        token: Address,
        party: Callable[[Address], PartyId],
        posted: Callable[[str], int],
    ) -> None:
        self._token = token
        self._party = party
        self._posted = posted

    def moves(self, event: events.Event) -> tuple[Move, ...]:
        """Return what an event moves; nothing for another token's or one that moves nothing."""
        if getattr(event, "token", self._token) != self._token:
            return ()
        match event:
            case events.Deposited() | events.Withdrawn():
                found = self._custody(event)
            case events.WithdrawalRequested() | events.WithdrawalCancelled():
                found = self._notice(event)
            case events.ClaimPosted() | events.ClaimDisputed() | events.ClaimEnded():
                found = self._claim(event)
            case _:
                found = ()
        return tuple(move for move in found if move.amount_minor)

    def _custody(self, event: events.Deposited | events.Withdrawn) -> tuple[Move, ...]:
        account = chart.collateral(self._party(event.member))
        if isinstance(event, events.Deposited):
            return (_move(chart.CUSTODY, account, event.amount, "deposit"),)
        out = _move(account, chart.CUSTODY, event.amount, "withdrawal")
        return (out, self._end_of_notice(event.member))

    def _notice(
        self, event: events.WithdrawalRequested | events.WithdrawalCancelled
    ) -> tuple[Move, ...]:
        if isinstance(event, events.WithdrawalCancelled):
            return (self._end_of_notice(event.member),)
        noticed = chart.noticed(self._party(event.member))
        return (_move(chart.NOTICES, noticed, min(event.amount, NOTICE_MINOR_MAX), "notice"),)

    def _end_of_notice(self, member: Address) -> Move:
        noticed = chart.noticed(self._party(member))
        return _move(noticed, chart.NOTICES, self._posted(noticed), "end-of-notice")

    def _claim(
        self, event: events.ClaimPosted | events.ClaimDisputed | events.ClaimEnded
    ) -> tuple[Move, ...]:
        debtor, creditor = self._party(event.debtor), self._party(event.creditor)
        escrow = chart.escrow(debtor)
        of_debtor, of_creditor = chart.collateral(debtor), chart.collateral(creditor)
        match event:
            case events.ClaimPosted():
                return (_move(of_debtor, escrow, event.amount, "claim-posted"),)
            case events.ClaimDisputed():
                return (
                    _move(of_debtor, escrow, event.bond, "bond"),
                    _move(escrow, of_creditor, event.undisputed, "undisputed"),
                )
        return (
            _move(escrow, of_creditor, event.to_creditor, "claim-ended"),
            _move(escrow, of_debtor, event.to_debtor, "claim-returned"),
            _move(of_creditor, of_debtor, event.penalty, "penalty"),
        )


def _move(debit: str, credit: str, amount_minor: int, what: str) -> Move:
    return Move(debit=debit, credit=credit, amount_minor=amount_minor, what=what)
