"""A person as the rooms know it, when everything about it is to be told or to be erased."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from opencarrier.kernel.ids import Id
from opencarrier.spine.parties import PartyId

BATCH = 500
"""Ids named in one statement."""

Held: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]
"""What a room keeps of a person: rows by the name of their table."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A subscriber by its opaque id, with every authorisation it was granted and every use.

    `subjects` are the pseudonyms under which use of its SIMs is kept where no Class came.
    """

    party_id: PartyId
    authorisations: tuple[bytes, ...] = ()
    usages: tuple[Id, ...] = ()
    subjects: tuple[str, ...] = ()


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a long list into parts that one statement takes."""
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))
