"""The month rated by Polars: the formula in 128-bit integers, which it would otherwise wrap in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import polars as pl

from opencarrier.bench import month as months
from opencarrier.bench.digests import digest
from opencarrier.bench.month import ASSET, Month

_PPM: Final = 1_000_000
_NANO: Final = 1_000_000_000


def rate(folder: Path, month: Month) -> dict[str, Any]:
    """Rate the month and return the digests of both result tables."""
    used = _used(folder, month)
    legs = _legs(used)
    sums = [pl.col(name).sum() for name in ("seller", "host", "protocol", "tax")]
    pairs = legs.group_by("home", "visited").agg(pl.len().alias("records"), *sums)
    nodes = legs.group_by("visited", "node").agg(pl.len().alias("records"), pl.col("host").sum())
    owed, earned = pl.collect_all([pairs, nodes], engine="streaming")
    return {
        "positions_sha256": digest(
            (home, visited, ASSET, "", 1, 0, *rest) for home, visited, *rest in owed.iter_rows()
        ),
        "nodes_sha256": digest(
            (visited, node, ASSET, "", 1, 0, *rest) for visited, node, *rest in earned.iter_rows()
        ),
    }


def _used(folder: Path, month: Month) -> pl.LazyFrame:
    """Return the records with the line in force and what their subscriber pays in millionths."""
    lines = _lines(month).lazy()
    off = pl.scan_parquet(folder / "subscribers.parquet").with_columns(
        pl.col("subject").cast(pl.Binary)
    )
    records = pl.scan_parquet(folder / "usage" / months.VISITED_FILES, hive_partitioning=False)
    return (
        records.with_columns(
            pl.col("home", "visited").cast(pl.String), pl.col("subject").cast(pl.Binary)
        )
        .join(lines, on=["home", "visited", "service"])
        .filter(
            pl.col("start_us") >= pl.col("valid_from_us"),
            pl.col("start_us") < pl.col("valid_until_us"),
        )
        .join(off, on="subject", how="left")
        .with_columns(keep=_PPM - pl.col("discount_ppm").fill_null(0).cast(pl.Int128))
    )


def _legs(used: pl.LazyFrame) -> pl.LazyFrame:
    wide = pl.Int128
    amount = (
        pl.when(pl.col("unit") == "octets_total")
        .then(pl.col("octets_in") + pl.col("octets_out"))
        .when(pl.col("unit") == "duration_s")
        .then(pl.col("duration_s"))
        .otherwise(pl.col("units"))
        .cast(wide)
    )
    steps = (amount + pl.col("next_step") - 1) // pl.col("next_step")
    net = (steps * pl.col("price_nano") * pl.col("keep") + _NANO // 2) // _NANO
    price = pl.when(amount == 0).then(0).otherwise(pl.max_horizontal(net, pl.col("minimum_minor")))
    base = pl.when(pl.col("tax_included")).then(_PPM + pl.col("tax_ppm")).otherwise(_PPM)
    return (
        used.with_columns(price=price.cast(wide), base=base.cast(wide))
        .with_columns(
            tax=(pl.col("price") * pl.col("tax_ppm") + pl.col("base") // 2) // pl.col("base")
        )
        .with_columns(
            net=pl.when(pl.col("tax_included"))
            .then(pl.col("price") - pl.col("tax"))
            .otherwise(pl.col("price"))
        )
        .with_columns(host=pl.col("net") * pl.col("host_ppm") // _PPM)
        .with_columns(
            protocol=(pl.col("net") - pl.col("host"))
            * pl.col("protocol_ppm")
            // (_PPM - pl.col("host_ppm"))
        )
        .with_columns(seller=pl.col("net") - pl.col("host") - pl.col("protocol"))
    )


def _lines(month: Month) -> pl.DataFrame:
    rows = list(months.rows(month))
    numbers = ("next_step", "price_nano", "minimum_minor", "tax_ppm", "host_ppm", "protocol_ppm")
    columns: dict[str, Any] = {
        "home": [row.home for row in rows],
        "visited": [row.visited for row in rows],
        "service": pl.Series([int(row.service) for row in rows], dtype=pl.Int8),
        "unit": [row.unit for row in rows],
        "tax_included": [row.tax_included for row in rows],
        "valid_from_us": [row.valid_from_us for row in rows],
        "valid_until_us": [row.valid_until_us for row in rows],
        **{
            name: pl.Series([getattr(row, name) for row in rows], dtype=pl.Int128)
            for name in numbers
        },
    }
    return pl.DataFrame(columns)
