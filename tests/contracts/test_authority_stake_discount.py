"""Every mutating function of the stake contract against every role (S5): no owner, no right by
accident."""

from __future__ import annotations

import pytest
from contract_evm import refused
from contract_stake import DAY_S, StakeWorld
from test_authority import Right

from opencarrier.chain.contracts import StakeDiscount

ROLES = ("locked", "unlocked", "without", "token_owner", "stranger")
STAKERS = ("locked", "unlocked", "without")
"""Accounts with tokens and an approval: with a lock that runs, one that ended, and no stake."""

RIGHTS: dict[str, Right] = {
    "stake": Right(STAKERS, lambda w: w.stakes.stake(1, 2 * DAY_S), "token: short allowance"),
    "stake_with_permit": Right(
        STAKERS, lambda w: w.permitted(w.accounts[0], 1, 2 * DAY_S), "permit: bad signature"
    ),
    "stake_with_authorization": Right(ROLES, lambda w: w.authorized(w.accounts[0], 1, 2 * DAY_S)),
    "stake_by_signature": Right(ROLES, lambda w: w.signed(w.accounts[0], 1, 2 * DAY_S)),
    "increase": Right(("locked", "unlocked"), lambda w: w.stakes.increase(1), "stake: none"),
    "extend": Right(("locked", "unlocked"), lambda w: w.stakes.extend(2 * DAY_S), "stake: none"),
    "withdraw": Right(ROLES, lambda w: w.stakes.withdraw(w.accounts[1].address)),
}
"""A permit of another's is of no use; the caller's own approval then counts."""


def test_the_matrix_is_complete():
    mutating = {
        name
        for name, entry in StakeDiscount.artefact().functions.items()
        if entry["stateMutability"] not in ("view", "pure")
    }
    assert mutating == set(RIGHTS)


def test_no_function_takes_ether():
    functions = StakeDiscount.artefact().functions.values()
    assert all(entry["stateMutability"] != "payable" for entry in functions)


@pytest.fixture
def cast(stakers: StakeWorld):
    world, (locked, unlocked, without) = stakers, stakers.accounts
    world.send(unlocked, world.stakes.stake(5, 1))
    world.evm.pass_time(1)
    world.send(locked, world.stakes.stake(5, DAY_S))
    return {
        "locked": locked,
        "unlocked": unlocked,
        "without": without,
        "token_owner": world.owner,
        "stranger": world.stranger,
    }


@pytest.mark.parametrize("function", RIGHTS)
def test_rights(stakers: StakeWorld, cast, function):
    world, row = stakers, RIGHTS[function]
    for role in ROLES:
        call = row.call(world)
        with world.evm.anchor():
            if role in row.roles:
                world.send(cast[role], call)
                continue
            with refused(row.refusal):
                world.send(cast[role], call)


@pytest.mark.parametrize("role", ROLES)
def test_nobody_withdraws_what_is_locked(stakers: StakeWorld, cast, role):
    """S3."""
    with refused("stake: locked"):
        stakers.send(cast[role], stakers.stakes.withdraw(stakers.accounts[0].address))
