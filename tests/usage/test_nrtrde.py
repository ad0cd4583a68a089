"""Near real time calls: what a file becomes, what is wrong with one, and damage by its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.spine.records import Service
from opencarrier.usage.record import UsageRecord, check
from opencarrier.usage.wire.ber import application
from opencarrier.usage.wire.nrtrde import _TAGS, NrtrdeRecordReader
from opencarrier.usage.wire.records import Refused, Severity
from opencarrier.usage.wire.tap.tags import Kind
from opencarrier.usage.wire.tap.writer import _leaf

from . import tap_files as tap
from .test_tap_records import origin, records

TAGS = {tag.name: tag for tag in _TAGS}
HEAD: dict[str, Any] = {
    "specificationVersionNumber": 2,
    "releaseVersionNumber": 1,
    "sender": "FRA93",
    "recipient": "SENBA",
    "sequenceNumber": "0000012",
    "fileAvailableTimeStamp": "20260104140000",
    "utcTimeOffset": "+0100",
}
WHEN = {"callEventStartTimeStamp": "20260104120000", "utcTimeOffset": "+0100"}
GPRS: dict[str, Any] = {
    "imsi": tap.IMSI,
    **WHEN,
    "callEventDuration": 3_600,
    "dataVolumeIncoming": 1_200_000,
    "dataVolumeOutgoing": 45_000_000,
    "chargingId": 7_001,
    "sgsnAddress": "10.0.0.1",
}
MOC: dict[str, Any] = {
    "imsi": tap.IMSI,
    **WHEN,
    "callEventDuration": 43,
    "serviceCode": {"teleServiceCode": "11"},
    "recEntityId": "CAFE01",
    "callReference": 5,
}
SMS = MOC | {"serviceCode": {"teleServiceCode": "22"}, "cellId": 7, "locationArea": 9}
CALLS = [("gprs", GPRS), ("moc", MOC), ("mtc", SMS)]


def _element(number: int, content: bytes, *, holds: bool) -> bytes:
    tag = application(number)
    octets = bytearray(tag.to_bytes((tag.bit_length() + 7) // 8, "big"))
    octets[0] |= 0x20 * holds
    size = len(content).to_bytes(2, "big")
    length = bytes((len(content),)) if len(content) < 128 else b"\x82" + size
    return bytes(octets) + length + content


def encode(name: str, value: Any) -> bytes:
    tag = TAGS[name]
    if tag.kind is Kind.GROUP:
        inside = b"".join(encode(inner, held) for inner, held in value.items())
        return _element(tag.number, inside, holds=True)
    return _element(tag.number, _leaf(tag.kind, value), holds=False)


def file(calls: list[tuple[str, Any]] = CALLS, count: int | None = None, **head: Any) -> bytes:
    fields = {k: v for k, v in (HEAD | head).items() if v is not None}
    listed = _element(2, b"".join(encode(*call) for call in calls), holds=True)
    told = encode("callEventsCount", len(calls) if count is None else count)
    parts = b"".join(encode(*field) for field in fields.items())
    return _element(1, parts + listed + told, holds=True)


def read(octets: bytes, size: int = 1 << 16) -> list[UsageRecord | Refused]:
    reader, found = NrtrdeRecordReader(replace(origin(), source_digest=bytes(32))), []
    for start in range(0, len(octets), size):
        found += reader.feed(octets[start : start + size])
    return [*found, *reader.finish()]


def test_calls_become_records_without_a_price() -> None:
    gprs, call, message = (item for item in read(file()) if isinstance(item, UsageRecord))
    assert len(read(file())) == 3
    assert [check(record) for record in (gprs, call, message)] == [None] * 3
    assert (gprs.service, call.service, message.service) == (
        Service.DATA,
        Service.VOICE,
        Service.MESSAGE,
    )
    assert (gprs.octets_in, gprs.octets_out) == (45_000_000, 1_200_000)
    assert (gprs.start_us, gprs.utc_offset_min) == (1_767_524_400_000_000, 60)
    assert (call.duration_s, message.units) == (43, 1)
    assert (gprs.node, call.node, message.node) == ("10.0.0.1", "CAFE01", "9-7")
    assert gprs.charged_minor is None
    assert (gprs.visited, gprs.home) == ("op_lumen", "op_baobab")


def test_a_data_session_meets_its_transferred_account() -> None:
    (near, *_) = read(file())
    transferred, _ = records(tap.file())
    assert isinstance(near, UsageRecord)
    assert near.session_id == transferred[0].session_id
    assert near.usage_id == transferred[0].usage_id


@pytest.mark.parametrize("size", [1, 5, 100])
def test_pieces_change_nothing(size: int) -> None:
    assert read(file(), size) == read(file())


@pytest.mark.parametrize(
    ("octets", "reason", "severity"),
    [
        (file(releaseVersionNumber=2), "version", Severity.FATAL),
        (file(specificationVersionNumber=None), "version", Severity.FATAL),
        (file(sequenceNumber="x"), "sequence_number", Severity.FATAL),
        (file(sender="USAXX"), "operator_unknown", Severity.FATAL),
        (file(count=4), "count", Severity.FATAL),
        (file(sender="FRA93", recipient=None), "operator_unknown", Severity.FATAL),
        (_element(9, b"", holds=True), "root", Severity.FATAL),
        (file([("gprs", GPRS | {"imsi": ""})]), "subscriber", Severity.SEVERE),
        (file([("gprs", GPRS | {"utcTimeOffset": "+2500"})]), "offset", Severity.SEVERE),
        (file([("gprs", GPRS | {"callEventStartTimeStamp": "1"})]), "time", Severity.SEVERE),
        (file([("gprs", GPRS | {"callEventDuration": -1})]), "range", Severity.SEVERE),
        (file([("serviceCode", {})]), "event_kind", Severity.SEVERE),
        (file() + b"\0", "trailing", Severity.WARNING),
    ],
)
def test_faults(octets: bytes, reason: str, severity: Severity) -> None:
    found = [item for item in read(octets) if isinstance(item, Refused)]
    assert [(item.reason, item.severity) for item in found] == [(reason, severity)]


def test_a_bad_call_costs_that_call_alone() -> None:
    found = read(file([("gprs", {}), *CALLS]))
    assert [type(item) for item in found] == [Refused, *[UsageRecord] * 3]


def test_a_file_cut_anywhere_keeps_what_came_before_and_says_where() -> None:
    octets = file()
    good = read(octets)
    ends = [item.source_offset for item in good[1:] if isinstance(item, UsageRecord)]
    ends.append(octets.rindex(encode("callEventsCount", 3)))
    for cut in range(len(octets)):
        *kept, last = read(octets[:cut])
        assert kept == good[: sum(end <= cut for end in ends)], cut
        assert isinstance(last, Refused)
        assert (last.reason, last.severity) == ("cut", Severity.FATAL)
        assert last.offset <= cut


def test_a_file_flipped_anywhere_keeps_what_came_before() -> None:
    octets, good = file(), read(file())
    ends = [item.source_offset for item in good[1:] if isinstance(item, UsageRecord)]
    for at in range(len(octets)):
        flipped = octets[:at] + bytes((octets[at] ^ 0x55,)) + octets[at + 1 :]
        before = good[: sum(end <= at for end in ends)]
        assert read(flipped)[: len(before)] == before, at


@given(st.binary(max_size=200), st.integers(0, 400))
@settings(max_examples=80)
def test_nothing_raises_whatever_a_file_holds(noise: bytes, at: int) -> None:
    octets = file()
    for held in (noise, octets[:at] + noise + octets[at + len(noise) :]):
        assert read(held, 37) == read(held)
