"""What every contract's Python side has: calls as data, answers and events typed, no network.

Writing methods return a `Call` for the transaction manager, reading ones a `Query` that any
client answers. Amounts are in the token's smallest unit, times in seconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from opencarrier.chain.abi import Artefact, load
from opencarrier.chain.events.base import Event
from opencarrier.chain.model import LATEST, BlockAt, Call
from opencarrier.chain.typed_data import SigningDomain
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address

_Answer = TypeVar("_Answer")


class Reader(Protocol):
    """Whoever runs a call without sending it, such as `ChainClient`."""

    def call(self, call: Call, at: BlockAt = LATEST) -> bytes:
        """Return the call's output as of a block."""
        ...


class LogLike(Protocol):
    """The part of a log that says what happened."""

    @property
    def address(self) -> Address:
        """The contract that wrote it."""
        ...

    @property
    def topics(self) -> tuple[bytes, ...]:
        """The event's name and its indexed fields."""
        ...

    @property
    def data(self) -> bytes:
        """The other fields."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Generic[_Answer]):
    """A question to a contract: the call, and how to read what it returns."""

    call: Call
    read: Callable[[bytes], _Answer]

    def ask(self, reader: Reader, at: BlockAt = LATEST) -> _Answer:
        """Ask it as of a block; `PeerError` where the answer has another form."""
        return self.read(reader.call(self.call, at))


class Contract:
    """A deployed contract at an address."""

    NAME: ClassVar[str]
    EVENTS: ClassVar[Mapping[str, type[Event]]]

    __slots__ = ("address",)

    def __init__(self, address: Address) -> None:
        self.address = address

    def __repr__(self) -> str:
        """Name the contract and where it is."""
        return f"{self.NAME}({self.address})"

    @classmethod
    def artefact(cls) -> Artefact:
        """The compiled contract."""
        return load(cls.NAME)

    @classmethod
    def topics(cls, *wanted: type[Event]) -> tuple[bytes, ...]:
        """Return the first topics of events, for a log filter."""
        names = {event: name for name, event in cls.EVENTS.items()}
        return tuple(cls.artefact().topic(names[event]) for event in wanted)

    def event(self, log: LogLike) -> Event | None:
        """Read a log; None for another contract's or an unknown one, `PeerError` if broken."""
        if log.address != self.address:
            return None
        found = self.artefact().read_log(log.topics, log.data)
        if found is None:
            return None
        name, values = found
        return self.EVENTS[name](**self._fields(values))

    def check_code(self, code: bytes) -> dict[str, Any]:
        """Return the immutables of the code found at the address; `PeerError` for other code."""
        return self.artefact().read_code(code)

    def _fields(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Turn the values of a log into the fields of its event."""
        return dict(values)

    def _call(self, function: str, *arguments: Any) -> Call:
        return Call(to=self.address, data=self.artefact().call_data(function, *arguments))

    def _query(self, function: str, *arguments: Any) -> Query[Any]:
        def read(data: bytes) -> Any:
            values = self.artefact().read_result(function, data)
            return values[0] if len(values) == 1 else values

        return Query(call=self._call(function, *arguments), read=read)


class Ownable(Contract):
    """A contract with a two-step owner."""

    __slots__ = ()

    def owner(self) -> Query[Address]:
        """Who owns the contract."""
        return self._query("owner")

    def transfer_ownership(self, new_owner: Address) -> Call:
        """Offer ownership (owner)."""
        return self._call("transfer_ownership", new_owner)

    def accept_ownership(self) -> Call:
        """Accept ownership (whom it was offered to)."""
        return self._call("accept_ownership")


def fields_of(cls: Any, values: Sequence[Any]) -> dict[str, Any]:
    """Name a struct's values by a dataclass's fields, in their order."""
    return dict(zip(cls.__dataclass_fields__, values, strict=True))


def domain_query(query: Query[Any]) -> Query[SigningDomain]:
    """Read `eip712Domain()` (EIP-5267) as a signing domain."""

    def read(data: bytes) -> SigningDomain:
        used, name, version, chain_id, contract, _, _ = query.read(data)
        if used != b"\x0f":
            raise PeerError("eip712_domain", f"fields 0x{used.hex()} instead of 0x0f")
        return SigningDomain(name=name, version=version, chain_id=chain_id, contract=contract)

    return Query(call=query.call, read=read)
