"""Two daemons, two folders, two databases: one statement over loopback HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from typing import ClassVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.app.conftest import Oc
from tests.app.test_cli import serve, stop
from tests.app.two_installations import two_installations

from opencarrier.app.exchanging import PATH, line_of, read_entries
from opencarrier.app.http_exchange import exchange_routes
from opencarrier.clearing.exchange.model import Entry, Message
from opencarrier.clearing.exchange.wire import OCTETS_MAX, seal
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address, KeySigner

CUT_US = 1_000


def entries(debtor: str, numbers: range, amount_minor: int = 1_000) -> list[Entry]:
    return [
        Entry(usage_id=derive("u", n), debtor=debtor, end_us=n, amount_minor=amount_minor)
        for n in numbers
    ]


class Failing(BaseHTTPRequestHandler):
    """Passes messages on to a daemon, but loses some, brings some twice and some late."""

    target = ""
    random = Random(7)
    late: ClassVar[list[bytes]] = []
    mishaps: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        mishap = self.random.choice(["", "", "", "lost", "twice", "late", "unanswered"])
        self.mishaps.append(mishap)
        if mishap == "lost":
            self.late.append(body)
            return
        if mishap == "late" and self.late:
            self._pass(self.late.pop())
        if mishap == "twice":
            self._pass(body)
        answer = self._pass(body)
        if mishap == "unanswered":
            return
        self.send_response(200 if answer else 503)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _pass(self, body: bytes) -> bytes:
        request = Request(self.target + PATH, method="POST", data=body)
        try:
            with urlopen(request, timeout=30) as answer:
                return answer.read()
        except HTTPError:
            return b""

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def failing_line(target: str) -> Iterator[str]:
    """Serve a line to a daemon that fails now and then."""
    Failing.target = target
    server = ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def stop_of(session: str, octets: int) -> str:
    """A session's Stop as radiusd logs it."""
    return (
        "Mon Jan  5 10:00:00 2026\n"
        "\tAcct-Status-Type = Stop\n"
        f'\tAcct-Session-Id = "{session}"\n'
        '\tNAS-Identifier = "cafe-1"\n'
        "\tAcct-Session-Time = 60\n"
        "\tAcct-Input-Octets = 0\n"
        f"\tAcct-Output-Octets = {octets}\n"
        "\tTimestamp = 1767603600\n\n"
    )


def introduce(one: Oc, two: Oc, folder: Path) -> str:
    """Make each known to the other, agree on a tariff, add the node; return the asset."""
    known = {}
    for oc, name, country in ((one, "Lumen", "FR"), (two, "Borea", "NO")):
        oc.json("operator", "add", name, "--jurisdiction", country)
        known[name] = folder / f"{name}.json"
        oc.json("exchange", "card", "--as", name, "--out", str(known[name]))
    one.json("exchange", "partner", "know", str(known["Borea"]))
    two.json("exchange", "partner", "know", str(known["Lumen"]))
    draft, signed = folder / "draft.json", folder / "signed.json"
    pair = ("--home", "Lumen", "--visited", "Borea", "--price-nano", "1000000")
    asset = two.json("agreement", "add", *pair, "--draft", str(draft))["asset"]
    one.json("agreement", "sign", str(draft), "--out", str(signed))
    for oc in (one, two):
        oc.json("agreement", "add", str(signed))
        oc.json("host", "add", "Cafe")
        oc.json("node", "add", "cafe-1", "--operator", "Borea", "--host", "Cafe")
    return asset


def ingest_and_close(oc: Oc, folder: Path, sessions: dict[str, int]) -> None:
    path = folder / f"detail-{oc.data.parent.name}-{len(sessions)}"
    path.write_text("".join(stop_of(*item) for item in sessions.items()))
    words = ("--operator", "Borea", "--node", "cafe-1", "--home", "Lumen")
    assert oc.json("ingest", str(path), *words)["usage_new"] == len(sessions)
    oc.json("cycle", "close")


def co_signed(oc: Oc) -> dict:
    """Wait until a daemon's exchange is signed by both."""
    for _ in range(60):
        (line,) = oc.json("status")["exchanges"]
        if line["state"] == "co_signed":
            return oc.json("exchange", "show", line["exchange_id"])
        time.sleep(2)
    raise AssertionError(line)


