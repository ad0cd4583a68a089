"""A cleared month's positions at rest, and a record's path read out of the files."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from opencarrier.clearing import tree
from opencarrier.clearing.accounts import Account
from opencarrier.clearing.level_files import Placed, read_path
from opencarrier.clearing.model import ProofRefusal, RecordPath
from opencarrier.kernel.ids import ID_OCTETS, Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.spine.money import Position
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Rung

_AMOUNT: Final = pa.decimal128(38, 0)
AMOUNT_BITS: Final = 126
"""Sums at rest are DECIMAL(38, 0); whatever is beyond is refused before."""

_SCHEMA: Final = pa.schema(
    [
        *((name, pa.binary(ID_OCTETS)) for name in ("position_id", "cycle_id", "pair_root")),
        *((name, pa.string()) for name in ("debtor", "creditor", "asset", "jurisdiction")),
        *((name, pa.string()) for name in ("currency", "rate")),
        ("decimals", pa.int32()),
        ("rung", pa.int8()),
        ("records", pa.int64()),
        ("amount_minor", _AMOUNT),
        *(
            (f"{leg}_minor", _AMOUNT)
            for leg in ("currency_seller", "currency_host", "currency_protocol", "currency_tax")
        ),
        ("tree_root", pa.binary(ID_OCTETS)),
        ("tree_starts", pa.list_(pa.int64())),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPosition:
    """A position, the account it is of, and where the tree of its records stands."""

    position: Position
    account: Account
    tree: Placed


def write_positions(path: Path, placed: Sequence[PlacedPosition]) -> None:
    """Write positions in the order of their trees; `PeerError` for an amount beyond 126 bits."""
    rows = [_row(item) for item in placed]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path)


def path_of(cleared: Path, usage_id: Id) -> RecordPath | Refusal:
    """Return a record's path to the records root: some reads a level, and nothing is built again.

    The ids beside the leaves are searched tree by tree.
    """
    rows: list[dict[str, Any]] = pq.read_table(cleared / "positions.parquet").to_pylist()
    with (cleared / "tree" / "usage-ids").open("rb") as file:
        for row in rows:
            found = _Ids(file, row["tree_starts"][0], row["records"]).index(usage_id)
            if found is not None:
                return _path(cleared, rows, row, found)
    return Refusal(ProofRefusal.NO_RECORD, usage_id.hex())


class _Ids(Sequence[bytes]):
    """A tree's usage ids in their file, ascending."""

    def __init__(self, file: Any, start: int, count: int) -> None:
        self._file, self._start, self._count = file, start, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        self._file.seek((self._start + index) * ID_OCTETS)
        return self._file.read(ID_OCTETS)

    def index(self, usage_id: bytes, *_: Any) -> Any:
        place = bisect_left(self, usage_id)
        return place if place < self._count and self[place] == usage_id else None


def _path(
    cleared: Path, rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any], index: int
) -> RecordPath:
    by_name: dict[str, list[Id]] = {}
    for other in rows:
        by_name.setdefault(other["jurisdiction"], []).append(other["position_id"])
    name = row["jurisdiction"]
    trees = {key: tree.jurisdiction_tree(ids) for key, ids in sorted(by_name.items())}
    roots = {key: tree.seal_jurisdiction(made) for key, made in trees.items()}
    placed = Placed(size=row["records"], root=row["tree_root"], starts=tuple(row["tree_starts"]))
    return RecordPath(
        record=read_path(cleared / "tree", placed, index),
        cycle_id=row["cycle_id"],
        debtor=PartyId(row["debtor"]),
        creditor=PartyId(row["creditor"]),
        asset=AssetId(row["asset"]),
        rung=Rung(row["rung"]),
        amount_minor=int(row["amount_minor"]),
        position=trees[name].path(sorted(by_name[name]).index(row["position_id"])),
        jurisdiction=name,
        domain=tree.domain_tree(roots).path(sorted(roots).index(name)),
    )


def _row(item: PlacedPosition) -> dict[str, Any]:
    position, account = item.position, item.account
    return {
        "position_id": position.position_id,
        "cycle_id": position.cycle_id,
        "pair_root": position.pair_root,
        "debtor": position.debtor,
        "creditor": position.creditor,
        "asset": position.asset,
        "jurisdiction": position.jurisdiction,
        "currency": account.currency,
        "rate": str(account.rate),
        "decimals": account.decimals,
        "rung": int(position.rung),
        "records": position.records,
        "amount_minor": _amount(position.amount_minor),
        "currency_seller_minor": _amount(account.seller_minor),
        "currency_host_minor": _amount(account.host_minor),
        "currency_protocol_minor": _amount(account.protocol_minor),
        "currency_tax_minor": _amount(account.tax_minor),
        "tree_root": item.tree.root,
        "tree_starts": list(item.tree.starts),
    }


def _amount(minor: int) -> int:
    if minor.bit_length() > AMOUNT_BITS:
        raise PeerError("amount", f"{minor} is beyond {AMOUNT_BITS} bits")
    return minor
