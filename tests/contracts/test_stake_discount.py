"""The stake for discount, invariant by invariant (StakeDiscount.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_evm import FAR_S, MAX, ZERO, logs_of, refused, vyper
from contract_stake import CAP_PPM, DAY_S, PURSE, SALT, TIERS, TOKEN, StakeWorld
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.chain import events, typed_data
from opencarrier.chain.contracts import LOCK_MAX_S, Stake, StakeDiscount, Tier
from opencarrier.chain.model import Call
from opencarrier.staking.rules import discount_ppm

NONE = Stake(amount=0, lock_s=0, committed_at=0, unlock_at=0)
MONTH_S, YEAR_S = 30 * DAY_S, 365 * DAY_S
AMOUNT_MAX = (1 << 160) - 1


def test_a_stake_and_its_way_home(stakers: StakeWorld):
    """S2, S3, S10: locked to the second, paid to the unit, once, whoever asks."""
    world, (alice, *_) = stakers, stakers.accounts
    start = world.evm.now_s
    told = world.told(world.send(alice, world.stakes.stake(100 * TOKEN, MONTH_S)))
    committed = events.StakeCommitted(
        account=alice.address,
        added=100 * TOKEN,
        amount=100 * TOKEN,
        lock_s=MONTH_S,
        unlock_at=start + MONTH_S,
        total=100 * TOKEN,
    )
    assert told[0] == committed
    held = Stake(amount=100 * TOKEN, lock_s=MONTH_S, committed_at=start, unlock_at=start + MONTH_S)
    assert world.ask(world.stakes.stake_of(alice.address)) == held
    assert world.ask(world.stakes.total_staked()) == 100 * TOKEN
    world.evm.pass_time(MONTH_S - 1)
    for sender in (alice, world.stranger, world.owner):
        with refused("stake: locked"):
            world.send(sender, world.stakes.withdraw(alice.address))
    world.evm.pass_time(1)
    outcome = world.send(world.stranger, world.stakes.withdraw(alice.address))
    assert int.from_bytes(outcome.output, "big") == 100 * TOKEN
    assert world.told(outcome)[0] == events.StakeWithdrawn(
        account=alice.address, amount=100 * TOKEN, withdrawn_at=start + MONTH_S, total=0
    )
    assert world.tokens(alice.address) == PURSE
    assert world.tokens(world.stakes.address) == 0
    assert world.ask(world.stakes.stake_of(alice.address)) == NONE
    assert world.ask(world.stakes.total_staked()) == 0
    with refused("stake: none"):
        world.send(alice, world.stakes.withdraw(alice.address))


def test_every_commitment_locks_everything_anew(stakers: StakeWorld):
    """S8: increase for as long as before, extend and stake for no shorter, all from now."""
    world, (alice, *_) = stakers, stakers.accounts
    world.send(alice, world.stakes.stake(100 * TOKEN, MONTH_S))
    for call, amount, lock_s in (
        (world.stakes.increase(900 * TOKEN), 1_000 * TOKEN, MONTH_S),
        (world.stakes.extend(MONTH_S), 1_000 * TOKEN, MONTH_S),
        (world.stakes.extend(MONTH_S + 1), 1_000 * TOKEN, MONTH_S + 1),
        (world.stakes.stake(5, YEAR_S), 1_000 * TOKEN + 5, YEAR_S),
    ):
        world.evm.pass_time(100)
        world.send(alice, call)
        now = world.evm.now_s
        assert world.ask(world.stakes.stake_of(alice.address)) == Stake(
            amount=amount, lock_s=lock_s, committed_at=now, unlock_at=now + lock_s
        )
        assert world.ask(world.stakes.total_staked()) == amount
        assert world.tokens(world.stakes.address) == amount
    for call in (world.stakes.extend(YEAR_S - 1), world.stakes.stake(1, YEAR_S - 1)):
        with refused("lock: shorter"):
            world.send(alice, call)


def test_an_ended_lock_can_be_renewed(stakers: StakeWorld):
    world, (alice, *_) = stakers, stakers.accounts
    world.send(alice, world.stakes.stake(100 * TOKEN, MONTH_S))
    world.evm.pass_time(2 * MONTH_S)
    world.send(alice, world.stakes.extend(MONTH_S))
    world.evm.pass_time(MONTH_S - 1)
    with refused("stake: locked"):
        world.send(alice, world.stakes.withdraw(alice.address))


def test_a_shorter_lock_after_a_withdrawal(stakers: StakeWorld):
    """What was withdrawn binds no later stake."""
    world, (alice, *_) = stakers, stakers.accounts
    world.send(alice, world.stakes.stake(7, MONTH_S))
    world.evm.pass_time(MONTH_S)
    world.send(alice, world.stakes.withdraw(alice.address))
    world.send(alice, world.stakes.stake(8, 1))
    assert world.ask(world.stakes.stake_of(alice.address)).lock_s == 1


def test_what_cannot_be_committed(stakers: StakeWorld):
    world, (alice, *_) = stakers, stakers.accounts
    stakes = world.stakes
    for reason, call in (
        ("amount: zero", stakes.stake(0, MONTH_S)),
        ("amount: zero", stakes.increase(0)),
        ("stake: none", stakes.increase(1)),
        ("stake: none", stakes.extend(MONTH_S)),
        ("lock: out of range", stakes.stake(1, 0)),
        ("lock: out of range", stakes.stake(1, LOCK_MAX_S + 1)),
        ("lock: out of range", stakes.stake(1, MAX)),
        ("amount: too large", stakes.stake(AMOUNT_MAX + 1, 1)),
        ("amount: too large", stakes.stake(MAX, 1)),
        ("token: short balance", stakes.stake(PURSE + 1, 1)),
        ("token: short balance", stakes.stake(AMOUNT_MAX, 1)),
    ):
        with refused(reason):
            world.send(alice, call)
    world.send(alice, stakes.stake(1, LOCK_MAX_S))
    with refused(None):
        world.send(alice, stakes.increase(MAX))
    with refused("amount: too large"):
        world.send(alice, stakes.increase(AMOUNT_MAX))
    with refused("token: short allowance"):
        world.send(world.stranger, stakes.stake(1, 1))


def test_the_sum_has_its_bound(stakers: StakeWorld):
    """All stakes together fit 160 bits, whatever the token says."""
    stakes = stakers.deploy(vyper(LYING, sender=stakers.owner.address, evm=stakers.evm))
    alice, bob, _ = stakers.accounts
    stakers.send(alice, stakes.stake(AMOUNT_MAX - 1, 1))
    with refused("amount: too large"):
        stakers.send(bob, stakes.stake(2, 1))
    stakers.send(bob, stakes.stake(1, 1))
    assert stakes.total_staked().ask(stakers.evm) == AMOUNT_MAX


LYING = """
# pragma version 0.4.3
balanceOf: public(HashMap[address, uint256])

