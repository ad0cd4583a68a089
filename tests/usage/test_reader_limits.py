"""Every limit of the readers of roaming files, on both sides; order that changes nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.refusals import PeerError
from opencarrier.usage import importing
from opencarrier.usage.dataset import read_records
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.diameter import credit, transport
from opencarrier.usage.wire.diameter import records as diameter
from opencarrier.usage.wire.records import Refused
from opencarrier.usage.wire.tap import event, reader, returns
from opencarrier.usage.wire.tap.event import EventDecoder
from opencarrier.usage.wire.tap.returns import Return
from opencarrier.usage.wire.tap.writer import encode

from . import diameter_wire as wire
from . import tap_files as tap
from .test_importing import origin_of
from .test_tap import events

Patch = pytest.MonkeyPatch


def test_a_copy_is_known_as_far_back_as_the_limit_says(monkeypatch: Patch) -> None:
    size = len(encode("gprsCall", tap.gprs()))
    told = [("gprsCall", tap.gprs(charging_id=1_000 + n)) for n in range(8)]
    told.append(told[0])
    for octets, taken in ((4 * size, 9), (8 * size, 8)):
        monkeypatch.setattr(reader, "AGAIN_OCTETS", octets - 1)
        found = tap.read(tap.file(told, audits=[]))
        assert len(events(found)) == taken


def test_layouts_of_one_length_are_bounded(monkeypatch: Patch) -> None:
    monkeypatch.setattr(event, "LAYOUTS_PER_LENGTH_MAX", 3)
    decoder, total = EventDecoder(), 24
    for size in range(1, total):
        told = tap.gprs()
        told["gprsBasicCallInformation"]["gprsDestination"] = {
            "accessPointNameNI": "n" * size,
            "accessPointNameOI": "o" * (total - size),
        }
        assert decoder.decode(encode("gprsCall", told), 0).access_point == "n" * size
        assert sum(map(len, decoder._layouts.values())) == min(size, 3)


def test_a_large_event_is_walked_each_time() -> None:
    decoder = EventDecoder()
    told = tap.gprs()
    charges = told["gprsServiceUsed"]["chargeInformationList"]
    while len(encode("gprsCall", told)) <= event.LAYOUT_OCTETS_MAX:
        charges.append(tap.charge("X", 1, 1))
    assert decoder.decode(encode("gprsCall", told), 0).total_charge == 2_300 + len(charges) - 1
    assert decoder._layouts == {}
    charges.pop()
    decoder.decode(encode("gprsCall", told), 0)
    assert len(decoder._layouts) == 1


def test_a_return_lists_as_many_as_the_limit_says_and_counts_all(monkeypatch: Patch) -> None:
    monkeypatch.setattr(returns, "LISTED_MAX", 2)
    returned = Return()
    for at in range(5):
        returned.take(Refused(at, "subscriber"))
    report = returned.report()
    assert (len(report["severe"]), report["severe_count"]) == (2, 5)


def test_an_import_lists_as_many_as_the_limit_says_and_counts_all(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importing, "REFUSED_MAX", 2)
    bad = tap.gprs()
    bad["gprsBasicCallInformation"].pop("callEventStartTimeStamp")
    told = [("gprsCall", bad | {"camelServiceUsed": {"camelInvocationFee": n}}) for n in range(4)]
    (tmp_path / "file").write_bytes(tap.file(told, audits=[tap.audit(4, 9_206, 1_840)]))
    report = _imported(tmp_path, [tmp_path / "file"])["files"][0]
    assert (len(report["refused"]), report["refused_counts"]["severe"]) == (2, 4)


def _sctp(*messages: bytes) -> list[bytes]:
    return [wire.sctp(wire.chunk(tsn, octets)) for tsn, octets in enumerate(messages)]


def test_requests_of_a_session_are_bounded(monkeypatch: Patch) -> None:
    monkeypatch.setattr(credit, "REQUESTS_MAX", 2)
    asked = [wire.request("s", 2, n, wire.used(total=1)) for n in range(3)]
    (record,), (refused,) = wire.read(_sctp(*asked))
    assert (refused.reason, record.octets_out) == ("requests", 2)


def test_sessions_that_ended_are_remembered_as_long_as_the_limit_says(monkeypatch: Patch) -> None:
    once = [wire.request(name, 3, 0, wire.used(total=5)) for name in "ab"]
    for limit, told in ((2, 2), (1, 3)):
        monkeypatch.setattr(diameter, "ENDED_MAX", limit)
        found, _ = wire.read(_sctp(*once, once[0]))
        assert len(found) == told


def test_chunks_are_known_again_as_long_as_the_limit_says(monkeypatch: Patch) -> None:
    for limit, told in ((3, 0), (1, 1)):
        monkeypatch.setattr(transport, "SEEN_MAX", limit)
        chunks = [wire.chunk(n, b"\x02" * 20) for n in (1, 2, 1)]
        _, refused = wire.read([wire.sctp(chunk) for chunk in chunks])
        assert len(refused) == 2 + told


def test_octets_that_wait_are_bounded() -> None:
    half = transport.AHEAD_OCTETS_MAX // 4
    ahead = [wire.segment(1 << 20 | at << 17, bytes(half - 100)) for at in range(5)]
    begun = wire.segment(1, wire.request()[:40])
    assert wire.read([begun, *ahead[:4]])[1] == []
    assert [r.reason for r in wire.read([begun, *ahead])[1]] == ["tcp_gap"]
    pieces = [wire.chunk(2 * n, bytes(60_000), first=False, last=False) for n in range(3)]
    assert wire.read([wire.sctp(p) for p in pieces[:2]])[1] == []
    assert [r.reason for r in wire.read([wire.sctp(p) for p in pieces])[1]] == ["sctp_gap"]


def test_an_integer_of_nine_octets_is_refused() -> None:
    told = encode("gprsCall", {"gprsServiceUsed": {"dataVolumeIncoming": (1 << 63) - 1}})
    assert EventDecoder().decode(told, 0).volume_in == (1 << 63) - 1
    (longer,) = [b"\x6e\x12\x7f\x79" + b"\x0f" + b"\x5f\x81\x7a\x0b" + bytes(11)]
    with pytest.raises(PeerError, match="integer"):
        EventDecoder().decode(longer, 0)


def _imported(folder: Path, paths: list[Path]) -> dict[str, Any]:
    return importing.Importer(folder / "records", origin_of, None).run(paths)


def _amounts(record: UsageRecord) -> tuple[object, ...]:
    return (
        record.usage_id,
        record.session_id,
        record.start_us,
        record.octets_in,
        record.octets_out,
    )


@given(
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
    st.lists(st.integers(0, 3), max_size=3),
    st.randoms(use_true_random=False),
)
@settings(max_examples=12)
def test_however_events_come_in_files_they_are_the_same_records(
    tmp_path_factory: pytest.TempPathFactory,
    homes: list[int],
    again: list[int],
    dice: random.Random,
) -> None:
    """Any split into files, any order of them and of their events, files again, runs restarted."""
    folder = tmp_path_factory.mktemp("order")
    calls = [("gprsCall", tap.gprs(charging_id=n, volumes=(n, 2 * n))) for n in range(6)]
    paths = []
    for number in range(4):
        mine = [call for call, home in zip(calls, homes, strict=True) if home == number]
        dice.shuffle(mine)
        audits = [tap.audit(len(mine), 2_300 * len(mine), 460 * len(mine))]
        control = {"fileSequenceNumber": f"{number + 1:05}"}
        paths.append(folder / str(number))
        paths[-1].write_bytes(tap.file(mine, control=control, audits=audits))
    order = [*paths, *(paths[n] for n in again)]
    dice.shuffle(order)
    for path in order:
        assert _imported(folder, [path])["files"][0]["kept"]
    found = sorted(map(_amounts, read_records(folder / "records")))
    (folder / "one").write_bytes(tap.file(calls, audits=[tap.audit(6, 6 * 2_300, 6 * 460)]))
    whole = folder / "whole"
    whole.mkdir()
    _imported(whole, [folder / "one"])
    assert found == sorted(map(_amounts, read_records(whole / "records")))
