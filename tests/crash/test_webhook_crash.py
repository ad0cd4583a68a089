"""kill -9 around facts and their webhooks: each fact that came true is heard, under one id.

What is told a look later, of a cycle's receipts, is told with how far was looked, or neither is.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook
from tests.app.scene import taken
from tests.crash.driver import SUBSCRIBER, Phone, close, opened, play, running, up

from opencarrier.app.news import RECEIPTS
from opencarrier.spine.parties import PartyId
from opencarrier.webhooks import marks, store
from opencarrier.webhooks.model import INSTALLATION

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

REACHED = {"OPENCARRIER_WEBHOOK_NETWORKS": "127.0.0.0/8"}
POINTS = (
    "settlement.drive.before_post",
    "settlement.drive.after_post",
    "courier.sent",
    "courier.noted",
    "news.told",
    "news.kept",
)
HEARD_S = 60


class Receiver(BaseHTTPRequestHandler):
    """Notes what comes; it stays up whatever happens to the sender."""

    seen: list[tuple[dict[str, str], bytes]]

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append((dict(self.headers.items()), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def receiver():
    made = type("Made", (Receiver,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), made)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", made.seen
    finally:
        server.shutdown()


def register(data, url: str) -> str:
    """Register the installation for settled cycles; return its secret."""
    with opened(data) as place, place.base.store.write() as unit:
        hooks = place.base.webhooks
        return taken(hooks.add(unit, INSTALLATION, url, ("cycle.settled",), plain=True)).secret


def register_subscriber(data) -> None:
    """Register the subscriber for its receipts; its machine is never at an address like ours."""
    party = PartyId((data / SUBSCRIBER).read_text())
    with opened(data) as place, place.base.store.write() as unit:
        hooks = place.base.webhooks
        taken(hooks.add(unit, party, "https://machine.invalid/", ("receipt.ready",), plain=False))


def receipts_told(data) -> list[int]:
    """Return of which cycles the subscriber was told, and how far the telling came."""
    with opened(data) as place, place.base.store.read() as unit:
        query = select(store.messages.c.body).where(store.messages.c.kind == "receipt.ready")
        told = [json.loads(body)["data"]["sequence"] for body in unit.scalars(query)]
        kept = unit.execute(select(store.deliveries.c.kind)).scalars().all()
        assert kept.count("receipt.ready") == len(told)
        mark = marks.read(unit, RECEIPTS)
    assert mark is not None
    assert mark.number == max(told)
    return told


@pytest.mark.parametrize("point", POINTS)
def test_a_cycle_that_settled_is_heard_of(data, point):
    phone = Phone()
    carried = point.startswith("courier")  # where no other attempt may be the one that is killed
    with receiver() as (url, seen):
        secret = register(data, url)
        if not carried:
            register_subscriber(data)
        with up(data, environ=REACHED, crash_at=point) as process:
            found = running(data, process)
            assert found is not None
            play(found, phone)
            with suppress(OSError):
                close(found)
            assert process.wait(30) == -signal.SIGKILL
        if point.endswith("before_post"):
            assert not seen, "what did not come true is not told"
        with up(data, environ=REACHED) as process:
            found = running(data, process)
            assert found is not None
            close(found)
            deadline = time.monotonic() + HEARD_S
            wanted = 2 if point == "courier.sent" else 1  # what was sent and not noted comes again
            while len(seen) < wanted and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(3)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    if not carried:
        cycles = receipts_told(data)
        assert len(set(cycles)) == len(cycles) >= 1, "of each cycle once, whenever it was killed"
    told = [Webhook(secret).verify(body, headers) for headers, body in seen]
    assert {one["type"] for one in told} == {"cycle.settled"}
    sequences = Counter(one["data"]["sequence"] for one in told)
    identifiers = {headers["webhook-id"] for headers, _ in seen}
    assert len(sequences) == len(identifiers) >= 1
    assert max(sequences.values()) <= 2, "once more where it was not noted, never more"
    if not point.startswith("news"):
        assert (point == "courier.sent") == (max(sequences.values()) == 2)
