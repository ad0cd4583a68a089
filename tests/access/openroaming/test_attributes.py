"""The federation's attributes: what is written reads back, any octets are read or refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.access.openroaming.attributes import (
    RATES_MAX,
    CustomSla,
    Told,
    attributes_of,
    bandwidth,
    filter_id,
    told,
)
from opencarrier.access.openroaming.location import (
    DEGREE,
    Entity,
    Location,
    Point,
    location_attributes,
    location_of,
)
from opencarrier.access.openroaming.names import Namespace, OperatorName, read_name, wbaid
from opencarrier.access.openroaming.obligations import (
    FederationReason,
    FederationTerms,
    added,
    answer_objection,
    request_objection,
)
from opencarrier.access.openroaming.reasons import CAUSES, Cause, cause_of, reply_message
from opencarrier.access.wire.dictionary import WBA, Code, Type
from opencarrier.access.wire.radius import Attribute, Packet, encode, parse, vendor
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.reasons import AccessReason
from opencarrier.spine.access import Quote, Rate
from opencarrier.spine.records import Qos, RcoiClass

BANK = wbaid("CLEARING.EXAMPLE:US")
SIGHTED_S = 1_767_603_600


def packet(*attributes: Attribute) -> Packet:
    return parse(encode(Code.ACCESS_REQUEST, 1, bytes(16), attributes))


names = st.one_of(
    st.from_regex(r"\A[A-Z0-9]{1,20}:[A-Z]{2}\Z").map(wbaid),
    st.from_regex(r"\A[a-z0-9]{1,20}\.example\Z").map(lambda n: OperatorName(Namespace.REALM, n)),
)
rates = st.builds(
    Rate,
    st.integers(0, 255),
    st.builds(Quote, st.sampled_from(["USD", "EUR"]), st.integers(0, 2**32 - 1)),
)
said = st.builds(
    Told,
    operator=names,
    qos=st.sampled_from(Qos),
    financial_clearing=names,
    data_clearing=names,
    rates=st.lists(rates, max_size=RATES_MAX).map(tuple),
    identity_provider=st.none() | names,
    slas=st.lists(
        st.builds(CustomSla, st.integers(0, 100), st.integers(0, 2**24 - 1)), max_size=3
    ).map(tuple),
)


@given(said)
def test_what_is_told_reads_back(words: Told) -> None:
    assert told(packet(*attributes_of(words))) == words


@given(
    st.lists(st.tuples(st.sampled_from([26, 126, 127, 128]), st.binary(max_size=60)), max_size=5)
)
def test_any_octets_are_read_or_a_peers_mistake(values: list[tuple[int, bytes]]) -> None:
    octets = [(kind, WBA.to_bytes(4, "big") + v if kind == 26 else v) for kind, v in values]
    try:
        asked = packet(*octets)
    except PeerError:
        return
    for read in (told, location_of):
        with suppress(PeerError):
            read(asked)


def test_the_octets_are_those_of_the_standard() -> None:
    words = Told(
        operator=wbaid("EXAMPLE:FR"),
        qos=Qos.SILVER,
        financial_clearing=BANK,
        rates=(Rate(3, Quote("USD", 1_900)), Rate(4, Quote("VES", 2 * 10**9))),
        slas=(CustomSla(90, 1_000_000),),
    )
    assert attributes_of(words) == [
        (126, b"4EXAMPLE:FR"),
        vendor(14122, 12, b"OpenRoaming Silver"),
        vendor(14122, 13, b"4CLEARING.EXAMPLE:US"),
        vendor(14122, 15, b"USD\x03\x00\x00\x07\x6c"),
        vendor(14122, 15, b"VES\x04\x00\x00\x00\x02"),
        vendor(14122, 17, b"\x5a\x0f\x42\x40"),
    ]
    assert filter_id(Qos.SILVER) == [(11, b"OpenRoaming Silver")]
    assert filter_id(Qos.NONE) == []


def test_only_so_many_rates_are_read() -> None:
    many = [vendor(WBA, 15, b"USD" + bytes((n,)) + bytes(4)) for n in range(RATES_MAX + 1)]
    assert [rate.index for rate in told(packet(*many)).rates] == list(range(RATES_MAX))


def test_who_clears_the_money_clears_the_data_where_nobody_else_is_named() -> None:
    asked = told(packet(vendor(WBA, 13, BANK.octets)))
    assert asked.data_clearing == asked.financial_clearing == BANK


@pytest.mark.parametrize(
    "octets", [b"", b"4", b"4NOCOUNTRY", b"9x", b"\xff", b"4EX AMPLE:FR", b"1\n"]
)
def test_a_name_without_namespace_or_name_is_none(octets: bytes) -> None:
    with pytest.raises(PeerError):
        read_name(octets)


def test_a_name_is_one_text_however_it_is_written() -> None:
    assert read_name(b"4example:fr") == wbaid("EXAMPLE:FR")
    assert str(read_name(b"1Lumen.Example")) == "1lumen.example"


@given(st.integers(4, 10**12))
def test_both_directions_together_keep_to_the_cap(octets_per_s: int) -> None:
    bits = [int.from_bytes(value[6:], "big") for _, value in bandwidth(octets_per_s)]
    assert sum(bits) <= octets_per_s * 8
    assert all(bits)


def test_a_reject_says_its_number_after_a_nul() -> None:
    assert reply_message("insufficient_balance") == (
        18,
        b"insufficient_balance\0Reject-Reason=50",
    )
    assert cause_of(reply_message("realm_unknown")[1]) is Cause.INVALID_IDENTITY
    assert cause_of(reply_message("x" * 300)[1]) is Cause.AAA_FAILURE
    assert len(reply_message("x" * 300)[1]) == 253
    assert cause_of(b"no number") is None
    assert cause_of(b"\0Reject-Reason=99") is None


def test_every_reason_of_ours_has_its_number() -> None:
    reasons = [reason.name.lower() for kind in (AccessReason, FederationReason) for reason in kind]
    assert set(reasons) <= set(CAUSES)


@pytest.mark.parametrize(
    ("asked", "rcoi", "home", "reason"),
    [
        (Told(), RcoiClass.SETTLED, BANK, FederationReason.FINANCIAL_CLEARING_MISSING),
        (
            Told(financial_clearing=BANK),
            RcoiClass.SETTLED,
            None,
            FederationReason.SETTLED_SERVICE_NOT_CLEARED,
        ),
        (Told(financial_clearing=BANK), RcoiClass.SETTLED, BANK, None),
        (Told(), RcoiClass.SETTLEMENT_FREE, None, None),
        (Told(), RcoiClass.OWN, None, None),
    ],
)
def test_settled_service_is_cleared_on_both_sides(
    asked: Told, rcoi: RcoiClass, home: OperatorName | None, reason: FederationReason | None
) -> None:
    terms = FederationTerms(financial_clearing=home)
    refused = request_objection(asked, rcoi, None, terms)
    assert (refused and refused.reason) == reason


def test_an_access_network_holds_the_home_to_its_side() -> None:
    rate = Rate(1, Quote("USD", 5))
    asked = Told(financial_clearing=BANK, rates=(rate,))
    settled = RcoiClass.SETTLED
    assert answer_objection(asked, settled, Told(financial_clearing=BANK, rates=(rate,))) is None
    assert answer_objection(asked, RcoiClass.NONE, Told()) is None
    assert answer_objection(asked, settled, Told()) is not None
    other = Told(financial_clearing=BANK, rates=(Rate(1, Quote("USD", 4)),))
    assert answer_objection(asked, settled, other) is not None


@given(said, said, st.sampled_from(RcoiClass))
def test_an_access_network_adds_what_is_missing_and_changes_nothing(
    words: Told, own: Told, rcoi: RcoiClass
) -> None:
    more = added(words, rcoi, own)
    assert told(packet(*attributes_of(words), *attributes_of(more))).rates[: len(words.rates)] == (
        words.rates
    )
    assert not (words.qos and more.qos)
    assert not (words.rates and more.rates)
    assert more.financial_clearing is None  # the access point named one
    bare = added(Told(), rcoi, own)
    settled = rcoi is RcoiClass.SETTLED
    assert bare.financial_clearing == (own.financial_clearing if settled else None)
    assert bare.rates == (own.rates if rcoi in (RcoiClass.SETTLED, RcoiClass.OWN) else ())


def test_a_home_says_where_its_people_may_roam() -> None:
    terms = FederationTerms(countries=frozenset(("FR", "DE")))
    free = RcoiClass.SETTLEMENT_FREE
    objections = [
        request_objection(Told(), free, place, terms)
        for place in (None, Location(country="FR"), Location(country="US"), Location())
    ]
    assert [refusal and refusal.reason for refusal in objections] == [
        FederationReason.LOCATION_MISSING,
        None,
        FederationReason.LOCATION_NOT_ALLOWED,
        FederationReason.LOCATION_NOT_ALLOWED,
    ]
    needed = FederationTerms(location_required=True)
    assert request_objection(Told(), free, None, needed) is not None
    assert request_objection(Told(), free, Location(), needed) is None


places = st.one_of(
    st.builds(
        Location,
        country=st.sampled_from(["FR", "VE"]),
        civic=st.dictionaries(st.integers(1, 40), st.text(max_size=8), max_size=4),
        entity=st.sampled_from(Entity),
    ),
    st.builds(
        Location,
        point=st.builds(
            Point,
            latitude=st.integers(-90 * DEGREE, 90 * DEGREE),
            longitude=st.integers(-180 * DEGREE, 180 * DEGREE),
            bits=st.integers(0, 34),
            altitude=st.none() | st.integers(-(2**29), 2**29 - 1),
        ),
        entity=st.sampled_from(Entity),
    ),
)


@given(places)
def test_a_place_reads_back(place: Location) -> None:
    assert location_of(packet(*location_attributes(place, sighted_s=SIGHTED_S))) == place


def test_a_point_lies_where_its_bits_say() -> None:
    """34 bits each, 9 of them whole degrees (RFC 6225 section 2.1); 45.5 N, 122.25 W, 15 m."""
    bits = (34 << 122) | (91 << 24 << 88) | (34 << 82)
    bits |= ((-489 << 23) % (1 << 34)) << 48 | 1 << 44 | 30 << 38 | (15 << 8) << 8 | 1
    value = (int(Type.LOCATION_DATA), b"\x00\x01" + bits.to_bytes(16, "big"))
    place = Location(point=Point(latitude=0, longitude=0))
    information, _ = location_attributes(place, sighted_s=SIGHTED_S)
    found = location_of(packet(information, value))
    assert found is not None
    assert found.point == Point(
        latitude=91 * DEGREE // 2, longitude=-489 * DEGREE // 4, altitude=15 << 8
    )


def test_legacy_location_tells_the_country() -> None:
    value = b"isocc=us,cc=1,ac=408,network=ACMEWISP_NewarkAirport"
    assert location_of(packet(vendor(WBA, 1, value))) == Location(country="US")
    assert location_of(packet(vendor(WBA, 1, b"nothing"))) is None


def test_a_place_that_is_told_in_part_is_none() -> None:
    information, data = location_attributes(Location(country="FR"), sighted_s=SIGHTED_S)
    assert location_of(packet(information)) is None
    assert location_of(packet(data)) is None
    other = (int(Type.LOCATION_DATA), b"\x00\x02" + data[1][2:])
    assert location_of(packet(information, other)) is None
