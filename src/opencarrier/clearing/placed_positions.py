"""A cleared month's positions at rest, and a record's path read out of the files."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from opencarrier.clearing import tree
from opencarrier.clearing.accounts import Account
from opencarrier.clearing.dues import Flow
from opencarrier.clearing.level_files import Placed, read_node, read_path
from opencarrier.clearing.model import ProofRefusal, RecordPath
from opencarrier.kernel.ids import ID_OCTETS, Id
from opencarrier.kernel.merkle import Tree
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
        ("adjustment_id", pa.binary(ID_OCTETS)),
        ("tree_root", pa.binary(ID_OCTETS)),
        ("tree_starts", pa.list_(pa.int64())),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPosition:
    """A position, the account it is of, and where the tree of its records stands.

    `flow` is what it is of an adjustment, None where its records are use.
    """

    position: Position
    account: Account
    tree: Placed
    flow: Flow | None = None


def write_positions(path: Path, placed: Sequence[PlacedPosition]) -> None:
    """Write positions in the order of their trees; `PeerError` for an amount beyond 126 bits."""
    rows = [_row(item) for item in placed]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path)


def path_of(cleared: Path, usage_id: Id) -> RecordPath | Refusal:
    """Return a record's path to the records root: some reads a level, and nothing is built again.

    The ids beside the leaves are searched tree by tree.
    """
    with ClearedRecords(cleared) as records:
        place = records.find(usage_id)
        if place is None:
            return Refusal(ProofRefusal.NO_RECORD, usage_id.hex())
        return records.path(place)


class RecordPlace(NamedTuple):
    """Where a record stands: the row of its position, and which of its leaves."""

    position: Mapping[str, Any]
    leaf: int


class ClearedRecords:
    """The records of a cleared month in their trees; positions are read once."""

    def __init__(self, cleared: Path) -> None:
        self._tree = cleared / "tree"
        self._positions = read_positions(cleared)
        self._file = (self._tree / "usage-ids").open("rb")

    def __enter__(self) -> Self:
        """Leave the file of ids open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._file.close()

    def find(self, usage_id: Id) -> RecordPlace | None:
        """Return where a usage's record stands, None where the month has none."""
        for row in self._positions:
            leaf = _Ids(self._file, row["tree_starts"][0], row["records"]).index(usage_id)
            if leaf is not None:
                return RecordPlace(row, leaf)
        return None

    def path(self, place: RecordPlace) -> RecordPath:
        """Return a record's path to the records root."""
        row = place.position
        name = row["jurisdiction"]
        domain = tree.domain_tree(self.jurisdiction_roots)
        return RecordPath(
            record=read_path(self._tree, _placed(row), place.leaf),
            cycle_id=row["cycle_id"],
            debtor=PartyId(row["debtor"]),
            creditor=PartyId(row["creditor"]),
            asset=AssetId(row["asset"]),
            rung=Rung(row["rung"]),
            amount_minor=int(row["amount_minor"]),
            position=self._jurisdictions[name].path(self._ids[name].index(row["position_id"])),
            jurisdiction=name,
            domain=domain.path(sorted(self.jurisdiction_roots).index(name)),
        )

    def leaf(self, place: RecordPlace) -> bytes:
        """Return a record's leaf hash."""
        return read_node(self._tree, 0, place.position["tree_starts"][0] + place.leaf)

    @cached_property
    def jurisdiction_roots(self) -> dict[str, bytes]:
        """Return each jurisdiction's sealed root."""
        return {name: tree.seal_jurisdiction(made) for name, made in self._jurisdictions.items()}

    @cached_property
    def _ids(self) -> dict[str, list[Id]]:
        by_name: dict[str, list[Id]] = {}
        for row in self._positions:
            by_name.setdefault(row["jurisdiction"], []).append(row["position_id"])
        return {name: sorted(ids) for name, ids in by_name.items()}

    @cached_property
    def _jurisdictions(self) -> dict[str, Tree]:
        return {name: tree.jurisdiction_tree(ids) for name, ids in sorted(self._ids.items())}


def read_positions(cleared: Path) -> list[dict[str, Any]]:
    """Return the positions of a cleared month in the order of their trees."""
    rows: list[dict[str, Any]] = pq.read_table(cleared / "positions.parquet").to_pylist()
    return rows


class _Ids(Sequence[bytes]):
    """A tree's usage ids in their file, ascending."""

    def __init__(self, file: BinaryIO, start: int, count: int) -> None:
        self._file, self._start, self._count = file, start, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return os.pread(self._file.fileno(), ID_OCTETS, (self._start + index) * ID_OCTETS)

    def index(self, usage_id: bytes, *_: Any) -> Any:
        place = bisect_left(self, usage_id)
        return place if place < self._count and self[place] == usage_id else None


def _placed(row: Mapping[str, Any]) -> Placed:
    return Placed(size=row["records"], root=row["tree_root"], starts=tuple(row["tree_starts"]))


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
        "adjustment_id": None if item.flow is None else item.flow.due.adjustment.adjustment_id,
        "tree_root": item.tree.root,
        "tree_starts": list(item.tree.starts),
    }


def _amount(minor: int) -> int:
    if minor.bit_length() > AMOUNT_BITS:
        raise PeerError("amount", f"{minor} is beyond {AMOUNT_BITS} bits")
    return minor
