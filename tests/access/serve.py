"""Serve the test bench on given ports and print every observation as a line of JSON.

Runs as a program, so that it can stand in a network namespace of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ is None:  # run by path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy import Connection
from tests.access.fakes import Bench

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


async def main(auth_port: int, acct_port: int) -> None:
    service = Bench(sink=PrintingSink()).service()
    server = UdpServer(service, Bind(auth_port=auth_port, acct_port=acct_port))
    await server.start()
    print(json.dumps({"ready": True}), flush=True)
    try:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    finally:
        await server.stop()
        print(json.dumps({"metrics": service.metrics.as_mapping()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
