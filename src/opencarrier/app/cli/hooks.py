"""Commands about webhooks: who hears what happens, and what was sent there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import DEFAULT_DATA, AsJson, Data, group, installation, taken
from opencarrier.app.output import CommandError, Exit, emit, for_people

if TYPE_CHECKING:
    from opencarrier.app.console.visitor import Visitor
    from opencarrier.app.hooking import WebhookDesk

hooks = group("hooks", "Webhooks: servers that are told what happens here, and what they answered.")

Endpoint = Annotated[str, typer.Argument(help="The endpoint's id, as `hook_...`.")]
Party = Annotated[
    str, typer.Option("--party", help="Whose things it hears of; empty: all that happens here.")
]
After = Annotated[str, typer.Option("--cursor", help="`next` of the page before.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100, help="How many at most.")]


@hooks.command("events")
def hooks_events(as_json: AsJson = False) -> None:
    """Say what can be heard of, what each tells, and whose machines may hear it.

    Example: opencarrier hooks events
    """
    from opencarrier.app.console.views.webhooks import SAYS
    from opencarrier.webhooks.model import EVENTS

    if as_json:
        told = {kind: sorted(heard_by) for kind, heard_by in EVENTS.items()}
        emit({str(kind): heard_by for kind, heard_by in told.items()}, as_json=True)
    else:
        emit({str(kind): SAYS[kind] for kind in EVENTS}, as_json=False)


@hooks.command("list")
def hooks_list(
    cursor: After = "", limit: Limit = 25, data: Data = DEFAULT_DATA, as_json: AsJson = False
) -> None:
    """List every endpoint: whose it is, of what it hears, and how it stands.

    Example: opencarrier hooks list
    """
    with _desk(data) as (desk, owner):
        page = _asked(lambda: desk.endpoints(owner, cursor, limit))
    _emit_page([asdict(one) for one in page.items], page.next, "endpoint", as_json=as_json)


@hooks.command("add")
def hooks_add(
    url: Annotated[str, typer.Argument(help="Where to send to, beginning with https://.")],
    kind: Annotated[
        list[str], typer.Option("--kind", help="One it hears of; without any, of everything.")
    ] = [],  # noqa: B006
    party: Party = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Register an endpoint; its secret is shown this once.

    Example: opencarrier hooks add https://books.example/opencarrier --kind cycle.settled
    """
    with _desk(data) as (desk, _):
        made = taken(desk.add(_visitor(party), party, url, kind), "see: opencarrier hooks events")
    emit({**asdict(made.endpoint), "secret": made.secret}, as_json=as_json)


