"""Every mutating function of the registry of nodes against every role (N14)."""

from __future__ import annotations

import pytest
from contract_evm import key, refused
from contract_nodes import TERMS, NodeWorld, number
from test_authority import OWNER, Right

from opencarrier.chain.contracts import NodeRegistry
from opencarrier.chain.model import Call
from opencarrier.kernel.pair_tree import NO_ROOT

ROLES = (
    *("owner", "pending_owner", "registrar", "arbiter", "guardian", "beneficiary"),
    *("node_owner", "other_owner", "approved", "approved_for_all", "stranger"),
)
MOVERS = ("node_owner", "approved", "approved_for_all")
PAYERS = ("node_owner", "other_owner")
"""Accounts with tokens and an approval of the registry."""

NOT_OWNER = "node: not owner"


def somebody(nodes: NodeWorld) -> str:
    return key("somebody").address


SHORT = "safeTransferFrom(address,address,uint256)"
"""ERC-721's form without data; the bindings use the other."""


def _short_transfer(world: NodeWorld) -> Call:
    values = (world.hosts[0].address, somebody(world), number(world.ids[0]))
    return Call(to=world.registry.address, data=NodeRegistry.artefact().call_data(SHORT, *values))


RIGHTS = {
    "set_registrar": Right(("owner",), lambda w: w.registry.set_registrar(somebody(w)), OWNER),
    "set_arbiter": Right(("owner",), lambda w: w.registry.set_arbiter(somebody(w)), OWNER),
    "set_beneficiary": Right(("owner",), lambda w: w.registry.set_beneficiary(somebody(w)), OWNER),
    "set_guardians": Right(("owner",), lambda w: w.registry.set_guardians([somebody(w)], 1), OWNER),
    "transfer_ownership": Right(
        ("owner",), lambda w: w.registry.transfer_ownership(somebody(w)), OWNER
    ),
    "accept_ownership": Right(
        ("pending_owner",), lambda w: w.registry.accept_ownership(), "owner: not offered"
    ),
    "publish_root": Right(
        ("registrar",), lambda w: w.registry.publish_root(2, NO_ROOT), "root: not registrar"
    ),
    "mint": Right(ROLES, lambda w: w.registry.mint(*w.tree.proof(w.ids[2]))),
    "approve": Right(
        ("node_owner", "approved_for_all"),
        lambda w: w.registry.approve(somebody(w), number(w.ids[0])),
        "erc721: not allowed",
    ),
    "setApprovalForAll": Right(
        ROLES, lambda w: w.registry.set_approval_for_all(somebody(w), approved=True)
    ),
    "transferFrom": Right(
        MOVERS,
        lambda w: w.registry.transfer_from(w.hosts[0].address, somebody(w), number(w.ids[0])),
        "erc721: not allowed",
    ),
    "safeTransferFrom": Right(
        MOVERS,
        lambda w: w.registry.safe_transfer_from(w.hosts[0].address, somebody(w), number(w.ids[0])),
        "erc721: not allowed",
    ),
    SHORT: Right(
        MOVERS,
        lambda w: _short_transfer(w),
        "erc721: not allowed",
    ),
    "set_operator": Right(
        ("node_owner",), lambda w: w.registry.set_operator(w.ids[0], somebody(w)), NOT_OWNER
    ),
    "revoke_operator": Right(
        ("node_owner",),
        lambda w: w.registry.revoke_operator(w.ids[0], 0, w.evm.now_s),
        NOT_OWNER,
    ),
    "post_bond": Right(
        PAYERS, lambda w: w.registry.post_bond(w.ids[0], 1), "token: short allowance"
    ),
    "request_bond_withdrawal": Right(
        ("other_owner",), lambda w: w.registry.request_bond_withdrawal(w.ids[1], 1), NOT_OWNER
    ),
    "cancel_bond_withdrawal": Right(
        ("node_owner",), lambda w: w.registry.cancel_bond_withdrawal(w.ids[0]), NOT_OWNER
    ),
    "withdraw_bond": Right(
        ("node_owner",), lambda w: w.registry.withdraw_bond(w.ids[0]), NOT_OWNER
    ),
    "ban": Right(
        ROLES,
        lambda w: w.registry.ban(
            w.statement(1, slash_minor=1), w.signed(w.statement(1, slash_minor=1))
        ),
    ),
    "appeal": Right(
        ("node_owner",), lambda w: w.registry.appeal(w.cases["open"], bytes(32)), NOT_OWNER
    ),
    "decide": Right(
        ("arbiter",),
        lambda w: w.registry.decide(w.cases["appealed"], lifted=True),
        "decide: not arbiter",
    ),
    "close": Right(ROLES, lambda w: w.registry.close(w.cases["silent"])),
    "collect": Right(ROLES, lambda w: w.registry.collect()),
}
"""Node 0 has an open and a silent case and a notice that has passed, node 1 an appealed case."""


def test_the_matrix_is_complete():
    """Every function that may change something has its row, and none takes ether."""
    functions = NodeRegistry.artefact().functions
    kinds = {name: entry["stateMutability"] for name, entry in functions.items()}
    assert "payable" not in kinds.values()
    assert {name for name, kind in kinds.items() if kind not in ("view", "pure")} == set(RIGHTS)


def brief(world: NodeWorld, node: int, price: int) -> bytes:
    """Ban a node for its next second only; return the ban's id."""
    now = world.evm.now_s
    statement = world.statement(node, ends_at_s=now + 1, slash_minor=price)
    world.ban(statement)
    world.evm.pass_time(1)
    return statement.ban_id


@pytest.fixture(scope="module")
def cases() -> NodeWorld:
    world = NodeWorld().open()
    registry, host = world.registry, world.hosts[0]
    world.send(world.owner, registry.transfer_ownership(key("heir").address))
    world.send(host, registry.approve(key("friend").address, number(world.ids[0])))
    world.send(host, registry.set_approval_for_all(key("manager").address, approved=True))
    world.send(host, registry.request_bond_withdrawal(world.ids[0], 1))
    world.cases = {"silent": brief(world, 0, 1)}
    upheld = brief(world, 1, 1)
    world.evm.pass_time(TERMS["notice_s"])
    world.send(world.stranger, registry.close(upheld))
    world.cases["open"] = brief(world, 0, 2)
    world.cases["appealed"] = brief(world, 1, 2)
    world.send(world.hosts[1], registry.appeal(world.cases["appealed"], bytes(32)))
    return world


@pytest.fixture
def cast(cases: NodeWorld):
    """One sender for each role, each with that role alone."""
    return {
        "owner": cases.owner,
        "pending_owner": key("heir"),
        "registrar": cases.registrar,
        "arbiter": cases.arbiter,
        "guardian": cases.guardians[0],
        "beneficiary": cases.beneficiary,
        "node_owner": cases.hosts[0],
        "other_owner": cases.hosts[1],
        "approved": key("friend"),
        "approved_for_all": key("manager"),
        "stranger": cases.stranger,
    }


@pytest.mark.parametrize("function", RIGHTS)
def test_rights(cases: NodeWorld, cast, function: str):
    row = RIGHTS[function]
    call = row.call(cases)
    for role in ROLES:
        with cases.evm.anchor():
            if role in row.roles:
                cases.send(cast[role], call)
                continue
            with refused(row.refusal):
                cases.send(cast[role], call)
