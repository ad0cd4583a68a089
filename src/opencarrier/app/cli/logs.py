"""Commands about what happens in a process that runs: logs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from opencarrier.app.cli.common import DEFAULT_DATA, AsJson, Data, folder_of, group, running_in
from opencarrier.app.output import CommandError, Exit
from opencarrier.app.system import SystemClock
from opencarrier.kernel.clock import SECOND_US

if TYPE_CHECKING:
    from opencarrier.app.following import Happened

logs = group("logs", "What happens in a process that runs, as it happens.")

KINDS = ("session", "cycle", "payment", "node", "story")


@logs.command("tail")
def tail(
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", help=f"Only these: {', '.join(KINDS)}.")
    ] = None,
    count: Annotated[int, typer.Option(help="Stop after so many; 0: at Ctrl-C.", min=0)] = 0,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Print what happens, a line each, until Ctrl-C; a restart of the process ends nothing.

    Ends with 1 when the process has been gone for a minute.

    Example: opencarrier logs tail --kind session --kind cycle
    """
    from opencarrier.app.following import GONE, RESET, follow

    wanted = set(kinds or KINDS)
    if not wanted <= set(KINDS):
        raise CommandError(Exit.USAGE, f"--kind {' '.join(wanted)}", f"one of {', '.join(KINDS)}")
    running_in(data, "start `opencarrier up`")
    for printed, one in enumerate(
        (one for one in follow(folder_of(data).running) if one.kind in wanted | {RESET, GONE}), 1
    ):
        print(_as_object(one) if as_json else _as_line(one), flush=True)
        if printed == count:
            return
    raise CommandError(Exit.REFUSED, f"nothing serves {data} any more", "start `opencarrier up`")


_WORDS = {
    "reset": "something in between was not heard",
    "gone": "the process ended; waiting a minute for the next",
}


def _as_object(one: Happened) -> str:
    return json.dumps({"id": one.identifier, "kind": one.kind, **one.fields})


def _as_line(one: Happened) -> str:
    told = " ".join(f"{name}={value}" for name, value in one.fields.items())
    words = _WORDS.get(one.kind, told)
    now = datetime.fromtimestamp(SystemClock().now_us() // SECOND_US, UTC)
    return f"{now:%H:%M:%S}  {one.kind.ljust(8)}{words}".rstrip()
