"""A rated month cleared: the tree on disk against the tree in memory, proofs, sums, refusals."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine
from tests.clearing.rated_months import SECRET, order, rate, rated_records, rows

from opencarrier.clearing import month_ledger, tree
from opencarrier.clearing.accounts import exchange, hosts_of
from opencarrier.clearing.month import Cleared, Order, clear
from opencarrier.clearing.netting import NettingMode, balances
from opencarrier.clearing.party_rows import check_row
from opencarrier.clearing.placed_positions import path_of
from opencarrier.clearing.rated_leaf import RatedRecord, leaf_data, salt_of
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.merkle import leaf_hash
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.spine import ids
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Rung


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> tuple[Order, Cleared]:
    made = order(rate(tmp_path_factory.mktemp("month"), 120))
    return made, clear(made)


def in_memory(rated: Path) -> bytes:
    """The records root by the plain functions of `tree`, from the rows one by one."""
    groups: defaultdict[Any, list[RatedRecord]] = defaultdict(list)
    for line, record in rated_records(rated):
        key = tuple(line[n] for n in ("home", "visited", "asset", "currency", "rate", "decimals"))
        groups[key].append(record)
    made = []
    for (home, visited, asset, _, rate_, decimals), records in groups.items():
        leaves = [
            leaf_hash(leaf_data(record, salt_of(SECRET, record.usage_id)))
            for record in sorted(records, key=lambda record: record.usage_id)
        ]
        gross = sum(r.seller_minor + r.host_minor + r.protocol_minor + r.tax_minor for r in records)
        made.append(
            ids.position_id(
                ids.cycle_id("test", asset, 1),
                home,
                visited,
                asset,
                rung=Rung.ONE_SIDED,
                pair_root=tree.pair_root(leaves),
                amount_minor=exchange(gross, rate_, decimals),
            )
        )
    return tree.records_root({"zz": made})


def test_the_tree_on_disk_has_the_root_of_the_tree_in_memory(month: tuple[Order, Cleared]) -> None:
    made, cleared = month
    assert cleared.records_root == in_memory(made.rated)


def test_every_record_is_proven_by_reads_alone(month: tuple[Order, Cleared]) -> None:
    made, cleared = month
    records = [record for _, record in rated_records(made.rated)]
    assert sum(item.position.records for item in cleared.positions) == len(records) > 80
    for record in records:
        path = path_of(made.out, record.usage_id)
        assert not isinstance(path, Refusal)
        data = leaf_data(record, salt_of(SECRET, record.usage_id))
        assert tree.root_of_record(data, path) == cleared.records_root
        other = leaf_data(replace(record, host_minor=record.host_minor + 1), salt_of(SECRET, b""))
        assert tree.root_of_record(other, path) != cleared.records_root


def test_what_is_not_in_the_cycle_has_no_path(month: tuple[Order, Cleared]) -> None:
    made, _ = month
    proven = {record.usage_id for _, record in rated_records(made.rated)}
    unknown = [derive("month", number) for number in range(121)]
    for usage_id in unknown:
        assert isinstance(path_of(made.out, usage_id), Refusal) == (usage_id not in proven)
    assert isinstance(path_of(made.out, Id(b"\xff" * 32)), Refusal)
    assert isinstance(path_of(made.out, Id(bytes(32))), Refusal)


def test_nobody_can_try_out_what_a_leaf_says_without_the_secret(
    month: tuple[Order, Cleared],
) -> None:
    """A person's key and the secret may go: roots, paths and sums stand, and nothing is legible."""
    made, cleared = month
    _, record = rated_records(made.rated)[0]
    path = path_of(made.out, record.usage_id)
    assert not isinstance(path, Refusal)
    for guess in (bytes(32), salt_of(b"\x08" * 32, record.usage_id)):
        assert tree.root_of_record(leaf_data(record, guess), path) != cleared.records_root
    assert clear(replace(made, out=made.out.with_name("other"), secret=b"\x08" * 32)) != cleared


def test_positions_are_the_sums_of_the_records_exchanged_once(month: tuple[Order, Cleared]) -> None:
    made, cleared = month
    sums: defaultdict[Any, int] = defaultdict(int)
    for line, r in rated_records(made.rated):
        key = (line["home"], line["visited"])
        sums[key] += r.seller_minor + r.host_minor + r.protocol_minor + r.tax_minor
    told = {(p.position.debtor, p.position.creditor): p.position for p in cleared.positions}
    assert told.keys() == sums.keys()
    for (home, visited), minor in sums.items():
        owed = (minor * 1_082_551 + 500_000) // 1_000_000 if home == "op_c" else minor
        assert told[home, visited].amount_minor == owed
        assert sum(leg.amount_minor for leg in told[home, visited].legs) < owed


