"""The month rated with numpy arrays on one thread: the split formula, file by file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from opencarrier.bench import month as months
from opencarrier.bench.digests import digest
from opencarrier.bench.month import ASSET, MIDDLE_US, SERVICES, Month
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service

Whole = npt.NDArray[np.int64]

_PPM: Final = 1_000_000
_NANO: Final = 1_000_000_000
_LEGS: Final = ("seller", "host", "protocol", "tax")
_COLUMNS: Final = (
    *("home", "node", "subject", "service", "start_us"),
    *("octets_in", "octets_out", "duration_s", "units"),
)


@dataclass(frozen=True, slots=True)
class _Terms:
    """An operator's lines as arrays, one place for each home, service and half of the month."""

    homes: Mapping[PartyId, int]
    columns: dict[str, Whole]


class _Sums:
    """Exact sums by place: numpy's weighted counts are floats, so values go in by halves."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._low, self._high = np.zeros(places, np.int64), np.zeros(places, np.int64)

    def add(self, places: Whole, values: Whole) -> None:
        """Add values below 2^53 where they belong; each half's sum in one call stays exact."""
        low = np.bincount(places, values & 0x3FFFFFF, self._places)
        high = np.bincount(places, values >> 26, self._places)
        self._low += low.astype(np.int64)
        self._high += high.astype(np.int64)

    def values(self) -> list[int]:
        """Return the sums, wider than 64 bits where they are."""
        pairs = zip(self._low.tolist(), self._high.tolist(), strict=True)
        return [low + (high << 26) for low, high in pairs]


def rate(folder: Path, month: Month) -> dict[str, Any]:
    """Rate the month and return the digests of both result tables."""
    off = _Off(folder / "subscribers.parquet")
    terms = _terms(month)
    owed: list[tuple[Any, ...]] = []
    earned: list[tuple[Any, ...]] = []
    for visited, files in _by_operator(folder):
        operator = _Operator(visited, terms[visited], off)
        for path in files:
            operator.take(path)
        owed += operator.owed()
        earned += operator.earned()
    return {"positions_sha256": digest(owed), "nodes_sha256": digest(earned)}


class _Off:
    """What each subscriber pays in millionths, found by halving."""

    def __init__(self, file: Path) -> None:
        table = pq.read_table(file)
        heads = _heads(table.column("subject"))
        order = np.argsort(heads)
        self._heads = heads[order]
        self._keep = (_PPM - table.column("discount_ppm").to_numpy().astype(np.int64))[order]
        assert len(np.unique(self._heads)) == len(heads)

    def keep_ppm(self, heads: npt.NDArray[np.uint64]) -> Whole:
        """Return what some subscribers pay; a stranger pays all."""
        place = np.minimum(np.searchsorted(self._heads, heads), len(self._heads) - 1)
        return np.where(self._heads[place] == heads, self._keep[place], _PPM)


class _Operator:
    """What one visited operator is owed, and its nodes earned."""

    def __init__(self, visited: str, terms: _Terms, off: _Off) -> None:
        self._visited, self._terms, self._off = visited, terms, off
        self._read: list[tuple[Whole, pa.Array, dict[str, Whole]]] = []

    def take(self, path: Path) -> None:
        """Rate a file."""
        table = pq.read_table(path, columns=list(_COLUMNS), partitioning=None)
        homes = table.column("home").combine_chunks()
        known = [self._terms.homes.get(name, -1) for name in homes.dictionary.to_pylist()]
        home = np.asarray(known, np.int64)[homes.indices.to_numpy()]
        table, home = table.filter(pa.array(home >= 0)), home[home >= 0]
        place = _place(table, home)
        keep = self._off.keep_ppm(_heads(table.column("subject")))
        line = {name: column[place] for name, column in self._terms.columns.items()}
        node = table.column("node").cast(pa.string()).combine_chunks()
        self._read.append((home, node, _legs(table, line, keep)))

    def owed(self) -> Iterator[tuple[Any, ...]]:
        """Yield its position with each home."""
        home = np.concatenate([item[0] for item in self._read])
        counts = np.bincount(home, minlength=len(self._terms.homes)).tolist()
        sums = [self._sum(home, name, len(counts)) for name in _LEGS]
        for name, place in self._terms.homes.items():
            if counts[place]:
                legs = [column[place] for column in sums]
                yield name, self._visited, ASSET, "", 1, 0, counts[place], *legs

    def earned(self) -> Iterator[tuple[Any, ...]]:
        """Yield what each node earned."""
        nodes = pa.chunked_array([item[1] for item in self._read]).combine_chunks()
        encoded = nodes.dictionary_encode()
        place, names = encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()
        counts = np.bincount(place, minlength=len(names)).tolist()
        sums = self._sum(place, "host", len(names))
        for name, count, host in zip(names, counts, sums, strict=True):
            yield self._visited, name, ASSET, "", 1, 0, count, host

    def _sum(self, places: Whole, name: str, count: int) -> list[int]:
        sums = _Sums(count)
        sums.add(places, np.concatenate([legs[name] for *_, legs in self._read]))
        return sums.values()


