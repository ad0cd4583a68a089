"""Completion as a shell does it: the script it is given is read, and asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BASH = """
eval "$(opencarrier --show-completion)"
of=$(complete -p opencarrier | sed 's/.*-F \\([^ ]*\\).*/\\1/')
ask() {
    COMP_WORDS=(opencarrier "$@")
    COMP_CWORD=$#
    $of opencarrier
    echo ${COMPREPLY[@]}
}
ask trig
ask cycle ''
ask config show --or
"""

ZSH = """
compdef() { }
_arguments() { print -r -- $@ }
eval "$(opencarrier --show-completion)"
ask() { words=(opencarrier "$@"); CURRENT=${#words}; _opencarrier_completion }
ask trig
ask cycle ''
ask config show --or
"""

FISH = """
opencarrier --show-completion | source
complete -C 'opencarrier trig'
complete -C 'opencarrier cycle '
complete -C 'opencarrier config show --or'
"""

BARE = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}


def completed(shell: str, script: str, home: Path) -> str:
    """Run a script in a shell that has nothing of its user's."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [
            shell,
            *({"zsh": ["-f"], "fish": ["--no-config"], "bash": ["--norc"]}[shell]),
            "-c",
            script,
        ],
        env={"PATH": path, "HOME": str(home), "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bash_completes_commands_and_options(tmp_path):
    assert completed("bash", BASH, tmp_path).splitlines() == ["trigger", "close show", "--origin"]


@pytest.mark.peer
@pytest.mark.parametrize(("shell", "script"), [("zsh", ZSH), ("fish", FISH)])
def test_other_shells_complete_them_too(shell, script, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is missing (apt: {shell})")
    told = completed(shell, script, tmp_path)
    assert all(word in told for word in ("trigger", "close", "show", "--origin"))
    assert "restore" not in told
