"""Three ways to say no: a refusal is a value, a peer's mistake an error, ours an assertion."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Reason(IntEnum):
    """Base of each room's ordered reasons; of several that apply, the lowest is the one given."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A business "no": a reason from a room's ordered enum and the words for a person."""

    reason: Reason
    detail: str = ""

    @property
    def code(self) -> str:
        """The reason in words that scripts match on, such as `exceeds_credits`."""
        return self.reason.name.lower()

    def __str__(self) -> str:
        """Give the reason, and the detail where there is one."""
        return f"{self.code}: {self.detail}" if self.detail else self.code


class PeerError(Exception):
    """A peer broke the protocol: a short stable `reason` for counters, and the `offset` of it."""

    def __init__(self, reason: str, detail: str = "", *, offset: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.offset = offset
