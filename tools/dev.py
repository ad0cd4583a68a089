"""The commands of ./dev. Standard library only: it runs before anything is installed."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import environment
from environment import PYTHON, ROOT, VENV, Stop, say

USAGE = """\
usage: ./dev COMMAND [ARGUMENTS]

  demo [...]     run the demo; what follows goes to `opencarrier demo` (try --help, --exit, --seed)
  test [...]     run the tests; what follows goes to pytest
                   --peers   those that talk to foreign programs (./dev peers installs them)
                   --crash   those that kill real processes
                   --deep    long fuzzing and full size
                   --fast    those that run without any of these words
  peers          install the foreign programs (Debian and npm packages, the prover)
  fuzz [...]     fuzz the wire parsers by coverage, 60 s each (--seconds N, names of targets)
  lint           format, ruff, mypy, layers, exactness, spelling, links, contract artefacts
  bench [...]    measure start-up, the demo and the hot paths
  lock           resolve the dependencies anew and write the locks
  wheel          build the wheel, install it alone, and try it without a network

The first run makes .venv and takes about a minute; later ones start at once.
"""

KINDS = {"--peers": "peer", "--crash": "crash", "--deep": "deep"}
PEER_BIN = ROOT / ".peers" / "node_modules" / ".bin"
AT_ONCE = 2
"""Checks of lint that run beside each other, the longest first."""
WORKERS = 2
"""Tests that run beside each other; one more where they wait for other programs."""
MEMORY, MEMORY_OCTETS_MIN = Path("/dev/shm"), 2 << 30
BYTECODE = {"PYTHONPYCACHEPREFIX": str(VENV / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}
"""Modules are compiled once, also where nothing may be written beside them; it halves a start."""


def demo(arguments: list[str]) -> int:
    """Run the demo in an environment that holds what users install, and no more."""
    environment.ensure("runtime")
    return call([PYTHON, "-m", "opencarrier", "demo", *arguments], **BYTECODE)


def test(arguments: list[str]) -> int:
    """Run the tests of the chosen kinds; the seed that is told repeats a run."""
    environment.ensure("dev")
    kinds = [marker for word, marker in KINDS.items() if word in arguments]
    fast = "not (peer or crash or deep)"
    chosen = [f"({fast})"] if "--fast" in arguments else []
    expression = " or ".join(chosen + kinds) or fast
    rest = [word for word in arguments if word not in KINDS and word != "--fast"]
    if "deep" not in kinds and kinds:
        expression = f"({expression}) and not deep"
    command = [str(PYTHON), "-m", "pytest", "-m", expression]
    if not any(word.startswith(("-n", "-p")) for word in rest):
        workers = WORKERS + 1 if kinds else WORKERS
        command += ["-n", str(workers), "--dist", "loadfile"]
    files = {} if kinds else _files_in_memory()
    if not any(word.startswith("--hypothesis-seed") for word in rest):
        seed = 0 if os.environ.get("CI") else secrets.randbelow(1 << 32)
        command.append(f"--hypothesis-seed={seed}")
        say(f"tests: {expression}; repeat with --hypothesis-seed={seed}")
    return call([*command, *rest], **BYTECODE, **_peer_environment(), **files)


def peers(arguments: list[str]) -> int:
    """Install the foreign programs the peer tests talk to."""
    import peers as installer

    return installer.main(arguments)


def fuzz(arguments: list[str]) -> int:
    """Fuzz the wire parsers; what is found is kept in .fuzz."""
    environment.ensure("dev")
    return call([PYTHON, "-m", "tests.fuzz", *arguments], PYTHONPATH=str(ROOT))


def lint(arguments: list[str]) -> int:
    """Check everything that can be checked without running it; tell all that fails."""
    environment.ensure("dev")
    typed = ["-m", "mypy", "--strict", "--cache-dir", ".mypy_cache/tools"]
    tools = [str(path) for path in sorted(Path("tools").glob("*.py"))]
    checks: list[tuple[str, list[str]]] = [
        ("types", ["-m", "mypy"]),
        ("format", ["-m", "ruff", "format", "--check", "."]),
        ("ruff", ["-m", "ruff", "check", "."]),
        ("types of tools", [*typed, *tools, "contracts/build.py"]),
        ("contracts", ["contracts/build.py", "--check"]),
        ("layers", [str(PYTHON.parent / "lint-imports")]),
        ("tidy", ["tools/tidy.py"]),
        ("spelling", ["-m", "codespell_lib"]),
        ("links", ["tools/links.py"]),
        ("vendor", ["tools/vendor.py"]),
        ("catalogues", ["tools/catalogues.py"]),
    ]
    wanted = [check for check in checks if not arguments or check[0] in arguments]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = zip(wanted, pool.map(lambda check: _checked(check[1]), wanted), strict=True)
        failed = [name for (name, _), done in ended if _reported(name, done)]
    say(f"lint: failed: {', '.join(failed)}" if failed else "lint: all good")
    return 1 if failed else 0


def bench(arguments: list[str]) -> int:
    """Measure; the figures are for people, nothing asserts them."""
    environment.ensure("dev")
    return call([PYTHON, "tools/bench.py", *arguments])


def lock(arguments: list[str]) -> int:
    """Resolve the dependencies anew for all platforms; `--upgrade` takes newer versions."""
    environment.ensure("dev")
    return call([PYTHON, "tools/locks.py", *arguments])


def wheel(arguments: list[str]) -> int:
    """Build the wheel and prove that it works alone."""
    environment.ensure("dev")
    return call([PYTHON, "tools/wheels.py", *arguments])


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "demo": demo,
    "test": test,
    "peers": peers,
    "fuzz": fuzz,
    "lint": lint,
    "bench": bench,
    "lock": lock,
    "wheel": wheel,
}


def call(command: list[str | Path], **more: str) -> int:
    """Run a command in the foreground and return its exit code; Ctrl-C is the command's."""
    process = subprocess.Popen([str(word) for word in command], cwd=ROOT, env=os.environ | more)
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            continue
        return 130 if code == -2 else code if code >= 0 else 128 - code


def _checked(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, *command],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | BYTECODE | {"NO_COLOR": "1"},
    )


def _reported(name: str, done: subprocess.CompletedProcess[str]) -> int:
    say(f"{'FAIL' if done.returncode else 'ok  '} {name}")
    if done.returncode:
        print(done.stdout, flush=True)
    return done.returncode


def _files_in_memory() -> dict[str, str]:
    """Say where the fast tests put their files: in memory where there is room, no disk to wait for.

    What survives a kill or a power cut is tested by the other kinds, on the disk.
    """
    usable = "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK)
    if not usable or shutil.disk_usage(MEMORY).free < MEMORY_OCTETS_MIN:
        return {}
    return {"TMPDIR": str(MEMORY)}


def _peer_environment() -> dict[str, str]:
    anvil = PEER_BIN / "anvil"
    more = {} if "OPENCARRIER_ANVIL" in os.environ or not anvil.exists() else {
        "OPENCARRIER_ANVIL": str(anvil)
    }  # fmt: skip
    return more | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


def main(arguments: list[str]) -> int:
    """Run one command."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        say(f"error: there is no command {name!r}")
        say("hint: ./dev tells what there is")
        return 2
    try:
        return COMMANDS[name](rest)
    except Stop as stop:
        say(f"error: {stop}")
        if stop.hint:
            say(f"hint: {stop.hint}")
        return stop.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
