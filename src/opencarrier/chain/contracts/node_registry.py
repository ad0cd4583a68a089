"""The registry of nodes as Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from opencarrier.chain.contracts.base import Ownable, Query, fields_of
from opencarrier.chain.contracts.clearing_house import Withdrawal
from opencarrier.chain.contracts.reward_distributor import PROOF_MAX
from opencarrier.chain.events import node_registry as events
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import BanStatement, SigningDomain, node_registry_domain
from opencarrier.kernel.signatures import Address
from opencarrier.spine.nodes import NodeLeaf

GUARDIANS_MAX = 16
"""Who signs bans at most."""

KEYS_MAX = 255
"""Keys of one node, from its first to its last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKey:
    """One signing key of a node; `revoked_at` zero is never."""

    operator: Address
    valid_from: int
    compromised_from: int
    revoked_at: int


class Stage(IntEnum):
    """How far a ban's case is; NONE is no ban at all."""

    NONE = 0
    OPEN = 1
    APPEALED = 2
    UPHELD = 4
    LIFTED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """A ban that was submitted; `due_at` is when silence decides."""

    node_id: bytes
    ends_at: int
    escrow: int
    due_at: int
    stage: Stage


class NodeRegistry(Ownable):
    """Owners, keys, bonds and bans of nodes."""

    NAME = "NodeRegistry"
    EVENTS = events.ALL
    __slots__ = ()

    @classmethod
    def deployment(
        cls,
        *,
        token: Address,
        owner: Address,
        notice_s: int,
        operator_delay_s: int,
        appeal_s: int,
        decision_s: int,
        ban_s_max: int,
    ) -> Call:
        """Deploy a registry whose bonds are in one token."""
        arguments = (token, owner, notice_s, operator_delay_s, appeal_s, decision_s, ban_s_max)
        return Call(to=None, data=cls.artefact().creation_code(*arguments))

    def signing_domain(self, chain_id: int) -> SigningDomain:
        """Where bans by this contract's guardians count."""
        return node_registry_domain(chain_id=chain_id, contract=self.address)

    def set_registrar(self, registrar: Address) -> Call:
        """Name who publishes roots (owner)."""
        return self._call("set_registrar", registrar)

    def set_arbiter(self, arbiter: Address) -> Call:
        """Name who decides appeals (owner)."""
        return self._call("set_arbiter", arbiter)

    def set_beneficiary(self, beneficiary: Address) -> Call:
        """Name who gets what bans cost (owner)."""
        return self._call("set_beneficiary", beneficiary)

    def set_guardians(self, guardians: Sequence[Address], threshold: int) -> Call:
        """Name all who sign bans, in any order, and how many it takes (owner)."""
        assert len(guardians) <= GUARDIANS_MAX, "more guardians than the contract takes"
        return self._call("set_guardians", sorted(guardians), threshold)

    def publish_root(self, epoch: int, root: bytes) -> Call:
        """Replace the root nodes are proven by (registrar)."""
        return self._call("publish_root", epoch, root)

    def mint(self, leaf: NodeLeaf, proof: Sequence[bytes]) -> Call:
        """Make a node its owner's token (anybody)."""
        assert len(proof) <= PROOF_MAX, "a longer proof than the contract takes"
        fields = (leaf.node_id, leaf.owner, leaf.operator, leaf.valid_from)
        return self._call("mint", *fields, list(proof))

    def approve(self, approved: Address, token_id: int) -> Call:
        """Let somebody move a node, the zero address nobody (its owner)."""
        return self._call("approve", approved, token_id)

    def set_approval_for_all(self, operator: Address, *, approved: bool) -> Call:
        """Let somebody move all nodes of the caller, or no longer."""
        return self._call("setApprovalForAll", operator, approved)

    def transfer_from(self, sender: Address, receiver: Address, token_id: int) -> Call:
        """Move a node (its owner or whom that one approved)."""
        return self._call("transferFrom", sender, receiver, token_id)

    def safe_transfer_from(
        self, sender: Address, receiver: Address, token_id: int, data: bytes = b""
    ) -> Call:
        """As `transfer_from`, if a receiver that is a contract takes it."""
        return self._call("safeTransferFrom", sender, receiver, token_id, data)

    def set_operator(self, node_id: bytes, operator: Address) -> Call:
        """Give a node another signing key, in force after a delay (its owner)."""
        return self._call("set_operator", node_id, operator)

    def revoke_operator(self, node_id: bytes, index: int, compromised_from: int) -> Call:
        """Say at once that a key was compromised (the node's owner)."""
        return self._call("revoke_operator", node_id, index, compromised_from)

    def post_bond(self, node_id: bytes, amount: int) -> Call:
        """Add to a node's bond from the caller's approved tokens (anybody)."""
        return self._call("post_bond", node_id, amount)

    def request_bond_withdrawal(self, node_id: bytes, amount: int) -> Call:
        """Give notice of a withdrawal (the node's owner)."""
        return self._call("request_bond_withdrawal", node_id, amount)

    def cancel_bond_withdrawal(self, node_id: bytes) -> Call:
        """Take a notice back (the node's owner)."""
        return self._call("cancel_bond_withdrawal", node_id)

    def withdraw_bond(self, node_id: bytes) -> Call:
        """Be paid after the notice (the node's owner)."""
        return self._call("withdraw_bond", node_id)

    def ban(self, statement: BanStatement, signatures: Sequence[bytes]) -> Call:
        """Ban a node under its guardians' signatures, ascending by signer (anybody)."""
        return self._call("ban", statement.words, list(signatures))

    def appeal(self, ban_id: bytes, grounds_hash: bytes) -> Call:
        """Bring a ban before the arbiter (the node's owner)."""
        return self._call("appeal", ban_id, grounds_hash)

    def decide(self, ban_id: bytes, *, lifted: bool) -> Call:
        """Decide an appeal (arbiter)."""
        return self._call("decide", ban_id, lifted)

    def close(self, ban_id: bytes) -> Call:
        """Let silence decide (anybody)."""
        return self._call("close", ban_id)

    def collect(self) -> Call:
        """Pay the beneficiary what upheld bans cost (anybody)."""
        return self._call("collect")

    def owner_of(self, token_id: int) -> Query[Address]:
        """Who owns a node; reverts while it is no token."""
        return self._query("ownerOf", token_id)

    def balance_of(self, owner: Address) -> Query[int]:
        """How many nodes an account owns."""
        return self._query("balanceOf", owner)

    def approved(self, token_id: int) -> Query[Address]:
        """Who may move a node beside its owner."""
        return self._query("getApproved", token_id)

    def is_approved_for_all(self, owner: Address, operator: Address) -> Query[bool]:
        """Whether somebody may move all nodes of an owner."""
        return self._query("isApprovedForAll", owner, operator)

    def supports_interface(self, interface_id: bytes) -> Query[bool]:
        """Whether the contract has an interface (ERC-165)."""
        return self._query("supportsInterface", interface_id)

    def keys_count(self, node_id: bytes) -> Query[int]:
        """How many keys a node ever had, a pending one included."""
        return self._query("keys_count", node_id)

    def key_of(self, node_id: bytes, index: int) -> Query[NodeKey]:
        """One key of a node's history."""
        query = self._query("key_of", node_id, index)
        return Query(
            call=query.call, read=lambda data: NodeKey(**fields_of(NodeKey, query.read(data)))
        )

    def operator_at(self, node_id: bytes, timestamp_s: int) -> Query[Address]:
        """The key whose signatures counted at a time, as it is known now."""
        return self._query("operator_at", node_id, timestamp_s)

    def operator_known_at(
        self, node_id: bytes, timestamp_s: int, known_at_s: int
    ) -> Query[Address]:
        """The key whose signatures counted at a time, as it was known at another."""
        return self._query("operator_known_at", node_id, timestamp_s, known_at_s)

    def bond_of(self, node_id: bytes) -> Query[int]:
        """A node's bond."""
        return self._query("bond_of", node_id)

    def free_bond(self, node_id: bytes) -> Query[int]:
        """A node's bond less what its owner gave notice of."""
        return self._query("free_bond", node_id)

    def withdrawal_of(self, node_id: bytes) -> Query[Withdrawal]:
        """A node's open notice."""
        query = self._query("withdrawal_of", node_id)
        return Query(
            call=query.call,
            read=lambda data: Withdrawal(**fields_of(Withdrawal, query.read(data))),
        )

    def ban_of(self, ban_id: bytes) -> Query[Ban]:
        """A ban by its id; its stage is NONE where there is none."""
        query = self._query("ban_of", ban_id)

        def read(data: bytes) -> Ban:
            *fields, stage = query.read(data)
            return Ban(**fields_of(Ban, (*fields, Stage(stage))))

        return Query(call=query.call, read=read)

    def last_ban(self, node_id: bytes) -> Query[bytes]:
        """The id of a node's latest ban, 32 zero octets for none."""
        return self._query("last_ban", node_id)

    def is_banned(self, node_id: bytes) -> Query[bool]:
        """Whether a ban of a node is in force."""
        return self._query("is_banned", node_id)

    def ban_digest(self, statement: BanStatement) -> Query[bytes]:
        """What guardians sign to ban a node."""
        return self._query("ban_digest", statement.words)

    def total_held(self) -> Query[int]:
        """All bonds, all escrows and what the beneficiary may collect."""
        return self._query("total_held")

    def collectable(self) -> Query[int]:
        """What the beneficiary may collect."""
        return self._query("collectable")

    def epoch(self) -> Query[int]:
        """How many roots were published."""
        return self._query("epoch")

    def root(self) -> Query[bytes]:
        """The root nodes are proven by."""
        return self._query("root")

    def registrar(self) -> Query[Address]:
        """Who publishes roots."""
        return self._query("registrar")

    def arbiter(self) -> Query[Address]:
        """Who decides appeals."""
        return self._query("arbiter")

    def beneficiary(self) -> Query[Address]:
        """Who gets what bans cost."""
        return self._query("beneficiary")

    def guardians(self) -> Query[tuple[Address, ...]]:
        """Who signs bans."""
        return self._query("guardians")

    def threshold(self) -> Query[int]:
        """How many guardians sign a ban."""
        return self._query("threshold")

    def ban_s_max(self) -> Query[int]:
        """The longest ban, in seconds."""
        return self._query("ban_s_max")

    def token(self) -> Query[Address]:
        """The token bonds are in."""
        return self._query("token")