@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    self.balanceOf[receiver] += amount
    return True
"""
"""A token that makes itself."""


# The past


def test_the_past_is_read_to_the_second(stakers: StakeWorld):
    """S6, S9: before, in and after a commitment's second; nothing from the end on."""
    world, (alice, bob, _) = stakers, stakers.accounts
    stakes = world.stakes
    first = world.evm.now_s
    world.send(alice, stakes.stake(100 * TOKEN, MONTH_S))
    world.evm.pass_time(10)
    world.send(alice, stakes.extend(YEAR_S))
    world.send(bob, stakes.stake(7 * TOKEN, 5))
    second = world.evm.now_s
    world.evm.pass_time(YEAR_S + 1)
    told = world.told(world.send(alice, stakes.withdraw(alice.address)))
    third = world.evm.now_s
    assert told[0].withdrawn_at == third
    world.evm.pass_time(1)
    month = Stake(amount=100 * TOKEN, lock_s=MONTH_S, committed_at=first, unlock_at=first + MONTH_S)
    year = replace(month, lock_s=YEAR_S, committed_at=second, unlock_at=second + YEAR_S)
    for at, stake, total, ppm in (
        (0, NONE, 0, 0),
        (first - 1, NONE, 0, 0),
        (first, month, 100, 50_000),
        (second - 1, month, 100, 50_000),
        (second, year, 107, 100_000),
        (third - 2, year, 107, 100_000),
        (third - 1, year, 107, 0),
        (third, NONE, 7, 0),
    ):
        locked = stake.amount if at < stake.unlock_at else 0
        assert world.ask(stakes.stake_at(alice.address, at)) == stake
        assert world.ask(stakes.total_at(at)) == total * TOKEN
        assert world.ask(stakes.past_total_supply(at)) == total * TOKEN
        assert world.ask(stakes.discount_ppm_at(alice.address, at)) == ppm
        assert world.ask(stakes.past_votes(alice.address, at)) == locked
        assert world.ask(stakes.spend_cap_at(alice.address, at)) == locked * CAP_PPM // 1_000_000
    for at, votes in ((second + 4, 7 * TOKEN), (second + 5, 0), (third, 0)):
        assert world.ask(stakes.past_votes(bob.address, at)) == votes
    assert world.ask(stakes.stake_at(bob.address, third)).amount == 7 * TOKEN


