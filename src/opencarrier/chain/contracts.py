"""Our contracts as Python: every call as data, every answer and event typed, no network in sight.

Writing methods return a `Call` for the transaction manager, reading ones a `Query` that any
client answers. Amounts are in the token's smallest unit, times in seconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from opencarrier.chain import events
from opencarrier.chain.abi import Artefact, load
from opencarrier.chain.errors import revert_reason
from opencarrier.chain.model import LATEST, BlockAt, Call
from opencarrier.chain.typed_data import Authorization, SigningDomain, clearing_house_domain
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.spine.money import Net, SettlementOrder

__all__ = [
    "NETS_MAX",
    "NO_ROOT",
    "PROOF_MAX",
    "ClearingHouse",
    "Mandate",
    "Query",
    "RewardDistributor",
    "StableToken",
    "Withdrawal",
    "canonical_nets",
    "revert_reason",
]

NETS_MAX = 400
"""Members in one settlement."""

PROOF_MAX = 40
"""Siblings in one claim."""

NO_ROOT = bytes(32)
"""The rewards root of a cycle in which no host earned anything."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """What the settler may debit a member without a signature of its own."""

    cap_per_cycle: int
    valid_until: int
    rulebook_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A member's notice; `amount` zero is none."""

    amount: int
    ready_at: int


class _Contract:
    """A deployed contract at an address."""

    NAME: ClassVar[str]

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
    def topics(cls, *wanted: type[events.Event]) -> tuple[bytes, ...]:
        """Return the first topics of events, for a log filter."""
        return tuple(cls.artefact().topic(event.__name__) for event in wanted)

    def event(self, log: LogLike) -> events.Event | None:
        """Read a log; None for another contract's or an unknown one, `PeerError` if broken."""
        if log.address != self.address:
            return None
        found = self.artefact().read_log(log.topics, log.data)
        if found is None:
            return None
        name, fields = found
        return events.ALL[name](**fields)

    def check_code(self, code: bytes) -> dict[str, Any]:
        """Return the immutables of the code found at the address; `PeerError` for other code."""
        return self.artefact().read_code(code)

    def _call(self, function: str, *arguments: Any) -> Call:
        return Call(to=self.address, data=self.artefact().call_data(function, *arguments))

    def _query(self, function: str, *arguments: Any) -> Query[Any]:
        def read(data: bytes) -> Any:
            values = self.artefact().read_result(function, data)
            return values[0] if len(values) == 1 else values

        return Query(call=self._call(function, *arguments), read=read)


class _Ownable(_Contract):
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


class StableToken(_Ownable):
    """ERC-20 of 6 decimals with permits and transfers by signature."""

    NAME = "StableToken"
    __slots__ = ()

    @classmethod
    def deployment(cls, *, name: str, symbol: str, version: str, owner: Address) -> Call:
        """Deploy a token."""
        return Call(to=None, data=cls.artefact().creation_code(name, symbol, version, owner))

    def transfer(self, receiver: Address, amount: int) -> Call:
        """Move the caller's tokens."""
        return self._call("transfer", receiver, amount)

    def approve(self, spender: Address, amount: int) -> Call:
        """Set an allowance."""
        return self._call("approve", spender, amount)

    def transfer_from(self, sender: Address, receiver: Address, amount: int) -> Call:
        """Move tokens within the caller's allowance."""
        return self._call("transferFrom", sender, receiver, amount)

    def mint(self, account: Address, amount: int) -> Call:
        """Make tokens (minter)."""
        return self._call("mint", account, amount)

    def burn(self, amount: int) -> Call:
        """Destroy the caller's tokens (minter)."""
        return self._call("burn", amount)

    def set_minter(self, account: Address, *, allowed: bool) -> Call:
        """Give or take the right to mint (owner)."""
        return self._call("set_minter", account, allowed)

    def freeze(self, account: Address) -> Call:
        """Freeze an account (owner)."""
        return self._call("freeze", account)

    def unfreeze(self, account: Address) -> Call:
        """Free an account (owner)."""
        return self._call("unfreeze", account)

    def set_paused(self, *, paused: bool) -> Call:
        """Stop or resume the token (owner)."""
        return self._call("set_paused", paused)

    def permit(
        self, *, owner: Address, spender: Address, amount: int, deadline: int, signature: bytes
    ) -> Call:
        """Set an allowance by the owner's 65-octet signature (anybody)."""
        r, s, v = signature[:32], signature[32:64], signature[64]
        return self._call("permit", owner, spender, amount, deadline, v, r, s)

    def transfer_with_authorization(self, given: Authorization, signature: bytes) -> Call:
        """Move tokens by the sender's signature (anybody)."""
        return self._call("transferWithAuthorization", *_authorization(given), signature)

    def receive_with_authorization(self, given: Authorization, signature: bytes) -> Call:
        """Move tokens by the sender's signature (the receiver)."""
        return self._call("receiveWithAuthorization", *_authorization(given), signature)

    def cancel_authorization(self, authorizer: Address, nonce: bytes, signature: bytes) -> Call:
        """Make an unused authorisation unusable by its author's signature (anybody)."""
        return self._call("cancelAuthorization", authorizer, nonce, signature)

    def balance_of(self, account: Address) -> Query[int]:
        """What an account holds."""
        return self._query("balanceOf", account)

    def allowance(self, owner: Address, spender: Address) -> Query[int]:
        """What a spender may move."""
        return self._query("allowance", owner, spender)

    def total_supply(self) -> Query[int]:
        """All tokens there are."""
        return self._query("totalSupply")

    def decimals(self) -> Query[int]:
        """How many decimals the smallest unit has."""
        return self._query("decimals")

    def nonce(self, owner: Address) -> Query[int]:
        """The nonce of an owner's next permit."""
        return self._query("nonces", owner)

    def authorization_used(self, authorizer: Address, nonce: bytes) -> Query[bool]:
        """Whether a nonce was used or cancelled."""
        return self._query("authorizationState", authorizer, nonce)

    def signing_domain(self) -> Query[SigningDomain]:
        """Where signatures for this token count, as the token itself says (EIP-5267)."""
        return _domain_query(self._query("eip712Domain"))


