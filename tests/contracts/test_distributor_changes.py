"""RewardDistributor, R7 and R11 to R13: batches, payout addresses, caps, the guardian."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from contract_evm import ZERO, key, refused
from contract_rewards import DELAY_S, Pool

from opencarrier.chain import events
from opencarrier.chain.contracts import (
    CLAIMS_MAX,
    AddressChange,
    AmountChange,
    RewardClaim,
    RewardDistributor,
)
from opencarrier.chain.model import Call
from opencarrier.rewards.merkle import Tree

NO_ADDRESS = AddressChange(account=ZERO, ready_at=0)
NO_AMOUNT = AmountChange(amount=0, ready_at=0)


class Row(NamedTuple):
    account: str
    lifetime: int


def batch(pool: Pool, tree: Tree, rows: list[Row]) -> Call:
    claims = [
        RewardClaim(
            account=row.account,
            token=pool.token.address,
            lifetime_amount=row.lifetime,
            proof=tree.siblings(pool.leaf(row.account, row.lifetime)),
        )
        for row in rows
    ]
    return pool.rewards.claim_many(claims)


def crowd(size: int) -> list[Row]:
    return [Row(key(f"crowd {i}").address, i + 1) for i in range(size)]


def test_anybody_claims_for_many(pool: Pool):
    """R7: each is paid what it would be paid alone; the count says how many."""
    rows = crowd(5)
    tree = pool.ready(dict(rows), money=15)
    outcome = pool.send(pool.stranger, batch(pool, tree, rows))
    assert int.from_bytes(outcome.output, "big") == 5
    assert pool.told(outcome) == [
        events.Claimed(account=a, token=pool.token.address, amount=n, lifetime_amount=n)
        for a, n in rows
    ]
    assert [pool.tokens(account) for account, _ in rows] == [1, 2, 3, 4, 5]


def test_one_that_fails_stops_no_other(pool: Pool):
    """R7: frozen, claimed before, shown twice or not proven: skipped, told, nothing changed."""
    frozen, before, twice, good = rows = crowd(4)
    tree = pool.ready(dict(rows), money=10)
    pool.send(pool.owner, pool.token.freeze(frozen.account))
    pool.send(pool.stranger, pool.claim(tree, *before))
    call = batch(pool, tree, [frozen, before, twice, twice, good])
    outcome = pool.send(pool.stranger, call)
    assert int.from_bytes(outcome.output, "big") == 2
    told = pool.told(outcome)
    kinds = [type(event).__name__ for event in told]
    assert kinds == ["ClaimSkipped", "ClaimSkipped", "Claimed", "ClaimSkipped", "Claimed"]
    assert told[0] == events.ClaimSkipped(
        account=frozen.account, token=pool.token.address, lifetime_amount=frozen.lifetime
    )
    assert pool.rewards.claimed(frozen.account, pool.token.address).ask(pool.evm) == 0
    assert pool.rewards.total_claimed(pool.token.address).ask(pool.evm) == 9
    assert pool.rewards.left_of(pool.token.address, tree.root).ask(pool.evm) == 1
    pool.send(pool.owner, pool.token.unfreeze(frozen.account))
    pool.send(pool.stranger, batch(pool, tree, [frozen]))
    assert [pool.tokens(account) for account, _ in rows] == [1, 2, 3, 4]


def test_a_batch_has_an_end(pool: Pool):
    """A hundred claims are taken; one more does not decode, and is our own mistake."""
    rows = crowd(CLAIMS_MAX)
    tree = pool.ready(dict(rows), money=sum(n for _, n in rows))
    outcome = pool.send(pool.stranger, batch(pool, tree, rows))
    assert int.from_bytes(outcome.output, "big") == CLAIMS_MAX
    claim = (rows[0].account, pool.token.address, 1, [])
    data = RewardDistributor.artefact().call_data("claim_many", [claim] * (CLAIMS_MAX + 1))
    with refused(None):
        pool.send(pool.stranger, Call(to=pool.rewards.address, data=data))
    with pytest.raises(AssertionError):
        batch(pool, tree, [*rows, rows[0]])
    assert pool.send(pool.stranger, pool.rewards.claim_many([])).output == bytes(32)


def test_a_payout_address_waits(pool: Pool):
    """R11: paid where it was until the delay has passed, then elsewhere, and back again."""
    host, token = pool.hosts[0], pool.token.address
    elsewhere = key("elsewhere").address
    first = pool.ready({host.address: 5}, money=5)
    told = pool.told(pool.send(host, pool.rewards.request_payout(token, elsewhere)))
    ready_at = pool.evm.now_s + DELAY_S
    terms = {"account": host.address, "token": token}
    assert told == [events.PayoutRequested(payout=elsewhere, ready_at=ready_at, **terms)]
    waiting = pool.rewards.payout_change_of(host.address, token)
    assert waiting.ask(pool.evm) == AddressChange(account=elsewhere, ready_at=ready_at)
    pool.send(pool.stranger, pool.claim(first, host.address, 5))
    pool.evm.pass_time(DELAY_S - 1)
    apply = pool.rewards.apply_payout(host.address, token)
    with refused("change: not ready"):
        pool.send(pool.stranger, apply)
    pool.evm.pass_time(1)
    told = pool.told(pool.send(pool.stranger, apply))
    assert told == [events.PayoutSet(payout=elsewhere, **terms)]
    assert waiting.ask(pool.evm) == NO_ADDRESS
    assert pool.rewards.claimed(host.address, token).ask(pool.evm) == 5
    assert pool.rewards.payout_of(host.address, token).ask(pool.evm) == elsewhere
    with refused("change: not requested"):
        pool.send(pool.stranger, apply)
    second = pool.ready({host.address: 12}, money=7)
    pool.send(pool.stranger, pool.claim(second, host.address, 12))
    assert [pool.tokens(host.address), pool.tokens(elsewhere)] == [5, 7]
    pool.send(host, pool.rewards.request_payout(token, ZERO))
    pool.pass_delay()
    pool.send(pool.stranger, apply)
    assert pool.rewards.payout_of(host.address, token).ask(pool.evm) == host.address
    assert pool.rewards.claimed(host.address, token).ask(pool.evm) == 12


def test_a_payout_request_is_its_accounts_alone(pool: Pool):
    """R11: cancelled, replaced; nobody else's account or token is touched."""
    host, other = pool.hosts
    token, second = pool.token.address, pool.new_token("Other").address
    pool.send(host, pool.rewards.request_payout(token, other.address))
    pool.evm.pass_time(DELAY_S)
    for account, where in ((other, token), (host, second)):
        with refused("change: not requested"):
            pool.send(account, pool.rewards.cancel_payout(where))
        with refused("change: not requested"):
            pool.send(pool.stranger, pool.rewards.apply_payout(account.address, where))
    told = pool.told(pool.send(host, pool.rewards.cancel_payout(token)))
    assert told == [events.PayoutCancelled(account=host.address, token=token)]
    with refused("change: not requested"):
        pool.send(pool.stranger, pool.rewards.apply_payout(host.address, token))
    pool.send(host, pool.rewards.request_payout(token, other.address))
    pool.evm.pass_time(DELAY_S - 1)
    pool.send(host, pool.rewards.request_payout(token, pool.stranger.address))
    pool.evm.pass_time(1)
    with refused("change: not ready"):
        pool.send(pool.stranger, pool.rewards.apply_payout(host.address, token))
    with refused("payout: bad address"):
        pool.send(host, pool.rewards.request_payout(token, pool.rewards.address))


