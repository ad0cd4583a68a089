"""Small months for the engine: records, lines and subscribers, and the same rated by `rules/v2`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from opencarrier.kernel.ids import derive
from opencarrier.kernel.money import PPM
from opencarrier.rating.agreements.rows import ANY, Row
from opencarrier.rating.engine.run import Order, Report, rate
from opencarrier.rating.reasons import SuspenseReason
from opencarrier.rating.rules import v2
from opencarrier.spine.records import Qos, RcoiClass, Service
from opencarrier.usage.dataset import DatasetWriter
from opencarrier.usage.record import UsageRecord, check

AT_US = 1_772_323_200_000_000
DAY_US = 86_400_000_000
MIDDLE_US = AT_US + 14 * DAY_US
FAR_US = (1 << 63) - 1


def record(number: int, **changes: Any) -> UsageRecord:
    """Make a record; the number names it and its session."""
    name = derive("month", number)
    values: dict[str, Any] = {
        "usage_id": name,
        "session_id": name,
        "reporter": "op_v",
        "home": "op_h",
        "visited": "op_v",
        "subject": derive("subject", number % 5)[:16],
        "node": "node-1",
        "service": Service.WIFI,
        "start_us": AT_US,
        "end_us": FAR_US,
        "source_digest": bytes(32),
        "source_offset": number,
        "ingested_us": 0,
        "decoder": "test/1",
    }
    made = UsageRecord(**(values | changes))
    assert check(made) is None, check(made)
    return made


def row(**changes: Any) -> Row:
    """Make a line's row: Wi-Fi of op_h at op_v, always in force."""
    values: dict[str, Any] = {
        "agreement_hash": derive("agreement", "test"),
        "place": 0,
        "home": "op_h",
        "visited": "op_v",
        "service": Service.WIFI,
        "qos": ANY,
        "rcoi": ANY,
        "valid_from_us": 0,
        "valid_until_us": FAR_US,
        "unit": "octets_total",
        "first_step": 1_024,
        "next_step": 1_024,
        "price_nano": 1_900,
        "fixed_minor": 0,
        "minimum_minor": 0,
        "currency": "",
        "tax_ppm": 200_000,
        "tax_included": False,
        "host_ppm": 600_000,
        "protocol_ppm": 10_000,
        "in_band": False,
        "rate": 1,
        "decimals": 0,
        "asset": "issuer/EUR",
        "protocol_party": "op_p",
        "tax_party": "tax_t",
    }
    return Row(**(values | changes))


def run(folder: Path, records: Iterable[UsageRecord], rows: Sequence[Row], **more: Any) -> Report:
    """Write a dataset and rate it; results are in `folder / "out"`."""
    writer = DatasetWriter(folder / "usage")
    for item in records:
        assert writer.add(item) is None
    writer.close()
    order = {"usage": folder / "usage", "out": folder / "out", "subscribers": None, "rows": rows}
    return rate(Order(**(order | more)))


def rated(out: Path) -> dict[bytes, dict[str, Any]]:
    """Return the audit file's rows by usage."""
    tables = [pq.read_table(path) for path in sorted((out / "rated").glob("*.parquet"))]
    rows = pa.concat_tables(tables).to_pylist()
    assert len({row["usage_id"] for row in rows}) == len(rows)
    return {row.pop("usage_id"): row for row in rows}


def table(out: Path, name: str) -> list[dict[str, Any]]:
    """Return a result table's rows."""
    rows: list[dict[str, Any]] = pq.read_table(out / f"{name}.parquet").to_pylist()
    return rows


def subscribers(folder: Path, discounts: Mapping[bytes, int]) -> Path:
    """Write a file of who has how much off."""
    path = folder / "subscribers.csv"
    lines = [f"{subject.hex()},{ppm}" for subject, ppm in discounts.items()]
    path.write_text("\n".join(["subject,discount_ppm", *lines]) + "\n")
    return path


LEGS = ("seller_minor", "host_minor", "protocol_minor", "tax_minor")


def by_rules(
    records: Iterable[UsageRecord], rows: Sequence[Row], discounts: Mapping[bytes, int]
) -> dict[bytes, dict[str, Any]]:
    """Rate record by record with `rules/v2`: what the audit file must say."""
    return {item.usage_id: _by_rules(item, rows, discounts) for item in records}


def _by_rules(
    item: UsageRecord, rows: Sequence[Row], discounts: Mapping[bytes, int]
) -> dict[str, Any]:
    free = item.rcoi is RcoiClass.SETTLEMENT_FREE
    found = None if free else _line(item, rows)
    before = _amounts(item, "from_")
    used = _amounts(item, "")
    quote = None
    if item.quoted_currency is not None:
        quote = v2.Quote(item.quoted_currency, item.quoted_nano_per_kib)
    discount_ppm = discounts.get(item.subject, 0)
    reason = _reason(item, rows, found, before + used, quote, discount_ppm)
    told = {"status": 0 if free else reason, "dispute": 0, "discount_ppm": discount_ppm}
    if free:
        return {**told, **dict.fromkeys(LEGS, 0)}
    if found is not None:
        _, dispute = v2.price_of(found, quote)
        told["dispute"] = 0 if dispute is None else int(dispute)
    if reason or found is None:
        return {**told, **dict.fromkeys(LEGS)}
    outcome = v2.rate(
        found,
        found.protocol_ppm,
        before=before,
        used=used,
        rcoi=item.rcoi,
        quote=quote,
        discount_ppm=discount_ppm,
    )
    return {**told, **{name: getattr(outcome.legs, name) for name in LEGS}}


