"""StableToken, invariants T1 to T9 of contracts/StableToken.md."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_evm import GENESIS_S, MAX, ZERO, key, refused
from contract_world import DEPOSIT, TOKEN, World
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.chain import events, typed_data
from opencarrier.chain.contracts import StableToken
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def malleable(octets: bytes) -> bytes:
    """The other signature of the same digest by the same key: high s."""
    s = ORDER - int.from_bytes(octets[32:64], "big")
    return octets[:32] + s.to_bytes(32, "big") + bytes((55 - octets[64],))


def given_by(world: World, **changes) -> Authorization:
    holder, other = world.members[:2]
    base = Authorization(
        sender=holder.address,
        receiver=other.address,
        amount_minor=5 * TOKEN,
        valid_after_s=GENESIS_S - 1,
        valid_before_s=GENESIS_S + 100,
        nonce=b"\x01" * 32,
    )
    return replace(base, **changes)


def test_metadata(world: World):
    """Name, symbol, version, decimals and supply are what the constructor and the minter made."""
    artefact = StableToken.artefact()

    def read(function):
        call = Call(to=world.token.address, data=artefact.call_data(function))
        return artefact.read_result(function, world.evm.call(call))[0]

    assert read("name") == "Test Dollar"
    assert read("symbol") == "USDt"
    assert read("version") == "1"
    assert read("decimals") == 6
    assert read("totalSupply") == 8 * DEPOSIT
    assert read("DOMAIN_SEPARATOR") == world.token_domain.separator


def test_transfer_moves_exactly(world: World):
    """T1, T2: what one loses the other gains, and the event says so."""
    one, other = world.members[:2]
    told = world.told(world.send(one, world.token.transfer(other.address, 7)))
    assert told == [events.Transfer(sender=one.address, receiver=other.address, value=7)]
    assert world.tokens(one.address) == DEPOSIT - 7
    assert world.tokens(other.address) == DEPOSIT + 7
    assert world.token.total_supply().ask(world.evm) == 8 * DEPOSIT


@pytest.mark.parametrize("amount", [0, 1, DEPOSIT])
def test_transfer_bounds(world: World, amount: int):
    """T1: zero, one and everything can be moved, also to oneself."""
    one, other = world.members[:2]
    world.send(one, world.token.transfer(one.address, amount))
    assert world.tokens(one.address) == DEPOSIT
    world.send(one, world.token.transfer(other.address, amount))
    assert world.tokens(other.address) == DEPOSIT + amount


@pytest.mark.parametrize("amount", [DEPOSIT + 1, MAX // 2, MAX])
def test_transfer_beyond_balance(world: World, amount: int):
    one, other = world.members[:2]
    with refused("token: short balance"):
        world.send(one, world.token.transfer(other.address, amount))


def test_bad_receivers(world: World):
    """T9: neither the zero address nor the token itself can receive."""
    for receiver in (ZERO, world.token.address):
        with refused("token: bad receiver"):
            world.send(world.members[0], world.token.transfer(receiver, 1))
        with refused("token: bad receiver"):
            world.send(world.owner, world.token.mint(receiver, 1))


def test_allowance_is_used_up(world: World):
    """T3: what is moved leaves the allowance; one unit beyond it is refused."""
    one, other = world.members[:2]
    spender = world.stranger
    told = world.told(world.send(one, world.token.approve(spender.address, 10)))
    assert told == [events.Approval(owner=one.address, spender=spender.address, value=10)]
    with refused("token: short allowance"):
        world.send(spender, world.token.transfer_from(one.address, other.address, 11))
    world.send(spender, world.token.transfer_from(one.address, other.address, 4))
    assert world.token.allowance(one.address, spender.address).ask(world.evm) == 6
    world.send(spender, world.token.transfer_from(one.address, other.address, 6))
    assert world.token.allowance(one.address, spender.address).ask(world.evm) == 0
    assert world.tokens(other.address) == DEPOSIT + 10


def test_largest_allowance_stays(world: World):
    """T3: the largest allowance is not used up."""
    one, spender = world.members[0], world.stranger
    world.send(one, world.token.approve(spender.address, MAX))
    world.send(spender, world.token.transfer_from(one.address, spender.address, 4))
    assert world.token.allowance(one.address, spender.address).ask(world.evm) == MAX
    world.send(one, world.token.approve(spender.address, MAX - 1))
    world.send(spender, world.token.transfer_from(one.address, spender.address, 4))
    assert world.token.allowance(one.address, spender.address).ask(world.evm) == MAX - 5


def test_mint_and_burn(world: World):
    """T1: supply follows mint and burn exactly, and stays in range."""
    account, minter = world.members[0].address, world.owner
    told = world.told(world.send(minter, world.token.mint(account, 3)))
    assert told == [events.Transfer(sender=ZERO, receiver=account, value=3)]
    assert world.tokens(account) == DEPOSIT + 3
    world.send(minter, world.token.mint(minter.address, 5))
    told = world.told(world.send(minter, world.token.burn(4)))
    assert told == [events.Transfer(sender=minter.address, receiver=ZERO, value=4)]
    assert world.tokens(minter.address) == 1
    assert world.token.total_supply().ask(world.evm) == 8 * DEPOSIT + 4
    with refused("token: short balance"):
        world.send(minter, world.token.burn(2))


def test_supply_stays_below_the_flag(world: World):
    """T1, T6: all tokens together are less than the frozen bit, to the last one."""
    account, minter = world.members[0].address, world.owner
    left = (1 << 255) - 1 - 8 * DEPOSIT
    for too_many in (left + 1, MAX):
        with refused("token: too many"):
            world.send(minter, world.token.mint(account, too_many))
    world.send(minter, world.token.mint(account, left))
    assert world.tokens(account) == left + DEPOSIT
    assert not world.token.is_frozen(account).ask(world.evm)
    with refused("token: too many"):
        world.send(minter, world.token.mint(minter.address, 1))
    world.send(world.members[0], world.token.transfer(minter.address, left + DEPOSIT))
    world.send(minter, world.token.burn(1))
    world.send(minter, world.token.mint(minter.address, 1))


def test_minter_comes_and_goes(world: World):
    minter = world.stranger
    told = world.told(world.send(world.owner, world.token.set_minter(minter.address, allowed=True)))
    assert told == [events.MinterSet(minter=minter.address, allowed=True)]
    world.send(minter, world.token.mint(minter.address, 1))
    world.send(world.owner, world.token.set_minter(minter.address, allowed=False))
    with refused("token: not minter"):
        world.send(minter, world.token.mint(minter.address, 1))
    with refused("token: not minter"):
        world.send(minter, world.token.burn(1))


def test_frozen_account(world: World):
    """T6: it neither sends, receives, spends nor approves; others go on; freeing undoes it."""
    frozen, other, third = world.members[:3]
    world.send(other, world.token.approve(frozen.address, 10))
    world.send(third, world.token.approve(frozen.address, MAX))
    world.send(frozen, world.token.approve(other.address, 10))
    told = world.told(world.send(world.owner, world.token.freeze(frozen.address)))
    assert told == [events.FrozenSet(account=frozen.address, frozen=True)]
    attempts = [
        (frozen, world.token.transfer(other.address, 1)),
        (other, world.token.transfer(frozen.address, 1)),
        (frozen, world.token.transfer_from(other.address, third.address, 1)),
        (frozen, world.token.transfer_from(third.address, other.address, 1)),
        (other, world.token.transfer_from(frozen.address, third.address, 1)),
        (frozen, world.token.approve(other.address, 1)),
        (other, world.token.approve(frozen.address, 1)),
        (world.owner, world.token.mint(frozen.address, 1)),
    ]
    for sender, call in attempts:
        with refused("token: frozen"):
            world.send(sender, call)
    world.send(other, world.token.transfer(third.address, 1))
    world.send(world.owner, world.token.freeze(frozen.address))
    assert world.token.is_frozen(frozen.address).ask(world.evm)
    assert world.tokens(frozen.address) == DEPOSIT
    for _ in range(2):
        told = world.told(world.send(world.owner, world.token.unfreeze(frozen.address)))
    assert told == [events.FrozenSet(account=frozen.address, frozen=False)]
    assert not world.token.is_frozen(frozen.address).ask(world.evm)
    world.send(frozen, world.token.transfer(other.address, 1))
    assert world.tokens(frozen.address) == DEPOSIT - 1


def test_an_empty_account_is_frozen_too(world: World):
    """T6: where there is nothing but the flag."""
    empty, other = world.stranger, world.members[0]
    world.send(world.owner, world.token.freeze(empty.address))
    assert world.token.is_frozen(empty.address).ask(world.evm)
    assert world.tokens(empty.address) == 0
    for sender, call in (
        (empty, world.token.transfer(other.address, 0)),
        (other, world.token.transfer(empty.address, 0)),
        (empty, world.token.approve(other.address, 1)),
        (other, world.token.approve(empty.address, 1)),
        (empty, world.token.transfer_from(other.address, other.address, 0)),
    ):
        with refused("token: frozen"):
            world.send(sender, call)


def test_movements_answer_true(world: World):
    """ERC-20: whoever reads the answer of a call that did not revert finds true."""
    one, other = world.members[:2]
    for sender, call in (
        (one, world.token.approve(other.address, 1)),
        (one, world.token.transfer(other.address, 1)),
        (other, world.token.transfer_from(one.address, other.address, 1)),
    ):
        assert int.from_bytes(world.send(sender, call).output, "big") == 1


def test_frozen_minter_cannot_burn(world: World):
    world.send(world.owner, world.token.mint(world.owner.address, 1))
    world.send(world.owner, world.token.freeze(world.owner.address))
    with refused("token: frozen"):
        world.send(world.owner, world.token.burn(1))


def test_frozen_signer(world: World):
    """T6: a permit or authorisation of a frozen account is refused too."""
    holder, other = world.members[:2]
    world.send(world.owner, world.token.freeze(holder.address))
    with refused("token: frozen"):
        world.send(other, permit(world))
    granted = given_by(world)
    signature = holder.sign(typed_data.transfer_digest(world.token_domain, granted)).octets
    with refused("token: frozen"):
        world.send(other, world.token.transfer_with_authorization(granted, signature))


def test_pause(world: World):
    """T7: nothing moves and nothing is approved; administration goes on; resuming undoes it."""
    one, other = world.members[:2]
    granted = given_by(world)
    signature = one.sign(typed_data.transfer_digest(world.token_domain, granted)).octets
    cancel = one.sign(
        typed_data.cancel_digest(world.token_domain, authorizer=one.address, nonce=granted.nonce)
    ).octets
    calls = [
        (one, world.token.transfer(other.address, 1)),
        (world.house_as_signer, world.token.transfer_from(one.address, other.address, 1)),
        (one, world.token.approve(other.address, 1)),
        (other, permit(world)),
        (other, world.token.transfer_with_authorization(granted, signature)),
        (other, world.token.cancel_authorization(one.address, granted.nonce, cancel)),
        (world.owner, world.token.mint(one.address, 1)),
        (world.owner, world.token.burn(0)),
    ]
    told = world.told(world.send(world.owner, world.token.set_paused(paused=True)))
    assert told == [events.PausedSet(paused=True)]
    for sender, call in calls:
        with refused("token: paused"):
            world.send(sender, call)
    world.send(world.owner, world.token.freeze(other.address))
    world.send(world.owner, world.token.unfreeze(other.address))
    told = world.told(world.send(world.owner, world.token.set_paused(paused=False)))
    assert told == [events.PausedSet(paused=False)]
    for sender, call in calls[:5]:
        world.send(sender, call)


def permit(world: World, *, forge=lambda octets: octets, signer=None, nonce=0, **changes) -> Call:
    holder, spender = world.members[:2]
    fields = {
        "owner": holder.address,
        "spender": spender.address,
        "amount": 77,
        "deadline": GENESIS_S,
    }
    digest = typed_data.permit_digest(
        world.token_domain,
        owner=fields["owner"],
        spender=fields["spender"],
        amount_minor=fields["amount"],
        nonce=nonce,
        deadline_s=fields["deadline"],
    )
    signature = forge((signer or holder).sign(digest).octets)
    return world.token.permit(**{**fields, "signature": signature, **changes})


def test_permit_counts_once(world: World):
    """T4: the allowance is set, the nonce moves, the same permit is refused after."""
    holder, spender = world.members[:2]
    told = world.told(world.send(world.stranger, permit(world)))
    assert told == [events.Approval(owner=holder.address, spender=spender.address, value=77)]
    assert world.token.allowance(holder.address, spender.address).ask(world.evm) == 77
    assert world.token.nonce(holder.address).ask(world.evm) == 1
    with refused("permit: bad signature"):
        world.send(world.stranger, permit(world))
    for nonce in (1, 2):
        world.send(world.stranger, permit(world, nonce=nonce))


def test_permit_deadline(world: World):
    """T4: the deadline's second is the last one."""
    call = permit(world)
    world.evm.pass_time(1)
    with refused("permit: expired"):
        world.send(world.stranger, call)


