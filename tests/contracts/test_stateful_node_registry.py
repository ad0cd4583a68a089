"""Any sequence of anybody's actions against a Python model of the registry of nodes.

Whatever is tried does what the model says or reverts for the model's reason. After every step:
solvency and conservation (N1, the first two of the global ten), one owner (N4), keys in order and
judged by their time (N5, N6), slash at most the bond (N11), one end for each escrow (N12), time
and epochs only forward. At the end the events alone rebuild it all (N13), and whatever cases and
bans are left open, every owner gets its bond (N8).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from contract_evm import MAX, ZERO, key, refused
from contract_nodes import BOND, FUNDS, NODES, TERMS, NodeWorld, leaf, number
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from opencarrier.chain import events
from opencarrier.chain.typed_data import BanStatement
from opencarrier.identity.node_tree import NodeTree

NODE = st.integers(0, NODES - 1)
HOST = st.integers(0, 1)
AMOUNT = st.one_of(st.integers(1, 2 * BOND), st.just(MAX))
PEOPLE = 2


@dataclass
class Key:
    operator: str
    begins: int
    compromised: int | None = None
    said: int | None = None


@dataclass
class Node:
    owner: int | None = None
    keys: list[Key] = field(default_factory=list)
    bond: int = 0
    notice: tuple[int, int] | None = None
    ban: bytes | None = None


@dataclass
class Case:
    node: int
    ends: int
    escrow: int
    due: int
    stage: str = "open"


class Registry(RuleBasedStateMachine):
    @initialize()
    def deploy(self) -> None:
        self.world = NodeWorld().open()
        self.nodes = [Node() for _ in range(NODES)]
        begun = self.world.leaves[0].valid_from
        for i, one in enumerate(self.world.leaves[:2]):
            self.nodes[i] = Node(owner=i, keys=[Key(one.operator, begun)], bond=BOND)
        self.epoch = 1
        self.rooted = [(i % 2, one) for i, one in enumerate(self.world.leaves)]
        self.tree = self.world.tree
        self.cases: dict[bytes, Case] = {}
        self.statements: list[BanStatement] = []
        self.purses = [FUNDS - BOND] * PEOPLE
        self.collectable = self.collected = self.bans = 0
        self.told: list[events.Event] = []

    @property
    def now(self) -> int:
        return self.world.evm.now_s

    def try_(self, reason: str | None, sender, call) -> bool:
        """Send; expect success where the model has no reason, else exactly that one."""
        if reason == "":
            self.told += self.world.told(self.world.send(sender, call))
            return True
        with refused(reason):
            self.world.send(sender, call)
        return False

    def not_owner(self, node: int, host: int) -> str:
        if self.nodes[node].owner is None:
            return "erc721: no such token"
        return "" if self.nodes[node].owner == host else "node: not owner"

    def banned(self, node: int) -> bool:
        ban = self.nodes[node].ban
        if ban is None:
            return False
        return self.now < self.cases[ban].ends and self.cases[ban].stage != "lifted"

    @rule(swap=st.booleans())
    def publish(self, swap: bool) -> None:
        """A next root, in which the hosts may have changed places."""
        world = self.world
        self.rooted = [
            (host, leaf(i, world.hosts[host]))
            for i, host in enumerate((i + swap) % 2 for i in range(NODES))
        ]
        self.tree = NodeTree(one for _, one in self.rooted)
        self.epoch += 1
        assert self.try_(
            "", world.registrar, world.registry.publish_root(self.epoch, self.tree.root)
        )

    @rule(node=NODE)
    def mint(self, node: int) -> None:
        found, proof = self.tree.proof(self.world.ids[node])
        reason = "" if self.nodes[node].owner is None else "mint: minted"
        if self.try_(reason, self.world.stranger, self.world.registry.mint(found, proof)):
            self.nodes[node].owner = self.rooted[node][0]
            self.nodes[node].keys = [Key(found.operator, found.valid_from)]

    @rule(node=NODE, sender=HOST, receiver=HOST)
    def transfer(self, node: int, sender: int, receiver: int) -> None:
        world, owner = self.world, self.nodes[node].owner
        one, other = world.hosts[sender], world.hosts[receiver]
        call = world.registry.transfer_from(one.address, other.address, number(world.ids[node]))
        reason = "" if owner == sender else "erc721: not owner"
        if self.try_("erc721: no such token" if owner is None else reason, one, call):
            self.nodes[node].owner = receiver

    @rule(node=NODE, host=HOST, name=st.integers(0, 2))
    def rotate(self, node: int, host: int, name: int) -> None:
        world, operator = self.world, key(f"next {name}").address
        call = world.registry.set_operator(world.ids[node], operator)
        if self.try_(self.not_owner(node, host), world.hosts[host], call):
            begins = self.now + TERMS["operator_delay_s"]
            self.nodes[node].keys.append(Key(operator, begins))

    @precondition(lambda self: any(node.keys for node in self.nodes))
    @rule(data=st.data(), host=HOST, back=st.integers(-1, 60))
    def revoke(self, data, host: int, back: int) -> None:
        node = data.draw(st.sampled_from([i for i, n in enumerate(self.nodes) if n.keys]))
        index = data.draw(st.integers(0, len(self.nodes[node].keys) - 1))
        found, at = self.nodes[node].keys[index], self.now - back
        reason = self.not_owner(node, host)
        if not reason and found.said is not None:
            reason = "operator: already revoked"
        if not reason and at < found.begins:
            reason = "operator: before key"
        if not reason and at > max(self.now, found.begins):
            reason = "operator: in future"
        call = self.world.registry.revoke_operator(self.world.ids[node], index, at)
        if self.try_(reason, self.world.hosts[host], call):
            found.compromised, found.said = at, self.now

    @rule(node=NODE, host=HOST, amount=st.integers(1, BOND))
    def post(self, node: int, host: int, amount: int) -> None:
        reason = "erc721: no such token" if self.nodes[node].owner is None else ""
        call = self.world.registry.post_bond(self.world.ids[node], amount)
        if self.try_(reason, self.world.hosts[host], call):
            self.nodes[node].bond += amount
            self.purses[host] -= amount

    @rule(node=NODE, host=HOST, amount=AMOUNT)
    def request(self, node: int, host: int, amount: int) -> None:
        reason = self.not_owner(node, host)
        if not reason and self.nodes[node].notice:
            reason = "withdrawal: already requested"
        call = self.world.registry.request_bond_withdrawal(self.world.ids[node], amount)
        if self.try_(reason, self.world.hosts[host], call):
            self.nodes[node].notice = (amount, self.now + TERMS["notice_s"])

    @rule(node=NODE, host=HOST)
    def cancel(self, node: int, host: int) -> None:
        reason = self.not_owner(node, host)
        if not reason and not self.nodes[node].notice:
            reason = "withdrawal: not requested"
        call = self.world.registry.cancel_bond_withdrawal(self.world.ids[node])
        if self.try_(reason, self.world.hosts[host], call):
            self.nodes[node].notice = None

    @rule(node=NODE, host=HOST)
    def withdraw(self, node: int, host: int) -> None:
        found, reason = self.nodes[node], self.not_owner(node, host)
        if not reason and not found.notice:
            reason = "withdrawal: not requested"
        if not reason and self.now < found.notice[1]:
            reason = "withdrawal: notice"
        call = self.world.registry.withdraw_bond(self.world.ids[node])
        if self.try_(reason, self.world.hosts[host], call):
            amount = min(found.notice[0], found.bond)
            found.bond -= amount
            found.notice = None
            self.purses[host] += amount

    @rule(node=NODE, price=AMOUNT, lasts=st.sampled_from([1, 50, 3000]))
    def ban(self, node: int, price: int, lasts: int) -> None:
        world = self.world
        self.bans += 1
        statement = world.statement(
            node,
            reason_hash=self.bans.to_bytes(32, "big"),
            ends_at_s=self.now + lasts,
            slash_minor=price,
        )
        call = world.registry.ban(statement, world.signed(statement))
        reason = "ban: already banned" if self.banned(node) else ""
        if self.try_(reason, world.stranger, call):
            found = self.nodes[node]
            escrow = min(price, found.bond)
            found.bond -= escrow
            found.ban = statement.ban_id
            due = self.now + TERMS["appeal_s"]
            self.cases[statement.ban_id] = Case(node, statement.ends_at_s, escrow, due)
            self.statements.append(statement)

    @precondition(lambda self: self.statements)
    @rule(data=st.data())
    def ban_again(self, data) -> None:
        """N10: whatever happened since, a statement counts once."""
        statement = data.draw(st.sampled_from(self.statements))
        reason = "ban: known"
        if self.banned(self.cases[statement.ban_id].node):
            reason = "ban: already banned"
        if self.now >= statement.ends_at_s:
            reason = "ban: over"
        call = self.world.registry.ban(statement, self.world.signed(statement))
        self.try_(reason, self.world.stranger, call)

    @precondition(lambda self: self.cases)
    @rule(data=st.data(), host=HOST)
    def appeal(self, data, host: int) -> None:
        ban_id = data.draw(st.sampled_from(sorted(self.cases)))
        case = self.cases[ban_id]
        reason = self.not_owner(case.node, host)
        if self.now >= case.due:
            reason = "appeal: late"
        if case.stage != "open":
            reason = "appeal: not open"
        call = self.world.registry.appeal(ban_id, bytes(32))
        if self.try_(reason, self.world.hosts[host], call):
            case.stage, case.due = "appealed", self.now + TERMS["decision_s"]

    @precondition(lambda self: self.cases)
    @rule(data=st.data(), lifted=st.booleans())
    def decide(self, data, lifted: bool) -> None:
        ban_id = data.draw(st.sampled_from(sorted(self.cases)))
        case = self.cases[ban_id]
        reason = "decide: late" if self.now >= case.due else ""
        if case.stage != "appealed":
            reason = "decide: not appealed"
        if self.try_(reason, self.world.arbiter, self.world.registry.decide(ban_id, lifted=lifted)):
            self.end(case, lifted=lifted)

    @precondition(lambda self: self.cases)
    @rule(data=st.data())
    def close(self, data) -> None:
        ban_id = data.draw(st.sampled_from(sorted(self.cases)))
        case = self.cases[ban_id]
        reason = "" if self.now >= case.due else "close: early"
        if case.stage not in ("open", "appealed"):
            reason = "close: not open"
        if self.try_(reason, self.world.stranger, self.world.registry.close(ban_id)):
            self.end(case, lifted=case.stage == "appealed")

    def end(self, case: Case, *, lifted: bool) -> None:
        case.stage = "lifted" if lifted else "upheld"
        if lifted:
            self.nodes[case.node].bond += case.escrow
        else:
            self.collectable += case.escrow
        case.escrow = 0

    @rule()
    def collect(self) -> None:
        reason = "" if self.collectable else "collect: nothing due"
        if self.try_(reason, self.world.stranger, self.world.registry.collect()):
            self.collected += self.collectable
            self.collectable = 0

    @rule(seconds=st.sampled_from([1, 60, 300, 1000]))
    def pass_time(self, seconds: int) -> None:
        self.world.evm.pass_time(seconds)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "world"):
            return
        world, registry, evm = self.world, self.world.registry, self.world.evm
        escrows = sum(case.escrow for case in self.cases.values())
        held = sum(node.bond for node in self.nodes) + escrows + self.collectable
        assert registry.total_held().ask(evm) == world.tokens(registry.address) == held
        assert registry.collectable().ask(evm) == self.collectable
        assert world.tokens(world.beneficiary.address) == self.collected
        assert [world.tokens(host.address) for host in world.hosts] == self.purses
        assert registry.epoch().ask(evm) == self.epoch
        owned = [node.owner for node in self.nodes]
        for i, host in enumerate(world.hosts):
            assert registry.balance_of(host.address).ask(evm) == owned.count(i)
        for i in range(NODES):
            self._holds_for(i)

    def _holds_for(self, i: int) -> None:
        world, node = self.world, self.nodes[i]
        assert world.bond(i) == node.bond
        assert world.banned(i) == self.banned(i)
        free = node.bond - min(node.notice[0] if node.notice else 0, node.bond)
        assert world.registry.free_bond(world.ids[i]).ask(world.evm) == free
        if node.owner is not None:
            assert world.owner_of(i) == world.hosts[node.owner].address
        for at in (self.now, self.now - 30, self.now + 100):
            assert world.operator_at(i, at) == self._operator(node, at)

    def _operator(self, node: Node, at: int) -> str:
        begun = [one for one in node.keys if one.begins <= at]
        if not begun:
            return ZERO
        last = begun[-1]
        return ZERO if last.compromised is not None and at >= last.compromised else last.operator

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self._rebuild_from_events()
            self._everybody_leaves()

    def _rebuild_from_events(self) -> None:
        """N13: bonds, escrows, owners and keys follow from what was told since the start."""
        ids = self.world.ids
        bonds = {ids[0]: BOND, ids[1]: BOND}
        owners = {number(ids[i]): self.world.hosts[i].address for i in (0, 1)}
        keys = dict.fromkeys(ids[:2], 1)
        escrows: dict[bytes, int] = {}
        due = 0
        for event in self.told:
            match event:
                case events.BondPosted() | events.BondWithdrawn():
                    bonds[event.node_id] = event.bond
                case events.Banned():
                    bonds[event.node_id] = bonds.get(event.node_id, 0) - event.escrow
                    escrows[event.ban_id] = event.escrow
                case events.BanLifted():
                    bonds[event.node_id] += event.amount
                    assert bonds[event.node_id] == event.bond
                    assert escrows.pop(event.ban_id) == event.amount
                case events.BanUpheld():
                    due += event.amount
                    assert escrows.pop(event.ban_id) == event.amount
                case events.Collected():
                    due -= event.amount
                case events.NodeTransfer():
                    owners[event.token_id] = event.receiver
                case events.OperatorSet():
                    assert event.index == keys.get(event.node_id, 0)
                    keys[event.node_id] = event.index + 1
        assert [bonds.get(i, 0) for i in ids] == [node.bond for node in self.nodes]
        assert [keys.get(i, 0) for i in ids] == [len(node.keys) for node in self.nodes]
        assert escrows == {k: c.escrow for k, c in self.cases.items() if k in escrows}
        assert sum(escrows.values()) == sum(case.escrow for case in self.cases.values())
        assert due == self.collectable
        assert owners == {
            number(ids[i]): self.world.hosts[node.owner].address
            for i, node in enumerate(self.nodes)
            if node.owner is not None
        }

    def _everybody_leaves(self) -> None:
        """N8: cases end by silence, owners withdraw, the beneficiary collects, nothing is left."""
        world, registry = self.world, self.world.registry
        world.evm.pass_time(TERMS["appeal_s"] + TERMS["decision_s"])
        for ban_id, case in self.cases.items():
            if case.stage in ("open", "appealed"):
                world.send(world.stranger, registry.close(ban_id))
        for node, found in zip(world.ids, self.nodes, strict=True):
            if found.owner is None:
                continue
            host = world.hosts[found.owner]
            if found.notice:
                world.send(host, registry.cancel_bond_withdrawal(node))
            world.send(host, registry.request_bond_withdrawal(node, MAX))
        world.evm.pass_time(TERMS["notice_s"])
        for node, found in zip(world.ids, self.nodes, strict=True):
            if found.owner is not None:
                world.send(world.hosts[found.owner], registry.withdraw_bond(node))
        if registry.collectable().ask(world.evm):
            world.send(world.stranger, registry.collect())
        assert world.tokens(registry.address) == registry.total_held().ask(world.evm) == 0


def _case(*, max_examples: int, stateful_step_count: int):
    case = type("Case", (Registry.TestCase,), {})
    case.settings = settings(
        max_examples=max_examples,
        stateful_step_count=stateful_step_count,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    return case


TestRegistry = _case(max_examples=4, stateful_step_count=20)
TestRegistryDeep = pytest.mark.deep(
    pytest.mark.timeout(1200)(_case(max_examples=100, stateful_step_count=50))
)
