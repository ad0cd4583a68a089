"""Commands that run and look after an installation: up, status, config, backup, restore, bench."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    at_venue,
    folder_of,
    group,
    installation,
)
from opencarrier.app.output import CommandError, Exit, emit, say

if TYPE_CHECKING:
    from opencarrier.app.daemon import Serving

RECORDS_MAX = 1_000_000_000
ADDRESSES = ("database", "chain", "chain_second", "otlp_endpoint")
"""Settings that may hold a password or a provider's key."""

database = group("database", "Where state and ledger are kept.")
config = group("config", "Settings: what they are and where they come from.")


def up(
    data: Data = DEFAULT_DATA,
    radius_port: Annotated[int | None, typer.Option(help="RADIUS authentication, UDP.")] = None,
    acct_port: Annotated[int | None, typer.Option(help="RADIUS accounting, UDP.")] = None,
    http_port: Annotated[int | None, typer.Option(help="Page, API and JSON-RPC, TCP.")] = None,
    host: Annotated[
        str | None, typer.Option(help="Where RADIUS listens; loopback if none.")
    ] = None,
    chain: Annotated[str | None, typer.Option(help="JSON-RPC URL of a chain.")] = None,
    finality: Annotated[str | None, typer.Option(help="depth:N, safe or finalized.")] = None,
    cycle_s: Annotated[int | None, typer.Option(help="Seconds a cycle lasts; 0: by hand.")] = None,
) -> None:
    """Serve RADIUS, the page and the chain until Ctrl-C.

    Example: opencarrier up --data ./venue --radius-port 1812 --acct-port 1813
    """
    from opencarrier.app.bootstrap import load_settings, open_installation
    from opencarrier.app.collector import exporting
    from opencarrier.app.daemon import serve
    from opencarrier.app.system import SystemEntropy
    from opencarrier.chain.client import shown_url

    _log_to_stderr()
    folder = folder_of(data)
    flags = {
        "radius_port": radius_port,
        "acct_port": acct_port,
        "http_port": http_port,
        "host": host,
        "chain": chain,
        "finality": finality,
        "cycle_s": cycle_s,
    }
    settings = load_settings(folder, flags).settings
    with folder.lock(), exporting(settings, os.environ, SystemEntropy()) as spans:
        folder.run.unlink(missing_ok=True)
        base = open_installation(folder, settings, spans=spans)
        where = shown_url(base.settings.chain)
        say(f"settles  as {base.hub.address}, which pays for gas, on {where}")
        try:
            with base.store.owned(), at_venue(base) as place:
                asyncio.run(serve(place, _greet))
        finally:
            base.close()
    say("stopped")