class ClearingHouse(_Ownable):
    """Members' collateral and the settlement of cycles in one token."""

    NAME = "ClearingHouse"
    __slots__ = ()

    @classmethod
    def deployment(
        cls,
        *,
        token: Address,
        owner: Address,
        settler: Address,
        notice_s: int,
        rulebook_hash: bytes,
        last_sequence: int = 0,
    ) -> Call:
        """Deploy a clearing house; `last_sequence` is the last cycle settled elsewhere."""
        arguments = (token, owner, settler, notice_s, rulebook_hash, last_sequence)
        return Call(to=None, data=cls.artefact().creation_code(*arguments))

    def signing_domain(self, chain_id: int) -> SigningDomain:
        """Where debits and mandates for this contract count."""
        return clearing_house_domain(chain_id=chain_id, contract=self.address)

    def set_member(self, member: Address, *, registered: bool) -> Call:
        """Register a member or end its membership (owner)."""
        return self._call("set_member", member, registered)

    def set_settler(self, settler: Address) -> Call:
        """Name who may settle (owner)."""
        return self._call("set_settler", settler)

    def set_distributor(self, distributor: Address) -> Call:
        """Name the distributor, once (owner)."""
        return self._call("set_distributor", distributor)

    def set_rulebook(self, rulebook_hash: bytes) -> Call:
        """Change the rulebook; mandates lapse (owner)."""
        return self._call("set_rulebook", rulebook_hash)

    def set_settle_paused(self, *, paused: bool) -> Call:
        """Stop or resume new settlements (owner)."""
        return self._call("set_settle_paused", paused)

    def deposit(self, member: Address, amount: int) -> Call:
        """Add collateral from the caller's approved tokens (anybody)."""
        return self._call("deposit", member, amount)

    def set_mandate(self, cap_per_cycle: int, valid_until: int) -> Call:
        """Give or, with zeros, revoke a standing mandate (member)."""
        return self._call("set_mandate", cap_per_cycle, valid_until)

    def set_mandate_by_signature(
        self, *, member: Address, cap_per_cycle: int, valid_until: int, signature: bytes
    ) -> Call:
        """Give a standing mandate by the member's signature (anybody)."""
        arguments = (member, cap_per_cycle, valid_until, signature)
        return self._call("set_mandate_by_signature", *arguments)

    def settle(self, order: SettlementOrder) -> Call:
        """Move a cycle's net amounts (settler); a None signature relies on the mandate."""
        assert len(order.nets) <= NETS_MAX, "more members than one settlement holds"
        assert all(net.amount_minor for net in order.nets), "a net of zero has no row"
        return self._call(
            "settle",
            order.sequence,
            order.cycle_id,
            order.records_root,
            order.netting_mode,
            [(net.address, net.amount_minor) for net in order.nets],
            [_octets(signature) for signature in order.debit_signatures],
            order.rewards_root,
            order.rewards_minor,
        )

    def request_withdrawal(self, amount: int) -> Call:
        """Give notice of a withdrawal (member)."""
        return self._call("request_withdrawal", amount)

    def cancel_withdrawal(self) -> Call:
        """Take a notice back (member)."""
        return self._call("cancel_withdrawal")

    def withdraw(self) -> Call:
        """Be paid after the notice (member)."""
        return self._call("withdraw")

    def is_member(self, account: Address) -> Query[bool]:
        """Whether an account is registered."""
        return self._query("is_member", account)

    def balance_of(self, member: Address) -> Query[int]:
        """A member's collateral."""
        return self._query("balance_of", member)

    def free_balance(self, member: Address) -> Query[int]:
        """A member's collateral less what it gave notice of."""
        return self._query("free_balance", member)

    def total_balance(self) -> Query[int]:
        """All members' collateral."""
        return self._query("total_balance")

    def mandate_of(self, member: Address) -> Query[Mandate]:
        """A member's standing mandate."""
        query = self._query("mandate_of", member)
        return Query(
            call=query.call,
            read=lambda data: Mandate(**_fields(Mandate, query.read(data))),
        )

    def mandate_nonce(self, member: Address) -> Query[int]:
        """The nonce of a member's next signed mandate."""
        return self._query("mandate_nonce", member)

    def withdrawal_of(self, member: Address) -> Query[Withdrawal]:
        """A member's open notice."""
        query = self._query("withdrawal_of", member)
        return Query(
            call=query.call,
            read=lambda data: Withdrawal(**_fields(Withdrawal, query.read(data))),
        )

    def token(self) -> Query[Address]:
        """The only token held here."""
        return self._query("token")

    def settler(self) -> Query[Address]:
        """Who may settle."""
        return self._query("settler")

    def distributor(self) -> Query[Address]:
        """Where hosts' money goes."""
        return self._query("distributor")

    def rulebook_hash(self) -> Query[bytes]:
        """The rulebook in force."""
        return self._query("rulebook_hash")

    def notice_s(self) -> Query[int]:
        """Seconds between a notice and its payment."""
        return self._query("notice_s")

    def settle_paused(self) -> Query[bool]:
        """Whether new settlements are stopped."""
        return self._query("settle_paused")

    def last_sequence(self) -> Query[int]:
        """The sequence of the last settled cycle."""
        return self._query("last_sequence")

    def settled(self, cycle_id: bytes) -> Query[bytes]:
        """The settlement of a cycle, 32 zero octets while there is none."""
        return self._query("settled", cycle_id)

    def records_root_of(self, cycle_id: bytes) -> Query[bytes]:
        """The records root a cycle was settled with."""
        return self._query("records_root_of", cycle_id)

    def settled_at(self, cycle_id: bytes) -> Query[int]:
        """The time of the block that settled a cycle, zero while there is none."""
        return self._query("settled_at", cycle_id)


