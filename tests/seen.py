"""A span that notes what it is told, for tests of whoever is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field

from opencarrier.spine.spans import Kind, Span, Value

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Seen:
    """What is recorded of a piece of work, and of what it set off."""

    name: str
    kind: Kind
    noted: dict[str, Value] = field(default_factory=dict)
    below: list[Seen] = field(default_factory=list)
    ended: str | None = None
    trace_id: str = PARENT[3:35]
    traceparent: str = PARENT

    def child(self, name: str, kind: Kind = Kind.INNER) -> Span:
        self.below.append(Seen(name, kind))
        return self.below[-1]

    def note(self, key: str, value: Value) -> None:
        assert self.ended is None, "what comes after the end is lost"
        self.noted[key] = value

    def rename(self, name: str) -> None:
        self.name = name

    def fail(self, reason: str) -> None:
        self.noted["error"] = reason

    def end(self, failed: str = "") -> None:
        if self.ended is None:
            self.ended = failed
