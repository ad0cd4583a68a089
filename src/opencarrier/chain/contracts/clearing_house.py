"""The clearing house as Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from opencarrier.chain.contracts.base import Ownable, Query, fields_of
from opencarrier.chain.events import clearing_house as events
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import SigningDomain, clearing_house_domain
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.spine.money import Net, SettlementOrder

NETS_MAX = 400
"""Members in one settlement."""

NO_ROOT = bytes(32)
"""The rewards root of a cycle in which no host earned anything."""


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


class ClearingHouse(Ownable):
    """Members' collateral and the settlement of cycles in one token."""

    NAME = "ClearingHouse"
    EVENTS = events.ALL
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
            read=lambda data: Mandate(**fields_of(Mandate, query.read(data))),
        )

    def mandate_nonce(self, member: Address) -> Query[int]:
        """The nonce of a member's next signed mandate."""
        return self._query("mandate_nonce", member)

    def withdrawal_of(self, member: Address) -> Query[Withdrawal]:
        """A member's open notice."""
        query = self._query("withdrawal_of", member)
        return Query(
            call=query.call,
            read=lambda data: Withdrawal(**fields_of(Withdrawal, query.read(data))),
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
