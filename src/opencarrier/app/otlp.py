"""Spans by OpenTelemetry's SDK: which are recorded, how they wait, and how they are sent.

Loaded only where a collector is named (half a second of CPU time). What ends a span only puts it
into a queue: a collector that is slow or gone costs spans, never a request. The SDK's own batching
does not tell how many it drops without its metrics, so the queue is ours.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Mapping
from time import monotonic
from types import MappingProxyType
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan
from requests import PreparedRequest, Response, Session

from opencarrier import __version__
from opencarrier.app.collector import Collector
from opencarrier.app.turnstile import Manners, Turnstile
from opencarrier.kernel.entropy import Entropy
from opencarrier.spine.spans import Asked, Kind, Root, Span, Value

QUEUE_MAX: Final = 2_048
BATCH_MAX: Final = 256
EVERY_S: Final = 2.0
"""How long a span waits for others, at most, before it is sent."""

ATTEMPT_S: Final = 5.0
"""For all tries of one batch; then it is dropped."""

STOP_S: Final = 3.0
"""For what waits when the process ends; the rest is dropped."""

ASKED: Final = Manners(per_s=5.0, burst=50.0, sessions_max=1)
"""How often a caller's wish to be recorded is followed; beyond it our own share decides."""

TRACE_SPANS_MAX: Final = 500
"""Spans below the first of a trace; further work in it is not recorded."""

PPM: Final = 1_000_000
VALUE_CHARACTERS_MAX: Final = 128
ATTRIBUTES_MAX: Final = 32

_log = logging.getLogger(__name__)
_KINDS: Final = {
    Kind.INNER: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
}


class _Trace:
    """What spans of one trace share: who makes them, and for how many there is room."""

    __slots__ = ("left", "tracer")

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.left = TRACE_SPANS_MAX


class Recorded:
    """A span of the SDK's behind our port."""

    __slots__ = ("_span", "_trace")

    def __init__(self, trace: _Trace, span: SdkSpan) -> None:
        self._trace = trace
        self._span = span

    @property
    def trace_id(self) -> str:
        """The trace it belongs to."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """The header that continues it (W3C Trace Context, version 00)."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def child(self, name: str, kind: Kind = Kind.INNER) -> Span:
        """Begin a span below it; where the trace is full, one that nobody sees."""
        trace, unseen = self._trace, NonRecordingSpan(self._span.get_span_context())
        if trace.left <= 0:
            return Recorded(trace, unseen)
        trace.left -= 1
        begun = trace.tracer.start_span(name, set_span_in_context(unseen), _KINDS[kind])
        return Recorded(trace, begun)

    def note(self, key: str, value: Value) -> None:
        """Set an attribute; one that comes after the end is lost."""
        if self._span.is_recording():
            self._span.set_attribute(key, value)

    def rename(self, name: str) -> None:
        """Call it otherwise."""
        self._span.update_name(name)

    def fail(self, reason: str) -> None:
        """Mark it as failed."""
        self._span.set_attribute("error.type", reason)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self, failed: str = "") -> None:
        """End it once."""
        if not self._span.is_recording():
            return
        if failed:
            self.fail(failed)
        self._span.end()


class Exporting:
    """Records by shares, and follows callers' wishes within bounds."""

    def __init__(
        self, collector: Collector, tracer: Tracer, queue: Queue, entropy: Entropy
    ) -> None:
        self._shares = {
            Root.RADIUS: collector.radius_ppm,
            Root.HTTP: collector.http_ppm,
            Root.DUTY: PPM,
        }
        self._tracer = tracer
        self._queue = queue
        self._entropy = entropy
        self._asked = Turnstile(ASKED, monotonic)

    @property
    def counts(self) -> Counter[str]:
        """What became of spans."""
        return self._queue.counts

    def begin(self, root: Root, name: str, kind: Kind, asked: Asked | None = None) -> Span | None:
        """Draw by the root's share; a caller's wish comes first, as often as it may be had.

        Who says its trace is not recorded is believed. The draw never looks at a trace's id: the
        caller chose it.
        """
        if asked is not None and not asked.sampled:
            return None
        followed = asked is not None and self._asked.passes(b"")
        if not followed and not self._draws(self._shares[root]):
            return None
        above = None if asked is None else _above(asked)
        trace = _Trace(self._tracer)
        return Recorded(trace, self._tracer.start_span(name, above, _KINDS[kind]))

    def close(self) -> None:
        """Send what waits, within `STOP_S`."""
        self._queue.shutdown()

    def _draws(self, ppm: int) -> bool:
        if ppm in (0, PPM):
            return bool(ppm)
        drawn = int.from_bytes(self._entropy.octets("spans/draw", 4))
        return drawn * PPM >> 32 < ppm