@pytest.mark.parametrize(
    "changes", [{"amount": 78}, {"deadline": GENESIS_S + 1}, {"spender": key("x").address}]
)
def test_permit_binds_every_field(world: World, changes):
    with refused("permit: bad signature"):
        world.send(world.stranger, permit(world, **changes))


def test_permit_forged(world: World):
    """T2, T4: another key, a malleable or a broken signature, the zero address as owner."""
    forgeries = [
        {"signer": world.stranger},
        {"forge": malleable},
        {"forge": lambda octets: octets[:64] + bytes((octets[64] - 27,))},
        {"forge": lambda octets: bytes(64) + b"\x1b"},
        {"owner": ZERO, "forge": lambda octets: bytes(64) + b"\x1b"},
    ]
    for forgery in forgeries:
        with refused("permit: bad signature"):
            world.send(world.stranger, permit(world, **forgery))


def test_authorised_transfer_counts_once(world: World):
    """T5: anybody submits it, once."""
    holder, other = world.members[:2]
    granted = given_by(world)
    signature = holder.sign(typed_data.transfer_digest(world.token_domain, granted)).octets
    call = world.token.transfer_with_authorization(granted, signature)
    told = world.told(world.send(world.stranger, call))
    used = events.AuthorizationUsed(authorizer=holder.address, nonce=granted.nonce)
    moved = events.Transfer(sender=holder.address, receiver=other.address, value=5 * TOKEN)
    assert told == [used, moved]
    assert world.token.authorization_used(holder.address, granted.nonce).ask(world.evm)
    with refused("authorization: used"):
        world.send(world.stranger, call)


