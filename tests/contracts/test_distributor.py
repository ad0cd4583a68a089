"""RewardDistributor, invariants R1 to R8 of contracts/RewardDistributor.md."""

from __future__ import annotations

import pytest
from contract_evm import MAX, ZERO, key, refused
from contract_world import DEPOSIT, World
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.chain import events
from opencarrier.chain.contracts import NO_ROOT, PROOF_MAX, RewardDistributor
from opencarrier.chain.model import Call
from opencarrier.rewards.merkle import Tree, leaf_hash, node_hash
from opencarrier.rewards.model import EntitlementLeaf


def tree_of(amounts: dict[str, int]) -> Tree:
    return Tree([EntitlementLeaf(account=a, lifetime_minor=n) for a, n in amounts.items()])


def publish(world: World, amounts: dict[str, int], *, sequence: int = 1, money: int) -> Tree:
    """Settle a cycle that brings `money` and a root over lifetime amounts."""
    tree = tree_of(amounts)
    world.settle(world.order([-money], sequence=sequence, rewards_root=tree.root))
    return tree


def claim(world: World, tree: Tree, account: str, lifetime: int) -> Call:
    leaf = EntitlementLeaf(account=account, lifetime_minor=lifetime)
    return world.rewards.claim(account, lifetime, tree.siblings(leaf))


def test_pays_lifetime_less_paid(world: World):
    """R1, R8: the first claim pays all, a later one the difference, a repeat nothing."""
    one, other = (host.address for host in world.hosts)
    tree = publish(world, {one: 60, other: 40}, money=100)
    assert world.rewards.root().ask(world.evm) == tree.root
    assert world.rewards.root_cycle_id().ask(world.evm) == world.order([], sequence=1).cycle_id
    outcome = world.send(world.stranger, claim(world, tree, one, 60))
    assert int.from_bytes(outcome.output, "big") == 60
    assert world.told(outcome) == [
        events.Claimed(account=one, amount=60, lifetime_amount=60),
        events.Transfer(sender=world.rewards.address, receiver=one, value=60),
    ]
    with refused("claim: nothing due"):
        world.send(world.stranger, claim(world, tree, one, 60))
    later = publish(world, {one: 75, other: 45}, sequence=2, money=20)
    outcome = world.send(world.stranger, claim(world, later, one, 75))
    assert int.from_bytes(outcome.output, "big") == 15
    assert world.told(outcome)[0] == events.Claimed(account=one, amount=15, lifetime_amount=75)
    world.send(world.stranger, claim(world, later, other, 45))
    assert [world.tokens(account) for account in (one, other)] == [75, 45]
    assert world.rewards.funded().ask(world.evm) == 120
    assert world.rewards.total_claimed().ask(world.evm) == 120
    assert world.rewards.claimed(one).ask(world.evm) == 75
    assert world.tokens(world.rewards.address) == 0


def test_an_older_root_pays_no_more(world: World):
    """R5: only the root in force counts."""
    one, other = (host.address for host in world.hosts)
    old = publish(world, {one: 60, other: 40}, money=100)
    publish(world, {one: 61, other: 40}, sequence=2, money=1)
    with refused("claim: bad proof"):
        world.send(world.stranger, claim(world, old, one, 60))


def test_a_shrunk_leaf_pays_nothing(world: World):
    """R4: a root that takes back what was paid cannot be claimed against."""
    one, other = (host.address for host in world.hosts)
    first = publish(world, {one: 60, other: 40}, money=100)
    world.send(world.stranger, claim(world, first, one, 60))
    shrunk = publish(world, {one: 59, other: 42}, sequence=2, money=1)
    with refused("claim: nothing due"):
        world.send(world.stranger, claim(world, shrunk, one, 59))
    assert world.rewards.claimed(one).ask(world.evm) == 60


def test_never_more_than_was_funded(world: World):
    """R2: a false root pays out at most what arrived, in whatever order."""
    one, other = (host.address for host in world.hosts)
    tree = publish(world, {one: 100, other: 1}, money=100)
    world.send(world.stranger, claim(world, tree, one, 100))
    with refused("claim: over funded"):
        world.send(world.stranger, claim(world, tree, other, 1))
    world.send(world.members[0], world.token.transfer(world.rewards.address, 50))
    with refused("claim: over funded"):
        world.send(world.stranger, claim(world, tree, other, 1))


@pytest.mark.parametrize("amount", [101, MAX])
def test_beyond_funding_and_range(world: World, amount: int):
    one = world.hosts[0].address
    tree = publish(world, {one: amount}, money=100)
    with refused("claim: over funded"):
        world.send(world.stranger, claim(world, tree, one, amount))


