"""Somebody who reads a page and does what it says: one shell, one folder, from top to end.

What serves until Ctrl-C (`up`) is left running, as in another terminal, and ended before the next
one and at the end. Addresses of documentation (RFC 5737) stand for loopback.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tests.documents.blocks import ROOT, Block
from tests.documents.forking import CLIENT

PAGE_S = 300
DOCUMENTED = re.compile(r"\b192\.0\.2\.\d+\b|\bdb\.example\b")
"""Addresses of documentation; here they stand for loopback."""

PAGE = re.compile(r"(?<=//127\.0\.0\.1:)8400\b|(?<=//localhost:)8400\b")
"""Where the console is, unless somebody else is there."""

DEV = """#!/bin/sh
# A reader leaves the demo when its story is told, and its page may stand anywhere. The same seed
# tells the same story: who types the same words after another reader is shown what that one saw.
[ "$1" = demo ] || exec {root}/dev "$@"
seen="$HOME/$(printf %s "$*" | tr -c a-z0-9 -)"
if [ ! -e "$seen" ]; then
    {root}/dev "$@" --exit --http-port 0 > "$seen.now" 2>&1 || {{ cat "$seen.now"; exit 1; }}
    mv "$seen.now" "$seen"
fi
cat "$seen"
"""

PRELUDE = Template(
    """set -eE -o pipefail
trap 'stop_serving' EXIT
serving=
stop_serving() {
    [ -n "$$serving" ] || return 0
    kill -INT "$$serving" 2>/dev/null || true
    wait "$$serving" || true
    serving=
}
serve() {
    stop_serving
    $python -m opencarrier "$$@" > "$aside/serving.log" 2>&1 < /dev/null &
    serving=$$!
    until grep -q '^ready' "$aside/serving.log"; do
        kill -0 "$$serving" 2>/dev/null || { cat "$aside/serving.log"; serving=; return 1; }
        sleep 0.05
    done
}
opencarrier() {
    if [ "$$1" = up ]; then serve "$$@"; else command opencarrier "$$@"; fi
}
. "$$SCENES"
"""
)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a reader works: its folder, what lies beside it, and the programs it finds."""

    folder: Path
    aside: Path
    environ: Mapping[str, str]


@contextmanager
def desk(root: Path) -> Iterator[Desk]:
    """Lay out a folder for one reader after another; the program is loaded once for all."""
    bin_, line = root / "bin", root / "line"
    bin_.mkdir()
    client = bin_ / "opencarrier"
    client.write_text(CLIENT.format(python=sys.executable, socket=str(line)))
    client.chmod(0o755)
    command = [sys.executable, "-m", "tests.documents.forking", str(line)]
    environ = {
        **{k: v for k, v in os.environ.items() if not k.startswith("OPENCARRIER_")},
        "PATH": f"{bin_}:{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT)))),
        "HOME": str(root),
        "BROWSER": "true",
        "NO_COLOR": "1",
        "SCENES": str(Path(__file__).with_name("scenes.sh")),
        **{
            f"OPENCARRIER_{name}": "0"
            for name in ("RADIUS_PORT", "ACCT_PORT", "RADSEC_PORT", "CYCLE_S")
        },
        "OPENCARRIER_HTTP_PORT": str(_free_port()),
    }
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
    ) as loaded:
        try:
            assert loaded.stdout is not None
            assert loaded.stdout.readline() == "ready\n"
            yield Desk(root, root, environ)
        finally:
            loaded.kill()


def do(desk: Desk, folder: Path, page: list[Block]) -> None:
    """Do what a page says; fail with the block that did not work, and what it said."""
    folder.mkdir()
    aside = folder.with_suffix(".aside")
    aside.mkdir()
    (folder / "dev").write_text(DEV.format(root=shlex.quote(str(ROOT))))
    (folder / "dev").chmod(0o755)
    prelude = PRELUDE.substitute(python=shlex.quote(sys.executable), aside=aside)
    steps = "".join(_step(block, number, aside) for number, block in enumerate(page))
    here = PAGE.sub(desk.environ["OPENCARRIER_HTTP_PORT"], DOCUMENTED.sub("127.0.0.1", steps))
    done = subprocess.run(
        ["bash", "-c", prelude + here],
        cwd=folder,
        env=desk.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PAGE_S,
        check=False,
    )
    said, _, at = done.stdout.rpartition("\x1e")
    assert done.returncode == 0, f"{at or said}\n{_log(aside)}"
    for number, block in enumerate(page):
        if block.language == "console":
            assert_told(block, (aside / f"{number}.told").read_text())


def _step(block: Block, number: int, aside: Path) -> str:
    """Return what a reader does with a block: type it, run it, or write it into its file."""
    begun = f"printf '\\036%s\\n' {shlex.quote(block.place)}\n"
    if block.mode:
        return ""
    if block.language in ("sh", "meanwhile"):
        return begun + block.text + "\n"
    if block.language == "console":
        typed = "".join(line[2:] for line in block.text.splitlines(True) if line[:2] == "$ ")
        return f"{begun}{{\n{typed}}} > {aside}/{number}.told 2>&1\n"
    if block.language == "python" and not block.file:
        return f"{begun}python - <<'END OF BLOCK'\n{block.text}END OF BLOCK\n"
    if block.file:
        place = '"${OPENCARRIER_DATA:-opencarrier-data}"/' if block.file == "config.toml" else ""
        return f"{begun}cat >> {place}{block.file} <<'END OF BLOCK'\n{block.text}END OF BLOCK\n"
    return ""


def assert_told(block: Block, told: str) -> None:
    """Compare loosely: blanks count once, `…` stands for anything, a line of it for any lines."""
    expected = [line for line in block.text.splitlines() if not line.startswith("$ ")]
    pattern = r"\s*".join(_loosely(line) for line in expected if line.strip())
    assert re.fullmatch(pattern or ".*", told.strip(), re.DOTALL), f"{block.place}:\n{told}"


def _loosely(line: str) -> str:
    words = [r"[ \t]+".join(re.escape(word) for word in part.split()) for part in line.split("…")]
    return ".*?" if line.strip() == "…" else r"[^\n]*?".join(words)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _log(aside: Path) -> str:
    log = aside / "serving.log"
    return log.read_text()[-3_000:] if log.exists() else ""
