"""The virtual environment in .venv: made when missing, renewed when its lock changed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCKS = {"runtime": "requirements.lock", "dev": "requirements-dev.lock"}
STAMP = VENV / "opencarrier-installed"
OLDEST, NEWEST = (3, 11), (3, 13)


class Stop(Exception):  # noqa: N818 - it ends, it is no mistake of ours
    """Ends a command: what happened, what to do, and the exit code."""

    def __init__(self, message: str, hint: str = "", code: int = 3) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def say(line: str) -> None:
    """Tell a person what goes on; results alone go to stdout."""
    print(line, file=sys.stderr, flush=True)


def ensure(group: str) -> None:
    """Make .venv hold a lock's packages and this package; quick when nothing changed.

    The dev lock contains the run-time lock, so an environment for tests serves the demo too.
    """
    wanted = fingerprint(group)
    installed = STAMP.read_text().split() if STAMP.exists() else []
    if wanted in installed and PYTHON.exists():
        return
    started = time.monotonic()
    if not _works():
        make(VENV)
    say(f"installing {LOCKS[group]} into .venv")
    _install(group)
    kept = [fingerprint("runtime"), fingerprint("dev")] if group == "dev" else [wanted]
    STAMP.write_text("\n".join(kept) + "\n")
    say(f"ready in {time.monotonic() - started:.0f} s")


def fingerprint(group: str) -> str:
    """Name what an installation depends on: the lock and the package's own definition."""
    digest = hashlib.sha256()
    for name in (LOCKS[group], "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return f"{group}:{digest.hexdigest()[:32]}"


def _works() -> bool:
    if not PYTHON.exists():
        return False
    probe = "import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))"
    return subprocess.run([PYTHON, "-c", probe], capture_output=True).returncode == 0


def make(venv: Path) -> None:
    """Make an empty environment where there may have been another."""
    if venv.exists():
        shutil.rmtree(venv)
    uv = shutil.which("uv")
    interpreter = _interpreter()
    if uv is not None:
        named = interpreter or f">={OLDEST[0]}.{OLDEST[1]},<{NEWEST[0]}.{NEWEST[1] + 1}"
        run([uv, "venv", "--quiet", "--no-project", "--python", named, str(venv)])
        return
    if interpreter is None:
        raise Stop(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} is newer than this is tested with",
            "install Python 3.11, 3.12 or 3.13, or uv; PYTHON=/path/to/python ./dev names one",
        )
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise Stop(
            f"Python {version} here comes without venv and ensurepip",
            f"on Debian or Ubuntu: sudo apt install python{version}-venv; or install uv",
        )
    run([interpreter, "-m", "venv", str(venv)])


def _interpreter() -> str | None:
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found is not None:
            return found
    return None


def _install(group: str) -> None:
    pip = install(PYTHON, ROOT / LOCKS[group])
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])


def install(python: Path, lock: Path, source: str = "") -> list[str]:
    """Install what a lock holds, from wheels of known hashes; return the command for more.

    `source` names the one package of it that has no wheel: it is built by the lock's setuptools.
    """
    uv = shutil.which("uv")
    if uv is not None:
        pip = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        pip = [
            *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            "--no-compile",
        ]
    strict = ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
    if source:
        with tempfile.TemporaryDirectory() as folder:
            wheels = Path(folder, lock.name)
            wheels.write_text(_without(lock, source))
            run([*pip, *strict, "-r", str(wheels)])
        strict += ["--no-build-isolation", "--no-binary", source]
    run([*pip, *strict, "-r", str(lock)])
    return pip


def _without(lock: Path, package: str) -> str:
    """Return a lock less one package and its hashes."""
    pins = re.split(r"^(?=\S)", lock.read_text(), flags=re.MULTILINE)
    return "".join(pin for pin in pins if not pin.startswith(f"{package}=="))


def run(command: list[str], **environment: str) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment})
    if done.returncode:
        raise Stop(
            f"{' '.join(map(str, command[:4]))} ... failed with {done.returncode}",
            "its own words stand above; without a network the packages cannot be fetched",
        )
