"""kill -9 around facts and their webhooks: each fact that came true is heard, under one id."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.request import Request, urlopen

import pytest
from standardwebhooks import Webhook
from tests.crash.driver import Phone, close, play, running, up

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

REACHED = {"OPENCARRIER_WEBHOOK_NETWORKS": "127.0.0.0/8"}
POINTS = (
    "settlement.drive.before_post",
    "settlement.drive.after_post",
    "courier.sent",
    "courier.noted",
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


def register(found, url: str) -> str:
    """Register an endpoint of the installation's for settled cycles; return its secret."""
    headers = {"Authorization": f"Bearer {found.token}", "Content-Type": "application/json"}
    asked = json.dumps({"url": url, "kinds": ["cycle.settled"]}).encode()
    with urlopen(Request(f"{found.http}/v1/webhooks", data=asked, headers=headers)) as answer:
        return json.loads(answer.read())["secret"]


@pytest.mark.parametrize("point", POINTS)
def test_a_cycle_that_settled_is_heard_of(data, point):
    phone = Phone()
    with receiver() as (url, seen):
        with up(data, environ=REACHED) as process:
            secret = register(running(data, process), url)
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
            while not seen and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(3)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    told = [Webhook(secret).verify(body, headers) for headers, body in seen]
    assert {one["type"] for one in told} == {"cycle.settled"}
    sequences = Counter(one["data"]["sequence"] for one in told)
    identifiers = {headers["webhook-id"] for headers, _ in seen}
    assert len(sequences) == len(identifiers) >= 1
    assert max(sequences.values()) <= 2, "once more where it was not noted, never more"
    assert (point == "courier.sent") == (max(sequences.values()) == 2)
