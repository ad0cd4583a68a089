"""RewardDistributor, invariants R1 to R10 of contracts/RewardDistributor.md: roots and claims."""

from __future__ import annotations

import pytest
from contract_evm import MAX, ZERO, key, refused, vyper
from contract_rewards import DELAY_S, Pool
from contract_world import DEPOSIT, World
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.chain import events
from opencarrier.chain.contracts import PROOF_MAX, RewardDistributor, StableToken
from opencarrier.chain.contracts.reward_distributor import AMOUNT_BITS, DELAY_MAX_S
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.pair_tree import pair_hash
from opencarrier.rewards.merkle import leaf_hash
from opencarrier.rewards.model import EntitlementLeaf

AMOUNT_MAX = (1 << AMOUNT_BITS) - 1


def test_pays_lifetime_less_paid(pool: Pool):
    """R1, R8: the first claim pays all, a later one the difference, a repeat nothing."""
    one, other = (host.address for host in pool.hosts)
    token = pool.token.address
    tree = pool.ready({one: 60, other: 40}, money=100)
    outcome = pool.send(pool.stranger, pool.claim(tree, one, 60))
    assert int.from_bytes(outcome.output, "big") == 60
    assert pool.told(outcome) == [
        events.Claimed(account=one, token=token, amount=60, lifetime_amount=60)
    ]
    with refused("claim: nothing due"):
        pool.send(pool.stranger, pool.claim(tree, one, 60))
    later = pool.ready({one: 75, other: 45}, money=20)
    outcome = pool.send(pool.stranger, pool.claim(later, one, 75))
    assert int.from_bytes(outcome.output, "big") == 15
    assert pool.told(outcome) == [
        events.Claimed(account=one, token=token, amount=15, lifetime_amount=75)
    ]
    pool.send(pool.stranger, pool.claim(later, other, 45))
    assert [pool.tokens(account) for account in (one, other)] == [75, 45]
    assert pool.rewards.funded(token).ask(pool.evm) == 120
    assert pool.rewards.total_claimed(token).ask(pool.evm) == 120
    assert pool.rewards.claimed(one, token).ask(pool.evm) == 75
    assert pool.tokens(pool.rewards.address) == 0


def test_an_older_root_pays_less(pool: Pool):
    """R5, R9: every published root pays what it says, less what was paid."""
    one, other = (host.address for host in pool.hosts)
    old = pool.ready({one: 60, other: 40}, money=100)
    new = pool.ready({one: 65, other: 50}, money=15)
    pool.send(pool.stranger, pool.claim(old, one, 60))
    pool.send(pool.stranger, pool.claim(new, one, 65))
    pool.send(pool.stranger, pool.claim(new, other, 50))
    with refused("claim: nothing due"):
        pool.send(pool.stranger, pool.claim(old, other, 40))
    assert [pool.tokens(account) for account in (one, other)] == [65, 50]


def test_a_shrunk_leaf_pays_nothing(pool: Pool):
    """R4: a root that takes back what was paid cannot be claimed against."""
    one, other = (host.address for host in pool.hosts)
    first = pool.ready({one: 60, other: 40}, money=100)
    pool.send(pool.stranger, pool.claim(first, one, 60))
    shrunk = pool.ready({one: 59, other: 42}, money=1)
    with refused("claim: nothing due"):
        pool.send(pool.stranger, pool.claim(shrunk, one, 59))
    assert pool.rewards.claimed(one, pool.token.address).ask(pool.evm) == 60


def test_never_more_than_was_funded(pool: Pool):
    """R2, R10: false roots pay out at most what arrived, in whatever order, donations apart."""
    one, other = (host.address for host in pool.hosts)
    first = pool.ready({one: 100, other: 1}, money=100)
    second = pool.ready({one: 100, other: 2}, money=0)
    pool.send(pool.stranger, pool.claim(first, one, 100))
    pool.send(pool.owner, pool.token.mint(pool.rewards.address, 50))
    with refused("claim: over root"):
        pool.send(pool.stranger, pool.claim(first, other, 1))
    with refused("claim: over funded"):
        pool.send(pool.stranger, pool.claim(second, other, 2))