def _legs(table: pa.Table, line: dict[str, Whole], keep: Whole) -> dict[str, Whole]:
    """Return every record's legs by the split formula."""
    amount = _amount(table)
    gross = (amount + line["next_step"] - 1) // line["next_step"] * line["price_nano"]
    whole = gross // _NANO
    net = whole * keep + ((gross - whole * _NANO) * keep + _NANO // 2) // _NANO
    price = np.where(amount == 0, 0, np.maximum(net, line["minimum_minor"]))
    base = np.where(line["tax_included"], _PPM + line["tax_ppm"], _PPM)
    tax = (price * line["tax_ppm"] + base // 2) // base
    untaxed = price - line["tax_included"] * tax
    host = untaxed * line["host_ppm"] // _PPM
    protocol = (untaxed - host) * line["protocol_ppm"] // (_PPM - line["host_ppm"])
    return {
        "seller": untaxed - host - protocol,
        "host": host,
        "protocol": protocol,
        "tax": tax,
    }


def _amount(table: pa.Table) -> Whole:
    service = table.column("service").to_numpy()
    octets = table.column("octets_in").to_numpy() + table.column("octets_out").to_numpy()
    duration_s, units = table.column("duration_s").to_numpy(), table.column("units").to_numpy()
    timed = np.where(service == Service.VOICE, duration_s, units)
    amount: Whole = np.where(service == Service.WIFI, octets, timed).astype(np.int64)
    return amount


def _place(table: pa.Table, home: Whole) -> Whole:
    """Return each record's line: by home, service, and half of the month."""
    service = np.searchsorted(np.asarray(SERVICES), table.column("service").to_numpy())
    late = table.column("start_us").to_numpy() >= MIDDLE_US
    place: Whole = (home * len(SERVICES) + service) * 2 + late
    return place


def _terms(month: Month) -> dict[str, _Terms]:
    names = ("next_step", "price_nano", "minimum_minor", "tax_ppm", "host_ppm", "protocol_ppm")
    found: dict[str, _Terms] = {}
    per_operator = len(SERVICES) * 2 * months.PARTNERS
    rows = list(months.rows(month))
    for start in range(0, len(rows), per_operator):
        part = rows[start : start + per_operator]
        homes = dict.fromkeys(row.home for row in part)
        columns = {
            name: np.asarray([getattr(row, name) for row in part], np.int64)
            for name in (*names, "tax_included")
        }
        places = {name: place for place, name in enumerate(homes)}
        found[part[0].visited] = _Terms(places, columns)
    return found


def _heads(column: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return the first eight octets of each pseudonym; among a few million no two share them."""
    octets = column.cast(pa.binary(16)).combine_chunks()
    if isinstance(octets, pa.ChunkedArray):
        octets = octets.chunk(0)
    words = np.frombuffer(octets.buffers()[1], np.uint64)
    return words[2 * octets.offset :: 2][: len(octets)]


def _by_operator(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    files: dict[str, list[Path]] = {}
    for path in sorted((folder / "usage").glob(months.VISITED_FILES)):
        files.setdefault(path.parent.name.removeprefix("visited="), []).append(path)
    yield from sorted(files.items())
