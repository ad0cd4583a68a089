"""Transfer files: what every kind of event becomes, each fault by its name, damage by its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire.ber import element
from opencarrier.usage.wire.records import Refused, Severity
from opencarrier.usage.wire.tap import catalogue
from opencarrier.usage.wire.tap.batch import ExchangeRate, Notification, Tax
from opencarrier.usage.wire.tap.event import (
    LAYOUTS_MAX,
    EventDecoder,
    TapCharge,
    TapDetail,
    TapEvent,
)
from opencarrier.usage.wire.tap.reader import Dated, End, Header, TapItem
from opencarrier.usage.wire.tap.returns import Missing, Return, Sequences, Series
from opencarrier.usage.wire.tap.tags import BY_NAME, Kind, tree
from opencarrier.usage.wire.tap.writer import encode

from . import tap_files as tap

AUDIT_MISMATCH = tap.DATA / "tap-3.12-audit-mismatch.ber"
INDEFINITE = tap.DATA / "tap-3.12-indefinite-length.ber"
NOON_US = 1_767_524_400_000_000
"""2026-01-04 12:00 at +0100."""


def events(items: list[TapItem | Refused]) -> list[Dated]:
    return [item for item in items if isinstance(item, Dated)]


def placeless(items: list[TapItem | Refused]) -> list[Any]:
    """The same without offsets, which alone may differ between two encodings."""
    found: list[Any] = []
    for item in items:
        if isinstance(item, Dated):
            found.append(item._replace(event=item.event._replace(offset=0)))
        elif isinstance(item, Refused | End):
            found.append(item._replace(offset=0))
        else:
            found.append((item.control, getattr(item, "accounting", None)))
    return found


def test_a_good_file_is_read_whole() -> None:
    items = tap.read(tap.file())
    assert [item for item in items if isinstance(item, Refused)] == []
    header, *dated, end = items
    assert isinstance(header, Header)
    assert isinstance(end, End)
    assert (header.control.sender, header.control.recipient) == ("FRA93", "SENBA")
    assert header.control.sequence == 17
    assert header.control.cut_off_us == NOON_US + 12 * 3_600_000_000
    assert header.accounting.currency == "EUR"
    assert header.accounting.decimals == 3
    assert header.accounting.rates == {1: ExchangeRate(121_734, 5)}
    assert header.accounting.taxes == {1: Tax("13", "2000000")}
    assert header.network.offsets == {0: 60}
    assert [item.event.kind for item in events(dated)] == [name for name, _ in tap.every_kind()]
    assert end.sums.charge == tap.TOTAL_CHARGE
    assert end.sums.tax == tap.TOTAL_TAX


def test_what_an_event_becomes() -> None:
    gprs, call, _, message, suppl, centre, messaging, session = events(tap.read(tap.file()))
    assert gprs.start_us == NOON_US
    assert gprs.utc_offset_min == 60
    event = gprs.event
    assert (event.imsi, event.msisdn) == (tap.IMSI, "33612345678")
    assert (event.volume_in, event.volume_out, event.duration_s) == (1_200_000, 45_000_000, 3_600)
    assert (event.charging_id, event.access_point, event.entity_code) == (7_001, "internet", 2)
    assert event.charges == (TapCharge("X", 1, (TapDetail("00", 2_300, 46_200_000, 46_200_000),)),)
    assert (event.total_charge, event.total_tax, event.total_discount) == (2_300, 460, 0)
    assert (call.event.called, call.event.reference) == ("221771234567", "0a0b0c")
    assert (call.event.service_code, message.event.service_code) == ("11", "22")
    assert suppl.event.charges == ()
    assert centre.event.total_charge == 40
    assert (messaging.event.total_charge, messaging.event.total_tax) == (30, 6)
    assert (session.event.duration_s, session.event.reference) == (61, "s-1")


@pytest.mark.parametrize("definite", [True, False])
@pytest.mark.parametrize("size", [1, 7, 64, 1_000])
def test_pieces_and_lengths_change_nothing(definite: bool, size: int) -> None:
    octets = tap.file(definite=definite)
    assert tap.read(octets, size) == tap.read(octets)
    assert placeless(tap.read(octets)) == placeless(tap.read(tap.file()))


@pytest.mark.skipif(not AUDIT_MISMATCH.exists(), reason="../shared/data is not there")
def test_the_wrong_audit_is_told_with_both_totals() -> None:
    items = tap.read(AUDIT_MISMATCH.read_bytes())
    fatal = [i for i in items if isinstance(i, Refused) and i.severity is Severity.FATAL]
    assert fatal == [Refused(740, "audit_total_charge", Severity.FATAL, "audit 2300, events 71200")]
    end = items[-1]
    assert isinstance(end, End)
    assert (end.audit.count, end.sums.count) == (4, 4)
    returned = Return()
    assert list(returned.through(items)) == items
    told = json.loads(json.dumps(returned.report()))
    assert told["decision"] == "return_file"
    assert told["totals"]["charge"] == {"audit": 2_300, "events": 71_200}
    assert told["totals"]["events"] == {"audit": 4, "events": 4}
    assert "133713371337133" not in json.dumps(told)


@pytest.mark.skipif(not INDEFINITE.exists(), reason="../shared/data is not there")
def test_the_indefinite_twin_reads_the_same() -> None:
    twins = [tap.read(path.read_bytes()) for path in (AUDIT_MISMATCH, INDEFINITE)]
    assert placeless(twins[0]) == placeless(twins[1])
    assert [i.event.offset for i in events(twins[0])] != [i.event.offset for i in events(twins[1])]


def _with(change: Callable[[dict[str, Any]], Any]) -> bytes:
    event = tap.gprs()
    change(event)
    return tap.file([("gprsCall", event)], audits=[])


def _charged(change: Callable[[dict[str, Any]], Any]) -> bytes:
    return _with(lambda e: change(e["gprsServiceUsed"]["chargeInformationList"][0]))


def _basic(name: str, value: Any) -> bytes:
    return _with(lambda e: e["gprsBasicCallInformation"].update({name: value}))


def _audit(**over: Any) -> bytes:
    return tap.file(audits=[tap.audit() | over])


def _notation(specification: int, release: int) -> dict[str, Any]:
    return {"specificationVersionNumber": specification, "releaseVersionNumber": release}


def _begun(**more: Any) -> bytes:
    return _basic("callEventStartTimeStamp", {"localTimeStamp": "20260104120000"} | more)


def _broken(audits: list[dict[str, Any]]) -> bytes:
    """A file of one event, in which a volume is written as if it held others."""
    octets = tap.file([("gprsCall", tap.gprs())], audits=audits)
    assert octets.count(b"\x5f\x81\x7a") == 1
    return octets.replace(b"\x5f\x81\x7a", b"\x7f\x81\x7a")


UNKNOWN = {"discountCode": 5}
LOCAL = {"localTimeStamp": "20260104120000", "utcTimeOffset": "+0100"}
TWICE = [{"utcTimeOffsetCode": 0, "utcTimeOffset": "+0100"}] * 2
TOO_FINE = {"exchangeRateCode": 1, "numberOfDecimalPlaces": 10, "exchangeRate": 1}
RATE = {"exchangeRateCode": 1, "numberOfDecimalPlaces": 5, "exchangeRate": 0}

FAULTS: list[tuple[str, Callable[[], bytes]]] = [
    ("root", lambda: encode("gprsCall", {})),
    ("root", lambda: encode("sender", "FRA93")),
    ("part_unknown", lambda: tap.file().replace(b"\x63\x82", b"\x7c\x82", 1)),
    ("batch_control", lambda: tap.file(control={"sender": None})),
    ("batch_control", lambda: tap.file(control={"recipient": "abcde"})),
    ("batch_control", lambda: encode("transferBatch", {"callEventDetails": []})),
    ("sequence_number", lambda: tap.file(control={"fileSequenceNumber": "00000"})),
    ("sequence_number", lambda: tap.file(control={"fileSequenceNumber": "123456"})),
    ("version", lambda: tap.file(control=_notation(3, 9))),
    ("version", lambda: tap.file(control=_notation(3, 13))),
    ("version", lambda: tap.file(control=_notation(4, 12))),
    ("time", lambda: tap.file(control={"fileCreationTimeStamp": LOCAL | {"localTimeStamp": "1"}})),
    ("offset", lambda: tap.file(control={"fileCreationTimeStamp": LOCAL | {"utcTimeOffset": "1"}})),
    ("offset", lambda: tap.file(network={"utcTimeOffsetInfoList": [{"utcTimeOffsetCode": 0}]})),
    ("accounting", lambda: encode("transferBatch", {"batchControlInfo": tap.CONTROL})),
    ("network", lambda: encode("transferBatch", {"batchControlInfo": tap.CONTROL})),
    ("currency", lambda: tap.file(accounting={"localCurrency": None})),
    ("currency", lambda: tap.file(accounting={"tapCurrency": "eur"})),
    ("decimal_places", lambda: tap.file(accounting={"tapDecimalPlaces": 7})),
    ("decimal_places", lambda: tap.file(accounting={"tapDecimalPlaces": None})),
    ("rate", lambda: tap.file(accounting={"currencyConversionList": [RATE]})),
    ("rate", lambda: tap.file(accounting={"currencyConversionList": [TOO_FINE]})),
    ("code_twice", lambda: tap.file(network={"utcTimeOffsetInfoList": TWICE})),
    ("form", lambda: tap.file(accounting={"currencyConversionList": [{"exchangeRate": 1}]})),
    ("part_twice", lambda: tap.file(audits=[tap.audit(), tap.audit()])),
    ("audit", lambda: tap.file(audits=[])),
    ("audit_count", lambda: _audit(callEventDetailsCount=9)),
    ("audit_total_charge", lambda: _audit(totalCharge=tap.TOTAL_CHARGE + 1)),
    ("audit_total_charge", lambda: _audit(totalChargeRefund=1)),
    ("audit_total_tax", lambda: _audit(totalTaxValue=tap.TOTAL_TAX - 1)),
    ("audit_total_discount", lambda: _audit(totalDiscountValue=1)),
    ("event_syntax", lambda: _broken([])),
    ("event_kind", lambda: tap.file([("locationService", {"locationServiceUsage": {
        "chargingTimeStamp": tap.at()}})], audits=[])),
    ("subscriber", lambda: _basic("gprsChargeableSubscriber", {})),
    ("start_time", lambda: _basic("callEventStartTimeStamp", {})),
    ("start_time", lambda: _basic("callEventStartTimeStamp", tap.at("20260230120000"))),
    ("start_time", lambda: _basic("callEventStartTimeStamp", tap.at("20260104246000"))),
    ("offset_code", lambda: _begun(utcTimeOffsetCode=5)),
    ("offset_code", lambda: _begun()),
    ("rate_code", lambda: _charged(lambda c: c.update(exchangeRateCode=2))),
    ("tax_code", lambda: _charged(lambda c: c["taxInformationList"][0].update(taxCode=9))),
    ("discount_code", lambda: _charged(lambda c: c.update(discountInformation=UNKNOWN))),
    ("entity_code", lambda: _with(
        lambda e: e["gprsLocationInformation"]["gprsNetworkLocation"].update(recEntityCodeList=[3])
    )),
    ("range", lambda: _with(lambda e: e["gprsServiceUsed"].update(dataVolumeIncoming=-2))),
    ("range", lambda: _charged(lambda c: c["chargeDetailList"][0].update(charge=-1))),
    ("range", lambda: _charged(lambda c: c["taxInformationList"][0].update(taxValue=-1))),
    ("total_missing", lambda: _charged(lambda c: c["chargeDetailList"][0].update(chargeType="01"))),
    ("event_again", lambda: tap.file([("gprsCall", tap.gprs())] * 2, audits=[])),
    ("rate_code_missing", lambda: _charged(lambda c: c.pop("exchangeRateCode"))),
    ("after_cut_off", lambda: _basic("callEventStartTimeStamp", tap.at("20260105000001"))),
    ("audit_earliest", lambda: _audit(earliestCallTimeStamp=LOCAL | {"utcTimeOffset": "+0200"})),
    ("audit_latest", lambda: _audit(latestCallTimeStamp=LOCAL)),
    ("audit_unread", lambda: _broken([tap.audit(1)])),
    ("trailing", lambda: tap.file() + bytes(2)),
]  # fmt: skip
ELSEWHERE = {"file_again", "file_known", "operator_unknown", "test_file"}


@pytest.mark.parametrize(("reason", "make"), FAULTS, ids=[reason for reason, _ in FAULTS])
def test_every_fault_is_told_by_its_name(reason: str, make: Callable[[], bytes]) -> None:
    found = {refused.reason: refused for refused in tap.faults(make())}
    assert reason in found, found
    assert found[reason].severity is catalogue.SEVERITY[reason]


def test_every_reason_of_the_catalogue_has_a_fault() -> None:
    assert {reason for reason, _ in FAULTS} | ELSEWHERE == set(catalogue.SEVERITY)


def test_a_severe_fault_costs_its_event_alone() -> None:
    bad = tap.gprs(charging_id=2)
    bad["gprsBasicCallInformation"].pop("callEventStartTimeStamp")
    told = [("gprsCall", tap.gprs()), ("gprsCall", bad), ("gprsCall", tap.gprs(charging_id=3))]
    items = tap.read(tap.file(told, audits=[tap.audit(3, 6_900, 1_380)]))
    assert [item.event.charging_id for item in events(items)] == [7_001, 3]
    returned = Return()
    list(returned.through(items))
    report = returned.report()
    assert report["decision"] == "return_events"
    assert report["severe"][0]["reason"] == "start_time"
    assert report["charge_taken"] == 4_600
    assert report["totals"]["charge"] == {"audit": 6_900, "events": 6_900}


def test_an_accepted_file_says_so() -> None:
    returned = Return()
    list(returned.through(tap.read(tap.file())))
    assert returned.report() == {
        "format": "opencarrier-tap-return/1",
        "sender": "FRA93",
        "recipient": "SENBA",
        "file_sequence_number": 17,
        "release": "3.12",
        "decision": "accept",
        "fatal": [],
        "severe": [],
        "severe_count": 0,
        "warnings": {},
        "events_taken": 8,
        "charge_taken": tap.TOTAL_CHARGE,
        "totals": {
            "events": {"audit": 8, "events": 8},
            "charge": {"audit": tap.TOTAL_CHARGE, "events": tap.TOTAL_CHARGE},
            "refund": {"audit": 0, "events": 0},
            "tax": {"audit": tap.TOTAL_TAX, "events": tap.TOTAL_TAX},
            "discount": {"audit": 0, "events": 0},
        },
    }


@pytest.mark.parametrize("release", [10, 11, 12])
def test_releases(release: int) -> None:
    assert tap.faults(tap.file(control=_notation(3, release))) == []


def test_an_audit_by_charge_type_is_read() -> None:
    audit = tap.audit()
    total = audit.pop("totalCharge")
    audit["totalChargeValueList"] = [
        {"chargeType": "01", "absoluteAmount": 1},
        {"chargeType": "00", "absoluteAmount": total},
    ]
    assert tap.faults(tap.file(audits=[audit])) == []


def test_volumes_of_an_event_that_reports_several_add_up() -> None:
    event = tap.gprs()
    event["gprsServiceUsed"]["gprsServiceUsageList"] = [
        {"dataVolumeIncoming": 5, "dataVolumeOutgoing": 7},
        {"dataVolumeIncoming": 300, "dataVolumeOutgoing": 70_000},
    ]
    (dated,) = events(tap.read(tap.file([("gprsCall", event)], audits=[])))
    assert (dated.event.volume_in, dated.event.volume_out) == (1_200_305, 45_070_007)


def test_what_is_given_back_counts_apart() -> None:
    used = {"chargeRefundIndicator": 1, "chargeInformationList": [tap.charge("E", 70, 1)]}
    content = {
        "contentTransactionBasicInfo": {"orderPlacedTimeStamp": tap.at()},
        "contentServiceUsedList": [used],
    }
    good = tap.audit(1, 0, 0) | {"totalChargeRefund": 70}
    found = tap.faults(tap.file([("contentTransaction", content)], audits=[good]))
    assert [refused.reason for refused in found] == ["event_kind"]


def test_a_notification() -> None:
    fields = {k: v for k, v in tap.CONTROL.items() if k != "fileCreationTimeStamp"}
    (item,) = tap.read(encode("notification", fields))
    assert isinstance(item, Notification)
    assert item.control.sequence == 17


def _file_of(number: int, **over: Any) -> Header:
    found = tap.read(tap.file(control={"fileSequenceNumber": f"{number:05}"} | over))
    (header,) = [item for item in found if isinstance(item, Header)]
    return header


def test_numbers_that_never_came_are_missing() -> None:
    sequences = Sequences()
    for number in (99_998, 3, 7, 1, 4):
        assert sequences.add(_file_of(number), bytes((number % 251,))) is None
    assert sequences.add(_file_of(5_000, fileTypeIndicator="T"), b"test") is None
    series = Series("FRA93", "SENBA", False)
    assert sorted(sequences.missing()) == [
        Missing(series, 2, 2),
        Missing(series, 5, 6),
        Missing(series, 99_999, 99_999),
    ]


def test_a_number_that_comes_again() -> None:
    sequences = Sequences()
    header = _file_of(8)
    assert sequences.add(header, b"one") is None
    for digest, reason, severity in (
        (b"one", "file_known", Severity.WARNING),
        (b"two", "file_again", Severity.FATAL),
    ):
        refused = sequences.add(header, digest)
        assert refused is not None
        assert (refused.reason, refused.severity) == (reason, severity)
    assert sequences.missing() == []


def _ends(octets: bytes) -> list[tuple[int, Dated]]:
    """Each event with where its octets end."""
    items = events(tap.read(octets))
    starts = [item.event.offset for item in items]
    return [(element(octets, at, len(octets)).next, i) for at, i in zip(starts, items, strict=True)]


SMALL = [("gprsCall", tap.gprs()), ("supplServiceEvent", tap.supplementary())]


@pytest.mark.parametrize("definite", [True, False])
def test_a_file_cut_anywhere_keeps_what_came_before_and_says_where(definite: bool) -> None:
    octets = tap.file(SMALL, audits=[tap.audit(2, 2_300, 460)], definite=definite)
    ends = _ends(octets)
    for cut in range(len(octets)):
        items = tap.read(octets[:cut])
        whole = [dated for end, dated in ends if end <= cut]
        assert events(items) == whole, cut
        last = items[-1]
        assert isinstance(last, Refused)
        assert (last.reason, last.severity) == ("cut", Severity.FATAL)
        held = [dated.event.offset for end, dated in ends if end > cut]
        assert last.offset <= min([cut, *(at for at in held if at <= cut)], default=cut), cut
        assert last.offset >= max((end for end, _ in ends if end <= cut), default=0)


@pytest.mark.parametrize(
    "bits",
    [0x01, 0x20, *(pytest.param(1 << n, marks=pytest.mark.deep) for n in (1, 2, 3, 4, 6, 7))],
)
def test_a_file_flipped_anywhere_keeps_what_came_before(bits: int) -> None:
    """Before the first event a flip may show only there: by a length, a code, a currency."""
    octets = tap.file(SMALL, audits=[tap.audit(2, 2_300, 460)])
    ends, good = _ends(octets), tap.read(octets)
    listed = octets.index(b"\x63\x82")
    for at in range(len(octets)):
        flipped = octets[:at] + bytes((octets[at] ^ bits,)) + octets[at + 1 :]
        items = tap.read(flipped)
        before = [dated for end, dated in ends if end <= at]
        assert events(items)[: len(before)] == before, at
        if len(events(items)) < len(events(good)):
            refused = [item for item in items if isinstance(item, Refused)]
            assert refused, at
            if at > listed + 4:
                assert min(item.offset for item in refused) <= at, at


def test_nothing_raises_whatever_a_file_holds() -> None:
    @given(st.binary(max_size=300), st.integers(0, 1_600))
    @settings(max_examples=50)
    def go(noise: bytes, at: int) -> None:
        octets = tap.file()
        tap.read(noise)
        assert tap.read(octets[:at] + noise + octets[at + len(noise) :]) is not None

    go()


_NAMES = sorted(BY_NAME)


@st.composite
def _trees(draw: st.DrawFn, name: str, depth: int = 0) -> Any:
    tag = BY_NAME[name]
    if tag.kind is Kind.INTEGER:
        return draw(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300))
    if tag.kind is Kind.TEXT:
        return draw(st.sampled_from(["00", "X", "", "20260104120000", "+0100"]))
    if tag.kind is Kind.DIGITS:
        return draw(st.text("0123456789", max_size=15))
    if tag.kind is Kind.HEX:
        return draw(st.binary(max_size=4)).hex()
    if tag.kind is Kind.LIST:
        inner = _trees(tag.holds[0], depth + 1)
        return draw(st.lists(inner, max_size=2 if depth < 4 else 1))
    names = draw(st.sets(st.sampled_from(tag.holds), max_size=4))
    return {name: draw(_trees(name, depth + 1)) for name in names}


kinds = st.sampled_from(BY_NAME["callEventDetails"].holds)


@given(kinds.flatmap(lambda name: st.tuples(st.just(name), _trees(name))))
@settings(max_examples=40)
def test_any_tree_comes_back(told: tuple[str, Any]) -> None:
    assert tree(encode(*told)) == told


@given(st.lists(kinds.flatmap(lambda n: st.tuples(st.just(n), _trees(n))), max_size=3), st.data())
@settings(max_examples=30)
def test_layouts_change_nothing(told: list[tuple[str, Any]], data: st.DataObject) -> None:
    """Octets of one shape and other values, and of nearly one shape, decode as if walked."""
    kept, walked = EventDecoder(LAYOUTS_MAX), EventDecoder(0)
    for name, event in told:
        octets = encode(name, event)
        at = data.draw(st.integers(0, len(octets) - 1))
        other = octets[:at] + bytes((data.draw(st.integers(0, 255)),)) + octets[at + 1 :]
        for one in (octets, other, octets):
            assert _decoded(kept, one) == _decoded(walked, one)


def _decoded(decoder: EventDecoder, octets: bytes) -> TapEvent | str:
    try:
        return decoder.decode(octets, 0)
    except PeerError as error:
        return str(error)


def test_layouts_are_bounded() -> None:
    decoder = EventDecoder(8)
    for size in range(1, 60):
        event = deepcopy(tap.gprs())
        event["gprsBasicCallInformation"]["gprsDestination"] = {"accessPointNameNI": "a" * size}
        assert decoder.decode(encode("gprsCall", event), 0).access_point == "a" * size
        assert sum(map(len, decoder._layouts.values())) <= 8
