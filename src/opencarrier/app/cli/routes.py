"""Commands about realms: where their packets go, who carries whose, names in the federation."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    group,
    installation,
    standard_input_once,
    taken,
)
from opencarrier.app.cli.people import client, operator
from opencarrier.app.output import CommandError, Exit, emit

route = group("route", "Routes: which realm's packets go where.")

Realm = Annotated[str, typer.Argument(help="A realm, *.SUFFIX, or * for all others.")]


@route.command("add")
def route_add(
    realm: Realm,
    to: Annotated[
        list[str], typer.Option("--to", help="tls://HOST:PORT or udp://HOST:PORT; again: the next.")
    ] = [],  # noqa: B006
    secret_file: Annotated[
        str, typer.Option("--secret-file", help="File with the shared secret (UDP); - for stdin.")
    ] = "",
    via: Annotated[str, typer.Option("--via", help="The servers of another route.")] = "",
    discover: Annotated[bool, typer.Option("--discover", help="Ask the DNS.")] = False,
    local: Annotated[bool, typer.Option("--local", help="It is answered here.")] = False,
    refuse: Annotated[bool, typer.Option("--refuse", help="It is rejected.")] = False,
    inward: Annotated[
        bool,
        typer.Option("--inward", help="Our own servers: the federation may reach them."),
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Send a realm's packets to servers, to whom the DNS names, or nowhere.

    Example: opencarrier route add '*' --discover
    """
    from opencarrier.app.passing_on import route_lines
    from opencarrier.identity import cli
    from opencarrier.identity.routing import read_server
    from opencarrier.spine.parties import Route, RouteKind

    chosen = {
        RouteKind.UPSTREAM: bool(to) or bool(via),
        RouteKind.DISCOVER: discover,
        RouteKind.LOCAL: local,
        RouteKind.REFUSE: refuse,
    }
    kinds = [kind for kind, is_chosen in chosen.items() if is_chosen]
    if len(kinds) != 1 or (to and via):
        words = "one of --to, --via, --discover, --local, --refuse"
        raise CommandError(Exit.USAGE, "a route leads one way", f"give {words}")
    if any(one.startswith("udp://") for one in to) and not secret_file:
        raise CommandError(Exit.USAGE, "udp:// needs a shared secret", "give --secret-file")
    standard_input_once(secret_file)
    secret = cli.read_secret(secret_file, standard_input=sys.stdin) if secret_file else b""
    servers = [taken(read_server(one, secret)) for one in to]
    upstream = via or (realm.lower() if to else "")
    wanted = Route(pattern=realm, kind=kinds[0], upstream=upstream, inward=inward)
    with installation(data, begin=True) as base, base.store.write() as unit:
        made = taken(base.identity.routing.add(unit, wanted, servers))
    emit(route_lines([made])[0], as_json=as_json)


@route.command("list")
def route_list(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show where realms go, and the servers.

    Example: opencarrier route list --json
    """
    from opencarrier.app.passing_on import route_lines

    with installation(data) as base, base.store.read() as unit:
        directory = base.identity.directory
        routes = directory.routes(unit)
        names = sorted({r.upstream for r in routes if r.upstream})
        servers = {
            name: [f"{s.transport}://{s.host}:{s.port}" for s in directory.servers(unit, name)]
            for name in names
        }
    emit(
        {"routes": route_lines(routes), "servers": servers},
        as_json=as_json,
        empty="add one: opencarrier route add --help",
    )


@route.command("remove")
def route_remove(realm: Realm, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Remove a route; what is owed to its homes waits for another.

    Example: opencarrier route remove '*'
    """
    with installation(data) as base, base.store.write() as unit:
        refusal = base.identity.routing.remove(unit, realm)
        if refusal is not None:
            taken(refusal)
    emit({"realm": realm, "removed": True}, as_json=as_json)


@client.command("carry")
def client_carry(
    name: Annotated[str, typer.Argument(help="The client's name, else its prefix.")],
    operators: Annotated[
        list[str], typer.Option("--operator", help="Whose packets it brings; again for more.")
    ] = [],  # noqa: B006
    anybody: Annotated[bool, typer.Option("--any", help="Any operator's known here.")] = False,
    federation: Annotated[
        bool, typer.Option("--federation/--inside", help="A peer outside, or one of ours.")
    ] = True,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let a client bring packets of operators that Operator-Name says, of nodes nobody registered.

    Example: opencarrier client carry dns:hub.example.org --any
    """
    from opencarrier.identity.cli import find
    from opencarrier.identity.model import PartyKind
    from opencarrier.spine.parties import ANY_OPERATOR

    with installation(data) as base, base.store.write() as unit:
        named = [taken(find(base.identity, unit, PartyKind.OPERATOR, one)) for one in operators]
        carried = taken(
            base.identity.routing.carry(
                unit,
                name,
                operators=[*named, *([ANY_OPERATOR] if anybody else [])],
                federation=federation,
            )
        )
    emit({"client_id": name, "carries": list(carried), "federation": federation}, as_json=as_json)


@operator.command("wba")
def operator_wba(
    name: Annotated[str, typer.Argument(help="The operator's name or party id.")],
    wba_id: Annotated[str, typer.Argument(help="Its id in the federation, EXAMPLE:US.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Say how the federation calls an operator: Operator-Name has it as 4EXAMPLE:US.

    Example: opencarrier operator wba "Lumen Mobile" LUMEN:FR
    """
    from opencarrier.identity.cli import find
    from opencarrier.identity.model import PartyKind

    with installation(data) as base, base.store.write() as unit:
        party = taken(find(base.identity, unit, PartyKind.OPERATOR, name))
        made = taken(base.identity.routing.name_operator(unit, party, wba_id))
    emit({"operator": party, "wba_id": made}, as_json=as_json)
