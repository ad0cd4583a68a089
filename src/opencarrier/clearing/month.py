"""A rated month cleared: positions with their records' roots, netted, each party told its own.

The folder that comes out holds `positions.parquet`, the `tree` with its levels, `flows.json` for
the one who clears, and in `parties/PARTY/` what each party may see: its row with the proof of it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

from opencarrier.clearing import tree
from opencarrier.clearing.accounts import Account, by_line, read_accounts
from opencarrier.clearing.documents import (
    Invoice,
    corrections,
    invoices,
    naming,
    numbers_of,
)
from opencarrier.clearing.dues import Flow
from opencarrier.clearing.level_files import Placed, writing
from opencarrier.clearing.model import NO_JURISDICTION
from opencarrier.clearing.month_dues import account_of, month_flows, runs_of, write_dues
from opencarrier.clearing.month_earnings import write_earnings
from opencarrier.clearing.month_rungs import by_rung
from opencarrier.clearing.netting import NettingMode, balances, obligations
from opencarrier.clearing.new_folder import new_folder
from opencarrier.clearing.party_rows import rows_of, write_rows
from opencarrier.clearing.placed_positions import PlacedPosition, write_positions
from opencarrier.clearing.published import Published, publish
from opencarrier.clearing.rated_leaf import SECRET_OCTETS
from opencarrier.clearing.rated_rows import MEMORY_MIB, RowHasher, Run, stream
from opencarrier.clearing.recleared import (
    Earlier,
    Obligations,
    changes,
    key_of,
    owed_anew,
    read_earlier,
    read_numbers,
    write_standing,
)
from opencarrier.clearing.statement_files import write_statements
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine import ids
from opencarrier.spine.money import Due, Position, Role
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Rung

FORMAT: Final = "opencarrier/cleared/v1"
REPORT: Final = "clearing.json"
STATEMENTS: Final = ("none", "csv", "pdf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is cleared, how, and where to; `secret` hides the leaves of this cycle alone.

    `pledges` are by asset. A party without a jurisdiction is in `zz`. With `post_at_us` the
    positions are booked as holds of that instant, in a ledger within the folder. `statements` are
    `none`, `csv`, or `pdf`: CSV, and each invoice as PDF too. `dues` are what deals adjusted.
    `matched` has the outcomes of matching `usage`; without them all positions are one-sided.

    `corrects` is an earlier clearing of the same month, whose records were corrected since: only
    what differs is owed and billed. `invoiced` is the clearing whose invoices `dues` correct, where
    it is not this one.
    """

    rated: Path
    out: Path
    domain: str
    sequence: int
    mode: NettingMode
    secret: bytes
    counterparty: PartyId | None = None
    pledges: Mapping[AssetId, Mapping[PartyId, int]] = field(default_factory=dict)
    jurisdictions: Mapping[PartyId, str] = field(default_factory=dict)
    memory_mib: int = MEMORY_MIB
    post_at_us: int | None = None
    statements: str = "none"
    dues: Sequence[Due] = ()
    corrects: Path | None = None
    invoiced: Path | None = None
    matched: Path | None = None
    usage: Path | None = None

    def __post_init__(self) -> None:
        assert len(self.secret) == SECRET_OCTETS, "a cycle's secret has 32 octets"
        assert self.statements in STATEMENTS
        assert not (self.corrects and (self.dues or self.matched)), "one after the other"
        assert (self.matched is None) == (self.usage is None), "outcomes are of usage records"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """A cleared month: its positions with their places in the tree, and each asset's netting."""

    records_root: bytes
    rows_root: bytes
    positions: Sequence[PlacedPosition]
    obligations: Obligations
    netted: Mapping[AssetId, Published]
    holds: int
    corrects: str | None = None

    def as_mapping(self) -> dict[str, Any]:
        """Return the report with stable keys, for JSON; amounts are in minor units of an asset."""
        return {
            "format": FORMAT,
            "records_root": to_hex(self.records_root),
            "rows_root": to_hex(self.rows_root),
            "positions": len(self.positions),
            "co_signed": sum(item.account.rung is Rung.CO_SIGNED for item in self.positions),
            "records": sum(item.position.records for item in self.positions),
            "adjustments": len(
                {item.flow.due.adjustment.adjustment_id for item in self.positions if item.flow}
            ),
            "holds": self.holds,
            "corrects": self.corrects,
            "assets": {asset: self._asset(asset) for asset in sorted(self.netted)},
        }

    def _asset(self, asset: AssetId) -> dict[str, Any]:
        netted, owed = self.netted[asset], self.obligations[asset]
        return {
            "mode": netted.mode.name.lower(),
            "counterparty": netted.counterparty,
            "obligations": len(owed),
            "gross_minor": sum(owed.values()),
            "shares": self._shares(asset),
            "flows": len(netted.flows),
            "residual_minor": netted.residual_minor,
            "money_minor": netted.money_minor,
            "net_minor": sum(amount for amount in balances(owed).values() if amount > 0),
        }

    def _shares(self, asset: AssetId) -> dict[str, int]:
        """Say whose the month's use is, by role: together what its positions come to."""
        used = [item.position for item in self.positions if item.flow is None]
        positions = [position for position in used if position.asset == asset]
        shares = dict.fromkeys(Role, 0)
        for position in positions:
            onward = sum(leg.amount_minor for leg in position.legs)
            assert 0 <= onward <= position.amount_minor, "a creditor owes onward what it is owed"
            shares[Role.SELLER] += position.amount_minor - onward
            for leg in position.legs:
                shares[leg.role] += leg.amount_minor
        assert sum(shares.values()) == sum(position.amount_minor for position in positions)
        return {f"{role.name.lower()}_minor": shares[role] for role in Role}


