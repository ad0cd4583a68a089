"""A chain whose faults the test decides, with a Python model of the venue's contracts on it.

The model obeys `contracts/ClearingHouse.md`; what it does not model (signatures of the curve, gas)
the embedded node's tests cover.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from opencarrier.chain import abi, events
from opencarrier.chain.contracts import NO_ROOT, ClearingHouse, RewardDistributor, StableToken
from opencarrier.chain.errors import ChainRefusedError, ChainUnavailableError, RevertedError
from opencarrier.chain.keys import DynamicFeeTransaction, SignedTransaction
from opencarrier.chain.model import (
    LATEST,
    Block,
    BlockAt,
    Call,
    Fees,
    Log,
    LogFilter,
    Receipt,
)
from opencarrier.kernel.signatures import Address
from opencarrier.spine import ids
from opencarrier.spine.money import Net

SETTLER = Address("0x" + "aa" * 20)
TOKEN = Address("0x" + "01" * 20)
HOUSE = Address("0x" + "02" * 20)
POOL = Address("0x" + "03" * 20)
RULEBOOK = sha256(b"rulebook").digest()
CHAIN_ID = 7
DEPTH = 3
SIGNATURE_OCTETS = 65


@dataclass
class State:
    """What the contracts hold after a block."""

    nonce: int = 0
    members: set[Address] = field(default_factory=set)
    balances: dict[Address, int] = field(default_factory=dict)
    mandates: dict[Address, int] = field(default_factory=dict)
    settled: dict[bytes, bytes] = field(default_factory=dict)
    last_sequence: int = 0
    is_paused: bool = False
    settler: Address = SETTLER
    pool: int = 0
    roots: set[bytes] = field(default_factory=set)
    claimed: dict[Address, int] = field(default_factory=dict)
    notices: dict[Address, int] = field(default_factory=dict)

    @property
    def house(self) -> int:
        return sum(self.balances.values())


@dataclass(frozen=True)
class Transaction:
    """Something that changes the state: ours has a nonce, a foreign one has none."""

    tx_hash: bytes
    nonce: int | None
    apply: Callable[[State], list[events.Event]]


@dataclass
class Mined:
    """A block with the outcome of each transaction and the state after it."""

    hash: bytes
    transactions: list[tuple[Transaction, bool, list[events.Event]]]
    state: State


class RevertError(Exception):
    """The contract's words."""


