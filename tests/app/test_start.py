"""Help and start import nothing heavy: what a command needs, it imports itself.

Typer reads a command's parameters with pydantic, so that one is not ours to forbid.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

FORBIDDEN = {
    "alembic",
    "coincurve",
    "cryptography",
    "eth",
    "eth_account",
    "fastapi",
    "networkx",
    "opencarrier.access",
    "opencarrier.clearing",
    "opencarrier.demo",
    "opencarrier.settlement",
    "opencarrier.sim",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "web3",
}


@pytest.mark.parametrize("words", [["--help"], ["verify", "--help"], ["operator", "add", "--help"]])
def test_help_imports_nothing_heavy(words):
    """None of the heavy modules is imported to show help."""
    program = (
        "import sys\n"
        "from opencarrier.__main__ import root\n"
        f"sys.argv = ['opencarrier', *{words!r}]\n"
        "try:\n    root(prog_name='opencarrier')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stderr.split())
    assert "typer" in loaded
    assert not FORBIDDEN & loaded
    assert "Usage: opencarrier" in done.stdout


def test_every_command_has_help_with_an_example(oc):
    """Each command's help gives a worked example."""
    from typer.main import get_command

    from opencarrier.__main__ import root

    def commands(group, path=()):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from commands(command, (*path, name))
            else:
                yield (*path, name), command

    found = list(commands(get_command(root)))
    assert len(found) >= 20
    for path, command in found:
        assert "Example: opencarrier " + " ".join(path) in (command.help or ""), path
