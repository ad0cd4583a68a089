"""What a member checks before it signs a rewards root."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, update

from opencarrier.kernel.ids import derive
from opencarrier.kernel.money import AssetId
from opencarrier.rewards import rules, store
from opencarrier.rewards.certificate import CertificateReason, RewardSheet, objection
from opencarrier.rewards.merkle import Tree
from opencarrier.rewards.model import NO_ROOT, EntitlementLeaf
from opencarrier.rewards.service import RewardService
from opencarrier.spine.money import Entitlement

TOKEN, OTHER_TOKEN = ("0x" + digit * 40 for digit in "78")
A, B, C = ("0x" + digit * 40 for digit in "abc")
NOTHING = RewardSheet(root=NO_ROOT, leaves=())


def sheet(lifetimes: dict[str, int], root: bytes | None = None) -> RewardSheet:
    leaves = rules.leaves(lifetimes, TOKEN)
    return RewardSheet(root=Tree(leaves).root if root is None else root, leaves=leaves)


def reason(former: RewardSheet, new: RewardSheet, funding: int) -> CertificateReason | None:
    refusal = objection(former, new, token=TOKEN, funding_minor=funding)
    return None if refusal is None else refusal.reason


def test_what_is_signed():
    """The first root, a grown one, a newcomer."""
    first, second = sheet({A: 60, B: 40}), sheet({A: 75, B: 40, C: 5})
    assert reason(NOTHING, first, 100) is None
    assert reason(first, second, 20) is None


@pytest.mark.parametrize(
    ("lifetimes", "funding", "expected"),
    [
        ({A: 59, B: 61}, 20, CertificateReason.SHRUNK),
        ({B: 120}, 20, CertificateReason.SHRUNK),
        ({A: 60, B: 60}, 21, CertificateReason.OTHER_FUNDING),
        ({A: 60, B: 60}, 19, CertificateReason.OTHER_FUNDING),
        ({A: 60, B: 40, C: 10**15}, 20, CertificateReason.OTHER_FUNDING),
    ],
)
def test_what_is_not_earned_is_not_signed(lifetimes, funding, expected):
    assert reason(sheet({A: 60, B: 40}), sheet(lifetimes), funding) is expected


def test_leaves_make_their_roots():
    """A root over other leaves, hidden ones included, is neither published nor built upon."""
    first, second = sheet({A: 60}), sheet({A: 75})
    hidden = sheet({A: 75, C: 10**9})
    assert reason(first, replace(second, root=hidden.root), 15) is CertificateReason.OTHER_ROOT
    assert (
        reason(replace(first, root=hidden.root), second, 15) is CertificateReason.OTHER_FORMER_ROOT
    )


def leaf(account: str, token: str = TOKEN) -> EntitlementLeaf:
    return EntitlementLeaf(account=account, token=token, lifetime_minor=5)


@pytest.mark.parametrize(
    "leaves",
    [
        [leaf(A), leaf(A)],
        [leaf(B), leaf(A)],
        [leaf(A, OTHER_TOKEN)],
        [leaf("0x" + "A" * 40)],
    ],
)
def test_well_formed(leaves):
    """One leaf an account, ascending, lower case, in the token that is settled."""
    bad = RewardSheet(root=b"\x01" * 32, leaves=leaves)
    assert reason(NOTHING, bad, 5) is CertificateReason.MALFORMED
    assert reason(bad, sheet({A: 9}), 4) is CertificateReason.MALFORMED


amounts = st.dictionaries(st.sampled_from([A, B, C]), st.integers(1, 10**9), min_size=1)


@given(amounts, amounts)
def test_any_growth_is_signed_with_its_money_alone(before, gained):
    after = {a: before.get(a, 0) + gained.get(a, 0) for a in before | gained}
    funding = sum(gained.values())
    assert reason(sheet(before), sheet(after), funding) is None
    assert reason(sheet(before), sheet(after), funding + 1) is CertificateReason.OTHER_FUNDING
    assert reason(sheet(after), sheet(before), -funding) is CertificateReason.SHRUNK


def test_our_own_signer_reads_the_store_anew():
    """What was changed behind the service's back is not signed."""
    with create_engine("sqlite://").begin() as unit:
        store.metadata.create_all(unit)
        book = RewardService(AssetId("test/USD"), TOKEN)
        for number, amount in enumerate((60, 0, 15)):
            earned = [Entitlement(host="h", payout=A, amount_minor=amount)]
            cycle_id = derive("cycle", number)
            book.entitle(unit, cycle_id=cycle_id, entitlements=earned)
            assert book.objection(unit, cycle_id=cycle_id, funding_minor=amount) is None
        refusal = book.objection(unit, cycle_id=cycle_id, funding_minor=14)
        assert refusal.reason is CertificateReason.OTHER_FUNDING
        grown = store.shares.c.lifetime_minor + 1
        changed = update(store.shares).where(store.shares.c.number == 3)
        unit.execute(changed.values(lifetime_minor=grown))
        refusal = book.objection(unit, cycle_id=cycle_id, funding_minor=16)
        assert refusal.reason is CertificateReason.OTHER_ROOT
