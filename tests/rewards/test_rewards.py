"""The rewards room: tree, folding, service; invariants 1 to 6 of its README."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select
from tests.memory import Memory

from opencarrier.chain import abi
from opencarrier.chain.contracts import PROOF_MAX as CONTRACT_PROOF_MAX
from opencarrier.kernel.ids import derive
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.money import INT64_MAX, AssetId, MoneyError
from opencarrier.kernel.pair_tree import PROOF_MAX, pair_hash
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.rewards import rules, store
from opencarrier.rewards.merkle import Tree, leaf_hash, verify
from opencarrier.rewards.model import NO_ROOT, EntitlementLeaf, RewardReason
from opencarrier.rewards.service import RewardService
from opencarrier.spine.money import Entitlement

ASSET = AssetId("test/USD")
TOKEN = Address("0x" + "70" * 20)
A, B, C = ("0x" + digit * 40 for digit in "abc")
CYCLES = [derive("cycle", n) for n in range(8)]


@pytest.fixture
def unit():
    engine = Memory(store.metadata)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def book() -> RewardService:
    return RewardService(ASSET, TOKEN)


def earned(**amounts: int) -> list[Entitlement]:
    return [
        Entitlement(host=f"host_{name}", payout="0x" + name * 40, amount_minor=amount)
        for name, amount in amounts.items()
    ]


def leaf_of(account: str, amount: int) -> EntitlementLeaf:
    return EntitlementLeaf(account=account, token=TOKEN, lifetime_minor=amount)


def leaves(*amounts: int) -> list[EntitlementLeaf]:
    return [
        leaf_of("0x" + keccak(b"%d" % i)[:20].hex(), amount) for i, amount in enumerate(amounts)
    ]


def test_openzeppelin_vector():
    """The example of OpenZeppelin's merkle-tree package: its two leaves under our root."""
    example = [("1" * 40, 5 * 10**18), ("2" * 40, 25 * 10**17)]
    hashes = [
        keccak(keccak(bytes.fromhex("00" * 12 + account) + amount.to_bytes(32, "big")))
        for account, amount in example
    ]
    expected = "d4dee0beab2d53f2cc83e567171bd2820e49898130a22622b10ead383e90bd77"
    assert pair_hash(*hashes).hex() == expected


def test_a_leaf_is_the_abis():
    """The leaf by hand equals the contract's formula through a general ABI encoder."""
    leaf = leaf_of(A, 5 * 10**18)
    encoded = abi.encode(["address", "address", "uint256"], [A, TOKEN, 5 * 10**18])
    assert leaf_hash(leaf) == keccak(keccak(encoded))
    assert leaf_hash(replace(leaf, token=B)) != leaf_hash(leaf)


def test_small_trees():
    """None, one, two and three leaves by hand."""
    assert Tree([]).root == NO_ROOT
    one, two, three = leaves(1, 2, 3)
    assert Tree([one]).root == leaf_hash(one)
    assert Tree([one]).siblings(one) == ()
    assert Tree([one, two]).root == pair_hash(leaf_hash(one), leaf_hash(two))
    low, middle, high = sorted(map(leaf_hash, (one, two, three)))
    assert Tree([one, two, three]).root == pair_hash(pair_hash(middle, low), high)
    assert len(Tree([one, two, three])) == 3


@given(st.lists(st.integers(1, 2**255), max_size=70), st.randoms(use_true_random=False))
def test_every_leaf_proves(amounts: list[int], order):
    """Any size, any order of leaves: one root, and every proof holds for its leaf alone."""
    some = leaves(*amounts)
    tree = Tree(some)
    shuffled = list(some)
    order.shuffle(shuffled)
    assert Tree(shuffled).root == tree.root
    for leaf in some:
        siblings = tree.siblings(leaf)
        assert verify(tree.root, leaf, siblings)
        wrong = leaf_of(leaf.account, leaf.lifetime_minor + 1)
        assert not verify(tree.root, wrong, siblings)
        assert not verify(tree.root, leaf, (*siblings, bytes(32)))
        if siblings:
            assert not verify(tree.root, leaf, siblings[:-1])


def test_a_leaf_stands_once():
    """Two alike would be one account twice."""
    one = leaves(1)[0]
    with pytest.raises(AssertionError):
        Tree([one, one])