def clear(order: Order) -> Cleared:
    """Clear a rated month into a new folder, whole or not at all; `PeerError` for what is amiss."""
    scratch = ("spill", "rungs")
    with new_folder(order.out, report=REPORT, holds="cleared month", scratch=scratch) as folder:
        rated = _by_rung(order, folder / "rungs")
        accounts, lines = read_accounts(rated)
        owing = [account for account in accounts if account.amount_minor]
        flows = month_flows(order.dues)
        earlier = None if order.corrects is None else read_earlier(order.corrects)
        placed = list(_place(replace(order, rated=rated), owing, flows, lines, folder))
        cleared = _net(order, placed, earlier)
        cleared = replace(cleared, holds=_post(order, cleared, folder))
        write_positions(folder / "positions.parquet", placed)
        _write_flows(folder / "flows.json", cleared)
        write_earnings(order.rated, placed, folder, order.memory_mib)
        write_rows(folder / "parties", cleared.obligations, cleared.netted, order.secret)
        write_dues(folder / "parties", placed, order.secret)
        _bill(order, placed, earlier, folder)
        folder.joinpath(REPORT).write_text(json.dumps(cleared.as_mapping(), indent=2) + "\n")
    return cleared


def _by_rung(order: Order, folder: Path) -> Path:
    if order.matched is None or order.usage is None:
        return order.rated
    return by_rung(order.rated, order.matched, order.usage, folder, order.memory_mib)


def _place(
    order: Order,
    owing: Sequence[Account],
    flows: Sequence[Flow],
    lines: Sequence[Mapping[str, Any]],
    folder: Path,
) -> Iterator[PlacedPosition]:
    """Build each account's tree of records; its root makes the position's id.

    Adjustments come behind the use, each flow an account with a tree of one record.
    """
    accounts = [*owing, *map(account_of, flows)]
    cycle = {
        asset: ids.cycle_id(order.domain, asset, order.sequence)
        for asset in {account.asset for account in accounts}
    }
    hasher = RowHasher(order.secret, lines)
    batches = stream(order.rated, by_line(owing), folder / "spill", order.memory_mib)
    used = (run for batch in batches for run in hasher.runs(batch))
    runs = chain(used, runs_of(flows, order.secret, len(owing)))
    for number, built in build_trees(runs, folder / "tree"):
        account = accounts[number]
        flow = flows[number - len(owing)] if number >= len(owing) else None
        if built.size != account.records:
            raise PeerError(
                "records", f"{account.debtor} at {account.creditor}: {built.size} rows are rated, "
                f"the sums say {account.records}"
            )  # fmt: skip
        owner = account.creditor if flow is None else flow.due.adjustment.seller
        jurisdiction = order.jurisdictions.get(owner, NO_JURISDICTION)
        position = _position(cycle[account.asset], account, built, jurisdiction)
        yield PlacedPosition(position=position, account=account, tree=built, flow=flow)


def build_trees(runs: Iterable[Run], folder: Path) -> Iterator[tuple[int, Placed]]:
    """Write one tree for each account, and the ids beside its leaves; its runs stand together."""
    with writing(folder) as writer, (folder / "usage-ids").open("wb") as ids_file:
        present: int | None = None
        for run in runs:
            if present is not None and run.account != present:
                yield present, writer.finish()
            present = run.account
            writer.add(run.leaves)
            ids_file.write(run.usage_ids)
        if present is not None:
            yield present, writer.finish()


