"""A whole session paid as it is used: attach, open, pay, free tier, off, stop, cut, rate, claim."""

from __future__ import annotations

import asyncio

import pytest

from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.channels.model import Mode
from opencarrier.channels.rules import Phase
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart

from .paying import MIB, MONEY_MINOR, Paying, paying, sell_directly
from .scene import scene

SLICE_OCTETS = 2 * MIB
SETTINGS = {
    "radius_port": 0,
    "acct_port": 0,
    "http_port": 0,
    "slice_octets": SLICE_OCTETS,
    "slice_s": 60,
}


def test_a_session_is_paid_slice_by_slice_and_the_books_equal_the_contract(tmp_path) -> None:
    async def play() -> None:
        with scene(tmp_path, **SETTINGS) as made:
            async with paying(made) as ada:
                await whole_session(ada)

    asyncio.run(play())


async def whole_session(ada: Paying) -> None:
    made = ada.scene
    prepaid = chart.prepaid(made.subscriber.party_id)
    before = ada.posted(prepaid)
    home, subscriber = made.home.party_id, ada.payer.address
    attached, phone = await ada.attach()
    await ada.opened(phone, made.home.address)
    state = ada.contract.channel(ada.payer.channel_id).ask(made.place.client)
    assert state.balance_minor == MONEY_MINOR // 2, "the deposit came without the payer's gas"
    assert made.place.client.balance(subscriber) == 0

    await ada.report(attached, AcctStatus.START, "s1", 0, 0)
    begun = await asyncio.to_thread(phone.begin, "s1")
    assert begun.status == 200, begun
    assert phone.gate.phase is Phase.GARDEN
    assert phone.use(MIB, 1) == 0, "before the first voucher only the endpoint is reached"

    for number in range(1, 4):
        told = await asyncio.to_thread(phone.pay, now_s=ada.now_s)
        assert not isinstance(told, Refusal)
        assert told.status == 200, told
        assert phone.use(SLICE_OCTETS, 10) == SLICE_OCTETS
        await ada.report(
            attached, AcctStatus.INTERIM_UPDATE, "s1", 10 * number, number * SLICE_OCTETS
        )
    assert phone.gate.phase is Phase.FREE
    free_octets = made.place.channels.service.settings.free_octets
    assert phone.use(5 * MIB, 1) == free_octets
    assert phone.gate.phase is Phase.OFF
    assert phone.use(1, 1) == 0

    last = await asyncio.to_thread(phone.pay, now_s=ada.now_s, more=False)
    assert not isinstance(last, Refusal)
    due_minor = int(last.document["cumulative_minor"])
    assert due_minor == ada.payer._price(phone.counters)
    assert ada.posted(chart.vouchers(home)) == -due_minor
    assert ada.posted(prepaid) == before + due_minor
    assert (await asyncio.to_thread(phone.end)).document["ended"]
    lies = 40 * MIB
    await ada.report(attached, AcctStatus.STOP, "s1", 31, 3 * SLICE_OCTETS + free_octets + lies)

    await asyncio.to_thread(made.settle)
    assert made.closed is not None
    assert made.closed.usages == 1
    assert ada.posted(prepaid) == before, "all that was acknowledged was charged, and no more"
    assert ada.posted(chart.overrun(home)) == 0

    await asyncio.to_thread(phone.close)
    for _ in range(4):
        await ada.tend()
    state = ada.contract.channel(ada.payer.channel_id).ask(made.place.client)
    assert state.total_claimed_minor == due_minor
    assert state.balance_minor == due_minor, "what nobody earned went back"
    paid = ada.contract.receiver(made.home.address, made.place.manifest.token)
    assert paid.ask(made.place.client).total_settled_minor == due_minor
    assert ada.tokens(made.home.address) == due_minor
    assert ada.tokens(subscriber) == MONEY_MINOR - due_minor
    assert ada.posted(chart.vouchers(home)) == 0
    assert ada.posted(chart.claimed(home)) == 0
    ada.agrees()


@pytest.mark.deep
def test_strangers_are_not_heard_and_who_withdraws_is_not_served(tmp_path) -> None:
    async def play() -> None:
        with scene(tmp_path, **SETTINGS) as made:
            async with paying(made) as ada:
                await withdrawing(ada)
                await strangers(ada)

    asyncio.run(play())


