"""An operator's pages: they say what clearing and settlement hold, and to nobody else."""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html
from tests.console import pseudo
from tests.console.people import Installation, installation
from tests.console.trading import Trade

from opencarrier.app.console.views import flow as flows
from opencarrier.app.console.views import statements
from opencarrier.app.console.views.flow import FlowRow, FlowView, flow_of, folded, picture
from opencarrier.clearing.owed import Owed, PairSum
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.spine.money import Role
from opencarrier.spine.parties import PartyId

ROOT = Path(__file__).parents[2]
READERS = ("owner", "operator", "auditor", "onlooker")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Three operators that owe each other; two cycles are paid, and something is open."""
    with installation(tmp_path_factory.mktemp("operator")) as found:
        made, trade = found.made, Trade(found.made)
        trade.partner("Borea")
        for rounds in range(2):
            made.use(f"own-{rounds}", octets=52_000_000, grant=made.authorise())
            trade.use("Home", "Borea", 233_000_000)
            trade.use("Visited", "Home", 410_000_000)
            made.settle()
        yield found


@pytest.fixture(scope="module")
def party(home):
    return home.made.home.party_id


def nets(home: Installation, sequence: int) -> dict[str, int]:
    with home.base.store.read() as unit:
        ((_, attempt),) = home.made.place.settlement.cycles(unit, limit=1, before=sequence + 1)
    return {row.party: row.amount_minor for row in attempt.rows if not row.is_host}


# what is shown


def test_a_cycle_is_what_was_settled(home, party):
    """The operator's flow ends at the net that the chain paid; all nets are the order's."""
    told = home.browser("operator").ask(f"/v1/operators/{party}/cycles/2").json()
    expected = nets(home, 2)
    assert {one["party"]: one["amount_minor"] for one in told["nets"]} == expected
    assert told["flow"]["net_minor"] == told["row"]["own_minor"] == expected[party] != 0
    assert told["row"]["moved_minor"] == -sum(n for n in expected.values() if n < 0)
    names = {row["name"] for row in told["flow"]["incoming"] + told["flow"]["outgoing"]}
    assert {"Borea", "Visited"} <= names
    page = home.browser("operator").get(f"/operator/{party}/cycles/2").text
    assert f'href="/chain/tx/{told["tx_hash"]}"' in page
    assert f'value="{abs(expected[party])}"' in page


def test_the_overview_says_what_is_open_else_what_was_paid_last(home, party):
    browser = home.browser("operator")
    told = browser.ask(f"/v1/operators/{party}").json()
    assert told["open"]["incoming"] == []
    assert (told["last_sequence"], told["last"]["net_minor"]) == (2, nets(home, 2)[party])
    with home.base.store.read() as unit:
        balance = ledger.balance(unit, home.made.place.manifest.asset, chart.collateral(party))
    assert told["collateral_minor"] == balance.posted_minor
    page = browser.get(f"/operator/{party}").text
    assert re.search(r"<h1>Nothing is open: in cycle 2 Home", page)
    assert page.count('<svg class="flow-') == 2
    assert "style=" not in page
    assert browser.get(f"/operator/{party}/now").text.strip() in page


def test_cycles_are_walked_by_cursor(home, party):
    browser, path = home.browser("operator"), f"/v1/operators/{party}/cycles"
    whole = browser.ask(path).json()
    assert [row["sequence"] for row in whole["items"]] == [2, 1]
    assert whole["next"] is None
    first = browser.ask(f"{path}?limit=1").json()
    second = browser.ask(f"{path}?limit=1&cursor={first['next']}").json()
    assert [*first["items"], *second["items"]] == whole["items"]
    assert second["next"] is None
    for wrong in ("limit=0", "limit=101", "cursor=x", "cursor=WyJwZW9wbGUiLDJd"):
        assert browser.ask(f"{path}?{wrong}").status_code == 422, wrong
    assert 'href="/operator/' in browser.get(f"/operator/{party}/cycles").text
    assert browser.ask(f"{path}/99").status_code == 404


def test_a_cycle_says_what_makes_its_tap_file(home, party):
    """Filled in with who owes whom, by options that the command has."""
    visited = home.made.visited.party_id
    page = html.fromstring(home.browser("visited").get(f"/operator/{visited}/cycles/2").text)
    commands = page.xpath("//section[@id='statement']//code[@class='copy']/text()")
    command = next(one for one in commands if f"--home {party} --visited {visited} " in one)
    known = (ROOT / "docs/reference/commands.md").read_text().split("## opencarrier usage tap")[1]
    assert set(re.findall(r"--[a-z-]+", command)) <= set(re.findall(r"--[a-z-]+", known))


def test_a_statement_has_every_position_of_the_operator_and_no_other(home, party, monkeypatch):
    """As JSON and as CSV, read in as many parts as it takes; the net follows from it."""
    monkeypatch.setattr(statements, "CHUNK", 1)
    browser, path = home.browser("operator"), f"/v1/operators/{party}/cycles/2/statement"
    told = browser.ask(f"{path}.json").json()
    assert all(party in (one["debtor"], one["creditor"]) for one in told["positions"])
    with home.base.store.read() as unit:
        ((cycle, _),) = home.made.place.settlement.cycles(unit, limit=1)
        known = home.made.place.clearing.positions(unit, cycle.cycle_id)
    mine = [one for one in known if party in (one.position.debtor, one.position.creditor)]
    assert [one["position_id"] for one in told["positions"]] == [
        "0x" + one.position.position_id.hex() for one in mine
    ]
    assert all(
        len(one["signatures"]) == 2 for one in told["positions"] if one["rung"] != "one_sided"
    )
    visited = home.made.visited.party_id
    theirs = home.browser("visited").ask(f"{path.replace(party, visited)}.json").json()
    assert 0 < len(theirs["positions"]) < len(known)
    answer = browser.ask(f"{path}.csv")
    assert answer.headers["content-disposition"].endswith(f'filename="cycle-2-{party}.csv"')
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["position_id"] for row in rows] == [one["position_id"] for one in told["positions"]]
    net = sum(
        int(row["amount_minor"]) - int(row["passed_on_minor"])
        if row["direction"] == "owed"
        else -int(row["amount_minor"])
        for row in rows
        if row["debtor"] != row["creditor"]
    )
    assert net == told["own_minor"] == nets(home, 2)[party]


PAGES = ("", "/cycles", "/cycles/2", "/settle", "/agreements")


def test_no_page_has_a_text_that_no_catalogue_knows(home, party):
    """In a language made up for it: what wears no accent was never asked for."""
    browser = home.browser("operator")
    with pseudo.spoken(home.web.shell):
        found = {path: browser.get(f"/operator/{party}{path}").text for path in PAGES}
        found["choice"] = home.browser("owner").get("/operator").text
    assert not {path: bare for path, text in found.items() if (bare := pseudo.bare(text))}


# what is agreed


def agreed(home: Installation, party: str, other: str) -> str:
    """Return the hash of the agreement by which a party pays another."""
    rows = home.browser("operator").ask(f"/v1/operators/{party}/agreements").json()["items"]
    for row in rows:
        told = home.browser("operator").ask(f"/v1/operators/{party}/agreements/{row['agreement']}")
        if told.json()["lines"][0]["seller_name"] == other and row["name"] == other:
            return row["agreement"]
    raise AssertionError(other)


def test_agreements_are_walked_and_say_their_prices_in_plain_words(home, party):
    browser, path = home.browser("operator"), f"/v1/operators/{party}/agreements"
    whole = browser.ask(path).json()["items"]
    assert sorted(row["name"] for row in whole) == ["Borea", "Borea", "Home", "Visited", "Visited"]
    walked, cursor = [], ""
    while cursor is not None:
        part = browser.ask(f"{path}?limit=2&cursor={cursor}").json()
        walked += part["items"]
        cursor = part["next"]
    assert walked == whole
    agreement = agreed(home, party, "Visited")
    told = browser.ask(f"{path}/{agreement}").json()
    (line,) = told["lines"]
    assert (line["price_nano"], line["next_step"], line["plain_minor"]) == (1_900, 1_024, 1_855_469)
    page = browser.get(f"/operator/{party}/agreements/{agreement}").text
    assert "Home pays Visited" in page
    assert "a gigabyte" in page
    assert browser.ask(f"{path}/0x{'0' * 64}").status_code == 404
    assert browser.ask(f"{path}/0xno").status_code == 422


def test_another_tariff_is_tried_on_the_month_from_sums_alone(home, party):
    """What was charged is what is kept; a whole price without tax is what rating says, exactly."""
    agreement = agreed(home, party, "Borea")
    browser = home.browser("operator")
    path = f"/v1/operators/{party}/agreements/{agreement}/what-if"
    told = browser.ask(path).json()
    (line,) = told["lines"]
    steps = 2 * -(-(233_000_000 + 23_300_000) // 1_024)
    assert line["before_minor"] == line["least_minor"] == line["most_minor"]
    assert line["uses"] == 2
    cheaper = browser.ask(f"{path}?price=0:1000").json()["lines"][0]
    assert cheaper["least_minor"] == cheaper["most_minor"] == steps
    less = browser.ask(f"{path}?price=0:1000&discount_ppm=250000").json()["lines"][0]
    assert less["least_minor"] == less["most_minor"] == steps - (steps + 2) // 4
    odd = browser.ask(f"{path}?price=0:1001").json()["lines"][0]
    assert odd["why"] == ["rounding"]
    assert odd["least_minor"] <= steps * 1_001 // 1_000 <= odd["most_minor"]
    page = browser.get(
        f"/operator/{party}/agreements/{agreement}/what-if?price-0=0.9765625&discount="
    ).text
    assert "Exact to the last unit" in page
    assert "Home would have paid" in page
    assert f'value="{steps}"' in page
    for wrong in ("price=9:1", "price=0:-1", "price=x", "discount_ppm=1000001", "month=2026-13"):
        assert browser.ask(f"{path}?{wrong}").status_code == 422, wrong
    for wrong in ("price-0=x", "price-0=-1", "discount=101", "price-0=1e99"):
        found = browser.get(f"/operator/{party}/agreements/{agreement}/what-if?{wrong}")
        assert found.status_code == 422, wrong
    assert browser.ask(f"{path}?month=2020-01").json()["lines"] == []


def test_an_agreement_of_others_looks_absent(home, party):
    visited = home.made.visited.party_id
    agreement = agreed(home, party, "Borea")
    answer = home.browser("visited").ask(f"/v1/operators/{visited}/agreements/{agreement}")
    none = home.browser("visited").ask(f"/v1/operators/{visited}/agreements/0x{'1' * 64}")
    assert (answer.status_code, answer.text) == (none.status_code, none.text) == (404, none.text)


# for whom


def test_one_operator_is_led_on_and_several_are_chosen_from(home, party):
    answer = home.browser("operator").get("/operator")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/operator/{party}")
    page = home.browser("owner").get("/operator").text
    assert all(name in page for name in ("Home", "Visited", "Borea"))
    assert [
        one["name"] for one in home.browser("onlooker").ask("/v1/operators").json()["items"]
    ] == ["Home"]


def test_another_operator_looks_absent(home, party):
    """Whoever has no grant there gets octet for octet what is not there; readers read, alike."""
    paths = ["", "/cycles", "/cycles/2", "/cycles/2/statement.json", "/cycles/2/statement.csv"]
    paths.append("/agreements")
    for name in home.who:
        browser = home.browser(name)
        for path in paths:
            answer = browser.ask(f"/v1/operators/{party}{path}")
            assert (answer.status_code == 200) is (name in READERS), (name, path)
            if name not in READERS:
                absent = browser.ask(f"/v1/operators/op_none{path}")
                assert (answer.status_code, answer.text) == (absent.status_code, absent.text)
        page = browser.get(f"/operator/{party}/cycles/2")
        assert (page.status_code == 200) is (name in READERS)


def test_only_who_acts_there_settles(home, party):
    """The button is for its operators and the owner; an auditor sees none and cannot."""
    for name in home.who:
        browser, acts = home.browser(name), name in ("owner", "operator")
        assert (browser.get(f"/operator/{party}/settle").status_code == 200) is acts, name
        if name in READERS:
            assert ("Settle now" in browser.get(f"/operator/{party}").text) is acts
        if not acts:
            assert browser.form(f"/operator/{party}/settle").status_code == 404, name


# settling


def test_settling_by_hand_is_one_person_of_two_and_is_noted(home, party):
    """It closes the cycle, waits for another person whose name stands there, and is in the log."""
    made, browser = home.made, home.browser("operator")
    home.add("second", next(iter(grants_of(home, "operator"))))
    made.use("late", octets=9_000_000, grant=made.authorise())
    made.clock.set(made.clock.now_us() + 3_600_000_000)
    made.place.consent._people = 2
    try:
        answer = browser.form(f"/operator/{party}/settle")
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            f"/operator/{party}/cycles/3",
        )
        path = f"/operator/{party}/cycles/3"
        page = browser.get(path).text
        assert "1 more person has to approve this settlement" in page
        assert "second" in page
        told = browser.ask(f"/v1{path.replace('/operator/', '/operators/')}").json()
        assert told["row"]["state"] == "ordered"
        assert told["approval"]["by"] == ["operator"]
        assert told["approval"]["may"] == ["second"]
        looks_on = home.browser("auditor").ask(f"/v1/operators/{party}/cycles/3").json()
        assert (looks_on["approval"]["by"], looks_on["approval"]["may"]) == ([], [])
        assert looks_on["approval"]["given"] == 1
        assert "being settled now" in browser.get(f"/operator/{party}").text
        assert home.browser("second").form(f"/approvals/{told['approval']['approval']}/yes")
        assert home.browser("second").form(f"/operator/{party}/settle").status_code == 303
        assert browser.ask(f"/v1/operators/{party}/cycles/3").json()["row"]["state"] == "final"
    finally:
        made.place.consent._people = 0
    log = home.browser("owner").ask("/v1/audit").json()["items"]
    closed = [one for one in log if one["what"] == "cycle_closed"]
    assert [one["name"] for one in closed] == ["second", "operator"]


def grants_of(home: Installation, name: str):
    with home.base.store.read() as unit:
        return home.accounts.book.find(unit, home.who[name]).grants


def test_a_form_of_another_site_settles_nothing(home, party):
    browser = home.browser("operator")
    answer = browser.client.post(
        f"/operator/{party}/settle", headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 403


# the picture

SIDES = st.lists(st.integers(1, 2**40), max_size=12)


def pairs(amounts: list[int]) -> tuple[PairSum, ...]:
    return tuple(
        PairSum(other=PartyId(f"op_{n}"), amount_minor=amount, positions=1, records=1)
        for n, amount in enumerate(amounts)
    )


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.dictionaries(st.sampled_from(list(Role)[1:]), st.integers(1, 2**40)))
def test_both_sides_of_the_picture_are_equal_and_within_it(to_it, by_it, passed_on):
    view = flow_of(
        Owed(to_it=pairs(to_it), by_it=pairs(by_it), passed_on=passed_on, passed_to={}), str
    )
    assert view.total_minor == sum(row.amount_minor for row in view.outgoing)
    assert view.net_minor == sum(to_it) - sum(by_it) - sum(passed_on.values())
    assert view.owed_to_minor - view.owes_minor == view.net_minor
    assert view.set_off_minor + abs(view.net_minor) == max(view.owed_to_minor, view.owes_minor)
    if not view.total_minor:
        return
    drawn = picture(view, width=340, words=104)
    for left in (True, False):
        bands = [band for band in drawn.bands if band.is_left is left]
        assert len(bands) <= flows.ROWS_MAX
        assert sum(band.row.amount_minor for band in bands) == view.total_minor
        ends = [(band.bar_y, band.bar_y + band.bar_height) for band in bands]
        assert ends == sorted(ends)
        assert all(one[1] < other[0] for one, other in pairwise(ends))
        assert all(top >= 0 and bottom <= drawn.height for top, bottom in ends)
        assert drawn.middle_y <= drawn.height - drawn.middle_height


def test_what_is_paid_is_never_folded_away():
    rows = [
        FlowRow(kind="operator", party=str(n), name=str(n), amount_minor=1_000 - n)
        for n in range(flows.ROWS_MAX + 5)
    ]
    net = FlowRow(kind="net", party="", name="", amount_minor=1)
    shown = folded([*rows, net])
    assert shown[-1] == net
    assert shown[-2].kind == "others"
    assert len(shown) == flows.ROWS_MAX
    assert sum(row.amount_minor for row in shown) == sum(row.amount_minor for row in rows) + 1
    assert FlowView(incoming=tuple(rows), outgoing=(), net_minor=0).total_minor
