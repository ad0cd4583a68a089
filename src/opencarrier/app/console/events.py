"""What happens, told to whoever looks: server-sent events from one bounded memory (SSE).

A listener is a place in that memory, so however slow it is it holds nothing of ours; one that fell
behind, or comes with an id of another process, is told `reset` and asks for everything anew.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse

from opencarrier.app.api import operation
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.problems import problem
from opencarrier.kernel.clock import Clock

KEPT_MAX = 1_024
"""Events remembered for those who come back."""

LISTENERS_MAX = 256
SHARE_MAX = 32
"""How many of them one client may be, so that nobody keeps all others out."""

MEDIA = "text/event-stream"
EXAMPLE = 'id: 5f-1\nevent: cycle\ndata: {"sequence":1,"state":"final"}\n\n'
BEAT_S = 1.0
"""How often a quiet line is told that it lives; pages call it lost after two and a half."""

ID_CHARACTERS_MAX = 64
FIELDS_OCTETS_MAX = 1_024

Kind = Literal["session", "cycle", "payment", "node", "story"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; `number` counts from one in this process."""

    number: int
    kind: str
    text: str


class Events:
    """The memory and who listens; `publish` may be called by any thread."""

    def __init__(self, clock: Clock, *, kept_max: int = KEPT_MAX, beat_s: float = BEAT_S) -> None:
        self._clock = clock
        self._beat_s = beat_s
        self._origin = f"{clock.now_us():x}"
        self._kept: deque[Event] = deque(maxlen=kept_max)
        self._last = 0
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._closed = False
        self.held: Counter[str] = Counter()
        """How many listeners each client has: an account, else an address."""

    @property
    def listeners(self) -> int:
        """How many listen."""
        return self.held.total()

    def publish(self, kind: Kind, **fields: Any) -> None:
        """Tell everybody; fields are small and name no person."""
        text = json.dumps(fields, separators=(",", ":"))
        assert len(text.encode()) <= FIELDS_OCTETS_MAX, "an event says what to look at, no more"
        with self._lock:
            self._last += 1
            self._kept.append(Event(self._last, kind, text))
        self._wake()

    def close(self) -> None:
        """End every stream: the process stops."""
        self._closed = True
        self._wake()

    async def stream(self, last_id: str = "") -> AsyncIterator[str]:
        """Yield events after an id, or from now on; a beat where nothing happens."""
        changed = asyncio.Event()
        place = (asyncio.get_running_loop(), changed)
        with self._lock:
            self._waiting.add(place)
            seen, lost = self._begin(last_id)
        try:
            yield "retry: 500\n\n" + (self._reset(seen) if lost else self._beat())
            while not self._closed:
                changed.clear()
                events, seen, lost = self._after(seen)
                if lost:
                    yield self._reset(seen)
                elif events:
                    yield "".join(self._written(event) for event in events)
                elif not await self._heard(changed):
                    yield self._beat()
        finally:
            with self._lock:
                self._waiting.discard(place)

    async def _heard(self, changed: asyncio.Event) -> bool:
        """Wait until something is published or a beat is due; say which."""
        try:
            await asyncio.wait_for(changed.wait(), self._beat_s)
        except TimeoutError:
            return False
        return True

    def _begin(self, last_id: str) -> tuple[int, bool]:
        origin, _, number = last_id.partition("-")
        if not last_id:
            return self._last, False
        if origin != self._origin or not number.isdecimal() or int(number) > self._last:
            return self._last, True
        return int(number), False

    def _after(self, seen: int) -> tuple[list[Event], int, bool]:
        """Return what came after a number, the newest number, and whether some is forgotten."""
        with self._lock:
            first = self._kept[0].number if self._kept else self._last + 1
            events = [event for event in self._kept if event.number > seen]
            return events, self._last, seen + 1 < first

    def _wake(self) -> None:
        with self._lock:
            waiting = tuple(self._waiting)
        for loop, changed in waiting:
            loop.call_soon_threadsafe(changed.set)

    def _written(self, event: Event) -> str:
        return f"id: {self._origin}-{event.number}\nevent: {event.kind}\ndata: {event.text}\n\n"

    def _reset(self, seen: int) -> str:
        return f"id: {self._origin}-{seen}\nevent: reset\ndata: {{}}\n\n"

    def _beat(self) -> str:
        return f'event: beat\ndata: {{"at_us":{self._clock.now_us()}}}\n\n'


def event_routes(
    app: FastAPI,
    events: Events,
    *,
    listeners_max: int = LISTENERS_MAX,
    share_max: int = SHARE_MAX,
) -> None:
    """Add the stream; one more listener than there may be is told to come again."""

    @app.get(
        "/v1/events",
        response_class=StreamingResponse,
        **operation(
            "network",
            "What happens, as it happens",
            example=EXAMPLE,
            model={"type": "object", "title": "Event (server-sent)"},
            media=MEDIA,
            refuses={
                422: f"An event's id has at most {ID_CHARACTERS_MAX} characters.",
                429: f"Whoever asks has {share_max} streams open: close one.",
                503: "As many listen as may; `Retry-After` says when to come again.",
            },
        ),
    )
    async def listen(request: Request, after: str = "") -> Response:
        """Stream what happens: `session`, `cycle`, `payment`, `node`, `story`, each with an id.

        `Last-Event-ID`, or `after` where a page comes back, continues; `reset` says that something
        was missed. A `beat` comes each second in which nothing else does.
        """
        last_id = request.headers.get("last-event-id", after)
        if len(last_id) > ID_CHARACTERS_MAX:
            return problem(422, "unknown id", "an event's id is shorter")
        if events.listeners >= listeners_max:
            return problem(503, "busy", "too many listen", {"Retry-After": "5"})
        holder = _holder(request)
        if events.held[holder] >= share_max:
            return problem(429, "too many streams", f"at most {share_max}", {"Retry-After": "5"})
        return _Stream(events, last_id, holder)


def _holder(request: Request) -> str:
    """Return whose share a listener counts in."""
    address = request.client.host if request.client is not None else ""
    return visitor_of(request).account or address


class _Stream(StreamingResponse):
    """A stream that counts as a listener for as long as it is sent."""

    def __init__(self, events: Events, last_id: str, holder: str) -> None:
        self._events = events
        self._holder = holder
        super().__init__(
            events.stream(last_id),
            media_type=MEDIA,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send until either side ends."""
        held = self._events.held
        held[self._holder] += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            held[self._holder] -= 1
            if not held[self._holder]:
                del held[self._holder]