class RewardDistributor(_Contract):
    """Pays hosts what they have earned since the beginning, less what they were paid."""

    NAME = "RewardDistributor"
    __slots__ = ()

    @classmethod
    def deployment(cls, *, token: Address, clearing_house: Address) -> Call:
        """Deploy the distributor of a clearing house."""
        return Call(to=None, data=cls.artefact().creation_code(token, clearing_house))

    def claim(self, account: Address, lifetime_amount: int, proof: Sequence[bytes]) -> Call:
        """Pay an account what is due to it (anybody)."""
        assert len(proof) <= PROOF_MAX, "a longer proof than the contract takes"
        return self._call("claim", account, lifetime_amount, list(proof))

    def root(self) -> Query[bytes]:
        """The root in force."""
        return self._query("root")

    def root_cycle_id(self) -> Query[bytes]:
        """The cycle that published the root in force."""
        return self._query("root_cycle_id")

    def funded(self) -> Query[int]:
        """All money that ever arrived for hosts."""
        return self._query("funded")

    def total_claimed(self) -> Query[int]:
        """All money that was ever paid to hosts."""
        return self._query("total_claimed")

    def claimed(self, account: Address) -> Query[int]:
        """What an account was ever paid."""
        return self._query("claimed", account)

    def token(self) -> Query[Address]:
        """The token hosts are paid in."""
        return self._query("token")

    def clearing_house(self) -> Query[Address]:
        """The only publisher."""
        return self._query("clearing_house")


def canonical_nets(nets: Iterable[Net]) -> tuple[Net, ...]:
    """Return nets as the contract takes them: summed by address, ascending, none zero."""
    sums: dict[Address, int] = {}
    for net in nets:
        sums[net.address] = sums.get(net.address, 0) + net.amount_minor
    return tuple(
        Net(address=address, amount_minor=amount)
        for address, amount in sorted(sums.items())
        if amount
    )


def _octets(signature: Signature | None) -> bytes:
    return b"" if signature is None else signature.octets


def _authorization(given: Authorization) -> tuple[Any, ...]:
    times = (given.valid_after_s, given.valid_before_s)
    return (given.sender, given.receiver, given.amount_minor, *times, given.nonce)


def _fields(cls: Any, values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(cls.__dataclass_fields__, values, strict=True))


def _domain_query(query: Query[Any]) -> Query[SigningDomain]:
    def read(data: bytes) -> SigningDomain:
        used, name, version, chain_id, contract, _, _ = query.read(data)
        if used != b"\x0f":
            raise PeerError("eip712_domain", f"fields 0x{used.hex()} instead of 0x0f")
        return SigningDomain(name=name, version=version, chain_id=chain_id, contract=contract)

    return Query(call=query.call, read=read)
