"""Payments on their way from a device at the venue to its home: octets beside a report, and back.

    3  Voucher          what a device's money is signed for
    4  Usage-Ack        what it signed that it used
    5  Payment-Verdict  digest of both (16 octets) | why the home refuses, empty where it does not

Three more vendor attributes beside those of `statement`. The home answers in Accounting-Response;
a hub answers before the home has seen anything, so behind one there is no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Final

from opencarrier.access.agent.statement import ENTERPRISE
from opencarrier.access.terms_token import authorisation_of
from opencarrier.access.wire.radius import (
    ATTRIBUTE_VALUE_OCTETS_MAX,
    HEADER_OCTETS,
    PACKET_OCTETS_MAX,
    Attribute,
    Packet,
    vendor,
)
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.ids import session_id as session_id_of

VOUCHER: Final = 3
USAGE_ACK: Final = 4
PAYMENT_VERDICT: Final = 5
VENDOR_HEADER_OCTETS: Final = 6
"""What a vendor attribute adds to its value: enterprise, type, length."""

PART_OCTETS_MAX: Final = ATTRIBUTE_VALUE_OCTETS_MAX - VENDOR_HEADER_OCTETS
ROOM_OCTETS: Final = 2 * (2 + ATTRIBUTE_VALUE_OCTETS_MAX) + 24
"""What a payment, Acct-Delay-Time and Message-Authenticator take of a packet at most."""

DIGEST_OCTETS: Final = 16

SPEAK_BURST: Final = 20
SPEAK_EVERY_US: Final = 5 * SECOND_US
_REASON: Final = re.compile(rb"[a-z_]{0,64}")


class State(StrEnum):
    """Where a payment stands: kept here, delivered, or judged by the home."""

    WAITING = "waiting"
    PASSED_ON = "passed_on"
    TAKEN = "taken"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Carried:
    """A voucher and an ack as they are carried."""

    voucher: bytes = field(repr=False)
    ack: bytes = field(repr=False)

    def __post_init__(self) -> None:
        assert 0 < len(self.voucher) <= PART_OCTETS_MAX
        assert 0 < len(self.ack) <= PART_OCTETS_MAX

    @property
    def digest(self) -> bytes:
        """What names it in a verdict."""
        return sha256(self.voucher + self.ack).digest()[:DIGEST_OCTETS]

    def attributes(self) -> list[Attribute]:
        """What goes out beside a report's numbers."""
        return [
            vendor(ENTERPRISE, VOUCHER, self.voucher),
            vendor(ENTERPRISE, USAGE_ACK, self.ack),
        ]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the home says of a payment; no reason where it takes it."""

    digest: bytes
    reason: str = ""

    def attribute(self) -> Attribute:
        """What goes back in the Accounting-Response."""
        return vendor(ENTERPRISE, PAYMENT_VERDICT, self.digest + self.reason.encode())

    @property
    def state(self) -> State:
        """Where it leaves the payment."""
        return State.REFUSED if self.reason else State.TAKEN


class Pace:
    """How often a session is reported anew for a payment: each report is signed and kept.

    A few at once, then one every few seconds; a newer payment takes the place of one that waits.
    """

    def __init__(self) -> None:
        self._due_us: dict[int, int] = {}

    def allows(self, session: int, now_us: int) -> bool:
        """Take one of a session's turns, or say that it has none now."""
        due_us = max(self._due_us.get(session, 0), now_us)
        if due_us - now_us > (SPEAK_BURST - 1) * SPEAK_EVERY_US:
            return False
        self._due_us[session] = due_us + SPEAK_EVERY_US
        return True

    def forget(self, now_us: int) -> None:
        """Forget the sessions that have all their turns again."""
        self._due_us = {one: due_us for one, due_us in self._due_us.items() if due_us > now_us}


def has_room(attributes: Sequence[Attribute]) -> bool:
    """Say whether a payment fits a packet beside what it has."""
    size = HEADER_OCTETS + sum(len(value) + 2 for _, value in attributes)
    return size + ROOM_OCTETS <= PACKET_OCTETS_MAX


def carried_of(packet: Packet) -> Carried | None:
    """Read the payment beside a report, None where there is none; what it says is the home's."""
    ours = dict(packet.vendor(ENTERPRISE))
    voucher, ack = ours.get(VOUCHER), ours.get(USAGE_ACK)
    if voucher is None and ack is None:
        return None
    if not voucher or not ack:
        raise PeerError("carried_payment", "a voucher and an ack")
    return Carried(voucher, ack)


def verdict_of(packet: Packet) -> Verdict | None:
    """Read what the home says of the payment that a report carried; `PeerError` if malformed."""
    octets = dict(packet.vendor(ENTERPRISE)).get(PAYMENT_VERDICT)
    if octets is None:
        return None
    digest, reason = octets[:DIGEST_OCTETS], octets[DIGEST_OCTETS:]
    if len(digest) != DIGEST_OCTETS or not _REASON.fullmatch(reason):
        raise PeerError("payment_verdict", f"{len(octets)} octets")
    return Verdict(digest, reason.decode())


def session_id_at(classes: tuple[bytes, ...], nas_key: str, acct_session_id: str) -> Id | None:
    """Return how the home calls a session, None where it did not say which authorisation it is."""
    named = (authorisation_of(value) for value in classes)
    found = next((value for value in named if value is not None), None)
    return None if found is None else session_id_of(found, nas_key, acct_session_id)
