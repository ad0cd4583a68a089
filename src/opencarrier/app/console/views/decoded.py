"""Calls and events of our contracts, decoded by their ABIs into what people read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from opencarrier.chain.abi import SELECTOR_OCTETS, Artefact, load
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address
from opencarrier.spine.ids import net_of_word

ITEMS_MAX: Final = 50
"""Items of a list that are shown; the rest is counted."""

MONEY: Final = frozenset(
    {
        "amount",
        "value",
        "rewards_amount",
        "funded",
        "bond",
        "cap",
        "limit",
        "lifetime_amount",
        "paid",
        "balance",
        "total",
        "totalClaimed",
        "maxClaimableAmount",
    }
)
"""Fields that are amounts in the token's smallest unit."""

SECONDS: Final = frozenset({"validAfter", "validBefore", "deadline", "ready_at", "unlock_at"})
"""Fields that are instants, seconds since 1970."""

Names = Callable[[Address], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """A named value: `kind` is money (minor units), address, instant (seconds), net or plain.

    `name_of` is whom an address is known as; a person has none.
    """

    name: str
    kind: str
    value: str
    name_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A call or an event: which contract's, what it is called, its fields.

    `name` is empty where it is none of ours; `value` of the one field is then its octets.
    """

    contract: str
    name: str
    arguments: Sequence[Argument]


def call(contract: str, data: bytes, names: Names) -> Decoded:
    """Decode a call to a contract of ours; what its ABI does not have is told as octets."""
    artefact = load(contract)
    function = functions_by_selector(contract).get(data[:SELECTOR_OCTETS])
    if function is None:
        return unknown(contract, data)
    try:
        values = artefact.read_call(function, data)
    except PeerError:
        return unknown(contract, data)
    return Decoded(
        contract=contract,
        name=artefact.functions[function]["name"],
        arguments=_arguments(artefact.functions[function]["inputs"], values, names),
    )


def event(contract: str, topics: Sequence[bytes], data: bytes, names: Names) -> Decoded:
    """Decode an event of a contract of ours."""
    artefact = load(contract)
    try:
        found = artefact.read_log(topics, data)
    except PeerError:
        found = None
    if found is None:
        return unknown(contract, data)
    name, values = found
    return Decoded(
        contract=contract,
        name=name,
        arguments=_arguments(artefact.events[topics[0]]["inputs"], values, names),
    )


def unknown(contract: str, data: bytes) -> Decoded:
    """Tell octets that no ABI of ours reads."""
    shown = Argument(name="data", kind="plain", value=to_hex(data[:256]))
    return Decoded(contract=contract, name="", arguments=[shown] if data else [])


@cache
def functions_by_selector(contract: str) -> Mapping[bytes, str]:
    """Return a contract's functions by the first four octets of a call."""
    artefact: Artefact = load(contract)
    return {artefact.selector(name): name for name in artefact.functions}


def _arguments(
    inputs: Sequence[Mapping[str, Any]], values: Mapping[str, Any], names: Names
) -> list[Argument]:
    return [
        one for item in inputs for one in _walk(item["name"], item, values[item["name"]], names)
    ]


def _walk(name: str, item: Mapping[str, Any], value: Any, names: Names) -> Iterator[Argument]:
    """Flatten a value: fields of a struct by their names, items of a list by their numbers."""
    kind: str = item["type"]
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        for number, one in enumerate(value[:ITEMS_MAX]):
            yield from _walk(f"{name}[{number}]", inner, one, names)
        if len(value) > ITEMS_MAX:
            yield Argument(name=f"{name}[…]", kind="plain", value=str(len(value)))
    elif kind == "tuple":
        fields = value.values() if isinstance(value, Mapping) else value
        for part, one in zip(item["components"], fields, strict=True):
            yield from _walk(f"{name}.{part['name']}", part, one, names)
    else:
        yield _argument(name, kind, value, names)


def _argument(name: str, kind: str, value: Any, names: Names) -> Argument:
    bare = name.rpartition(".")[2].partition("[")[0]
    if kind == "address":
        address = Address(str(value).lower())
        return Argument(name=name, kind="address", value=address, name_of=names(address))
    if isinstance(value, bytes):
        return Argument(name=name, kind="plain", value=to_hex(value))
    if bare == "nets":
        net = net_of_word(value)
        return Argument(
            name=name, kind="net", value=str(net.amount_minor), name_of=names(net.address)
        )
    if isinstance(value, bool) or not isinstance(value, int):
        return Argument(name=name, kind="plain", value=str(value).lower())
    told = "money" if bare in MONEY else "instant" if bare in SECONDS else "plain"
    return Argument(name=name, kind=told, value=str(value))
