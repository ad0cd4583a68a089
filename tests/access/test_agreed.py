"""What a home agreed to, as the visited side reads it: its word, of what was offered, in time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.access.fakes import HOME, NODE, NOW_US, SUBSCRIBER, VISITED

from opencarrier.access import terms_token
from opencarrier.access.agreed import SKEW_S, Place, TermsReason, accepted, concerns_terms
from opencarrier.access.offer import Offer
from opencarrier.access.openroaming.attributes import SILENT, rate_octets
from opencarrier.access.wire.dictionary import WBA, WBA_LINEAR_VOLUME_RATE, Code, Type
from opencarrier.access.wire.radius import Packet, integer, vendor
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import AssetId, Money
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import KeySigner
from opencarrier.spine.access import Accepted, Grant, Offered, Quote, Rate
from opencarrier.spine.parties import Operator
from opencarrier.spine.records import Qos, RcoiClass

KEY, STRANGER = (KeySigner(bytes([number]) * 32) for number in (1, 2))
RATES = (Rate(3, Quote("USD", 1_900)), Rate(4, Quote("USD", 1_000)))
OFFERED = Offered(qos=Qos.GOLD, rcoi=RcoiClass.SETTLED)
PLACE = Place(NODE, Offer(offered=OFFERED, said=replace(SILENT, rates=RATES)))
LUMEN = Operator(
    party_id=HOME, name="Lumen", address=KEY.address, jurisdiction="FR", realms=(), plmns=()
)
GRANT = Grant(
    authorisation_id=b"a" * 16,
    home=HOME,
    visited=VISITED,
    node_id=NODE.node_id,
    subscriber=SUBSCRIBER,
    wholesale_tariff_hash=b"w" * 32,
    retail_tariff_hash=b"t" * 32,
    hold=Money(AssetId("test/EUR"), 1),
    session_timeout_s=60,
    interim_interval_s=60,
    granted_us=NOW_US,
    expires_us=NOW_US + 60 * SECOND_US,
    offered=replace(OFFERED, quote=RATES[1].quote),
    rate=RATES[1],
)


def signed(grant: Grant, key: KeySigner = KEY) -> Grant:
    return replace(grant, signature=key.sign(grant.terms).octets)


def answer(grant: Grant, *rates: Rate, timeout_s: int = 60, classes: bool = True) -> Packet:
    told = rates or (() if grant.rate is None else (grant.rate,))
    attributes = (
        *((int(Type.CLASS), value) for value in terms_token.classes(grant) if classes),
        *(vendor(WBA, WBA_LINEAR_VOLUME_RATE, rate_octets(rate)) for rate in told),
        integer(Type.SESSION_TIMEOUT, timeout_s),
    )
    return Packet(Code.ACCESS_ACCEPT, 1, bytes(16), attributes)


@pytest.mark.parametrize("grant", [GRANT, signed(GRANT), replace(GRANT, rate=None)])
def test_what_was_agreed_is_read_as_the_home_said_it(grant: Grant) -> None:
    assert concerns_terms(answer(grant))
    quote = None if grant.rate is None else grant.rate.quote
    assert accepted(answer(grant), PLACE, LUMEN, NOW_US) == Accepted(
        authorisation_id=GRANT.authorisation_id,
        home=HOME,
        visited=VISITED,
        nas_identifier=NODE.nas_identifier,
        offered=replace(OFFERED, quote=quote),
        granted_us=NOW_US,
        expires_us=GRANT.expires_us,
        digest=grant.terms,
        signature=grant.signature,
    )


LATER = (SKEW_S + 1) * SECOND_US


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer(GRANT, Rate(4, Quote("USD", 999))), TermsReason.RATE_NOT_OFFERED),
        (answer(GRANT, Rate(3, Quote("USD", 1_000))), TermsReason.RATE_NOT_OFFERED),
        (answer(GRANT, *RATES), TermsReason.RATE_NOT_OFFERED),
        (answer(GRANT, classes=False), TermsReason.TERMS_WITHOUT_CLASS),
        (answer(GRANT, timeout_s=59), TermsReason.TERMS_OUT_OF_TIME),
        (
            answer(replace(GRANT, granted_us=NOW_US - LATER, expires_us=NOW_US - LATER + 1)),
            TermsReason.TERMS_OUT_OF_TIME,
        ),
        (
            answer(replace(GRANT, granted_us=NOW_US + LATER, expires_us=NOW_US + LATER + 1)),
            TermsReason.TERMS_OUT_OF_TIME,
        ),
        (answer(replace(GRANT, home=VISITED)), TermsReason.TERMS_DIFFER),
        (answer(replace(GRANT, offered=replace(OFFERED, qos=Qos.NONE))), TermsReason.TERMS_DIFFER),
        (answer(GRANT, RATES[0]), TermsReason.TERMS_DIFFER),
        (answer(signed(GRANT, STRANGER)), TermsReason.TERMS_NOT_SIGNED),
        (answer(replace(GRANT, signature=bytes(65))), TermsReason.TERMS_NOT_SIGNED),
    ],
)
def test_what_is_no_agreement_is_refused_by_name(said: Packet, reason: TermsReason) -> None:
    assert accepted(said, PLACE, LUMEN, NOW_US) == Refusal(reason)


@given(st.lists(st.binary(max_size=70), max_size=6))
def test_any_class_reads_as_terms_or_as_none(values: list[bytes]) -> None:
    read = terms_token.read(values)
    assert (read is None) == (
        not {(2, 33), (3, 33)} <= {(value[0], len(value)) for value in values if value}
    )


def test_an_answer_that_says_nothing_of_terms_concerns_none() -> None:
    plain = Packet(Code.ACCESS_ACCEPT, 1, bytes(16), ((int(Type.CLASS), b"x"),))
    assert not concerns_terms(plain)
