"""Each contract's fold, as its events say it; the specifications are in `contracts/`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from opencarrier.chain.contracts import (
    BatchChannels,
    ClearingHouse,
    Contract,
    NodeRegistry,
    Query,
    RewardDistributor,
    StableToken,
    StakeDiscount,
)
from opencarrier.chain.events import batch_channels as channel
from opencarrier.chain.events import clearing_house as house
from opencarrier.chain.events import node_registry as registry
from opencarrier.chain.events import reward_distributor as pool
from opencarrier.chain.events import stable_token as token
from opencarrier.chain.events import stake_discount as stake
from opencarrier.chain.events.base import Event
from opencarrier.chain.index.model import Add, Change, Fold, Put, State
from opencarrier.kernel.ids import from_hex, to_hex
from opencarrier.kernel.signatures import Address
from opencarrier.spine.ids import net_of_word

NOBODY = Address("0x" + "00" * 20)
ALL = "all"


class TokenFold:
    """Balances, allowances that were given, and the supply."""

    KIND: ClassVar[type[Contract]] = StableToken
    SUMS: ClassVar[Mapping[str, tuple[str, ...]]] = {"supply": ("balance",)}

    def __init__(self, address: Address) -> None:
        self._token = StableToken(address)

    def changes(self, event: Event, state: State) -> Iterator[Change]:
        """ERC-20: a mint comes from nobody, a burn goes to nobody."""
        match event:
            case token.Transfer():
                if event.sender == NOBODY:
                    yield Add("supply", ALL, event.value)
                else:
                    yield Add("balance", event.sender, -event.value)
                if event.receiver == NOBODY:
                    yield Add("supply", ALL, -event.value)
                else:
                    yield Add("balance", event.receiver, event.value)

    def query(self, name: str, key: str) -> Query[int]:
        """Ask the token."""
        if name == "supply":
            return self._token.total_supply()
        return self._token.balance_of(Address(key))


class HouseFold:
    """Members' balances, what claims hold in escrow, and all of it together, token by token."""

    KIND: ClassVar[type[Contract]] = ClearingHouse
    SUMS: ClassVar[Mapping[str, tuple[str, ...]]] = {"total": ("balance", "escrow")}

    def __init__(self, address: Address) -> None:
        self._house = ClearingHouse(address)

    def changes(self, event: Event, state: State) -> Iterator[Change]:
        """The total moves by deposits, exits and rewards; all else moves inside."""
        match event:
            case house.Deposited():
                yield Add("total", event.token, event.amount)
                yield Put("balance", f"{event.member}/{event.token}", event.balance)
            case house.Withdrawn():
                yield Add("total", event.token, -event.amount)
                yield Put("balance", f"{event.member}/{event.token}", event.balance)
            case house.Settled():
                yield Add("total", event.token, -event.rewards_amount)
                for net in map(net_of_word, event.nets):
                    yield Add("balance", f"{net.address}/{event.token}", net.amount_minor)
            case house.ClaimPosted() | house.ClaimDisputed() | house.ClaimEnded():
                yield from _claim_changes(event)

    def query(self, name: str, key: str) -> Query[int]:
        """Ask the clearing house."""
        if name == "total":
            return self._house.total_of(Address(key))
        if name == "escrow":
            return _part(self._house.claim_of(from_hex(key)), lambda claim: claim.escrow)
        member, _, held_in = key.partition("/")
        return self._house.balance_of(Address(held_in), Address(member))


def _claim_changes(
    event: house.ClaimPosted | house.ClaimDisputed | house.ClaimEnded,
) -> Iterator[Change]:
    """What a step of a claim moves between debtor, escrow and creditor."""
    match event:
        case house.ClaimPosted():
            to_debtor, to_creditor = -event.amount, 0
        case house.ClaimDisputed():
            to_debtor, to_creditor = -event.bond, event.undisputed
        case house.ClaimEnded():
            to_debtor = event.to_debtor + event.penalty
            to_creditor = event.to_creditor - event.penalty
    yield Add("balance", f"{event.debtor}/{event.token}", to_debtor)
    yield Add("balance", f"{event.creditor}/{event.token}", to_creditor)
    yield Add("escrow", to_hex(event.claim_id), -to_debtor - to_creditor)


class PoolFold:
    """What each account was paid and each token brought, since the beginning."""

    KIND: ClassVar[type[Contract]] = RewardDistributor
    SUMS: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, address: Address) -> None:
        self._pool = RewardDistributor(address)

    def changes(self, event: Event, state: State) -> Iterator[Change]:
        """Amounts are cumulative on both sides."""
        match event:
            case pool.RewardsPublished():
                yield Add("funded", event.token, event.amount)
            case pool.Claimed():
                yield Add("claimed", f"{event.account}/{event.token}", event.amount)
                yield Add("total_claimed", event.token, event.amount)

    def query(self, name: str, key: str) -> Query[int]:
        """Ask the distributor."""
        if name == "funded":
            return self._pool.funded(Address(key))
        if name == "total_claimed":
            return self._pool.total_claimed(Address(key))
        account, _, paid_in = key.partition("/")
        return self._pool.claimed(Address(account), Address(paid_in))


