"""Who may do what at the distributor, from its ABI: every function with every role (R6, R9)."""

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
    "claim": Right(ROLES, _claim),
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
    """A root that pays and one that waits; an heir who is offered the ownership."""
    pool = Pool()
    pool.send(pool.owner, pool.rewards.transfer_ownership(key("heir").address))
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
