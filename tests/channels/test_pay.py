"""A session paid slice by slice: what is taken, what is refused, what the books say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from opencarrier.channels import store
from opencarrier.channels.model import Mode, Payment
from opencarrier.channels.rules import Standing
from opencarrier.channels.typed_data import acks_domain, lease_digest
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.signatures import recover
from opencarrier.ledger import chart
from opencarrier.sim.payer import Payer

from .worlds import (
    ADA,
    HOME,
    KIB,
    SETTINGS,
    SIGNERS,
    VENUE,
    VISITED,
    World,
    counters,
    refused,
)

SLICE_MINOR = 200
"""100 KiB at 2 a KiB."""


@pytest.fixture
def payer(world: World) -> Payer:
    return world.payer()


@pytest.fixture
def standing(world: World, payer: Payer) -> Standing:
    """A session that has paid for its first slice."""
    begun = world.begun(world.opened(payer))
    return world.paid(payer.pay(world.asked(begun), counters(0, seconds=0), now_s=world.now_s))


def test_a_slice_is_paid_for_before_it_and_owed_after_it(world: World, payer: Payer) -> None:
    begun = world.begun(world.opened(payer))
    asked = world.asked(begun)
    offered = world.channels.offer(world.unit, begun.session)
    assert offered is not None
    assert (offered.voucher_minor, offered.paid) == (SLICE_MINOR, False)
    first = world.paid(payer.pay(asked, counters(0, seconds=0), now_s=world.now_s))
    offered = world.channels.offer(world.unit, first.session)
    assert offered is not None
    assert (offered.paid, offered.octets, offered.duration_s) == (True, 100 * KIB, 60)
    assert (first.channel.voucher_minor, first.channel.due_minor) == (SLICE_MINOR, 0)
    assert world.posted(chart.prepaid(ADA.party_id)) == 0

    second = world.paid(payer.pay(world.asked(first), counters(80 * KIB), now_s=world.now_s))
    assert (second.channel.voucher_minor, second.channel.due_minor) == (360, 160)
    assert world.posted(chart.vouchers(HOME)) == -160
    assert world.posted(chart.prepaid(ADA.party_id)) == 160
    last = world.paid(payer.acknowledge(world.asked(second), counters(90 * KIB), now_s=world.now_s))
    assert (last.channel.voucher_minor, last.channel.due_minor) == (360, 180)
    assert world.posted(chart.vouchers(HOME)) == -180
    world.check()


def test_what_a_session_was_paid_for_is_held_for_it(world: World, standing: Standing) -> None:
    payer_holds = world.rating.grant(world.unit, standing.session.authorisation_id)
    assert payer_holds is not None
    assert payer_holds.hold.minor == 0


def test_the_same_payment_again_is_the_same_even_after_the_end(
    world: World, payer: Payer, standing: Standing
) -> None:
    payment = payer.pay(world.asked(standing), counters(50 * KIB), now_s=world.now_s)
    taken = world.paid(payment)
    world.at_us += 3_600 * SECOND_US
    channel = replace(taken.channel, withdrawing=True, closed=True)
    store.put_channel(world.unit, channel)
    again = world.paid(payment)
    assert again.session == taken.session
    assert world.posted(chart.vouchers(HOME)) == -100


def test_a_lease_is_the_receivers_signature_for_one_node(world: World, standing: Standing) -> None:
    lease = standing.lease
    digest = lease_digest(acks_domain(VENUE), lease)
    assert recover(digest, lease.signature) == SIGNERS[HOME].address
    for name, value in (
        ("number", 2),
        ("node_id", "node-2"),
        ("floor_minor", lease.floor_minor + 1),
        ("ceiling_minor", lease.ceiling_minor + 1),
        ("expires_s", lease.expires_s + 1),
    ):
        changed = replace(lease, position_minor=lease.ceiling_minor, **{name: value})
        if name == "ceiling_minor":
            changed = replace(lease, **{name: value})
        assert lease_digest(acks_domain(VENUE), changed) != digest


class TestHostile:
    """Every message that must not move money, and the reason given."""

    def forge(self, world: World, payer: Payer, standing: Standing, **changes: object) -> Payment:
        """Sign, with the right key, a payment that says something else."""
        good = payer.pay(world.asked(standing), counters(50 * KIB), now_s=world.now_s)
        assert isinstance(good, Payment)
        amount = changes.pop("max_claimable_minor", good.max_claimable_minor)
        assert isinstance(amount, int)
        return payer.sign(replace(good.ack, **changes), amount)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"session_id": derive("test-session", "none")}, "unknown_session"),
            ({"channel_id": Id(bytes(32))}, "other_channel"),
            ({"tariff_hash": bytes(32)}, "other_tariff"),
            ({"max_claimable_minor": SLICE_MINOR - 1}, "voucher_stale"),
            ({"max_claimable_minor": 50_001}, "voucher_above_ceiling"),
            ({"sequence": 0}, "ack_stale"),
            ({"cumulative_minor": 99}, "ack_mispriced"),
            ({"cumulative_minor": 101}, "ack_mispriced"),
            ({"octets_in": 1 << 62, "octets_out": 1 << 62}, "ack_beyond_range"),
        ],
    )
    def test_a_payment_for_something_else_is_refused(
        self,
        world: World,
        payer: Payer,
        standing: Standing,
        changes: dict[str, object],
        reason: str,
    ) -> None:
        before = world.channels.standing(world.unit, standing.session.session_id)
        assert refused(world.pay(self.forge(world, payer, standing, **changes))) == reason
        assert world.channels.standing(world.unit, standing.session.session_id) == before
        assert world.posted(chart.vouchers(HOME)) == 0

    def test_an_older_payment_is_refused(
        self, world: World, payer: Payer, standing: Standing
    ) -> None:
        asked = world.asked(standing)
        older = payer.pay(asked, counters(10 * KIB), now_s=world.now_s)
        newer = payer.pay(asked, counters(20 * KIB), now_s=world.now_s)
        taken = world.paid(newer)
        assert refused(world.pay(older)) == "voucher_stale"
        assert isinstance(older, Payment)
        with_more_money = payer.sign(older.ack, taken.session.voucher_minor + 1)
        assert refused(world.pay(with_more_money)) == "ack_stale"
        assert taken.channel.due_minor == 40

    def test_counters_never_fall(self, world: World, payer: Payer, standing: Standing) -> None:
        taken = world.paid(payer.pay(world.asked(standing), counters(50 * KIB), now_s=world.now_s))
        ack = replace(
            self.forge(world, payer, taken).ack,
            sequence=9,
            octets_in=49 * KIB,
            octets_out=KIB,
            cumulative_minor=100,
        )
        payment = payer.sign(ack, taken.session.voucher_minor)
        assert refused(world.pay(payment)) == "ack_falls"

    def test_use_beyond_what_was_paid_is_not_owed(
        self, world: World, payer: Payer, standing: Standing
    ) -> None:
        beyond = self.forge(world, payer, standing, octets_in=150 * KIB, cumulative_minor=300)
        assert refused(world.pay(payer.sign(beyond.ack, SLICE_MINOR))) == "ack_uncovered"

    def test_another_key_another_chain_and_a_malleable_signature_count_as_none(
        self, world: World, payer: Payer, standing: Standing
    ) -> None:
        good = payer.pay(world.asked(standing), counters(50 * KIB), now_s=world.now_s)
        assert isinstance(good, Payment)
        stranger = world.payer(seed=6)
        stranger.open(SIGNERS[HOME].address, 50_000, now_s=world.now_s)
        foreign = stranger.sign(good.ack, good.max_claimable_minor)
        elsewhere = replace(VENUE, chain_id=1)
        payer._venue = elsewhere
        other_chain = payer.sign(good.ack, good.max_claimable_minor)
        payer._venue = VENUE
        for bad in (foreign.voucher_signature, other_chain.voucher_signature):
            assert refused(world.pay(replace(good, voucher_signature=bad))) == "voucher_signature"
        for bad in (foreign.ack_signature, other_chain.ack_signature, good.voucher_signature):
            assert refused(world.pay(replace(good, ack_signature=bad))) == "ack_signature"
        assert (
            refused(world.pay(replace(good, voucher_signature=high_s(good.voucher_signature))))
            == "voucher_signature"
        )
        assert (
            refused(world.pay(replace(good, ack_signature=high_s(good.ack_signature))))
            == "ack_signature"
        )
        world.paid(good)

    def test_after_a_withdrawal_began_no_money_is_taken_but_use_is_still_acknowledged(
        self, world: World, payer: Payer, standing: Standing
    ) -> None:
        store.put_channel(world.unit, replace(standing.channel, withdrawing=True))
        more = payer.pay(world.asked(standing), counters(50 * KIB), now_s=world.now_s)
        assert refused(world.pay(more)) == "channel_ended"
        late = payer.sign(more.ack, SLICE_MINOR)  # type: ignore[union-attr]
        assert world.paid(late).channel.due_minor == 100

    def test_a_lease_ends_before_its_time_by_the_clocks_error(
        self, world: World, payer: Payer, standing: Standing
    ) -> None:
        more = payer.pay(world.asked(standing), counters(50 * KIB), now_s=world.now_s)
        world.at_us = (standing.lease.expires_s - SETTINGS.skew_s) * SECOND_US
        assert refused(world.pay(more)) == "lease_expired"
        world.at_us -= SECOND_US
        world.paid(more)

    def test_no_voucher_goes_beyond_lease_or_deposit(self, world: World, payer: Payer) -> None:
        channel_id = world.opened(payer, deposit_minor=300_000)
        begun = world.begun(channel_id)
        assert begun.lease.ceiling_minor == SETTINGS.lease_minor
        payment = payer.acknowledge(world.asked(begun), counters(0, seconds=0), now_s=world.now_s)
        assert isinstance(payment, Payment)
        over = payer.sign(payment.ack, SETTINGS.lease_minor + 1)
        assert refused(world.pay(over)) == "voucher_above_ceiling"
        store.put_channel(world.unit, replace(begun.channel, deposited_minor=400))
        over = payer.sign(payment.ack, 401)
        assert refused(world.pay(over)) == "voucher_above_deposit"
        world.paid(payer.sign(payment.ack, 400))


def high_s(signature: bytes) -> bytes:
    """Return the other signature that the curve accepts for the same digest."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes((55 - signature[64],))


