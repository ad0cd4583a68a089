"""Nodes are proven, sold, bonded, banned and freed again; a proof of 1.7 million nodes' depth."""

from __future__ import annotations

from contract_evm import GENESIS_S, MAX
from contract_story import CHAIN_ID, Step, Story

from opencarrier.chain import typed_data
from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import NodeRegistry, StableToken
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import BanStatement
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.pair_tree import NO_ROOT, pair_hash
from opencarrier.kernel.signatures import KeySigner
from opencarrier.spine.nodes import NodeLeaf, chain_node_id, node_leaf_hash

DEPTH = 21
"""Two million leaves."""

TERMS = {
    "notice_s": 100,
    "operator_delay_s": 10,
    "appeal_s": 50,
    "decision_s": 50,
    "ban_s_max": 10_000,
}

REFUSALS = {
    "publish by stranger": "root: not registrar",
    "mint again": "mint: minted",
    "mint falsely": "mint: bad proof",
    "move by stranger": "erc721: not allowed",
    "withdraw too early": "withdrawal: notice",
    "ban again": "ban: already banned",
    "ban by one guardian": "ban: signatures missing",
    "close too early": "close: early",
    "collect twice": "collect: nothing due",
}
"""Every step that fails, and the reason its Error(string) spells."""


def play(client: ChainClient) -> list[Step]:
    """Tell the whole story."""
    story = Story(client)
    _Nodes(story).tell()
    return story.steps


class _Nodes:
    """Two nodes of one owner, the second at the end of the same long proof's other side."""

    def __init__(self, story: Story) -> None:
        self.story = story
        people = story.people
        self.owner, self.stranger = people["owner"], people["stranger"]
        self.host, self.buyer = people["member 0"], people["member 1"]
        self.guardians = sorted(
            (people[name] for name in ("settler", "member 2", "stranger")),
            key=lambda signer: signer.address,
        )
        owner = self.owner.address
        money = StableToken.deployment(name="Test Dollar", symbol="USDt", version="1", owner=owner)
        self.token = StableToken(story.deploy("deploy token", money))
        made = NodeRegistry.deployment(token=self.token.address, owner=owner, **TERMS)
        self.registry = NodeRegistry(story.deploy("deploy registry", made))
        self.registry.check_code(story.client.code(self.registry.address))
        self.leaves = [self._leaf(i) for i in range(2)]

    def _leaf(self, number: int) -> NodeLeaf:
        return NodeLeaf(
            node_id=chain_node_id(f"node {number}"),
            owner=self.host.address,
            operator=self.buyer.address,
            valid_from=GENESIS_S,
        )

    def tell(self) -> None:
        self._names()
        self._minting()
        self._keys()
        self._bonds()
        self._bans()

    def _names(self) -> None:
        tell, owner, registry = self.story.tell, self.owner, self.registry
        tell("set registrar", owner, registry.set_registrar(owner.address))
        tell("set arbiter", owner, registry.set_arbiter(owner.address))
        tell("set beneficiary", owner, registry.set_beneficiary(owner.address))
        addresses = [guardian.address for guardian in self.guardians]
        tell("set guardians 3", owner, registry.set_guardians(addresses, 2))
        self.story.fail("publish by stranger", self.stranger, registry.publish_root(1, NO_ROOT))
        root, self.proofs = self._root()
        tell("publish root", owner, registry.publish_root(1, root))
        tell("set minter", owner, self.token.set_minter(owner.address, allowed=True))
        tell("mint money", owner, self.token.mint(self.host.address, 10_000))
        tell("approve", self.host, self.token.approve(registry.address, MAX))

    def _root(self) -> tuple[bytes, list[list[bytes]]]:
        """A root over two leaves under the siblings of a tree of `DEPTH`."""
        one, other = (node_leaf_hash(leaf) for leaf in self.leaves)
        above = [keccak(b"sibling %d" % i) for i in range(DEPTH - 1)]
        root = pair_hash(one, other)
        for sibling in above:
            root = pair_hash(root, sibling)
        return root, [[other, *above], [one, *above]]

    def _minting(self) -> None:
        tell, fail, registry = self.story.tell, self.story.fail, self.registry
        tell("mint first, depth 21", self.stranger, registry.mint(self.leaves[0], self.proofs[0]))
        tell("mint next, depth 21", self.stranger, registry.mint(self.leaves[1], self.proofs[1]))
        fail("mint again", self.host, registry.mint(self.leaves[0], self.proofs[0]))
        fail("mint falsely", self.host, registry.mint(self.leaves[0], self.proofs[1]))
        token = int.from_bytes(self.leaves[1].node_id)
        move = registry.transfer_from(self.host.address, self.buyer.address, token)
        fail("move by stranger", self.stranger, move)
        tell("approve node", self.host, registry.approve(self.buyer.address, token))
        tell("move approved", self.buyer, move)
        back = registry.safe_transfer_from(self.buyer.address, self.host.address, token)
        tell("move safely", self.buyer, back)

    def _keys(self) -> None:
        tell, registry, node_id = self.story.tell, self.registry, self.leaves[0].node_id
        for _ in range(2):
            tell("set operator", self.host, registry.set_operator(node_id, self.host.address))
        revoked = registry.revoke_operator(node_id, 0, GENESIS_S)
        tell("revoke operator", self.host, revoked)

    def _bonds(self) -> None:
        tell, host, registry = self.story.tell, self.host, self.registry
        node_id = self.leaves[0].node_id
        tell("post bond first", host, registry.post_bond(node_id, 2000))
        tell("post bond more", host, registry.post_bond(node_id, 1000))
        tell("request", host, registry.request_bond_withdrawal(node_id, 1000))
        self.story.fail("withdraw too early", host, registry.withdraw_bond(node_id))
        tell("cancel", host, registry.cancel_bond_withdrawal(node_id))
        tell("request", host, registry.request_bond_withdrawal(node_id, 1000))
        self.story.pass_time(TERMS["notice_s"])
        tell("withdraw", host, registry.withdraw_bond(node_id))

    def _bans(self) -> None:
        tell, fail, registry = self.story.tell, self.story.fail, self.registry
        appealed = self._statement(1)
        fail("ban by one guardian", self.stranger, self._ban(appealed, self.guardians[:1]))
        tell("ban by 2 guardians", self.stranger, self._ban(appealed, self.guardians[:2]))
        fail("ban again", self.stranger, self._ban(appealed, self.guardians))
        tell("appeal", self.host, registry.appeal(appealed.ban_id, keccak(b"grounds")))
        tell("lift", self.owner, registry.decide(appealed.ban_id, lifted=True))
        silent = self._statement(2)
        tell("ban by 3 guardians", self.stranger, self._ban(silent, self.guardians))
        fail("close too early", self.stranger, registry.close(silent.ban_id))
        self.story.pass_time(TERMS["appeal_s"])
        tell("close", self.stranger, registry.close(silent.ban_id))
        tell("collect", self.stranger, registry.collect())
        fail("collect twice", self.stranger, registry.collect())

    def _statement(self, reason: int) -> BanStatement:
        return BanStatement(
            node_id=self.leaves[0].node_id,
            reason_hash=reason.to_bytes(32, "big"),
            evidence_root=keccak(b"evidence"),
            starts_at_s=self.story.now_s,
            ends_at_s=self.story.now_s + 5000,
            slash_minor=500,
        )

    def _ban(self, statement: BanStatement, signers: list[KeySigner]) -> Call:
        domain = self.registry.signing_domain(CHAIN_ID)
        digest = typed_data.ban_digest(domain, statement)
        return self.registry.ban(statement, [s.sign(digest).octets for s in signers])
