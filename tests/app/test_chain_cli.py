"""`opencarrier chain`: status, deploy once, push a claim."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import update
from tests.app.scene import scene

from opencarrier.app.bootstrap import onchain, open_installation
from opencarrier.app.chain_status import chain_status
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.chain.client import shown_url
from opencarrier.chain.index import store as index_store
from opencarrier.chain.model import Call
from opencarrier.kernel.ids import derive
from opencarrier.settlement import store
from opencarrier.settlement.model import Alarm, Halt


def test_a_venue_is_deployed_once(run, tmp_path):
    """The second time is refused with what to do; status tells before and after."""
    data = ("--data", str(tmp_path / "venue"))
    first = json.loads(run("chain", "deploy", *data, "--json"))
    before = json.loads(run("chain", "status", *data, "--json"))
    assert before["deployed"]
    assert {name: c["address"] for name, c in before["contracts"].items()} == first["contracts"]
    again = run("chain", "deploy", *data, code=1)
    assert first["contracts"]["ClearingHouse"] in again
    assert "hint: a venue is put up once" in again
    after = json.loads(run("chain", "status", *data, "--json"))
    assert after["head"] == before["head"]


def test_status_does_not_deploy(run, tmp_path):
    data = ("--data", str(tmp_path / "venue"))
    run("operator", "add", "Lumen", "--jurisdiction", "FR", *data)
    told = json.loads(run("chain", "status", *data, "--json"))
    assert not told["deployed"]
    assert told["chain"] == "embedded:"
    assert not (tmp_path / "venue" / "chain.sqlite").exists()


def test_anybody_claims_for_a_host(run, tmp_path):
    """The claim pays the host's address whoever names it; a second finds nothing more."""
    data = ("--data", str(tmp_path))
    with scene(tmp_path, one_sided_window_s=0) as made:
        made.use("one", octets=50_000_000, grant=made.authorise())
        assert made.settle() == 1
        with made.place.base.store.read() as unit:
            (host,) = made.place.base.identity.directory.hosts(unit)
    told = json.loads(run("chain", "claim", host.payout, *data, "--json"))
    assert told["account"] == host.payout
    assert told["amount_minor"] == told["lifetime_minor"] > 0
    checked = json.loads(run("chain", "index", "--check", *data, "--json"))
    assert checked["agrees"]
    assert checked["numbers"] > 5
    books = json.loads(run("ledger", "check", *data, "--json"))
    assert books["numbers_rebuilt_from_events"] == checked["numbers"]
    again = run("chain", "claim", "Host", *data, code=1)
    assert "hint:" in again
    run("chain", "claim", "0x" + "11" * 20, *data, code=1)
    run("chain", "claim", "0x11", *data, code=1)
    run("chain", "claim", "Nobody", *data, code=1)


def test_a_number_that_differs_ends_with_one(run, tmp_path):
    """The contract's word and the events' are both shown, by the index and by the books' check."""
    data = ("--data", str(tmp_path))
    run("chain", "deploy", *data)
    run("operator", "add", "Lumen", "--jurisdiction", "FR", *data)
    run("operator", "deposit", "Lumen", "5000", *data)
    assert "block" in run("chain", "index", *data)
    base = open_installation(Folder(tmp_path), Settings())
    numbers = index_store.numbers
    with base.store.write() as unit:
        changed = update(numbers).where(numbers.c.name == "total").values(value=b"\x01")
        assert unit.execute(changed).rowcount == 1
    base.close()
    told = json.loads(run("chain", "index", "--check", *data, "--json", code=1))
    assert {(d["name"], d["told"], d["held"]) for d in told["differences"]} == {
        ("total", 1, 5000),
        ("total", 5000, 1),
    }
    assert "events and contract differ" in run("ledger", "check", *data, code=1)


def test_settling_goes_on_when_its_alarm_is_named(run, tmp_path):
    """Nobody resumes what they have not looked at, nor a cycle that is lost."""
    data = ("--data", str(tmp_path))
    run("chain", "deploy", *data)

    def halt(alarm: Alarm) -> None:
        base = open_installation(Folder(tmp_path), Settings())
        with onchain(base) as place, base.store.write() as unit:
            store.put_halt(unit, place.settlement.venue, Halt(alarm=alarm, detail="x", at_us=1))
        base.close()

    assert "not halted" in run("chain", "resume", "endpoints_differ", *data, code=1)
    halt(Alarm.ENDPOINTS_DIFFER)
    (alarm,) = json.loads(run("chain", "status", *data, "--json"))["alarms"]
    assert alarm == {"alarm": "endpoints_differ", "detail": "x"}
    assert "endpoints_differ" in run("chain", "resume", "deep_reorg", *data, code=1)
    run("chain", "resume", "endpoints_differ", *data)
    assert json.loads(run("chain", "status", *data, "--json"))["alarms"] == []
    halt(Alarm.SETTLED_OTHERWISE)
    assert "is lost" in run("chain", "resume", "settled_otherwise", *data, code=1)


def test_status_tells_what_is_under_way(tmp_path):
    """A transaction that nobody sent yet is listed, and the custody follower's lag counted."""
    with scene(tmp_path) as made:
        place = made.place
        quote = place.manager.quote(Call(to=place.manager.sender))
        with place.base.store.write() as unit:
            place.manager.prepare(unit, derive("test", "open"), quote, now_us=1)
        with place.base.store.read() as unit:
            told = chain_status(place, unit)
        (open_one,) = told["open_transactions"]
        assert (open_one["state"], open_one["nonce"]) == ("prepared", quote.nonce)
        assert told["followers"]["custody"] == {"block": told["final_block"], "behind": 0}
        assert told["final_block"] == told["head"]["number"]
        assert all(contract["code_as_pinned"] for contract in told["contracts"].values())
        assert told["alarms"] == []
        place.work.do(derive("test", "more"), Call(to=place.manager.sender))
        with place.base.store.read() as unit:
            assert chain_status(place, unit)["followers"]["custody"]["behind"] == 2


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("embedded:", "embedded:"),
        ("https://name:secret@rpc.example/v3/secret?key=secret", "https://rpc.example"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
    ],
)
def test_a_url_is_shown_without_its_key(url, shown):
    assert shown_url(url) == shown