class FakeChain:
    """Blocks on demand; the mempool is what was handed over and not mined."""

    chain_id = CHAIN_ID

    def __init__(self) -> None:
        self.blocks = [Mined(hash=bytes(32), transactions=[], state=State())]
        self.decoded: dict[bytes, DynamicFeeTransaction] = {}
        self.mempool: dict[bytes, Transaction] = {}
        self.foreign: list[Transaction] = []
        self.fault = ""
        self.calls_fail = False
        self.counter = 0

    # what the tests do

    @property
    def state(self) -> State:
        return self.blocks[-1].state

    def do(self, apply: Callable[[State], list[events.Event]]) -> None:
        """Somebody else's transaction, mined next."""
        self.counter += 1
        tx_hash = sha256(b"foreign %d" % self.counter).digest()
        self.foreign.append(Transaction(tx_hash, None, apply))

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.counter += 1
            mined = Mined(
                hash=sha256(b"block %d" % self.counter).digest(),
                transactions=[],
                state=deepcopy(self.state),
            )
            todo, self.foreign = self.foreign, []
            for transaction in todo:
                self._execute(mined, transaction)
            while (ours := self._next(mined.state.nonce)) is not None:
                del self.mempool[ours.tx_hash]
                mined.state.nonce += 1
                self._execute(mined, ours)
            self.blocks.append(mined)

    def reorg(self, depth: int, *, keep: bool = True) -> None:
        """Drop the newest blocks; their transactions wait again, or ours are forgotten."""
        depth = min(depth, len(self.blocks) - 1)
        dropped = [self.blocks.pop() for _ in range(depth)]
        for block in reversed(dropped):
            for transaction, _, _ in block.transactions:
                if transaction.nonce is None:
                    self.foreign.append(transaction)
                elif keep:
                    self.mempool[transaction.tx_hash] = transaction
        self.mine(depth + 1)

    # what a client asks

    def genesis_hash(self) -> bytes:
        return self.blocks[0].hash

    def nonce(self, address: Address, at: BlockAt = LATEST) -> int:
        self._reach()
        nonce = self.state.nonce
        while at == "pending" and self._next(nonce) is not None:
            nonce += 1
        return nonce

    def block(self, at: BlockAt | bytes = LATEST) -> Block | None:
        self._reach()
        number = len(self.blocks) - 1 if at == LATEST else at
        assert isinstance(number, int)
        if not 0 <= number < len(self.blocks):
            return None
        return Block(
            number=number,
            hash=self.blocks[number].hash,
            parent_hash=self.blocks[max(number - 1, 0)].hash,
            timestamp_s=number,
            base_fee_per_gas_wei=100,
        )

    def final_block_number(self) -> int | None:
        self._reach()
        final = len(self.blocks) - DEPTH
        return final if final >= 0 else None

    def fees(self) -> Fees:
        self._reach()
        return Fees(base_fee_per_gas_wei=100, priority_fee_per_gas_wei=10)

    def estimate_gas(self, call: Call) -> int:
        raise AssertionError("settlement asks for no estimate")

    def send_raw(self, raw: bytes) -> bytes:
        fault, self.fault = self.fault, ""
        tx_hash = sha256(raw).digest()
        unsigned = self.decoded[tx_hash]
        if fault == "refused":
            raise ChainUnavailableError("nobody there", outcome_unknown=False)
        if fault == "lost":
            raise ChainUnavailableError("timed out", outcome_unknown=True)
        if unsigned.nonce < self.state.nonce:
            raise ChainRefusedError(-32000, "nonce too low")
        apply = _calldata(unsigned.data) if unsigned.to == HOUSE else _nothing
        self.mempool[tx_hash] = Transaction(tx_hash, unsigned.nonce, apply)
        if fault == "timeout_after_mining":
            self.mine(1)
            raise ChainUnavailableError("timed out", outcome_unknown=True)
        return tx_hash

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        self._reach()
        for number, block in enumerate(self.blocks):
            for index, (transaction, succeeded, _) in enumerate(block.transactions):
                if transaction.tx_hash == tx_hash:
                    return Receipt(
                        tx_hash=tx_hash,
                        tx_index=index,
                        block_number=number,
                        block_hash=block.hash,
                        sender=SETTLER,
                        to=HOUSE,
                        contract_address=None,
                        succeeded=succeeded,
                        gas_used=1,
                        effective_gas_price_wei=1,
                        logs=tuple(log for log in self._logs(number) if log.tx_hash == tx_hash),
                    )
        return None

    def logs(self, wanted: LogFilter) -> list[Log]:
        self._reach()
        assert wanted.to_block < len(self.blocks)
        found = []
        for number in range(wanted.from_block, wanted.to_block + 1):
            for log in self._logs(number):
                if wanted.addresses and log.address not in wanted.addresses:
                    continue
                pairs = zip(wanted.topics, log.topics, strict=False)
                if all(allowed is None or topic in allowed for allowed, topic in pairs):
                    found.append(log)
        return found

    def call(self, call: Call, at: BlockAt = LATEST) -> bytes:
        self._reach()
        number = len(self.blocks) - 1 if at == LATEST else at
        assert isinstance(number, int)
        state = self.blocks[number].state
        contract, answers = _CONTRACTS[Address(str(call.to))]
        for name, entry in contract.functions.items():
            if call.data[:4] == contract.selector(name):
                if name == "settle":
                    try:
                        _calldata(call.data)(deepcopy(state))
                    except RevertError as error:
                        words = abi.encode(["string"], [str(error)])
                        raise RevertedError(bytes.fromhex("08c379a0") + words) from None
                    return bytes(32)
                arguments = abi.decode(_types(entry["inputs"]), call.data[4:])
                return abi.encode(_types(entry["outputs"]), answers[name](state, *arguments))
        raise AssertionError("the venue has no such function")

    # inside

    def _reach(self) -> None:
        if self.calls_fail:
            raise ChainUnavailableError("nobody there", outcome_unknown=False)

    def _next(self, nonce: int) -> Transaction | None:
        """Of the variants with a nonce, the one that offers most, as miners do."""
        found = [t for t in self.mempool.values() if t.nonce == nonce]
        key = lambda t: (self.decoded[t.tx_hash].max_fee_per_gas_wei, t.tx_hash)  # noqa: E731
        return max(found, key=key, default=None)

    def _execute(self, block: Mined, transaction: Transaction) -> None:
        before = deepcopy(block.state)
        try:
            happened = transaction.apply(block.state)
        except RevertError:
            block.state = before
            block.transactions.append((transaction, False, []))
        else:
            block.transactions.append((transaction, True, happened))

    def _logs(self, number: int) -> list[Log]:
        block = self.blocks[number]
        found: list[Log] = []
        for index, (transaction, _, happened) in enumerate(block.transactions):
            for event in happened:
                address, topics, data = _encoded(event)
                found.append(
                    Log(
                        address=address,
                        topics=topics,
                        data=data,
                        block_number=number,
                        block_hash=block.hash,
                        tx_hash=transaction.tx_hash,
                        tx_index=index,
                        log_index=len(found),
                    )
                )
        return found


