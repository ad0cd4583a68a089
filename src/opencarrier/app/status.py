"""Where an installation stands: as one object, and of it what a person wants to see first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation, Onchain
from opencarrier.app.exchanger import exchange_lines
from opencarrier.app.passing_on import roles_of, route_lines
from opencarrier.app.till import till_status
from opencarrier.app.views import cycle_lines, host_lines, operator_lines
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.money import AssetId
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.spine.parties import PartyId

PARTIES_MAX: Final = 100
"""Hosts or operators that are listed; where there are more, none is: their own pages tell."""

CYCLES_SHOWN: Final = 5


def base_status(base: Installation, unit: Connection) -> dict[str, Any]:
    """Return what is known without any chain."""
    totals, numbers = base.usage.totals(unit), base.identity.places.numbers(unit)
    head = ledger.head(unit)
    return {
        "data": str(base.folder.root),
        "domain": base.settings.domain,
        "settles_as": base.hub.address,
        "operators": numbers["operator"],
        "nodes": numbers["node"],
        "hosts": numbers["host"],
        "roles": asdict(roles_of(base, unit)),
        "routes": route_lines(base.identity.directory.routes(unit)),
        "usage": asdict(totals),
        "suspended": len(base.rating.suspended(unit)),
        "exchanges": exchange_lines(base, unit),
        "ledger": {
            "entries": head.entry,
            "transfers": head.sequence,
            "head": to_hex(head.entry_hash),
        },
    }


def venue_status(place: Onchain, unit: Connection) -> dict[str, Any]:
    """Return what is known of cycles and money at the venue, by party where they are few."""
    at_us, numbers = place.base.clock.now_us(), place.base.identity.places.numbers(unit)
    hosts = host_lines(place, unit) if numbers["host"] <= PARTIES_MAX else []
    operators = operator_lines(place, unit) if numbers["operator"] <= PARTIES_MAX else []
    halt = place.settlement.halt(unit)
    return {
        "asset": str(place.manifest.asset),
        "clearing_house": place.manifest.clearing_house,
        "finality": str(place.client.finality),
        "gas_wei": place.client.balance(place.manager.sender),
        "cycles": [asdict(line) for line in cycle_lines(place, unit)],
        "waiting": [
            {
                "position_id": to_hex(item.position_id),
                "amount_minor": item.amount_minor,
                "reason": item.reason,
                "detail": item.detail,
            }
            for item in place.settlement.waiting(unit, at_us=at_us)
        ],
        "halt": None if halt is None else {"alarm": halt.alarm.value, "detail": halt.detail},
        "hosts_money": [asdict(line) for line in hosts],
        "till": till_status(place, unit),
        "operators_money": [asdict(line) for line in operators],
    }


def asked_of_people(base: Installation, unit: Connection) -> dict[str, int]:
    """Return what waits for a person: questions to approve, and prepaid money asked back."""
    manifest = base.manifest()
    asset = AssetId("") if manifest is None else manifest.asset
    refunds, refunds_minor = ledger.held_by(unit, asset, prefix=chart.refunds(PartyId("")))
    return {
        "approvals": len(base.accounts.approvals.waiting(unit)),
        "refunds": refunds,
        "refunds_minor": refunds_minor,
    }


def glance(told: dict[str, Any], asked: dict[str, int], since_us: int) -> dict[str, Any]:
    """Return what a person wants to see first of a status: alive, at work, paid, what to do."""
    usage, cycles = told["usage"], told.get("cycles", [])
    if told["running"]:
        running = {"running": "yes", "since_us": since_us, "page": told["http"]}
    else:
        running = {"running": f"no; start it: opencarrier up --data {told['data']}"}
    names = ("sequence", "state", "records", "gross_minor", "net_minor", "payments")
    newest = [{name: line[name] for name in names} for line in reversed(cycles[-CYCLES_SHOWN:])]
    return {
        **running,
        "data": told["data"],
        "domain": told["domain"],
        "settles_as": told["settles_as"],
        "sessions": f"{usage['sessions_open']:,} open, {usage['sessions']:,} in all",
        "last_cycle": f"{newest[0]['sequence']}, {newest[0]['state']}" if newest else "none yet",
        "waits_minor": sum(item["amount_minor"] for item in told.get("waiting", [])),
        **({"asked_back_minor": asked["refunds_minor"]} if asked["refunds_minor"] else {}),
        "attention": [*_attention(told, asked)] or "nothing waits for you",
        "cycles": newest,
        "operators": told.get("operators_money", []),
        "hosts": [_but(line, "payout") for line in told.get("hosts_money", [])],
        "partners": [_but(line, "own", "asset", "url") for line in told["exchanges"]],
        **{name: told[name] for name in ("routes", "radsec") if told.get(name)},
    }


def _but(line: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in names}


def _attention(told: dict[str, Any], asked: dict[str, int]) -> Iterator[str]:
    """What does not go on by itself, each with where to go on."""
    if told.get("halt") is not None:
        halt = told["halt"]
        yield (
            f"settling stopped ({halt['alarm']}): {halt['detail']}; see"
            f" opencarrier chain status --data {told['data']}"
        )
    if told.get("gas_wei") == 0:
        yield f"no gas: send some of the chain's own coin to {told['settles_as']}"
    if told["suspended"]:
        yield (
            f"{told['suspended']:,} uses have no price: add their agreement or plan"
            " (opencarrier agreement add --help)"
        )
    for item in told.get("waiting", [])[:PARTIES_MAX]:
        yield f"position {item['position_id']} waits: {item['reason']} {item['detail']}".rstrip()
    for line in told["exchanges"]:
        if line["failures"]:
            yield f"partner {line['peer']}: {line['failures']} failures in a row: {line['note']}"
    if asked["approvals"]:
        yield f"{asked['approvals']:,} questions to approve: page Approvals (opencarrier open)"
    if asked["refunds"]:
        yield f"{asked['refunds']:,} asked money back: page Refunds (opencarrier open)"
    if not told["operators"]:
        yield "no operator yet: opencarrier operator add NAME --jurisdiction FR"
    elif not told["nodes"]:
        yield "no node yet: opencarrier node add NODE --operator NAME --host HOST"
