"""What is shown of an installation: cycles, hosts, operators; the same for page and JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.kernel.ids import to_hex
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Balance
from opencarrier.settlement.figures import CycleFigures
from opencarrier.spine.parties import Host, PartyId

CYCLES_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleLine:
    """A cycle with what its last attempt moves; amounts in minor units."""

    sequence: int
    state: str
    cycle_id: str
    settlement_id: str
    tx_hash: str
    records_root: str
    records: int
    gross_minor: int
    net_minor: int
    payments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLine:
    """What a host earned in all settled cycles, and what it has withdrawn of it."""

    name: str
    payout: str
    earned_minor: int
    withdrawn_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorLine:
    """An operator's collateral in the clearing house and what it accrued since."""

    name: str
    jurisdiction: str
    collateral_minor: int
    accrued_minor: int


def cycle_lines(place: Onchain, unit: Connection) -> list[CycleLine]:
    """Return the cycles that were ordered, oldest first."""
    return [cycle_line(c) for c in reversed(place.settlement.figures(unit, limit=CYCLES_MAX))]


def host_lines(place: Onchain, unit: Connection) -> list[HostLine]:
    """Return every host, by name, with what it earned for all its beneficiaries."""
    hosts = place.base.identity.directory.hosts(unit)
    parts: defaultdict[PartyId, list[Balance]] = defaultdict(list)
    for account in ledger.accounts(unit, place.manifest.asset, prefix=chart.ENTITLED):
        parts[chart.entitled_host(account.name)].append(account.balance)
    return [_host_line(host, parts[host.party_id]) for host in sorted(hosts, key=lambda h: h.name)]


def operator_lines(place: Onchain, unit: Connection) -> list[OperatorLine]:
    """Return every operator, by name."""
    asset = place.manifest.asset
    operators = place.base.identity.directory.operators(unit)
    return [
        OperatorLine(
            name=operator.name,
            jurisdiction=operator.jurisdiction,
            collateral_minor=ledger.balance(
                unit, asset, chart.collateral(operator.party_id)
            ).posted_minor,
            accrued_minor=ledger.balance(
                unit, asset, chart.clearing(operator.party_id)
            ).posted_minor,
        )
        for operator in sorted(operators, key=lambda o: o.name)
    ]


def cycle_line(cycle: CycleFigures) -> CycleLine:
    """Put a cycle and its last attempt in one line."""
    return CycleLine(
        sequence=cycle.sequence,
        state=cycle.state.value,
        cycle_id=to_hex(cycle.cycle_id),
        settlement_id=to_hex(cycle.settlement_id),
        tx_hash=to_hex(cycle.tx_hash) if cycle.tx_hash is not None else "",
        records_root=to_hex(cycle.records_root),
        records=cycle.records,
        gross_minor=cycle.gross_minor,
        net_minor=cycle.net_minor,
        payments=cycle.payments,
    )


def _host_line(host: Host, parts: Sequence[Balance]) -> HostLine:
    return HostLine(
        name=host.name,
        payout=host.payout,
        earned_minor=sum(part.credits_posted for part in parts),
        withdrawn_minor=sum(part.debits_posted for part in parts),
    )
