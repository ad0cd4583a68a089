"""The settlement venue: put the contracts on a chain, once, and pin what was put there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from opencarrier.app.config import ConfigError
from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.contracts import (
    LOCK_MAX_S,
    TIERS_MAX,
    X402_COLLECTOR_ADDRESS,
    X402_SETTLEMENT_ADDRESS,
    BatchChannels,
    ClearingHouse,
    Contract,
    Erc3009DepositCollector,
    HouseTerms,
    NodeRegistry,
    RewardDistributor,
    StableToken,
    StakeDiscount,
    Tier,
)
from opencarrier.chain.keys import create_address
from opencarrier.chain.model import Call
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.ports import Beside, UnitOfWork
from opencarrier.chain.rules import Transaction, TransactionState
from opencarrier.chain.transactions import TransactionManager
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.receipts.manifest import Manifest, manifest_of

ERRAND = "errand"
"""What the spending of a key's own errands is counted as."""

ERRANDS = ("", ERRAND)
"""What errands are kept as; the oldest as nothing."""

PASSES_MAX = 600
PASSES_PER_LOOK = 20
"""How often a transaction that stays out is looked after: can it still be paid?"""

PAUSE_S = 0.2

REORG_BLOCKS_MAX = 64
"""A deployment that a reorg moves may come this many blocks sooner: logs are read from there."""

_DAY_S = 86_400
NODE_TERMS = {
    "notice_s": 14 * _DAY_S,
    "operator_delay_s": 3_600,
    "appeal_s": 7 * _DAY_S,
    "decision_s": 14 * _DAY_S,
    "ban_s_max": 180 * _DAY_S,
}
"""How long things take at the registry of nodes: a bond's notice, a new key, an appeal, a ban."""

C = TypeVar("C", bound=Contract)

_MINED = (TransactionState.MINED, TransactionState.FINAL)


class ChainWorkError(Exception):
    """A transaction we need did not get into the chain."""


class GasError(Exception):
    """An account cannot pay for its transactions; `hint` says whom to fund."""

    def __init__(self, account: Address, *, chain_id: int, held_wei: int, needed_wei: int) -> None:
        super().__init__(
            f"the key {account} has {held_wei} wei, this transaction's gas takes {needed_wei}"
        )
        self.hint = (
            f"send that address coin of chain {chain_id}, with some to spare, and repeat; "
            "nothing is done twice"
        )


