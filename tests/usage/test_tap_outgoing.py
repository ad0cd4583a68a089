"""Statements as transfer files: read back by our reader and a foreign one, to the unit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.bench.tap_file import module
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.records import Refused
from opencarrier.usage.wire.tap.batch import ExchangeRate
from opencarrier.usage.wire.tap.outgoing import FileOrder, Line, OutgoingFile

from . import tap_files as tap
from .test_tap_records import records

START_US = 1_767_524_400_000_000
ORDER = FileOrder(
    sender="FRA93",
    recipient="SENBA",
    sequence=42,
    currency="EUR",
    decimals=6,
    rate=ExchangeRate(121_734, 5),
    cut_off_us=START_US + 86_400_000_000,
    available_us=START_US + 90_000_000_000,
    tax_rate="2000000",
)


def record(number: int = 1, **over: object) -> UsageRecord:
    plain = UsageRecord(
        usage_id=bytes((number,)) * 32,  # type: ignore[arg-type]
        session_id=number.to_bytes(4, "big") + bytes(28),  # type: ignore[arg-type]
        reporter=PartyId("op_lumen"),
        home=PartyId("op_baobab"),
        visited=PartyId("op_lumen"),
        subject=number.to_bytes(16, "big"),
        node="4711-60001",
        service=Service.DATA,
        start_us=START_US,
        end_us=START_US + 60_000_000,
        utc_offset_min=60,
        octets_in=1_000,
        octets_out=8 << 40,
        duration_s=60,
        source_digest=bytes(32),
        source_offset=0,
        ingested_us=0,
        decoder="test",
    )
    return replace(plain, **over)


def written(lines: list[Line], order: FileOrder = ORDER, *, definite: bool = True) -> bytes:
    out = OutgoingFile(
        order, lambda: lines, lambda r: f"20801{int.from_bytes(r.subject, 'big'):010}"
    )
    octets = b"".join(out.octets(definite=definite))
    assert out.refused == []
    return octets


amounts = st.integers(0, 1 << 40)
lines = st.builds(
    lambda number, service, offset, start, into, out, seconds, charge, tax: Line(
        record(
            number,
            service=service,
            utc_offset_min=offset,
            start_us=START_US + start * 1_000_000,
            end_us=START_US + (start + seconds) * 1_000_000,
            octets_in=into if service is Service.DATA else 0,
            octets_out=out if service is Service.DATA else 0,
            duration_s=seconds,
            units=int(service is Service.MESSAGE),
        ),
        charge,
        tax,
    ),
    st.integers(1, 250),
    st.sampled_from([Service.DATA, Service.VOICE, Service.MESSAGE]),
    st.sampled_from([-570, 0, 60, 345]),
    st.integers(0, 80_000),
    amounts,
    amounts,
    st.integers(0, 5_000),
    amounts,
    amounts,
)


@given(st.lists(lines, max_size=6, unique_by=lambda line: line.record.subject), st.booleans())
@settings(max_examples=50)
def test_what_was_stated_is_read_back(told: list[Line], definite: bool) -> None:
    found, refused = records(written(told, definite=definite))
    assert refused == []
    assert len(found) == len(told)
    for got, (was, charge, _) in zip(found, told, strict=True):
        kept = ("service", "start_us", "end_us", "utc_offset_min", "octets_in", "octets_out")
        for name in (*kept, "duration_s", "units", "node", "is_final", "home", "visited"):
            assert getattr(got, name) == getattr(was, name), name
        assert (got.charged_minor, got.charged_currency, got.charged_decimals) == (charge, "EUR", 6)


def test_sessions_keep_apart_and_together() -> None:
    first = record(7, is_final=False)
    later = record(7, start_us=START_US + 60_000_000, end_us=START_US + 120_000_000)
    other = record(8, subject=first.subject)
    found, _ = records(written([Line(r, 1, 0) for r in (first, later, other)]))
    assert found[0].session_id == found[1].session_id != found[2].session_id
    assert [r.is_final for r in found] == [False, True, True]


def test_what_cannot_stand_in_a_file_is_refused_and_the_rest_goes_on() -> None:
    told = [
        Line(record(1), 5, 1),
        Line(record(2, service=Service.EVENT), 5, 0),
        Line(record(3), -1, 0),
        Line(record(4), 1 << 63, 0),
        Line(record(5), 7, 2),
        Line(record(6), 0, 0),
    ]
    names = {bytes(15) + bytes((n,)): f"20801000000000{n}" for n in range(1, 6)}
    out = OutgoingFile(ORDER, lambda: told, lambda r: names.get(r.subject))
    octets = b"".join(out.octets())
    assert out.refused == [
        Refused(1, "service", detail="event"),
        Refused(2, "range"),
        Refused(3, "range"),
        Refused(5, "subscriber_unknown"),
    ]
    found, refused = records(octets)
    assert ([r.charged_minor for r in found], refused) == ([5, 7], [])


def test_an_empty_statement_is_a_file() -> None:
    assert tap.faults(written([])) == []


def test_a_test_file_says_so() -> None:
    found, refused = records(written([Line(record(), 1, 0)], replace(ORDER, is_test=True)))
    assert (found, [r.reason for r in refused]) == ([], ["test_file"])


@pytest.mark.parametrize("over", [{"sequence": 0}, {"sequence": 100_000}, {"decimals": 7}])
def test_an_order_that_cannot_be(over: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        replace(ORDER, **over)  # type: ignore[arg-type]


@pytest.mark.peer
def test_asn1tools_reads_a_statement() -> None:
    asn1tools = pytest.importorskip("asn1tools", reason="asn1tools is not installed")
    compiled = asn1tools.compile_string(module())
    octets = written([Line(record(1), 2_300, 460), Line(record(2, service=Service.VOICE), 9, 0)])
    name, batch = compiled.decode("File", octets)
    assert [kind for kind, _ in batch["callEventDetails"]] == ["gprsCall", "mobileOriginatedCall"]
    assert batch["auditControlInfo"]["totalCharge"] == 2_309
    assert batch["auditControlInfo"]["totalTaxValue"] == 460
    assert compiled.encode("File", (name, batch)) == octets
