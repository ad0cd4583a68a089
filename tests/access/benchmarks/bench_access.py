"""CPU per EAP-AKA' authentication and per stored accounting packet, over real UDP.

The server runs as a process of its own on a SQLite file with `synchronous=FULL`; its CPU time alone
is counted, since wall time depends on who else uses the machine. Run from the repository root:
`python tests/access/benchmarks/bench_access.py [AUTHENTICATIONS] [PACKETS]`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

from tests.access.fakes import NAS, REALM, SECRET, usim  # noqa: E402

from opencarrier.access.wire.authenticators import accounting_request  # noqa: E402
from opencarrier.access.wire.dictionary import AcctStatus, Type  # noqa: E402
from opencarrier.access.wire.radius import Attribute, integer, text  # noqa: E402
from opencarrier.kernel.entropy import SeededEntropy  # noqa: E402
from opencarrier.sim.eap_peer import AkaPrimePeer  # noqa: E402
from opencarrier.sim.radio import Attached, Patience, Radio, RadioSettings  # noqa: E402

IN_FLIGHT = 128
PACKETS_PER_SESSION = 8


class Server:
    """The server process and its answers to marks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, database: Path) -> Server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "tests/access/serve.py"), "0", "0", str(database)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())

    async def cpu_s(self) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(b"mark\n")
        return float((await self.line())["cpu_s"])

    async def stop(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.close()
        metrics = await self.line()
        await self._process.wait()
        return metrics


def packets(count: int, session: Attached) -> list[bytes]:
    """Interims of many sessions, with the attributes an access point really sends."""
    echoed: list[Attribute] = [(int(Type.CLASS), value) for value in session.classes]
    echoed += [
        (int(Type.USER_NAME), session.user_name or b""),
        (int(Type.CHARGEABLE_USER_IDENTITY), session.cui or b""),
        text(Type.NAS_IDENTIFIER, NAS),
        text(Type.CALLED_STATION_ID, "02-00-00-00-00-01:opencarrier"),
        text(Type.CALLING_STATION_ID, "02-00-00-00-00-02"),
        integer(Type.NAS_PORT_TYPE, 19),
        text(Type.CONNECT_INFO, "CONNECT 54Mbps 802.11g"),
    ]
    made = []
    for number in range(count):
        step = number % PACKETS_PER_SESSION
        status = (AcctStatus.START, *[AcctStatus.INTERIM_UPDATE] * 6, AcctStatus.STOP)[step]
        own = [
            integer(Type.ACCT_STATUS_TYPE, status),
            text(Type.ACCT_SESSION_ID, f"{number // PACKETS_PER_SESSION:016X}"),
            integer(Type.EVENT_TIMESTAMP, 1_767_603_600 + 60 * step),
            integer(Type.ACCT_SESSION_TIME, 60 * step),
            integer(Type.ACCT_INPUT_OCTETS, 1000 * step),
            integer(Type.ACCT_OUTPUT_OCTETS, 100_000 * step),
            integer(Type.ACCT_INPUT_GIGAWORDS, 0),
            integer(Type.ACCT_OUTPUT_GIGAWORDS, step),
            integer(Type.ACCT_INPUT_PACKETS, 10 * step),
            integer(Type.ACCT_OUTPUT_PACKETS, 100 * step),
        ]
        made.append(accounting_request(number % 256, [*own, *echoed], SECRET))
    return made


def blast(datagrams: Sequence[bytes], address: tuple[str, int]) -> int:
    """Send with a bounded number in flight from several sockets; return how many were answered."""
    sockets = []
    for _ in range(8):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(address)
        sock.settimeout(2)
        sockets.append(sock)
    answered = 0
    for start in range(0, len(datagrams), IN_FLIGHT):
        window = datagrams[start : start + IN_FLIGHT]
        for number, datagram in enumerate(window):
            sockets[number % 8].send(datagram)
        for number in range(len(window)):
            sockets[number % 8].recv(4096)
            answered += 1
    for sock in sockets:
        sock.close()
    return answered


async def attach_all(radio: Radio, count: int) -> Attached:
    waiting = iter(range(count))

    async def worker() -> Attached | None:
        last = None
        for _ in waiting:
            attached = await radio.attach(AkaPrimePeer(usim(), REALM))
            assert isinstance(attached, Attached)
            last = attached
        return last

    done = await asyncio.gather(*(worker() for _ in range(16)))
    return next(session for session in done if session is not None)


async def main(authentications: int, count: int) -> None:
    with tempfile.TemporaryDirectory(dir=ROOT.parent) as folder:
        server = await Server.start(Path(folder) / "bench.sqlite")
        ports = (await server.line())["ready"]
        auth, acct = ("127.0.0.1", ports["auth"]), ("127.0.0.1", ports["acct"])
        settings = RadioSettings(
            nas_identifier=NAS, secret=SECRET, auth=auth, acct=acct, patience=Patience(first_s=5)
        )
        radio = await Radio.open(settings, SeededEntropy(9))
        session = await attach_all(radio, 50)
        before, began = await server.cpu_s(), time.perf_counter()
        await attach_all(radio, authentications)
        after, ended = await server.cpu_s(), time.perf_counter()
        datagrams = packets(count, session)
        acct_before, acct_began = await server.cpu_s(), time.perf_counter()
        answered = await asyncio.to_thread(blast, datagrams, acct)
        acct_after, acct_ended = await server.cpu_s(), time.perf_counter()
        radio.close()
        metrics = (await server.stop())["metrics"]
    report = {
        "authentication_cpu_us": round((after - before) / authentications * 1e6, 1),
        "authentications_per_s": round(authentications / (ended - began)),
        "accounting_cpu_us": round((acct_after - acct_before) / answered * 1e6, 1),
        "accounting_per_s": round(answered / (acct_ended - acct_began)),
        "accounting_octets": len(datagrams[-1]),
        "packets_per_batch": round(metrics["observations_new"] / metrics["batches"], 1),
        "unanswered": count - answered,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    sizes = [int(argument) for argument in sys.argv[1:]] + [2000, 20_000][len(sys.argv) - 1 :]
    asyncio.run(main(*sizes))
