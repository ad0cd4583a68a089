"""WBA's accounting test-bed, run as it is on what our access network sends a home.

The access point drops Class and CUI and truncates User-Name; the node agent stands between. Its
packets and the home's answers are written as a capture, with the octets that a station would
have counted beside it.

Its OpenRoaming check is a proof of concept with two faults, worked around from outside: it matches
a text pattern on octets, and the dissector it pins (scapy 2.5.0) loses what follows an EAP-AKA'
message. So it is handed Operator-Name as text, and of the Access-Requests the first.

`OPENCARRIER_WBA_TESTBED` names a checkout of radius-accounting-testbed, with what it needs in
`.venv` there or in this environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.access.agent.scene import Home, Scene, interim, start, stop
from tests.access.fakes import NOW_US
from tests.usage.capture import ETHERNET, Sent, frame, ipv4, pcap, udp

from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import Packet, encode, integer
from opencarrier.kernel.clock import SECOND_US
from opencarrier.sim.radio import Attached

VARIABLE = "OPENCARRIER_WBA_TESTBED"
CHUNK_OCTETS, CHUNKS = 1 << 20, 6_000
"""As many as go beyond 32 bits, so that gigawords are looked at too."""

AS_TEXT = """
import src.pcap_extract as extract
values = extract.get_values_for_attribute
def as_text(packet, kind, vendor=None):
    found = values(packet, kind, vendor)
    return [v.decode() if isinstance(v, bytes) else v for v in found] if kind == 126 else found
extract.get_values_for_attribute = as_text
"""
"""A plug-in beside the test-bed: an Operator-Name that is there is text."""

SESSION_S = 600
NOW_S = NOW_US // SECOND_US


@dataclass
class Heard(Home):
    """A home whose answers are written down beside what it was asked."""

    exchanges: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def _exchange(self, code: int, datagram: bytes) -> Packet:
        reply = await super()._exchange(code, datagram)
        answer = encode(reply.code, reply.identifier, reply.authenticator, reply.attributes)
        self.exchanges.append((datagram, answer))
        return reply


async def _session(scene: Scene) -> Attached:
    """One session of 6 GiB up and 12 GiB down, in ten minutes."""
    up, down = CHUNK_OCTETS * CHUNKS, 2 * CHUNK_OCTETS * CHUNKS
    packets = (integer(Type.ACCT_INPUT_PACKETS, 9), integer(Type.ACCT_OUTPUT_PACKETS, 9))
    async with scene.open() as radio:
        attached = await scene.attach()
        assert isinstance(attached, Attached)
        await radio.tell(start("session-1", event_s=NOW_S))
        for minute in range(1, 10):
            used = {"octets_in": up * minute // 10, "octets_out": down * minute // 10}
            at_s = minute * SESSION_S // 10
            report = interim("session-1", event_s=NOW_S + at_s, session_time_s=at_s, **used)
            await radio.tell(report, *packets)
        used = {"octets_in": up, "octets_out": down}
        last = stop("session-1", event_s=NOW_S + SESSION_S, session_time_s=SESSION_S, **used)
        await radio.tell(last, *packets)
        await scene.delivered(11)
    return attached


def _capture(exchanges: Sequence[tuple[bytes, bytes]], *, answers: bool) -> bytes:
    frames = []
    for number, (asked, answered) in enumerate(exchanges):
        port = 1812 if asked[0] == Code.ACCESS_REQUEST else 1813
        at_us = NOW_US + number * SECOND_US
        sent = [Sent(at_us, 40_000, port, asked), Sent(at_us + 9, port, 40_000, answered)]
        frames += [
            (one.time_us, frame(ETHERNET, ipv4(udp(one)))) for one in sent[: 2 if answers else 1]
        ]
    return pcap(frames)


def _run(root: Path, capture: bytes, user_name: str, markers: str) -> dict[str, str]:
    """Run the test-bed's tests of some markers; return each test's outcome."""
    folder = Path(os.environ[VARIABLE]).resolve()
    python = folder / ".venv" / "bin" / "python"
    counted = {
        "packets_sent": 9,
        "packets_recv": 9,
        "interface": 0,
        "bytes_sent": CHUNK_OCTETS * CHUNKS,
        "bytes_recv": 2 * CHUNK_OCTETS * CHUNKS,
    }
    told: dict[str, object] = {
        "username": user_name,
        "session_duration": SESSION_S,
        "radius_port": 1812,
        "chunk_size": str(CHUNK_OCTETS),
        "chunks": str(CHUNKS),
        "sut_brand": "opencarrier",
        "sut_hardware": "-",
        "sut_software": "-",
        "start_time": "2026-01-05 09:00:00",
        "end_time": "2026-01-05 09:10:00",
        "uploaded": True,
        "usage_upload": {**counted, "bytes_recv": 0},
        "downloaded": True,
        "usage_download": {**counted, "bytes_sent": 0},
    }
    for name in ("pcap", "metadata", "reports", "config"):
        (root / name).mkdir(parents=True)
    (root / "config" / "run.config.yaml").write_text("")
    (root / "pcap" / "run.tcpdump.radius.pcap").write_bytes(capture)
    (root / "metadata" / "run.metadata.json").write_text(json.dumps(told))
    (root / "as_text.py").write_text(AS_TEXT)
    words = (
        "-m",
        "pytest",
        "-p",
        "as_text",
        "raatests",
        "-c",
        "raatests/pytest.ini",
        "-v",
        "-p",
        "no:cacheprovider",
    )
    done = subprocess.run(
        [
            str(python) if python.exists() else sys.executable,
            *words,
            *("-m", markers, "--root_dir", str(root), "--test_name", "run"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(folder)))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    lines = (line.split() for line in done.stdout.splitlines() if "::" in line)
    found = {words[0].rpartition("::")[2]: words[1] for words in lines if words[1].isupper()}
    assert found, done.stdout + done.stderr
    return found


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no checkout")
async def test_the_test_bed_passes_what_our_access_network_sends(tmp_path: Path) -> None:
    home = Heard()
    attached = await _session(Scene(tmp_path / "node.sqlite", home=home))
    assert attached.user_name is not None
    pseudonym = attached.user_name.decode()
    whole = _capture(home.exchanges, answers=True)
    core = _run(tmp_path / "core", whole, pseudonym, "core or core_upload or core_download")
    assert set(core.values()) == {"PASSED"}, core
    assert len(core) == 14
    outer = home.requests[0].text(Type.USER_NAME)
    assert outer is not None
    for folder, name, some in (
        ("asked", outer, home.exchanges[:1]),
        ("accounted", pseudonym, home.exchanges),
    ):
        sent = _capture(some, answers=False)
        told = _run(tmp_path / folder, sent, name, "openroaming")
        assert told == {"test_operator_name_format": "PASSED"}