def test_only_the_past_is_read(stakers: StakeWorld):
    """S6: a second that is not over may still change."""
    world, (alice, *_) = stakers, stakers.accounts
    stakes, account = world.stakes, alice.address
    world.send(alice, stakes.stake(1, 1))
    now = world.evm.now_s
    for at in (now, now + 1, MAX):
        for query in (
            stakes.stake_at(account, at),
            stakes.total_at(at),
            stakes.discount_ppm_at(account, at),
            stakes.spend_cap_at(account, at),
            stakes.past_votes(account, at),
            stakes.past_total_supply(at),
        ):
            with refused("timepoint: not past"):
                world.ask(query)
    world.ask(stakes.stake_at(account, now - 1))


def test_the_last_of_a_second_stays(stakers: StakeWorld):
    """S6: commitments of one second leave one checkpoint."""
    world, (alice, bob, _) = stakers, stakers.accounts
    world.send(bob, world.stakes.stake(1, 1))
    world.evm.pass_time(10)
    at = world.evm.now_s
    for call in (
        world.stakes.stake(5, 10),
        world.stakes.increase(6),
        world.stakes.extend(20),
        world.stakes.stake(1, 30),
    ):
        world.send(alice, call)
    world.send(alice, world.stakes.withdraw(bob.address))
    world.evm.pass_time(1)
    assert world.ask(world.stakes.stake_at(alice.address, at - 1)) == NONE
    assert world.ask(world.stakes.total_at(at - 1)) == 1
    assert world.ask(world.stakes.checkpoint_count(alice.address)) == 1
    assert world.ask(world.stakes.checkpoint_count(bob.address)) == 2
    assert world.ask(world.stakes.checkpoint_count(world.stranger.address)) == 0
    held = Stake(amount=12, lock_s=30, committed_at=at, unlock_at=at + 30)
    assert world.ask(world.stakes.stake_at(alice.address, at)) == held
    assert world.ask(world.stakes.total_at(at)) == 12


def test_a_clock_of_seconds(stakers: StakeWorld):
    """ERC-6372, ERC-5805: what a Governor asks."""
    world, (alice, *_) = stakers, stakers.accounts
    assert world.ask(world.stakes.clock()) == world.evm.now_s
    assert world.ask(world.stakes.clock_mode()) == "mode=timestamp"
    world.send(alice, world.stakes.stake(5, 10))
    assert world.ask(world.stakes.votes(alice.address)) == 5
    world.evm.pass_time(9)
    assert world.ask(world.stakes.votes(alice.address)) == 5
    for _ in range(2):
        world.evm.pass_time(1)
        assert world.ask(world.stakes.votes(alice.address)) == 0