def _above(asked: Asked) -> Any:
    context = SpanContext(asked.trace_id, asked.span_id, True, TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(context))


class Queue(SpanProcessor):
    """Ended spans on their way to an exporter, by a thread of their own; the newest give way."""

    def __init__(
        self, exporter: SpanExporter, *, queue_max: int = QUEUE_MAX, every_s: float = EVERY_S
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._exporter = exporter
        self._waiting: deque[ReadableSpan] = deque()
        self._queue_max = queue_max
        self._every_s = every_s
        self._wake = threading.Event()
        self._ends = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Take an ended span; where there is no room for it, or at the end, count it."""
        if self._ends or len(self._waiting) >= self._queue_max:
            self.counts["stopping" if self._ends else "queue_full"] += 1
            return
        self._waiting.append(span)
        if len(self._waiting) >= BATCH_MAX:
            self._wake.set()

    def shutdown(self) -> None:
        """Send what waits within `STOP_S`; count the rest."""
        self._ends = True
        self._wake.set()
        self._thread.join(STOP_S)
        self._exporter.shutdown()
        left = len(self._waiting)
        self._waiting.clear()
        if left:
            self.counts["stopping"] += left
            _log.warning("%d spans were not sent before the end", left)

    def _run(self) -> None:
        ends_s = float("inf")
        while not self._ends or (self._waiting and monotonic() < ends_s):
            self._wake.wait(self._every_s)
            self._wake.clear()
            if self._ends:
                ends_s = min(ends_s, monotonic() + STOP_S)
            while self._waiting and monotonic() < ends_s:
                self._send([self._waiting.popleft() for _ in range(_batch(self._waiting))])

    def _send(self, batch: list[ReadableSpan]) -> None:
        try:
            done = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:
            _log.exception("a batch of spans is given up")
            done = False
        self.counts["exported" if done else "not_taken"] += len(batch)
        if done is self._failing:
            self._failing = not done
            told = "takes spans again" if done else "takes no spans; they are counted as dropped"
            _log.warning("the collector %s", told)


def _batch(waiting: deque[ReadableSpan]) -> int:
    return min(len(waiting), BATCH_MAX)


class _Bounded(Session):
    """A session that reads no more of an answer than its head: nothing in the rest matters."""

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a request and close what carries its answer."""
        answer = super().send(request, **{**kwargs, "stream": True})
        answer.close()
        return answer


def recorder_for(collector: Collector, entropy: Entropy, *, worker: int = 0) -> Exporting:
    """Return what records for a collector and sends to it."""
    # It tells each batch that failed, with where it broke; we tell once, and count.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(
        endpoint=collector.url,
        headers=dict(collector.headers),
        timeout=ATTEMPT_S,
        session=_Bounded(),
    )
    return recorder_of(collector, entropy, Queue(exporter, every_s=EVERY_S), worker=worker)


def recorder_of(
    collector: Collector, entropy: Entropy, queue: Queue, *, worker: int = 0
) -> Exporting:
    """Return what records for a collector through a queue."""
    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=Resource(_resource(collector.about, worker)),
        shutdown_on_exit=False,
        span_limits=SpanLimits(
            max_span_attributes=ATTRIBUTES_MAX, max_span_attribute_length=VALUE_CHARACTERS_MAX
        ),
    )
    provider.add_span_processor(queue)
    tracer = provider.get_tracer("opencarrier", __version__)
    return Exporting(collector, tracer, queue, entropy)


def _resource(about: Mapping[str, str], worker: int) -> Mapping[str, str | int]:
    """Say which process of which installation it is, and nothing of the machine."""
    return MappingProxyType({**about, "service.version": __version__, "opencarrier.worker": worker})
