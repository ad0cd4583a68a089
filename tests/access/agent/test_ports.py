"""The kernel's counters: of an interface, of a wireless one's station, of this very kernel."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.agent.scene import STATION, Scene, interim, start, stop
from tests.access.fakes import peer_error

from opencarrier.access.agent.counters import PortReading
from opencarrier.access.agent.model import Source
from opencarrier.access.agent.neighbours import Neighbours
from opencarrier.access.agent.netlink import (
    CONTROLLER,
    family_request,
    read_family,
    read_neighbours,
    read_station,
    station_request,
)
from opencarrier.access.agent.ports import SYSFS, KernelPorts, Stations
from opencarrier.access.wire.dictionary import Type
from opencarrier.kernel.money import INT64_MAX

MAC = bytes.fromhex("020000000001")
FAMILY, SEQUENCE, WLAN = 28, 7, 5
NLCTRL = bytes.fromhex(
    "88000000100000000700000008120000010200000b0002006e6c6374726c00000600010010000000"
    "0800030002000000080004000000000008000500000000002c000600140001000800010003000000"
    "080002000e00000014000200080001000a000000080002000c0000001c0007001800010008000200"
    "100000000b0001006e6f746966790000"
)
"""What Linux 6.18 answered when it was asked for `nlctrl`, as question 7."""

little = pytest.mark.skipif(
    struct.pack("=H", 1) != b"\x01\x00", reason="the vector is a little-endian machine's"
)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(body: bytes, kind: int = FAMILY, sequence: int = SEQUENCE) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 1) + body


def station(*info: bytes, mac: bytes = MAC) -> bytes:
    """What nl80211 says of a station: the nested attribute has the bit that says it is one."""
    nested = attribute(21 | 0x8000, b"".join(info))
    return message(struct.pack("=BBH", 19, 1, 0) + attribute(6, mac) + nested)


def error(number: int) -> bytes:
    return message(struct.pack("=i", -number) + bytes(16), kind=2)


def u64(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=Q", value))


COUNTED = (u64(23, 1 << 33), u64(24, 17), attribute(16, struct.pack("=I", 60)))


def read(answer: bytes) -> PortReading | None:
    return read_station(answer, FAMILY, WLAN, MAC, SEQUENCE)


@little
def test_the_kernels_own_words_are_read() -> None:
    assert read_family(NLCTRL, 7) == CONTROLLER
    assert peer_error(read_family, NLCTRL, 8) == "netlink_message"
    assert peer_error(read_family, NLCTRL[:-1], 7) == "netlink_message"


def test_a_stations_counters_begin_when_it_associates() -> None:
    assert read(station(*COUNTED)) == PortReading(interface=WLAN, octets_in=1 << 33, octets_out=17)
    told = read(station(*COUNTED, u64(42, 123_456_789)))
    assert told is not None
    assert told.interface == 123_456_789


def test_what_there_is_not_is_none_and_what_is_wrong_is_said() -> None:
    assert read(error(2)) is None
    assert read(error(19)) is None
    assert read_family(error(2), SEQUENCE) is None
    wrong = {
        "netlink_error": error(1),
        "netlink_station": station(*COUNTED, mac=bytes(6)),
        "netlink_command": message(struct.pack("=BBH", 1, 1, 0)),
        "netlink_short": b"",
    }
    for reason, answer in wrong.items():
        assert peer_error(read, answer) == reason
    only32 = station(attribute(2, bytes(4)), attribute(3, bytes(4)))
    assert peer_error(read, only32) == "netlink_number"
    assert peer_error(read, station(u64(23, INT64_MAX + 1), u64(24, 0))) == "netlink_number"
    for octets in (b"\x00", b"\x03\x00\x01\x00", b"\x09\x00\x01\x00abcd"):
        body = struct.pack("=BBH", 19, 1, 0) + octets
        assert peer_error(read, message(body)) == "netlink_attribute"


@given(st.binary(max_size=80))
@settings(max_examples=60)
def test_whatever_the_kernel_said_is_read_or_refused(octets: bytes) -> None:
    peer_error(read, message(struct.pack("=BBH", 19, 1, 0) + octets))
    peer_error(read, octets)


def test_questions_have_their_form() -> None:
    asked = station_request(FAMILY, WLAN, MAC, SEQUENCE)
    body = struct.pack("=BBH", 17, 1, 0) + attribute(3, struct.pack("=I", WLAN)) + attribute(6, MAC)
    assert asked == struct.pack("=IHHII", 16 + len(body), FAMILY, 1, SEQUENCE, 0) + body
    assert len(family_request("nl80211", 1)) % 4 == 0


linux = pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="no netlink here")


@linux
def test_this_kernel_names_its_families() -> None:
    stations = Stations()
    assert stations.family("nlctrl") == CONTROLLER
    assert stations.family("no-such-family") is None
    stations.close()
    stations.close()


@linux
def test_a_station_this_kernel_does_not_have_is_none() -> None:
    stations = Stations()
    assert stations.read(1, "not a mac") is None
    assert stations.read(1, "020000000001") is None
    stations.close()


@linux
@pytest.mark.skipif(not SYSFS.is_dir(), reason="no sysfs here")
def test_an_interface_of_this_machine_is_read() -> None:
    ports = KernelPorts()
    reading = ports.read("lo")
    assert reading is not None
    assert reading.octets_in == reading.octets_out, "what goes out of lo comes in again"
    assert ports.read("nowhere0") is None
    ports.close()


def neighbour(address: bytes, mac: bytes, state: int = 2) -> bytes:
    body = struct.pack("=BBHiHBB", 2, 0, 0, 3, state, 0, 1) + attribute(1, address)
    return message(body + attribute(2, mac), kind=28)


def test_neighbours_that_answer_are_known_by_their_addresses() -> None:
    first, second = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
    told = neighbour(first, MAC) + neighbour(second, MAC, 0x20) + neighbour(second, b"")
    assert read_neighbours(told, SEQUENCE) == ({first: MAC}, True)
    done = message(bytes(4), kind=3)
    assert read_neighbours(told + done, SEQUENCE) == ({first: MAC}, False)
    assert read_neighbours(b"", SEQUENCE) == ({}, True)
    for octets, reason in (
        (error(1), "netlink_error"),
        (message(bytes(4), kind=28), "netlink_command"),
        (told + b"\x00", "netlink_short"),
        (message(bytes(4), kind=3, sequence=1), "netlink_message"),
    ):
        assert peer_error(read_neighbours, octets, SEQUENCE) == reason


ARP = Path("/proc/net/arp")


@linux
@pytest.mark.skipif(not ARP.exists(), reason="no /proc/net/arp here")
def test_this_machines_neighbours_are_those_of_its_arp_table() -> None:
    rows = [line.split() for line in ARP.read_text().splitlines()[1:]]
    known = {row[0]: row[3].replace(":", "") for row in rows if row[2] == "0x2"}
    neighbours = Neighbours()
    assert {address: neighbours.station_of(address) for address in known} == known
    assert neighbours.station_of("127.0.0.1") == ""
    assert neighbours.station_of("2001:db8::1") == ""
    neighbours.close()


ASK = """
import json
from opencarrier.access.agent.neighbours import Neighbours
neighbours = Neighbours()
print(json.dumps([neighbours.station_of(address) for address in {}]))
"""


@pytest.mark.peer
@linux
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="a network namespace needs root and ip"
)
def test_neighbours_of_both_families_are_found_among_many() -> None:
    """In a namespace of its own the kernel is told a thousand, and says each as it was told."""
    name = f"oc-neighbours-{os.getpid()}"
    inside = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run([*inside, "ip", "link", "add", "v0", "type", "veth"], check=True)
        lines = [
            f"neigh add 10.0.{n // 250}.{n % 250 + 1} lladdr {mac(n)} dev v0" for n in range(900)
        ]
        lines.append(f"neigh add 2001:db8::7 lladdr {mac(901)} dev v0")
        batch = "\n".join(lines)
        subprocess.run([*inside, "ip", "-batch", "-"], input=batch, text=True, check=True)
        asked = ("10.0.0.1", "10.0.3.150", "2001:db8::7", "10.0.9.9")
        code = ASK.format(asked)
        told = subprocess.run(
            [*inside, sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
    wanted = [mac(number).replace(":", "") for number in (0, 899, 901)]
    assert json.loads(told.stdout) == [*wanted, ""]


def mac(number: int) -> str:
    return f"02:00:00:00:{number // 256:02x}:{number % 256:02x}"


class Radio(Stations):
    """A kernel that knows some stations of one interface."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, PortReading] = {}

    def read(self, interface: int, station: str) -> PortReading | None:
        assert interface == WLAN
        return self.known.get(station)

    def hears(self, station: str, octets_in: int, octets_out: int, *, since: int = 1) -> None:
        self.known[station] = PortReading(
            interface=since, octets_in=octets_in, octets_out=octets_out
        )