def test_authorised_receipt_is_the_receivers(world: World):
    """T5: only the receiver submits it, once; its signature is no transfer."""
    holder, other = world.members[:2]
    granted = given_by(world)
    signature = holder.sign(typed_data.receive_digest(world.token_domain, granted)).octets
    call = world.token.receive_with_authorization(granted, signature)
    with refused("authorization: not receiver"):
        world.send(world.stranger, call)
    with refused("authorization: bad signature"):
        world.send(other, world.token.transfer_with_authorization(granted, signature))
    world.send(other, call)
    assert world.tokens(other.address) == DEPOSIT + 5 * TOKEN
    with refused("authorization: used"):
        world.send(other, call)


def test_authorisation_times_are_exclusive(world: World):
    """T5: strictly after the first and strictly before the second time (ERC-3009)."""
    holder, other = world.members[:2]
    for name, changes in (
        ("authorization: not yet", {"valid_after_s": GENESIS_S}),
        ("authorization: not yet", {"valid_after_s": GENESIS_S + 1}),
        ("authorization: expired", {"valid_before_s": GENESIS_S}),
        ("authorization: expired", {"valid_before_s": GENESIS_S - 1}),
    ):
        granted = given_by(world, **changes)
        signature = holder.sign(typed_data.receive_digest(world.token_domain, granted)).octets
        with refused(name):
            world.send(other, world.token.receive_with_authorization(granted, signature))
    granted = given_by(world, valid_after_s=GENESIS_S - 1, valid_before_s=GENESIS_S + 1)
    signature = holder.sign(typed_data.receive_digest(world.token_domain, granted)).octets
    world.send(other, world.token.receive_with_authorization(granted, signature))


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 6},
        {"receiver": key("x").address},
        {"sender": key("x").address},
        {"valid_after_s": 0},
        {"valid_before_s": MAX},
        {"nonce": b"\x02" * 32},
    ],
)
def test_authorisation_binds_every_field(world: World, changes):
    granted = given_by(world)
    signature = (
        world.members[0].sign(typed_data.transfer_digest(world.token_domain, granted)).octets
    )
    call = world.token.transfer_with_authorization(replace(granted, **changes), signature)
    with refused("authorization: bad signature"):
        world.send(world.stranger, call)


