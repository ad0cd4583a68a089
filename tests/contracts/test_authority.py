"""Every mutating function against every role (C14, R6, T10): nobody has a right by accident."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from contract_evm import FAR_S, GENESIS_S, NOTICE_S, RULEBOOK, refused
from contract_world import World

from opencarrier.chain import typed_data
from opencarrier.chain.contracts import ClearingHouse, StableToken, claim_id
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization
from opencarrier.kernel.signatures import Address

ROLES = (
    "owner",
    "pending_owner",
    "settler",
    "arbiter",
    "minter",
    "member",
    "creditor",
    "host",
    "house",
    "stranger",
)


@dataclass(frozen=True)
class Right:
    """Who may call a function, how, and what everybody else is told."""

    roles: tuple[str, ...]
    call: Callable[[World], Call]
    refusal: str = ""


OWNER = "owner: not caller"
SPLIT = "(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
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
    holder, nonce, signature = _cancellation(world)
    return world.token.cancel_authorization(holder, nonce, signature)


def _transfer_split(world: World) -> Call:
    granted = _authorization(world)
    digest = typed_data.transfer_digest(world.token_domain, granted)
    return world.token.transfer_with_split_signature(granted, world.members[0].sign(digest).octets)


def _receive_split(world: World) -> Call:
    granted = _authorization(world)
    digest = typed_data.receive_digest(world.token_domain, granted)
    return world.token.receive_with_split_signature(granted, world.members[0].sign(digest).octets)


def _cancel_split(world: World) -> Call:
    holder, nonce, signature = _cancellation(world)
    return world.token.cancel_with_split_signature(holder, nonce, signature)


def _cancellation(world: World) -> tuple[Address, bytes, bytes]:
    holder, nonce = world.members[0], b"\x06" * 32
    digest = typed_data.cancel_digest(world.token_domain, authorizer=holder.address, nonce=nonce)
    return holder.address, nonce, holder.sign(digest).octets


def _mandate_signed(world: World) -> Call:
    member = world.members[0]
    digest = typed_data.mandate_digest(
        world.domain,
        token=world.usd,
        member=member.address,
        cap_per_cycle_minor=1,
        valid_until_s=FAR_S,
        rulebook_hash=RULEBOOK,
        nonce=world.house.mandate_nonce(world.usd, member.address).ask(world.evm),
    )
    return world.house.set_mandate_by_signature(
        world.usd,
        member=member.address,
        cap_per_cycle=1,
        valid_until=FAR_S,
        signature=member.sign(digest).octets,
    )


OPEN, DISPUTED, DUE = b"\x04" * 32, b"\x05" * 32, b"\x06" * 32
"""The cycles of a claim that nobody answered, a disputed one, and one whose window is over."""


def _post_claim(world: World, cycle_id: bytes) -> Call:
    debtor, root = world.members[0].address, b"\x07" * 32
    return world.house.post_claim(
        world.usd, debtor, cycle_id=cycle_id, records_root=root, amount=10
    )


def _claim_id(world: World, cycle_id: bytes) -> bytes:
    debtor, creditor = (member.address for member in world.members[:2])
    return claim_id(world.usd, cycle_id, debtor=debtor, creditor=creditor)


def _claims(world: World) -> None:
    """Post the three claims and let the window of the first pass; a notice is longer."""
    debtor, creditor = world.members[:2]
    house = world.house
    call = house.open_corridor(world.usd, creditor.address, window_s=NOTICE_S, cap=100)
    world.send(debtor, call)
    world.send(creditor, _post_claim(world, DUE))
    world.evm.pass_time(NOTICE_S)
    for cycle_id in (OPEN, DISPUTED):
        world.send(creditor, _post_claim(world, cycle_id))
    world.send(debtor, house.dispute_claim(_claim_id(world, DISPUTED), 1))


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
        ("creditor",), _receive_authorized, "authorization: not receiver"
    ),
    ("StableToken", "cancelAuthorization"): Right(ANYBODY, _cancel_authorized),
    ("StableToken", "transferWithAuthorization" + SPLIT): Right(ANYBODY, _transfer_split),
    ("StableToken", "receiveWithAuthorization" + SPLIT): Right(
        ("creditor",), _receive_split, "authorization: not receiver"
    ),
    ("StableToken", "cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)"): Right(
        ANYBODY, _cancel_split
    ),
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
        ("owner",), lambda w: w.house.set_member(w.usd, somebody(w), registered=True), OWNER
    ),
    ("ClearingHouse", "list_token"): Right(
        ("owner",), lambda w: w.house.list_token(w.rewards.address), OWNER
    ),
    ("ClearingHouse", "set_arbiter"): Right(
        ("owner",), lambda w: w.house.set_arbiter(somebody(w)), OWNER
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
        ("member", "creditor"),
        lambda w: w.house.deposit(w.usd, w.members[1].address, 1),
        "token: short allowance",
    ),
    ("ClearingHouse", "set_mandate"): Right(
        ANYBODY, lambda w: w.house.set_mandate(w.usd, 1, FAR_S)
    ),
    ("ClearingHouse", "set_mandate_by_signature"): Right(ANYBODY, _mandate_signed),
    ("ClearingHouse", "settle"): Right(
        ("settler",),
        lambda w: w.house.settle(w.usd, w.order([-5, 5], sequence=2)),
        "settle: not settler",
    ),
    ("ClearingHouse", "request_withdrawal"): Right(
        tuple(role for role in ROLES if role != "member"),
        lambda w: w.house.request_withdrawal(w.usd, 1),
        "withdrawal: already requested",
    ),
    ("ClearingHouse", "cancel_withdrawal"): Right(
        ("member",), lambda w: w.house.cancel_withdrawal(w.usd), "withdrawal: not requested"
    ),
    ("ClearingHouse", "withdraw"): Right(
        ("member",), lambda w: w.house.withdraw(w.usd), "withdrawal: not requested"
    ),
    ("ClearingHouse", "open_corridor"): Right(
        ("member", "creditor"),
        lambda w: w.house.open_corridor(w.usd, w.members[2].address, window_s=60, cap=9),
        "corridor: not member",
    ),
    ("ClearingHouse", "close_corridor"): Right(
        ("member",),
        lambda w: w.house.close_corridor(w.usd, w.members[1].address),
        "corridor: not open",
    ),
    ("ClearingHouse", "post_claim"): Right(
        ("creditor",), lambda w: _post_claim(w, b"\x03" * 32), "corridor: not open"
    ),
    ("ClearingHouse", "accept_claim"): Right(
        ("member",), lambda w: w.house.accept_claim(_claim_id(w, OPEN)), "claim: not debtor"
    ),
    ("ClearingHouse", "dispute_claim"): Right(
        ("member",), lambda w: w.house.dispute_claim(_claim_id(w, OPEN), 1), "claim: not debtor"
    ),
    ("ClearingHouse", "decide_claim"): Right(
        ("arbiter",),
        lambda w: w.house.decide_claim(_claim_id(w, DISPUTED), 1),
        "decide: not arbiter",
    ),
    ("ClearingHouse", "agree_claim"): Right(
        ("member", "creditor"),
        lambda w: w.house.agree_claim(_claim_id(w, DISPUTED), 1),
        "claim: not party",
    ),
    ("ClearingHouse", "finish_claim"): Right(
        ANYBODY, lambda w: w.house.finish_claim(_claim_id(w, DUE))
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
    world.send(world.members[0], world.house.request_withdrawal(world.usd, 1))
    world.send(world.owner, world.house.set_arbiter(key("arbiter").address))
    _claims(world)
    assert world.evm.now_s == GENESIS_S + NOTICE_S
    return {
        "owner": world.owner,
        "pending_owner": heir,
        "settler": world.settler,
        "arbiter": key("arbiter"),
        "minter": minter,
        "member": world.members[0],
        "creditor": world.members[1],
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