# The tiers


def test_tiers_at_their_edges(stakers: StakeWorld):
    """S7: each bound counts from exactly there."""
    world, month, year = stakers, MONTH_S, YEAR_S
    hundred, thousand = 100 * TOKEN, 1_000 * TOKEN
    for amount, lock_s, ppm in (
        (0, 0, 0),
        (hundred - 1, year, 0),
        (hundred, month - 1, 0),
        (hundred, month, 50_000),
        (thousand - 1, year - 1, 50_000),
        (thousand, month, 80_000),
        (hundred, year, 100_000),
        (thousand, year - 1, 80_000),
        (thousand, year, 200_000),
        (MAX, MAX, 200_000),
    ):
        assert world.ask(world.stakes.tier_discount_ppm(amount, lock_s)) == ppm
    assert world.ask(world.stakes.tiers()) == TIERS
    assert world.ask(world.stakes.cap_ppm()) == CAP_PPM
    assert world.ask(world.stakes.token()) == world.token.address


tiers_strategy = st.lists(
    st.tuples(st.integers(1, 1_000), st.integers(1, 1_000)), min_size=1, max_size=16
).flatmap(
    lambda rows: st.lists(
        st.integers(1, 1_000_000), min_size=len(rows), max_size=len(rows), unique=True
    ).map(
        lambda discounts: tuple(
            Tier(min_amount=a, min_lock_s=s, discount_ppm=p)
            for (a, s), p in zip(rows, sorted(discounts), strict=True)
        )
    )
)
probes = st.lists(st.tuples(st.integers(0, 1_001), st.integers(0, 1_001)), max_size=6)


@settings(max_examples=20, deadline=None)
@given(tiers_strategy, probes)
def test_the_tier_function_and_its_twin(deployed: StakeWorld, tiers, asked):
    """S7: contract and Python agree, and no more of either bound means less discount."""
    world = deployed
    stakes = world.deploy(world.token.address, tiers)
    told = {probe: stakes.tier_discount_ppm(*probe).ask(world.evm) for probe in asked}
    for (amount, lock_s), ppm in told.items():
        assert ppm == discount_ppm(tiers, amount, lock_s)
        assert 0 <= ppm <= tiers[-1].discount_ppm <= 1_000_000
        for (other_amount, other_lock_s), other in told.items():
            if other_amount >= amount and other_lock_s >= lock_s:
                assert other >= ppm


@pytest.fixture(scope="module")
def deployed() -> StakeWorld:
    return StakeWorld()


def test_tiers_that_make_no_sense(stakers: StakeWorld):
    world, good = stakers, TIERS[0]
    for reason, tiers in (
        ("tiers: order", (good, good)),
        ("tiers: order", (TIERS[1], TIERS[0])),
        ("tiers: order", (replace(good, discount_ppm=0),)),
        ("tiers: discount", (replace(good, discount_ppm=1_000_001),)),
        ("tiers: amount", (replace(good, min_amount=0),)),
        ("tiers: amount", (replace(good, min_amount=AMOUNT_MAX + 1),)),
        ("tiers: amount", (replace(good, min_amount=MAX),)),
        ("tiers: lock", (replace(good, min_lock_s=0),)),
        ("tiers: lock", (replace(good, min_lock_s=LOCK_MAX_S + 1),)),
    ):
        with refused(reason):
            world.deploy(world.token.address, tiers)
    data = StakeDiscount.artefact().creation_code(world.token.address, [], 0)
    with refused("tiers: none"):
        world.evm.deploy(world.owner.address, Call(to=None, data=data))
    with pytest.raises(AssertionError):
        world.deploy(world.token.address, ())
    with refused("address: zero"):
        world.deploy(ZERO)
    with refused("cap: too large"):
        world.deploy(world.token.address, cap_ppm=1_000_000_001)
    widest = Tier(min_amount=AMOUNT_MAX, min_lock_s=LOCK_MAX_S, discount_ppm=1_000_000)
    assert world.ask(world.deploy(world.token.address, (widest,), 10**9).tiers()) == (widest,)


