"""What an engineer sees of work while it is done: the port to whoever times it.

A trace here is OpenTelemetry's: what one request, round or duty set off, as spans within spans.
Where a record stands and what became of money is another thing (`stages`). What is noted of a span
leaves the installation: names of things and outcomes, never who or what somebody is.
"""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from enum import Enum, StrEnum
from types import TracebackType
from typing import Final, NamedTuple, Protocol, TypeAlias

Value: TypeAlias = str | int | bool


class Kind(Enum):
    """On which side of a line a span's work is done."""

    INNER = "internal"
    SERVER = "server"
    CLIENT = "client"


class Root(StrEnum):
    """What sets a trace off: each has its share that is recorded; duties all are, being few."""

    RADIUS = "radius"
    HTTP = "http"
    DUTY = "duty"


class Asked(NamedTuple):
    """The trace that a caller says its request belongs to (W3C Trace Context)."""

    trace_id: int
    span_id: int
    sampled: bool


class Span(Protocol):
    """One piece of work that is recorded; it began when it was made."""

    @property
    def trace_id(self) -> str:
        """The trace it belongs to, 32 hexadecimal digits."""
        ...

    @property
    def traceparent(self) -> str:
        """What others are told, so that their work joins the trace."""
        ...

    def child(self, name: str, kind: Kind = Kind.INNER) -> Span:
        """Begin a piece of work that this one set off; it may go on after this one's end."""
        ...

    def note(self, key: str, value: Value) -> None:
        """Say something of the work; the last value of a key stands."""
        ...

    def rename(self, name: str) -> None:
        """Call it by what is known of it only now."""
        ...

    def fail(self, reason: str) -> None:
        """Say in one word why it failed, whatever ends it."""
        ...

    def end(self, failed: str = "") -> None:
        """End it, with a reason in one word where it failed; a second end changes nothing."""
        ...


class Spans(Protocol):
    """Whoever keeps spans and sends them on."""

    @property
    def counts(self) -> Counter[str]:
        """What became of spans: `exported`, or why one was dropped."""
        ...

    def begin(self, root: Root, name: str, kind: Kind, asked: Asked | None = None) -> Span | None:
        """Begin a trace, or go on with the one that was asked for; None: it is not recorded."""
        ...


class Unrecorded:
    """Records nothing: no collector is named."""

    @property
    def counts(self) -> Counter[str]:
        """Count nothing."""
        return Counter()

    def begin(self, root: Root, name: str, kind: Kind, asked: Asked | None = None) -> Span | None:
        """Let everything pass."""
        return None


UNRECORDED: Final = Unrecorded()

current: ContextVar[Span | None] = ContextVar("current", default=None)
"""What is being recorded in this task or thread; copied into threads that a task waits for."""


class Within:
    """A block whose work is a span's, which ends with it; `with Within(span):`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token: Token[Span | None] | None = None

    def __enter__(self) -> Span:
        """Let what is done from here on belong to the span."""
        self._token = current.set(self._span)
        return self._span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """End the span; what the block raised is named by its kind, never by its words."""
        assert self._token is not None
        current.reset(self._token)
        self._span.end("" if kind is None else kind.__name__)


_NOTHING: Final[AbstractContextManager[Span | None]] = nullcontext(None)


def step(name: str, kind: Kind = Kind.INNER) -> AbstractContextManager[Span | None]:
    """Return the block of a step inside whatever is recorded here; where nothing is, of nothing."""
    around = current.get()
    return _NOTHING if around is None else Within(around.child(name, kind))


def duty(spans: Spans, name: str, kind: Kind = Kind.INNER) -> AbstractContextManager[Span | None]:
    """Return the block of a step, or of a trace of its own where nothing is recorded here."""
    if current.get() is not None:
        return step(name, kind)
    begun = spans.begin(Root.DUTY, name, kind)
    return _NOTHING if begun is None else Within(begun)
