"""Who may do what at the distributor, from its ABI: every function, every role (R6, R9, R11-13)."""

from __future__ import annotations

import pytest
from contract_evm import key, refused
from contract_rewards import Pool
from test_authority import OWNER, Right

from opencarrier.chain.contracts import RewardDistributor
from opencarrier.chain.model import Call
from opencarrier.rewards.merkle import leaf_hash
from opencarrier.rewards.model import EntitlementLeaf

ROLES = ("owner", "pending_owner", "guardian", "house", "host", "stranger")
ROOT = b"\x02" * 32
"""A root that is published and not ready."""


def _leaf(pool: Pool) -> EntitlementLeaf:
    return pool.leaf(pool.hosts[0].address, 5)


def _claim(pool: Pool) -> Call:
    return pool.claim(pool.tree({pool.hosts[0].address: 5}), pool.hosts[0].address, 5)


RIGHTS = {
    "publish": Right(
        ("house",), lambda p: p.publishing(b"\x03" * 32, 0), "publish: not clearing house"
    ),
    "veto": Right(
        ("guardian",), lambda p: p.rewards.veto(p.token.address, ROOT), "veto: not guardian"
    ),
    "set_cap": Right(("owner",), lambda p: p.rewards.set_cap(p.token.address, 9), OWNER),
    "apply_cap": Right(ROLES, lambda p: p.rewards.apply_cap(p.token.address)),
    "request_guardian": Right(
        ("owner",), lambda p: p.rewards.request_guardian(p.stranger.address), OWNER
    ),
    "apply_guardian": Right(ROLES, lambda p: p.rewards.apply_guardian()),
    "request_payout": Right(
        ROLES, lambda p: p.rewards.request_payout(p.token.address, p.stranger.address)
    ),
    "cancel_payout": Right(
        ("host",), lambda p: p.rewards.cancel_payout(p.token.address), "change: not requested"
    ),
    "apply_payout": Right(
        ROLES, lambda p: p.rewards.apply_payout(p.hosts[0].address, p.token.address)
    ),
    "claim": Right(ROLES, _claim),
    "claim_many": Right(ROLES, lambda p: p.rewards.claim_many([])),
    "transfer_ownership": Right(
        ("owner",), lambda p: p.rewards.transfer_ownership(p.stranger.address), OWNER
    ),
    "accept_ownership": Right(
        ("pending_owner",), lambda p: p.rewards.accept_ownership(), "owner: not offered"
    ),
}


def test_the_matrix_is_complete():
    """Every function that may change something has its row, and none takes ether."""
    functions = RewardDistributor.artefact().functions
    kinds = {name: entry["stateMutability"] for name, entry in functions.items()}
    assert "payable" not in kinds.values()
    assert {name for name, kind in kinds.items() if kind not in ("view", "pure")} == set(RIGHTS)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """A root that pays and one that waits, changes that are due, an heir of the ownership."""
    pool = Pool()
    rewards, token = pool.rewards, pool.token.address
    pool.send(pool.owner, rewards.transfer_ownership(key("heir").address))
    for cap in (8, 9):
        pool.send(pool.owner, rewards.set_cap(token, cap))
    pool.send(pool.owner, rewards.request_guardian(pool.guardian.address))
    pool.send(pool.hosts[0], rewards.request_payout(token, pool.hosts[1].address))
    pool.publish(leaf_hash(_leaf(pool)), 5)
    pool.pass_delay()
    pool.publish(ROOT, 5)
    return pool


@pytest.fixture
def cast(pool: Pool):
    """One sender for each role, each with that role alone."""
    return {
        "owner": pool.owner,
        "pending_owner": key("heir"),
        "guardian": pool.guardian,
        "house": pool.house,
        "host": pool.hosts[0],
        "stranger": pool.stranger,
    }


@pytest.mark.parametrize("function", RIGHTS)
def test_rights(pool: Pool, cast, function: str):
    row = RIGHTS[function]
    for role in ROLES:
        call = row.call(pool)
        with pool.evm.anchor():
            if role in row.roles:
                pool.send(cast[role], call)
                continue
            with refused(row.refusal):
                pool.send(cast[role], call)
