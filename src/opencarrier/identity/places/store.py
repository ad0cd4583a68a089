"""Tables of places, of cells that sum them up, and of numbers that nobody counts while waiting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    String,
    Table,
    and_,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from opencarrier.identity.places.model import (
    LATITUDE_MAX_UDEG,
    LEVELS,
    LONGITUDE_MAX_UDEG,
    Box,
    Cell,
    Place,
)
from opencarrier.identity.places.rules import cell_of, columns, rows, size_udeg
from opencarrier.identity.store import metadata
from opencarrier.spine.parties import PartyId

NODES = "node"
"""The tally of all nodes; `node/OPERATOR` is that of one operator's."""

PLACES = Table(
    "identity_node_place",
    metadata,
    Column("node_id", String(64), primary_key=True),
    Column("latitude_udeg", Integer, nullable=False),
    Column("longitude_udeg", Integer, nullable=False),
    Column("precision_m", Integer, nullable=False),
    Column("attester", String(48), nullable=False),
    Column("stated_us", BigInteger, nullable=False),
)

CELLS = Table(
    "identity_place_cell",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("latitude_cell", Integer, primary_key=True, autoincrement=False),
    Column("longitude_cell", Integer, primary_key=True, autoincrement=False),
    Column("nodes", BigInteger, nullable=False),
    Column("latitude_sum_udeg", BigInteger, nullable=False),
    Column("longitude_sum_udeg", BigInteger, nullable=False),
)

TALLIES = Table(
    "identity_tally",
    metadata,
    Column("what", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False),
)


def place(unit: Connection, node_id: str) -> Place | None:
    """Return where a node is, None where nobody said."""
    return places(unit, [node_id]).get(node_id)


def places(unit: Connection, node_ids: Iterable[str]) -> dict[str, Place]:
    """Return where some nodes are, by node id."""
    chosen = select(PLACES).where(PLACES.c.node_id.in_(list(node_ids)))
    return {
        row.node_id: Place(
            latitude_udeg=row.latitude_udeg,
            longitude_udeg=row.longitude_udeg,
            precision_m=row.precision_m,
            attester=PartyId(row.attester),
        )
        for row in unit.execute(chosen)
    }


def put(unit: Connection, node_id: str, wanted: Place, *, stated_us: int) -> None:
    """Put a node at a place, in place of where it was."""
    before = place(unit, node_id)
    if before is not None:
        unit.execute(delete(PLACES).where(PLACES.c.node_id == node_id))
        _sum_up(unit, before, -1)
    unit.execute(
        insert(PLACES).values(
            node_id=node_id,
            latitude_udeg=wanted.latitude_udeg,
            longitude_udeg=wanted.longitude_udeg,
            precision_m=wanted.precision_m,
            attester=wanted.attester,
            stated_us=stated_us,
        )
    )
    _sum_up(unit, wanted, 1)


def cells(unit: Connection, box: Box, level: int, *, limit: int) -> Sequence[Cell]:
    """Return the cells of a part of the map in which there are nodes, at most `limit`."""
    south, north = rows(box, level)
    spans = [CELLS.c.longitude_cell.between(*span) for span in columns(box, level)]
    chosen = (
        select(CELLS.c.nodes, CELLS.c.latitude_sum_udeg, CELLS.c.longitude_sum_udeg)
        .where(CELLS.c.level == level, CELLS.c.nodes > 0)
        .where(CELLS.c.latitude_cell.between(south, north), or_(*spans))
        .order_by(CELLS.c.latitude_cell, CELLS.c.longitude_cell)
        .limit(limit)
    )
    return [
        Cell(latitude_sum // nodes, longitude_sum // nodes, nodes)
        for nodes, latitude_sum, longitude_sum in unit.execute(chosen)
    ]


def sum_up_anew(unit: Connection) -> None:
    """Compute every cell from the places, as after a load of many at once."""
    unit.execute(delete(CELLS))
    for level in range(LEVELS):
        row = _cell(PLACES.c.latitude_udeg, LATITUDE_MAX_UDEG, level)
        column = _cell(PLACES.c.longitude_udeg, LONGITUDE_MAX_UDEG, level)
        summed = select(
            literal(level),
            row,
            column,
            func.count(),
            func.sum(PLACES.c.latitude_udeg),
            func.sum(PLACES.c.longitude_udeg),
        ).group_by(row, column)
        unit.execute(insert(CELLS).from_select([item.name for item in CELLS.c], summed))


def count(unit: Connection, what: str, number: int = 1) -> None:
    """Count on what nobody counts while somebody waits."""
    added = update(TALLIES).where(TALLIES.c.what == what)
    if not unit.execute(added.values(number=TALLIES.c.number + number)).rowcount:
        unit.execute(insert(TALLIES).values(what=what, number=number))


def tally(unit: Connection, what: Iterable[str]) -> dict[str, int]:
    """Return how many there are of some things, zero where there never was one."""
    wanted = list(what)
    rows = unit.execute(select(TALLIES).where(TALLIES.c.what.in_(wanted)))
    return dict.fromkeys(wanted, 0) | {row.what: int(row.number) for row in rows}


def _cell(column: Column[int], from_udeg: int, level: int) -> ColumnElement[int]:
    """Return `rules.cell_of` in SQL: numbers stand in the text, so that GROUP BY knows them."""
    return literal_column(f"({column.name} + {from_udeg}) / {size_udeg(level)}")


def _sum_up(unit: Connection, where: Place, nodes: int) -> None:
    """Add nodes at a place to its cell of every level, or take them away."""
    for level in range(LEVELS):
        row, column = cell_of(where.latitude_udeg, where.longitude_udeg, level)
        here = and_(
            CELLS.c.level == level,
            CELLS.c.latitude_cell == row,
            CELLS.c.longitude_cell == column,
        )
        more = {
            "nodes": nodes,
            "latitude_sum_udeg": nodes * where.latitude_udeg,
            "longitude_sum_udeg": nodes * where.longitude_udeg,
        }
        grown = {name: CELLS.c[name] + number for name, number in more.items()}
        if not unit.execute(update(CELLS).where(here).values(grown)).rowcount:
            key = {"level": level, "latitude_cell": row, "longitude_cell": column}
            unit.execute(insert(CELLS).values(key | more))