class FakeSigner:
    """Signs deterministically without any curve."""

    address = SETTLER

    def __init__(self, chain: FakeChain) -> None:
        self._chain = chain

    def sign_transaction(self, transaction: DynamicFeeTransaction) -> SignedTransaction:
        raw = repr(transaction).encode()
        tx_hash = sha256(raw).digest()
        self._chain.decoded[tx_hash] = transaction
        return SignedTransaction(raw=raw, tx_hash=tx_hash)


# the venue


def join(member: Address, mandate: int = 0) -> Callable[[State], list[events.Event]]:
    def apply(state: State) -> list[events.Event]:
        state.members.add(member)
        state.mandates[member] = mandate
        return []

    return apply


def deposit(member: Address, amount: int) -> Callable[[State], list[events.Event]]:
    def apply(state: State) -> list[events.Event]:
        balance = state.balances[member] = state.balances.get(member, 0) + amount
        return [
            events.Deposited(
                token=TOKEN, member=member, payer=member, amount=amount, balance=balance
            )
        ]

    return apply


def withdraw(member: Address, amount: int) -> Callable[[State], list[events.Event]]:
    def apply(state: State) -> list[events.Event]:
        paid = min(amount, state.balances.get(member, 0))
        balance = state.balances[member] = state.balances.get(member, 0) - paid
        return [events.Withdrawn(token=TOKEN, member=member, amount=paid, balance=balance)]

    return apply


def claim(account: Address, amount: int) -> Callable[[State], list[events.Event]]:
    def apply(state: State) -> list[events.Event]:
        assert state.pool >= amount
        state.pool -= amount
        state.claimed[account] = state.claimed.get(account, 0) + amount
        return [events.Claimed(account=account, token=TOKEN, amount=amount, lifetime_amount=amount)]

    return apply


def change(**values: Any) -> Callable[[State], list[events.Event]]:
    def apply(state: State) -> list[events.Event]:
        for name, value in values.items():
            setattr(state, name, value)
        return []

    return apply


def _nothing(state: State) -> list[events.Event]:
    return []


def _calldata(data: bytes) -> Callable[[State], list[events.Event]]:
    artefact = ClearingHouse.artefact()
    assert data[:4] == artefact.selector("settle")
    values = abi.decode(_types(artefact.functions["settle"]["inputs"]), data[4:])
    token, sequence, cycle_id, root, mode, words, joined, rewards_root, rewards = values
    assert token == TOKEN
    nets = [ids.net_of_word(word) for word in words]
    debits = sum(net.amount_minor < 0 for net in nets)
    joined = joined or bytes(SIGNATURE_OCTETS * debits)
    starts = range(0, len(joined), SIGNATURE_OCTETS)
    signatures = [any(joined[start : start + SIGNATURE_OCTETS]) for start in starts]
    return lambda state: _settle(
        state, sequence, cycle_id, root, mode, nets, signatures, rewards_root, rewards
    )


