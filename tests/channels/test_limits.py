"""Every limit of the room, at its edge: the last that is taken, and the first that is not."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from opencarrier.chain.rules import TransactionState
from opencarrier.channels import claims, service, store
from opencarrier.channels.model import Channel, ChannelSettings, Mode, Payment
from opencarrier.channels.opening import DEPOSIT_TTL_S_MAX
from opencarrier.channels.rules import Standing
from opencarrier.channels.tables import DEPOSITS
from opencarrier.channels.wire import (
    BODY_OCTETS_MAX,
    NAME_MAX,
    read_begin,
    read_document,
    read_open,
    read_payment,
    write_open,
    write_payment,
)
from opencarrier.kernel.ids import derive, to_hex
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address
from opencarrier.sim.payer import Asked, Payer

from .test_claims import DUE_MINOR, Side, earned
from .test_claims import side as side  # a fixture
from .test_leases import away
from .worlds import ADA, HOME, SETTINGS, SIGNERS, World, counters, refused

SEEDS = count(20)


class TestOpening:
    """What a channel may be opened with."""

    def opened(self, world: World, **changes: Any) -> Channel | str:
        """Open a channel whose deposit or terms are other than usual, signed as such."""
        payer = world.payer(seed=next(SEEDS))
        amount = changes.pop("amount_minor", 50_000)
        if "withdraw_delay_s" in changes:
            delay_s = changes.pop("withdraw_delay_s")
            payer._settings = replace(SETTINGS, withdraw_delay_s_min=delay_s)
        config, deposit = payer.open(SIGNERS[HOME].address, amount, now_s=world.now_s)
        unsigned = replace(deposit, **changes)
        signature = payer._main.sign(payer._deposit_digest(unsigned)).octets
        made = world.channels.register(
            world.unit,
            subscriber=ADA.party_id,
            seller=HOME,
            mode=Mode.HOME,
            config=config,
            deposit=replace(unsigned, signature=signature),
            at_us=world.at_us,
        )
        return made if isinstance(made, Channel) else refused(made)

    @pytest.mark.parametrize(
        ("name", "low", "high"),
        [
            ("amount_minor", SETTINGS.deposit_minor_min, SETTINGS.deposit_minor_max),
            ("valid_before_s", 1, DEPOSIT_TTL_S_MAX),
        ],
    )
    def test_a_deposit_has_bounds(self, world: World, name: str, low: int, high: int) -> None:
        since = world.now_s if name == "valid_before_s" else 0
        for value in (low, high):
            assert isinstance(self.opened(world, **{name: since + value}), Channel)
        for value in (low - 1, high + 1):
            assert self.opened(world, **{name: since + value}) == "deposit_out_of_bounds"

    def test_a_withdraw_delay_has_a_lower_bound(self, world: World) -> None:
        least_s = SETTINGS.withdraw_delay_s_min
        assert isinstance(self.opened(world, withdraw_delay_s=least_s), Channel)
        assert self.opened(world, withdraw_delay_s=least_s - 1) == "delay_too_short"

    def test_the_last_channel_is_opened_and_one_that_ended_makes_room(self, world: World) -> None:
        world.channels.settings = replace(SETTINGS, channels_per_subscriber_max=2)
        first = self.opened(world)
        assert isinstance(first, Channel)
        assert isinstance(self.opened(world), Channel)
        assert self.opened(world) == "too_many_channels"
        world.channels.close(world.unit, first.channel_id)
        assert isinstance(self.opened(world), Channel)

    @pytest.mark.parametrize("wrong", [{"slice_octets": 0}, {"slice_s": 0}, {"lease_s": 5}])
    def test_settings_that_serve_nothing_are_our_own_mistake(self, wrong: dict[str, int]) -> None:
        with pytest.raises(AssertionError):
            ChannelSettings(**wrong)
        ChannelSettings(**{name: value + 1 for name, value in wrong.items()})


class TestPasses:
    """What one pass over a queue takes; the next pass takes the others."""

    @pytest.mark.parametrize(
        ("channels", "calls"), [(claims.ROWS_MAX, 1), (claims.ROWS_MAX + 1, 2)]
    )
    def test_rows_of_a_claim(self, side: Side, channels: int, calls: int) -> None:
        earned(side.world, channels)
        assert side.drive().claims == channels
        assert len(side.chain.calls) == calls

    def test_channels_looked_at_for_claims(
        self, side: Side, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(claims, "CLAIMABLE_MAX", 3)
        earned(side.world, 4)
        assert [side.drive().claims for _ in range(3)] == [3, 1, 0]

    def test_deposits_that_nobody_can_bring_are_in_no_others_way(self, side: Side) -> None:
        """Sixty-four of somebody without money, then one that is good."""
        queue(side.world, claims.STEPS_MAX + 1)
        assert [side.drive().deposits for _ in range(3)] == [claims.STEPS_MAX, 1, claims.STEPS_MAX]
        assert len({call.data for call in side.chain.relayed}) == claims.STEPS_MAX + 1

    def test_refunds_that_would_revert_are_in_no_others_way(self, side: Side) -> None:
        """Sixty-four frozen payers, whose refunds revert, and then one whose refund goes."""
        world, many = side.world, claims.STEPS_MAX + 1
        items = earned(world, many, closed=True, claimed_minor=DUE_MINOR)
        for number, item in enumerate(sorted(items, key=lambda item: item.channel_id), start=1):
            config = replace(item.config, payer=Address("0x" + payer_of(number).hex()))
            store.put_channel(world.unit, replace(item, config=config))
        side.chain.frozen = [payer_of(number) for number in range(1, many)]
        assert [side.drive().refunds for _ in range(2)] == [0, 1]

    def test_receivers_paid(self, side: Side) -> None:
        world, many = side.world, claims.STEPS_MAX + 1
        for number, item in enumerate(earned(world, many, claimed_minor=DUE_MINOR)):
            config = replace(item.config, receiver=Address(f"0x{number + 1:040x}"))
            store.put_channel(world.unit, replace(item, config=config))
        side.chain.unpaid = True
        assert [side.drive().payments for _ in range(3)] == [claims.STEPS_MAX, 1, 0]

    def test_tries_of_a_step(self, side: Side) -> None:
        """The last try may still do it; after it nothing more is sent."""
        earned(side.world, 1)
        for _ in range(claims.ATTEMPTS_MAX - 1):
            assert side.drive().claims == 1
            side.chain.end(TransactionState.REVERTED)
        assert side.drive().claims == 1
        side.chain.end(TransactionState.REVERTED)
        assert side.drive().claims == 0

    def test_reports(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "REPORTS_MAX", 2)
        node = world.service(books=False)
        payments = [numbered(world, number) for number in range(3)]
        for payment in payments:
            store.put_unreported(world.unit, payment.ack.session_id, write_payment(payment))
        first = node.unreported(world.unit)
        assert len(first) == 2
        for payment in first:
            node.reported(world.unit, payment)
        (last,) = node.unreported(world.unit)
        assert {p.ack.session_id for p in (*first, last)} == {p.ack.session_id for p in payments}

    def test_a_page_of_channels_and_ids_in_a_statement(self, side: Side) -> None:
        """One more than goes at once is still found, on the next page or in the next statement."""
        unit, many = side.world.unit, store.IDS_MAX + 1
        items = earned(side.world, many)
        page = side.world.channels.channels(unit)
        rest = side.world.channels.channels(unit, after=page[-1].channel_id)
        assert (len(page), len(rest)) == (store.IDS_MAX, 1)
        ids = [bytes(item.channel_id[:16]) for item in items]
        for authorisation_id in ids:
            store.add_grant(unit, authorisation_id)
        assert store.sold(unit, ids) == set(ids)


class TestDocuments:
    """What the room reads."""

    def test_a_body(self) -> None:
        body = b'{"a":1}'
        assert read_document(body.ljust(BODY_OCTETS_MAX), ("a",)) == {"a": 1}
        with pytest.raises(PeerError, match="body_size"):
            read_document(body.ljust(BODY_OCTETS_MAX + 1), ("a",))

    def test_what_a_peer_wrote_is_told_back_in_part_only(self) -> None:
        with pytest.raises(PeerError) as caught:
            read_document(b'{"a": ' + b"1" * 200 + b".5}", ("a",))
        assert len(caught.value.detail) <= NAME_MAX

    @pytest.mark.parametrize("octets", [253, 254])
    def test_a_sessions_name(self, octets: int) -> None:
        body = json.dumps({"channel_id": to_hex(bytes(32)), "acct_session_id": "s" * octets})
        if octets == 253:
            assert read_begin(body.encode())[1] == "s" * octets
        else:
            with pytest.raises(PeerError, match="text"):
                read_begin(body.encode())

    def test_a_name_of_half_a_character_is_a_peers_mistake(self) -> None:
        body = {"channel_id": to_hex(bytes(32)), "acct_session_id": "\ud800"}
        with pytest.raises(PeerError, match="text"):
            read_begin(json.dumps(body).encode())

    @pytest.mark.parametrize(
        "text", ["", "01", "+1", "-1", "1.0", "٣", str(INT64_MAX + 1), "1" * 20]
    )
    def test_amounts(self, world: World, text: str) -> None:
        good = numbered(world, 0)
        most = json.loads(write_payment(replace(good, max_claimable_minor=INT64_MAX)))
        assert read_payment(json.dumps(most)).max_claimable_minor == INT64_MAX
        with pytest.raises(PeerError):
            read_payment(json.dumps({**most, "max_claimable_minor": text}))

    @pytest.mark.parametrize("more", [0, 1])
    def test_integers(self, world: World, more: int) -> None:
        """Counters go up to int64, a withdraw delay up to what the contract holds."""
        payment = json.loads(write_payment(numbered(world, 0)))
        payment["ack"]["octets_in"] = INT64_MAX + more
        config, deposit = world.payer().open(SIGNERS[HOME].address, 50_000, now_s=0)
        opening = json.loads(write_open(Mode.HOME, config, deposit))
        opening["config"]["withdraw_delay_s"] = (1 << 40) - 1 + more
        if more == 0:
            assert read_payment(json.dumps(payment)).ack.octets_in == INT64_MAX
            assert read_open(json.dumps(opening).encode())[1].withdraw_delay_s == (1 << 40) - 1
            return
        with pytest.raises(PeerError, match="integer"):
            read_payment(json.dumps(payment))
        with pytest.raises(PeerError, match="integer"):
            read_open(json.dumps(opening).encode())


def test_the_same_voucher_at_many_offline_nodes_costs_one_slice_in_all(world: World) -> None:
    """Each node has a lease of its own and is cut off; the phone shows one promise to all."""
    payer = world.payer()
    channel_id = world.opened(payer, deposit_minor=600_000)
    nodes, promise = [], None
    for number in range(1, 6):
        begun = world.begun(channel_id, node=f"node-{number}", name=f"s{number}")
        if promise is None:
            promise = payer.pay(world.asked(begun), counters(0, seconds=0), now_s=world.now_s)
        nodes.append((*away(world, begun), begun))
        world.at_us += (SETTINGS.lease_s + SETTINGS.skew_s) * 1_000_000
    assert isinstance(promise, Payment)
    served_minor = sum(shown(world, payer, promise, *node) for node in nodes)
    assert served_minor == promise.max_claimable_minor, "one slice, at the one node it was for"
    channel = store.channel(world.unit, channel_id)
    assert channel is not None
    assert channel.due_minor == 0, "and nobody acknowledged it: that slice is the loss"


def shown(
    world: World, payer: Payer, promise: Payment, unit: Any, node: Any, begun: Standing
) -> int:
    """What a node serves for a promise: shown as it is, and signed anew for the node's session."""
    session = begun.session
    ack = replace(promise.ack, session_id=session.session_id, cumulative_minor=session.base_minor)
    anew = payer.sign(ack, promise.max_claimable_minor)
    served_minor = 0
    for payment in (promise, anew):
        at_us = (begun.lease.expires_s - SETTINGS.lease_s) * 1_000_000
        taken = node.pay(unit, payment, at_us=at_us)
        if isinstance(taken, Standing):
            offered = node.offer(unit, taken.session)
            assert offered is not None
            if offered.paid:
                served_minor = offered.voucher_minor - session.base_minor
    return served_minor


def payer_of(number: int) -> bytes:
    return number.to_bytes(2, "big") * 10


def queue(world: World, many: int) -> None:
    """Deposits that wait to be brought to the chain."""
    template = world.channels.channel(world.unit, world.opened(world.payer()))
    assert template is not None
    (deposit,) = store.open_deposits(world.unit, 1)
    world.unit.execute(DEPOSITS.delete())
    for number in range(many):
        key = derive("test-channel", number)
        config = replace(template.config, salt=key)
        store.put_channel(world.unit, replace(template, channel_id=key, config=config))
        store.put_deposit(world.unit, replace(deposit, channel_id=key))


def numbered(world: World, number: int) -> Payment:
    """A payment of a session that nobody knows."""
    payer = world.payer()
    payer.open(SIGNERS[HOME].address, 50_000, now_s=world.now_s)
    session_id = derive("test-session", "unknown", number)
    asked = Asked(session_id=session_id, tariff_hash=bytes(32), base_minor=0)
    payment = payer.pay(asked, counters(0, seconds=0), now_s=world.now_s)
    assert isinstance(payment, Payment)
    return payment
