"""The stream of events: what a listener hears, misses, and may cost."""

from __future__ import annotations

import asyncio
import json

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from opencarrier.app.console.events import (
    FIELDS_OCTETS_MAX,
    ID_CHARACTERS_MAX,
    Events,
    event_routes,
)
from opencarrier.kernel.clock import FixedClock


def made(kept_max: int = 4, beat_s: float = 0.01) -> Events:
    return Events(FixedClock(7), kept_max=kept_max, beat_s=beat_s)


def read(text: str) -> list[dict[str, str]]:
    """Parse events as a browser does."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in fields:
            found.append(fields)
    return found


async def heard(events: Events, last_id: str = "", *, parts: int = 2) -> list[dict[str, str]]:
    stream = events.stream(last_id)
    text = ""
    for _ in range(parts):
        text += await anext(stream)
    await stream.aclose()
    return read(text)


async def test_a_quiet_line_beats():
    beats = await heard(made(), parts=3)
    assert [beat["event"] for beat in beats] == ["beat"] * 3
    assert json.loads(beats[0]["data"]) == {"at_us": 7}
    assert "id" not in beats[0]


async def test_who_listens_hears_what_happens_from_then_on():
    events = made(beat_s=5)
    events.publish("cycle", sequence=1)
    stream = events.stream()
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await asyncio.to_thread(events.publish, "cycle", sequence=2)
    (told,) = read(await asyncio.wait_for(waiting, 2))
    assert (told["event"], json.loads(told["data"])) == ("cycle", {"sequence": 2})
    await stream.aclose()


async def test_who_comes_back_hears_what_it_missed():
    events = made()
    for number in range(4):
        events.publish("node", number=number)
    first = events._written(events._kept[0])
    last_id = read(first)[0]["id"]
    told = await heard(events, last_id)
    assert [json.loads(e["data"])["number"] for e in told if e["event"] == "node"] == [1, 2, 3]


@pytest.mark.parametrize("last_id", ["other-1", "7-99", "7-x", "nonsense"])
async def test_an_id_of_nowhere_starts_anew(last_id):
    events = made()
    events.publish("node")
    assert [event["event"] for event in await heard(events, last_id, parts=1)] == ["reset"]


async def test_who_falls_behind_is_told_and_holds_nothing():
    """Beyond what is kept the oldest are forgotten; a slow one hears `reset`, then the rest."""
    events = made(kept_max=4)
    stream = events.stream()
    await anext(stream)
    for _ in range(9):
        events.publish("session")
    assert len(events._kept) == 4
    assert [e["event"] for e in read(await anext(stream))] == ["reset"]
    events.publish("session")
    assert [e["event"] for e in read(await anext(stream))] == ["session"]
    await stream.aclose()
    assert not events._waiting


def test_an_event_is_small():
    with pytest.raises(AssertionError):
        made().publish("story", text="x" * FIELDS_OCTETS_MAX)


def test_too_many_listeners_are_told_to_come_again():
    events, app = made(), FastAPI()
    event_routes(app, events, listeners_max=1)
    client = TestClient(app)
    events.close()
    assert client.get("/v1/events").headers["content-type"].startswith("text/event-stream")
    assert events.listeners == 0
    events.held["somebody else"] = 1
    refused = client.get("/v1/events")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    long = {"Last-Event-ID": "x" * (ID_CHARACTERS_MAX + 1)}
    assert client.get("/v1/events", headers=long).status_code == 422


def test_nobody_takes_the_share_of_others():
    """A client has its share and no more; others still listen, and what ends is given back."""
    events, app = made(), FastAPI()
    event_routes(app, events, listeners_max=9, share_max=2)
    client = TestClient(app, client=("192.0.2.1", 7))
    events.close()
    events.held["192.0.2.1"] = 1
    assert client.get("/v1/events").status_code == 200
    assert events.held == {"192.0.2.1": 1}
    events.held["192.0.2.1"] = 2
    refused = client.get("/v1/events")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    other = TestClient(app, client=("192.0.2.2", 7))
    assert other.get("/v1/events").status_code == 200
    assert events.held == {"192.0.2.1": 2}


async def test_closing_ends_every_stream():
    events = made(beat_s=60)
    stream = events.stream()
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    events.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 2)
