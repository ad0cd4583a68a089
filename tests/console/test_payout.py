"""Where a host is paid: asked for, taken back, changed not a second before the delay is over."""

from __future__ import annotations

import pytest
from tests.console.people import installation
from tests.console.pseudo import bare, spoken
from tests.console.test_host import Cafe, DeadError, die

from opencarrier.app import venue
from opencarrier.chain.contracts import RewardDistributor, StableToken
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.signatures import Address, KeySigner, checksummed

THERE = Address(KeySigner(bytes([41]) * 32).address)
ELSEWHERE = Address(KeySigner(bytes([42]) * 32).address)


@pytest.fixture(scope="module")
def cafe(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("payout")) as home:
        yield Cafe(home)


def test_a_change_waits_can_be_taken_back_and_counts_after_the_delay(cafe):
    path, pool = (
        f"/v1/hosts/{cafe.party}/payout",
        RewardDistributor(cafe.made.place.manifest.distributor),
    )
    account, token = cafe.host().payout, cafe.made.place.manifest.token
    first = cafe.told("/payout")
    assert (first["account"], first["payout"], first["wanted"]) == (account, account, None)
    assert cafe.me.script(f"{path}/apply", {}).json()["title"] == "not_asked"
    long = THERE + "0" * 200
    for text in ("0x" + "0" * 40, THERE[:-1], "paul", checksummed(THERE).swapcase(), long):
        answer = cafe.me.script(path, {"payout": text})
        assert (answer.status_code, answer.json()["title"]) == (409, "bad_address"), text
        assert cafe.noted()[0] == ("payout_asked", cafe.party, "bad_address"), "no words of its own"
        form = {"act": "ask", "payout": text, "sure": "yes"}
        assert "That is no address" in cafe.me.form(f"/host/{cafe.party}/payout", **form).text
    assert cafe.me.script(path, {"payout": account}).json()["title"] == "same_address"
    told = cafe.me.script(path, {"payout": checksummed(THERE)}).json()
    assert (told["payout"], told["wanted"], told["is_ready"]) == (account, THERE, False)
    assert cafe.me.script(f"{path}/cancel", {}).json()["wanted"] is None
    told = cafe.me.script(path, {"payout": ELSEWHERE}).json()

    at_s = told["ready_us"] // SECOND_US
    cafe.made.clock.set((at_s - 1) * SECOND_US)
    cafe.me = cafe.home.browser("cafe")
    assert cafe.me.script(f"{path}/apply", {}).json()["title"] == "not_ready"
    cafe.made.clock.set(at_s * SECOND_US)
    assert cafe.told("/payout")["is_ready"]
    call = cafe.told("/payout/call", act="apply")
    assert call["data"] == to_hex(pool.apply_payout(account, token).data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(venue, "crashpoint", die)
        with pytest.raises(DeadError):
            cafe.me.script(f"{path}/apply", {})
    ordered = ("payout_changed", cafe.party, "ordered")
    assert cafe.noted()[0] == ordered, "it stands before it is sent"
    told = cafe.me.script(f"{path}/apply", {}).json()
    assert (told["payout"], told["wanted"]) == (ELSEWHERE, None)
    done = cafe.me.form(f"/host/{cafe.party}/withdraw")
    assert "was paid out" in done.text
    held = StableToken(token).balance_of(ELSEWHERE).ask(cafe.made.place.client)
    assert held == cafe.told()["money"]["ever_minor"]
    with cafe.base.store.read() as unit:
        lines = cafe.home.accounts.audit.page(unit, before=None, limit=40)
    acts = [(one.what, one.outcome) for one in reversed(lines) if one.what.startswith("payout_")]
    assert acts[-3:] == [
        ("payout_asked", "ordered"),
        ("payout_changed", "not_ready"),
        ("payout_changed", "ordered"),
    ]


def test_the_page_asks_once_more_and_shows_the_same_call(cafe):
    path = f"/host/{cafe.party}/payout"
    form = {"act": "ask", "payout": THERE}
    sure = cafe.me.form(path, **form).text
    assert THERE in sure
    assert cafe.told("/payout")["wanted"] is None
    call = cafe.told("/payout/call", act="ask", payout=THERE)
    pool = RewardDistributor(cafe.made.place.manifest.distributor)
    token = cafe.made.place.manifest.token
    assert (call["to"], call["data"]) == (
        pool.address,
        to_hex(pool.request_payout(token, THERE).data),
    )
    assert "asked for" in cafe.me.form(path, **form, sure="yes").text
    assert cafe.told("/payout")["wanted"] == THERE
    with spoken(cafe.home.web.shell):
        assert not bare(cafe.me.get(path).text)
        for act in ("ask", "cancel"):
            assert not bare(cafe.me.form(path, act=act, payout=THERE).text)
    assert "taken back" in cafe.me.form(path, act="cancel", sure="yes").text
    assert "No change is asked for" in cafe.me.form(path, act="cancel", sure="yes").text
    assert cafe.me.form(path, act="steal").status_code == 422


def test_nobody_else_changes_it(cafe):
    path = f"/v1/hosts/{cafe.party}/payout"
    for who in ("host", "operator", "auditor", "onlooker", "subscriber"):
        browser = cafe.home.browser(who)
        for way in ("", "/cancel", "/apply"):
            assert browser.script(path + way, {"payout": THERE}).status_code == 404, who
        assert browser.form(f"/host/{cafe.party}/payout", act="cancel").status_code == 404
        assert browser.ask(path).status_code == 404