def _reason(
    item: UsageRecord,
    rows: Sequence[Row],
    found: Row | None,
    after: v2.Amounts,
    quote: v2.Quote | None,
    discount_ppm: int,
) -> int:
    if item.home is None:
        return SuspenseReason.NO_HOME
    if found is None:
        pairs = {(row.home, row.visited) for row in rows}
        known = (item.home, item.visited) in pairs
        return SuspenseReason.NO_TARIFF_IN_FORCE if known else SuspenseReason.NO_AGREEMENT
    if item.node is None and found.host_ppm > 0:
        return SuspenseReason.NO_NODE
    if v2.beyond(found, after, quote, discount_ppm):
        return SuspenseReason.BEYOND_RANGE
    return 0


def _line(item: UsageRecord, rows: Sequence[Row]) -> Row | None:
    at_us = item.start_us if item.tariff_at_us is None else item.tariff_at_us
    found = [
        row
        for row in rows
        if (row.home, row.visited, row.service) == (item.home, item.visited, item.service)
        and row.qos in (ANY, item.qos)
        and row.rcoi in (ANY, item.rcoi)
        and row.valid_from_us <= at_us < row.valid_until_us
    ]
    assert len(found) <= 1
    return found[0] if found else None


def _amounts(item: UsageRecord, prefix: str) -> v2.Amounts:
    names = v2.Amounts.__slots__
    return v2.Amounts(**{name: getattr(item, f"{prefix}{name}") for name in names})


def sums(
    records: Iterable[UsageRecord], rows: Sequence[Row], told: Mapping[bytes, Mapping[str, Any]]
) -> tuple[Counter[tuple[Any, ...]], Counter[tuple[Any, ...]]]:
    """Sum what `rated` says to what positions and nodes must be, in plain integers."""
    pairs: Counter[tuple[Any, ...]] = Counter()
    nodes: Counter[tuple[Any, ...]] = Counter()
    seen: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    for item in records:
        line, entry = _line(item, rows), told.get(item.usage_id)
        if entry is None or entry["status"] or line is None or item.rcoi == 2:
            continue
        money = (line.asset, line.currency, line.rate, line.decimals)
        for name in LEGS:
            pairs[item.home, item.visited, *money, name] += entry[name]
        pairs[item.home, item.visited, *money, "records"] += 1
        if item.node is not None:
            nodes[item.visited, item.node, *money, "host_minor"] += entry["host_minor"]
            nodes[item.visited, item.node, *money, "records"] += 1
    assert not seen
    return pairs, nodes


PRICES = st.sampled_from([0, 1, 7, 1_900, 10**9, (1 << 63) - 1]) | st.integers(0, 10**12)
VOLUMES = st.sampled_from(
    [0, 1, 1_023, 1_024, 1_025, 1 << 43, (1 << 53) + 1, 1 << 61, 1 << 62, (1 << 62) + 1, FAR_US]
) | st.integers(0, 1 << 45)
PPMS = st.sampled_from([0, 1, 333_333, PPM]) | st.integers(0, PPM)


@st.composite
def lines(draw: st.DrawFn, **fixed: Any) -> Row:
    """A line with any price there is."""
    unit = draw(st.sampled_from(v2.UNITS))
    in_band = unit.startswith("octets") and draw(st.booleans())
    next_step = 1_024 if in_band else draw(st.sampled_from([1, 30, 1_024, 1 << 20]))
    host_ppm = draw(PPMS)
    return row(
        **{
            "unit": unit,
            "in_band": in_band,
            "next_step": next_step,
            "first_step": next_step * draw(st.integers(1, 60)),
            "price_nano": draw(PRICES),
            "fixed_minor": draw(st.sampled_from([0, 0, 5, 10**6])),
            "minimum_minor": draw(st.sampled_from([0, 0, 1_000, 9_199_999_999_999])),
            "tax_ppm": draw(PPMS),
            "tax_included": draw(st.booleans()),
            "host_ppm": host_ppm,
            "protocol_ppm": draw(st.integers(0, PPM - host_ppm)),
            "currency": draw(st.sampled_from(["EUR", "XDR"])),
            **fixed,
        }
    )


@st.composite
def uses(draw: st.DrawFn, number: int) -> UsageRecord:
    """A record of any size that the dataset would keep, sometimes of a session that went on."""
    goes_on = draw(st.booleans())
    amounts = {}
    for name in ("octets_in", "octets_out", "duration_s", "units"):
        before = draw(VOLUMES) if goes_on else 0
        amounts[f"from_{name}"] = before
        amounts[name] = min(draw(VOLUMES), FAR_US - before)
    quote = draw(st.sampled_from([None, 0, 1, 1_900, 10**12, (1 << 63) - 1]))
    return record(
        number,
        **amounts,
        home=draw(st.sampled_from(["op_h", "op_h", "op_h", "op_x", None])),
        node=draw(st.sampled_from(["node-1", "node-2", None])),
        service=draw(st.sampled_from([Service.WIFI, Service.WIFI, Service.IOT])),
        qos=draw(st.sampled_from(Qos)),
        rcoi=draw(st.sampled_from([0, 0, 1, 2, 3]).map(RcoiClass)),
        start_us=draw(st.sampled_from([AT_US, MIDDLE_US - 1, MIDDLE_US])),
        tariff_at_us=draw(st.sampled_from([None, None, AT_US, MIDDLE_US])),
        quoted_nano_per_kib=quote,
        quoted_currency=None if quote is None else draw(st.sampled_from(["EUR", "XDR"])),
    )