def test_proof_limits():
    """Longer proofs than the contract takes and siblings of another size are refused."""
    assert PROOF_MAX == CONTRACT_PROOF_MAX
    leaf = leaves(1)[0]
    root = leaf_hash(leaf)
    for _ in range(PROOF_MAX):
        root = pair_hash(root, bytes(32))
    assert verify(root, leaf, [bytes(32)] * PROOF_MAX)
    assert not verify(pair_hash(root, bytes(32)), leaf, [bytes(32)] * (PROOF_MAX + 1))
    assert not verify(pair_hash(leaf_hash(leaf), b""), leaf, [b""])


def test_only_its_own_leaves_are_proven():
    one, two = leaves(1, 2)
    tree = Tree([one])
    for stranger in (two, leaf_of(two.account, 9)):
        with pytest.raises(KeyError):
            tree.siblings(stranger)
    with pytest.raises(KeyError):
        Tree([]).siblings(one)
    with pytest.raises(KeyError):
        tree.siblings(leaf_of(one.account, 9))


def test_a_leaf_is_a_positive_amount():
    for amount in (0, -1, 1 << 256):
        with pytest.raises(AssertionError):
            leaf_of(A, amount)


def test_hosts_of_one_account_are_summed():
    """Ascending by account, zeros left out, negatives our own mistake."""
    some = [*earned(b=5, a=3, c=0), Entitlement(host="host_x", payout=B, amount_minor=4)]
    assert list(rules.by_account(some).items()) == [(A, 3), (B, 9)]
    with pytest.raises(AssertionError):
        rules.by_account([Entitlement(host="h", payout=A, amount_minor=-1)])
    with pytest.raises(AssertionError):
        rules.by_account([Entitlement(host="h", payout=A.upper(), amount_minor=1)])
    with pytest.raises(MoneyError):
        rules.by_account([*earned(a=INT64_MAX), *earned(a=1)])
    with pytest.raises(MoneyError):
        rules.fold({A: INT64_MAX}, {A: 1})
    with pytest.raises(AssertionError):
        rules.fold({}, {A: 0})


def test_lifetimes_grow(unit: Connection, book: RewardService):
    """Invariants 1 and 2: two cycles, one root each over everybody's sum."""
    first = book.entitle(unit, cycle_id=CYCLES[0], entitlements=earned(a=60, b=40))
    second = book.entitle(unit, cycle_id=CYCLES[1], entitlements=earned(a=15, c=5))
    assert first == Tree(rules.leaves({A: 60, B: 40}, TOKEN)).root
    assert second == Tree(rules.leaves({A: 75, B: 40, C: 5}, TOKEN)).root
    cycle = book.cycle(unit, cycle_id=CYCLES[1])
    assert (cycle.number, cycle.total_minor, cycle.funded_minor) == (2, 20, 120)
    assert [book.lifetime(unit, x) for x in (A, B, C)] == [75, 40, 5]
    assert [book.lifetime(unit, x, root=first) for x in (A, B, C)] == [60, 40, 0]
    shares = book.shares(unit, cycle_id=CYCLES[1])
    assert [(s.account, s.amount_minor, s.lifetime_minor) for s in shares] == [
        (A, 15, 75),
        (C, 5, 5),
    ]


def test_same_cycle_again(unit: Connection, book: RewardService):
    """Invariant 3: nothing is added; other shares are our own mistake."""
    root = book.entitle(unit, cycle_id=CYCLES[0], entitlements=earned(a=60, b=40))
    assert book.entitle(unit, cycle_id=CYCLES[0], entitlements=earned(b=40, a=60)) == root
    assert len(unit.execute(select(store.shares)).all()) == 2
    with pytest.raises(AssertionError):
        book.entitle(unit, cycle_id=CYCLES[0], entitlements=earned(a=61, b=40))


def test_a_cycle_without_shares(unit: Connection, book: RewardService):
    """Invariant 5: no root, and the one in force stays."""
    assert book.entitle(unit, cycle_id=CYCLES[0], entitlements=[]) == NO_ROOT
    assert isinstance(book.proof(unit, A), Refusal)
    root = book.entitle(unit, cycle_id=CYCLES[1], entitlements=earned(a=60))
    assert book.entitle(unit, cycle_id=CYCLES[2], entitlements=earned(a=0)) == NO_ROOT
    assert book.entitle(unit, cycle_id=CYCLES[2], entitlements=[]) == NO_ROOT
    assert book.proof(unit, A).root == root
    later = book.entitle(unit, cycle_id=CYCLES[3], entitlements=earned(b=1))
    assert later == Tree(rules.leaves({A: 60, B: 1}, TOKEN)).root