def test_a_tier_list_has_an_end(stakers: StakeWorld):
    """S11: sixteen tiers are taken; one more does not decode."""
    rows = [(1, 1, ppm) for ppm in range(1, 18)]

    def deploy(tiers: list[tuple[int, int, int]]) -> None:
        data = StakeDiscount.artefact().creation_code(stakers.token.address, tiers, 0)
        stakers.evm.deploy(stakers.owner.address, Call(to=None, data=data))

    deploy(rows[:16])
    with refused(None):
        deploy(rows)


def test_the_largest_stake(stakers: StakeWorld):
    """The cap of the largest stake there can be does not overflow; no cap is a cap, too."""
    account = stakers.accounts[0]
    lie = vyper(LYING, sender=stakers.owner.address, evm=stakers.evm)
    for cap_ppm in (10**9, 1, 0):
        stakes = stakers.deploy(lie, cap_ppm=cap_ppm)
        at = stakers.evm.now_s
        stakers.send(account, stakes.stake(AMOUNT_MAX, LOCK_MAX_S))
        stakers.evm.pass_time(1)
        cap = stakes.spend_cap_at(account.address, at).ask(stakers.evm)
        assert cap == AMOUNT_MAX * cap_ppm // 1_000_000
        held = stakes.stake_at(account.address, at).ask(stakers.evm)
        assert (held.amount, held.lock_s) == (AMOUNT_MAX, LOCK_MAX_S)


def test_deployment_tells_its_terms(stakers: StakeWorld):
    """S10: tiers and cap stand in the log, in order."""
    world = stakers
    call = StakeDiscount.deployment(token=world.token.address, tiers=TIERS, cap_ppm=CAP_PPM)
    address, ran = world.evm.env.deploy(sender=world.owner.address, bytecode=call.data)
    stakes = StakeDiscount(str(address).lower())
    told = [stakes.event(log) for log in logs_of(ran)]
    assert told == [
        events.SpendCapSet(cap_ppm=CAP_PPM),
        *(
            events.TierSet(
                min_amount=tier.min_amount,
                min_lock_s=tier.min_lock_s,
                discount_ppm=tier.discount_ppm,
            )
            for tier in TIERS
        ),
    ]


# By signature


def test_by_signature(stakers: StakeWorld):
    """S5: once, by the account, for exactly this, here."""
    world, (alice, bob, _) = stakers, stakers.accounts
    call = world.signed(alice, 100, MONTH_S)
    world.send(world.stranger, call)
    assert world.ask(world.stakes.stake_of(alice.address)).amount == 100
    assert world.ask(world.stakes.nonce(alice.address)) == 1
    with refused("signature: bad"):
        world.send(world.stranger, call)
    world.evm.pass_time(5)
    world.send(world.stranger, world.signed(alice, 0, MONTH_S, nonce=1))
    assert world.ask(world.stakes.stake_of(alice.address)).committed_at == world.evm.now_s
    assert world.tokens(alice.address) == PURSE - 100
    with refused("lock: shorter"):
        world.send(world.stranger, world.signed(alice, 1, MONTH_S - 1, nonce=2))
    with world.evm.anchor():
        world.send(world.stranger, world.signed(alice, 1, MONTH_S, nonce=2))
        assert world.tokens(alice.address) == PURSE - 101
    with refused("stake: none"):
        world.send(world.stranger, world.signed(bob, 0, MONTH_S))
    with refused("signature: bad"):
        world.send(world.stranger, world.signed(bob, 1, MONTH_S, nonce=1))
    with refused("signature: bad"):
        world.send(bob, world.signed(alice, 1, MONTH_S, nonce=2, signer=bob))


