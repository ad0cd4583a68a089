"""tshark reads the same captures; packet by packet it must see what our readers see."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.usage import capture

from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import parse
from opencarrier.usage.wire.pcap import PcapReader
from opencarrier.usage.wire.pcapng import PcapngReader
from opencarrier.usage.wire.records import Datagram, Reader

TSHARK = shutil.which("tshark")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(TSHARK is None, reason="tshark is missing"),
]
ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("OPENCARRIER_TEST_DATA", ROOT.parent / "shared" / "data"))
NUMBERS = {
    "Acct_Status_Type": Type.ACCT_STATUS_TYPE,
    "Acct_Session_Time": Type.ACCT_SESSION_TIME,
    "Acct_Input_Octets": Type.ACCT_INPUT_OCTETS,
    "Acct_Input_Gigawords": Type.ACCT_INPUT_GIGAWORDS,
    "Acct_Output_Octets": Type.ACCT_OUTPUT_OCTETS,
    "Acct_Output_Gigawords": Type.ACCT_OUTPUT_GIGAWORDS,
}
Row = tuple[str, ...]


def by_tshark(path: Path) -> list[Row]:
    command = [TSHARK or "", "-r", str(path), "-Y", "radius.code == 4", "-T", "fields"]
    fields = ["frame.time_epoch", *(f"radius.{name}" for name in NUMBERS)]
    fields.append("radius.Acct_Session_Id")
    for name in fields:
        command += ["-e", name]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    rows = (line.split("\t") for line in told.stdout.splitlines())
    return [(time[:17], *rest) for time, *rest in rows]


def by_us(reader: Reader, octets: bytes) -> list[Row]:
    rows = []
    for item in [*reader.feed(octets), *reader.finish()]:
        assert isinstance(item, Datagram)
        assert item.time_us is not None
        if item.port != 1813:
            continue
        packet = parse(item.payload)
        numbers = (packet.integer(kind) for kind in NUMBERS.values())
        told = ["" if number is None else str(number) for number in numbers]
        seconds, micros = divmod(item.time_us, 10**6)
        name = packet.text(Type.ACCT_SESSION_ID) or ""
        rows.append((f"{seconds}.{micros:06}", *told, name))
    return rows


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "link_type", [capture.ETHERNET, capture.RAW, capture.NULL, capture.SLL, capture.SLL2]
)
def test_own_captures(tmp_path: Path, order: str, link_type: int) -> None:
    frames = capture.framed(link_type)
    classic = capture.pcap(frames, link_type, order=order, nanoseconds=order == ">")
    newer = capture.pcapng(frames, link_type, order=order)
    for reader, octets in ((PcapReader(), classic), (PcapngReader(), newer)):
        path = tmp_path / "capture"
        path.write_bytes(octets)
        rows = by_us(reader, octets)
        assert len(rows) == 179
        assert by_tshark(path) == rows


@pytest.mark.parametrize("vlans", [1, 2])
def test_vlans_and_ipv6(tmp_path: Path, vlans: int) -> None:
    frames = [
        (s.time_us, capture.frame(capture.ETHERNET, capture.ipv6(capture.udp(s)), vlans))
        for s in capture.requests()
    ]
    octets = capture.pcap(frames)
    path = tmp_path / "capture"
    path.write_bytes(octets)
    assert by_tshark(path) == by_us(PcapReader(), octets)


def test_the_real_capture() -> None:
    path = DATA / "wba-accounting-download-5gb.pcap"
    if not path.exists():
        pytest.skip(f"no real capture: {path.name} is not in OPENCARRIER_TEST_DATA")
    rows = by_us(PcapReader(), path.read_bytes())
    assert len(rows) == 179
    assert by_tshark(path) == rows


def test_the_real_capture_as_its_tools_rewrite_it(tmp_path: Path) -> None:
    """editcap and tshark write pcapng; what they write is what we read."""
    path = DATA / "wba-accounting-download-5gb.pcap"
    if not path.exists():
        pytest.skip(f"no real capture: {path.name} is not in OPENCARRIER_TEST_DATA")
    newer = tmp_path / "real.pcapng"
    subprocess.run(
        [TSHARK or "", "-r", str(path), "-F", "pcapng", "-w", str(newer)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert by_us(PcapngReader(), newer.read_bytes()) == by_us(PcapReader(), path.read_bytes())


def test_a_real_gateways_pcapng_is_read_whole() -> None:
    """Tunnels and fragments, no RADIUS: each datagram is seen, each fragment refused."""
    path = DATA / "magma-gy-gx-charging.pcapng"
    if not path.exists():
        pytest.skip(f"no real capture: {path.name} is not in OPENCARRIER_TEST_DATA")
    reader = PcapngReader()
    items = [*reader.feed(path.read_bytes()), *reader.finish()]
    fields = ("udp.dstport", "ip.flags.mf", "ip.frag_offset")
    command = [TSHARK or "", "-r", str(path), "-o", "ip.defragment:FALSE", "-T", "fields"]
    command += ["-Y", "ip.proto == 17", *(word for name in fields for word in ("-e", name))]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    expected = []
    for line in told.stdout.splitlines():
        port, more, offset = (values.split(",")[0] for values in line.split("\t"))
        fragment = more in ("1", "True") or offset != "0"
        expected.append("ip_fragment" if fragment else port)
    seen = [str(i.port) if isinstance(i, Datagram) else i.reason for i in items]
    assert seen == expected
