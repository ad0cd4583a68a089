"""The network page and its figures: what happened is what is shown, told and asked for."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient
from tests.app.scene import scene

from opencarrier.access.model import Metrics
from opencarrier.app.console import network
from opencarrier.app.console.network import MapCells
from opencarrier.app.console.views import network as views
from opencarrier.app.console.views.network import cycle_due_us
from opencarrier.app.http import Web, make_app
from opencarrier.app.views import host_lines
from opencarrier.identity.places.model import EARTH as EARTH_BOX
from opencarrier.identity.places.rules import read_place
from opencarrier.spine.usage import Status

CELLS = "/v1/network/cells"
EARTH = {"west": -180_000_000, "south": -90_000_000, "east": 180_000_000, "north": 90_000_000}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("network"), one_sided_window_s=0) as found:
        yield found


@pytest.fixture(scope="module")
def web(made):
    metrics = Metrics()
    metrics.accepts = 1_234
    return Web(made.place, lambda: metrics, token="the token")


@pytest.fixture(scope="module")
def client(web):
    return TestClient(make_app(web), base_url="http://127.0.0.1")


def told(web, kind: str) -> list[dict]:
    return [json.loads(event.text) for event in web.events._kept if event.kind == kind]


def test_what_happens_is_told_and_shown(made, web, client):
    """A session, its end and its cycle: events in their order, figures on the page, one story."""
    base = made.place.base
    web.watch.look()
    with base.store.write() as unit:
        place = read_place("48.86,2.35", made.visited.party_id)
        assert base.identity.places.put(unit, made.node.node_id, place) is None
    grant = made.authorise()
    made.use("one", octets=0, seconds=0, grant=grant, status=Status.START)
    web.watch.look()
    (began,) = told(web, "session")
    assert began == {"state": "began", "node": made.node.node_id, "at_udeg": [2350000, 48860000]}
    assert client.get("/v1/network/live").json() == {"nodes": [[2350000, 48860000, 1]]}
    assert client.get("/v1/network").json()["sessions"] == 1
    assert "; 1 session going on now, " in client.get("/").text

    made.use("one", octets=5_000_000, grant=grant)
    made.settle()
    web.watch.look()
    assert [event["state"] for event in told(web, "session")] == ["began", "ended"]
    assert told(web, "cycle")[-1] == {"sequence": 1, "state": "final"}
    (paid,) = told(web, "payment")
    line = client.get("/v1/status", headers={"Authorization": "Bearer the token"}).json()["cycles"][
        0
    ]
    assert paid == {"moved_minor": line["net_minor"], "payments": line["payments"]}
    figures = client.get("/v1/network").json()
    assert (figures["sessions"], figures["octets"]) == (0, 5_500_000)
    assert figures["paid_minor"] == line["net_minor"]
    page = client.get("/").text
    assert f'value="{line["net_minor"]}"' in page
    assert "Somebody got on at" in page
    assert line["tx_hash"][:10] in page
    assert "1,234" in page


def test_who_starts_later_sees_the_same(made, web):
    """The board is filled from what is stored, silently; nothing is told twice."""
    later = Web(made.place, web.metrics, token="t")
    later.watch.look()
    now_us = made.clock.now_us()
    assert later.watch.traffic.flows(now_us, buckets=48) == web.watch.traffic.flows(
        now_us, buckets=48
    )
    assert not later.events._kept
    later.watch.look()
    assert not later.events._kept


def test_no_event_names_a_person(made, web):
    with made.place.base.store.read() as unit:
        imsi_holder = made.subscriber.party_id
        assert made.place.base.identity.directory.subscriber(unit, imsi_holder) is not None
    text = "".join(event.text for event in web.events._kept)
    assert imsi_holder not in text
    assert "pseudonym" not in text


def test_cells_are_asked_for_by_part_and_follow_a_move(made, client):
    base = made.place.base
    answer = client.get(CELLS, params={**EARTH, "level": 2})
    assert answer.json() == {"level": 2, "cells": [[2350000, 48860000, 1]]}
    elsewhere = {"west": 10_000_000, "south": 0, "east": 20_000_000, "north": 9, "level": 5}
    assert client.get(CELLS, params=elsewhere).json()["cells"] == []
    with base.store.write() as unit:
        place = read_place("-1.29,36.82", made.visited.party_id)
        base.identity.places.put(unit, made.node.node_id, place)
    moved = client.get(CELLS, params={**EARTH, "level": 2}).json()
    assert moved["cells"] == [[36820000, -1290000, 1]]
    for wrong in ({"level": 10}, {"level": -1}, {"level": 1, "west": -180_000_001}):
        assert client.get(CELLS, params={**EARTH, **wrong}).status_code == 422


def test_answers_about_the_map_are_bounded(made, monkeypatch):
    """The oldest answer goes; a node that moved makes all of them go."""
    monkeypatch.setattr(network, "ANSWERS_MAX", 3)
    cells = MapCells(made.place)
    boxes = [replace(EARTH_BOX, west_udeg=west) for west in range(5)]
    answers = [cells.cells(box, 0) for box in boxes]
    assert [box for box, _ in cells.kept] == boxes[2:]
    assert cells.cells(boxes[4], 0) is answers[4]
    with made.place.base.store.write() as unit:
        place = read_place("0,0", made.visited.party_id)
        made.place.base.identity.places.put(unit, made.node.node_id, place)
    assert cells.cells(boxes[4], 0) is not answers[4]


def test_lists_page_by_name(made, client, monkeypatch):
    """Each page begins after the last; together they are everything, once, in order."""
    monkeypatch.setattr(views, "ROWS_SHOWN", 2)
    with made.place.base.store.write() as unit:
        for name in ("Zebra", "Aardvark", "Middle <b>"):
            made.place.base.identity.register.add_host(unit, name=name)
    found, after = [], ""
    for _ in range(9):
        with made.place.base.store.read() as unit:
            rows, after = views.host_rows(made.place, unit, after)
        assert len(rows) <= 2
        found += [row.name for row in rows]
        if not after:
            break
    assert found == sorted(found)
    assert {"Zebra", "Aardvark", "Middle <b>"} < set(found)
    page = client.get("/", params={"hosts": "B"}).text
    assert "Middle &lt;b&gt;" in page or "hosts=" in page
    assert "<b>" not in page
    assert client.get("/", params={"hosts": "x" * 65}).status_code == 422


def test_a_host_row_says_what_views_say_of_all(made):
    with made.place.base.store.read() as unit:
        rows = views.host_rows(made.place, unit, "")[0]
        lines = {line.name: line for line in host_lines(made.place, unit)}
    earned = [row for row in rows if row.earned_minor]
    assert earned
    for row in rows:
        line = lines[row.name]
        assert (row.earned_minor, row.withdrawn_minor) == (
            line.earned_minor,
            line.withdrawn_minor,
        )


def test_a_part_is_drawn_as_the_page_is(client):
    """What replaces a page's inside is what the page would show."""
    page, part = client.get("/").text, client.get("/network/now").text
    assert part.strip()[:200] in page
    assert "<html" not in part
    assert client.get("/network/now").headers["cache-control"] == "no-store"


def test_a_page_is_small(client):
    """Everything a page asks for, compressed, in octets (the bench tells it with data)."""
    page = client.get("/")
    assert page.headers["content-encoding"] == "gzip"
    total = int(page.headers.get("content-length", len(page.content) // 2))
    for address in set(re.findall(r'"(/static/[^"#]+)', page.text)):
        total += int(client.get(address).headers["content-length"])
    assert total < 200_000


def test_the_open_cycle_ends_at_whole_multiples():
    assert cycle_due_us(0, 5) is None
    assert cycle_due_us(10, 9_999_999) == 10_000_000
    assert cycle_due_us(10, 10_000_000) == 20_000_000


def test_pages_see_what_happens_while_hosts_are_not_summed_up(web, monkeypatch, caplog):
    def broken():
        raise RuntimeError("no sums today")

    monkeypatch.setattr(web.watch._earning, "follow", broken)
    before = web.watch.looks
    web.watch.look()
    assert web.watch.looks == before + 1
    assert "summed up later" in caplog.text
