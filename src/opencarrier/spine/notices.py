"""What parties' own machines are told of: facts by their ids, in the unit that makes them true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import TYPE_CHECKING, Protocol

from opencarrier.spine.parties import PartyId

if TYPE_CHECKING:
    from sqlalchemy import Connection


@unique
class NoticeKind(StrEnum):
    """What happened."""

    APPROVAL_WANTED = "approval.wanted"
    CYCLE_SETTLED = "cycle.settled"
    DEPOSIT_FINAL = "deposit.final"
    DISPUTE_ANSWERED = "dispute.answered"
    DISPUTE_OPENED = "dispute.opened"
    ERASURE_DONE = "erasure.done"
    NODE_ALIVE = "node.alive"
    NODE_SILENT = "node.silent"
    PAYMENT_RECEIVED = "payment.received"
    RECEIPT_READY = "receipt.ready"
    REFUND_KEPT = "refund.kept"
    REFUND_PAID = "refund.paid"
    SPEND_REACHED = "spend.reached"
    STATEMENT_READY = "statement.ready"
    WITHDRAWAL_FINAL = "withdrawal.final"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A fact for some parties and for the installation: `about` holds ids and counts only.

    What is `personal` is for its parties alone. The same fact told again is the same notice.
    """

    kind: NoticeKind
    parties: frozenset[PartyId]
    about: Mapping[str, str | int] = field(default_factory=dict)
    at_us: int
    personal: bool = False


class Announcer(Protocol):
    """Whoever lets parties' machines know."""

    def tell(self, unit: Connection, notices: Iterable[Notice]) -> None:
        """Keep notices in the caller's unit, for those who want them."""
        ...
