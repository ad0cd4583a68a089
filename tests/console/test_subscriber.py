"""A subscriber's account: bills that can be checked, whose account it is, what is done with it."""

from __future__ import annotations

import importlib
import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from tests.app.scene import SECOND_US, taken
from tests.console.people import ORIGIN, installation

from opencarrier.access.orders.model import Attach
from opencarrier.access.orders.store import ORDERS
from opencarrier.app.console.reading import WHOLE_DIGITS_MAX, minor_of
from opencarrier.app.console.subscriber import RECEIPTS, SESSIONS
from opencarrier.app.console.views import subscriber_sessions
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.kernel.calendar import month_of
from opencarrier.kernel.ids import derive
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.rating.tables import spent
from opencarrier.spine.usage import Status

MINE = [
    "", "/now", "/sessions", "/receipts", "/bill", "/connect", "/money", "/safety",
]  # fmt: skip
API = ["", "/money", "/price", "/devices", "/sessions", "/receipts", "/bill"]
OCTETS = (5_000_000, 52_000_000, 700_001)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Three sessions that are paid, one that goes on, and another subscriber."""
    with installation(tmp_path_factory.mktemp("subscriber")) as found:
        made = found.made
        for number, octets in enumerate(OCTETS):
            made.use(f"s{number}", octets=octets, grant=made.authorise())
            made.settle()
        _begin(found, "running", octets=2_000_000)
        with found.base.store.write() as unit:
            other = taken(
                found.base.identity.subscriptions.add(
                    unit, name="Bob", home=made.home.party_id, plan_id="prepaid"
                )
            )
        found.other = other
        found.add("bob", Grant(Role.SUBSCRIBER, other.party_id))
        yield found


def _begin(found, name, *, octets):
    """Let somebody on as the access side does, and report on it once."""
    made = found.made
    grant = made.authorise()
    with found.base.store.write() as unit:
        found.base.orders.attached(
            unit,
            [
                Attach(
                    authorisation_id=grant.authorisation_id,
                    client_id="c",
                    transport="udp",
                    host="127.0.0.1",
                    nas_identifier=made.node.nas_identifier,
                    acct_session_id=name,
                    cui="",
                    expires_us=grant.expires_us,
                )
            ],
        )
    made.use(name, octets=octets, seconds=60, grant=grant, status=Status.INTERIM)
    return grant


def path(found, rest=""):
    return f"/v1/subscribers/{found.made.subscriber.party_id}{rest}"


def browser_of(found, who="subscriber"):
    """One browser for each: an account has so many sessions only."""
    known = found.__dict__.setdefault("browsers", {})
    if who not in known:
        known[who] = found.browser(who)
    return known[who]


def told(found, rest="", who="subscriber"):
    answer = browser_of(found, who).ask(path(found, rest))
    assert answer.status_code == 200, answer.text
    return answer.json()


def walked(found, rest, limit):
    items, cursor = [], ""
    for _ in range(50):
        page = told(found, f"/{rest}?limit={limit}&cursor={cursor}")
        assert len(page["items"]) <= limit
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items
    raise AssertionError("the list does not end")


def paid_minor(found):
    """What left the prepaid account, as the ledger has it."""
    with found.base.store.read() as unit:
        name = chart.prepaid(found.made.subscriber.party_id)
        lines = ledger.statement(unit, found.made.place.manifest.asset, name, limit=1_000)
    return -sum(line.posted_minor for line in lines if line.code == "retail")


# what is told


def test_the_bill_sums_to_the_unit_and_is_what_the_ledger_moved(home):
    bill, receipts = told(home, "/bill"), walked(home, "receipts", 2)
    assert bill["charges"] == len(receipts) == len(OCTETS)
    assert bill["price_minor"] == sum(one["price_minor"] for one in receipts)
    assert bill["tax_minor"] == sum(one["tax_minor"] for one in receipts)
    assert bill["octets"] == sum(one["octets"] for one in receipts)
    assert bill["paid_minor"] == paid_minor(home) > 0
    for name in ("net", "tax", "price", "borne", "paid"):
        assert bill[f"{name}_minor"] == sum(line[f"{name}_minor"] for line in bill["lines"])
    assert bill["net_minor"] + bill["tax_minor"] == bill["price_minor"]
    assert bill["paid_minor"] + bill["borne_minor"] == bill["price_minor"]
    assert [line["operator"] for line in bill["lines"]] == ["Visited"]
    assert told(home, "?")["spent_minor"] == bill["paid_minor"]


def test_a_session_is_the_sum_of_its_parts(home):
    for line in walked(home, "sessions", 2)[1:]:
        one = told(home, f"/sessions/{line['session']}")
        assert one["line"] == line
        assert sum(part["price_minor"] for part in one["parts"]) == line["price_minor"]
        assert sum(part["tax_minor"] for part in one["parts"]) == one["tax_minor"]
        assert line["state"] == "paid"
        assert line["where"] == {"venue": "Host", "operator": "Visited", "country": "SN"}


@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("rest", ["sessions", "receipts"])
def test_a_list_is_the_same_however_it_is_walked(home, rest, limit):
    items = walked(home, rest, limit)
    assert items == walked(home, rest, 25)
    key = "began_us" if rest == "sessions" else "used_us"
    assert all(one[key] >= other[key] for one, other in pairwise(items))


@pytest.mark.parametrize(
    ("rest", "cursor"),
    [
        ("sessions", "x"),
        ("sessions", RECEIPTS.write((1, "aa", 1, "aa"))),
        ("sessions", SESSIONS.write((1, "no hex"))),
        ("receipts", RECEIPTS.write((1, "no hex", 1, "aa"))),
        ("receipts", RECEIPTS.write((1, "aa", 1, "é"))),
    ],
)
def test_a_cursor_of_nobodys_is_refused(home, rest, cursor):
    asked = browser_of(home).ask(path(home, f"/{rest}?cursor={cursor}"))
    assert asked.status_code == 422


@pytest.mark.parametrize("limit", [0, 101])
def test_a_page_has_its_limit(home, limit):
    assert browser_of(home).ask(path(home, f"/sessions?limit={limit}")).status_code == 422


def test_many_grants_that_came_to_nothing_are_passed_over_in_bounded_pages(home, monkeypatch):
    """A page ends after so many, with a cursor: what is behind them is found all the same."""
    before = walked(home, "receipts", 2)
    monkeypatch.setattr(subscriber_sessions, "SCANNED_MAX", 2)
    first = told(home, "/receipts?limit=25")
    assert len(first["items"]) < len(before)
    assert first["next"] is not None
    assert walked(home, "receipts", 25) == before


def test_the_meter_shows_what_goes_on_and_what_it_will_cost(home):
    (running,) = told(home)["running"]
    assert running["octets"] == 2_200_000
    assert running["charged_minor"] == 0
    price = told(home, "/price?octets=2200000&seconds=60")["examples"][0]["price_minor"]
    assert running["price_minor"] == price > 0
    assert 0 < running["held_minor"] == told(home)["held_minor"]
    page = browser_of(home).get(f"/subscriber/{home.made.subscriber.party_id}/now").text
    assert "2.2 MB" in page
    assert "<html" not in page


def test_a_month_without_charges_has_an_empty_bill(home):
    bill = told(home, "/bill?month=2025-12")
    assert (bill["charges"], bill["paid_minor"], bill["lines"]) == (0, 0, [])
    assert bill["is_over"]
    assert [one["month"] for one in bill["months"]] == ["2026-01"]
    for month in ("2025-13", "1", "yesterd"):
        assert browser_of(home).ask(path(home, f"/bill?month={month}")).status_code == 422


def test_the_sums_of_old_months_are_those_that_are_kept_now(home):
    """The migration that brought the sums computes what rating has added up since."""
    migration = importlib.import_module("opencarrier.app.migrations.versions.0048_spent_and_caps")
    with home.base.store.write() as unit:
        before = [dict(row) for row in unit.execute(select(spent)).mappings()]
        unit.execute(delete(spent))
        migration._sum_up(unit)
        assert [dict(row) for row in unit.execute(select(spent)).mappings()] == before != []


# whose account it is


@pytest.mark.parametrize("who", ["operator", "host", "auditor", "onlooker", "guest", "bob"])
def test_anothers_account_is_as_one_that_is_not_there(home, who):
    party, nobody = home.made.subscriber.party_id, "sub_" + "0" * 32
    browser = browser_of(home, who)
    session = told(home, "/sessions")["items"][0]["session"]
    paths = [f"/sessions/{session}", *API]
    for rest in paths:
        theirs = browser.ask(f"/v1/subscribers/{party}{rest}")
        absent = browser.ask(f"/v1/subscribers/{nobody}{rest}")
        assert (theirs.status_code, theirs.content) == (404, absent.content), rest
    for rest in MINE:
        theirs = browser.get(f"/subscriber/{party}{rest}")
        absent = browser.get(f"/subscriber/{nobody}{rest}")
        assert (theirs.status_code, theirs.content) == (404, absent.content), rest
    for act in ("cap", "refunds", "links", "lost", "export", "erase"):
        body = {"cap_minor": 1, "amount_minor": 1, "reference": "r", "confirm": party}
        theirs, absent = (
            browser.script(
                f"/v1/subscribers/{one}/{act}", body, **{"Idempotency-Key": f"{act} {one}"}
            )
            for one in (party, nobody)
        )
        assert (theirs.status_code, theirs.content) == (404, absent.content), act
    for act in ("cap", "refund", "connect", "lost", "export", "erase"):
        for fields in ({"amount": "1"}, {"amount": "1", "sure": "yes", "word": "ERASE"}):
            theirs, absent = (
                browser.form(f"/subscriber/{one}/{act}", **fields) for one in (party, nobody)
            )
            assert (theirs.status_code, theirs.content) == (404, absent.content), act
    assert told(home)["cap"] is None


def test_anothers_session_is_as_one_that_is_not_there(home):
    session = told(home, "/sessions")["items"][0]["session"]
    bob = browser_of(home, "bob")
    for one in (session, "ab" * 16, "no id", session.upper(), session[:-2]):
        answer = bob.ask(f"/v1/subscribers/{home.other.party_id}/sessions/{one}")
        assert answer.status_code == 404, one
        assert answer.json()["detail"] == "Not Found"
    page = bob.get(f"/subscriber/{home.other.party_id}/sessions/{session}")
    assert (
        page.content == bob.get(f"/subscriber/{home.other.party_id}/sessions/{'ab' * 16}").content
    )


def test_everybody_comes_to_its_own_account(home):
    mine = f"/subscriber/{home.made.subscriber.party_id}"
    assert browser_of(home).get("/subscriber").headers["location"] == mine
    owner = browser_of(home, "owner")
    assert "name or id" in owner.get("/subscriber").text
    assert owner.get("/subscriber?who=Ada").headers["location"] == mine
    assert "Nobody here" in owner.get("/subscriber?who=Eve").text
    for rest in MINE:
        assert owner.get(mine + rest).status_code == 200, rest
    assert 'href="/subscriber"' in browser_of(home).get("/").text
    assert 'href="/subscriber"' not in browser_of(home, "host").get("/").text


def test_no_page_says_more_than_where_and_what(home):
    """No IMSI, no credential, no pseudonym, no name of another."""
    for rest in MINE:
        page = browser_of(home).get(f"/subscriber/{home.made.subscriber.party_id}{rest}").text
        assert "208930000000001" not in page
        assert "Bob" not in page


# what is done


def acted(found, act, body, *, key, who="subscriber"):
    return browser_of(found, who).script(path(found, f"/{act}"), body, **{"Idempotency-Key": key})


def newest_line(found):
    return browser_of(found, "owner").ask("/v1/audit").json()["items"][0]


def test_a_cap_is_set_bounds_what_is_held_and_lifts(home):
    form = f"/subscriber/{home.made.subscriber.party_id}/cap"
    subscriber = browser_of(home)
    assert subscriber.form(form, amount="2,50").status_code == 303
    assert newest_line(home)["what"] == "cap_set"
    view = told(home)
    cap = view["cap"]
    assert cap["cap_minor"] == 2_500_000
    assert cap["spent_minor"] == view["spent_minor"]
    assert cap["left_minor"] == max(0, 2_500_000 - cap["spent_minor"] - cap["held_minor"])
    for amount in ("", "-1", "1e3", "1.0000001", "٣", "9" * 20):
        assert subscriber.form(form, amount=amount).status_code in (409, 422), amount
    assert acted(home, "cap", {"cap_minor": None}, key="lift").status_code == 200
    assert told(home)["cap"] is None
    for wrong in (-1, 2**63, True, "5", 1.5):
        assert acted(home, "cap", {"cap_minor": wrong}, key=f"w{wrong}").status_code == 422


@settings(max_examples=30)
@given(st.integers(0, 10 ** (WHOLE_DIGITS_MAX + 6) - 1))
def test_an_amount_is_read_as_it_is_written(minor):
    whole, rest = divmod(minor, 10**6)
    assert minor_of(f"{whole}.{rest:06}") == minor_of(f" {whole},{rest:06} ") == minor


@pytest.mark.parametrize(
    "text", ["1E999999", "1e5", "NaN", "-1", "1_0", "\u0661", "", ".", "5.0000001", "1" * 13]
)
def test_what_is_no_amount_is_refused_before_anything_is_computed(home, text):
    """An exponent in eight characters would be a number that takes minutes to write out."""
    party = home.made.subscriber.party_id
    assert browser_of(home).form(f"/subscriber/{party}/cap", amount=text).status_code == 422
    assert minor_of(f"{'9' * WHOLE_DIGITS_MAX}.999999") < 2**63


def test_money_is_asked_back_once_and_both_sides_are_booked(home):
    before = told(home)
    body = {"amount_minor": 1_000_000, "reference": "mine"}
    for key in ("first", "second"):
        assert acted(home, "refunds", body, key=key).status_code == 200
    after = told(home)
    assert before["free_minor"] - after["free_minor"] == 1_000_000
    assert after["asked_back_minor"] == 1_000_000
    too_much = {"amount_minor": after["free_minor"] + 1, "reference": "more"}
    answer = acted(home, "refunds", too_much, key="more")
    assert (answer.status_code, answer.json()["title"]) == (409, "exceeds_credits")
    assert told(home) == after
    for wrong in ({"amount_minor": 1}, {"amount_minor": 1, "reference": "x" * 256}):
        assert acted(home, "refunds", wrong, key=f"w{len(str(wrong))}").status_code == 422
    assert acted(home, "refunds", {**body, "amount_minor": 0}, key="nil").status_code == 409


def test_where_no_profiles_are_made_the_page_says_what_to_do(home):
    subscriber = browser_of(home)
    party = home.made.subscriber.party_id
    page = subscriber.get(f"/subscriber/{party}/connect").text
    assert "Ask Home for one" in page
    assert "enrol_url" not in page, "what the owner has to do is told to the owner"
    assert "enrol_url" in browser_of(home, "owner").get(f"/subscriber/{party}/connect").text
    assert subscriber.form(f"/subscriber/{party}/connect").status_code == 409
    assert acted(home, "links", {}, key="link").status_code == 409


def test_export_gives_what_the_command_gives_and_is_noted(home):
    party = home.made.subscriber.party_id
    answer = browser_of(home).form(f"/subscriber/{party}/export")
    assert answer.headers["content-disposition"] == f'attachment; filename="{party}.json"'
    found = answer.json()
    assert {"rating_spent", "usage", "rating_charges"} <= set(found["tables"])
    assert json.dumps(found).count(party) > 3
    assert newest_line(home)["what"] == "data_exported"
    again = acted(home, "export", {}, key="export").json()
    assert again["ledger"] == found["ledger"]
    assert set(again["tables"]) == set(found["tables"])


def test_a_lost_phone_is_put_out_at_once(tmp_path):
    with installation(tmp_path) as found:
        grant = _begin(found, "on air", octets=1_000)
        party = found.made.subscriber.party_id
        subscriber, elsewhere = browser_of(found), found.browser("subscriber")
        with found.base.store.write() as unit:
            login = found.base.identity.logins.add_password(
                unit, subscriber=party, user_name="ada", password="correct horse battery"
            )
            taken(login)
            token, _ = taken(found.base.identity.enrolments.open(unit, party, ttl_s=60, uses=1))
        assert subscriber.form(f"/subscriber/{party}/lost").status_code == 409
        assert all(one["holds"] for one in told(found, "/devices")["devices"])
        page = subscriber.form(f"/subscriber/{party}/lost", sure="yes")
        assert page.status_code == 200
        assert newest_line(found)["what"] == "lost_phone"
        assert elsewhere.ask("/v1/me").status_code == 401, "the phone's own browser is out"
        assert not any(
            one["holds"] for one in subscriber.ask(path(found, "/devices")).json()["devices"]
        )
        with found.base.store.read() as unit:
            orders = unit.execute(select(ORDERS)).all()
            link = found.base.identity.enrolments.find(unit, token)
        assert [(one.authorisation_id, one.kind) for one in orders] == [
            (grant.authorisation_id, "disconnect")
        ]
        assert str(link).startswith("unknown_token")
        again = subscriber.script(path(found, "/lost"), {}, **{"Idempotency-Key": "again"}).json()
        assert again == {"sessions_ended": 1, "unreachable": 0, "revoked": 0}


def test_erasing_wants_a_word_nothing_under_way_and_takes_the_account(tmp_path):
    with installation(tmp_path) as found:
        party = found.made.subscriber.party_id
        form = f"/subscriber/{party}/erase"
        subscriber = browser_of(found)
        assert subscriber.form(form, word="erase").status_code == 409
        refused = subscriber.form(form, word="ERASE")
        assert refused.status_code == 409
        assert "Ask for it back" in refused.text
        assert acted(found, "erase", {"confirm": "me"}, key="wrong").status_code == 422
        told_no = acted(found, "erase", {"confirm": party}, key="left")
        assert (told_no.status_code, told_no.json()["title"]) == (409, "money_left")
        everything = {"amount_minor": told(found)["free_minor"], "reference": "all"}
        assert acted(found, "refunds", everything, key="all").status_code == 200
        assert "Ask for it back" in subscriber.form(form, word="ERASE").text
        for who in ("subscriber", "owner"):
            assert acted(found, "export", {}, key="mine", who=who).status_code == 200
        assert acted(found, "export", {}, key="mine", who="owner").headers["idempotency-replayed"]
        done = subscriber.form(form, word="ERASE", waive="yes")
        assert done.status_code == 200
        assert "gone from here" in done.text
        assert subscriber.ask("/v1/me").status_code == 401
        assert found.browser("owner").ask(path(found)).status_code == 404
        assert acted(found, "export", {}, key="mine", who="owner").status_code == 404
        line = newest_line(found)
        assert (line["what"], line["came_from"]) == ("erased", "")


def test_a_form_of_another_site_changes_nothing(home):
    party = home.made.subscriber.party_id
    subscriber = browser_of(home)
    for act in ("cap", "refund", "connect", "lost", "export", "erase"):
        answer = subscriber.client.post(
            f"/subscriber/{party}/{act}", data={"amount": "1"}, headers={"Origin": "https://evil"}
        )
        assert answer.status_code == 403, act
        answer = subscriber.client.post(
            f"/subscriber/{party}/{act}", data={"amount": "1"}, headers={"Origin": ORIGIN}
        )
        assert answer.status_code == 403, act


# sums, whatever is used


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(uses=st.lists(st.integers(0, 3_000_000), min_size=1, max_size=4))
def test_whatever_is_used_the_bill_is_what_was_booked(home, uses):
    made = home.made
    for octets in uses:
        made.use(f"p{made.clock.now_us()}{octets}", octets=octets, grant=made.authorise())
        made.clock.set(made.clock.now_us() + SECOND_US)
    with home.base.store.write() as unit:
        at_us = made.clock.now_us() + 3_600 * SECOND_US
        made.clock.set(at_us)
        cycle_id = derive("test-cycle", at_us)
        usages = home.base.usage.cut(unit, cycle_id=cycle_id, cut_us=at_us)
        home.base.rating.rate(unit, cycle_id=cycle_id, usages=usages, at_us=at_us)
    bill = told(home, "/bill")
    receipts = walked(home, "receipts", 100)
    assert bill["paid_minor"] == paid_minor(home)
    assert bill["price_minor"] == sum(one["price_minor"] for one in receipts)
    assert bill["begins_us"] == month_of(made.clock.now_us()).start_us
    sessions = walked(home, "sessions", 100)
    assert sum(one["paid_minor"] for one in sessions) == bill["paid_minor"]
