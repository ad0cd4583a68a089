"""The process that is measured: `python -m opencarrier.bench.server WHAT FOLDER DATABASE WORKERS`.

WHAT is `rooms` or `floor`. It prints its ports, then answers each line of input with a line of
JSON: `mark` with the processor time used so far, `close` with a cycle closed, settled and final,
`observations` with all that is kept, `answered` with how many reports each process answered. The
end of input ends it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from sqlalchemy import select

from opencarrier.app.bootstrap import Onchain, onchain, open_installation
from opencarrier.app.closing import close_and_settle
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.app.listening import Radius
from opencarrier.kernel.refusals import Refusal
from opencarrier.usage.tables import OBSERVATIONS

AUTHENTICATOR = slice(4, 20)
HEAD_OCTETS = 20
TURN_MAX = 64
SETTINGS = Settings(cycle_s=0, one_sided_window_s=0)

Answers = dict[str, Callable[[], Any]]


def main(what: str, folder: Path, database: str, workers: int = 1) -> None:
    """Serve until standard input ends."""
    if what == "floor":
        asyncio.run(_floor(folder))
        return
    told = {"database": database, "workers": workers, **_certificates(folder)}
    settings = replace(SETTINGS, **told, radius_port=0, acct_port=0)
    base = open_installation(Folder(folder), settings)
    try:
        with onchain(base) as place:
            asyncio.run(_rooms(place))
    finally:
        base.close()


def _certificates(folder: Path) -> dict[str, Any]:
    """Name the files of EAP's TLS where the folder has them."""
    found = {word: folder / "eap" / f"{word}.pem" for word in ("chain", "key", "roots")}
    if not found["chain"].exists():
        return {}
    return {f"eap_{word}": str(path) for word, path in found.items()}


async def _rooms(place: Onchain) -> None:
    base = place.base
    access = base.access(worker=0 if base.settings.workers > 1 else None)
    radius = Radius(base, access, None)
    await radius.start()
    ports = {"auth": radius.udp.auth_address[1], "acct": radius.udp.acct_address[1]}
    answers = {
        "mark": _cpu_ns,
        "close": lambda: _close(place),
        "observations": lambda: _observations(place),
        "answered": lambda: [one.accounting_responses for one in radius.each()],
    }
    await _answer(ports, answers)
    await radius.stop()


def _close(place: Onchain) -> dict[str, Any]:
    told = close_and_settle(place)
    assert not isinstance(told, Refusal), told
    return {"state": told["state"], "records": told.get("records", 0)}


def _observations(place: Onchain) -> list[list[Any]]:
    """Return every stored accounting packet: session, status, seconds, octets in and out."""
    columns = OBSERVATIONS.c
    query = select(
        columns.acct_session_id,
        columns.status,
        columns.session_time_s,
        columns.octets_in,
        columns.octets_out,
    )
    with place.base.store.read() as unit:
        return [list(row) for row in unit.execute(query)]


async def _floor(folder: Path) -> None:
    """Do what any server must that loses nothing: receive, hash, keep durably, answer."""
    loop = asyncio.get_running_loop()
    keeper = Floor(folder / "floor.sqlite")
    transport, _ = await loop.create_datagram_endpoint(lambda: keeper, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    await _answer({"auth": port, "acct": port}, {"mark": _cpu_ns})
    transport.close()
    keeper.close()


class Floor(asyncio.DatagramProtocol):
    """One table, one commit for what came meanwhile, one hash per datagram and one per answer."""

    def __init__(self, database: Path) -> None:
        self._database = sqlite3.connect(database, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute("CREATE TABLE kept (digest BLOB PRIMARY KEY, datagram BLOB)")
        self._waiting: list[tuple[bytes, tuple[str, int]]] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take one more; the first of a turn calls for the commit at its end."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._commit)
        self._waiting.append((data, addr))

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _commit(self) -> None:
        assert self._transport is not None
        batch, self._waiting = self._waiting[:TURN_MAX], self._waiting[TURN_MAX:]
        rows = [(hashlib.sha256(data).digest(), data) for data, _ in batch]
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR IGNORE INTO kept VALUES (?, ?)", rows)
        self._database.execute("COMMIT")
        for data, address in batch:
            head = bytes([5, data[1], 0, HEAD_OCTETS])
            proof = hashlib.md5(head + data[AUTHENTICATOR], usedforsecurity=False).digest()
            self._transport.sendto(head + proof, address)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._commit)


async def _answer(ports: dict[str, int], answers: Answers) -> None:
    print(json.dumps(ports), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        told = await asyncio.to_thread(answers[line.strip()])
        print(json.dumps(told), flush=True)


def _cpu_ns() -> int:
    return time.process_time_ns()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