def test_use_is_the_sellers_the_hosts_the_protocols_and_the_taxmans_to_the_unit(
    month: tuple[Order, Cleared],
) -> None:
    """All legs of all positions are what is due; all parties' nets are nothing."""
    made, cleared = month
    asset = AssetId("issuer/EUR")
    shares = cleared.as_mapping()["assets"][asset]["shares"]
    due = sum(item.position.amount_minor for item in cleared.positions)
    assert sum(shares.values()) == due
    assert min(shares.values()) > 0
    assert sum(balances(cleared.obligations[asset]).values()) == 0
    earned = defaultdict(int)
    for row in pq.read_table(made.out / "earnings.parquet").to_pylist():
        earned[hosts_of(row["visited"])] += int(row["earned_minor"])
    nets = balances(cleared.obligations[asset])
    assert dict(earned) == {party: nets[party] for party in nets if party.startswith("hosts_")}
    assert sum(earned.values()) == shares["host_minor"]


def test_nodes_share_their_operators_leg_each_within_one_unit(tmp_path: Path) -> None:
    """By order of names, whatever the parts are; as many nodes as records, at another rate."""
    lines = [replace(line, currency="EUR", rate=1_082_551, decimals=6) for line in rows()]
    folder = rate(tmp_path, 60, lines, nodes=7)
    cleared = clear(order(folder))
    hosts: defaultdict[str, list[int]] = defaultdict(list)
    for row in pq.read_table(folder / "nodes.parquet").to_pylist():
        hosts[row["visited"]].append(int(row["host_minor"]))
    rows_of = pq.read_table(folder.with_name("cleared") / "earnings.parquet").to_pylist()
    for visited, shares in hosts.items():
        legs = [
            leg.amount_minor
            for item in cleared.positions
            for leg in item.position.legs
            if leg.party == hosts_of(PartyId(visited))
        ]
        parts = [int(row["earned_minor"]) for row in rows_of if row["visited"] == visited]
        assert len(parts) == len(shares) > 1
        assert sum(parts) == sum(legs)
        for part, share in zip(parts, shares, strict=True):
            assert abs(part * sum(shares) - sum(legs) * share) < sum(shares)


def test_nodes_that_earned_something_else_are_refused(tmp_path: Path) -> None:
    rated = rate(tmp_path, 30)
    nodes = pq.read_table(rated / "nodes.parquet")
    pq.write_table(nodes.slice(1), rated / "nodes.parquet")
    with pytest.raises(PeerError, match="nodes: "):
        clear(order(rated))
    (rated / "nodes.parquet").unlink()
    with pytest.raises(PeerError, match="holds no rated month"):
        clear(order(rated))


def test_each_party_is_told_its_own_row_and_can_check_it(month: tuple[Order, Cleared]) -> None:
    made, cleared = month
    folders = sorted(path.name for path in (made.out / "parties").iterdir())
    hosts = ["hosts_op_a", "hosts_op_b", "hosts_op_c"]
    assert folders == [*hosts, "op_a", "op_b", "op_c", "op_p", "tax_t"]
    for name in folders:
        for row in json.loads((made.out / "parties" / name / "row.json").read_text()):
            assert check_row(row, cleared.rows_root) is None
            assert all(name in (row["party"],) for _ in row["edges"])
            for place, figure in ((0, "x"), (2, 7), (4, 7)):
                edges = [list(edge) for edge in row["edges"]]
                edges[0][place] = figure
                assert "published" in str(check_row({**row, "edges": edges}, cleared.rows_root))
            assert check_row({**row, "salt": "00"}, cleared.rows_root) is not None
            assert check_row({"salt": row["salt"]}, cleared.rows_root) is not None


@pytest.mark.parametrize(
    ("mode", "more"),
    [
        (NettingMode.BILATERAL, {}),
        (NettingMode.CCP, {"counterparty": "op_house"}),
        (NettingMode.CIRCULAR, {"pledges": {"issuer/EUR": {"op_a": 10_000, "op_b": 10_000}}}),
    ],
)
def test_the_mode_changes_no_position_and_no_root(
    month: tuple[Order, Cleared], mode: NettingMode, more: dict[str, Any]
) -> None:
    made, cleared = month
    other = clear(replace(made, out=made.out.with_name(f"m{mode}"), mode=mode, **more))
    assert other.records_root == cleared.records_root
    assert [p.position for p in other.positions] == [p.position for p in cleared.positions]
    for path in (made.out.with_name(f"m{mode}") / "parties").iterdir():
        for row in json.loads((path / "row.json").read_text()):
            assert check_row(row, other.rows_root) is None


