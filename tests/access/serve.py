"""Serve the test bench on given ports: AUTH_PORT ACCT_PORT [DATABASE [HOME_PORT]].

Without a database every observation is printed as a line of JSON, with one it is stored. A line on
stdin prints counters and CPU time; the end of stdin stops. It runs as a program, so that it can
stand in a network namespace of its own, and be killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __package__ is None:  # run by path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy import Connection
from tests.access.fakes import Bench
from tests.access.rooms import Rooms

from opencarrier.access.service import AccessService
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.spine.usage import Observation


class PrintingSink:
    def record(self, unit: Connection, observations: Sequence[Observation]) -> int:
        for o in observations:
            line = {
                "status": o.status.name,
                "session": o.acct_session_id,
                "authorised": o.authorisation_id is not None,
                "home": o.home,
                "subject": o.subject,
                "session_time_s": o.counters.session_time_s if o.counters else None,
                "octets_out": o.counters.octets_out if o.counters else None,
                "cause": o.terminate_cause,
            }
            print(json.dumps(line), flush=True)
        return len(observations)


def service_over(database: Path | None, home_port: int) -> AccessService:
    if database is None:
        return Bench(sink=PrintingSink()).service()
    return Rooms(database).service(home_port)


async def main(
    auth_port: int, acct_port: int, database: Path | None = None, home_port: int = 0
) -> None:
    service = service_over(database, home_port)
    server = UdpServer(service, Bind(auth_port=auth_port, acct_port=acct_port))
    await server.start()
    ports = {"auth": server.auth_address[1], "acct": server.acct_address[1]}
    print(json.dumps({"ready": ports}), flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps({"cpu_s": time.process_time()}), flush=True)
    await server.stop()
    print(json.dumps({"metrics": service.metrics.as_mapping()}), flush=True)


if __name__ == "__main__":
    file = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    home = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), file, home))
