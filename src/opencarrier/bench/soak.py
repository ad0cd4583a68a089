"""Many open sessions at once: what they cost in memory, how fast a server is back, what is lost.

Every session has a Start and an interim update, none a Stop; they share the Class of some attaches.
Then the server's process is killed and started again on the same file, and answers for all.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from opencarrier.bench.accounting import PEOPLE, attached, load, name_of, sent
from opencarrier.bench.processes import cpu_us, resident_kib
from opencarrier.bench.serving import furnish, serving

QUARTERS = 4
STEPS = range(2)
AGAIN = range(2, 3)
ATTACHES = 2_000
SAMPLE = 1_000
"""Sessions that report once more after the restart."""


def run(sessions: int = 200_000) -> dict[str, Any]:
    """Return memory by quarter, CPU a packet, seconds to the first answer, and rows lost."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        furnish(root, people=PEOPLE)
        with serving("rooms", root) as server:
            echoes = asyncio.run(attached(server, min(sessions, ATTACHES)))
            resident_mib = [resident_kib(server.pid) >> 10]
            before_us = cpu_us(server.pid)
            for quarter in range(QUARTERS):
                names = map(name_of, range(quarter, sessions, QUARTERS))
                asyncio.run(load(server.ports["acct"], list(names), echoes, STEPS))
                resident_mib.append(resident_kib(server.pid) >> 10)
            spent_us = cpu_us(server.pid) - before_us
            server.kill()
        started_s = time.monotonic()
        with serving("rooms", root) as server:
            again = [name_of(number) for number in range(min(SAMPLE, sessions))]
            asyncio.run(load(server.ports["acct"], again[:1], echoes, AGAIN))
            restart_s = time.monotonic() - started_s
            restart_cpu_us = cpu_us(server.pid)
            asyncio.run(load(server.ports["acct"], again[1:], echoes, AGAIN))
            kept = {tuple(row) for row in server.ask("observations")}
    wanted = set(sent(sessions, STEPS)) | set(sent(len(again), AGAIN))
    return {
        "cores": os.cpu_count() or 1,
        "sessions": sessions,
        "packets": len(wanted),
        "cpu_us_per_packet": spent_us // (sessions * len(STEPS)),
        "resident_mib": resident_mib,
        "restart_s": round(restart_s, 2),
        "restart_cpu_s": round(restart_cpu_us / 1_000_000, 2),
        "lost": len(wanted - kept),
        "strange": len(kept - wanted),
    }
