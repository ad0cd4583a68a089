"""Commands about the chain: where it stands, put the venue up, push a claim."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    at_venue,
    group,
    installation,
    payout_address,
    taken,
    venue,
)
from opencarrier.app.output import Exit, emit, refused, say

chain = group("chain", "The chain: the venue's contracts and what is under way there.")


@chain.command("status")
def chain_status(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Say where the chain stands: head, finality, contracts, gas, open transactions, alarms.

    Example: opencarrier chain status --json
    """
    from opencarrier.app import chain_status as report
    from opencarrier.chain.client import shown_url

    with installation(data) as base:
        told: dict[str, Any] = {
            "deployed": False,
            "chain": shown_url(base.settings.chain),
            "hub": base.hub.address,
        }
        if base.manifest() is not None:
            with at_venue(base) as place, base.store.read() as unit:
                told = report.chain_status(place, unit)
    emit(told, as_json=as_json)


@chain.command("deploy")
def chain_deploy(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Put the venue's contracts on the chain, once, and write down where they stand.

    Example: opencarrier chain deploy --data ./venue
    """
    from opencarrier.app.chain_status import deployed

    with installation(data, begin=True) as base:
        known = base.manifest()
        if known is not None:
            refused(
                f"the venue stands: clearing house {known.clearing_house} "
                f"on chain {known.chain_id}, pinned in {base.folder.manifest}",
                "a venue is put up once, or a cycle could be paid twice; "
                "for another venue name another folder with --data",
            )
        with at_venue(base) as place:
            told = deployed(place.manifest)
    emit(told, as_json=as_json)


@chain.command("serve")
def chain_serve(
    port: Annotated[int, typer.Option(help="Where, on loopback; 0: any.")] = 8545,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            help="A page that may ask it, as http://127.0.0.1:8400; this console if none."
        ),
    ] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Serve the folder's chain over JSON-RPC, for reading alone, until Ctrl-C.

    So that receipts are checked while nothing else of the installation runs. A running one serves
    its chain itself.

    Example: opencarrier chain serve --port 8545
    """
    from opencarrier.app.serving_chain import own_origins, serve_chain

    with installation(data) as base:
        origins = origin or own_origins(base)
        serve_chain(base, port=port, origins=origins, ready=lambda url: _serving(url, origins))
    say("stopped")


def _serving(url: str, origins: list[str]) -> None:
    say(f"chain    {url}, for reading; stop with Ctrl-C")
    say(f"pages    of {', '.join(origins)} may ask it")


@chain.command("claim")
def chain_claim(
    who: Annotated[str, typer.Argument(help="A host's name or party id, or a payout address.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Push a reward claim for whom it belongs to: the money goes there, the hub pays the gas.

    Example: opencarrier chain claim "Cafe Lumiere"
    """
    from opencarrier.app.errands import Errands
    from opencarrier.kernel.ids import to_hex

    with venue(data) as place:
        account = payout_address(place.base, who)
        done = taken(Errands(place).claim(account), "what a cycle earned comes with its settlement")
    emit(
        {
            "account": account,
            "amount_minor": done.amount_minor,
            "lifetime_minor": done.lifetime_minor,
            "tx_hash": to_hex(done.tx_hash),
        },
        as_json=as_json,
    )


@chain.command("index")
def chain_index(
    check: Annotated[
        bool, typer.Option("--check", help="Compare every number with its contract.")
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Rebuild the contracts' numbers from their events alone, and compare them; 1 if any differs.

    Example: opencarrier chain index --check --json
    """
    from opencarrier.app.chain_status import index_status

    with venue(data) as place:
        write = place.base.store.write
        if not check:
            at = place.index.catch_up(write)
            emit({"block": None if at is None else at.number}, as_json=as_json)
            return
        checked = place.index.check(write)
    emit(index_status(checked), as_json=as_json)
    if checked.differences:
        raise typer.Exit(Exit.REFUSED)


@chain.command("resume")
def chain_resume(
    alarm: Annotated[str, typer.Argument(help="The alarm in force, as `chain status` names it.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let settling go on after somebody has looked why it was halted.

    Example: opencarrier chain resume endpoints_differ
    """
    from opencarrier.settlement.model import Alarm

    with venue(data) as place, place.base.store.write() as unit:
        halt = place.settlement.halt(unit)
        if halt is None:
            refused("settling is not halted", "see: opencarrier chain status")
        if halt.alarm.value != alarm:
            refused(f"settling is halted by {halt.alarm.value}: {halt.detail}", "name that alarm")
        if halt.alarm is Alarm.SETTLED_OTHERWISE:
            refused(
                f"the cycle is lost: {halt.detail}",
                "the venue settled it with other content; agree with who did, then begin anew",
            )
        place.settlement.resume(unit)
    emit({"resumed": alarm, "detail": halt.detail}, as_json=as_json)


GROUPS = (chain,)
