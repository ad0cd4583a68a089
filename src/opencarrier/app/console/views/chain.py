"""The chain as everybody may see it: blocks, transactions, who may do what with our contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.views import decoded
from opencarrier.app.console.views.decoded import Decoded
from opencarrier.app.quick_chain import QuickChain
from opencarrier.chain import codec
from opencarrier.chain.abi import load
from opencarrier.chain.client import ChainClient
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.chain.model import Call
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address

TRANSACTIONS_MAX = 200
LOGS_MAX = 200
NOBODY: Final = Address("0x" + "00" * 20)

ROLES: Final[Mapping[str, Mapping[str, str]]] = {
    "StableToken": {
        "owner": N_("names who may issue money, freezes accounts, pauses transfers"),
        "pending_owner": N_("was offered the ownership"),
    },
    "ClearingHouse": {
        "owner": N_("admits members and tokens, sets the rulebook, names the others here"),
        "pending_owner": N_("was offered the ownership"),
        "settler": N_("settles cycles, by the rulebook"),
        "arbiter": N_("decides disputes about corridors"),
        "distributor": N_("is paid what hosts earned, for them to withdraw"),
    },
    "RewardDistributor": {
        "owner": N_("asks for other guardians and caps"),
        "pending_owner": N_("was offered the ownership"),
        "guardian": N_("vetoes a rewards root before it pays"),
        "clearing_house": N_("publishes rewards roots with their money"),
    },
    "NodeRegistry": {
        "owner": N_("names the others here"),
        "pending_owner": N_("was offered the ownership"),
        "registrar": N_("registers nodes"),
        "arbiter": N_("decides appeals against bans"),
        "beneficiary": N_("collects what forfeited bonds leave"),
    },
    "StakeDiscount": {"token": N_("is what is staked")},
}
"""Who may do what, by contract; the names are those of the contract's own questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """An address, and whom it is known as; a person's has no name."""

    address: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TxLine:
    """A transaction in a list; `call` is empty where it is none of our contracts'."""

    hash: str
    sender: Party
    to: Party | None
    contract: str
    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockView:
    """A block; its time is in microseconds. At most 200 of its transactions are shown."""

    number: int
    hash: str
    parent_hash: str
    at_us: int
    transactions: Sequence[TxLine]
    transactions_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TxView:
    """A transaction, decoded; fee and value in wei, amounts of arguments in minor units."""

    hash: str
    block_number: int | None
    succeeded: bool | None
    sender: Party
    to: Party | None
    value_wei: int
    fee_wei: int | None
    call: Decoded
    events: Sequence[Decoded]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleLine:
    """Who holds a role of a contract, as the chain says now; `may` is what it allows."""

    role: str
    may: str
    holder: Party | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractLine:
    """A contract of the venue."""

    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractView:
    """A contract: where it is, whose code it has, who may do what with it."""

    name: str
    address: str
    code_hash: str
    roles: Sequence[RoleLine]
    functions: Sequence[str]
    events: Sequence[str]


