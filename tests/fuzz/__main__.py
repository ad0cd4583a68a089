"""Fuzz by coverage: `python -m tests.fuzz [--seconds N] [TARGET...]`, three targets at a time.

What atheris finds worth keeping goes to `.fuzz/corpus`, from where the next run goes on; what
breaks a target is kept in `.fuzz/crashes`, and ends the run with 1 when all are through.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE.parents[1] / ".fuzz"
AT_ONCE = 3
SECONDS = 60
INPUT_OCTETS_MAX = 4_096
UNIT_S_MAX = 10
"""An input that takes longer is a finding too."""

LONGER = {"requests": 3, "conversations": 3}
"""Each input of these is a server's whole life, and they find new paths when parsers have none."""


def main(arguments: Sequence[str]) -> int:
    """Run the targets, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("targets", nargs="*")
    told = parser.parse_args(arguments)
    from tests.fuzz.targets import TARGETS

    names = sorted(told.targets or TARGETS, key=lambda name: -LONGER.get(name, 1))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failed = list(pool.map(lambda name: _run(name, told.seconds * LONGER.get(name, 1)), names))
    return 1 if any(failed) else 0


def _run(name: str, seconds: int) -> bool:
    """Fuzz one target; True where it broke."""
    found = KEPT / "corpus" / name
    crashes = KEPT / "crashes"
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "tests.fuzz.one", name),
        *(str(found), str(HERE / "corpus" / name)),
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_OCTETS_MAX}",
        f"-timeout={UNIT_S_MAX}",
        f"-artifact_prefix={crashes}/{name}-",
        "-print_final_stats=1",
    ]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True)
    told = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    tried = told[-1].split()[-1] if told else "?"
    print(f"fuzz {name:18}{tried:>9} tried  {'BROKE' if done.returncode else 'ok'}", flush=True)
    if done.returncode:
        print(done.stderr[-4_000:], file=sys.stderr, flush=True)
    return done.returncode != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
