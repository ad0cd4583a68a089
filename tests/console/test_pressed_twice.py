"""Forms that move money or make a link: pressed twice, sent again, or cut off, they act once."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from tests.console.people import COOKIE, Browser, Installation, installation

from opencarrier.app import http_once
from opencarrier.app.console import nodes
from opencarrier.app.console.host import HostDesk, WithdrawReason
from opencarrier.app.console.locales import words
from opencarrier.app.console.refusals import why
from opencarrier.app.console.visitor import LOCALE_COOKIE
from opencarrier.identity import node_enrolment
from opencarrier.kernel.refusals import Refusal
from opencarrier.settlement.model import CloseRefusal

FORM = re.compile(r'<form method="post"[^>]*>(.*?)</form>', re.DOTALL)
HOUR_US = 3_600_000_000
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")
KEY = re.compile(r'name="once" value="([0-9a-f]{32})"')


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("pressed")) as found:
        yield found


def add_node(home: Installation, browser: Browser, name: str, **fields: str):
    path = f"/host/{home.made.node.host}/add-node"
    return browser.form(path, node_id=name, operator=home.made.visited.party_id, **fields)


@pytest.fixture
def held(monkeypatch):
    """Making a link begins, tells so, and goes on when it is let."""
    came, go, made = Event(), Event(), nodes._opened

    def slowly(*args):
        came.set()
        assert go.wait(20)
        return made(*args)

    monkeypatch.setattr(nodes, "_opened", slowly)
    return came, go


def tabs(home: Installation) -> tuple[Browser, Browser]:
    """Two pages of one session."""
    one, two = home.browser("owner"), home.browser()
    two.token = one.token
    two.client.cookies.set(COOKIE, one.token)
    return one, two


def link_in(page) -> str:
    return re.findall(r"printf %s .+ node join", page.text)[0]


def test_the_forms_that_move_something_carry_a_key_drawn_anew(home):
    """Each form on a page of its own key; no key twice."""
    subscriber, operator, owner = map(home.browser, ("subscriber", "operator", "owner"))
    pages = [
        (subscriber, f"/subscriber/{home.made.subscriber.party_id}/money"),
        (operator, f"/operator/{home.made.home.party_id}/settle"),
        (owner, f"/host/{home.made.node.host}/add-node"),
    ]
    keys = []
    for who, path in (*pages, *pages):
        page = who.get(path)
        assert page.status_code == 200, path
        forms = [one for one in FORM.findall(page.text) if 'name="csrf"' in one]
        meant = [one for one in forms if "sign-out" not in one]
        assert meant, path
        assert all(KEY.search(one) for one in meant), path
        keys += KEY.findall(page.text)
    assert len(set(keys)) == len(keys) >= 6


def test_pressed_twice_a_form_makes_one_link_and_shows_it_again(home):
    owner = home.browser("owner")
    one, two = (add_node(home, owner, "n-1", once="a") for _ in range(2))
    assert one.status_code == two.status_code == 200
    assert link_in(one) == link_in(two)
    assert "idempotency-replayed" not in one.headers
    assert two.headers["idempotency-replayed"] == "true"
    assert two.headers["content-security-policy"] == one.headers["content-security-policy"]
    assert link_in(add_node(home, owner, "n-1", once="b")) != link_in(one)
    assert link_in(add_node(home, owner, "n-1")) != link_in(one)


def test_a_cycle_is_closed_once_however_often_the_button_is_pressed(home):
    """The same press comes again when there is something to close once more: nothing is closed."""
    operator, path = home.browser("operator"), f"/operator/{home.made.home.party_id}/settle"
    told = []
    for key in ("the one", "the one", "another"):
        home.made.use(f"more-{len(told)}", octets=5_000_000, grant=home.made.authorise())
        home.made.clock.set(home.made.clock.now_us() + HOUR_US)
        told.append(operator.form(path, once=key).headers["location"])
    assert told[0].endswith("/cycles/1")
    assert told[1] == told[0]
    assert told[2].endswith("/cycles/2")


def test_what_was_corrected_is_another_request_and_a_refusal_is_not_kept(home):
    browser = home.browser("subscriber")
    account = f"/subscriber/{home.made.subscriber.party_id}"
    refused = browser.form(f"{account}/refund", once="r", amount="999999")
    assert refused.status_code >= 400
    corrected = browser.form(f"{account}/refund", once="r", amount="1.5")
    assert corrected.status_code == 303
    before = _asked_back(home)
    again = browser.form(f"{account}/refund", once="r", amount="1.5")
    assert (again.status_code, _asked_back(home)) == (303, before)
    other = browser.form(f"{account}0/refund", once="r", amount="1.5")
    assert (other.status_code, "retry-after" in other.headers) == (422, False), "another target"
    assert "Something in it does not fit" in other.text
    repeated = browser.form(f"{account}/refund", once="r", amount="999999")
    assert "idempotency-replayed" not in repeated.headers
    assert repeated.status_code == refused.status_code


def test_a_second_press_makes_no_second_secret_of_a_webhook(home):
    """It would end the one that signs beside the first for a day."""
    owner = home.browser("owner")
    made = {"party": "", "url": "https://hooks.example/in", "once": "h"}
    shown = [SECRET.findall(owner.form("/webhooks", **made).text) for _ in range(2)]
    assert shown[0] == shown[1] != []
    (hook,) = owner.ask("/v1/webhooks").json()["items"]
    rotate = f"/webhooks/{hook['endpoint']}/rotate"
    fresh = [SECRET.findall(owner.form(rotate, once="f").text) for _ in range(2)]
    assert fresh[0] == fresh[1] != shown[0]


def test_what_was_not_done_is_tried_again_by_the_same_press(home, monkeypatch):
    """A chain that was silent answers again, a link that was open is used."""
    owner, host = home.browser("owner"), home.made.node.host
    silent = Refusal(WithdrawReason.CHAIN_SILENT)
    monkeypatch.setattr(HostDesk, "_withdrawn", lambda *_: silent)
    refused = owner.form(f"/host/{host}/withdraw", once="w")
    assert refused.status_code == 409
    assert "try later" in refused.text
    unexpected = Refusal(CloseRefusal.CUT_BEFORE_LAST)
    monkeypatch.setattr(HostDesk, "_withdrawn", lambda *_: unexpected)
    owner.client.cookies.set(LOCALE_COOKIE, "ar")
    page = owner.form(f"/host/{host}/withdraw", once="w").text
    assert words("ar").sentence(why(unexpected, {})) in page
    owner.client.cookies.delete(LOCALE_COOKIE)
    monkeypatch.undo()
    again = owner.form(f"/host/{host}/withdraw", once="w")
    assert "idempotency-replayed" not in again.headers
    assert "try later" not in again.text
    monkeypatch.setattr(node_enrolment, "OPEN_MAX", 0)
    assert add_node(home, owner, "n-9", once="n").status_code == 409
    monkeypatch.undo()
    assert link_in(add_node(home, owner, "n-9", once="n"))


def _asked_back(home: Installation) -> int:
    told = home.browser("subscriber").ask(f"/v1/subscribers/{home.made.subscriber.party_id}/money")
    return int(told.json()["asked_back_minor"])


def test_the_second_of_two_presses_waits_for_the_firsts_answer(home, held):
    came, go = held
    one, two = tabs(home)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(add_node, home, one, "n-2", once="both")
        assert came.wait(20)
        second = pool.submit(add_node, home, two, "n-2", once="both")
        go.set()
        assert link_in(first.result(20)) == link_in(second.result(20))


@pytest.mark.parametrize("limit", ["WAITING_MAX", "WAITING_EACH_MAX"])
def test_more_presses_than_may_wait_are_told_to_come_again(home, held, monkeypatch, limit):
    came, go = held
    monkeypatch.setattr(http_once, limit, 0)
    one, two = tabs(home)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(add_node, home, one, "n-4", once=limit)
        assert came.wait(20)
        refused = add_node(home, two, "n-4", once=limit)
        go.set()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        link = link_in(first.result(20))
    assert link_in(add_node(home, two, "n-4", once=limit)) == link


def test_where_the_answer_was_lost_the_page_says_so_and_nothing_is_done_again(home, monkeypatch):
    owner, calls, made = home.browser("owner"), [], nodes._opened

    def fails(*args):
        calls.append(made(*args))
        raise RuntimeError("the process is as good as gone")

    monkeypatch.setattr(nodes, "_opened", fails)
    with pytest.raises(RuntimeError):
        add_node(home, owner, "n-3", once="lost")
    page = add_node(home, owner, "n-3", once="lost")
    assert page.status_code == 409
    assert "It is not known whether that was done" in page.text
    assert len(calls) == 1
