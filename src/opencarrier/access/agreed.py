"""What a home agreed to in an Access-Accept that is passed on, held to what was offered. Pure.

Whoever serves a session keeps this before the access point is told, and rates its own record by it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from opencarrier.access import terms_token
from opencarrier.access.offer import Offer
from opencarrier.access.openroaming.attributes import told
from opencarrier.access.terms_token import TermsToken
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import Packet
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import recover
from opencarrier.spine.access import Accepted, Offered, Rate, terms_digest
from opencarrier.spine.parties import Node, Operator

SKEW_S: Final = 300
"""How far a home's clock may be from ours."""

TIMEOUT_S: Final = 86_400
"""How long a grant holds of a home that says no Session-Timeout."""


class TermsReason(Reason):
    """Why a home's answer is no agreement, in the order the checks are made."""

    RATE_NOT_OFFERED = 1
    TERMS_WITHOUT_CLASS = 2
    TERMS_OUT_OF_TIME = 3
    TERMS_DIFFER = 4
    TERMS_NOT_SIGNED = 5
    TERMS_OF_ANOTHER_SESSION = 6


@dataclass(frozen=True, slots=True)
class Place:
    """Where the session is served, and what was offered there, rates included."""

    node: Node
    offer: Offer


@dataclass(frozen=True, slots=True)
class _What:
    """What is agreed, by whom."""

    place: Place
    home: Operator
    rate: Rate | None

    @property
    def offered(self) -> Offered:
        quote = None if self.rate is None else self.rate.quote
        return replace(self.place.offer.offered, quote=quote)

    def digest(self, authorisation_id: bytes, expires_us: int) -> Id:
        return terms_digest(
            authorisation_id,
            home=self.home.party_id,
            visited=self.place.node.operator,
            offered=self.offered,
            rate=self.rate,
            expires_us=expires_us,
        )

    def accepted(self, token: TermsToken) -> Accepted:
        return Accepted(
            authorisation_id=token.authorisation_id,
            home=self.home.party_id,
            visited=self.place.node.operator,
            nas_identifier=self.place.node.nas_identifier,
            offered=self.offered,
            granted_us=token.granted_us,
            expires_us=token.expires_us,
            digest=token.digest,
            signature=token.signature,
        )


def concerns_terms(answer: Packet) -> bool:
    """Say whether an Access-Accept says what was agreed."""
    return bool(told(answer).rates) or terms_token.read(answer.all(Type.CLASS)) is not None


def accepted(answer: Packet, place: Place, home: Operator, now_us: int) -> Accepted | Refusal:
    """Read what a home agreed to; refused where it is not what was offered, or not its word."""
    rates = told(answer).rates
    if any(rate not in place.offer.rates for rate in rates) or len(rates) > 1:
        return Refusal(TermsReason.RATE_NOT_OFFERED)
    what = _What(place, home, rates[0] if rates else None)
    token = terms_token.read(answer.all(Type.CLASS))
    if token is None:
        return Refusal(TermsReason.TERMS_WITHOUT_CLASS)
    if not _is_timely(token, answer, now_us):
        return Refusal(TermsReason.TERMS_OUT_OF_TIME)
    if token.digest != what.digest(token.authorisation_id, token.expires_us):
        return Refusal(TermsReason.TERMS_DIFFER)
    if token.signature and recover(token.digest, token.signature) != home.address:
        return Refusal(TermsReason.TERMS_NOT_SIGNED)
    return what.accepted(token)


def _timeout_us(answer: Packet) -> int:
    timeout_s = answer.integer(Type.SESSION_TIMEOUT)
    return (timeout_s or TIMEOUT_S) * SECOND_US


def _is_timely(token: TermsToken, answer: Packet, now_us: int) -> bool:
    lasts_us = token.expires_us - token.granted_us
    skew_us = abs(token.granted_us - now_us)
    return 0 < lasts_us <= _timeout_us(answer) and skew_us <= SKEW_S * SECOND_US
