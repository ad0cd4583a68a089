"""`opencarrier pay` as a script uses it, against a server on this machine."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.paywall.test_client import OFFER, Server

from opencarrier.app.cli import pay as cli
from opencarrier.app.failures import ending
from opencarrier.app.output import Exit
from opencarrier.app.paying import ANSWER_OCTETS_MAX, UrlTransport
from opencarrier.paywall.client import Request
from opencarrier.paywall.wire.exchange import PAYMENT_SIGNATURE


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            return self._say(302, {"Location": "https://elsewhere.example/"}, b"")
        if self.path == "/long":
            return self._say(200, {}, bytes(ANSWER_OCTETS_MAX + 1))
        header = self.headers.get(PAYMENT_SIGNATURE)
        headers = {} if header is None else {PAYMENT_SIGNATURE: header}
        try:
            answer = self.server.shop.send(Request(method="GET", url=self.path), headers)
        except OSError:
            return self.connection.close()
        return self._say(answer.status, answer.headers, answer.body)

    def _say(self, status: int, headers: dict, body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    made.shop = Server()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def pay(server, tmp_path, *words: str, key: str = "11" * 32) -> tuple[int, str, str]:
    key_file = tmp_path / "payer.hex"
    key_file.write_text(key + "\n")
    command = [sys.executable, "-m", "opencarrier", "pay"]
    done = subprocess.run(
        [
            *command,
            f"http://127.0.0.1:{server.server_port}/thing",
            *("--key-file", str(key_file), "--records", str(tmp_path / "payments")),
            *("--asset", OFFER.asset, "--json", *words),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_it_pays_within_its_limit_and_says_what_and_to_whom(server, tmp_path):
    code, out, error = pay(server, tmp_path, "--max-minor", "1000")
    assert code == 0, error
    told = json.loads(out)
    assert told["paid_minor"] == 1_000
    assert told["paid_to"] == OFFER.receiver
    assert told["answer"] == {"weather": "fair"}
    assert len(server.shop.taken) == 1


def test_each_end_has_its_exit_code(server, tmp_path):
    """Above the limit 1, a bad key 2, an unknown outcome 4; then the same payment goes through."""
    code, words = ended(server, tmp_path, 999)
    assert (code, "above_limit" in words) == (Exit.REFUSED, True)
    code, words = ended(server, tmp_path, 1_000, key="11 secret words")
    assert code == Exit.USAGE
    assert "secret" not in words
    server.shop.faults = ["lost answer"]
    assert ended(server, tmp_path, 1_000)[0] == Exit.UNKNOWN
    assert ended(server, tmp_path, 1_000)[0] == Exit.DONE
    assert len(server.shop.taken) == 1


def ended(server, tmp_path, max_minor: int, key: str = "11" * 32) -> tuple[int, str]:
    """Run the command in this process; return how it ended and what it said."""
    key_file = tmp_path / "payer.hex"
    key_file.write_text(key)
    try:
        with redirect_stderr(io.StringIO()) as told, ending():
            cli.pay(
                f"http://127.0.0.1:{server.server_port}/thing",
                key_file=key_file,
                max_minor=max_minor,
                asset=OFFER.asset,
                records=tmp_path / "payments",
            )
    except SystemExit as end:
        return end.code, told.getvalue()
    return Exit.DONE, told.getvalue()


def test_no_redirect_is_followed_and_no_answer_is_endless(server):
    transport, base = UrlTransport(), f"http://127.0.0.1:{server.server_port}"
    assert transport.send(Request(method="GET", url=f"{base}/moved"), {}).status == 302
    with pytest.raises(OSError, match="more than"):
        transport.send(Request(method="GET", url=f"{base}/long"), {})