@pytest.mark.parametrize("changed", ["account", "amount", "lock_s", "deadline"])
def test_nothing_signed_can_be_changed(stakers: StakeWorld, changed: str):
    """S5: nobody stakes more, longer, later or for another than was signed."""
    world, (alice, bob, _) = stakers, stakers.accounts
    digest = typed_data.stake_digest(
        world.domain,
        account=alice.address,
        amount_minor=5,
        lock_s=6,
        nonce=0,
        deadline_s=FAR_S,
    )
    terms = {"account": alice.address, "amount": 5, "lock_s": 6, "deadline": FAR_S}
    other = {"account": bob.address, "amount": 6, "lock_s": 7, "deadline": FAR_S + 1}
    signature = alice.sign(digest).octets
    changed_terms = {**terms, changed: other[changed]}
    with refused("signature: bad"):
        world.send(
            world.stranger, world.stakes.stake_by_signature(**changed_terms, signature=signature)
        )
    world.send(world.stranger, world.stakes.stake_by_signature(**terms, signature=signature))


def test_an_extension_asks_nothing_of_the_token(stakers: StakeWorld):
    """S5: by call or by signature; not even for an approval of nothing."""
    world, (alice, *_) = stakers, stakers.accounts
    world.send(alice, world.stakes.stake(5, 1))
    world.send(world.owner, world.token.set_paused(paused=True))
    world.send(alice, world.stakes.extend(2))
    world.send(world.stranger, world.signed(alice, 0, 3))
    assert world.ask(world.stakes.stake_of(alice.address)).lock_s == 3


def test_signatures_end(stakers: StakeWorld):
    """S5: the deadline's second counts, the next does not."""
    world, (alice, *_) = stakers, stakers.accounts
    call = world.signed(alice, 1, MONTH_S, deadline=world.evm.now_s + 10)
    world.evm.pass_time(10)
    with world.evm.anchor():
        world.send(world.stranger, call)
    world.evm.pass_time(1)
    with refused("signature: expired"):
        world.send(world.stranger, call)


def test_signatures_count_here_only(stakers: StakeWorld):
    """S5: another contract's, another chain's, a high s, the zero address's."""
    world, (alice, *_) = stakers, stakers.accounts
    twin = world.deploy(world.token.address)
    for domain in (twin.signing_domain(world.evm.chain_id), world.stakes.signing_domain(5)):
        with refused("signature: bad"):
            world.send(world.stranger, world.signed(alice, 1, 1, domain=domain))
    good = world.signed(alice, 1, 1)
    start = good.data.rindex((65).to_bytes(32, "big")) + 32
    r, s, v = (
        good.data[start : start + 32],
        good.data[start + 32 : start + 64],
        good.data[start + 64],
    )
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = r + (order - int.from_bytes(s, "big")).to_bytes(32, "big") + bytes((55 - v,))
    for signature in (high, high[:64], b""):
        call = world.stakes.stake_by_signature(
            account=alice.address, amount=1, lock_s=1, deadline=FAR_S, signature=signature
        )
        with refused("signature: bad"):
            world.send(world.stranger, call)
    nobody = world.stakes.stake_by_signature(
        account=ZERO, amount=1, lock_s=1, deadline=FAR_S, signature=b"\x01" * 65
    )
    with refused("signature: bad"):
        world.send(world.stranger, nobody)
    chain_id = world.evm.chain_id
    world.evm.set_chain_id(chain_id + 1)
    try:
        with refused("signature: bad"):
            world.send(world.stranger, good)
    finally:
        world.evm.set_chain_id(chain_id)


