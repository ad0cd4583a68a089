"""What all events are, and those that several contracts write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opencarrier.kernel.signatures import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events; the class has the event's name and the fields its names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipTransferStarted(Event):
    """Ownership was offered; it takes effect when it is accepted."""

    previous_owner: Address
    new_owner: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipTransferred(Event):
    """A contract has a new owner."""

    previous_owner: Address
    new_owner: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbiterSet(Event):
    """Another account decides disputes."""

    arbiter: Address


def named(*classes: type[Event]) -> Mapping[str, type[Event]]:
    """Return a contract's events by the names their logs carry."""
    return {event.__name__: event for event in classes}