def _position(cycle_id: Id, account: Account, built: Placed, jurisdiction: str) -> Position:
    root = tree.sealed_root(tree.PAIR, built.size, built.root)
    return Position(
        position_id=ids.position_id(
            cycle_id,
            account.debtor,
            account.creditor,
            account.asset,
            rung=account.rung,
            pair_root=root,
            amount_minor=account.amount_minor,
        ),
        cycle_id=cycle_id,
        debtor=account.debtor,
        creditor=account.creditor,
        asset=account.asset,
        jurisdiction=jurisdiction,
        rung=account.rung,
        pair_root=root,
        records=built.size,
        amount_minor=account.amount_minor,
        legs=account.legs,
    )


def _post(order: Order, cleared: Cleared, folder: Path) -> int:
    if order.post_at_us is None:
        return 0
    from opencarrier.clearing.month_ledger import post, post_edges

    if cleared.corrects is None:
        return post(folder, (item.position for item in cleared.positions), order.post_at_us)
    cycles = {
        asset: ids.cycle_id(order.domain, asset, order.sequence) for asset in cleared.obligations
    }
    return post_edges(folder, cleared.obligations, cycles, order.post_at_us)


def _bill(
    order: Order, placed: Sequence[PlacedPosition], earlier: Earlier | None, folder: Path
) -> None:
    """Write statements where they are asked for, and keep what later clearings have to know."""
    used = [item for item in placed if item.flow is None]
    bills = _bills(order, placed, earlier)
    numbers = numbers_of(bills)
    if earlier is not None:
        numbers = {**numbers, **earlier.numbers}
    write_standing(folder, _obligations(used), numbers)
    if order.statements != "none":
        if earlier is None:
            known = numbers if order.invoiced is None else read_numbers(order.invoiced)
            bills = list(naming(bills, known))
        write_statements(folder / "parties", bills, with_pdf=order.statements == "pdf")


def _bills(
    order: Order, placed: Sequence[PlacedPosition], earlier: Earlier | None
) -> list[Invoice]:
    if earlier is None:
        return invoices(placed, order.sequence)
    differs = changes((item.account for item in placed), earlier)
    position_of = {key_of(item.account): to_hex(item.position.position_id) for item in placed}
    return corrections(differs, earlier.numbers, order.sequence, position_of)


def _obligations(placed: Iterable[PlacedPosition]) -> Obligations:
    by_asset: defaultdict[AssetId, list[Position]] = defaultdict(list)
    for item in placed:
        by_asset[item.position.asset].append(item.position)
    return {asset: obligations(positions) for asset, positions in sorted(by_asset.items())}


def _net(order: Order, placed: Sequence[PlacedPosition], earlier: Earlier | None) -> Cleared:
    by_jurisdiction: defaultdict[str, list[Id]] = defaultdict(list)
    for item in placed:
        by_jurisdiction[item.position.jurisdiction].append(item.position.position_id)
    owed = _obligations(placed)
    if earlier is not None:
        owed = owed_anew(owed, earlier.used)
        if not owed:
            raise PeerError("corrects", "nothing differs from what was cleared before")
    netted = {
        asset: publish(
            edges,
            order.mode,
            pledges=order.pledges.get(asset, {}),
            counterparty=order.counterparty,
        )
        for asset, edges in owed.items()
    }
    return Cleared(
        records_root=tree.records_root(by_jurisdiction),
        rows_root=rows_of(owed, netted, order.secret).root,
        positions=placed,
        obligations=owed,
        netted=netted,
        holds=0,
        corrects=None if earlier is None else earlier.records_root,
    )


def _write_flows(path: Path, cleared: Cleared) -> None:
    """Write what the clearer keeps: every edge with what was owed and what stays."""
    told = {
        asset: {
            "mode": netted.mode.name.lower(),
            "counterparty": netted.counterparty,
            "owed": [[*edge, amount] for edge, amount in cleared.obligations[asset].items()],
            "flows": [[*edge, amount] for edge, amount in netted.flows.items()],
            "paid_in": dict(netted.paid_in),
            "paid_out": dict(netted.paid_out),
            "ranks": dict(netted.ranks),
        }
        for asset, netted in cleared.netted.items()
    }
    path.write_text(json.dumps(told) + "\n")
