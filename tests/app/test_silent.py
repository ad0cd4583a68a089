"""A network that falls silent: its session is ended after a grace, and the hold is free in time."""

from __future__ import annotations

from pathlib import Path

from tests.app.abroad import furnish, served
from tests.app.two_installations import ASSET, START_US, two_installations

from opencarrier.access.model import Metrics
from opencarrier.access.orders.silence import SilenceWatch
from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger

SECOND_US = 1_000_000
INTERIM_S, GRACE_S, REPORTED_S = 300, 120, 250


async def test_a_silent_session_is_ended_and_its_money_free_when_the_hold_is_over(
    tmp_path: Path,
) -> None:
    with two_installations(tmp_path) as two:
        base = two.lumen.base
        person = furnish(two.lumen, two.borea)
        await served(two.lumen, (AcctStatus.INTERIM_UPDATE, REPORTED_S, 1_024))
        watch = SilenceWatch(base.orders, base.usage, Metrics(), GRACE_S)
        silent_us = START_US + (REPORTED_S + INTERIM_S + GRACE_S) * SECOND_US
        for at_us in (START_US + (INTERIM_S + GRACE_S) * SECOND_US, silent_us - 1, silent_us):
            with base.store.write() as unit:
                if watch.is_due(unit, at_us):
                    watch.look(unit, at_us)
                orders = base.orders.lines(unit)
            assert [line.reason for line in orders] == (["silent"] if at_us == silent_us else [])
        name = chart.prepaid(person.party_id)
        with base.store.write() as unit:
            held = ledger.balance(unit, ASSET, name).free_minor
            over_us = START_US + (3_600 + 30 + base.settings.settlement_lag_s) * SECOND_US
            ledger.expire(unit, over_us)
            assert held < ledger.balance(unit, ASSET, name).free_minor == 10**12
        assert watch.metrics.silent == 1