def test_only_a_leaf_of_the_root(world: World):
    """R5: another amount, another account, a cut, longer or reordered proof, an inner node."""
    one, other = (host.address for host in world.hosts)
    third = world.members[0].address
    tree = publish(world, {one: 50, other: 40, third: 10}, money=100)
    proofs = {
        a: tree.siblings(EntitlementLeaf(account=a, lifetime_minor=n))
        for a, n in ((one, 50), (other, 40), (third, 10))
    }
    longest = max(proofs.values(), key=len)
    account = next(a for a, p in proofs.items() if p == longest)
    amount = {one: 50, other: 40, third: 10}[account]
    bad = [
        (account, amount + 1, longest),
        (world.stranger.address, amount, longest),
        (account, amount, longest[:-1]),
        (account, amount, (*longest, longest[0])),
        (account, amount, tuple(reversed(longest))),
        (account, amount, ()),
        (account, 0, longest),
        (ZERO, 0, ()),
    ]
    for who, lifetime, proof in bad:
        with refused("claim: bad proof"):
            world.send(world.stranger, world.rewards.claim(who, lifetime, proof))
    world.send(world.stranger, world.rewards.claim(account, amount, longest))


def test_an_inner_node_is_no_leaf(world: World):
    """R5: two words that hash to an inner node are not an account and an amount."""
    one, other = (host.address for host in world.hosts)
    tree = publish(world, {one: 50, other: 50}, money=100)
    hashes = [leaf_hash(EntitlementLeaf(account=a, lifetime_minor=50)) for a in (one, other)]
    assert node_hash(*hashes) == tree.root
    low, high = sorted(hashes)
    account = "0x" + low[12:].hex()
    with refused("claim: bad proof"):
        world.send(world.stranger, world.rewards.claim(account, int.from_bytes(high, "big"), ()))


def test_no_claim_before_a_root(world: World):
    assert world.rewards.root().ask(world.evm) == NO_ROOT
    with refused("claim: bad proof"):
        world.send(world.stranger, world.rewards.claim(world.hosts[0].address, 1, ()))


def test_the_longest_proof(world: World):
    """R5: forty siblings are taken; one more does not decode."""
    one = world.hosts[0].address
    siblings = [bytes((i,)) * 32 for i in range(PROOF_MAX)]
    root = leaf_hash(EntitlementLeaf(account=one, lifetime_minor=5))
    for sibling in siblings:
        root = node_hash(root, sibling)
    world.settle(world.order([-5], rewards_root=root))
    data = RewardDistributor.artefact().call_data("claim", one, 5, [*siblings, bytes(32)])
    with refused(None):
        world.send(world.stranger, Call(to=world.rewards.address, data=data))
    world.send(world.stranger, world.rewards.claim(one, 5, siblings))


def published(world: World, amount: int) -> Call:
    data = RewardDistributor.artefact().call_data("publish", b"\x01" * 32, b"\x02" * 32, amount)
    return Call(to=world.rewards.address, data=data)


def test_only_the_clearing_house_publishes(world: World):
    """R6."""
    for sender in (world.owner, world.settler, world.stranger, world.members[0]):
        with refused("publish: not clearing house"):
            world.send(sender, published(world, 0))


def test_a_root_needs_its_money(world: World):
    """R3: the balance covers what is funded and unclaimed, to the unit, also after claims."""
    one = world.hosts[0].address
    tree = publish(world, {one: 60}, money=100)
    world.send(world.stranger, claim(world, tree, one, 60))
    with refused("publish: not funded"):
        world.send(world.house_as_signer, published(world, 1))
    world.send(world.members[0], world.token.transfer(world.rewards.address, 7))
    with refused("publish: not funded"):
        world.send(world.house_as_signer, published(world, 8))
    with refused(None):
        world.send(world.house_as_signer, published(world, MAX))
    told = world.told(world.send(world.house_as_signer, published(world, 7)))
    assert told == [
        events.RewardsPublished(cycle_id=b"\x01" * 32, root=b"\x02" * 32, amount=7, funded=107)
    ]


def test_a_frozen_host_stops_itself_only(world: World):
    """R7."""
    one, other = (host.address for host in world.hosts)
    tree = publish(world, {one: 60, other: 40}, money=100)
    world.send(world.owner, world.token.freeze(one))
    with refused("token: frozen"):
        world.send(world.stranger, claim(world, tree, one, 60))
    world.send(world.stranger, claim(world, tree, other, 40))
    world.send(world.owner, world.token.unfreeze(one))
    world.send(world.stranger, claim(world, tree, one, 60))
    assert world.tokens(one) == 60


def test_needs_both_addresses(world: World):
    for terms in (
        {"token": ZERO, "clearing_house": world.house.address},
        {"token": world.token.address, "clearing_house": ZERO},
    ):
        with refused("address: zero"):
            world.evm.deploy(world.owner.address, RewardDistributor.deployment(**terms))
    assert world.rewards.token().ask(world.evm) == world.token.address
    assert world.rewards.clearing_house().ask(world.evm) == world.house.address


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_every_leaf_of_any_tree_is_paid(amounts: list[int], order):
    """R1, R5: the Python tree and the contract agree for every size and every leaf."""
    world = World()
    leaves = {key(f"host {i}").address: amount for i, amount in enumerate(amounts)}
    tree = publish(world, leaves, money=sum(amounts))
    accounts = list(leaves.items())
    order.shuffle(accounts)
    for account, amount in accounts:
        world.send(world.stranger, claim(world, tree, account, amount))
        assert world.tokens(account) == amount
    assert world.tokens(world.rewards.address) == 0
    assert world.balance(world.members[0]) == DEPOSIT - sum(amounts)
