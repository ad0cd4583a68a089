"""Two daemons, two folders, two databases: one statement over loopback HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tests.app.conftest import Oc
from tests.app.test_cli import serve, stop

from opencarrier.app.exchanging import MEDIA, PATH, line_of, read_entries
from opencarrier.clearing.exchange.model import Entry, Message
from opencarrier.clearing.exchange.wire import OCTETS_MAX, seal
from opencarrier.kernel.ids import derive, from_hex
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import KeySigner

CUT_US = 1_000


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Oc, Oc, str, str, str]]:
    """Two installations that know each other's operator by its address; the second serves."""
    one, two = Oc(tmp_path / "one"), Oc(tmp_path / "two")
    made = [
        oc.json("operator", "add", name, "--jurisdiction", "FR")["address"]
        for oc, name in ((one, "Lumen"), (two, "Borea"))
    ]
    running = []
    try:
        running += [serve(one), serve(two)]
        yield one, two, *made, two.json("status")["http"]
    finally:
        for process in running:
            stop(process)


def entries(debtor: str, numbers: range, amount_minor: int = 1_000) -> list[Entry]:
    return [
        Entry(usage_id=derive("u", n), debtor=debtor, end_us=n, amount_minor=amount_minor)
        for n in numbers
    ]


def open_side(oc: Oc, name: str, peer: str, kept: list[Entry], sequence: int = 1) -> str:
    path = oc.data.parent / "entries.jsonl"
    path.write_text("".join(line_of(entry) + "\n" for entry in kept))
    words = ("--asset", "EUR", "--sequence", str(sequence), "--cut-us", str(CUT_US))
    return oc.json("exchange", "open", str(path), "--as", name, "--with", peer, *words)[
        "exchange_id"
    ]


@pytest.mark.deep
@pytest.mark.timeout(400)
def test_two_daemons_sign_one_statement_and_name_what_differs(pair):
    """Each has 200 usages; one is inflated beyond tolerance, one shaved within, one left out."""
    one, two, lumen, borea, url = pair
    mine = entries(lumen, range(200))
    theirs = [
        *entries(lumen, range(197)),
        *entries(lumen, range(197, 198), 5_000),
        *entries(lumen, range(198, 199), 1_030),
    ]
    identifier = open_side(one, "Lumen", borea, mine)
    assert open_side(two, "Borea", lumen, theirs) == identifier
    first = one.json("exchange", "run", identifier, "--url", url)
    second = two.json("exchange", "show", identifier)
    assert first["state"] == second["state"] == "co_signed"
    assert first["statement"] == second["statement"]
    assert first["signature"] == second["peer_signature"]
    assert {d["usage_id"]: (d["standing"], d["disputed_minor"]) for d in first["differences"]} == {
        "0x" + derive("u", 197).hex(): ("disputed", 4_000),
        "0x" + derive("u", 198).hex(): ("within_tolerance", 0),
        "0x" + derive("u", 199).hex(): ("unclaimed", 0),
    }
    owed = first["first_owes_minor"] + first["second_owes_minor"]
    assert owed == 199_000
    assert one.json("exchange", "run", identifier, "--url", url) == first
    _refuses_what_is_not_the_peers(url, identifier, borea)


def _refuses_what_is_not_the_peers(url: str, identifier: str, sender: str) -> None:
    stranger = KeySigner(b"\x07" * 32)
    message = Message(exchange_id=from_hex(identifier), sender=sender, cut_us=1)
    assert _refused(url, seal(message, stranger.sign)) == 400
    elsewhere = Message(exchange_id=derive("no", 1), sender=sender, cut_us=1)
    assert _refused(url, seal(elsewhere, stranger.sign)) == 404
    assert _refused(url, bytes(OCTETS_MAX + 1)) == 413
    assert _refused(url, b"\xff") == 400


def _refused(url: str, octets: bytes) -> int:
    request = Request(url + PATH, method="POST", data=octets, headers={"Content-Type": MEDIA})
    with pytest.raises(HTTPError) as caught:
        urlopen(request, timeout=30)
    return caught.value.code


def test_what_we_stand_by_does_not_change(oc, tmp_path):
    """The same file again is the same exchange; another cut or other entries are refused."""
    lumen = oc.json("operator", "add", "Lumen", "--jurisdiction", "FR")["address"]
    peer = KeySigner(b"\x09" * 32).address
    identifier = open_side(oc, "Lumen", peer, entries(lumen, range(3)))
    assert open_side(oc, "Lumen", peer, entries(lumen, range(3))) == identifier
    path = oc.data.parent / "entries.jsonl"
    words = ("--as", "Lumen", "--with", peer, "--asset", "EUR", "--sequence", "1", "--cut-us")
    refused = oc.run("exchange", "open", str(path), *words, "9", code=1)
    assert "exists_with_different_cut" in refused.stderr
    path.write_text("")
    refused = oc.run("exchange", "open", str(path), *words, str(CUT_US), code=1)
    assert "exists_with_different_entries" in refused.stderr
    nobody = oc.run("exchange", "run", identifier, "--url", "http://127.0.0.1:9", code=4)
    assert "nothing is doubled" in nobody.stderr


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
