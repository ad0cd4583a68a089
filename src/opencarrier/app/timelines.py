"""One timeline a use, as it is asked for and told: pages, cursors, steps as JSON and as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opencarrier.kernel.ids import Id, from_hex, to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.spine.stages import Step

LIMIT: Final = 10
"""Timelines of a page: each asks some thirty questions of the database."""

LIMIT_MAX: Final = 100
ID_MAX: Final = 255
"""Characters of an id or a cursor that are looked at."""

PHASES: Final = ("usage", "pending", "refused")
"""The parts of an answer in their order: usages, what no cut has taken, what was refused."""


class TraceReason(Reason):
    """Why nothing is told; of several that apply, the lowest is given."""

    BAD_LIMIT = 1
    BAD_CURSOR = 2
    UNKNOWN_ID = 3


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: in the usages, in what no cut has taken, or in what was refused."""

    phase: str = "usage"
    after: str = ""

    @classmethod
    def read(cls, text: str) -> Cursor | Refusal:
        """Read a cursor that an earlier page gave."""
        if not text:
            return cls()
        phase, _, after = text[:ID_MAX].partition("/")
        cursor = cls(phase, after)
        try:
            _ = from_hex(after) if phase == "usage" else cursor.place
        except ValueError:
            return Refusal(TraceReason.BAD_CURSOR, text[:ID_MAX])
        if phase not in PHASES:
            return Refusal(TraceReason.BAD_CURSOR, text[:ID_MAX])
        return cursor

    def __str__(self) -> str:
        """Write it for the next page."""
        return f"{self.phase}/{self.after}"

    @property
    def usage_id(self) -> bytes:
        """The last usage told, before all where none was."""
        return from_hex(self.after) if self.after else b""

    @property
    def place(self) -> int:
        """The last place told, before all where none was."""
        if not self.after:
            return -1
        if not (self.after.isascii() and self.after.isdigit()) or len(self.after) > 18:
            raise ValueError(self.after)
        return int(self.after)


@dataclass(frozen=True, slots=True)
class Item:
    """A thing and what happened to it: a cycle, a usage, a session or a record of a file."""

    kind: str
    identifier: Id | None
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Page:
    """Some items of what an id means; `following` is where the next page goes on."""

    items: Sequence[Item]
    following: Cursor | None


def begin(after: str, limit: int) -> Cursor | Refusal:
    """Return where a page begins; refused is a limit out of bounds or a cursor no page gave."""
    if not 1 <= limit <= LIMIT_MAX:
        return Refusal(TraceReason.BAD_LIMIT, f"1 to {LIMIT_MAX}")
    return Cursor.read(after)


def unknown(text: str) -> Refusal:
    """Return the refusal of an id nobody knows."""
    return Refusal(TraceReason.UNKNOWN_ID, text[:ID_MAX])


def told(text: str, kind: str, page: Page, *, is_partial: bool) -> dict[str, Any]:
    """Return the answer with stable keys, for JSON."""
    return {
        "id": text,
        "kind": kind,
        "is_partial": is_partial,
        "items": [_item(item) for item in page.items],
        "next": None if page.following is None else str(page.following),
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "id": None if item.identifier is None else to_hex(item.identifier),
        "steps": [_mapping(step) for step in item.steps],
    }


def items(answer: dict[str, Any]) -> dict[str, Any]:
    """Put each item's steps under its name, as a terminal shows them."""
    told: dict[str, Any] = {
        f"{item['kind']} {item['id'] or place}": item["steps"] or "nothing yet"
        for place, item in enumerate(answer["items"], 1)
    }
    if answer["next"] is not None:
        told["more with --after"] = answer["next"]
    return told


def lines(answer: dict[str, Any]) -> Iterator[str]:
    """Write a page for people: an item, and below it a line for each step."""
    for item in answer["items"]:
        yield f"{item['kind']} {item['id'] or ''}".rstrip()
        for step in item["steps"]:
            facts = " ".join(f"{name}={value}" for name, value in _facts(step) if value is not None)
            yield f"  {step['stage']:<10} {step['reason']:<16} {facts}"
    if answer["next"] is not None:
        yield f"more: --after {answer['next']}"


def _facts(step: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in step.items() if name not in ("stage", "reason"))


def _mapping(step: Step) -> dict[str, Any]:
    return {
        "stage": step.stage.name.lower(),
        "reason": step.reason,
        "at_us": step.at_us,
        **step.facts,
    }