def test_take_back(unit: Connection, book: RewardService):
    """Invariant 4: the newest cycle only, and it leaves no trace."""
    first = book.entitle(unit, cycle_id=CYCLES[0], entitlements=earned(a=60))
    dead = book.entitle(unit, cycle_id=CYCLES[1], entitlements=earned(a=5, b=5))
    with pytest.raises(AssertionError):
        book.take_back(unit, cycle_id=CYCLES[0])
    book.take_back(unit, cycle_id=CYCLES[1])
    book.take_back(unit, cycle_id=CYCLES[1])
    assert book.proof(unit, A).root == first
    assert book.proof(unit, B).reason is RewardReason.UNKNOWN_ACCOUNT
    assert book.proof(unit, A, root=dead).reason is RewardReason.UNKNOWN_ROOT
    again = book.entitle(unit, cycle_id=CYCLES[1], entitlements=earned(a=5))
    assert again == Tree(rules.leaves({A: 65}, TOKEN)).root
    assert book.cycle(unit, cycle_id=CYCLES[1]).number == 2


def test_proofs_are_for_the_root_in_force(unit: Connection, book: RewardService):
    """Invariant 6: what the distributor knows may be older than what is entitled here."""
    first = book.entitle(unit, cycle_id=CYCLES[0], entitlements=earned(a=60, b=40))
    book.entitle(unit, cycle_id=CYCLES[1], entitlements=earned(a=15, c=5))
    proof = book.proof(unit, A, root=first)
    assert (proof.root, proof.cycle_id) == (first, CYCLES[0])
    assert proof.leaf == leaf_of(A, 60)
    assert verify(first, proof.leaf, proof.siblings)
    assert book.proof(unit, A).leaf.lifetime_minor == 75
    assert book.proof(unit, C, root=first).reason is RewardReason.UNKNOWN_ACCOUNT
    assert book.proof(unit, A, root=bytes(32)).reason is RewardReason.UNKNOWN_ROOT
    assert book.proof(unit, A, root=b"\x01" * 32).reason is RewardReason.UNKNOWN_ROOT


def test_another_service_proves_the_same(unit: Connection, book: RewardService):
    """Everything is in the store: a restart loses nothing."""
    for number, amounts in enumerate(({"a": 1}, {"b": 2}, {"a": 3, "c": 4})):
        book.entitle(unit, cycle_id=CYCLES[number], entitlements=earned(**amounts))
    assert RewardService(ASSET, TOKEN).proof(unit, A) == book.proof(unit, A)


def test_assets_are_apart(unit: Connection, book: RewardService):
    other = RewardService(AssetId("other/USD"), B)
    book.entitle(unit, cycle_id=CYCLES[0], entitlements=earned(a=60))
    other.entitle(unit, cycle_id=CYCLES[0], entitlements=earned(a=1))
    assert [x.lifetime(unit, A) for x in (book, other)] == [60, 1]


cycles = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10**12), max_size=6),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=60)
@given(cycles)
def test_any_history(history: list[dict[str, int]]):
    """Invariants 1, 2 and 6: every root of any history proves exactly its sums, also later."""
    engine = Memory(store.metadata)
    with engine.begin() as unit:
        book = RewardService(ASSET, TOKEN)
        sums: dict[str, int] = defaultdict(int)
        published = []
        for number, amounts in enumerate(history):
            root = book.entitle(unit, cycle_id=CYCLES[number], entitlements=earned(**amounts))
            for name, amount in amounts.items():
                sums["0x" + name * 40] += amount
            cycle = book.cycle(unit, cycle_id=CYCLES[number])
            assert cycle.funded_minor == sum(sums.values())
            assert (root == NO_ROOT) == (sum(amounts.values()) == 0)
            if root != NO_ROOT:
                published.append((root, {a: n for a, n in sums.items() if n}))
        fresh = RewardService(ASSET, TOKEN)
        for root, expected in published:
            for account, amount in expected.items():
                proof = fresh.proof(unit, account, root=root)
                assert proof.leaf.lifetime_minor == amount
                assert verify(root, proof.leaf, proof.siblings)
