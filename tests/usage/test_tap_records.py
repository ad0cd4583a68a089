"""Events as usage records, the writer's files in a foreign decoder's eyes, and the round trip."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from opencarrier.bench.tap_file import module, write
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service, Side
from opencarrier.usage.record import UsageRecord, check
from opencarrier.usage.wire.origin import Origin
from opencarrier.usage.wire.records import Refused, Severity
from opencarrier.usage.wire.tap import catalogue
from opencarrier.usage.wire.tap.reader import Dated
from opencarrier.usage.wire.tap.records import TapRecordReader
from opencarrier.usage.wire.tap.tags import tree

from . import tap_files as tap

PARTIES = {"FRA93": PartyId("op_lumen"), "SENBA": PartyId("op_baobab")}
PLACES = {"op_lumen": "FR", "op_baobab": "SN"}
MODULE = "OPENCARRIER_TAP_MODULE"
"""Names an ASN.1 module of TAP 3.12, whose text is for members and not shipped."""


def origin(octets: bytes = b"") -> Origin:
    return Origin(
        source_digest=sha256(octets).digest(),
        ingested_us=1_767_600_000_000_000,
        party_of=PARTIES.get,
        subject_of=lambda name: sha256(f"a key {name}".encode()).digest()[:16],
        jurisdiction_of=PLACES.get,
    )


def records(octets: bytes, size: int = 1 << 16) -> tuple[list[UsageRecord], list[Refused]]:
    reader, found = TapRecordReader(origin(octets)), []
    for start in range(0, len(octets), size):
        found += reader.feed(octets[start : start + size])
    found += reader.finish()
    return (
        [item for item in found if isinstance(item, UsageRecord)],
        [item for item in found if isinstance(item, Refused)],
    )


def test_every_event_is_a_record_that_may_be_kept() -> None:
    octets = tap.file()
    found, refused = records(octets)
    assert refused == []
    assert [check(record) for record in found] == [None] * 8
    assert len({record.usage_id for record in found}) == 8
    assert [record.service for record in found] == [
        Service.DATA,
        Service.VOICE,
        Service.VOICE,
        Service.MESSAGE,
        Service.EVENT,
        Service.MESSAGE,
        Service.MESSAGE,
        Service.VOICE,
    ]
    assert [record.units for record in found] == [0, 0, 0, 1, 1, 1, 1, 0]
    assert sum(record.charged_minor or 0 for record in found) == tap.TOTAL_CHARGE


def test_a_data_session() -> None:
    octets = tap.file()
    record = records(octets)[0][0]
    assert (record.reporter, record.visited, record.home) == ("op_lumen", "op_lumen", "op_baobab")
    assert record.side is Side.VISITED
    assert (record.jurisdiction_home, record.jurisdiction_visited) == ("SN", "FR")
    assert (record.octets_in, record.octets_out) == (45_000_000, 1_200_000)
    assert (record.start_us, record.duration_s) == (1_767_524_400_000_000, 3_600)
    assert record.end_us - record.start_us == 3_600_000_000
    assert record.utc_offset_min == 60
    assert (record.charged_minor, record.charged_currency, record.charged_decimals) == (
        2_300,
        "EUR",
        3,
    )
    assert record.node == "4711-60001"
    assert record.source_digest == sha256(octets).digest()
    assert octets[record.source_offset] == 0x6E
    assert tap.IMSI.encode() not in repr(record).encode()


def test_parts_of_one_session_share_its_id() -> None:
    parts = [("gprsCall", tap.gprs(start=f"2026010412{minute}00")) for minute in ("00", "30")]
    parts[0][1]["gprsBasicCallInformation"]["partialTypeIndicator"] = "F"
    parts[1][1]["gprsBasicCallInformation"]["partialTypeIndicator"] = "L"
    other = [("gprsCall", tap.gprs(charging_id=2))]
    found, _ = records(tap.file([*parts, *other], audits=[tap.audit(3, 6_900, 1_380)]))
    assert found[0].session_id == found[1].session_id != found[2].session_id
    assert found[0].usage_id != found[1].usage_id
    assert [record.is_final for record in found] == [False, True, True]


def test_the_same_event_in_two_files_is_one_usage() -> None:
    again = tap.file(control={"fileSequenceNumber": "00018"})
    first, second = records(tap.file())[0], records(again)[0]
    assert [r.usage_id for r in first] == [r.usage_id for r in second]
    assert first[0].source_digest != second[0].source_digest


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        ({"sender": "USAXX"}, "operator_unknown"),
        ({"recipient": "USAXX"}, "operator_unknown"),
        ({"fileTypeIndicator": "T"}, "test_file"),
    ],
)
def test_nobody_s_files(control: dict[str, Any], reason: str) -> None:
    octets = tap.file(control=control)
    found, refused = records(octets)
    assert found == []
    assert [(r.reason, r.severity) for r in refused] == [(reason, Severity.FATAL)]
    reader = TapRecordReader(origin(octets))
    list(reader.feed(octets))
    assert reader.returned.decision == "return_file"


def test_the_bench_s_file_reads_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path / "file", 50, times=1)
    found, refused = records((tmp_path / "file").read_bytes(), 1_000)
    assert (len(found), refused) == (50, [])


def test_the_page_names_every_reason() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "tap.md").read_text()
    words = {**catalogue.FATAL, **catalogue.SEVERE, **catalogue.WARNING}
    for reason, meaning in words.items():
        assert f"| `{reason}` | {meaning} |" in page


PEER = pytest.mark.peer


def _asn1tools() -> Any:
    return pytest.importorskip("asn1tools", reason="asn1tools is not installed")


def _plain(value: Any) -> Any:
    """What asn1tools decoded, as our trees are: no choices, texts and digits as octets."""
    if isinstance(value, tuple):
        return _plain(value[1])
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _octets(name: str, value: Any) -> Any:
    from opencarrier.usage.wire.tap.tags import BY_NAME, Kind
    from opencarrier.usage.wire.tap.writer import _leaf

    tag = BY_NAME[name]
    if tag.kind is Kind.LIST:
        inner = tag.holds[0]
        return [_octets(inner, item) for item in value]
    if tag.kind is Kind.GROUP:
        return {inner: _octets(inner, item) for inner, item in value.items()}
    return value if tag.kind is Kind.INTEGER else _leaf(tag.kind, value)


@PEER
@pytest.mark.parametrize("definite", [True, False])
def test_asn1tools_reads_our_files_by_our_table(definite: bool) -> None:
    compiled = _asn1tools().compile_string(module())
    octets = tap.file(definite=definite)
    name, batch = compiled.decode("File", octets)
    assert name == "transferBatch"
    assert len(batch["callEventDetails"]) == 8
    for (kind, event), (told_kind, told) in zip(
        tap.every_kind(), batch["callEventDetails"], strict=True
    ):
        assert told_kind == kind
        assert _plain(told) == _octets(kind, event)
    if definite:
        assert compiled.encode("File", (name, batch)) == octets


def test_asn1tools_reads_our_files_by_the_module_itself() -> None:
    path = os.environ.get(MODULE)
    if path is None:
        pytest.skip(f"{MODULE} names no module of TAP 3.12")
    compiled = _asn1tools().compile_files(path)
    octets = tap.file()
    name, batch = compiled.decode("DataInterChange", octets)
    assert [kind for kind, _ in batch["callEventDetails"]] == [k for k, _ in tap.every_kind()]
    assert compiled.encode("DataInterChange", (name, batch)) == octets
    assert batch["auditControlInfo"]["totalCharge"] == tap.TOTAL_CHARGE


@PEER
@pytest.mark.parametrize("name", ["tap-3.12-audit-mismatch.ber", "tap-3.12-indefinite-length.ber"])
def test_asn1tools_sees_in_real_files_what_we_do(name: str) -> None:
    path = tap.DATA / name
    if not path.exists():
        pytest.skip("../shared/data is not there")
    octets = path.read_bytes()
    compiled = _asn1tools().compile_string(module())
    _, batch = compiled.decode("File", octets)
    ours = [item.event for item in tap.read(octets) if isinstance(item, Dated)]
    assert [event.kind for event in ours] == [kind for kind, _ in batch["callEventDetails"]]
    told, fields = tree(octets)
    assert told == "transferBatch"
    expected = {k: _octets(k, v) for k, v in fields.items() if k != "callEventDetails"}
    assert {k: _plain(v) for k, v in batch.items() if k != "callEventDetails"} == expected