async def strangers(ada: Paying) -> None:
    """The endpoint is heard by its session only, in its form only, and only so often."""
    made = ada.scene
    _, phone = await ada.attach()
    await ada.opened(phone, made.home.address)
    assert (await asyncio.to_thread(phone.begin, "s1")).status == 200
    endpoint = phone.endpoint
    told = await asyncio.to_thread(endpoint.get, "terms")
    assert told.document["receivers"]["home"] == made.home.address
    session = await asyncio.to_thread(phone.pay, now_s=ada.now_s)
    assert not isinstance(session, Refusal)
    name = f"session/{session.document['session_id']}"
    assert (await asyncio.to_thread(endpoint.get, name)).document == session.document

    _, other = await ada.attach()
    asked = [
        (await asyncio.to_thread(other.endpoint.get, name), 409, "unknown_session"),
        (await asyncio.to_thread(endpoint.get, "session/0x00"), 400, "form"),
        (await asyncio.to_thread(endpoint.post, "payment", "{}"), 400, "keys"),
        (await asyncio.to_thread(endpoint.post, "payment", "[" * 4_000), 400, "not_json"),
        (await asyncio.to_thread(endpoint.post, "payment", '{"a": 1.5}'), 400, "not_json"),
        (await asyncio.to_thread(endpoint.post, "payment", " " * 5_000), 413, "body_size"),
    ]
    for answer, status, title in asked:
        assert (answer.status, answer.document["title"]) == (status, title)
    endpoint._key = "00" * 64
    answer = await asyncio.to_thread(endpoint.get, name)
    assert (answer.status, answer.document["title"]) == (401, "unknown_key")
    endpoint._key = "zz"
    assert (await asyncio.to_thread(endpoint.get, name)).status == 401
    statuses = [(await asyncio.to_thread(other.endpoint.get, "terms")).status for _ in range(40)]
    assert 429 in statuses


async def withdrawing(ada: Paying) -> None:
    """The payer begins to withdraw while its session runs: what it used is claimed in time."""
    made, place = ada.scene, ada.scene.place
    _, phone = await ada.attach()
    await ada.opened(phone, made.home.address)
    await asyncio.to_thread(phone.begin, "s1")
    await asyncio.to_thread(phone.pay, now_s=ada.now_s)
    phone.use(SLICE_OCTETS, 10)
    with place.base.store.read() as unit:
        channel = ada.channels.service.channel(unit, ada.payer.channel_id)
    assert channel is not None
    await asyncio.to_thread(ada.withdraw, channel)
    await ada.tend()
    used = await asyncio.to_thread(phone.pay, now_s=ada.now_s, more=False)
    assert not isinstance(used, Refusal)
    assert used.status == 200, "what was used before is still acknowledged"
    refused = await asyncio.to_thread(phone.pay, now_s=ada.now_s)
    assert not isinstance(refused, Refusal)
    assert (refused.status, refused.document["title"]) == (409, "channel_ended")
    for _ in range(3):
        await ada.tend()
    state = ada.contract.channel(ada.payer.channel_id).ask(place.client)
    assert state.total_claimed_minor == ada.payer._price(phone.counters) > 0
    ada.agrees()


def test_a_long_session_outlives_its_lease(tmp_path) -> None:
    """The node's lease is renewed with the payment that finds it over."""

    async def play() -> None:
        with scene(tmp_path, **SETTINGS) as made:
            async with paying(made) as ada:
                _, phone = await ada.attach()
                await ada.opened(phone, made.home.address)
                await asyncio.to_thread(phone.begin, "s1")
                first = await asyncio.to_thread(phone.pay, now_s=ada.now_s)
                assert phone.use(SLICE_OCTETS, 10) == SLICE_OCTETS
                lease_s = ada.channels.service.settings.lease_s
                made.clock.set(made.clock.now_us() + lease_s * 1_000_000)
                later = await asyncio.to_thread(phone.pay, now_s=ada.now_s)
                assert not isinstance(first, Refusal)
                assert not isinstance(later, Refusal)
                assert later.status == 200, later
                assert first.document["lease"]["number"] == 1
                assert later.document["lease"]["number"] == 2

    asyncio.run(play())


@pytest.mark.deep
def test_a_direct_session_pays_the_visited_operator_and_makes_no_debt_of_the_home(tmp_path) -> None:
    async def play() -> None:
        with scene(tmp_path, **SETTINGS) as made:
            sell_directly(made)
            async with paying(made) as ada:
                await direct_session(ada)

    asyncio.run(play())


async def direct_session(ada: Paying) -> None:
    """The same use is never owed by voucher and by position: the visited operator is its home."""
    made, place = ada.scene, ada.scene.place
    visited, home = made.visited.party_id, made.home.party_id
    with place.base.store.write() as unit:
        ada.channels.service.enrol(unit, made.subscriber.party_id, Mode.DIRECT)
    attached, phone = await ada.attach()
    await ada.opened(phone, made.visited.address, Mode.DIRECT)
    await ada.report(attached, AcctStatus.START, "s1", 0, 0)
    assert (await asyncio.to_thread(phone.begin, "s1")).status == 200
    await asyncio.to_thread(phone.pay, now_s=ada.now_s)
    phone.use(SLICE_OCTETS, 10)
    last = await asyncio.to_thread(phone.pay, now_s=ada.now_s, more=False)
    assert not isinstance(last, Refusal)
    due_minor = int(last.document["cumulative_minor"])
    await ada.report(attached, AcctStatus.STOP, "s1", 10, SLICE_OCTETS)
    await asyncio.to_thread(made.settle)
    assert made.closed is not None
    with place.base.store.read() as unit:
        (usage,) = place.base.usage.usages(unit, made.closed.cycle.cycle_id)
    assert (usage.home, usage.visited) == (visited, visited)
    assert ada.posted(chart.vouchers(visited)) == -due_minor
    for account in (chart.clearing(home), chart.revenue(home), chart.vouchers(home)):
        assert ada.posted(account) == 0
    for _ in range(4):
        await ada.tend(everything=True)
    assert ada.tokens(made.visited.address) == due_minor > 0
    ada.agrees()
