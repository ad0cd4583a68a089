"""One voucher at many nodes: only the lease holder may serve, and no range is served twice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from sqlalchemy import Connection
from tests.memory import ENGINE, lay

from opencarrier.channels import store
from opencarrier.channels.model import Lease, Mode, Payment
from opencarrier.channels.reasons import LeaseReason
from opencarrier.channels.rules import Standing
from opencarrier.channels.service import ChannelService, Ports
from opencarrier.channels.tables import SESSIONS
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.ledger import chart
from opencarrier.sim.payer import Payer
from opencarrier.spine.usage import Counters

from .worlds import ADA, HOME, KIB, SETTINGS, VENUE, World, counters, refused

NOTHING = counters(0, seconds=0)


@pytest.fixture
def payer(world: World) -> Payer:
    return world.payer()


def begin(world: World, channel_id: Id, node: str, name: str) -> object:
    grant = world.authorise(node)
    session_id = derive("test-session", name)
    return world.channels.begin(world.unit, grant, channel_id, session_id, at_us=world.at_us)


@dataclass
class Quoted:
    """What a node knows of prices while it is away: what its sessions were quoted."""

    world: World

    def retail_minor(
        self, unit: Connection, authorisation_id: bytes, counters: Counters
    ) -> int | None:
        return self.world.priced(counters)

    def cover(self, unit: Connection, *_: object, **__: object) -> None:
        raise AssertionError("a node keeps no books")


def away(world: World, standing: Standing) -> tuple[Connection, ChannelService]:
    """A node that is cut off from its seller: a database of its own, and what it was given."""
    unit = ENGINE.connect()
    lay(unit, store.metadata)
    ports = Ports(prices=Quoted(world), directory=world.directory, notary=Nobody())
    service = ChannelService(VENUE, ports, world.settings, books=False)
    detached = world.channels.detach(world.unit, standing.session.session_id)
    assert isinstance(detached, Standing)
    service.adopt(unit, detached)
    return unit, service


class Nobody:
    """Holds no keys."""

    def sign(self, unit: Connection, address: Address, digest: bytes) -> Signature | None:
        return None


def test_a_second_node_waits_for_the_first_lease(world: World, payer: Payer) -> None:
    channel_id = world.opened(payer)
    first = world.begun(channel_id)
    assert refused(begin(world, channel_id, "node-2", "s2")) == "leased_elsewhere"
    world.at_us = (first.lease.expires_s + SETTINGS.skew_s) * SECOND_US - 1
    assert refused(begin(world, channel_id, "node-2", "s2")) == "leased_elsewhere"
    world.at_us += 1
    second = begin(world, channel_id, "node-2", "s2")
    assert isinstance(second, Standing)
    assert second.lease.floor_minor == 0, "what the seller saw itself needs no reserve"
    late = payer.pay(world.asked(first), NOTHING, now_s=world.now_s)
    assert refused(world.pay(late)) == "session_ended"


def test_a_lease_handed_back_is_free_at_once_and_its_money_goes_on(
    world: World, payer: Payer
) -> None:
    channel_id = world.opened(payer)
    first = world.begun(channel_id)
    paid = world.paid(payer.pay(world.asked(first), NOTHING, now_s=world.now_s))
    last = world.paid(payer.acknowledge(world.asked(paid), counters(30 * KIB), now_s=world.now_s))
    world.channels.end(world.unit, first.session.session_id)
    late = payer.acknowledge(world.asked(last), counters(31 * KIB), now_s=world.now_s)
    assert refused(world.pay(late)) == "session_ended"
    second = world.begun(channel_id, node="node-2", name="s2")
    assert (second.lease.floor_minor, second.session.base_minor) == (60, 60)
    assert second.session.voucher_minor == 200, "what was promised and not used still counts"
    taken = world.paid(payer.pay(world.asked(second), NOTHING, now_s=world.now_s))
    assert (taken.channel.voucher_minor, taken.channel.due_minor) == (260, 60)


def test_a_node_never_heard_of_again_keeps_its_range_for_itself(world: World, payer: Payer) -> None:
    channel_id = world.opened(payer, deposit_minor=400_000)
    first = world.begun(channel_id)
    promised = world.paid(payer.pay(world.asked(first), NOTHING, now_s=world.now_s))
    node, service = away(world, promised)
    used = payer.pay(world.asked(promised), counters(70 * KIB), now_s=world.now_s)
    assert isinstance(used, Payment)
    assert isinstance(service.pay(node, used, at_us=world.at_us), Standing)

    world.at_us += 700 * SECOND_US
    second = world.begun(channel_id, node="node-2", name="s2")
    assert second.lease.floor_minor == first.lease.ceiling_minor
    assert refused(payer.pay(world.asked(second), NOTHING, now_s=world.now_s)) == "overcharged"
    trusting = world.payer()
    trusting.__dict__.update(payer.__dict__, _gap_minor=SETTINGS.lease_minor)
    world.paid(trusting.pay(world.asked(second), NOTHING, now_s=world.now_s))
    there = world.paid(
        trusting.acknowledge(world.asked(second), counters(10 * KIB), now_s=world.now_s)
    )
    assert there.channel.due_minor == 20

    assert service.unreported(node) == [used]
    reported = world.channels.report(world.unit, used, at_us=world.at_us)
    assert isinstance(reported, Standing)
    service.reported(node, used)
    assert service.unreported(node) == []
    assert reported.channel.due_minor == 140 + 20
    assert world.posted(chart.vouchers(HOME)) == -160
    again = world.channels.report(world.unit, used, at_us=world.at_us)
    assert isinstance(again, Standing)
    assert world.posted(chart.vouchers(HOME)) == -160
    world.check()


def test_one_voucher_shown_at_a_node_without_the_lease_is_refused(
    world: World, payer: Payer
) -> None:
    channel_id = world.opened(payer)
    first = world.begun(channel_id)
    node, service = away(world, first)
    payment = payer.pay(world.asked(first), NOTHING, now_s=world.now_s)
    assert isinstance(payment, Payment)
    assert isinstance(service.pay(node, payment, at_us=world.at_us), Standing)
    elsewhere, other = away(world, first)
    elsewhere.execute(SESSIONS.delete())
    assert refused(other.pay(elsewhere, payment, at_us=world.at_us)) == "unknown_session"


def test_a_lease_is_renewed_with_its_floor_moved_up(world: World, payer: Payer) -> None:
    channel_id = world.opened(payer, deposit_minor=400_000)
    first = world.begun(channel_id)
    paid = world.paid(payer.pay(world.asked(first), NOTHING, now_s=world.now_s))
    used = world.paid(payer.pay(world.asked(paid), counters(40 * KIB), now_s=world.now_s))
    world.at_us += 300 * SECOND_US
    renewed = world.channels.lease(world.unit, channel_id, "node-1", at_us=world.at_us)
    assert isinstance(renewed, Lease)
    assert (renewed.number, renewed.floor_minor) == (2, 80)
    assert renewed.expires_s == first.lease.expires_s + 300
    more = world.paid(payer.pay(world.asked(used), counters(60 * KIB), now_s=world.now_s))
    assert (more.lease.number, more.channel.due_minor) == (2, 120)


def test_a_new_session_on_the_same_node_ends_the_one_before(world: World, payer: Payer) -> None:
    channel_id = world.opened(payer)
    first = world.begun(channel_id)
    paid = world.paid(payer.pay(world.asked(first), NOTHING, now_s=world.now_s))
    second = world.begun(channel_id, name="s2")
    assert second.lease.number == first.lease.number
    more = payer.pay(world.asked(paid), counters(10 * KIB), now_s=world.now_s)
    assert refused(world.pay(more)) == "session_ended"
    assert second == world.channels.standing(world.unit, second.session.session_id)


def test_no_lease_without_deposit_key_or_after_the_end(world: World, payer: Payer) -> None:
    channel_id = world.opened(payer, deposit_minor=50_000)
    channel = store.channel(world.unit, channel_id)
    assert channel is not None

    def lease() -> str:
        return refused(world.channels.lease(world.unit, channel_id, "node-1", at_us=world.at_us))

    store.put_channel(world.unit, replace(channel, deposited_minor=0))
    assert lease() == "nothing_deposited"
    store.put_channel(world.unit, replace(channel, withdrawing=True))
    assert lease() == "channel_ended"
    foreign = replace(channel, config=replace(channel.config, receiver=channel.config.payer))
    store.put_channel(world.unit, foreign)
    assert lease() == "no_key"
    assert (
        refused(world.channels.lease(world.unit, Id(bytes(32)), "node-1", at_us=world.at_us))
        == LeaseReason.UNKNOWN_CHANNEL.name.lower()
    )


def test_a_closed_channel_takes_nothing_more(world: World, payer: Payer) -> None:
    channel_id = world.opened(payer)
    first = world.begun(channel_id)
    paid = world.paid(payer.pay(world.asked(first), NOTHING, now_s=world.now_s))
    assert refused(world.channels.close(world.unit, Id(bytes(32)))) == "unknown_channel"
    world.channels.close(world.unit, channel_id)
    more = payer.pay(world.asked(paid), counters(10 * KIB), now_s=world.now_s)
    assert refused(world.pay(more)) == "session_ended"
    assert refused(begin(world, channel_id, "node-1", "s3")) == "channel_ended"


def test_terms_that_would_not_pay_the_seller_are_refused(world: World, payer: Payer) -> None:
    world.channels.enrol(world.unit, ADA.party_id, Mode.HOME)
    grant = world.authorise()
    home = world.directory.operator(world.unit, HOME)
    assert home is not None
    config, deposit = payer.open(home.address, 50_000, now_s=world.now_s)
    stranger = payer.address

    def opened(**changes: object) -> str:
        other = replace(config, **changes)  # type: ignore[arg-type]
        return refused(
            world.channels.open(world.unit, grant, Mode.HOME, other, deposit, at_us=world.at_us)
        )

    assert opened(receiver=stranger) == "not_the_seller"
    assert opened(receiver_authorizer=stranger) == "not_the_seller"
    assert opened(token=stranger) == "not_the_token"
    assert opened(payer_authorizer=stranger) == "no_authorizer"
    assert opened(withdraw_delay_s=10) == "delay_too_short"
    assert opened(salt=bytes(32)) == "deposit_signature"
    for amount, reason in ((10, "deposit_out_of_bounds"), (50_001, "deposit_signature")):
        other = replace(deposit, amount_minor=amount)
        outcome = world.channels.open(
            world.unit, grant, Mode.HOME, config, other, at_us=world.at_us
        )
        assert refused(outcome) == reason
    made = world.channels.open(world.unit, grant, Mode.HOME, config, deposit, at_us=world.at_us)
    assert made == world.channels.open(
        world.unit, grant, Mode.HOME, config, deposit, at_us=world.at_us
    )
    outcome = world.channels.open(
        world.unit, grant, Mode.DIRECT, config, deposit, at_us=world.at_us
    )
    assert refused(outcome) == "exists_with_different_owner"


def test_channels_and_openings_have_limits(world: World) -> None:
    tight = replace(SETTINGS, channels_per_subscriber_max=2)
    world.channels.settings = tight
    world.opened(world.payer(seed=1))
    world.opened(world.payer(seed=2))
    with pytest.raises(AssertionError, match="too_many_channels: 2 for one"):
        world.opened(world.payer(seed=3))
    world.channels.settings = replace(SETTINGS, channels_max=2)
    with pytest.raises(AssertionError, match="too_many_channels: 2 in all"):
        world.opened(world.payer(seed=3))
    world.channels.settings = replace(SETTINGS, opening_max=2)
    with pytest.raises(AssertionError, match="too_many_opening: 2 wait"):
        world.opened(world.payer(seed=3))


def test_a_phone_keeps_to_its_day_its_deposit_and_its_own_reading(world: World) -> None:
    capped = world.payer(day_cap_minor=250)
    begun = world.begun(world.opened(capped))
    paid = world.paid(capped.pay(world.asked(begun), NOTHING, now_s=world.now_s))
    more = capped.pay(world.asked(paid), counters(50 * KIB), now_s=world.now_s)
    assert refused(more) == "daily_cap"
    assert isinstance(capped.pay(world.asked(paid), counters(25 * KIB), now_s=world.now_s), Payment)
    tomorrow_s = world.now_s + 86_400
    assert isinstance(capped.pay(world.asked(paid), counters(50 * KIB), now_s=tomorrow_s), Payment)
    poor = world.payer(seed=8)
    small = world.begun(world.opened(poor, deposit_minor=1_000), name="poor")
    assert refused(poor.pay(world.asked(small), counters(450 * KIB), now_s=0)) == "deposit_spent"
    greedy = replace(world.asked(small), base_minor=1)
    assert refused(poor.pay(greedy, NOTHING, now_s=0)) == "overcharged"


def test_a_device_cannot_end_a_session_behind_a_node_that_is_away(
    world: World, payer: Payer
) -> None:
    """What it promised there stays there: no other node gets that range, and the report counts."""
    channel_id = world.opened(payer, deposit_minor=400_000)
    first = world.begun(channel_id)
    unit, node = away(world, first)
    promise = payer.pay(world.asked(first), NOTHING, now_s=world.now_s)
    assert isinstance(promise, Payment)
    assert isinstance(node.pay(unit, promise, at_us=world.at_us), Standing)
    world.channels.end(world.unit, first.session.session_id)
    assert refused(begin(world, channel_id, "node-2", "s2")) == "leased_elsewhere"
    used = payer.acknowledge(world.asked(first), counters(30 * KIB), now_s=world.now_s)
    assert isinstance(used, Payment)
    reported = world.channels.report(world.unit, used, at_us=world.at_us)
    assert isinstance(reported, Standing), reported
    assert reported.channel.due_minor == 60


def test_a_channel_is_not_closed_behind_a_node_that_is_away(world: World, payer: Payer) -> None:
    """Closing gives the rest back at once; the node may still hold what pays it.

    The way out that is always open is the contract's, with its notice.
    """
    channel_id = world.opened(payer, deposit_minor=400_000)
    first = world.begun(channel_id)
    away(world, first)
    assert refused(world.channels.close(world.unit, channel_id)) == "leased_elsewhere"
    world.at_us = (first.lease.expires_s + SETTINGS.skew_s) * SECOND_US
    second = world.begun(channel_id, node="node-2", name="s2")
    world.channels.end(world.unit, second.session.session_id)
    assert refused(world.channels.close(world.unit, channel_id)) == "leased_elsewhere"


def test_a_device_cannot_outrun_a_node_that_is_away(world: World, payer: Payer) -> None:
    """A high sequence and nothing used, given to the seller, would make the node's ack stale."""
    channel_id = world.opened(payer, deposit_minor=400_000)
    first = world.begun(channel_id)
    unit, node = away(world, first)
    promise = payer.pay(world.asked(first), NOTHING, now_s=world.now_s)
    assert isinstance(promise, Payment)
    assert isinstance(node.pay(unit, promise, at_us=world.at_us), Standing)
    early = replace(promise.ack, sequence=1_000)
    assert refused(world.pay(payer.sign(early, promise.max_claimable_minor))) == "no_lease"
    used = payer.acknowledge(world.asked(first), counters(30 * KIB), now_s=world.now_s)
    assert isinstance(used, Payment)
    reported = world.channels.report(world.unit, used, at_us=world.at_us)
    assert isinstance(reported, Standing), reported
    assert reported.channel.due_minor == 60


def test_no_session_is_begun_at_a_node_that_is_away(world: World, payer: Payer) -> None:
    """It would end the one the node serves, and with it what the node will report."""
    channel_id = world.opened(payer, deposit_minor=400_000)
    first = world.begun(channel_id)
    away(world, first)
    assert refused(begin(world, channel_id, "node-1", "s2")) == "leased_elsewhere"
    world.at_us = (first.lease.expires_s + SETTINGS.skew_s) * SECOND_US
    assert refused(begin(world, channel_id, "node-1", "s2")) == "leased_elsewhere"
    lease = store.lease(world.unit, channel_id)
    assert lease is not None
    world.channels.hand_back(world.unit, lease)
    assert isinstance(begin(world, channel_id, "node-1", "s2"), Standing)
