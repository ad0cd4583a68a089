"""Payments carried by an agent: judged without a book, packed and unpacked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.channels.carried import (
    ACK_OCTETS,
    VOUCHER_OCTETS,
    Contract,
    objection,
    pack,
    unpack,
)
from opencarrier.channels.model import Payment, UsageAck
from opencarrier.channels.rules import Standing
from opencarrier.channels.wire import read_brought, write_brought
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError, Refusal

from .worlds import START_US, VENUE, World, counters

CONTRACT = Contract(chain_id=VENUE.chain_id, address=VENUE.contract)
numbers = st.integers(0, INT64_MAX)
octets = st.binary(min_size=32, max_size=32).map(Id)
signatures = st.binary(min_size=65, max_size=65)
payments = st.builds(
    Payment,
    max_claimable_minor=numbers,
    voucher_signature=signatures,
    ack=st.builds(
        UsageAck,
        session_id=octets,
        sequence=numbers,
        octets_in=numbers,
        octets_out=numbers,
        duration_s=numbers,
        tariff_hash=octets,
        channel_id=octets,
        cumulative_minor=numbers,
    ),
    ack_signature=signatures,
)


@given(payments)
@settings(max_examples=30)
def test_what_is_packed_is_unpacked(payment: Payment) -> None:
    voucher, ack = pack(payment)
    assert (len(voucher), len(ack)) == (VOUCHER_OCTETS, ACK_OCTETS)
    assert unpack(voucher, ack) == payment


def test_other_sizes_and_amounts_nobody_has_are_a_peers_mistake() -> None:
    whole = bytes(VOUCHER_OCTETS), bytes(ACK_OCTETS)
    assert unpack(*whole).max_claimable_minor == 0
    high = bytearray(whole[0])
    high[32] = 1
    for voucher, ack in ((whole[0][1:], whole[1]), (whole[0], whole[1] + b"x"), (high, whole[1])):
        with pytest.raises(PeerError, match="carried_payment"):
            unpack(bytes(voucher), ack)


def test_the_agent_takes_what_the_seller_takes_and_only_for_the_session(world: World) -> None:
    payer = world.payer()
    channel_id = world.opened(payer)
    standing = world.begun(channel_id)
    asked = world.asked(standing)
    first = payer.pay(asked, counters(0), now_s=world.now_s)
    second = payer.pay(asked, counters(3_000), now_s=world.now_s)
    assert isinstance(first, Payment)
    assert isinstance(second, Payment)
    config, session_id = standing.channel.config, standing.session.session_id
    assert read_brought(write_brought(config, first).encode()) == (config, first)

    def judged(payment: Payment, before: Payment | None = None, **changes: object) -> str:
        told = {"session_id": session_id, "before": before, **changes}
        contract = told.pop("contract", CONTRACT)
        found = objection(contract, told.pop("config", config), payment, **told)
        return "taken" if found is None else found.code

    assert judged(first) == judged(second, first) == "taken"
    assert judged(first, first) == "ack_stale"
    assert judged(first, second) == "voucher_stale"
    assert judged(first, session_id=Id(bytes(32))) == "other_session"
    assert judged(first, config=replace(config, salt=bytes(32))) == "other_channel"
    assert judged(first, contract=replace(CONTRACT, chain_id=1)) == "other_channel"
    fallen = replace(second, ack=replace(second.ack, sequence=9, octets_in=0))
    assert judged(fallen, second) == "ack_falls"
    uncovered = replace(first, ack=replace(first.ack, cumulative_minor=INT64_MAX))
    assert judged(uncovered) == "ack_uncovered"
    assert judged(replace(first, voucher_signature=bytes(65))) == "voucher_signature"
    assert judged(replace(first, ack_signature=first.voucher_signature)) == "ack_signature"


def carried(world: World, payment: Payment, **changes: object) -> Standing | Refusal | None:
    told = {"session_id": payment.ack.session_id, "node_id": "node-1", **changes}
    return world.channels.carried(world.unit, *pack(payment), at_us=world.at_us, **told)


def test_a_carried_payment_counts_as_if_the_device_had_sent_it(world: World) -> None:
    payer = world.payer()
    standing = world.begun(world.opened(payer))
    asked = world.asked(standing)
    payment = payer.pay(asked, counters(0), now_s=world.now_s)
    assert isinstance(payment, Payment)
    other = carried(world, payment, session_id=Id(bytes(32)))
    assert isinstance(other, Refusal)
    assert other.code == "other_session"
    assert carried(world, payment) is None
    assert carried(world, payment) is None, "again it is the same"
    assert world.paid(payment).session.voucher_minor == payment.max_claimable_minor


def test_a_node_that_holds_its_lease_detached_reports_late_what_it_took(world: World) -> None:
    payer = world.payer()
    standing = world.begun(world.opened(payer))
    asked = world.asked(standing)
    payment = payer.pay(asked, counters(0), now_s=world.now_s)
    assert isinstance(payment, Payment)
    world.channels.detach(world.unit, asked.session_id)
    world.at_us = START_US + 10**12
    elsewhere = carried(world, payment, node_id="node-2")
    assert isinstance(elsewhere, Refusal)
    assert elsewhere.code == "no_lease"
    assert carried(world, payment) is None
