"""A session that outruns its money is slowed, then ended, by orders that are kept."""

from __future__ import annotations

from pathlib import Path

from tests.app.abroad import furnish, served
from tests.app.two_installations import START_US, two_installations

from opencarrier.access.wire.dictionary import AcctStatus

SECOND_US = 1_000_000


async def test_a_network_that_breaks_the_cap_is_ordered_to_slow_and_end(tmp_path: Path) -> None:
    """The plan allows 250,000 octets a second; a gigabyte in five minutes is four times that."""
    gigabyte = 10**9
    with two_installations(tmp_path) as two:
        furnish(*two.both())
        two.lumen.clock.set(START_US + 300 * SECOND_US)
        await served(
            two.lumen,
            (AcctStatus.INTERIM_UPDATE, 300, gigabyte // 20),
            (AcctStatus.INTERIM_UPDATE, 300, gigabyte),
        )
        base = two.lumen.base
        with base.store.read() as unit:
            (order,) = base.orders.lines(unit)
    assert (order.kind, order.reason, order.state) == ("change", "money_ended", "open")