class ChainWork:
    """One account's errands on the chain, each done once however often it is asked for."""

    def __init__(
        self,
        client: ChainClient,
        manager: TransactionManager,
        unit_of_work: UnitOfWork,
        clock: Clock,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.client = client
        self.manager = manager
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._pause = pause

    def do(
        self, intent: Id, call: Call, *, asked: bytes = b"", beside: Beside | None = None
    ) -> Transaction:
        """Send a call and wait until it is mined; the same intent again returns what became of it.

        `asked` is kept with it, a digest of the wish where the call is made anew each time.
        `beside` writes in the transaction in which it is first kept, before it is sent.
        Raises `RevertedError` where it would revert, `GasError` where the account cannot pay for
        it, and `ChainWorkError` where it did revert or the chain does not take it.
        """
        with self._unit_of_work() as unit:
            known = self.manager.find(unit, intent)
        if known is None:
            quote = self.manager.quote(call)
            fees = quote.fees
            offered_wei = 2 * fees.base_fee_per_gas_wei + fees.priority_fee_per_gas_wei
            self._afford(quote.gas_limit * offered_wei)
            with self._unit_of_work() as unit:
                prepared = self.manager.prepare(
                    unit, intent, quote, now_us=self._clock.now_us(), purpose=ERRAND, asked=asked
                )
                if isinstance(prepared, Refusal):
                    raise ChainWorkError(str(prepared))
                if beside is not None:
                    beside(unit)
            crashpoint("errand.kept")
        elif asked and known.asked and known.asked != asked:
            raise ChainWorkError("its reference was taken meanwhile for another wish")
        return self._wait(intent)

    def _wait(self, intent: Id) -> Transaction:
        for number in range(PASSES_MAX):
            self.manager.drive(self._unit_of_work, now_us=self._clock.now_us())
            with self._unit_of_work() as unit:
                record = self.manager.find(unit, intent)
            assert record is not None
            if record.state in _MINED:
                return record
            if record.is_terminal:
                raise ChainWorkError(f"the transaction ended {record.state.value}")
            if number % PASSES_PER_LOOK == PASSES_PER_LOOK - 1:
                self._afford(record.gas_limit * record.newest.max_fee_per_gas_wei)
            if number > 0:  # an embedded chain has mined by the second look
                self._pause(PAUSE_S)
        raise ChainWorkError("the chain did not take the transaction in time")

    def _afford(self, needed_wei: int) -> None:
        """Refuse to begin what the chain would leave lying: it takes nothing that is not paid."""
        held_wei = self.client.balance(self.manager.sender)
        if held_wei < needed_wei:
            raise GasError(
                self.manager.sender,
                chain_id=self.client.chain_id,
                held_wei=held_wei,
                needed_wei=needed_wei,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTerms:
    """Who may veto a rewards root, and for how long."""

    guardian: Address
    delay_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeTerms:
    """What stake carries which discount, in millionths, and use worth how much of it.

    The contract holds both for good: another setting counts for the next venue only.
    """

    tiers: tuple[Tier, ...]
    cap_ppm: int


def read_tiers(text: str) -> tuple[Tier, ...]:
    """Read `amount:lock_s:discount_ppm` words; `ConfigError` for tiers no contract would take."""
    try:
        read = [tuple(map(int, word.split(":"))) for word in text.split()]
        tiers = tuple(
            Tier(min_amount=amount, min_lock_s=lock_s, discount_ppm=ppm)
            for amount, lock_s, ppm in read
        )
    except ValueError:
        raise ConfigError(f"stake_tiers: amount:lock_s:discount_ppm, not {text!r}") from None
    discounts = [0, *(tier.discount_ppm for tier in tiers)]
    ascends = all(low < high for low, high in pairwise(discounts)) and discounts[-1] <= PPM
    within = all(
        0 < tier.min_amount <= INT64_MAX and 0 < tier.min_lock_s <= LOCK_MAX_S for tier in tiers
    )
    if not (0 < len(tiers) <= TIERS_MAX and ascends and within):
        raise ConfigError(f"stake_tiers: 1 to {TIERS_MAX} within bounds that ascend, not {text!r}")
    return tiers


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is decided about a venue before it stands; `owner` owns, settles and mints."""

    owner: Address
    house: HouseTerms
    rulebook_hash: bytes
    rewards: RewardTerms
    stakes: StakeTerms


class Placed:
    """Where the contracts stand that are there so far."""

    def __init__(self, standing: Mapping[type[Contract], Address]) -> None:
        self.addresses: dict[type[Contract], Address] = dict(standing)

    def __getitem__(self, kind: type[C]) -> C:
        """Return the contract of a kind."""
        return kind(self.addresses[kind])


CONTRACTS: dict[type[Contract], Callable[[Placed, Terms], Call]] = {
    StableToken: lambda _, terms: StableToken.deployment(
        name="Demo Dollar", symbol="DUSD", version="1", owner=terms.owner
    ),
    ClearingHouse: lambda _, terms: ClearingHouse.deployment(
        owner=terms.owner,
        settler=terms.owner,
        rulebook_hash=terms.rulebook_hash,
        terms=terms.house,
    ),
    RewardDistributor: lambda at, terms: RewardDistributor.deployment(
        clearing_house=at[ClearingHouse].address,
        owner=terms.owner,
        guardian=terms.rewards.guardian,
        delay_s=terms.rewards.delay_s,
    ),
    StakeDiscount: lambda at, terms: StakeDiscount.deployment(
        token=at[StableToken].address, tiers=terms.stakes.tiers, cap_ppm=terms.stakes.cap_ppm
    ),
    BatchChannels: lambda _, __: BatchChannels.deployment(),
    Erc3009DepositCollector: lambda at, _: Erc3009DepositCollector.deployment(
        channels=at[BatchChannels].address
    ),
    NodeRegistry: lambda at, terms: NodeRegistry.deployment(
        token=at[StableToken].address, owner=terms.owner, **NODE_TERMS
    ),
}
"""The venue's contracts in the order they are put up: how each is deployed beside those before."""

SETUP: dict[str, Callable[[Placed, Terms], Call]] = {
    "list token": lambda at, _: at[ClearingHouse].list_token(at[StableToken].address),
    "set arbiter": lambda at, terms: at[ClearingHouse].set_arbiter(terms.owner),
    "set distributor": lambda at, _: at[ClearingHouse].set_distributor(
        at[RewardDistributor].address
    ),
    "set registrar": lambda at, terms: at[NodeRegistry].set_registrar(terms.owner),
    "set node guardians": lambda at, terms: at[NodeRegistry].set_guardians([terms.owner], 1),
    "set node arbiter": lambda at, terms: at[NodeRegistry].set_arbiter(terms.owner),
    "set node beneficiary": lambda at, terms: at[NodeRegistry].set_beneficiary(terms.owner),
    "set minter": lambda at, terms: at[StableToken].set_minter(terms.owner, allowed=True),
}
"""What the owner tells the contracts once all of them stand, in order."""


def deploy(
    work: ChainWork,
    *,
    domain: str,
    house: HouseTerms,
    rulebook_hash: bytes,
    rewards: RewardTerms,
    standing: Mapping[type[Contract], Address],
    stakes: StakeTerms,
) -> Manifest:
    """Put the contracts on the chain, introduce them to each other and pin them.

    Those `standing` there already are pinned as they are, or refused where they are not ours.
    Repeating it after a crash goes on where it stopped: every step is an intent with its own id.
    """
    terms = Terms(
        owner=work.manager.sender,
        house=house,
        rulebook_hash=rulebook_hash,
        rewards=rewards,
        stakes=stakes,
    )
    at = Placed(standing)
    blocks: list[int] = []
    for kind, deployment in CONTRACTS.items():
        if kind in standing:
            continue
        record = work.do(derive("venue", domain, kind.NAME), deployment(at, terms))
        assert record.mined is not None, "what was waited for is mined"
        at.addresses[kind] = create_address(terms.owner, record.nonce)
        blocks.append(record.mined.block.number)
    for name, call in SETUP.items():
        work.do(derive("venue", domain, name), call(at, terms))
    from_block = max(min(blocks) - REORG_BLOCKS_MAX, 0)
    return manifest_of(work.client, at.addresses, domain=domain, from_block=from_block)


def x402_codes(chain_id: int, clock: Clock) -> dict[Address, bytes]:
    """Return the code of our channels and their collector by where x402's clients look for them.

    A chain in memory runs their constructors; a new chain of our own begins with the outcome.
    """
    deployments = {
        X402_SETTLEMENT_ADDRESS: BatchChannels.deployment(),
        X402_COLLECTOR_ADDRESS: Erc3009DepositCollector.deployment(
            channels=X402_SETTLEMENT_ADDRESS
        ),
    }
    node = EmbeddedNode.open(":memory:", NodeSettings(chain_id=chain_id), clock)
    try:
        client = connect("embedded:", node=node)
        return {address: client.call(call) for address, call in deployments.items()}
    finally:
        node.close()


def rulebook_hash(*, domain: str, netting: str, one_sided_window_s: int) -> Id:
    """Name the rules a member signs under: who is netted how, and what silence means."""
    return derive(
        "rulebook",
        {"domain": domain, "netting": netting, "one_sided_window_s": one_sided_window_s},
    )