def test_a_frozen_host_is_paid_elsewhere(pool: Pool):
    """R7, R11: an account its token froze changes its payout address and is paid."""
    host, token = pool.hosts[0], pool.token.address
    tree = pool.ready({host.address: 5}, money=5)
    pool.send(pool.owner, pool.token.freeze(host.address))
    pool.send(host, pool.rewards.request_payout(token, pool.hosts[1].address))
    pool.evm.pass_time(DELAY_S + 1)
    pool.send(pool.stranger, pool.rewards.apply_payout(host.address, token))
    pool.send(pool.stranger, pool.claim(tree, host.address, 5))
    assert pool.tokens(pool.hosts[1].address) == 5


def test_a_cap_falls_at_once_and_rises_late(pool: Pool):
    """R12: none, then one, lower, higher after the delay; to the unit, each token apart."""
    rewards, token = pool.rewards, pool.token.address
    pool.publish(b"\x01" * 32, 10**12)
    told = pool.told(pool.send(pool.owner, rewards.set_cap(token, 10)))
    assert told == [events.CapSet(token=token, cap=10)]
    pool.publish(b"\x02" * 32, 10)
    with refused("publish: over cap"):
        pool.publish(b"\x03" * 32, 11)
    pool.publish(b"\x03" * 32, 11, pool.new_token("Other"))
    told = pool.told(pool.send(pool.owner, rewards.set_cap(token, 11)))
    ready_at = pool.evm.now_s + DELAY_S
    assert told == [events.CapRaiseRequested(token=token, cap=11, ready_at=ready_at)]
    assert rewards.cap_raise_of(token).ask(pool.evm) == AmountChange(amount=11, ready_at=ready_at)
    pool.evm.pass_time(DELAY_S - 1)
    with refused("change: not ready"):
        pool.send(pool.stranger, rewards.apply_cap(token))
    pool.evm.pass_time(1)
    assert rewards.cap_of(token).ask(pool.evm) == 10
    told = pool.told(pool.send(pool.stranger, rewards.apply_cap(token)))
    assert told == [events.CapSet(token=token, cap=11)]
    assert rewards.cap_raise_of(token).ask(pool.evm) == NO_AMOUNT
    pool.publish(b"\x04" * 32, 11)
    with refused("change: not requested"):
        pool.send(pool.stranger, rewards.apply_cap(token))


