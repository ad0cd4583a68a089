"""How the command line as a whole ends: typed wrongly, interrupted, or its reader gone."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from opencarrier.app.output import CommandError, Exit

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""What the parser raises: the base of the one of its errors that has a public name."""


class Root(TyperGroup):
    """The command line whole: its errors end as ours do, and a reader may leave when it likes."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **more: Any
    ) -> Any:
        """Run a command; what was typed wrongly is a `CommandError` with the help to read."""
        more = {"prog_name": "opencarrier", **more, "standalone_mode": False}
        try:
            ended = super().main(args, **more)
            sys.stdout.flush()
        except USAGE_ERROR as error:
            ended = _told(error)
        except BrokenPipeError:
            ended = left_alone()
        except typer.Abort:
            ended = Exit.INTERRUPTED
        if standalone_mode:
            sys.exit(ended or Exit.DONE)
        return ended

    def invoke(self, ctx: Any) -> Any:
        """Run it; a reader that left (`| head`) has all it wants."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            raise typer.Exit(left_alone()) from None


def left_alone() -> Exit:
    """Write the rest nowhere where nobody reads standard output any more; else go on failing."""
    output = select.poll()
    output.register(1, 0)
    if any(seen & select.POLLERR for _, seen in output.poll(0)):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.DONE
    raise CommandError(Exit.UNKNOWN, "the other side hung up", "ask again; nothing is doubled")


def _told(error: Any) -> Exit:
    """Answer a group without a command by its help; raise what else was typed in our terms."""
    context = error.ctx
    if context is not None and error.message == context.get_help():
        print(error.message, file=sys.stderr)
        return Exit.USAGE
    path = "opencarrier" if context is None else context.command_path
    raise CommandError(Exit.USAGE, error.format_message(), f"see: {path} --help") from None