class StakeFold:
    """Stakes and their sum."""

    KIND: ClassVar[type[Contract]] = StakeDiscount
    SUMS: ClassVar[Mapping[str, tuple[str, ...]]] = {"total": ("stake",)}

    def __init__(self, address: Address) -> None:
        self._stakes = StakeDiscount(address)

    def changes(self, event: Event, state: State) -> Iterator[Change]:
        """A stake is added to, and leaves whole."""
        match event:
            case stake.StakeCommitted():
                yield Add("stake", event.account, event.added)
                yield Add("total", ALL, event.added)
            case stake.StakeWithdrawn():
                yield Add("stake", event.account, -event.amount)
                yield Add("total", ALL, -event.amount)

    def query(self, name: str, key: str) -> Query[int]:
        """Ask the stake contract."""
        if name == "total":
            return self._stakes.total_staked()
        return _part(self._stakes.stake_of(Address(key)), lambda held: held.amount)


class ChannelFold:
    """What channels hold and were claimed, and what receivers have claimed and were paid."""

    KIND: ClassVar[type[Contract]] = BatchChannels
    SUMS: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, address: Address) -> None:
        self._channels = BatchChannels(address)

    def changes(self, event: Event, state: State) -> Iterator[Change]:
        """A channel's receiver and token are told once, and kept for its claims."""
        match event:
            case channel.ChannelCreated():
                identity = to_hex(event.channel_id)
                yield Put("receiver", identity, int(event.config.receiver, 16))
                yield Put("token", identity, int(event.config.token, 16))
            case channel.ChannelDeposited():
                yield Add("balance", to_hex(event.channel_id), event.amount)
            case channel.ChannelRefunded() | channel.WithdrawFinalized():
                yield Add("balance", to_hex(event.channel_id), -event.amount)
            case channel.ChannelClaimed():
                identity = to_hex(event.channel_id)
                yield Add("claimed", identity, event.claim_amount)
                yield Add("earned", _whose(state, identity), event.claim_amount)
            case channel.ReceiverSettled():
                yield Add("paid", f"{event.receiver}/{event.token}", event.amount)

    def query(self, name: str, key: str) -> Query[int] | None:
        """Ask the channels contract."""
        if name in ("receiver", "token"):
            return None
        if name in ("balance", "claimed"):
            held = self._channels.channel(from_hex(key))
            if name == "balance":
                return _part(held, lambda found: found.balance_minor)
            return _part(held, lambda found: found.total_claimed_minor)
        receiver, _, paid_in = key.partition("/")
        earned = self._channels.receiver(Address(receiver), Address(paid_in))
        if name == "earned":
            return _part(earned, lambda found: found.total_claimed_minor)
        return _part(earned, lambda found: found.total_settled_minor)


class RegistryFold:
    """Bonds, escrows of open bans, what is due to the beneficiary, and who owns which node."""

    KIND: ClassVar[type[Contract]] = NodeRegistry
    SUMS: ClassVar[Mapping[str, tuple[str, ...]]] = {"held": ("bond", "escrow", "due")}

    def __init__(self, address: Address) -> None:
        self._registry = NodeRegistry(address)

    def changes(self, event: Event, state: State) -> Iterator[Change]:
        """Money comes by bonds, moves through bans, and leaves to owners or the beneficiary."""
        match event:
            case registry.BondPosted():
                yield Add("held", ALL, event.amount)
                yield Put("bond", to_hex(event.node_id), event.bond)
            case registry.BondWithdrawn():
                yield Add("held", ALL, -event.amount)
                yield Put("bond", to_hex(event.node_id), event.bond)
            case registry.Banned():
                yield Add("bond", to_hex(event.node_id), -event.escrow)
                yield Add("escrow", to_hex(event.ban_id), event.escrow)
            case registry.BanLifted():
                yield Add("escrow", to_hex(event.ban_id), -event.amount)
                yield Put("bond", to_hex(event.node_id), event.bond)
            case registry.BanUpheld():
                yield Add("escrow", to_hex(event.ban_id), -event.amount)
                yield Add("due", ALL, event.amount)
            case registry.Collected():
                yield Add("due", ALL, -event.amount)
                yield Add("held", ALL, -event.amount)
            case registry.Transfer():
                yield Put("owner", str(event.token_id), int(event.receiver, 16))

    def query(self, name: str, key: str) -> Query[int]:
        """Ask the registry."""
        match name:
            case "bond":
                return self._registry.bond_of(from_hex(key))
            case "escrow":
                return _part(self._registry.ban_of(from_hex(key)), lambda ban: ban.escrow)
            case "due":
                return self._registry.collectable()
            case "held":
                return self._registry.total_held()
        return _part(self._registry.owner_of(int(key)), lambda owner: int(owner, 16))


FOLDS: tuple[type[Fold], ...] = (
    TokenFold,
    HouseFold,
    PoolFold,
    StakeFold,
    ChannelFold,
    RegistryFold,
)


def folds_of(contracts: Mapping[str, Address]) -> dict[Address, Fold]:
    """Return the folds of contracts, by where they stand; `contracts` maps their names."""
    known = {fold.KIND.NAME: fold for fold in FOLDS}
    return {where: known[name](where) for name, where in contracts.items() if name in known}


def _part(query: Query[Any], part: Callable[[Any], int]) -> Query[int]:
    return Query(call=query.call, read=lambda data: part(query.read(data)))


def _whose(state: State, channel_id: str) -> str:
    parts = (state[("receiver", channel_id)], state[("token", channel_id)])
    return "/".join(to_hex(part.to_bytes(20, "big")) for part in parts)
