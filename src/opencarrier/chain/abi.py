"""Contract ABIs: artefacts from the wheel, call data, results, events, recognition of code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.refusals import PeerError

SELECTOR_OCTETS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Immutable:
    """A value Vyper appends to the runtime code: its ABI type and place in octets."""

    name: str
    type: str
    offset: int
    length: int


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """A compiled contract: ABI entries by kind, creation code, how to recognise deployed code.

    `runtime_length` octets of code with hash `runtime_keccak` stand in front of the immutables.
    """

    name: str
    compiler: str
    bytecode: bytes
    runtime_length: int
    runtime_keccak: bytes
    immutables: tuple[Immutable, ...]
    entries: tuple[Mapping[str, Any], ...]

    @cached_property
    def functions(self) -> dict[str, Mapping[str, Any]]:
        """Functions by name; of several with one name the last, the others by signature."""
        entries = [e for e in self.entries if e["type"] == "function"]
        named = {e["name"]: e for e in entries}
        others = (e for e in entries if named[e["name"]] is not e)
        return named | {_signature(e).decode(): e for e in others}

    @cached_property
    def events(self) -> dict[bytes, Mapping[str, Any]]:
        """Events by their first topic."""
        return {keccak(_signature(e)): e for e in self.entries if e["type"] == "event"}

    def selector(self, function: str) -> bytes:
        """Return the first four octets of a call to a function."""
        return keccak(_signature(self.functions[function]))[:SELECTOR_OCTETS]

    def topic(self, event: str) -> bytes:
        """Return the first topic of an event."""
        return next(topic for topic, e in self.events.items() if e["name"] == event)

    def creation_code(self, *arguments: Any) -> bytes:
        """Return the data of the transaction that deploys the contract."""
        constructor = next(e for e in self.entries if e["type"] == "constructor")
        return self.bytecode + encode(_types(constructor["inputs"]), arguments)

    def call_data(self, function: str, *arguments: Any) -> bytes:
        """Return the data of a call to a function."""
        return self.selector(function) + encode(
            _types(self.functions[function]["inputs"]), arguments
        )

    def read_call(self, function: str, data: bytes) -> dict[str, Any]:
        """Read the arguments of a call by name, structs as mappings.

        `PeerError` unless the data is exactly what `call_data` writes for these arguments.
        """
        inputs = self.functions[function]["inputs"]
        values = decode(_types(inputs), data[SELECTOR_OCTETS:])
        if self.call_data(function, *values) != data:
            raise PeerError("abi", "not in the one form of its arguments")
        return _named(inputs, values)

    def read_result(self, function: str, data: bytes) -> tuple[Any, ...]:
        """Read what a function returned; `PeerError` where the data has another form."""
        return decode(_types(self.functions[function]["outputs"]), data)

    def read_log(self, topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Any]] | None:
        """Read an event as its name and fields; None for one this contract does not have.

        `PeerError` where topics or data do not fit the event.
        """
        event = self.events.get(topics[0]) if topics else None
        if event is None:
            return None
        indexed = [i for i in event["inputs"] if i["indexed"]]
        plain = [i for i in event["inputs"] if not i["indexed"]]
        if len(topics) != 1 + len(indexed):
            raise PeerError("log_topics", f"{event['name']} has {len(indexed)} indexed fields")
        values = {
            i["name"]: decode([i["type"]], topic)[0]
            for i, topic in zip(indexed, topics[1:], strict=True)
        }
        fields = decode(_types(plain), data)
        values |= {i["name"]: value for i, value in zip(plain, fields, strict=True)}
        return event["name"], values

    def read_code(self, code: bytes) -> dict[str, Any]:
        """Return the immutables of deployed code; `PeerError` unless it is this contract's code."""
        tail = code[self.runtime_length :]
        if keccak(code[: self.runtime_length]) != self.runtime_keccak:
            raise PeerError("other_code", f"the code is not that of {self.name}")
        if len(tail) != sum(value.length for value in self.immutables):
            raise PeerError("other_code", f"the code is longer or shorter than {self.name}'s")
        return {value.name: _immutable(value, tail) for value in self.immutables}


@cache
def load(name: str) -> Artefact:
    """Return a contract's artefact from the package."""
    path = files("opencarrier.chain.artefacts").joinpath(f"{name}.json")
    artefact = parse(path.read_text("utf-8"))
    assert artefact.name == name, "an artefact is named like its file"
    return artefact


def parse(text: str) -> Artefact:
    """Read the text of an artefact as `contracts/build.py` writes it."""
    raw = json.loads(text)
    runtime = raw["runtime"]
    return Artefact(
        name=raw["name"],
        compiler=raw["compiler"],
        bytecode=bytes.fromhex(raw["bytecode"].removeprefix("0x")),
        runtime_length=runtime["length"],
        runtime_keccak=bytes.fromhex(runtime["keccak256"].removeprefix("0x")),
        immutables=tuple(Immutable(**value) for value in runtime["immutables"]),
        entries=tuple(raw["abi"]),
    )


def encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Encode values as the contract ABI lays them out; a value that does not fit is our mistake."""
    from eth_abi.abi import encode as abi_encode

    return abi_encode(types, values)


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Decode what a contract wrote; `PeerError` where the data does not have these types."""
    from eth_abi.abi import decode as abi_decode
    from eth_abi.exceptions import DecodingError

    try:
        return abi_decode(types, data)
    except (DecodingError, UnicodeDecodeError, OverflowError) as error:
        raise PeerError("abi", str(error)) from error


def _signature(entry: Mapping[str, Any]) -> bytes:
    return f"{entry['name']}({','.join(_types(entry['inputs']))})".encode()


def _types(inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [_type(value) for value in inputs]


def _type(value: Mapping[str, Any]) -> str:
    name: str = value["type"]
    if not name.startswith("tuple"):
        return name
    return f"({','.join(_types(value['components']))}){name.removeprefix('tuple')}"


def _named(inputs: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> dict[str, Any]:
    return {
        item["name"]: _named(item["components"], value) if item["type"] == "tuple" else value
        for item, value in zip(inputs, values, strict=True)
    }


def _immutable(value: Immutable, tail: bytes) -> Any:
    octets = tail[value.offset : value.offset + value.length]
    if not value.type.startswith(("String", "Bytes")):
        return decode([value.type], octets)[0]
    length = int.from_bytes(octets[:32], "big")
    if length > len(octets) - 32:
        raise PeerError("other_code", f"{value.name} is longer than its place")
    content = octets[32 : 32 + length]
    return content.decode("utf-8", "replace") if value.type.startswith("String") else content