@pytest.mark.crash
@pytest.mark.timeout(600)
def test_two_daemons_sign_one_statement_and_name_what_differs(tmp_path):
    """Each ingests its own accounting and closes its cycle; all else goes on by itself.

    One session is inflated beyond tolerance, one within, one never was, one was kept back.
    """
    one, two = Oc(tmp_path / "one"), Oc(tmp_path / "two")
    asset = introduce(one, two, tmp_path)
    plain = {f"s{n}": 102_400 for n in range(20)}
    running = []
    try:
        running += [serve(one), serve(two)]
        url = two.json("status")["http"]
        with failing_line(url) as line:
            for oc, own, peer, there in (
                (one, "Lumen", "Borea", line),
                (two, "Borea", "Lumen", one.json("status")["http"]),
            ):
                words = ("--as", own, "--url", there, "--asset", asset)
                oc.json("exchange", "partner", "add", peer, *words)
            ingest_and_close(one, tmp_path, {**plain, "a": 102_400, "b": 102_400, "d": 102_400})
            ingest_and_close(two, tmp_path, {**plain, "a": 512_000, "b": 103_424, "c": 102_400})
            first, second = co_signed(one), co_signed(two)
    finally:
        for process in running:
            stop(process)
    assert first["statement"] == second["statement"]
    assert first["signature"] == second["peer_signature"]
    named = sorted((d["standing"], d["disputed_minor"]) for d in first["differences"])
    assert named == [
        ("disputed", 400_000),
        ("one_sided", 0),
        ("unclaimed", 0),
        ("within_tolerance", 0),
    ]
    assert first["first_owes_minor"] + first["second_owes_minor"] == 22 * 100_000
    assert set(Failing.mishaps) > {""}


def test_the_door_refuses_what_is_not_the_peers(tmp_path):
    """A stranger's key and an unknown exchange 404 alike; the peer's mistake says what it is."""
    with two_installations(tmp_path) as two:
        two.meter("s", 102_400)
        two.borea.cycle(1)
        two.talk(1)
        app = FastAPI()
        exchange_routes(app, two.borea.base)
        client = TestClient(app)
        stranger, newest = KeySigner(b"\x07" * 32), two.borea.newest()
        with two.lumen.base.store.read() as unit:
            peer = two.lumen.base.identity.notary.signer(unit, two.lumen.own.address)
        told = {"sender": two.lumen.own.address, "cut_us": 1}
        known = Message(exchange_id=newest.terms.exchange_id, **told)
        unknown = replace(known, exchange_id=derive("no", 1))
        mistaken = replace(known, sender=Address(stranger.address))
        bodies = [seal(known, stranger.sign), seal(unknown, stranger.sign)]
        bodies += [seal(unknown, peer.sign), seal(mistaken, peer.sign)]
        bodies += [bytes(OCTETS_MAX + 1), b"\xff"]
        answers = [client.post(PATH, content=body) for body in bodies]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 400, 413, 400]
    nothing = {
        answer.text.replace(message.exchange_id.hex(), "ID")
        for answer, message in zip(answers, (known, unknown, unknown), strict=False)
    }
    assert len(nothing) == 1, "a third learns nothing of an exchange, not that it is"
    assert answers[3].json()["title"] == "wrong_sender"


def test_what_we_stand_by_does_not_change(here, tmp_path):
    """The same file again is the same exchange; another cut or other entries are refused."""

    def ask(*words: str) -> dict:
        return json.loads(here(*words, "--json"))

    lumen = ask("operator", "add", "Lumen", "--jurisdiction", "FR")["address"]
    peer, path = KeySigner(b"\x09" * 32).address, tmp_path / "entries.jsonl"
    path.write_text("".join(line_of(entry) + "\n" for entry in entries(lumen, range(3))))
    words = ("exchange", "open", str(path), "--as", "Lumen", "--with", peer)
    words += ("--asset", "EUR", "--sequence", "1", "--cut-us")
    identifier = ask(*words, str(CUT_US))["exchange_id"]
    assert ask(*words, str(CUT_US))["exchange_id"] == identifier
    assert "exists_with_different_cut" in here(*words, "9", code=1)
    path.write_text("")
    assert "exists_with_different_entries" in here(*words, str(CUT_US), code=1)
    nobody = here("exchange", "run", identifier, "--url", "http://127.0.0.1:9", code=4)
    assert "nothing is doubled" in nobody


def test_a_line_that_is_no_entry_is_named(tmp_path):
    good = line_of(entries("0x" + "ab" * 20, range(1))[0])
    path = tmp_path / "entries.jsonl"
    path.write_text(f"{good}\n{good[:-1]}\n")
    with pytest.raises(PeerError, match="line 2"):
        list(read_entries(path))
    path.write_text(json.dumps(json.loads(good) | {"amount_minor": 1.5}) + "\n")
    with pytest.raises(PeerError, match="line 1: out_of_bounds"):
        list(read_entries(path))
    path.write_text(good + " " * 4_096 + "\n")
    with pytest.raises(PeerError, match="longer"):
        list(read_entries(path))
