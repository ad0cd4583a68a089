"""What commands say: data to stdout, the rest to stderr, an error with its hint, an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from os import environ
from shutil import get_terminal_size
from typing import Any, Final, NoReturn

from opencarrier.app.layout import WIDTH_LEAST, Lexicon, Sheet, below, block

WIDTH_MOST: Final = 160


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


def emit(
    value: dict[str, Any],
    *,
    as_json: bool,
    shown: Callable[[], Mapping[str, Any]] | None = None,
    empty: str = "",
    plain: bool = False,
) -> None:
    """Print a command's result: one JSON object, laid out on a terminal, else a line per key.

    For people `shown` says what matters of it and in which order, `empty` what to do where there
    is nothing, and `plain` that keys and values are typed elsewhere as they stand here.
    """
    if as_json:
        print(json.dumps(value, indent=2))
    elif for_people():
        lexicon = _spoken[-1] if _spoken else Lexicon()
        sheet = Sheet(width=columns(), strong=strong, lexicon=lexicon, plain=plain)
        print("\n".join(_laid_out(value, empty, sheet) if shown is None else block(shown(), sheet)))
    else:
        margin = max((len(key) for key in value), default=0)
        for key, item in value.items():
            print(f"{key.ljust(margin)}  {item if isinstance(item, str) else json.dumps(item)}")


def for_people() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def columns() -> int:
    """Return how many columns the terminal has (`COLUMNS`, else its own word)."""
    return min(max(get_terminal_size().columns, WIDTH_LEAST), WIDTH_MOST)


def strong(text: str) -> str:
    """Return a heading as it stands out on a terminal, as it is where colour is not wanted."""
    wanted = for_people() and "NO_COLOR" not in environ and environ.get("TERM") != "dumb"
    return f"\x1b[1m{text}\x1b[0m" if wanted else text


def speak(lexicon: Lexicon) -> None:
    """Say how assets and parties of what follows are called."""
    _spoken[:] = [lexicon]


def _laid_out(value: Mapping[str, Any], empty: str, sheet: Sheet) -> Iterator[str]:
    """Lay a result out; a list that is all of it needs no heading."""
    lists = [(key, item) for key, item in value.items() if isinstance(item, list)]
    if empty and not any(item for _, item in lists):
        value = {key: item for key, item in value.items() if item not in (None, [], {})}
        yield from block({**value, "none yet": empty}, sheet)
    elif len(value) == 1 and lists:
        yield from below(*lists[0], sheet)
    else:
        yield from block(value, sheet)


_spoken: Final[list[Lexicon]] = []


def say(line: str) -> None:
    """Tell a person something that is not the result."""
    print(line, file=sys.stderr, flush=True)


def complain(error: CommandError) -> None:
    """Print an error and, on its own line, what to do."""
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
