"""What open authorisations may still cost their homes: a running total as of an instant.

A total counts the authorisations of a home and asset whose hold lasts beyond its instant. What
ends between two instants, found by an index, moves it from one to the other; whoever changes an
authorisation changes it in the same unit. One that is missing is summed from scratch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    ScalarSelect,
    Text,
    bindparam,
    func,
    select,
)

from opencarrier.kernel.money import AssetId
from opencarrier.rating.tables import authorisations, open_exposure
from opencarrier.rowsets import Change, Insertion, Lookup
from opencarrier.spine.parties import PartyId

Key: TypeAlias = tuple[PartyId, AssetId]

_SUM = func.coalesce(func.sum(authorisations.c.exposure_minor), 0)
_ENDS_US = authorisations.c.hold_expires_us
_HOME, _ASSET = bindparam("of_home", type_=Text()), bindparam("of_asset", type_=Text())
_AT_US = bindparam("as_of_us", type_=BigInteger())


def _between(from_us: ColumnElement[int], to_us: ColumnElement[int]) -> ScalarSelect[int]:
    """Sum what ends after one instant and not after another."""
    return (
        select(_SUM)
        .where(
            authorisations.c.home == _HOME,
            authorisations.c.wholesale_asset == _ASSET,
            from_us < _ENDS_US,
            to_us >= _ENDS_US,
        )
        .scalar_subquery()
    )


_moved = select(
    open_exposure.c.open_minor
    - _between(open_exposure.c.counted_us, _AT_US)
    + _between(_AT_US, open_exposure.c.counted_us)
).where(open_exposure.c.home == _HOME, open_exposure.c.asset == _ASSET)
_summed = select(_SUM).where(
    authorisations.c.home == _HOME, authorisations.c.wholesale_asset == _ASSET, _ENDS_US > _AT_US
)
_counted = Lookup(
    select(authorisations.c.home, authorisations.c.wholesale_asset, _SUM)
    .join(
        open_exposure,
        (open_exposure.c.home == authorisations.c.home)
        & (open_exposure.c.asset == authorisations.c.wholesale_asset),
    )
    .where(open_exposure.c.counted_us < _ENDS_US)
    .group_by(authorisations.c.home, authorisations.c.wholesale_asset),
    authorisations.c.authorisation_id,
)
_insert = Insertion(open_exposure)
_set = Change(open_exposure, ("home", "asset"), ("counted_us", "open_minor"))
_add = (
    open_exposure.update()
    .where(open_exposure.c.home == _HOME, open_exposure.c.asset == _ASSET)
    .values(open_minor=open_exposure.c.open_minor + bindparam("more_minor"))
)


def open_minor(unit: Connection, home: PartyId, asset: AssetId, at_us: int) -> int:
    """Return what a home's open authorisations can still cost it at an instant, wholesale."""
    asked = {"of_home": home, "of_asset": asset, "as_of_us": at_us}
    found: int | None = unit.execute(_moved, asked).scalar_one_or_none()
    if found is None:
        found = summed_minor(unit, home, asset, at_us)
        _insert(unit, [(home, asset, at_us, found)])
    return found


def summed_minor(unit: Connection, home: PartyId, asset: AssetId, at_us: int) -> int:
    """Return the same, summed from scratch."""
    asked = {"of_home": home, "of_asset": asset, "as_of_us": at_us}
    return int(unit.execute(_summed, asked).scalar_one())


def put(unit: Connection, totals: Mapping[Key, int], at_us: int) -> None:
    """Keep the totals of an instant, which were asked for in this unit."""
    changed = _set(unit, [(*key, at_us, total_minor) for key, total_minor in totals.items()])
    assert changed == len(totals), "a total is gone"


@contextmanager
def changing(unit: Connection, ids: Collection[bytes]) -> Iterator[None]:
    """Let some authorisations be changed or deleted: the totals change by as much as they do."""
    before = _sums(unit, ids)
    yield
    more = _sums(unit, ids)
    more.subtract(before)
    rows = [
        {"of_home": home, "of_asset": asset, "more_minor": minor}
        for (home, asset), minor in sorted(more.items())
        if minor
    ]
    if rows:
        unit.execute(_add, rows)


def _sums(unit: Connection, ids: Collection[bytes]) -> Counter[Key]:
    sums: Counter[Key] = Counter()
    for home, asset, minor in _counted(unit, ids):
        sums[home, asset] += int(minor)
    return sums
