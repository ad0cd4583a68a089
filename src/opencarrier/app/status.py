"""Where an installation stands, as one object."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation, Onchain
from opencarrier.app.exchanger import exchange_lines
from opencarrier.app.passing_on import roles_of, route_lines
from opencarrier.app.till import till_status
from opencarrier.app.views import cycle_lines, host_lines, operator_lines
from opencarrier.ledger import service as ledger

PARTIES_MAX: Final = 100
"""Hosts or operators that are listed; where there are more, none is: their own pages tell."""


def base_status(base: Installation, unit: Connection) -> dict[str, Any]:
    """Return what is known without any chain."""
    totals, numbers = base.usage.totals(unit), base.identity.places.numbers(unit)
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
            "sum_minor": {str(a): total for a, total in ledger.sum_minor(unit).items()},
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
                "position_id": "0x" + item.position_id.hex(),
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
