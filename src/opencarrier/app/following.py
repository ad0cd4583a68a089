"""What happens in the process that serves a folder, read from its stream of events (SSE)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from opencarrier.app.folder import Running

SILENCE_S = 5.0
"""A stream that lives says so each second."""

PAUSE_S = 0.5
LINE_OCTETS_MAX = 4_096
GONE_S = 60.0
"""How long a process may be gone before nobody waits for it any more."""

BEAT, RESET, GONE = "beat", "reset", "gone"


@dataclass(frozen=True, slots=True)
class Happened:
    """One event: its id, its kind, what it says."""

    identifier: str
    kind: str
    fields: dict[str, Any]


def follow(
    where: Callable[[], Running | None], pause: Callable[[float], None] = time.sleep
) -> Iterator[Happened]:
    """Yield what happens from now on, across restarts of the process, until it stays away.

    A `reset` says that something in between was not heard, `gone` that the process ended. `where`
    finds the process each time.
    """
    last_id, gone_s = "", 0.0
    while gone_s < GONE_S:
        running = where()
        if running is not None:
            gone_s = 0.0
            for one in _heard(running, last_id):
                last_id = one.identifier or last_id
                yield one
        else:
            if not gone_s:
                yield Happened("", GONE, {})
            gone_s += PAUSE_S
        pause(PAUSE_S)


def _heard(running: Running, last_id: str) -> Iterator[Happened]:
    """Yield what one connection brings until it ends."""
    at = urlsplit(running.http)
    assert at.hostname is not None, "we wrote the address ourselves"
    headers = {"Authorization": f"Bearer {running.token}"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    with closing(HTTPConnection(at.hostname, at.port, timeout=SILENCE_S)) as connection:
        try:
            connection.request("GET", "/v1/events", headers=headers)
            answer = connection.getresponse()
            if answer.status == 200:
                yield from events(iter(lambda: answer.readline(LINE_OCTETS_MAX), b""))
        except (OSError, HTTPException, ValueError):
            return


def events(lines: Iterable[bytes]) -> Iterator[Happened]:
    """Read a stream as the HTML standard says (section 9.2.6), beats left out.

    `ValueError` for a line that is too long or data that is no object.
    """
    told: dict[str, str] = {}
    for line in lines:
        if len(line) >= LINE_OCTETS_MAX:
            raise ValueError("a line without an end")
        text = line.decode().rstrip("\r\n")
        if text:
            name, _, value = text.partition(":")
            told[name] = value.removeprefix(" ")
            continue
        if "data" in told and told.get("event") != BEAT:
            fields = json.loads(told["data"])
            if not isinstance(fields, dict):
                raise ValueError("an event is an object")
            yield Happened(told.get("id", ""), told.get("event", "message"), fields)
        told = {}
