"""A registry of nodes with its people: registrar, guardians, arbiter, and two hosts with nodes."""

from __future__ import annotations

from dataclasses import replace

from contract_evm import GENESIS_S, MAX, Evm, Outcome, key

from opencarrier.chain import events, typed_data
from opencarrier.chain.contracts import Ban, NodeRegistry, StableToken
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import BanStatement
from opencarrier.identity.node_tree import NodeTree
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.spine.nodes import NodeLeaf, chain_node_id

TERMS = {
    "notice_s": 1000,
    "operator_delay_s": 100,
    "appeal_s": 300,
    "decision_s": 400,
    "ban_s_max": 5000,
}
FUNDS = 1_000_000
BOND = 1000
NODES = 5


def leaf(number: int, owner: KeySigner, operator: KeySigner | None = None) -> NodeLeaf:
    return NodeLeaf(
        node_id=chain_node_id(f"node {number}"),
        owner=owner.address,
        operator=(operator or key(f"operator {number}")).address,
        valid_from=GENESIS_S - 50,
    )


class NodeWorld:
    """Host 0 owns the nodes 0, 2 and 4, host 1 the others; 0 and 1 are minted and bonded."""

    def __init__(self, token: Address | None = None) -> None:
        self.evm = Evm()
        self.owner, self.registrar, self.arbiter = key("owner"), key("registrar"), key("arbiter")
        self.beneficiary, self.stranger = key("beneficiary"), key("stranger")
        self.guardians = sorted((key(f"guardian {i}") for i in range(3)), key=lambda g: g.address)
        self.hosts = [key("host 0"), key("host 1")]
        self.leaves = [leaf(i, self.hosts[i % 2]) for i in range(NODES)]
        self.tree = NodeTree(self.leaves)
        self.ids = [one.node_id for one in self.leaves]
        self._deploy(token)

    def _deploy(self, token: Address | None) -> None:
        owner = self.owner.address
        if token is None:
            terms = {"name": "Test Dollar", "symbol": "USDt", "version": "1", "owner": owner}
            token = self.evm.deploy(owner, StableToken.deployment(**terms))
        self.token = StableToken(token)
        made = NodeRegistry.deployment(token=token, owner=owner, **TERMS)
        self.registry = NodeRegistry(self.evm.deploy(owner, made))

    def open(self, *, beneficiary: bool = True) -> NodeWorld:
        """Name everybody, publish the root, mint and bond the first two nodes."""
        registry = self.registry
        for call in (
            registry.set_registrar(self.registrar.address),
            registry.set_arbiter(self.arbiter.address),
            registry.set_guardians([g.address for g in self.guardians], 2),
            self.token.set_minter(self.owner.address, allowed=True),
        ):
            self.send(self.owner, call)
        if beneficiary:
            self.send(self.owner, registry.set_beneficiary(self.beneficiary.address))
        self.send(self.registrar, registry.publish_root(1, self.tree.root))
        for host in self.hosts:
            self.send(self.owner, self.token.mint(host.address, FUNDS))
            self.send(host, self.token.approve(registry.address, MAX))
        for node in (0, 1):
            self.mint(node)
            self.send(self.hosts[node], registry.post_bond(self.ids[node], BOND))
        return self

    def send(self, sender: KeySigner, call: Call) -> Outcome:
        return self.evm.send(sender.address, call)

    def told(self, outcome: Outcome) -> list[events.Event]:
        found = [
            contract.event(log)
            for log in outcome.logs
            for contract in (self.token, self.registry)
            if log.address == contract.address
        ]
        assert None not in found
        return found

    def mint(self, node: int, sender: KeySigner | None = None) -> Outcome:
        found, proof = self.tree.proof(self.ids[node])
        return self.send(sender or self.stranger, self.registry.mint(found, proof))

    def tokens(self, account: Address) -> int:
        return self.token.balance_of(account).ask(self.evm)

    def bond(self, node: int) -> int:
        return self.registry.bond_of(self.ids[node]).ask(self.evm)

    def owner_of(self, node: int) -> Address:
        return self.registry.owner_of(number(self.ids[node])).ask(self.evm)

    def operator_at(self, node: int, timestamp_s: int | None = None) -> Address:
        at = self.evm.now_s if timestamp_s is None else timestamp_s
        return self.registry.operator_at(self.ids[node], at).ask(self.evm)

    def banned(self, node: int) -> bool:
        return self.registry.is_banned(self.ids[node]).ask(self.evm)

    def ban_of(self, statement: BanStatement) -> Ban:
        return self.registry.ban_of(statement.ban_id).ask(self.evm)

    @property
    def domain(self) -> typed_data.SigningDomain:
        return self.registry.signing_domain(self.evm.chain_id)

    def statement(self, node: int = 0, **other) -> BanStatement:
        """A ban of a node from now on for 2,000 seconds, for 400 of its bond."""
        now_s = self.evm.now_s
        usual = BanStatement(
            node_id=self.ids[node],
            reason_hash=keccak(b"forged location"),
            evidence_root=keccak(b"evidence"),
            starts_at_s=now_s,
            ends_at_s=now_s + 2000,
            slash_minor=400,
        )
        return replace(usual, **other)

    def signed(self, statement: BanStatement, *signers: KeySigner) -> list[bytes]:
        """Signatures in the order of the signers, by default of the first two guardians."""
        digest = typed_data.ban_digest(self.domain, statement)
        return [s.sign(digest).octets for s in signers or self.guardians[:2]]

    def ban(self, statement: BanStatement, *signers: KeySigner) -> Outcome:
        call = self.registry.ban(statement, self.signed(statement, *signers))
        return self.send(self.stranger, call)


def number(node_id: bytes) -> int:
    """The id of a node's token."""
    return int.from_bytes(node_id, "big")
