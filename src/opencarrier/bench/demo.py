"""CPU and wall time of `demo --exit`, from an installed package to the last verified receipt."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from typing import Any


def run() -> dict[str, Any]:
    """Run the demo once, with all its processes; figures are milliseconds."""
    before, started_ns = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic_ns()
    done = subprocess.run(
        [sys.executable, "-m", "opencarrier", "demo", "--exit", "--json", "--http-port", "0"],
        capture_output=True,
        text=True,
        check=True,
    )
    wall_ns = time.monotonic_ns() - started_ns
    after, told = resource.getrusage(resource.RUSAGE_CHILDREN), json.loads(done.stdout)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "cores": os.cpu_count() or 1,
        "cpu_ms": round(cpu_s * 1_000),
        "wall_ms": wall_ns // 1_000_000,
        "authentications": told["radius"]["accepts"] + told["radius"]["rejects"],
        "accounting_packets": told["radius"]["accounting_responses"],
        "cycles": len(told["cycles"]),
        "receipts_verified": told["receipts_verified"],
    }
