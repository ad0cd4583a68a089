"""The command that makes one thing happen in a demo that runs: trigger."""

from __future__ import annotations

from typing import Annotated

import typer

from opencarrier.app.cli.common import DEFAULT_DATA, AsJson, Data, running_in
from opencarrier.app.output import emit


def trigger(
    what: Annotated[str, typer.Argument(help="`roam`: somebody visits another operator's node.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Make one thing happen in a demo that runs, and say what it was.

    Example: opencarrier trigger roam --data /tmp/opencarrier-demo-abc
    """
    from opencarrier.app.cli.remote import post

    running = running_in(data, "start `opencarrier demo`; it says where")
    emit(post(running, f"/v1/triggers/{what}"), as_json=as_json)