def test_a_prepaid_session_is_never_paid_by_voucher_too(world: World, payer: Payer) -> None:
    channel_id = world.opened(payer)
    world.channels.enrol(world.unit, ADA.party_id, None)
    world.top_up(100_000_000)
    grant = world.authorise()
    assert grant.hold.minor > 0
    session_id = derive("test-session", "prepaid")
    outcome = world.channels.begin(world.unit, grant, channel_id, session_id, at_us=world.at_us)
    assert refused(outcome) == "prepaid"
    known = {session_id: grant.authorisation_id}
    assert world.book.acknowledged(world.unit, known) == {}


def test_a_direct_channel_pays_the_visited_operator_and_no_home(world: World, payer: Payer) -> None:
    channel_id = world.opened(payer, mode=Mode.DIRECT)
    grant = world.authorise()
    assert (grant.home, grant.visited) == (VISITED, VISITED)
    begun = world.begun(channel_id)
    first = world.paid(payer.pay(world.asked(begun), counters(0, seconds=0), now_s=world.now_s))
    world.paid(payer.acknowledge(world.asked(first), counters(50 * KIB), now_s=world.now_s))
    assert world.posted(chart.vouchers(VISITED)) == -100
    assert world.posted(chart.vouchers(HOME)) == 0
    world.channels.enrol(world.unit, ADA.party_id, Mode.HOME)
    at_home = world.authorise()
    assert at_home.home == HOME
    outcome = world.channels.begin(
        world.unit, at_home, channel_id, derive("test-session", "both"), at_us=world.at_us
    )
    assert refused(outcome) == "not_the_seller"