@pytest.mark.parametrize("cap", [10, 9])
def test_a_lower_cap_drops_the_raise(pool: Pool, cap: int):
    """R12: a raise that was asked for by mistake, or by a thief, ends with the next cap."""
    rewards, token = pool.rewards, pool.token.address
    pool.send(pool.owner, rewards.set_cap(token, 10))
    pool.send(pool.owner, rewards.set_cap(token, 1000))
    pool.send(pool.owner, rewards.set_cap(token, cap))
    pool.pass_delay()
    with refused("change: not requested"):
        pool.send(pool.stranger, rewards.apply_cap(token))
    assert rewards.cap_of(token).ask(pool.evm) == cap
    with refused("cap: zero"):
        pool.send(pool.owner, rewards.set_cap(token, 0))


def test_a_guardian_changes_late(pool: Pool):
    """R13: the former one keeps its veto until the delay has passed, and cannot prevent it."""
    rewards, token, heir = pool.rewards, pool.token.address, key("next guardian")
    told = pool.told(pool.send(pool.owner, rewards.request_guardian(heir.address)))
    ready_at = pool.evm.now_s + DELAY_S
    assert told == [events.GuardianRequested(guardian=heir.address, ready_at=ready_at)]
    assert rewards.guardian_change().ask(pool.evm) == AddressChange(
        account=heir.address, ready_at=ready_at
    )
    pool.evm.pass_time(DELAY_S - 1)
    with refused("change: not ready"):
        pool.send(pool.stranger, rewards.apply_guardian())
    pool.publish(b"\x01" * 32, 1)
    pool.send(pool.guardian, rewards.veto(token, b"\x01" * 32))
    pool.evm.pass_time(1)
    told = pool.told(pool.send(pool.stranger, rewards.apply_guardian()))
    assert told == [events.GuardianSet(guardian=heir.address)]
    assert rewards.guardian_change().ask(pool.evm) == NO_ADDRESS
    pool.publish(b"\x02" * 32, 1)
    with refused("veto: not guardian"):
        pool.send(pool.guardian, rewards.veto(token, b"\x02" * 32))
    pool.send(heir, rewards.veto(token, b"\x02" * 32))
    with refused("change: not requested"):
        pool.send(pool.stranger, rewards.apply_guardian())
    with refused("address: zero"):
        pool.send(pool.owner, rewards.request_guardian(ZERO))


def test_a_guardian_that_vetoes_everything_only_delays(pool: Pool):
    """R9, R13: ready roots pay on; once another guardian is in office one root pays all."""
    host, token = pool.hosts[0].address, pool.token.address
    before = pool.ready({host: 5}, money=5)
    for lifetime in (6, 7, 8):
        root = pool.tree({host: lifetime}).root
        pool.publish(root, 1)
        pool.send(pool.guardian, pool.rewards.veto(token, root))
    pool.send(pool.owner, pool.rewards.request_guardian(pool.owner.address))
    pool.pass_delay()
    pool.send(pool.stranger, pool.claim(before, host, 5))
    pool.send(pool.stranger, pool.rewards.apply_guardian())
    after = pool.ready({host: 9}, money=1)
    pool.send(pool.stranger, pool.claim(after, host, 9))
    assert pool.tokens(host) == 9
    assert pool.tokens(pool.rewards.address) == 0
