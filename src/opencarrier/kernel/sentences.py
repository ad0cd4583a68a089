"""What happened, said so that it can be said in any language: a text, and the values in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Amount:
    """Money in a sentence: micro-units of what `code` names."""

    minor: int
    code: str

    def __str__(self) -> str:
        """Write it to the last unit."""
        whole, micro = divmod(abs(self.minor), MICRO)
        return f"{'-' if self.minor < 0 else ''}{whole}.{micro:06d} {self.code}"


@dataclass(frozen=True, slots=True)
class Octets:
    """An amount of data in a sentence."""

    number: int

    def __str__(self) -> str:
        """Write it in whole megabytes."""
        return f"{self.number // MICRO} MB"


Value = str | int | Amount | Octets


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text with `%(name)s` where values come; as it stands it is English."""

    text: str
    values: Mapping[str, Value]

    def __str__(self) -> str:
        """Say it in English, whole numbers with separators."""
        return self.text % {
            key: f"{value:,}" if isinstance(value, int) else value
            for key, value in self.values.items()
        }


def sentence(text: str, /, **values: Value) -> Sentence:
    """Return a sentence; its text is written out where this is called, so that it is found."""
    return Sentence(text, MappingProxyType(values))
