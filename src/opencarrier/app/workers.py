"""More processes that answer RADIUS beside the first: one port, one database, each its own writer.

The first process serves HTTP, RadSec and the cycle, and keeps the others running; each of them
answers UDP until its standard input ends, and tells its counters once a second.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from opencarrier.access.affinity import Affinity
from opencarrier.access.model import Metrics
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.app.bootstrap import Installation, open_installation
from opencarrier.app.collector import exporting
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.app.radsec_trust import trust_of
from opencarrier.app.system import SystemEntropy

_log = logging.getLogger(__name__)

TELL_S = 1.0
AGAIN_S = 1.0
"""How long a worker that ended is waited for before another takes its place."""

STOP_S = 30.0


class Workers:
    """The other processes of one installation; `await start(...)`, then `stop()`."""

    def __init__(self, base: Installation) -> None:
        self._base = base
        self._count = base.settings.workers
        self._folder = tempfile.TemporaryDirectory(prefix="opencarrier-workers-")
        self.affinity = Affinity(Path(self._folder.name), 0, self._count)
        self._tasks: list[asyncio.Task[None]] = []
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._told: dict[int, Metrics] = {}
        self._ended = Metrics()
        self._stopping = False

    @property
    def pids(self) -> list[int]:
        """The processes that run, by number."""
        return [self._processes[number].pid for number in sorted(self._processes)]

    @property
    def told(self) -> list[Metrics]:
        """What those that run told last, by number."""
        return [self._told[number] for number in sorted(self._told)]

    def start(self, auth_port: int, acct_port: int) -> None:
        """Begin all but the first, on its ports."""
        for number in range(1, self._count):
            order = self._order(number, auth_port, acct_port)
            self._tasks.append(asyncio.create_task(self._keep(number, order)))

    async def stop(self) -> None:
        """Let each answer what it received, and end."""
        self._stopping = True
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
        await asyncio.wait_for(asyncio.gather(*self._tasks), STOP_S)
        self.affinity.close()
        self._folder.cleanup()

    def metrics(self, own: Metrics) -> Metrics:
        """Return what all of them counted since the start."""
        return _sum([own, self._ended, *self._told.values()])

    def _order(self, number: int, auth_port: int, acct_port: int) -> bytes:
        return json.dumps(
            {
                "root": str(self._base.folder.root),
                "settings": asdict(self._base.settings),
                "number": number,
                "hand_over": self._folder.name,
                "auth_port": auth_port,
                "acct_port": acct_port,
            }
        ).encode()

    async def _keep(self, number: int, order: bytes) -> None:
        """Run a worker; where it ends by itself, or does not begin, another takes its place."""
        while not self._stopping:
            code: int | str
            try:
                code = await self._run(number, order)
            except OSError as error:  # no memory, no process to be had: later perhaps
                code = str(error)
            last = replace(self._told.pop(number, Metrics()), eap_open=0, tls_open=0)
            self._ended = _sum([self._ended, last])
            if not self._stopping:
                _log.error("worker %d ended with %s; another takes its place", number, code)
                await asyncio.sleep(AGAIN_S)

    async def _run(self, number: int, order: bytes) -> int:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "opencarrier.app.workers"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the first process's to pass on
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._processes[number] = process
        process.stdin.write(order + b"\n")
        while line := await process.stdout.readline():
            self._told[number] = read_metrics(line)
        del self._processes[number]
        return await process.wait()


async def work(order: Mapping[str, Any], base: Installation, ends: asyncio.Event) -> None:
    """Answer on shared ports until told to end; what was received is answered first."""
    from opencarrier.app.passing_on import access_service

    number, workers = int(order["number"]), base.settings.workers
    access = access_service(base, trust_of(base), worker=number)
    affinity = Affinity(Path(order["hand_over"]), number, workers)
    bind = Bind(
        host=base.settings.host,
        auth_port=order["auth_port"],
        acct_port=order["acct_port"],
        shared=True,
    )
    udp = UdpServer(access, bind, affinity)
    await udp.start()
    try:
        while not ends.is_set():
            print(write_metrics(access.counted()), flush=True)
            try:
                await asyncio.wait_for(ends.wait(), TELL_S)
            except TimeoutError:
                continue
    finally:
        await udp.stop()
        affinity.close()
    print(write_metrics(access.counted()), flush=True)


def _sum(counted: list[Metrics]) -> Metrics:
    total = Metrics()
    for one in counted:
        for item in fields(Metrics):
            added = getattr(total, item.name) + getattr(one, item.name)
            setattr(total, item.name, added)
    return total


def write_metrics(metrics: Metrics) -> str:
    """Write what a worker tells of its counters: a line of JSON."""
    return json.dumps({item.name: getattr(metrics, item.name) for item in fields(Metrics)})


def read_metrics(line: str | bytes) -> Metrics:
    """Read what a worker told of its counters."""
    metrics = Metrics()
    for name, value in json.loads(line).items():
        setattr(metrics, name, Counter(value) if isinstance(value, dict) else value)
    return metrics


async def _main() -> None:
    """Work as the first line of standard input orders, until it ends."""
    order = json.loads(await asyncio.to_thread(sys.stdin.readline))
    settings, number = Settings(**order["settings"]), int(order["number"])
    with exporting(settings, os.environ, SystemEntropy(), worker=number) as spans:
        base = open_installation(Folder(Path(order["root"])), settings, spans=spans)
        ends = asyncio.Event()
        watching = asyncio.create_task(_watch(ends))
        try:
            await work(order, base, ends)
        finally:
            watching.cancel()
            base.close()


async def _watch(ends: asyncio.Event) -> None:
    await asyncio.to_thread(sys.stdin.read)
    ends.set()


if __name__ == "__main__":
    asyncio.run(_main())
