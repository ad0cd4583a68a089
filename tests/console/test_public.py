"""What everybody sees of a network, and what only those whom it concerns."""

from __future__ import annotations

import re

import pytest
from tests.console.people import installation

from opencarrier.identity.accounts.model import Grant, Role


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("public")) as found:
        found.made.use("one", octets=5_000_000, grant=found.made.authorise())
        found.made.settle()
        found.add("earner", Grant(Role.HOST, found.made.node.host))
        yield found


def money(page: str, card: str) -> dict[str, list[int]]:
    """The amounts that a card says, by name."""
    found = re.search(rf'<section class="card[^>]*id="{card}".*?</section>', page, re.DOTALL)
    text = "" if found is None else found[0]
    rows = re.findall(r'<tr><td class="first"><bdi>(.*?)</bdi>(.*?)</tr>', text)
    amount = re.compile(r'class="money" value="(\d+)"')
    return {name: [int(value) for value in amount.findall(row)] for name, row in rows}


def shown(home, who: str, path: str = "/"):
    page = home.browser(who).get(path).text
    return money(page, "hosts"), money(page, "operators")


@pytest.mark.parametrize("path", ["/", "/network/now"])
@pytest.mark.parametrize("who", ["", "guest", "subscriber"])
def test_nobody_elses_money_is_told_by_name(home, who, path):
    hosts, operators = shown(home, who, path)
    assert hosts == {}
    assert operators == {"Home": [], "Visited": []}
    page = home.browser(who).get(path).text
    assert "No hosts yet" not in page
    assert "1 node" in page


@pytest.mark.parametrize("who", ["owner", "auditor"])
def test_who_reads_the_books_sees_all_of_it(home, who):
    hosts, operators = shown(home, who)
    assert hosts["Host"][0] > 0
    assert "Elsewhere" in hosts
    assert all(len(amounts) == 2 for amounts in operators.values())


def test_a_party_sees_its_own(home):
    hosts, operators = shown(home, "earner")
    assert list(hosts) == ["Host"]
    assert hosts["Host"][0] > 0
    assert operators == {"Home": [], "Visited": []}
    assert list(shown(home, "host")[0]) == ["Elsewhere"]
    hosts, operators = shown(home, "visited")
    assert hosts == {}
    assert (len(operators["Visited"]), operators["Home"]) == (2, [])
    assert len(shown(home, "onlooker")[1]["Home"]) == 2


def test_a_demo_shows_everything_to_everybody(home, monkeypatch):
    monkeypatch.setattr(home.web.shell, "demo", True)
    assert shown(home, "") == shown(home, "owner")


def test_what_one_sees_changes_nothing_for_the_next(home):
    before = shown(home, "owner")
    shown(home, "")
    assert shown(home, "owner") == before


def test_events_and_figures_say_no_partys_money(home):
    told = home.browser().ask("/v1/network").json()
    assert {name for name in told if name.endswith("_minor")} == {"paid_minor"}
    home.web.watch.look()
    for event in home.web.events._kept:
        assert not {home.made.node.host, home.made.home.party_id} & set(event.text.split('"'))