@pytest.mark.parametrize("amount", [101, AMOUNT_MAX, AMOUNT_MAX + 1, MAX])
def test_beyond_funding_and_range(pool: Pool, amount: int):
    one = pool.hosts[0].address
    tree = pool.ready({one: amount}, money=100)
    with refused("claim: over root"):
        pool.send(pool.stranger, pool.claim(tree, one, amount))


def test_a_root_pays_what_lay_here_when_it_came(pool: Pool):
    """R10: a false root that nobody vetoed never reaches money that arrives after it."""
    one, other = (host.address for host in pool.hosts)
    token, thief = pool.token.address, pool.stranger.address
    good = pool.ready({one: 60}, money=60)
    pool.send(pool.stranger, pool.claim(good, one, 60))
    false = pool.ready({thief: 7, other: 9, one: 60}, money=10)
    assert pool.rewards.left_of(token, good.root).ask(pool.evm) == 0
    assert pool.rewards.left_of(token, false.root).ask(pool.evm) == 10
    later = pool.ready({one: 90}, money=30)
    pool.send(pool.stranger, pool.claim(false, thief, 7))
    assert pool.rewards.left_of(token, false.root).ask(pool.evm) == 3
    with refused("claim: over root"):
        pool.send(pool.stranger, pool.claim(false, other, 9))
    pool.send(pool.stranger, pool.claim(later, one, 90))
    assert pool.tokens(pool.rewards.address) == 3


def test_the_largest_amounts(pool: Pool):
    """R2: 96 bits of a token in all; a unit more is refused when it is published."""
    one = pool.hosts[0].address
    tree = pool.ready({one: AMOUNT_MAX}, money=AMOUNT_MAX)
    with refused("publish: out of range"):
        pool.publish(b"\x02" * 32, 1)
    pool.send(pool.stranger, pool.claim(tree, one, AMOUNT_MAX))
    assert pool.tokens(one) == AMOUNT_MAX
    assert pool.rewards.funded(pool.token.address).ask(pool.evm) == AMOUNT_MAX
    assert pool.rewards.claimed(one, pool.token.address).ask(pool.evm) == AMOUNT_MAX
    assert pool.rewards.payout_of(one, pool.token.address).ask(pool.evm) == one


def test_tokens_are_apart(pool: Pool):
    """R2, R5: a root published for one token pays no leaf of another, whoever is in it."""
    one, other = pool.hosts[0].address, pool.new_token("Other")
    pool.ready({one: 60}, money=60)
    false = pool.tree({one: 50})
    pool.publish(false.root, 5, other)
    pool.pass_delay()
    assert pool.rewards.funded(other.address).ask(pool.evm) == 5
    with refused("claim: bad proof"):
        pool.send(pool.stranger, pool.claim(false, one, 50))


def test_only_a_leaf_of_the_root(pool: Pool):
    """R5: another amount, account or token, a cut, longer or reordered proof."""
    one, other = (host.address for host in pool.hosts)
    amounts = {one: 50, other: 40, pool.owner.address: 10}
    tree, token = pool.ready(amounts, money=100), pool.token.address
    proofs = {a: tree.siblings(pool.leaf(a, n)) for a, n in amounts.items()}
    account, longest = max(proofs.items(), key=lambda item: len(item[1]))
    amount = amounts[account]
    bad = [
        (account, token, amount + 1, longest),
        (pool.stranger.address, token, amount, longest),
        (account, pool.new_token("Other").address, amount, longest),
        (account, token, amount, longest[:-1]),
        (account, token, amount, (*longest, longest[0])),
        (account, token, amount, tuple(reversed(longest))),
        (account, token, amount, ()),
        (account, token, 0, longest),
        (ZERO, ZERO, 0, ()),
    ]
    for terms in bad:
        with refused("claim: bad proof"):
            pool.send(pool.stranger, pool.rewards.claim(*terms))
    pool.send(pool.stranger, pool.rewards.claim(account, token, amount, longest))


def test_no_claim_before_a_root(pool: Pool):
    with refused("claim: bad proof"):
        pool.send(pool.stranger, pool.claim(pool.tree({ZERO: 1}), ZERO, 1))