@pytest.mark.parametrize(
    "forge",
    [
        malleable,
        lambda octets: octets[:64],
        lambda octets: b"",
        lambda octets: octets[:64] + b"\x1d",
        lambda octets: bytes(65),
        lambda octets: bytes(64) + b"\x1b",
        lambda octets: octets[:32] + (HALF_ORDER + 1).to_bytes(32, "big") + octets[64:],
    ],
)
def test_authorisation_forged(world: World, forge):
    """T5: malleable, short, empty and broken signatures; the zero address signs nothing."""
    granted = given_by(world)
    signature = (
        world.members[0].sign(typed_data.transfer_digest(world.token_domain, granted)).octets
    )
    for claimed in (granted, replace(granted, sender=ZERO)):
        with refused("authorization: bad signature"):
            world.send(
                world.stranger, world.token.transfer_with_authorization(claimed, forge(signature))
            )


def test_a_split_signature_is_the_same_signature(world: World):
    """T5: ERC-3009's form with v, r, s does what the other does, and one nonce serves once."""
    holder, other = world.members[:2]
    granted = given_by(world)
    signature = holder.sign(typed_data.transfer_digest(world.token_domain, granted)).octets
    split = world.token.transfer_with_split_signature(granted, signature)
    whole = world.token.transfer_with_authorization(granted, signature)
    outcomes = []
    for first, second in ((split, whole), (whole, split)):
        with world.evm.anchor():
            outcomes.append(world.told(world.send(world.stranger, first)))
            assert world.tokens(other.address) == DEPOSIT + 5 * TOKEN
            for again in (first, second):
                with refused("authorization: used"):
                    world.send(world.stranger, again)
    assert outcomes[0] == outcomes[1]