def _log_to_stderr() -> None:
    """Write a line for each event, with the trace it belongs to where that is recorded."""
    from opencarrier.app.spanning import TracedFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(TracedFormatter("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def status(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Say where the installation stands: sessions, cycles, money, what waits and why.

    Example: opencarrier status --json
    """
    from opencarrier.app.cli.remote import get
    from opencarrier.app.doctor.machine import newest_us
    from opencarrier.app.status import asked_of_people, base_status, glance, venue_status

    folder = folder_of(data)
    running = folder.running()
    with installation(data) as base:
        told: dict[str, Any] = {"running": running is not None}
        if running is not None:
            told |= {"http": running.http, "rpc": running.rpc, **get(running, "/v1/radsec")}
        if base.manifest() is None:
            with base.store.read() as unit:
                told |= base_status(base, unit)
        else:
            with at_venue(base) as place, base.store.read() as unit:
                told |= {**base_status(base, unit), **venue_status(place, unit)}
        with base.store.read() as unit:
            asked = asked_of_people(base, unit)
    emit(told, as_json=as_json, shown=lambda: glance(told, asked, newest_us(folder.run) or 0))


@config.command("show")
def config_show(
    origin: Annotated[bool, typer.Option("--origin", help="Say where each comes from.")] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Show the settings in force: defaults, then config.toml, environment, flags.

    Of a database's or a chain's address only the host: a password or key may stand in the rest.

    Example: opencarrier config show --origin
    """
    from opencarrier.app.bootstrap import load_settings
    from opencarrier.chain.client import shown_url

    loaded = load_settings(folder_of(data), {})
    values = asdict(loaded.settings)
    values |= {name: shown_url(values[name]) for name in ADDRESSES if "://" in values[name]}
    if origin:
        values = {name: {"value": v, "origin": loaded.origin[name]} for name, v in values.items()}
    emit(values, as_json=as_json, plain=True)


def backup(
    target: Annotated[Path, typer.Argument(help="A new folder to hold the copy.")],
    people: Annotated[
        Path | None,
        typer.Option("--people", help="Where who the subscribers are goes; in the copy if none."),
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Copy a data folder consistently, also while it serves.

    The copy holds the sealing key: keep it as safe as the original. Keep one file of people, the
    newest: then no older copy tells who was erased since.

    Example: opencarrier backup /mnt/safe/venue-2026-11-23 --people /mnt/safe/people.jsonl
    """
    from opencarrier.app.bootstrap import load_settings
    from opencarrier.app.keeping import back_up

    folder = folder_of(data)
    settings = load_settings(folder, {}).settings
    emit(back_up(folder, target, settings, people), as_json=as_json)


def restore(
    source: Annotated[Path, typer.Argument(help="A folder that backup made.")],
    people: Annotated[
        Path | None, typer.Option("--people", help="The newest file of people; the copy's if none.")
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Put a backup in place as a new data folder, and check every book in it.

    Subscribers whom the file of people does not name are told as `nobody`: erase them again.

    Example: opencarrier restore /mnt/safe/venue-2026-11-23 --data ./venue
    """
    from opencarrier.app.keeping import restore_from

    emit(restore_from(source, folder_of(data), people), as_json=as_json)


@database.command("move")
def database_move(
    url: Annotated[str, typer.Argument(help="postgresql://USER@HOST/NAME, an empty database.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Move state and ledger to PostgreSQL, also while the folder is served.

    Everything is compared before the old file is closed to writing; a running `up` then ends, and
    starts again on the new one.

    Example: opencarrier database move postgresql://opencarrier@db.example/venue
    """
    from opencarrier.app.config import settle_on
    from opencarrier.app.moving import move
    from opencarrier.app.store import Store

    with installation(data) as base:
        target = Store(url)
        try:
            moved = move(base.store, target)
        finally:
            target.close()
    written = settle_on(folder_of(data).config, "database", url)
    emit({**asdict(moved), "database": str(target), "config": str(written)}, as_json=as_json)


def bench(
    what: Annotated[str, typer.Argument(help="Which bench; without a name they are listed.")] = "",
    records: Annotated[
        int | None,
        typer.Option(
            "--records", min=1, max=RECORDS_MAX, help="How many records a bench of a month makes."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a part on this machine, as ratios against a floor in the same run.

    Example: opencarrier bench clearing --records 1000000 --json
    """
    from opencarrier.app.benches import BENCHES, SIZED, run

    if not what:
        emit({"benches": sorted(BENCHES)}, as_json=as_json)
        return
    if what not in BENCHES:
        known = ", ".join(sorted(BENCHES))
        raise CommandError(Exit.USAGE, f"there is no bench {what!r}", f"one of {known}")
    if records is not None and what not in SIZED:
        raise CommandError(Exit.USAGE, f"bench {what} has one size", "leave --records out")
    emit(run(what, records=records), as_json=as_json)


def open_console(
    show: Annotated[
        bool, typer.Option("--print", help="Print the link instead of opening it.")
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Open the console signed in as the owner, by a link that counts once within 15 minutes.

    Example: opencarrier open
    """
    from opencarrier.app.cli.remote import post
    from opencarrier.app.opening import open_page

    folder = folder_of(data)
    running = folder.running()
    if running is None:
        raise CommandError(Exit.REFUSED, f"nothing serves {data}", "start it: opencarrier up")
    url = str(post(running, "/v1/owner-link")["url"])
    if not show and open_page(folder, url):
        say("the console is open in your browser")
        return
    emit({"url": url}, as_json=as_json)


def _greet(serving: Serving) -> None:
    running = serving.running
    say(f"page     {running.http}/")
    owned = serving.web.is_owned()
    link = "opencarrier open" if owned else serving.web.owner_link(running.http)
    say(f"sign in  {link}")
    say(f"chain    {running.rpc}")
    say(f"RADIUS   authentication {running.radius_port}, accounting {running.acct_port} (UDP)")
    say("ready; stop with Ctrl-C")
    sys.stderr.flush()