class ChainViews:
    """Asks the chain's node for one page's worth; `ChainUnavailableError` where it is silent."""

    def __init__(self, place: Onchain) -> None:
        self._place = place
        manifest = place.manifest
        self._contracts = {pinned.address: name for name, pinned in manifest.contracts.items()}
        self._quick = QuickChain(place)

    @property
    def contracts(self) -> Sequence[ContractLine]:
        """The venue's contracts."""
        found = self._contracts.items()
        return [ContractLine(name=name, address=address) for address, name in found]

    def head(self) -> int:
        """Return the newest block's number."""
        return self._client().block_number()

    def blocks(self, before: int | None, count: int) -> list[BlockView]:
        """Return up to so many blocks below a number, the newest first."""
        top = self.head() if before is None else min(before - 1, self.head())
        numbers = range(top, max(-1, top - count), -1)
        return [found for number in numbers if (found := self.block(number)) is not None]

    def block(self, number: int) -> BlockView | None:
        """Return a block with its transactions."""
        raw = self._client().request("eth_getBlockByNumber", [codec.quantity(number), True])
        if raw is None:
            return None
        try:
            return self._block(raw)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _out_of_form(error) from error

    def transaction(self, tx_hash: bytes) -> TxView | None:
        """Return a transaction with its events."""
        client = self._client()
        raw = client.request("eth_getTransactionByHash", [codec.data(tx_hash)])
        if raw is None:
            return None
        receipt = client.receipt(tx_hash)
        try:
            line, data = self._line(raw), codec.read_data(raw["input"])
            value_wei = codec.read_quantity(raw["value"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _out_of_form(error) from error
        logs = [] if receipt is None else receipt.logs[:LOGS_MAX]
        return TxView(
            hash=to_hex(tx_hash),
            block_number=None if receipt is None else receipt.block_number,
            succeeded=None if receipt is None else receipt.succeeded,
            sender=line.sender,
            to=line.to,
            value_wei=value_wei,
            fee_wei=None if receipt is None else receipt.gas_used * receipt.effective_gas_price_wei,
            call=self._call(line.contract, data),
            events=[self._event(log.address, log.topics, log.data) for log in logs],
        )

    def input_of(self, tx_hash: bytes, to: Address) -> bytes | None:
        """Return what a transaction called an address with, None where it called another."""
        raw = self._client().request("eth_getTransactionByHash", [codec.data(tx_hash)])
        try:
            if raw is None or raw["to"] is None or codec.read_address(raw["to"]) != to:
                return None
            return codec.read_data(raw["input"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _out_of_form(error) from error

    def contract(self, name: str) -> ContractView | None:
        """Return a contract of the venue with who holds its roles now."""
        pinned = self._place.manifest.contracts.get(name)
        if pinned is None:
            return None
        artefact = load(name)
        return ContractView(
            name=name,
            address=pinned.address,
            code_hash=pinned.code_hash,
            roles=[self._role(name, pinned.address, *one) for one in ROLES.get(name, {}).items()],
            functions=sorted({entry["name"] for entry in artefact.functions.values()}),
            events=sorted(entry["name"] for entry in artefact.events.values()),
        )

    def _role(self, contract: str, at: Address, role: str, may: str) -> RoleLine:
        artefact = load(contract)
        output = self._client().call(Call(to=at, data=artefact.call_data(role)))
        try:
            holder = Address(str(artefact.read_result(role, output)[0]).lower())
        except PeerError as error:
            raise _out_of_form(error) from error
        return RoleLine(
            role=role, may=may, holder=None if holder == NOBODY else self._party(holder)
        )

    def _block(self, raw: Mapping[str, Any]) -> BlockView:
        block, transactions = codec.read_block(raw), raw["transactions"]
        return BlockView(
            number=block.number,
            hash=to_hex(block.hash),
            parent_hash=to_hex(block.parent_hash),
            at_us=block.timestamp_s * 1_000_000,
            transactions=[self._line(one) for one in transactions[:TRANSACTIONS_MAX]],
            transactions_number=len(transactions),
        )

    def _line(self, raw: Mapping[str, Any]) -> TxLine:
        to = raw.get("to")
        address = None if to is None else codec.read_address(to)
        contract = self._contracts.get(address, "") if address is not None else ""
        return TxLine(
            hash=to_hex(codec.read_data(raw["hash"], 32)),
            sender=self._party(codec.read_address(raw["from"])),
            to=None if address is None else self._party(address),
            contract=contract,
            call=self._call(contract, codec.read_data(raw["input"])).name,
        )

    def _call(self, contract: str, data: bytes) -> Decoded:
        if not contract:
            return decoded.unknown("", data)
        return decoded.call(contract, data, self.name_of)

    def _event(self, address: Address, topics: Sequence[bytes], data: bytes) -> Decoded:
        contract = self._contracts.get(address)
        if contract is None:
            return decoded.unknown("", data)
        return decoded.event(contract, topics, data, self.name_of)

    def _party(self, address: Address) -> Party:
        return Party(address=address, name=self.name_of(address))

    def name_of(self, address: Address) -> str:
        """Return whom an address is known as: a contract, hub, operator, host; no person."""
        if address in self._contracts:
            return self._contracts[address]
        base = self._place.base
        with base.store.read() as unit:
            found = base.identity.directory.party_at(unit, address)
        if found is None or found.kind is PartyKind.SUBSCRIBER:
            return "hub" if address == base.hub.address else ""
        return found.name

    def _client(self) -> ChainClient:
        return self._quick.client()


def _out_of_form(error: Exception) -> ChainUnavailableError:
    return ChainUnavailableError(f"the node's answer: {error}", outcome_unknown=False)
