"""A fold: which of a contract's numbers an event changes, and how to ask the contract for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from opencarrier.chain.contracts.base import Contract, Query
from opencarrier.chain.events.base import Event
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address

Entry = tuple[str, str]
"""A number's name and whose it is: `("balance", "0x...")`; several owners stand `a/b`."""

State = Mapping[Entry, int]
VALUE_MAX = 2**256 - 1


@dataclass(frozen=True, slots=True)
class Add:
    """A number grows, or shrinks by a negative amount."""

    name: str
    key: str
    amount: int


@dataclass(frozen=True, slots=True)
class Put:
    """A number becomes another."""

    name: str
    key: str
    value: int


Change = Add | Put


class Fold(Protocol):
    """One contract's fold; it keeps nothing itself."""

    KIND: ClassVar[type[Contract]]
    SUMS: ClassVar[Mapping[str, tuple[str, ...]]]
    """Totals that the contract keeps: the names whose numbers together are each."""

    def __init__(self, address: Address) -> None:
        """Fold the contract at an address."""
        ...

    def changes(self, event: Event, state: State) -> Iterator[Change]:
        """Yield what an event changes; `state` is as of before it."""
        ...

    def query(self, name: str, key: str) -> Query[int] | None:
        """Ask the contract for a number; None for one that only serves later events."""
        ...


def after(state: State, change: Change) -> int:
    """Return a number after a change; `PeerError` where no contract could have told it."""
    entry = (change.name, change.key)
    value = change.value if isinstance(change, Put) else state.get(entry, 0) + change.amount
    if not 0 <= value <= VALUE_MAX:
        raise PeerError("index", f"{change.name} of {change.key} would be {value}")
    return value


def folded(fold: Fold, state: State, events: Iterable[Event]) -> dict[Entry, int]:
    """Return the numbers after some events, in their order."""
    numbers = dict(state)
    for event in events:
        for change in list(fold.changes(event, numbers)):
            numbers[(change.name, change.key)] = after(numbers, change)
    return numbers