def wireless(root: Path) -> Path:
    """An interface in sysfs that is wireless, with counters that are of all stations."""
    folder = root / "lan1"
    (folder / "statistics").mkdir(parents=True)
    (folder / "phy80211").mkdir()
    (folder / "ifindex").write_text(f"{WLAN}\n")
    for name in ("rx_bytes", "tx_bytes"):
        (folder / "statistics" / name).write_text("999999\n")
    return root


async def test_of_a_wireless_interface_only_the_stations_own_octets_count(tmp_path: Path) -> None:
    """It associates anew under way, its counters beginning at zero, and is gone at the Stop."""
    radio, name = Radio(), STATION.replace("-", "")
    scene = Scene(tmp_path / "node.sqlite", source=Source.AUTO)
    ports = KernelPorts(wireless(tmp_path / "net"), radio)
    scene.kernel.read = ports.read
    async with scene.open() as point:
        radio.hears("020000000099", 10**9, 10**9)
        radio.hears(name, 1_000, 2_000)
        await point.tell(start())
        radio.hears(name, 6_000, 9_000)
        await point.tell(interim(session_time_s=60))
        radio.hears(name, 50, 70, since=2)
        scene.running.agent.sample()
        radio.hears(name, 100, 200, since=2)
        scene.running.agent.sample()
        del radio.known[name]
        await point.tell(stop(session_time_s=90))
        reports = await scene.delivered(3)
    kinds = (Type.ACCT_INPUT_OCTETS, Type.ACCT_OUTPUT_OCTETS)
    told = [tuple(packet.integer(kind) for kind in kinds) for packet in reports]
    assert told == [(0, 0), (5_000, 7_000), (5_100, 7_200)]


@linux
@pytest.mark.skipif(
    not Path("/sys/class/ieee80211").is_dir() or not any(Path("/sys/class/ieee80211").iterdir()),
    reason="no wireless interface here (mac80211_hwsim makes one)",
)
def test_the_kernels_wireless_interfaces_answer_for_stations() -> None:
    """A stranger is no station of any of them; the kernel says so, and is understood."""
    ports = KernelPorts()
    found = [folder.name for folder in SYSFS.iterdir() if (folder / "phy80211").exists()]
    assert ports._stations.family("nl80211") is not None
    assert [ports.read(name, "02ffffffff01") for name in found] == [None] * len(found)
    ports.close()
