"""What commands say: data to stdout, the rest to stderr, an error with its hint, an exit code."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from typing import Any, NoReturn


class Exit(IntEnum):
    """What a command's end means to the script that called it."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    ENVIRONMENT = 3
    UNKNOWN = 4
    INTERRUPTED = 130


class CommandError(Exception):
    """A command ends early: what happened, what to do, and the exit code."""

    def __init__(self, code: Exit, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def refused(message: str, hint: str = "") -> NoReturn:
    """End with 1: the business said no, or a check failed."""
    raise CommandError(Exit.REFUSED, message, hint)


def emit(value: dict[str, Any], *, as_json: bool) -> None:
    """Print a command's result: one JSON object, or a line per key for people."""
    if as_json:
        print(json.dumps(value, indent=2))
        return
    width = max((len(key) for key in value), default=0)
    for key, item in value.items():
        shown = json.dumps(item) if isinstance(item, dict | list) else item
        print(f"{key.ljust(width)}  {shown}")


def say(line: str) -> None:
    """Tell a person something that is not the result."""
    print(line, file=sys.stderr, flush=True)


def complain(error: CommandError) -> None:
    """Print an error and, on its own line, what to do."""
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