def test_a_split_receipt_is_the_receivers(world: World):
    """T5: as with the other form, only the receiver submits it, once, and it is no transfer."""
    holder, other = world.members[:2]
    granted = given_by(world)
    signature = holder.sign(typed_data.receive_digest(world.token_domain, granted)).octets
    call = world.token.receive_with_split_signature(granted, signature)
    with refused("authorization: not receiver"):
        world.send(world.stranger, call)
    with refused("authorization: bad signature"):
        world.send(other, world.token.transfer_with_split_signature(granted, signature))
    world.send(other, call)
    assert world.tokens(other.address) == DEPOSIT + 5 * TOKEN
    with refused("authorization: used"):
        world.send(other, world.token.receive_with_authorization(granted, signature))


def test_a_split_cancellation(world: World):
    """T5, T7: it cancels what both forms transfer; not while paused."""
    holder = world.members[0]
    granted = given_by(world)
    cancel = typed_data.cancel_digest(
        world.token_domain, authorizer=holder.address, nonce=granted.nonce
    )
    forged = world.token.cancel_with_split_signature(
        holder.address, granted.nonce, world.stranger.sign(cancel).octets
    )
    with refused("authorization: bad signature"):
        world.send(world.stranger, forged)
    call = world.token.cancel_with_split_signature(
        holder.address, granted.nonce, holder.sign(cancel).octets
    )
    world.send(world.owner, world.token.set_paused(paused=True))
    with refused("token: paused"):
        world.send(world.stranger, call)
    world.send(world.owner, world.token.set_paused(paused=False))
    told = world.told(world.send(world.stranger, call))
    assert told == [events.AuthorizationCanceled(authorizer=holder.address, nonce=granted.nonce)]
    signature = holder.sign(typed_data.transfer_digest(world.token_domain, granted)).octets
    for taken in (
        world.token.transfer_with_authorization(granted, signature),
        world.token.transfer_with_split_signature(granted, signature),
    ):
        with refused("authorization: used"):
            world.send(world.stranger, taken)


WORD = 32
SPLIT_V = 4 + 6 * WORD
"""Where the split form has its `v`."""


def test_split_arguments_are_read_strictly(world: World):
    """T5: what is too short or too large for its type reverts; marks behind it are no matter."""
    holder, other = world.members[:2]
    granted = given_by(world)
    signature = holder.sign(typed_data.transfer_digest(world.token_domain, granted)).octets
    call = world.token.transfer_with_split_signature(granted, signature)
    data = call.data
    broken = [
        b"",
        data[:3],
        data[:4],
        data[:-1],
        b"\x00\x00\x00\x00" + data[4:],
        data[:4] + b"\x01" + data[5:],
        data[: 4 + WORD] + b"\x01" + data[5 + WORD :],
        data[: SPLIT_V + 30] + b"\x01" + data[SPLIT_V + 31 :],
    ]
    for changed in broken:
        with refused(None):
            world.send(world.stranger, replace(call, data=changed))
    world.send(world.stranger, replace(call, data=data + b"mark" * 9))
    assert world.tokens(other.address) == DEPOSIT + 5 * TOKEN


