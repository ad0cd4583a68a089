"""What the seller asks of the chain, and when: batches, one claim at a time, retries, refunds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import Connection, select

from opencarrier.chain.contracts import BatchChannels
from opencarrier.chain.errors import ChainUnavailableError, RevertedError
from opencarrier.chain.model import Call
from opencarrier.chain.rules import TransactionState
from opencarrier.channels import store
from opencarrier.channels.claims import ATTEMPTS_MAX, ROWS_MAX, Claimer
from opencarrier.channels.model import Channel, Lease
from opencarrier.channels.rules import claim_due
from opencarrier.channels.tables import CHANNELS, CLAIMS
from opencarrier.kernel.ids import Id, derive

from .worlds import SETTINGS, VENUE, Notary, World

DUE_MINOR = 700


@dataclass
class Record:
    state: TransactionState = TransactionState.PREPARED

    @property
    def is_terminal(self) -> bool:
        return self.state in (TransactionState.FINAL, TransactionState.REVERTED)


@dataclass
class Ledgerless:
    """A transaction manager, relayer and chain that keep what they are asked."""

    calls: dict[bytes, Call] = field(default_factory=dict)
    records: dict[bytes, Record] = field(default_factory=dict)
    relayed: list[Call] = field(default_factory=list)
    reverts: bool = False
    frozen: list[bytes] = field(default_factory=list)
    unpaid: bool = False
    away: bool = False

    def quote(self, call: Call) -> Call:
        if self.away:
            raise ChainUnavailableError("nobody there", outcome_unknown=False)
        if self.reverts or any(payer in call.data for payer in self.frozen):
            raise RevertedError(b"")
        return call

    def prepare(self, unit: Connection, intent: bytes, quote: Call, **_: Any) -> Record:
        self.calls[intent] = quote
        return self.records.setdefault(intent, Record())

    def find(self, unit: Connection, intent: bytes) -> Record | None:
        return self.records.get(intent)

    def submit(self, begin: Any, calls: list[Call], *, key: str, now_us: int) -> object:
        self.relayed += calls
        return object()

    def call(self, call: Call, at: object = None) -> bytes:
        """A receiver was paid all it claimed, unless `unpaid`; every refund nonce is zero."""
        if call.data[:4] != receivers_selector():
            return bytes(32)
        return int(self.unpaid).to_bytes(32, "big") + bytes(32)

    def end(self, state: TransactionState) -> None:
        for record in self.records.values():
            if not record.is_terminal:
                record.state = state


def receivers_selector() -> bytes:
    return BatchChannels(VENUE.contract).receiver(VENUE.token, VENUE.token).call.data[:4]


@dataclass
class Side:
    world: World
    chain: Ledgerless
    claimer: Claimer

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        yield self.world.unit

    def drive(self, **words: Any) -> Any:
        return self.claimer.drive(self.begin, now_us=self.world.at_us, **words)

    def under_way(self) -> int:
        return len(self.world.unit.execute(select(CLAIMS)).all())


@pytest.fixture
def side(world: World) -> Side:
    chain = Ledgerless()
    claimer = Claimer(VENUE, chain, chain, chain, Notary(), SETTINGS)  # type: ignore[arg-type]
    return Side(world, chain, claimer)


def earned(world: World, count: int, **changes: Any) -> list[Channel]:
    """Channels that have earned something, of one receiver."""
    template = world.channels.channel(world.unit, world.opened(world.payer()))
    assert template is not None
    world.unit.execute(CHANNELS.delete())
    store.finish_deposit(world.unit, template.channel_id)
    made = []
    for number in range(count):
        item = replace(
            template,
            channel_id=derive("test-channel", number),
            voucher_minor=1_000,
            voucher_signature=bytes(65),
            due_minor=DUE_MINOR,
            position_minor=DUE_MINOR,
            **changes,
        )
        store.put_channel(world.unit, item)
        made.append(item)
    return made


def test_a_hundred_channels_to_a_claim_and_none_twice(side: Side) -> None:
    earned(side.world, 150)
    report = side.drive()
    assert report.claims == 150
    assert len(side.chain.calls) == 2
    assert side.under_way() == 150
    assert ROWS_MAX == 100
    assert side.drive().claims == 0, "what is under way is not claimed again"


def test_a_claim_that_came_to_nothing_is_made_again_as_another(side: Side) -> None:
    earned(side.world, 3)
    side.drive()
    side.chain.end(TransactionState.REVERTED)
    assert side.drive().claims == 3
    assert len(side.chain.calls) == 2, "another intent with the same call"
    assert len({call.data for call in side.chain.calls.values()}) == 1


def test_tries_have_an_end(side: Side) -> None:
    earned(side.world, 1)
    for _ in range(ATTEMPTS_MAX + 3):
        side.drive()
        side.chain.end(TransactionState.REVERTED)
    assert len(side.chain.calls) == ATTEMPTS_MAX


def test_what_would_revert_now_waits_and_a_chain_that_is_away_is_told(side: Side) -> None:
    earned(side.world, 1)
    side.chain.reverts = True
    assert side.drive().claims == 0
    assert side.under_way() == 0
    side.chain.reverts, side.chain.away = False, True
    assert "nobody there" in side.drive().note
    side.chain.away = False
    assert side.drive().claims == 1


def test_nothing_is_claimed_without_the_receivers_key(side: Side) -> None:
    (item,) = earned(side.world, 1)
    stranger = replace(item.config, receiver_authorizer=item.config.payer)
    store.put_channel(side.world.unit, replace(item, config=stranger))
    assert side.drive().claims == 0


def test_a_closed_channel_gives_back_what_nobody_earned(side: Side) -> None:
    (item,) = earned(side.world, 1, closed=True)
    assert side.drive().refunds == 0, "first all that is due is claimed"
    side.chain.end(TransactionState.FINAL)
    store.put_channel(side.world.unit, replace(item, claimed_minor=DUE_MINOR))
    assert side.drive().refunds == 1
    assert side.drive().refunds == 0


def test_a_deposit_is_relayed_until_it_is_there_or_has_expired(side: Side) -> None:
    side.world.opened(side.world.payer())
    assert side.drive().deposits == 1
    assert side.drive().deposits == 1, "the relayer knows the same calls again"
    assert len({call.data for call in side.chain.relayed}) == 1
    side.world.at_us += 3_600 * 1_000_000
    assert side.drive().deposits == 0


def test_when_a_claim_is_due(world: World) -> None:
    (item,) = earned(world, 1)
    now_s = world.now_s
    lease = Lease(
        channel_id=Id(item.channel_id),
        number=1,
        node_id="node-1",
        floor_minor=0,
        ceiling_minor=1_000,
        expires_s=now_s + 1,
        position_minor=0,
    )

    def due(channel: Channel, held: Lease | None = lease, **changes: Any) -> bool:
        return claim_due(channel, held, now_s, replace(SETTINGS, **changes))

    assert not due(item), "a little, while its node serves, can wait"
    assert due(item, claim_minor=DUE_MINOR)
    assert not due(item, claim_minor=DUE_MINOR + 1)
    assert due(replace(item, withdrawing=True))
    assert due(replace(item, closed=True))
    assert due(item, None)
    assert due(item, replace(lease, returned=True))
    assert due(item, replace(lease, expires_s=now_s))
    assert not due(replace(item, claimed_minor=DUE_MINOR), None)
    assert not due(replace(item, deposited_minor=0), None)
