"""What a host sees: figures are the ledger's, nodes are its own, and taking out pays once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.app.scene import START_US, taken
from tests.console.people import Browser, Installation, installation

from opencarrier.app import venue
from opencarrier.app.console.views import host as views
from opencarrier.app.console.views.bars import HEIGHT, picture
from opencarrier.app.console.views.host import DayLine, ReasonLine
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.kernel.clock import SECOND_US
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger

DAY_US = 86_400 * SECOND_US


class DeadError(Exception):
    """The process ended there."""


def die(point: str) -> None:
    if point == "errand.kept":
        raise DeadError(point)


class Cafe:
    """The scene's host with a person of its own, three days of use, and a node that is silent."""

    def __init__(self, home: Installation) -> None:
        self.home, self.made, self.base = home, home.made, home.base
        self.party = home.made.node.host
        home.add("cafe", Grant(Role.HOST, self.party))
        with self.base.store.write() as unit:
            taken(
                self.base.identity.register.add_node(
                    unit,
                    node_id="node-2",
                    operator=home.made.visited.party_id,
                    host=self.party,
                )
            )
        for day in range(3):
            home.made.clock.set(START_US + day * DAY_US)
            home.made.use(f"day {day}", octets=5_000_000 * (day + 1), grant=home.made.authorise())
            home.made.settle()
        self.me = home.browser("cafe")
        home.web.watch.look()

    def told(self, path: str = "", **query: Any) -> Any:
        """Return what the API tells this host."""
        answer = self.me.client.get(f"/v1/hosts/{self.party}{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def noted(self) -> list[tuple[str, str, str]]:
        """Return the newest lines of the log: what, about what, how it ended."""
        with self.base.store.read() as unit:
            lines = self.base.accounts.audit.page(unit)
        return [(one.what, one.about, one.outcome) for one in lines]

    def balance(self, name: str):
        with self.base.store.read() as unit:
            return ledger.balance(unit, self.made.place.manifest.asset, name)

    def host(self):
        with self.base.store.read() as unit:
            return self.base.identity.directory.host(unit, self.party)


@pytest.fixture(scope="module")
def cafe(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("host")) as home:
        yield Cafe(home)


def test_figures_are_the_ledgers(cafe):
    """Earned by day, by reason and by node, accrued and payable: the sums of the books."""
    told, money = cafe.told(), cafe.told()["money"]
    entitled = cafe.balance(chart.entitled(cafe.host().payout, cafe.party))
    accrued = cafe.balance(chart.accrued(cafe.party))
    assert money["ever_minor"] == accrued.credits_posted == entitled.credits_posted > 0
    assert money["accrued_minor"] == accrued.posted_minor == 0
    days = told["earnings"]["days"]
    assert len(days) == views.DAYS
    by_day = [day["amount_minor"] for day in days[-3:]]
    assert sum(by_day) == money["ever_minor"] == told["earnings"]["amount_minor"]
    assert by_day[0] < by_day[1] < by_day[2] == money["today_minor"]
    assert [one["reason"] for one in told["earnings"]["reasons"]] == ["guests"]
    assert sum(day["octets"] for day in days) == 11 * 3_000_000
    one, two = told["shown"]["items"]
    assert (one["earned_minor"], two["earned_minor"]) == (money["ever_minor"], 0)
    assert (two["state"], two["heard_us"]) == ("silent", None)
    assert cafe.told("/earnings", days=2)["amount_minor"] == by_day[1] + by_day[2]
    node = cafe.told("/nodes/node-1")
    assert node["earnings"]["days"] == told["earnings"]["days"]
    assert node["node"] == one


def test_the_page_says_it_in_a_sentence(cafe):
    page = cafe.me.get(f"/host/{cafe.party}").text
    money = cafe.told()["money"]
    assert "Your 2 nodes" in page
    for figure in ("today_minor", "payable_minor", "ever_minor"):
        assert f'value="{money[figure]}"' in page
    assert cafe.me.get("/host").headers["location"] == f"/host/{cafe.party}"
    assert "node-1" in cafe.me.get(f"/host/{cafe.party}/nodes/node-1").text
    owner = cafe.home.browser("owner").get(f"/host/{cafe.party}").text
    assert "2 nodes earned" in owner


def test_who_looks_on_sees_money_and_no_button(cafe):
    auditor = cafe.home.browser("auditor")
    page = auditor.get(f"/host/{cafe.party}").text
    assert f'value="{cafe.told()["money"]["payable_minor"]}"' in page
    assert f"/host/{cafe.party}/withdraw" not in page
    assert f"/host/{cafe.party}/withdraw" in cafe.me.get(f"/host/{cafe.party}").text


def test_anothers_host_is_as_one_that_is_not_there(cafe):
    """Octet for octet, for every route, whoever asks; its own nodes only under its own name."""
    other = cafe.home.browser("host")
    absent = "host_" + "0" * 32
    ways = ("", "/nodes", "/nodes/node-1", "/earnings", "/claim")
    for way in ways:
        for who in (other, cafe.home.browser("onlooker")):
            theirs = who.ask(f"/v1/hosts/{cafe.party}{way}")
            none = who.ask(f"/v1/hosts/{absent}{way}")
            assert (theirs.status_code, theirs.text) == (none.status_code, none.text)
            assert theirs.status_code == 404
    for path in ("", "/withdraw", "/nodes/node-1"):
        theirs, none = other.get(f"/host/{cafe.party}{path}"), other.get(f"/host/{absent}{path}")
        assert (theirs.status_code, theirs.text) == (404, none.text)
    for path in (f"/host/{cafe.party}/withdraw", f"/v1/hosts/{cafe.party}/withdrawals"):
        assert other.form(path).status_code == 404
        assert cafe.home.browser("auditor").form(path).status_code == 404
    mine = cafe.home.host.party_id
    assert other.ask(f"/v1/hosts/{mine}/nodes/node-1").status_code == 404
    assert (
        cafe.home.browser("owner").ask(f"/v1/hosts/{cafe.made.visited.party_id}").status_code == 404
    )


def walked(browser: Browser, path: str, limit: int) -> list[dict]:
    """Follow the cursors of a list to its end."""
    found, cursor = [], ""
    while True:
        page = browser.client.get(path, params={"limit": limit, "cursor": cursor}).json()
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = page["next"]


def test_lists_are_walked_by_cursor(cafe):
    register, made = cafe.base.identity.register, cafe.made
    with cafe.base.store.write() as unit:
        host = taken(register.add_host(unit, name="Many"))
        names = [f"many {number:02d}/é" for number in range(7)]
        for name in names:
            taken(
                register.add_node(
                    unit, node_id=name, operator=made.visited.party_id, host=host.party_id
                )
            )
    owner = cafe.home.browser("owner")
    path = f"/v1/hosts/{host.party_id}/nodes"
    for limit in (1, 3, 7, 100):
        assert [one["node_id"] for one in walked(owner, path, limit)] == names
    hosts = [one["name"] for one in walked(owner, "/v1/hosts", 1)]
    assert hosts == ["Elsewhere", "Host", "Many"]
    assert [one["name"] for one in walked(cafe.me, "/v1/hosts", 1)] == ["Host"]
    for wrong in ({"limit": 0}, {"limit": 101}, {"cursor": "none of ours"}):
        assert owner.client.get(path, params=wrong).status_code == 422
    for days in (0, 367):
        assert (
            owner.client.get(f"/v1/hosts/{host.party_id}/earnings?days={days}").status_code == 422
        )


def test_nodes_are_counted_up_to_a_bound(cafe, monkeypatch):
    monkeypatch.setattr(views, "NODES_COUNTED_MAX", 1)
    assert "more than 1 nodes" in cafe.me.get(f"/host/{cafe.party}").text
    assert cafe.told()["has_more_nodes"]


def test_taking_out_pays_once_and_is_noted(tmp_path):
    """The page asks first; the books follow; again nothing is due, on the page and as JSON."""
    with installation(tmp_path) as home:
        cafe = Cafe(home)
        clock = cafe.made.clock
        clock.set(clock.now_us() + 7_200 * SECOND_US)
        home.web.watch.look()
        payable = cafe.told()["money"]["payable_minor"]
        assert payable == cafe.told()["money"]["ever_minor"]
        claim = cafe.told("/claim")
        assert (claim["function"], claim["to"]) == ("claim", cafe.made.place.manifest.distributor)
        assert claim["arguments"]["lifetime_amount"] == str(payable)
        asked = cafe.me.get(f"/host/{cafe.party}/withdraw").text
        assert f'value="{payable}"' in asked
        assert cafe.host().payout in asked
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(venue, "crashpoint", die)
            with pytest.raises(DeadError):
                cafe.me.form(f"/host/{cafe.party}/withdraw")
        assert cafe.noted()[0] == ("withdrawn", cafe.party, "ordered"), (
            "it stands before it is sent"
        )
        done = cafe.me.form(f"/host/{cafe.party}/withdraw")
        assert done.status_code == 200
        assert "was paid out" in done.text
        money = cafe.told()["money"]
        assert (money["payable_minor"], money["withdrawn_minor"]) == (0, payable)
        again = cafe.me.form(f"/host/{cafe.party}/withdraw").text
        assert "was withdrawn already" in again
        refused = cafe.me.script(f"/v1/hosts/{cafe.party}/withdrawals", {})
        assert (refused.status_code, refused.json()["title"]) == (409, "nothing_due")
        assert cafe.me.ask(f"/v1/hosts/{cafe.party}/claim").status_code == 409
        noted = [
            ("withdrawn", cafe.party, how) for how in ("nothing_due", "nothing_due", "ordered")
        ]
        assert [one for one in cafe.noted() if one[0] == "withdrawn"] == noted


def line(reason: str, amount: int) -> ReasonLine:
    return ReasonLine(reason=reason, amount_minor=amount, uses=0, octets=0)


def test_bars_stand_on_zero_within_the_picture():
    """Stacked without gaps or overlaps; what is below zero hangs from it."""
    amounts = ([("guests", 300), ("own", 100)], [("guests", 7), ("correction", -200)], [])
    days = [
        DayLine(
            from_us=number * DAY_US,
            amount_minor=sum(amount for _, amount in found),
            octets=0,
            reasons=tuple(line(*one) for one in found),
        )
        for number, found in enumerate(amounts)
    ]
    drawn = picture(days)
    first, second, third = drawn.days
    guests, own = first.bars
    assert own.y + own.height == guests.y
    assert guests.y + guests.height == drawn.zero
    assert own.y <= 1
    small, less = second.bars
    assert (less.y, less.reason) == (drawn.zero, "correction")
    assert less.y + less.height <= HEIGHT
    assert small.height < guests.height
    assert third.bars == ()
    assert drawn.most_minor == 400
    assert picture([days[2]]).zero == HEIGHT