def test_the_longest_proof(pool: Pool):
    """R5: forty siblings are taken; one more does not decode."""
    leaf = pool.leaf(pool.hosts[0].address, 5)
    siblings = [bytes((i,)) * 32 for i in range(PROOF_MAX)]
    root = leaf_hash(leaf)
    for sibling in siblings:
        root = pair_hash(root, sibling)
    pool.publish(root, 5)
    pool.pass_delay()
    data = RewardDistributor.artefact().call_data(
        "claim", leaf.account, leaf.token, 5, [*siblings, bytes(32)]
    )
    with refused(None):
        pool.send(pool.stranger, Call(to=pool.rewards.address, data=data))
    pool.send(pool.stranger, pool.rewards.claim(leaf.account, leaf.token, 5, siblings))


def test_a_root_waits(pool: Pool):
    """R9: not a second before its delay has passed; a second root waits by itself."""
    one, token = pool.hosts[0].address, pool.token.address
    tree = pool.tree({one: 5})
    told = pool.told(pool.publish(tree.root, 5))
    ready_at = pool.evm.now_s + DELAY_S
    assert [event.ready_at for event in told] == [ready_at]
    assert pool.rewards.ready_at(token, tree.root).ask(pool.evm) == ready_at
    pool.evm.pass_time(DELAY_S - 1)
    pool.publish(pool.tree({one: 6}).root, 1)
    with refused("claim: not ready"):
        pool.send(pool.stranger, pool.claim(tree, one, 5))
    pool.evm.pass_time(1)
    pool.send(pool.stranger, pool.claim(tree, one, 5))
    with refused("claim: not ready"):
        pool.send(pool.stranger, pool.claim(pool.tree({one: 6}), one, 6))


def test_the_latest_times(pool: Pool):
    """R9: a root waits to the second at the upper end of its 64 bits, too."""
    one, token = pool.hosts[0].address, pool.token.address
    ready_at = 2**63 + 1
    pool.evm.pass_time(ready_at - DELAY_S - pool.evm.now_s)
    tree = pool.tree({one: 5})
    pool.publish(tree.root, 5)
    assert pool.rewards.ready_at(token, tree.root).ask(pool.evm) == ready_at
    pool.evm.pass_time(DELAY_S - 1)
    with refused("claim: not ready"):
        pool.send(pool.stranger, pool.claim(tree, one, 5))


def test_a_vetoed_root_never_pays(pool: Pool):
    """R9: only while it waits, and once for all; the next good root pays what it would have."""
    one, token = pool.hosts[0].address, pool.token.address
    tree = pool.tree({one: 5})
    with refused("veto: too late"):
        pool.send(pool.guardian, pool.rewards.veto(token, tree.root))
    pool.publish(tree.root, 5)
    pool.evm.pass_time(DELAY_S - 1)
    assert not pool.rewards.is_vetoed(token, tree.root).ask(pool.evm)
    told = pool.told(pool.send(pool.guardian, pool.rewards.veto(token, tree.root)))
    assert told == [events.RootVetoed(token=token, root=tree.root)]
    assert pool.rewards.is_vetoed(token, tree.root).ask(pool.evm)
    assert pool.rewards.ready_at(token, tree.root).ask(pool.evm) == pool.evm.now_s + 1
    with refused("veto: already vetoed"):
        pool.send(pool.guardian, pool.rewards.veto(token, tree.root))
    pool.evm.pass_time(10 * DELAY_S)
    with refused("claim: vetoed"):
        pool.send(pool.stranger, pool.claim(tree, one, 5))
    with refused("publish: known root"):
        pool.publish(tree.root, 5)
    assert pool.rewards.left_of(token, tree.root).ask(pool.evm) == 5
    good = pool.ready({one: 9}, money=4)
    with refused("veto: too late"):
        pool.send(pool.guardian, pool.rewards.veto(token, good.root))
    pool.send(pool.stranger, pool.claim(good, one, 9))
    assert pool.tokens(one) == 9


def test_only_the_clearing_house_publishes(pool: Pool):
    """R6."""
    for sender in (pool.owner, pool.guardian, pool.stranger, pool.hosts[0]):
        with refused("publish: not clearing house"):
            pool.send(sender, pool.publishing(b"\x02" * 32, 0))


