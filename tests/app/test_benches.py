"""Every bench runs, small, and tells figures; what they are is nobody's promise."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import import_module

import pytest
from sqlalchemy import func, select
from tests.app.scene import scene
from tests.crash.driver import opened

from opencarrier.app.benches import BENCHES
from opencarrier.app.console.rights import RIGHTS
from opencarrier.bench import console_month, console_people, pages, panning
from opencarrier.identity import store
from opencarrier.ledger import service as ledger


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_has_a_door(name):
    assert callable(import_module(BENCHES[name]).run)


def test_the_access_bench_settles_what_it_reports(monkeypatch):
    """The foreign database and server are a peer test's."""
    monkeypatch.setattr("opencarrier.bench.postgresql.program", lambda name: None)
    monkeypatch.setattr("opencarrier.bench.authentication.run", lambda root, attaches: {})
    told = import_module(BENCHES["access"]).run(sessions=4)
    assert told["packets"] == told["accounting"]["packets"] == 32
    assert told["accounting"]["postgresql"] == "not installed"
    assert all(told[key] > 0 for key in told if key not in ("accounting", "authentication"))


def test_the_bench_of_rounds_lets_devices_in_by_each_method():
    told = import_module(BENCHES["rounds"]).run(attaches=2)
    assert len(told["us"]) == 5
    assert all(us > 0 for us in told["us"].values())


def test_the_console_bench_finds_every_node_on_the_map():
    told = import_module(BENCHES["console"]).run(nodes=500)
    assert told["nodes"] == 500
    assert all(told["answers_ms"][name] >= 0 for name in ("the page", "figures"))
    assert told["cells"]["the world"]["cells"] > 40
    assert 60_000 < told["page_octets"] < 300_000


@pytest.mark.peer
def test_the_bench_of_the_map_counts_frames(monkeypatch):
    monkeypatch.setattr(panning, "MOVES", 1)
    found = panning.run(nodes=200)
    if found == {"chromium": "not installed"}:
        pytest.skip("chromium is not installed")
    wanted = panning.FRAMES + panning.REST
    for screen in panning.SCREENS:
        told = found["ms"][screen]
        assert [one["frames"] for one in told.values()] == [wanted] * (1 + len(panning.ZOOMS))
        assert "drawing_median" not in told["an empty page"]
        assert all(told[zoom]["drawing_max"] > 0 for zoom in panning.ZOOMS), "the map was drawn"


def test_the_bench_of_pages_has_something_for_every_route():
    samples = dict.fromkeys(
        (*pages.NAMES, *pages.OF_PEOPLE, *pages.EVERYWHERE, *pages.UNKNOWN), "1"
    )
    asked = [route.removeprefix("GET ") for route in RIGHTS if route.startswith("GET ")]
    assert not any("{" in pages.filled(path, samples) for path in asked)


def test_what_the_bench_of_pages_loads_fits_the_tables(tmp_path):
    """The rows of a settled cycle told again, and people beside them: the books still hold."""
    with scene(tmp_path, one_sided_window_s=0) as made:
        made.use("s", octets=1_000_000, grant=made.authorise())
        made.settle()
        node_id, now_us = made.node.node_id, made.clock.now_us()
        database = made.place.base.folder.database
    told = console_month.tell(database, now_us, 200)
    assert 200 <= told[console_month.OBSERVATIONS] < 300
    with opened(tmp_path) as place:
        console_people.people(place, node_id, 300)
        with place.base.store.read() as unit:
            assert set(ledger.sum_minor(unit).values()) == {0}
            subscribers = select(func.count()).where(store.parties.c.kind == "subscriber")
            assert unit.scalar(subscribers) >= 300
    with closing(sqlite3.connect(database)) as unit:
        assert unit.execute("PRAGMA foreign_key_check").fetchall() == []
        assert pages.sampled(unit)["node_id"] == node_id


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_the_bench_of_pages_loads_a_month_and_asks_for_every_page():
    told = pages.run(records=4_000, nodes=500, subscribers=600, times=1)
    assert told["rows"]["usage_observation"] > 4_000
    assert told["failed"] == told["heavy"] == []
    assert sum(one["status"] == 200 for one in told["asked"].values()) > 60


@pytest.mark.crash
def test_the_soak_loses_nothing_when_its_server_is_killed(monkeypatch):
    monkeypatch.setattr("opencarrier.bench.postgresql.program", lambda name: None)
    told = import_module(BENCHES["soak"]).run(sessions=12)["sqlite"]
    assert (told["packets"], told["lost"], told["strange"]) == (36, 0, 0)


@pytest.mark.crash
def test_the_bench_of_workers_compares_what_two_kept(monkeypatch):
    monkeypatch.setattr("opencarrier.bench.postgresql.program", lambda name: None)
    told = import_module(BENCHES["workers"]).run(sessions=8)
    assert set(told["sqlite"]) == {"1", "2"}
    assert told["postgresql"] == "not installed"


def test_the_chain_bench_checks_what_it_measures():
    """Small: the contract pays each claim it measures, vouchers name their signer."""
    told = import_module(BENCHES["chain"]).run(vouchers=64, leaves=300, proofs=4, transactions=3)
    assert told["vouchers"]["checked"] == 64
    assert told["vouchers"]["times_faster_than_eth_account"] > 1
    assert told["rewards_tree"]["claims_paid_on_chain"] == 4
    assert told["rewards_tree"]["depth"] in (8, 9)
    assert told["transactions"]["sent"] == 3


def test_the_tap_bench_reads_one_file_every_way():
    told = import_module(BENCHES["tap"]).run(events=160, times=1)
    columns = told["columns"]
    assert columns["events"]["events"] == columns["records"]["events"] == 160
    assert columns["asn1tools"]["events"] == 160
    assert columns["walked"]["events"] == 20