def _settle(
    state: State,
    sequence: int,
    cycle_id: bytes,
    root: bytes,
    mode: int,
    nets: Sequence[Net],
    signatures: Sequence[bool],
    rewards_root: bytes,
    rewards: int,
) -> list[events.Event]:
    settlement = ids.settlement_id(
        ids.Id(cycle_id),
        token=TOKEN,
        records_root=root,
        netting_mode=mode,
        nets=nets,
        rewards_root=rewards_root,
        rewards_minor=rewards,
    )
    if cycle_id in state.settled:
        _require(state.settled[cycle_id] == settlement, "settled: other content")
        return []
    _require(not state.is_paused, "settle: paused")
    _require(state.settler == SETTLER, "settle: not settler")
    _require(sequence == state.last_sequence + 1, "settle: sequence")
    state.last_sequence = sequence
    state.settled[cycle_id] = settlement
    happened: list[events.Event] = [
        events.Settled(
            cycle_id=cycle_id,
            settlement_id=settlement,
            token=TOKEN,
            sequence=sequence,
            records_root=root,
            netting_mode=mode,
            rewards_root=rewards_root,
            rewards_amount=rewards,
            nets=tuple(map(ids.net_word, nets)),
        )
    ]
    signed = iter(signatures)
    for net in nets:
        _require(net.address in state.members, "nets: not member")
        balance = state.balances.get(net.address, 0)
        if net.amount_minor < 0:
            if not next(signed):
                _require(-net.amount_minor <= state.mandates[net.address], "mandate: over cap")
            _require(balance >= -net.amount_minor, "debit: short of collateral")
        state.balances[net.address] = balance + net.amount_minor
    _require(sum(net.amount_minor for net in nets) + rewards == 0, "nets: sum")
    _require((rewards_root == NO_ROOT) == (rewards == 0), "rewards: root without money")
    state.pool += rewards
    state.roots.add(rewards_root)
    return happened


def _require(holds: bool, words: str) -> None:
    if not holds:
        raise RevertError(words)


_HOUSE: Mapping[str, Callable[..., tuple[Any, ...]]] = {
    "settled": lambda state, cycle_id: (state.settled.get(cycle_id, NO_ROOT),),
    "last_sequence": lambda state, token: (state.last_sequence,),
    "settler": lambda state: (state.settler,),
    "settle_paused": lambda state: (state.is_paused,),
    "rulebook_epoch": lambda state: (1,),
    "mandates_used_at": lambda state, token: (0,),
    "mandate_interval_s": lambda state: (0,),
    "is_member": lambda state, token, member: (member in state.members,),
    "balance_of": lambda state, token, member: (state.balances.get(member, 0),),
    "withdrawal_of": lambda state, token, member: ((state.notices.get(member, 0), 0),),
    "mandate_of": lambda state, token, member: ((state.mandates.get(member, 0), 1 << 31, 1),),
}
_TOKEN: Mapping[str, Callable[..., tuple[Any, ...]]] = {
    "balanceOf": lambda state, holder: ({HOUSE: state.house, POOL: state.pool}[holder],),
}
_POOL: Mapping[str, Callable[..., tuple[Any, ...]]] = {
    "ready_at": lambda state, token, root: (int(root in state.roots),),
    "claimed": lambda state, account, token: (state.claimed.get(account, 0),),
}
_CONTRACTS = {
    POOL: (RewardDistributor.artefact(), _POOL),
    HOUSE: (ClearingHouse.artefact(), _HOUSE),
    TOKEN: (StableToken.artefact(), _TOKEN),
}


def _types(inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [_type(value) for value in inputs]


def _type(value: Mapping[str, Any]) -> str:
    if not value["type"].startswith("tuple"):
        return str(value["type"])
    inner = ",".join(_type(part) for part in value["components"])
    return f"({inner}){value['type'][len('tuple') :]}"


def _encoded(event: events.Event) -> tuple[Address, tuple[bytes, ...], bytes]:
    name = type(event).__name__
    address, artefact = (
        (POOL, RewardDistributor.artefact())
        if isinstance(event, events.Claimed)
        else (HOUSE, ClearingHouse.artefact())
    )
    topic = artefact.topic(name)
    inputs = artefact.events[topic]["inputs"]
    indexed = [i for i in inputs if i["indexed"]]
    plain = [i for i in inputs if not i["indexed"]]
    topics = (topic, *(abi.encode([i["type"]], [getattr(event, i["name"])]) for i in indexed))
    return address, topics, abi.encode(_types(plain), [getattr(event, i["name"]) for i in plain])
