"""CPU per accounting packet kept, and per session cut.

Eight packets a session, 64 packets a commit, SQLite with synchronous=FULL in a temporary folder.
The first number is what stands between a packet and its Accounting-Response, the codec aside. Run
from the repository root: `python tests/usage/benchmarks/bench_usage.py [--sessions N]`.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from opencarrier.app.store import Store
from opencarrier.kernel.ids import derive
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Counters, Observation, Status
from opencarrier.usage.service import UsageService
from opencarrier.usage.store import metadata

PACKETS = 8
START_US = 1_700_000_000_000_000
GROUP = 64


def packet(session: int, number: int) -> Observation:
    """The packets of all sessions arrive mixed: the first of each, then the second."""
    last = number == PACKETS - 1
    status = Status.STOP if last else Status.INTERIM if number else Status.START
    counters = Counters(session_time_s=60 * number, octets_in=1_000 * number, octets_out=number)
    return Observation(
        status=status,
        home=PartyId("op_" + "a" * 32),
        visited=PartyId("op_" + "b" * 32),
        nas_key=f"ap-{session % 100}",
        node_id=f"node-{session % 100}",
        authorisation_id=session.to_bytes(16, "big"),
        acct_session_id=f"{session:016x}",
        counters=counters if number else None,
        subject="c" * 32,
        event_us=START_US + number * 60_000_000,
        terminate_cause=1 if last else None,
        reporter=PartyId("op_" + "b" * 32),
        source="udp:127.0.0.1:50000",
        packet_digest=bytes(32),
    )


def record(store: Store, service: UsageService, packets: Sequence[Observation]) -> float:
    """Return microseconds of CPU per packet, commits included."""
    began = time.process_time()
    for start in range(0, len(packets), GROUP):
        with store.write() as unit:
            service.record(unit, packets[start : start + GROUP])
    return (time.process_time() - began) / len(packets) * 1e6


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=2_500)
    sessions = parser.parse_args().sessions
    with tempfile.TemporaryDirectory() as folder:
        store, service = Store(Path(folder) / "bench.db"), UsageService()
        with store.write() as unit:
            metadata.create_all(unit)
        found: dict[str, float] = {"sessions": sessions}
        for cycle, numbers in enumerate((range(4), range(4, PACKETS))):
            packets = [packet(s, number) for number in numbers for s in range(sessions)]
            found[f"record_us_per_packet_{cycle}"] = record(store, service, packets)
            found[f"again_us_per_packet_{cycle}"] = record(store, service, packets)
            began = time.process_time()
            with store.write() as unit:
                cut = service.cut(unit, cycle_id=derive("bench", cycle), cut_us=2 * START_US)
            assert len(cut) == sessions
            found[f"cut_us_per_session_{cycle}"] = (time.process_time() - began) / sessions * 1e6
        found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        store.close()
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))


if __name__ == "__main__":
    main()
