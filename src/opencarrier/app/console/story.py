"""What just happened, for people: the newest things, each with its instant and its figures."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from opencarrier.kernel.sentences import Sentence

KEPT_MAX = 200
TEXT_CHARACTERS_MAX = 300

Kind = Literal["said", "began", "ended", "cycle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened; `what` is a text, a node's name or a cycle's state, by its kind."""

    at_us: int
    kind: Kind
    what: str
    number: int = 0
    """Octets of a session that ended, the number of a cycle."""

    said: Sentence | None = None
    """A text with its values, to be said in the language of whoever reads."""


class Story:
    """The newest happenings; the oldest are forgotten. Any thread may add."""

    def __init__(self) -> None:
        self._kept: deque[Happening] = deque(maxlen=KEPT_MAX)
        self._lock = threading.Lock()

    def add(self, happening: Happening) -> None:
        """Add what happened last."""
        assert len(happening.what) <= TEXT_CHARACTERS_MAX, "a story is told in short sentences"
        with self._lock:
            self._kept.append(happening)

    def newest(self, limit: int) -> Sequence[Happening]:
        """Return what happened last, the newest first."""
        with self._lock:
            return tuple(reversed(self._kept))[:limit]
