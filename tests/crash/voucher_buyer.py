"""Buys a quote by a voucher in a process of its own, as a request does; it may die on the way."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from tests.app.scene import START_US

from opencarrier.app.bootstrap import onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.app.selling import Desk
from opencarrier.app.selling_by_channel import ChannelDesk
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.paywall.by_channel import Bought
from opencarrier.paywall.wire.vouchers import read_channel_payment
from opencarrier.spine.usage import ZERO

RESOURCE = "a quote"


def main(root: str, header: str) -> int:
    """Buy once and write the answer to standard output."""
    base = open_installation(
        Folder(Path(root)),
        Settings(cycle_s=0, channels="x402"),
        clock=FixedClock(START_US + 60 * SECOND_US),
    )
    try:
        with onchain(base) as place:
            desk = Desk(place)
            sell = partial(desk.quote, home="Home", plan="prepaid", counters=ZERO)
            sales = place.channel_sales
            assert sales is not None
            bought = ChannelDesk(desk, sales).buy(RESOURCE, read_channel_payment(header), sell)
            assert isinstance(bought, Bought), bought
            sys.stdout.write(f"{bought.standing.due_minor} {bought.sale.answer}")
    finally:
        base.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
