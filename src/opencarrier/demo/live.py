"""The demo after its story: the network lives on, and what a person can do with it meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from shlex import quote
from typing import Any

from opencarrier.app.http import Web
from opencarrier.app.output import say
from opencarrier.demo.stage import DemoStage
from opencarrier.kernel.sentences import Sentence
from opencarrier.sim.cast import Cast
from opencarrier.sim.living import Living


async def live(
    stage: DemoStage,
    web: Web,
    cast: Cast,
    stopping: asyncio.Task[Any],
    *,
    seed: int,
    quiet: bool,
) -> None:
    """Let the network live on until it is stopped, and say what can be done with it meanwhile."""
    living = Living(
        cast,
        stage,
        seed=seed,
        now_us=stage.now_us(),
        tell=web.tell if quiet else lambda line: _twice(web, line),
        note=web.tell,
    )
    web.triggers["roam"] = living.roam
    for line in _next_steps(stage, web):
        say(line)
    going_on = asyncio.create_task(living.run())
    await asyncio.wait({going_on, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if going_on.done():
        going_on.result()
    going_on.cancel()
    await asyncio.gather(going_on, return_exceptions=True)


def _next_steps(stage: DemoStage, web: Web) -> list[str]:
    """Three commands to paste into another terminal, and what the network does meanwhile."""
    folder = web.place.base.folder.root
    program, data = _program(), f"--data {quote(str(folder))}"
    usage_id, _ = stage.receipts()[-1]
    receipt = quote(str(folder / "receipt.json"))
    rpc, manifest = stage.rpc, quote(str(web.place.base.folder.manifest))
    return [
        "The network lives on, an hour each minute; Ctrl-C ends it. In another terminal:",
        f"  {program} trigger roam {data}",
        f"  {program} trace {usage_id} {data}",
        f"  {program} receipt {usage_id} {data} > {receipt}"
        f" && {program} verify {receipt} --rpc {rpc} --manifest {manifest}",
    ]


def _program() -> str:
    """How this program is called from any folder."""
    named = Path(sys.argv[0])
    if named.name == "__main__.py":
        installed = Path(sys.executable).with_name("opencarrier")
        return (
            quote(str(installed))
            if installed.exists()
            else f"{quote(sys.executable)} -m opencarrier"
        )
    return named.name if shutil.which(named.name) == str(named) else quote(str(named.absolute()))


def _twice(web: Web, line: Sentence) -> None:
    web.tell(line)
    say(f"  {line}")
