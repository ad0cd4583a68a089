"""All commands of an installation under one name."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Annotated

import typer
from typer.main import get_command

from opencarrier import __version__
from opencarrier.app.cli import (
    advert,
    bans,
    books,
    chain,
    chain_channel,
    chain_corridor,
    chain_node,
    chain_rewards,
    chain_stake,
    chain_till,
    clearing,
    credentials,
    deals,
    dispute,
    doctor,
    evidence,
    exchange,
    hooks,
    logs,
    match,
    month,
    node_agent,
    node_meters,
    pay,
    people,
    pki,
    privacy,
    rcoi,
    routes,
    run,
    sessions,
    shadow,
    terms,
    trigger,
    usage,
)
from opencarrier.app.cli.parser import Root

for _group in (
    chain_stake.stake,
    chain_channel.channel,
    chain_node.node,
    chain_corridor.corridor,
    chain_rewards.rewards,
    chain_till.till,
):
    chain.chain.add_typer(_group)

for _name, _command in {**node_agent.COMMANDS, **node_meters.COMMANDS}.items():
    people.node.command(_name)(_command)

for _name, _act in bans.COMMANDS.items():
    people.node.command(_name)(_act)

chain_node.node.command("appoint")(bans.appoint)

people.subscriber.add_typer(credentials.credential)


def make() -> typer.Typer:
    """Make the command line, without importing what any command needs."""
    root = typer.Typer(
        name="opencarrier",
        cls=Root,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=True,
    )
    root.callback(
        help="Run or join an open wireless network where use, payment and proof are one thing.",
        epilog=EXAMPLE,
    )(_whole)
    root.command("up")(run.up)
    root.command("open")(run.open_console)
    root.command("status")(run.status)
    root.command("doctor")(doctor.doctor)
    groups = (
        *people.GROUPS,
        pki.pki,
        privacy.privacy,
        *terms.GROUPS,
        evidence.cycle,
        advert.advert,
        exchange.exchange,
        dispute.dispute,
        usage.usage,
        *books.GROUPS,
        rcoi.rcoi,
        routes.route,
        sessions.session,
        logs.logs,
        hooks.hooks,
        *chain.GROUPS,
        run.config,
        run.database,
    )
    for group in groups:
        root.add_typer(group)
    root.command("ingest")(evidence.ingest)
    root.command("match")(match.match)
    root.command("receipt")(evidence.receipt)
    root.command("trace")(evidence.trace)
    root.command("trigger")(trigger.trigger)
    root.command("verify")(evidence.verify)
    root.command("pay")(pay.pay)
    root.command("backup")(run.backup)
    root.command("restore")(run.restore)
    root.command("rate")(month.rate)
    root.command("sql")(month.sql)
    root.command("adjust")(deals.adjust)
    root.command("clear")(clearing.clear)
    root.command("shadow")(shadow.shadow)
    root.command("bench")(run.bench)
    return root


def run_command(root: typer.Typer, words: Sequence[str]) -> None:
    """Run a command line, of all commands building the one it names; it ends the process.

    To build a command is to read the types of all its parameters, and there are hundreds.
    """
    get_command(_towards(root, words))(words)


def _version(asked: bool) -> None:
    if asked:
        print(f"opencarrier {__version__}")
        raise typer.Exit


def _whole(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which this is."),
    ] = False,
) -> None:
    """Options before any command; each ends the process by itself."""


def _towards(tree: typer.Typer, words: Sequence[str]) -> typer.Typer:
    """Return of a tree what leads to the named command; all of it where none is named."""
    name, *rest = words or ("",)
    commands = [one for one in tree.registered_commands if one.name == name]
    groups = []
    for one in tree.registered_groups:
        if one.typer_instance is not None and one.typer_instance.info.name == name:
            group = copy(one)
            group.typer_instance = _towards(one.typer_instance, rest)
            groups.append(group)
    if not commands and not groups:
        return tree
    found = copy(tree)
    found.registered_commands, found.registered_groups = commands, groups
    return found


EXAMPLE = """\b
A real access point in ten commands (the shared secret in secret.txt, the SIM's keys in files):
  opencarrier operator add Lumen --jurisdiction FR --plmn 20893
  opencarrier operator deposit Lumen 500000000
  opencarrier host add Cafe && opencarrier node add cafe-1 --operator Lumen --host Cafe
  opencarrier agreement add --home Lumen --visited Lumen --price-nano 1900
  opencarrier tariff add --operator Lumen --plan prepaid --price-nano 5200
  opencarrier client add 192.0.2.10 --operator Lumen --secret-file secret.txt
  opencarrier subscriber add --operator Lumen --plan prepaid --imsi 208930000000001
      --ki-file ki.hex --opc-file opc.hex
  opencarrier subscriber topup 208930000000001 20000000
  opencarrier up --host 192.0.2.1
"""
