"""What happens, followed from a terminal: across restarts, and with whatever comes in bounds."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from tests.app.serving import served

from opencarrier.app.console.events import Events, event_routes
from opencarrier.app.folder import Folder, Running
from opencarrier.app.following import GONE_S, LINE_OCTETS_MAX, Happened, events, follow
from opencarrier.app.system import SystemClock


def at(url: str) -> Running:
    return Running(pid=1, http=url, rpc="", radius_port=0, acct_port=0, token="t")


class Process:
    """A process with a stream, that can be ended and begun again."""

    def __init__(self) -> None:
        self.running: Running | None = None
        self.events = Events(SystemClock(), beat_s=0.05)

    def serve(self) -> Any:
        self.events = Events(SystemClock(), beat_s=0.05)
        app = FastAPI()
        event_routes(app, self.events)
        return served(app)

    def listened(self) -> None:
        """Wait until the stream has begun: what is published from then on is heard."""
        while not self.events._waiting:
            threading.Event().wait(0.01)


def test_what_happens_is_heard_across_a_restart() -> None:
    """Beats are not told; another process says `reset`, for what was missed is not known."""
    process = Process()
    heard = follow(lambda: process.running, lambda _: threading.Event().wait(0.01))
    with process.serve() as url:
        process.running = at(url)
        told = threading.Thread(target=lambda: (process.listened(), publish(process, 1)))
        told.start()
        first = next(heard)
        told.join()
        process.events.close()
    assert (first.kind, first.fields) == ("session", {"number": 1})
    process.running = None
    assert next(heard).kind == "gone"
    with process.serve() as url:
        process.running = at(url)
        told = threading.Thread(target=lambda: (process.listened(), publish(process, 2)))
        told.start()
        kinds = [one.kind for one in islice(heard, 2)]
        told.join()
        heard.close()  # type: ignore[attr-defined]
        process.events.close()
    assert kinds == ["reset", "session"]


def test_who_stays_away_is_waited_for_a_minute() -> None:
    paused: list[float] = []
    assert [one.kind for one in follow(lambda: None, paused.append)] == ["gone"]
    assert sum(paused) == GONE_S


def publish(process: Process, number: int) -> None:
    process.events.publish("session", number=number)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["session", "cycle"]),
            st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
        )
    )
)
def test_what_is_written_is_read(sent: list[tuple[str, dict[str, int]]]) -> None:
    text = "retry: 500\n\nevent: beat\ndata: {}\n\n" + "".join(
        f"id: a-{number}\nevent: {kind}\ndata: {json.dumps(fields)}\n\n"
        for number, (kind, fields) in enumerate(sent)
    )
    lines = text.encode().splitlines(keepends=True)
    assert list(events(lines)) == [
        Happened(f"a-{number}", kind, fields) for number, (kind, fields) in enumerate(sent)
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([b"x" * LINE_OCTETS_MAX], "without an end"),
        ([b"data: [1]\n", b"\n"], "an object"),
        ([b"data: {\n", b"\n"], "property name"),
        ([b"\xff\n"], "utf-8"),
    ],
)
def test_what_is_no_stream_ends_it(lines: list[bytes], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        list(events(lines))


def test_a_line_just_short_enough_is_read() -> None:
    fields = {"a": "x" * (LINE_OCTETS_MAX - 17)}
    line = f"data: {json.dumps(fields)}\n".encode()
    assert len(line) == LINE_OCTETS_MAX - 1
    assert [one.fields for one in events([line, b"\n"])] == [fields]


def stream(*told: Happened) -> Any:
    def followed(_: Any) -> Iterator[Happened]:
        yield from told

    return followed


def test_the_command_prints_what_is_asked_for(tmp_path, run, monkeypatch) -> None:
    data = ("--data", str(tmp_path))
    assert "nothing runs" in run("logs", "tail", *data, code=3)
    assert "one of session" in run("logs", "tail", "--kind", "weather", *data, code=2)
    monkeypatch.setattr(Folder, "running", lambda _: at("http://127.0.0.1:1"))
    told = (
        Happened("a-1", "cycle", {"sequence": 4, "state": "final"}),
        Happened("a-2", "session", {"state": "began", "node": "cafe-1"}),
        Happened("b-1", "reset", {}),
        Happened("b-2", "session", {"state": "ended", "node": "cafe-1"}),
    )
    monkeypatch.setattr("opencarrier.app.following.follow", stream(*told))
    lines = run("logs", "tail", "--kind", "session", "--count", "2", *data).splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == [
        "session state=began node=cafe-1",
        "reset   something in between was not heard",
    ]
    ended = run("logs", "tail", "--kind", "cycle", *data, code=1)
    assert "hint: start `opencarrier up`" in ended
    shown = run("logs", "tail", "--json", "--count", "1", *data)
    assert json.loads(shown) == {"id": "a-1", "kind": "cycle", "sequence": 4, "state": "final"}
