"""Command lines as a shell splits them and the program parses them, without running anything."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from typer.main import get_command

from opencarrier.__main__ import root

PROGRAM = get_command(root)
ENDS = frozenset({"&&", "||", "|", ";", ">", ">>", "<", "&", "(", ")"})


def typed(line: str) -> Iterator[list[str]]:
    """Yield the words of each `opencarrier` in a line of a shell."""
    optional = re.sub(r"\[(--[^\]]*)\]", r"\1", line)
    reading = shlex.shlex(optional, posix=True, punctuation_chars=True)
    reading.whitespace_split = True
    command: list[str] = []
    for word in [*reading, ";"]:
        if word not in ENDS:
            command += [word] if command or not re.match(r"[A-Z_]+=", word) else []
            continue
        if command and command[0].rpartition("/")[2] == "opencarrier":
            yield command[1:]
        command = []


def parse(words: list[str]) -> None:
    """Parse a command as the program does, and do not run it."""
    command, name = PROGRAM, ["opencarrier"]
    while hasattr(command, "commands"):
        name.append(words[0])
        assert words[0] in command.commands, f"there is no {' '.join(name)}"
        command, words = command.commands[words[0]], words[1:]
    command.make_context(" ".join(name), list(words)).close()
