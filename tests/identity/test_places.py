"""Where nodes are: what a place may be, cells that follow every move, tallies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.identity.conftest import World
from tests.memory import Memory

from opencarrier.identity.model import IdentityReason
from opencarrier.identity.places import service, store
from opencarrier.identity.places.model import EARTH, LEVELS, Box, Cell, Place
from opencarrier.identity.places.rules import cell_of, possible, read_place, size_udeg
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId

OP = PartyId("op_" + "0" * 32)
LATITUDES = st.integers(-90_000_000, 90_000_000)
LONGITUDES = st.integers(-180_000_000, 180_000_000)
POINTS = st.tuples(LATITUDES, LONGITUDES)


def at(latitude: int, longitude: int) -> Place:
    return Place(latitude_udeg=latitude, longitude_udeg=longitude, precision_m=800, attester=OP)


def test_a_place_is_kept_to_a_hundredth_of_a_degree():
    assert read_place("48.8566, 2.3522", OP) == at(48_860_000, 2_350_000)
    assert read_place("-1.2921,36.8219", OP) == at(-1_290_000, 36_820_000)
    assert read_place("90,-180", OP) == at(90_000_000, -180_000_000)


@pytest.mark.parametrize("text", ["", "48", "91,0", "0,180.01", "a,b", "1e5,2", "8;2.3", "1,2,3"])
def test_what_is_nowhere_is_refused(text):
    refusal = read_place(text, OP)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is IdentityReason.INVALID_PLACE


@given(POINTS, st.integers(0, LEVELS - 1))
def test_a_point_is_in_its_cell(point, level):
    row, column = cell_of(*point, level)
    size = size_udeg(level)
    assert 0 <= point[0] + 90_000_000 - row * size < size
    assert 0 <= point[1] + 180_000_000 - column * size < size


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 5), POINTS), max_size=12),
    st.tuples(LATITUDES, LATITUDES, LONGITUDES, LONGITUDES),
    st.integers(0, LEVELS - 1),
)
def test_cells_say_what_the_places_say(moves, edges, level):
    """After any moves each level sums to the nodes, a box holds its cells; so after a reload."""
    engine = Memory(store.metadata)
    model: dict[str, tuple[int, int]] = {}
    south, north = sorted(edges[:2])
    box = Box(west_udeg=edges[2], south_udeg=south, east_udeg=edges[3], north_udeg=north)
    with engine.connect() as unit:
        for number, point in moves:
            store.put(unit, f"n{number}", at(*point), stated_us=0)
            model[f"n{number}"] = point
        found = store.cells(unit, EARTH, level, limit=100)
        assert sum(cell.nodes for cell in found) == len(model)
        within = {cell_of(c.latitude_udeg, c.longitude_udeg, level) for c in found}
        assert within == {cell_of(*point, level) for point in model.values()}
        inside = store.cells(unit, box, level, limit=100)
        assert set(inside) <= set(found)
        for point in model.values():
            if south <= point[0] <= north and _between(edges[2], point[1], edges[3]):
                assert cell_of(*point, level) in {
                    cell_of(c.latitude_udeg, c.longitude_udeg, level) for c in inside
                }
        store.sum_up_anew(unit)
        assert store.cells(unit, EARTH, level, limit=100) == found
    engine.dispose()


def _between(west: int, longitude: int, east: int) -> bool:
    if west <= east:
        return west <= longitude <= east
    return longitude >= west or longitude <= east


def test_a_node_is_placed_by_name_and_counted(unit, world: World):
    identity = world.identity
    operator = identity.register.add_operator(unit, name="A", jurisdiction="FR")
    host = identity.register.add_host(unit, name="H")
    for number in range(3):
        identity.register.add_node(
            unit, node_id=f"n{number}", operator=operator.party_id, host=host.party_id
        )
    assert identity.places.numbers(unit) == {"node": 3, "operator": 1, "host": 1}
    assert identity.places.nodes_of(unit, [operator.party_id, OP]) == {operator.party_id: 3, OP: 0}
    unknown = identity.places.put(unit, "nobody", at(0, 0))
    assert unknown is not None
    assert unknown.reason is IdentityReason.UNKNOWN_NODE
    before = identity.places.of(unit, ["n0"])
    assert before == {}
    assert identity.places.put(unit, "n0", at(1, 2)) is None
    assert identity.places.put(unit, "n0", at(1, 2)) is None
    assert identity.places.of(unit, ["n0", "n1"]) == {"n0": at(1, 2)}
    assert identity.places.filled(unit, EARTH, 99).cells == [Cell(1, 2, 1)]


def test_an_answer_is_bounded_by_larger_cells(unit, world: World, monkeypatch):
    """One more cell than an answer holds, or than may be walked over: the next level answers."""
    monkeypatch.setattr(service, "CELLS_MAX", 4)
    for number in range(5):
        store.put(unit, f"n{number}", at(number * 40_000, 0), stated_us=0)
    told = world.identity.places.filled(unit, EARTH, LEVELS - 1)
    assert len(told.cells) <= 4
    assert sum(cell.nodes for cell in told.cells) == 5
    small = Box(west_udeg=0, south_udeg=0, east_udeg=1, north_udeg=120_000)
    assert world.identity.places.filled(unit, small, LEVELS - 1).level == LEVELS - 1
    assert possible(EARTH, world.identity.places.filled(unit, EARTH, 9).level) <= 65_536