@hooks.command("test")
def hooks_test(endpoint: Endpoint, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Send a `ping` to an endpoint, as soon as the process runs.

    Example: opencarrier hooks test hook_0b7a2f5e4f5b4a539f8e6f6f4a3f7f10
    """
    with _desk(data) as (desk, owner):
        sent = taken(desk.ping(owner, endpoint), _HINT)
    emit(asdict(sent), as_json=as_json)


@hooks.command("deliveries")
def hooks_deliveries(
    endpoint: Endpoint,
    cursor: After = "",
    limit: Limit = 25,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """List what was sent to an endpoint, newest first, and what was in the way.

    Example: opencarrier hooks deliveries hook_0b7a2f5e4f5b4a539f8e6f6f4a3f7f10
    """
    with _desk(data) as (desk, owner):
        view = taken(_asked(lambda: desk.deliveries(owner, endpoint, cursor, limit)), _HINT)
    page = view.deliveries
    _emit_page([asdict(one) for one in page.items], page.next, "message", as_json=as_json)


@hooks.command("replay")
def hooks_replay(
    endpoint: Endpoint,
    message: Annotated[str, typer.Option("--message", help="One message, as `msg_...`.")] = "",
    hours: Annotated[
        int, typer.Option("--hours", min=0, max=720, help="All of the last so many hours.")
    ] = 0,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Send one message, or all of the last hours, once more, under the same ids.

    Example: opencarrier hooks replay hook_0b7a2f5e4f5b4a539f8e6f6f4a3f7f10 --hours 24
    """
    from opencarrier.kernel.clock import SECOND_US

    if bool(message) == bool(hours):
        raise CommandError(Exit.USAGE, "one or many", "name one of --message and --hours")
    with _desk(data) as (desk, owner):
        since_us = max(0, desk.base.clock.now_us() - hours * 3_600 * SECOND_US)
        again = desk.replay(owner, endpoint, message=message, since_us=since_us)
    emit({"endpoint": endpoint, "messages": taken(again, _HINT)}, as_json=as_json)


@hooks.command("off")
def hooks_off(endpoint: Endpoint, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Send nothing to an endpoint, and keep nothing for it, until it is on again.

    Example: opencarrier hooks off hook_0b7a2f5e4f5b4a539f8e6f6f4a3f7f10
    """
    with _desk(data) as (desk, owner):
        emit(asdict(taken(desk.pause(owner, endpoint), _HINT)), as_json=as_json)


@hooks.command("on")
def hooks_on(endpoint: Endpoint, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Send to an endpoint again, at once.

    Example: opencarrier hooks on hook_0b7a2f5e4f5b4a539f8e6f6f4a3f7f10
    """
    with _desk(data) as (desk, owner):
        emit(asdict(taken(desk.resume(owner, endpoint), _HINT)), as_json=as_json)


@hooks.command("rotate")
def hooks_rotate(endpoint: Endpoint, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Give an endpoint a fresh secret, shown this once; the former signs beside it for a day.

    Example: opencarrier hooks rotate hook_0b7a2f5e4f5b4a539f8e6f6f4a3f7f10
    """
    with _desk(data) as (desk, owner):
        made = taken(desk.rotate(owner, endpoint), _HINT)
    emit({**asdict(made.endpoint), "secret": made.secret}, as_json=as_json)


@hooks.command("remove")
def hooks_remove(endpoint: Endpoint, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Forget an endpoint, its secrets, and what was sent there.

    Example: opencarrier hooks remove hook_0b7a2f5e4f5b4a539f8e6f6f4a3f7f10
    """
    with _desk(data) as (desk, owner):
        taken(desk.remove(owner, endpoint) or endpoint, _HINT)
    emit({"removed": endpoint}, as_json=as_json)


_HINT = "see: opencarrier hooks list"
_NONE = {
    "endpoint": "register one: opencarrier hooks add --help",
    "message": "try it: opencarrier hooks test --help",
}


@contextmanager
def _desk(data: Path) -> Iterator[tuple[WebhookDesk, Visitor]]:
    """Open a folder; whoever may is its owner."""
    from opencarrier.app.hooking import WebhookDesk

    with installation(data) as base:
        yield WebhookDesk(base), _visitor("")


def _visitor(party: str) -> Visitor:
    """Return the owner; for a party whoever acts for it."""
    from opencarrier.app.console.visitor import Visitor
    from opencarrier.identity.accounts.model import Grant, Role
    from opencarrier.spine.parties import PartyId
    from opencarrier.webhooks.model import Audience

    audience = Audience.of(PartyId(party))
    if party and audience is Audience.INSTALLATION:
        raise CommandError(Exit.USAGE, f"--party {party}", "an id, as op_..., host_... or sub_...")
    if not party:
        return Visitor(grants=frozenset({Grant(Role.OWNER)}))
    return Visitor(grants=frozenset({Grant(Role(audience.value), PartyId(party))}))


def _asked(work: Any) -> Any:
    """Do something that may not take a cursor."""
    from starlette.exceptions import HTTPException

    try:
        return work()
    except HTTPException as error:
        raise CommandError(Exit.USAGE, str(error.detail), "`next` of a page before") from None


def _emit_page(rows: list[dict[str, Any]], after: str | None, key: str, *, as_json: bool) -> None:
    if as_json or for_people():
        emit({"items": rows, "next": after}, as_json=as_json, empty=_NONE[key])
        return
    told: dict[str, Any] = {str(row[key]): _short(row) for row in rows}
    emit({**told, **({"next": after} if after else {})} or {"none": "yet"}, as_json=False)


def _short(row: dict[str, Any]) -> str:
    """Return a line of an endpoint, or of a delivery."""
    if "url" in row:
        whose = row["name"] or row["party"] or "this installation"
        stands = row["off"] or ("does not answer" if row["failures"] else "hears")
        return f"{row['url']}  {whose}  {' '.join(row['kinds']) or 'everything'}  {stands}"
    answer = " ".join(
        str(one) for one in (row["status"] or "", row["reason"], row["answer"]) if one
    )
    return f"{row['kind']}  {row['state']}  {row['attempts']} attempts  {answer}".rstrip()
