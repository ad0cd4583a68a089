"""Small rated months for clearing, made by the rating engine itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tests.rating.months import record, row, run

from opencarrier.clearing.month import Order
from opencarrier.clearing.netting import NettingMode
from opencarrier.clearing.rated_leaf import RatedRecord, line_id
from opencarrier.rating.agreements.rows import Row
from opencarrier.spine.records import RcoiClass
from opencarrier.usage.record import UsageRecord

SECRET = b"\x07" * 32
PARTIES = ("op_a", "op_b", "op_c")


def rows() -> list[Row]:
    """Lines of three operators in a circle, one pair in a currency of its own."""
    pairs = [(home, visited) for home in PARTIES for visited in PARTIES]
    return [
        row(
            home=home,
            visited=visited,
            place=place,
            **({"currency": "EUR", "rate": 1_082_551, "decimals": 6} if home == "op_c" else {}),
        )
        for place, (home, visited) in enumerate(pairs)
    ]


def records(count: int, nodes: int = 1) -> list[UsageRecord]:
    """Records between the three; each ninth is settlement-free, each eleventh has no agreement."""
    return [
        record(
            number,
            home="op_x" if number % 11 == 10 else PARTIES[number // 3 % 3],
            visited=PARTIES[number % 3],
            reporter=PARTIES[number % 3],
            node=f"node-{1 + number // 9 % nodes}",
            octets_in=1 + 977 * number * number,
            rcoi=RcoiClass.SETTLEMENT_FREE if number % 9 == 8 else RcoiClass.SETTLED,
        )
        for number in range(count)
    ]


def rate(folder: Path, count: int = 60, lines: Sequence[Row] | None = None, nodes: int = 1) -> Path:
    """Rate records into a folder and return it."""
    run(folder, records(count, nodes), rows() if lines is None else lines)
    return folder / "out"


def order(rated: Path, **changes: Any) -> Order:
    """Make an order to clear a folder beside it."""
    values: dict[str, Any] = {
        "rated": rated,
        "out": rated.with_name("cleared"),
        "domain": "test",
        "sequence": 1,
        "mode": NettingMode.CIRCULAR,
        "secret": SECRET,
    }
    return Order(**(values | changes))


def rated_records(rated: Path) -> list[tuple[dict[str, Any], RatedRecord]]:
    """Return each rated record that owes something with its line, read row by row."""
    lines = pq.read_table(rated / "lines.parquet").to_pylist()
    found = []
    for path in sorted((rated / "rated").glob("*.parquet")):
        for item in pq.read_table(path).to_pylist():
            if item["status"] == 0 and item["line"] is not None:
                line = lines[item["line"]]
                names = ("usage_id", "amount", "discount_ppm", "seller_minor", "host_minor",
                         "protocol_minor", "tax_minor")  # fmt: skip
                found.append(
                    (line, RatedRecord(line=line_id(line), **{name: item[name] for name in names}))
                )
    return found
