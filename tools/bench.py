"""Measures start-up and the hot paths; figures for people, nothing asserts them.

Usage: python tools/bench.py [NAME...]; names are `start` and those that `opencarrier bench` lists.
Without names, all of them, one JSON object.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
START_RUNS = 5


def main(arguments: list[str]) -> int:
    """Run the named benches and print their figures."""
    from opencarrier.app.benches import BENCHES

    known = ["start", *BENCHES]
    unknown = [name for name in arguments if name not in known]
    if unknown:
        print(f"error: no bench is called {unknown[0]!r}", file=sys.stderr)
        print(f"hint: there are {', '.join(known)}", file=sys.stderr)
        return 2
    told: dict[str, Any] = {"machine": {"cores": os.cpu_count(), "python": sys.version.split()[0]}}
    for name in arguments or known:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        told[name] = _figures(name)
    print(json.dumps(told, indent=2))
    return 0


def _figures(name: str) -> Any:
    if name == "start":
        return _start()
    return json.loads(_run([sys.executable, "-m", "opencarrier", "bench", name, "--json"])[0])


def _start() -> dict[str, int]:
    runs = [_timed("--help") for _ in range(START_RUNS)]
    return {key: min(run[key] for run in runs) for key in runs[0]}


def _timed(*words: str) -> dict[str, int]:
    _, wall_ms, cpu_ms = _run([sys.executable, "-m", "opencarrier", *words])
    return {"wall_ms": wall_ms, "cpu_ms": cpu_ms}


def _run(command: list[str]) -> tuple[str, int, int]:
    before, started = _children_cpu_s(), time.monotonic()
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True)
    wall_s, cpu_s = time.monotonic() - started, _children_cpu_s() - before
    return done.stdout, round(wall_s * 1000), round(cpu_s * 1000)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