def test_by_authorisation(stakers: StakeWorld):
    """S5: one signature for the token names the lock; anybody submits it, once."""
    world, (alice, *_) = stakers, stakers.accounts
    world.send(alice, world.token.approve(world.stakes.address, 0))
    call = world.authorized(alice, 100 * TOKEN, MONTH_S)
    told = world.told(world.send(world.stranger, call))
    assert told[0].lock_s == MONTH_S
    assert world.ask(world.stakes.stake_of(alice.address)).amount == 100 * TOKEN
    with refused("authorization: used"):
        world.send(world.stranger, call)
    with refused("authorization: bad signature"):
        longer = world.authorized(alice, 1, MONTH_S + 1, signed_lock_s=MONTH_S)
        world.send(world.stranger, longer)
    with refused("amount: zero"):
        world.send(world.stranger, world.authorized(alice, 0, MONTH_S))
    with refused("lock: shorter"):
        world.send(world.stranger, world.authorized(alice, 1, MONTH_S - 1))


def test_an_authorisation_stays_in_its_call(stakers: StakeWorld):
    """S5: taken to the token alone it moves nothing, and its times hold."""
    world, (alice, *_) = stakers, stakers.accounts
    given = world.authorization(alice, 5, MONTH_S)
    signature = alice.sign(typed_data.receive_digest(world.token_domain, given)).octets
    with refused("authorization: not receiver"):
        world.send(world.stranger, world.token.receive_with_authorization(given, signature))
    late = replace(given, valid_before_s=world.evm.now_s)
    early = replace(given, valid_after_s=world.evm.now_s)
    for reason, other in (("authorization: expired", late), ("authorization: not yet", early)):
        signature = alice.sign(typed_data.receive_digest(world.token_domain, other)).octets
        call = world.stakes.stake_with_authorization(
            other, lock_s=MONTH_S, salt=SALT, signature=signature
        )
        with refused(reason):
            world.send(world.stranger, call)


def test_with_a_permit(stakers: StakeWorld):
    """The caller's own stake; a permit somebody submitted before is no obstacle."""
    world, (alice, bob, _) = stakers, stakers.accounts
    for account in (alice, bob):
        world.send(account, world.token.approve(world.stakes.address, 0))
    world.send(alice, world.permitted(alice, 50, MONTH_S))
    assert world.ask(world.stakes.stake_of(alice.address)).amount == 50
    signature = world.permit_signature(alice, 60, nonce=1)
    spender = world.stakes.address
    first = world.token.permit(
        owner=alice.address, spender=spender, amount=60, deadline=FAR_S, signature=signature
    )
    world.send(world.stranger, first)
    world.send(alice, world.permitted(alice, 60, MONTH_S, nonce=1))
    assert world.ask(world.stakes.stake_of(alice.address)).amount == 110
    with refused("permit: bad signature"):
        world.send(bob, world.permitted(alice, 60, MONTH_S, nonce=2))
    with refused("amount: zero"):
        world.send(alice, world.permitted(alice, 0, MONTH_S, nonce=2))
    assert world.ask(world.token.allowance(alice.address, spender)) == 0


def test_nobody_else_moves_a_stake(stakers: StakeWorld):
    """S5: what others do with their own stakes leaves this one as it is."""
    world, (alice, bob, _) = stakers, stakers.accounts
    world.send(alice, world.stakes.stake(100 * TOKEN, MONTH_S))
    before = world.ask(world.stakes.stake_of(alice.address))
    world.evm.pass_time(1)
    world.send(bob, world.stakes.stake(5, YEAR_S))
    world.send(bob, world.stakes.increase(5))
    world.send(bob, world.stakes.extend(LOCK_MAX_S))
    world.send(bob, world.token.transfer(world.stakes.address, 77))
    assert world.ask(world.stakes.stake_of(alice.address)) == before
    assert world.ask(world.stakes.total_staked()) == 100 * TOKEN + 10