def test_a_root_needs_its_money(pool: Pool):
    """R3: the balance covers what is funded and unclaimed, to the unit, also after claims."""
    one, token = pool.hosts[0].address, pool.token.address
    tree = pool.ready({one: 60}, money=100)
    pool.send(pool.stranger, pool.claim(tree, one, 60))
    pool.send(pool.owner, pool.token.mint(pool.rewards.address, 7))
    for amount, reason in ((8, "publish: not funded"), (MAX, None)):
        with refused(reason):
            pool.send(pool.house, pool.publishing(b"\x02" * 32, amount))
    outcome = pool.send(pool.house, pool.publishing(b"\x02" * 32, 7))
    assert pool.told(outcome) == [
        events.RewardsPublished(
            token=token,
            cycle_id=keccak(b"cycle %d" % pool.cycles),
            root=b"\x02" * 32,
            amount=7,
            funded=107,
            ready_at=pool.evm.now_s + DELAY_S,
        )
    ]


def test_a_frozen_host_stops_itself_only(pool: Pool):
    """R7."""
    one, other = (host.address for host in pool.hosts)
    tree = pool.ready({one: 60, other: 40}, money=100)
    pool.send(pool.owner, pool.token.freeze(one))
    with refused("token: frozen"):
        pool.send(pool.stranger, pool.claim(tree, one, 60))
    pool.send(pool.stranger, pool.claim(tree, other, 40))
    pool.send(pool.owner, pool.token.unfreeze(one))
    pool.send(pool.stranger, pool.claim(tree, one, 60))
    assert pool.tokens(one) == 60


SILENT = """
# pragma version 0.4.3
balanceOf: public(HashMap[address, uint256])

@external
def mint(account: address, amount: uint256):
    self.balanceOf[account] += amount

@external
def transfer(receiver: address, amount: uint256):
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += amount
"""


def test_a_token_that_says_nothing_is_taken():
    """R1: some tokens return no answer; what counts is that they do not revert."""
    pool = Pool()
    pool.token = StableToken(vyper(SILENT, sender=pool.owner.address, evm=pool.evm))
    one = pool.hosts[0].address
    tree = pool.ready({one: 5}, money=5)
    pool.send(pool.stranger, pool.claim(tree, one, 5))
    assert pool.tokens(one) == 5


def test_a_new_distributor_knows_its_terms(pool: Pool):
    for name, asked in (
        (pool.house.address, pool.rewards.clearing_house()),
        (pool.owner.address, pool.rewards.owner()),
        (pool.guardian.address, pool.rewards.guardian()),
        (DELAY_S, pool.rewards.delay_s()),
    ):
        assert asked.ask(pool.evm) == name
    terms = {
        "clearing_house": pool.house.address,
        "owner": pool.owner.address,
        "guardian": pool.guardian.address,
        "delay_s": DELAY_MAX_S,
    }
    for change, reason in (
        ({"clearing_house": ZERO}, "address: zero"),
        ({"guardian": ZERO}, "address: zero"),
        ({"owner": ZERO}, "owner: zero"),
        ({"delay_s": DELAY_MAX_S + 1}, "delay: too long"),
    ):
        with refused(reason):
            call = RewardDistributor.deployment(**(terms | change))
            pool.evm.deploy(pool.owner.address, call)
    outcome = pool.evm.deploy(pool.owner.address, RewardDistributor.deployment(**terms))
    assert RewardDistributor(outcome).delay_s().ask(pool.evm) == DELAY_MAX_S


def test_the_house_funds_and_publishes(world: World):
    """C13, R3: what hosts earned leaves the clearing house with its root, in one call."""
    host, token = world.hosts[0].address, world.token.address
    leaf = EntitlementLeaf(account=host, token=token, lifetime_minor=5)
    world.settle(world.order([-5], rewards_root=leaf_hash(leaf)))
    world.send(world.stranger, world.rewards.claim(host, token, 5, ()))
    assert world.tokens(host) == 5
    assert world.balance(world.members[0]) == DEPOSIT - 5


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_every_leaf_of_any_tree_is_paid(amounts: list[int], order):
    """R1, R5: the Python tree and the contract agree for every size and every leaf."""
    pool = Pool()
    leaves = {key(f"host {i}").address: amount for i, amount in enumerate(amounts)}
    tree = pool.ready(leaves, money=sum(amounts))
    accounts = list(leaves.items())
    order.shuffle(accounts)
    for account, amount in accounts:
        pool.send(pool.stranger, pool.claim(tree, account, amount))
        assert pool.tokens(account) == amount
    assert pool.tokens(pool.rewards.address) == 0
