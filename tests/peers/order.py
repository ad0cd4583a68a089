"""Order a session's end at port 3799 of this host: SESSION. It prints what became of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

if __package__ is None:  # run by path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.access.fakes import FakeUnits
from tests.peers.test_access_orders import attach, metadata, sender

from opencarrier.access.orders.book import OrderBook
from opencarrier.access.orders.reach import PORT
from opencarrier.app.system import SystemClock


async def main(session: str) -> None:
    units, book = FakeUnits(), OrderBook()
    metadata.create_all(units.engine)
    with units.write() as unit:
        book.attached(unit, [attach(1, session)])
        at_us = SystemClock().now_us()
        book.disconnect(unit, bytes([1]) * 16, reason="test", at_us=at_us)
    await sender(units, PORT).tick()
    with units.read() as unit:
        line = book.lines(unit)[0]
    print(f"answer {line.answer} {line.state} {line.error_cause}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