@pytest.mark.parametrize(
    "forge",
    [
        malleable,
        lambda octets: octets[:64] + b"\x1d",
        lambda octets: octets[:64] + bytes((octets[64] - 27,)),
        lambda octets: octets[32:64] + octets[:32] + octets[64:],
        lambda octets: bytes(65),
    ],
)
def test_a_split_signature_forged(world: World, forge):
    """T2, T5: malleable, swapped and broken parts; the zero address signs nothing."""
    granted = given_by(world)
    digest = typed_data.transfer_digest(world.token_domain, granted)
    signature = forge(world.members[0].sign(digest).octets)
    for claimed in (granted, replace(granted, sender=ZERO)):
        with refused("authorization: bad signature"):
            world.send(
                world.stranger, world.token.transfer_with_split_signature(claimed, signature)
            )


def test_authorisation_cancelled(world: World):
    """T5: a cancelled nonce is used up, and cancels once."""
    holder = world.members[0]
    granted = given_by(world)
    digest = typed_data.cancel_digest(
        world.token_domain, authorizer=holder.address, nonce=granted.nonce
    )
    wrong = world.stranger.sign(digest).octets
    with refused("authorization: bad signature"):
        world.send(
            world.stranger, world.token.cancel_authorization(holder.address, granted.nonce, wrong)
        )
    call = world.token.cancel_authorization(
        holder.address, granted.nonce, holder.sign(digest).octets
    )
    told = world.told(world.send(world.stranger, call))
    assert told == [events.AuthorizationCanceled(authorizer=holder.address, nonce=granted.nonce)]
    with refused("authorization: used"):
        world.send(world.stranger, call)
    signature = holder.sign(typed_data.transfer_digest(world.token_domain, granted)).octets
    with refused("authorization: used"):
        world.send(world.stranger, world.token.transfer_with_authorization(granted, signature))


def test_no_replay_on_another_chain(world: World):
    """T8: after a fork the separator is another one and old signatures count no more."""
    granted = given_by(world)
    signature = (
        world.members[0].sign(typed_data.transfer_digest(world.token_domain, granted)).octets
    )
    old_permit = permit(world)
    world.evm.set_chain_id(world.evm.chain_id + 1)
    with refused("authorization: bad signature"):
        world.send(world.stranger, world.token.transfer_with_authorization(granted, signature))
    with refused("permit: bad signature"):
        world.send(world.stranger, old_permit)
    assert world.token_domain.chain_id == world.evm.chain_id
    world.send(world.stranger, permit(world))


def test_no_replay_at_another_address(world: World):
    """T8: a copy of the code has a domain of its own."""
    copy = StableToken(key("copy").address)
    world.evm.copy_code(world.token.address, copy.address)
    domain = copy.signing_domain().ask(world.evm)
    assert domain.contract == copy.address
    assert domain.separator != world.token_domain.separator
    call = Call(to=copy.address, data=StableToken.artefact().call_data("DOMAIN_SEPARATOR"))
    assert world.evm.call(call) == domain.separator
    granted = given_by(world, amount_minor=0)
    old = world.members[0].sign(typed_data.transfer_digest(world.token_domain, granted)).octets
    with refused("authorization: bad signature"):
        world.send(world.stranger, copy.transfer_with_authorization(granted, old))
    new = world.members[0].sign(typed_data.transfer_digest(domain, granted)).octets
    world.send(world.stranger, copy.transfer_with_authorization(granted, new))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2 * DEPOSIT))))
def test_supply_is_the_sum(moves):
    """T1: whatever is tried, the sum of all balances is the supply."""
    world = World()
    for sender, receiver, amount in moves:
        one, other = world.members[sender], world.members[receiver]
        if amount > world.tokens(one.address):
            with refused("token: short balance"):
                world.send(one, world.token.transfer(other.address, amount))
        else:
            world.send(one, world.token.transfer(other.address, amount))
    holders = [m.address for m in world.members] + [world.house.address]
    assert sum(map(world.tokens, holders)) == world.token.total_supply().ask(world.evm)
