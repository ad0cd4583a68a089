"""Files in, observations and a report out: own captures, the real one, cut and shuffled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opencarrier.kernel.clock import FixedClock
from opencarrier.spine import ids
from opencarrier.spine.parties import Node, PartyId
from opencarrier.spine.usage import Rung
from opencarrier.usage.ingest import Ingest, IngestOrder
from opencarrier.usage.model import IngestReport

from . import capture
from .decoder import AccessDecoder
from .worlds import FAR_US, HOME, HOME_2, VISITED, World

DATA = Path(
    os.environ.get(
        "OPENCARRIER_TEST_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"
    )
)
REAL = DATA / "wba-accounting-download-5gb.pcap"
NODE = Node(
    node_id="node-1",
    nas_identifier="ap-1",
    operator=VISITED,
    host=PartyId("host_" + "d" * 32),
)
ORDER = IngestOrder(node=NODE, home=HOME)
WHOLE = (capture.SESSION_TIME_S, capture.OCTETS_IN, capture.OCTETS_OUT)

KINDS = {
    "pcap": lambda: capture.pcap(capture.framed()),
    "pcap-big": lambda: capture.pcap(capture.framed(), order=">", nanoseconds=True),
    "pcapng": lambda: capture.pcapng(capture.framed()),
    "pcapng-big": lambda: capture.pcapng(capture.framed(), order=">"),
    "detail": capture.detail,
}


def door(world: World) -> Ingest:
    return Ingest(
        usage=world.service,
        decoder=AccessDecoder(),
        transactions=world.engine.begin,
        home_of=lambda _, realm: HOME_2 if realm == "home.example" else None,
        clock=FixedClock(FAR_US + 10**15),
    )


def run(world: World, tmp_path: Path, octets: bytes, order: IngestOrder = ORDER) -> IngestReport:
    path = tmp_path / "input"
    path.write_bytes(octets)
    return door(world).run([path], order)


def shown(report: IngestReport) -> tuple[int, int, int]:
    return report.duration_s, report.octets_in, report.octets_out


def sent_in(octets: bytes) -> int:
    """How many requests a piece of the own capture's frames shows, counted without a reader."""
    return octets.count(capture.ACCT_SESSION_ID.encode())


@pytest.mark.parametrize("kind", KINDS)
def test_the_own_capture_in_every_format(world: World, tmp_path: Path, kind: str) -> None:
    report = run(world, tmp_path, KINDS[kind]())
    assert (report.sessions, report.packets, report.observations_new) == (1, 179, 179)
    assert (report.usage_new, report.usage_duplicate, report.refused_count) == (1, 0, 0)
    assert shown(report) == WHOLE
    again = run(world, tmp_path, KINDS[kind]())
    assert (again.sessions, again.usage_new, again.usage_duplicate) == (1, 0, 1)
    assert again.observations_new == 0
    assert shown(again) == WHOLE
    (usage,) = world.cut(10**12)
    assert usage.session_id == ids.weak_session_id(
        HOME, VISITED, "ap-1", capture.ACCT_SESSION_ID, epoch_us=0
    )
    assert usage.rung is Rung.ONE_SIDED
    after = run(world, tmp_path, KINDS[kind]())
    assert (after.sessions, after.usage_new, after.usage_duplicate) == (1, 0, 1)
    assert world.cut(10**12) == ()
