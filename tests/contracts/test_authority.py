"""Every mutating function against every role (C14, R6, T10): nobody has a right by accident."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from contract_evm import FAR_S, GENESIS_S, NOTICE_S, RULEBOOK, refused
from contract_world import World

from opencarrier.chain import typed_data
from opencarrier.chain.contracts import ClearingHouse, StableToken
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization

ROLES = ("owner", "pending_owner", "settler", "minter", "member", "host", "house", "stranger")


@dataclass(frozen=True)
class Right:
    """Who may call a function, how, and what everybody else is told."""

    roles: tuple[str, ...]
    call: Callable[[World], Call]
    refusal: str = ""


OWNER = "owner: not caller"
ANYBODY = ROLES


def _authorization(world: World) -> Authorization:
    return Authorization(
        sender=world.members[0].address,
        receiver=world.members[1].address,
        amount_minor=1,
        valid_after_s=0,
        valid_before_s=FAR_S,
        nonce=b"\x05" * 32,
    )


def _permit(world: World) -> Call:
    holder, spender = world.members[0], world.members[1].address
    digest = typed_data.permit_digest(
        world.token_domain,
        owner=holder.address,
        spender=spender,
        amount_minor=1,
        nonce=0,
        deadline_s=FAR_S,
    )
    return world.token.permit(
        owner=holder.address,
        spender=spender,
        amount=1,
        deadline=FAR_S,
        signature=holder.sign(digest).octets,
    )


def _transfer_authorized(world: World) -> Call:
    granted = _authorization(world)
    digest = typed_data.transfer_digest(world.token_domain, granted)
    return world.token.transfer_with_authorization(granted, world.members[0].sign(digest).octets)


def _receive_authorized(world: World) -> Call:
    granted = _authorization(world)
    digest = typed_data.receive_digest(world.token_domain, granted)
    return world.token.receive_with_authorization(granted, world.members[0].sign(digest).octets)


def _cancel_authorized(world: World) -> Call:
    holder = world.members[0]
    digest = typed_data.cancel_digest(
        world.token_domain, authorizer=holder.address, nonce=b"\x06" * 32
    )
    return world.token.cancel_authorization(
        holder.address, b"\x06" * 32, holder.sign(digest).octets
    )


def _mandate_signed(world: World) -> Call:
    member = world.members[0]
    digest = typed_data.mandate_digest(
        world.domain,
        member=member.address,
        cap_per_cycle_minor=1,
        valid_until_s=FAR_S,
        rulebook_hash=RULEBOOK,
        nonce=world.house.mandate_nonce(member.address).ask(world.evm),
    )
    return world.house.set_mandate_by_signature(
        member=member.address,
        cap_per_cycle=1,
        valid_until=FAR_S,
        signature=member.sign(digest).octets,
    )


def somebody(world: World) -> str:
    return world.stranger.address


RIGHTS: dict[tuple[str, str], Right] = {
    ("StableToken", "transfer"): Right(ANYBODY, lambda w: w.token.transfer(somebody(w), 0)),
    ("StableToken", "approve"): Right(ANYBODY, lambda w: w.token.approve(somebody(w), 1)),
    ("StableToken", "transferFrom"): Right(
        ("house",),
        lambda w: w.token.transfer_from(w.members[0].address, somebody(w), 1),
        "token: short allowance",
    ),
    ("StableToken", "permit"): Right(ANYBODY, _permit),
    ("StableToken", "transferWithAuthorization"): Right(ANYBODY, _transfer_authorized),
    ("StableToken", "receiveWithAuthorization"): Right(
        (), _receive_authorized, "authorization: not receiver"
    ),
    ("StableToken", "cancelAuthorization"): Right(ANYBODY, _cancel_authorized),
    ("StableToken", "mint"): Right(
        ("minter",), lambda w: w.token.mint(somebody(w), 1), "token: not minter"
    ),
    ("StableToken", "burn"): Right(("minter",), lambda w: w.token.burn(0), "token: not minter"),
    ("StableToken", "set_minter"): Right(
        ("owner",), lambda w: w.token.set_minter(somebody(w), allowed=True), OWNER
    ),
    ("StableToken", "freeze"): Right(("owner",), lambda w: w.token.freeze(somebody(w)), OWNER),
    ("StableToken", "unfreeze"): Right(("owner",), lambda w: w.token.unfreeze(somebody(w)), OWNER),
    ("StableToken", "set_paused"): Right(
        ("owner",), lambda w: w.token.set_paused(paused=True), OWNER
    ),
    ("StableToken", "transfer_ownership"): Right(
        ("owner",), lambda w: w.token.transfer_ownership(somebody(w)), OWNER
    ),
    ("StableToken", "accept_ownership"): Right(
        ("pending_owner",), lambda w: w.token.accept_ownership(), "owner: not offered"
    ),
    ("ClearingHouse", "set_member"): Right(
        ("owner",), lambda w: w.house.set_member(somebody(w), registered=True), OWNER
    ),
    ("ClearingHouse", "set_settler"): Right(
        ("owner",), lambda w: w.house.set_settler(somebody(w)), OWNER
    ),
    ("ClearingHouse", "set_distributor"): Right(
        (), lambda w: w.house.set_distributor(w.rewards.address), OWNER
    ),
    ("ClearingHouse", "set_rulebook"): Right(
        ("owner",), lambda w: w.house.set_rulebook(b"\x01" * 32), OWNER
    ),
    ("ClearingHouse", "set_settle_paused"): Right(
        ("owner",), lambda w: w.house.set_settle_paused(paused=True), OWNER
    ),
    ("ClearingHouse", "transfer_ownership"): Right(
        ("owner",), lambda w: w.house.transfer_ownership(somebody(w)), OWNER
    ),
    ("ClearingHouse", "accept_ownership"): Right(
        ("pending_owner",), lambda w: w.house.accept_ownership(), "owner: not offered"
    ),
    ("ClearingHouse", "deposit"): Right(
        ("member",),
        lambda w: w.house.deposit(w.members[1].address, 1),
        "token: short allowance",
    ),
    ("ClearingHouse", "set_mandate"): Right(ANYBODY, lambda w: w.house.set_mandate(1, FAR_S)),
    ("ClearingHouse", "set_mandate_by_signature"): Right(ANYBODY, _mandate_signed),
    ("ClearingHouse", "settle"): Right(
        ("settler",),
        lambda w: w.house.settle(w.order([-5, 5], sequence=2)),
        "settle: not settler",
    ),
    ("ClearingHouse", "request_withdrawal"): Right(
        tuple(role for role in ROLES if role != "member"),
        lambda w: w.house.request_withdrawal(1),
        "withdrawal: already requested",
    ),
    ("ClearingHouse", "cancel_withdrawal"): Right(
        ("member",), lambda w: w.house.cancel_withdrawal(), "withdrawal: not requested"
    ),
    ("ClearingHouse", "withdraw"): Right(
        ("member",), lambda w: w.house.withdraw(), "withdrawal: not requested"
    ),
}
"""A member stands for one with an approval and a request whose notice has passed."""

EXCEPTIONS = {("ClearingHouse", "set_distributor", "owner"): "distributor: already set"}


def test_the_matrix_is_complete():
    """Every function that may change something has its row; a new one needs its own."""
    mutating = {
        (contract.NAME, name)
        for contract in (StableToken, ClearingHouse)
        for name, entry in contract.artefact().functions.items()
        if entry["stateMutability"] not in ("view", "pure")
    }
    assert mutating == set(RIGHTS)


def test_no_function_takes_ether():
    for contract in (StableToken, ClearingHouse):
        assert all(
            entry["stateMutability"] != "payable"
            for entry in contract.artefact().functions.values()
        )


@pytest.fixture
def cast(world: World):
    """One sender for each role, each with that role alone."""
    from contract_evm import key

    minter, heir = key("minter"), key("heir")
    world.send(world.owner, world.token.set_minter(minter.address, allowed=True))
    world.send(world.owner, world.token.set_minter(world.owner.address, allowed=False))
    world.send(world.owner, world.token.transfer_ownership(heir.address))
    world.send(world.owner, world.house.transfer_ownership(heir.address))
    world.settle(world.order([-5]))
    world.send(world.members[0], world.house.request_withdrawal(1))
    world.evm.pass_time(NOTICE_S)
    assert world.evm.now_s == GENESIS_S + NOTICE_S
    return {
        "owner": world.owner,
        "pending_owner": heir,
        "settler": world.settler,
        "minter": minter,
        "member": world.members[0],
        "host": world.hosts[0],
        "house": world.house_as_signer,
        "stranger": world.stranger,
    }


@pytest.mark.parametrize("right", RIGHTS, ids=".".join)
def test_rights(world: World, cast, right):
    contract, function = right
    row = RIGHTS[right]
    for role in ROLES:
        call = row.call(world)
        with world.evm.anchor():
            if role in row.roles:
                world.send(cast[role], call)
                continue
            with refused(EXCEPTIONS.get((contract, function, role), row.refusal)):
                world.send(cast[role], call)
