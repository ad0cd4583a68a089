"""The clearing house as Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, TypeVar

from opencarrier.chain.contracts.base import Ownable, Query, fields_of
from opencarrier.chain.events import clearing_house as events
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import SigningDomain, clearing_house_domain
from opencarrier.chain.typed_data.base import struct_hash
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.spine.ids import net_word
from opencarrier.spine.money import Net, SettlementOrder

_Struct = TypeVar("_Struct")

NETS_MAX = 400
"""Members in one settlement."""

NO_ROOT = bytes(32)
"""The rewards root of a cycle in which no host earned anything."""


_NO_SIGNATURE = bytes(65)


class ClaimState(IntEnum):
    """Where a corridor claim stands."""

    NONE = 0
    OPEN = 1
    DISPUTED = 2
    ENDED = 3


_UNDECIDED = frozenset({ClaimState.OPEN, ClaimState.DISPUTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseTerms:
    """What a clearing house is deployed with, for good.

    Between two settlements of a token that use mandates lie `mandate_interval_s`; a dispute costs
    a bond of `bond_ppm` of the difference and ends after `arbitration_s`.
    """

    notice_s: int
    mandate_interval_s: int
    bond_ppm: int
    arbitration_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """What the settler may debit a member without a signature, in one epoch of the rulebook."""

    cap_per_cycle: int
    valid_until: int
    rulebook_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A member's notice; `amount` zero is none."""

    amount: int
    ready_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Corridor:
    """What a creditor may claim from a debtor without its signature, before `closes_at`."""

    window_s: int
    cap: int
    closes_at: int
    escrowed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A one-sided claim: what is in escrow for it, the bond, the end of window or arbitration."""

    token: Address
    debtor: Address
    creditor: Address
    amount: int
    bond: int
    deadline: int
    state: ClaimState

    @property
    def escrow(self) -> int:
        """What the contract holds for the claim, the bond included; nothing once it has ended."""
        return self.amount + self.bond if self.state in _UNDECIDED else 0


class ClearingHouse(Ownable):
    """Members' collateral, the settlement of cycles, and corridors; every amount in one token."""

    NAME = "ClearingHouse"
    EVENTS = events.ALL
    __slots__ = ()

    @classmethod
    def deployment(
        cls, *, owner: Address, settler: Address, rulebook_hash: bytes, terms: HouseTerms
    ) -> Call:
        """Deploy a clearing house; tokens are listed afterwards."""
        arguments = (
            terms.notice_s,
            terms.mandate_interval_s,
            terms.bond_ppm,
            terms.arbitration_s,
        )
        code = cls.artefact().creation_code(owner, settler, rulebook_hash, *arguments)
        return Call(to=None, data=code)

    def signing_domain(self, chain_id: int) -> SigningDomain:
        """Where debits and mandates for this contract count."""
        return clearing_house_domain(chain_id=chain_id, contract=self.address)

    def list_token(self, token: Address, *, last_sequence: int = 0) -> Call:
        """Let a token be settled; `last_sequence` is the last one settled elsewhere (owner)."""
        return self._call("list_token", token, last_sequence)

    def set_member(self, token: Address, member: Address, *, registered: bool) -> Call:
        """Register a member or end its membership (owner)."""
        return self._call("set_member", token, member, registered)

    def set_settler(self, settler: Address) -> Call:
        """Name who may settle (owner)."""
        return self._call("set_settler", settler)

    def set_distributor(self, distributor: Address) -> Call:
        """Name the distributor, once (owner)."""
        return self._call("set_distributor", distributor)

    def set_arbiter(self, arbiter: Address) -> Call:
        """Name who decides disputes (owner)."""
        return self._call("set_arbiter", arbiter)

    def set_rulebook(self, rulebook_hash: bytes) -> Call:
        """Change the rulebook; mandates lapse (owner)."""
        return self._call("set_rulebook", rulebook_hash)

    def set_settle_paused(self, *, paused: bool) -> Call:
        """Stop or resume new settlements (owner)."""
        return self._call("set_settle_paused", paused)

    def deposit(self, token: Address, member: Address, amount: int) -> Call:
        """Add collateral from the caller's approved tokens (anybody)."""
        return self._call("deposit", token, member, amount)

    def set_mandate(self, token: Address, cap_per_cycle: int, valid_until: int) -> Call:
        """Give or, with zeros, revoke a standing mandate (member)."""
        return self._call("set_mandate", token, cap_per_cycle, valid_until)

    def set_mandate_by_signature(
        self,
        token: Address,
        *,
        member: Address,
        cap_per_cycle: int,
        valid_until: int,
        signature: bytes,
    ) -> Call:
        """Give a standing mandate by the member's signature (anybody)."""
        arguments = (token, member, cap_per_cycle, valid_until, signature)
        return self._call("set_mandate_by_signature", *arguments)

    def settle(self, token: Address, order: SettlementOrder) -> Call:
        """Move a cycle's net amounts (settler); a None signature relies on the mandate."""
        return self._call(
            "settle",
            token,
            order.sequence,
            order.cycle_id,
            order.records_root,
            order.netting_mode,
            net_words(order.nets),
            _octets(order.debit_signatures),
            order.rewards_root,
            order.rewards_minor,
        )

    def request_withdrawal(self, token: Address, amount: int) -> Call:
        """Give notice of a withdrawal (member)."""
        return self._call("request_withdrawal", token, amount)

    def cancel_withdrawal(self, token: Address) -> Call:
        """Take a notice back (member)."""
        return self._call("cancel_withdrawal", token)

    def withdraw(self, token: Address) -> Call:
        """Be paid after the notice (member)."""
        return self._call("withdraw", token)

    def open_corridor(self, token: Address, creditor: Address, *, window_s: int, cap: int) -> Call:
        """Let a creditor claim without a signature (debtor)."""
        return self._call("open_corridor", token, creditor, window_s, cap)

    def close_corridor(self, token: Address, creditor: Address) -> Call:
        """End new claims after the notice (debtor)."""
        return self._call("close_corridor", token, creditor)

    def post_claim(
        self,
        token: Address,
        debtor: Address,
        *,
        cycle_id: bytes,
        records_root: bytes,
        amount: int,
    ) -> Call:
        """Claim what a debtor owes for a cycle (creditor)."""
        return self._call("post_claim", token, debtor, cycle_id, records_root, amount)

    def accept_claim(self, claim_id: bytes) -> Call:
        """Pay a claim at once (debtor)."""
        return self._call("accept_claim", claim_id)

    def dispute_claim(self, claim_id: bytes, undisputed: int) -> Call:
        """Pay the undisputed part and have the rest decided, against a bond (debtor)."""
        return self._call("dispute_claim", claim_id, undisputed)

    def decide_claim(self, claim_id: bytes, to_creditor: int) -> Call:
        """Decide a dispute (arbiter)."""
        return self._call("decide_claim", claim_id, to_creditor)

    def agree_claim(self, claim_id: bytes, to_creditor: int) -> Call:
        """End a dispute as the other party says too (either party)."""
        return self._call("agree_claim", claim_id, to_creditor)

    def finish_claim(self, claim_id: bytes) -> Call:
        """End a claim or dispute whose time is over (anybody)."""
        return self._call("finish_claim", claim_id)

    def is_listed(self, token: Address) -> Query[bool]:
        """Whether a token may be held and settled."""
        return self._query("is_listed", token)

    def is_member(self, token: Address, account: Address) -> Query[bool]:
        """Whether an account is registered."""
        return self._query("is_member", token, account)

    def balance_of(self, token: Address, member: Address) -> Query[int]:
        """A member's collateral."""
        return self._query("balance_of", token, member)

    def free_balance(self, token: Address, member: Address) -> Query[int]:
        """A member's collateral less what it gave notice of."""
        return self._query("free_balance", token, member)

    def total_of(self, token: Address) -> Query[int]:
        """What is owed in a token: balances, escrows, bonds."""
        return self._query("total_of", token)

    def mandate_of(self, token: Address, member: Address) -> Query[Mandate]:
        """A member's standing mandate."""
        return self._struct(Mandate, "mandate_of", token, member)

    def mandates_used_at(self, token: Address) -> Query[int]:
        """When a settlement last used mandates, zero for never."""
        return self._query("mandates_used_at", token)

    def mandate_nonce(self, token: Address, member: Address) -> Query[int]:
        """The nonce of a member's next signed mandate."""
        return self._query("mandate_nonce", token, member)

    def withdrawal_of(self, token: Address, member: Address) -> Query[Withdrawal]:
        """A member's open notice."""
        return self._struct(Withdrawal, "withdrawal_of", token, member)

    def corridor_of(self, token: Address, debtor: Address, creditor: Address) -> Query[Corridor]:
        """What a creditor may claim from a debtor."""
        return self._struct(Corridor, "corridor_of", token, debtor, creditor)

    def claim_of(self, claim_id: bytes) -> Query[Claim]:
        """A claim; its state is `NONE` where nobody posted it."""
        query = self._struct(Claim, "claim_of", claim_id)

        def read(data: bytes) -> Claim:
            claim = query.read(data)
            return replace(claim, state=ClaimState(claim.state))

        return Query(call=query.call, read=read)

    def short_of(self, token: Address, nets: Sequence[Net]) -> Query[Address]:
        """The first member whose balance does not reach for its row, zero where none is short."""
        return self._query("short_of", token, net_words(nets))

    def settler(self) -> Query[Address]:
        """Who may settle."""
        return self._query("settler")

    def distributor(self) -> Query[Address]:
        """Where hosts' money goes."""
        return self._query("distributor")

    def arbiter(self) -> Query[Address]:
        """Who decides disputes."""
        return self._query("arbiter")

    def rulebook_hash(self) -> Query[bytes]:
        """The rulebook in force."""
        return self._query("rulebook_hash")

    def rulebook_epoch(self) -> Query[int]:
        """How many rulebooks there were."""
        return self._query("rulebook_epoch")

    def notice_s(self) -> Query[int]:
        """Seconds between a notice and its payment."""
        return self._query("notice_s")

    def mandate_interval_s(self) -> Query[int]:
        """Seconds between two settlements of a token that use mandates."""
        return self._query("mandate_interval_s")

    def bond_ppm(self) -> Query[int]:
        """The bond of a dispute, in millionths of the difference."""
        return self._query("bond_ppm")

    def arbitration_s(self) -> Query[int]:
        """Seconds in which a dispute is decided."""
        return self._query("arbitration_s")

    def settle_paused(self) -> Query[bool]:
        """Whether new settlements are stopped."""
        return self._query("settle_paused")

    def last_sequence(self, token: Address) -> Query[int]:
        """The sequence of the last cycle settled in a token."""
        return self._query("last_sequence", token)

    def settled(self, cycle_id: bytes) -> Query[bytes]:
        """The settlement of a cycle, 32 zero octets while there is none."""
        return self._query("settled", cycle_id)

    def _struct(self, cls: type[_Struct], function: str, *arguments: Any) -> Query[_Struct]:
        query = self._query(function, *arguments)
        return Query(call=query.call, read=lambda data: cls(**fields_of(cls, query.read(data))))


def claim_id(token: Address, cycle_id: bytes, *, debtor: Address, creditor: Address) -> bytes:
    """Name a corridor claim as the contract does: one for each token, cycle and pair."""
    return struct_hash(token, cycle_id, debtor, creditor)


def net_words(nets: Sequence[Net]) -> list[int]:
    """Return nets as the contract's words."""
    assert len(nets) <= NETS_MAX, "more members than one settlement holds"
    assert all(net.amount_minor for net in nets), "a net of zero has no row"
    return [net_word(net) for net in nets]


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


def _octets(signatures: Sequence[Signature | None]) -> bytes:
    """Join the signatures, zeros for a mandate; nothing where all rely on theirs."""
    if not any(signatures):
        return b""
    return b"".join(_NO_SIGNATURE if given is None else given.octets for given in signatures)