def test_files_and_their_order_change_no_root(month: tuple[Order, Cleared], tmp_path: Path) -> None:
    made, cleared = month
    rated = made.rated
    (tmp_path / "rated").mkdir()
    for name in ("lines", "line_sums", "nodes"):
        (tmp_path / f"{name}.parquet").write_bytes((rated / f"{name}.parquet").read_bytes())
    whole = pa.concat_tables([pq.read_table(p) for p in sorted((rated / "rated").glob("*"))])
    for number, rest in enumerate((2, 0, 1)):
        part = whole.take(pa.array([i for i in range(len(whole)) if i % 3 == rest][::-1]))
        pq.write_table(part, tmp_path / "rated" / f"{number:04}.parquet")
    assert clear(replace(made, rated=tmp_path, out=tmp_path / "c")).records_root == (
        cleared.records_root
    )


def test_a_record_that_is_rated_twice_or_missing_is_refused(
    month: tuple[Order, Cleared], tmp_path: Path
) -> None:
    made, _ = month
    (tmp_path / "rated").mkdir()
    for name in ("lines", "line_sums", "nodes"):
        (tmp_path / f"{name}.parquet").write_bytes((made.rated / f"{name}.parquet").read_bytes())
    whole = pq.read_table(next((made.rated / "rated").glob("*")))
    bad = replace(made, rated=tmp_path, out=tmp_path / "cleared")
    owing = next(i for i, item in enumerate(whole.to_pylist()) if item["line"] is not None)
    pq.write_table(
        pa.concat_tables([whole, whole.slice(owing, 1)]), tmp_path / "rated" / "0.parquet"
    )
    with pytest.raises(PeerError, match="twice"):
        clear(bad)
    pq.write_table(whole.take([i for i in range(len(whole)) if i != owing]),
                   tmp_path / "rated" / "0.parquet")  # fmt: skip
    with pytest.raises(PeerError, match="the sums say"):
        clear(bad)
    assert not bad.out.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_is_no_month_or_not_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="no rated month"):
        clear(order(tmp_path))
    (tmp_path / "mine").mkdir()
    with pytest.raises(PeerError, match="holds no cleared month"):
        clear(order(tmp_path, out=tmp_path / "mine"))


def test_a_month_in_which_nothing_is_owed_clears_to_nothing(tmp_path: Path) -> None:
    free = [replace(line, price_nano=0) for line in rows()]
    cleared = clear(order(rate(tmp_path, 30, free)))
    assert (cleared.positions, cleared.netted) == ([], {})
    assert cleared.records_root == tree.records_root({})


def test_the_ledger_holds_every_position_and_moves_nothing(tmp_path: Path) -> None:
    cleared = clear(order(rate(tmp_path, 60), post_at_us=7))
    owed = [item.position for item in cleared.positions]
    foreign = [position for position in owed if position.debtor != position.creditor]
    engine = create_engine(f"sqlite:///{tmp_path / 'cleared' / month_ledger.FILE}")
    with engine.connect() as unit:
        told = {
            party: ledger.balance(unit, AssetId("issuer/EUR"), chart.clearing(PartyId(party)))
            for party in ("op_a", "op_b", "op_c")
        }
        for party, balance in told.items():
            assert (balance.debits_posted, balance.credits_posted) == (0, 0)
            assert balance.credits_pending == sum(
                position.amount_minor for position in foreign if position.creditor == party
            )
    engine.dispose()
    legs = sum(len(position.legs) for position in owed)
    assert cleared.holds == len(foreign) + legs == cleared.as_mapping()["holds"]


def test_the_ledger_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    rated = rate(tmp_path, 60)
    for name in ("lines", "nodes"):
        table = pq.read_table(rated / f"{name}.parquet")
        huge = pa.array([9 * 10**18] * len(table), pa.int64())
        column = table.schema.get_field_index("rate")
        pq.write_table(table.set_column(column, "rate", huge), rated / f"{name}.parquet")
    assert max(item.position.amount_minor for item in clear(order(rated)).positions) > 1 << 64
    with pytest.raises(PeerError, match="ledger: "):
        clear(order(rated, post_at_us=7))
