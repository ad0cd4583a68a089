"""A real radiusd writes the detail file that ingest reads; a real radclient sends the packets."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.usage import capture
from tests.usage.decoder import AccessDecoder
from tests.usage.test_ingest import ORDER, WHOLE
from tests.usage.worlds import HOME, World

from opencarrier.kernel.clock import FixedClock
from opencarrier.usage.ingest import Ingest

RADIUSD, RADCLIENT = shutil.which("freeradius"), shutil.which("radclient")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not (RADIUSD and RADCLIENT), reason="freeradius or radclient is missing"),
]

CONFIGURATION = """
prefix = /usr
libdir = /usr/lib/freeradius
logdir = {folder}
run_dir = {folder}
security {{
  allow_core_dumps = no
}}
modules {{
  detail {{
    filename = {folder}/detail
    header = "%t"
    permissions = 0600
  }}
}}
client here {{
  ipaddr = 127.0.0.1
  secret = {secret}
}}
server default {{
  listen {{
    type = acct
    ipaddr = 127.0.0.1
    port = {port}
  }}
  accounting {{
    detail
  }}
}}
"""


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answered(port: int, packet: bytes, tries: int = 50) -> bool:
    """Send until an answer comes; radiusd takes a moment to listen."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0.2)
        for _ in range(tries):
            try:
                sender.sendto(packet, ("127.0.0.1", port))
                return sender.recv(4096)[0] == 5
            except OSError:
                time.sleep(0.05)
    return False


@pytest.fixture
def radiusd(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    (tmp_path / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
    (tmp_path / "radiusd.conf").write_text(
        CONFIGURATION.format(folder=tmp_path, port=port, secret=capture.SECRET.decode())
    )
    command = [RADIUSD or "", "-fxx", "-l", "stdout", "-d", str(tmp_path)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        status = capture.request(0, b"", code=12)
        deadline = time.monotonic() + 10
        while (
            time.monotonic() < deadline
            and b"Ready to process" not in (tmp_path / "log").read_bytes()
        ):
            assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
            time.sleep(0.05)
        assert status
        yield port
    finally:
        process.terminate()
        process.wait(10)


def ingested(world: World, path: Path) -> dict:
    ingest = Ingest(
        usage=world.service,
        decoder=AccessDecoder(),
        transactions=world.engine.begin,
        home_of=lambda _unit, _realm: None,
        clock=FixedClock(4 * 10**15),
    )
    return ingest.run([path], ORDER).as_mapping()


def test_the_own_capture_by_way_of_radiusd(tmp_path: Path, radiusd: int) -> None:
    sent = capture.requests()
    for one in sent:
        assert answered(radiusd, one.payload)
    world = World()
    report = ingested(world, tmp_path / "detail")
    assert report["refused"] == ()
    assert (report["sessions"], report["usage_new"]) == (1, 1)
    assert report["observations_new"] == len(sent)
    assert (report["duration_s"], report["octets_in"], report["octets_out"]) == WHOLE
    (by_detail,) = world.cut(10**12)
    other = World()
    path = tmp_path / "own.pcap"
    path.write_bytes(capture.pcap(capture.framed()))
    ingested(other, path)
    (by_pcap,) = other.cut(10**12)
    assert by_detail.usage_id == by_pcap.usage_id
    assert by_detail.home == HOME
    assert (by_detail.start_us, by_detail.end_us) == (by_pcap.start_us, by_pcap.end_us)


def test_texts_that_need_escapes(tmp_path: Path, radiusd: int) -> None:
    """Whatever an access point names a session, radiusd writes and we read the same octets."""
    names = ['a "b" \\ c', "tab\tnew\nline", "é€", "\x01\x7f", "0x41", " spaces ", "'", "%{User}"]
    for number, name in enumerate(names):
        extra = capture.accounting(2, (9, number, 1), capture.START_S)
        own = capture.attribute(44, name)
        cut = extra.index(capture.attribute(44, capture.ACCT_SESSION_ID))
        rest = extra[cut + len(capture.attribute(44, capture.ACCT_SESSION_ID)) :]
        assert answered(radiusd, capture.request(number, extra[:cut] + own + rest))
    world = World()
    report = ingested(world, tmp_path / "detail")
    assert report["refused"] == ()
    with world.unit() as unit:
        from opencarrier.usage.tables import OBSERVATIONS

        rows = unit.execute(OBSERVATIONS.select()).all()
    assert {row.octets_in: row.acct_session_id for row in rows} == dict(enumerate(names))


def test_packets_of_radclient(tmp_path: Path, radiusd: int) -> None:
    lines = (
        'Acct-Status-Type=Stop\nAcct-Session-Id="RC-1"\nAcct-Session-Time=60\n'
        "Acct-Input-Octets=7\nAcct-Output-Octets=9\nAcct-Output-Gigawords=1\n"
        'Acct-Terminate-Cause=User-Request\nUser-Name="someone@home.example"\n'
        "Class=0x010203\nEvent-Timestamp=1700000000\nNAS-IPv6-Address=fe80::1\n"
    )
    subprocess.run(
        [RADCLIENT or "", f"127.0.0.1:{radiusd}", "acct", capture.SECRET.decode()],
        input=lines.encode(),
        check=True,
        capture_output=True,
        timeout=20,
    )
    report = ingested(World(), tmp_path / "detail")
    assert (report["sessions"], report["refused"]) == (1, ())
    assert (report["duration_s"], report["octets_in"]) == (60, 7)
    assert report["octets_out"] == 2**32 + 9
