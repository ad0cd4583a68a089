"""All subscribers as an owner lists them, and refunds: paid once, kept, approved."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from tests.app.scene import taken
from tests.console.people import installation
from tests.console.pseudo import bare, spoken
from tests.console.test_host import walked

from opencarrier.app.console.views import subscribers as views
from opencarrier.app.errands import top_up
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.spine.notices import NoticeKind

ASKED_MINOR = 3_000_000


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Six subscribers; two of them asked money back."""
    with installation(tmp_path_factory.mktemp("subscribers")) as found:
        base, asset = found.base, found.made.place.manifest.asset
        found.people = {}
        for name in ("Amina", "Bob", "Chidi", "Dora", "Eve"):
            with base.store.write() as unit:
                one = base.identity.subscriptions.add(
                    unit, name=name, home=found.made.home.party_id, plan_id="prepaid"
                )
                found.people[name] = taken(one)
        for name in ("Bob", "Eve"):
            party = found.people[name].party_id
            with base.store.write() as unit:
                assert not top_up(
                    unit,
                    asset,
                    subscriber=party,
                    home=found.made.home.party_id,
                    amount_minor=5_000_000,
                    reference="t",
                    at_us=base.clock.now_us(),
                    announcer=base.webhooks,
                )
            body = {"amount_minor": ASKED_MINOR, "reference": "mine"}
            answer = found.browser("owner").script(f"/v1/subscribers/{party}/refunds", body)
            assert answer.status_code == 200, answer.text
        yield found


def settle(home, who, name, **more):
    party = home.people[name].party_id
    told = {"amount_minor": 1_000_000, "reference": "bank-1", **more}
    return home.browser(who).script(f"/v1/subscribers/{party}/refunds/settle", told)


def waits(home, name) -> int:
    asset = home.made.place.manifest.asset
    with home.base.store.read() as unit:
        return ledger.balance(unit, asset, chart.refunds(home.people[name].party_id)).posted_minor


def test_a_list_goes_on_by_name_and_is_searched(home):
    owner = home.browser("owner")
    found = walked(owner, "/v1/subscribers", 2)
    names = [one["name"] for one in found]
    assert names == sorted(names)
    assert set(home.people) <= set(names)
    assert {one["name"]: one["asked_back_minor"] for one in found}["Bob"] == ASKED_MINOR
    from_c = owner.client.get("/v1/subscribers", params={"named": "C", "limit": 2}).json()
    assert [one["name"] for one in from_c["items"]] == ["Chidi", "Dora"]
    page = owner.get("/subscribers?named=D").text
    assert "Dora" in page
    assert "Bob" not in page
    assert owner.ask("/v1/subscribers?cursor=x").status_code == 422
    with home.base.store.read() as unit:
        plan = unit.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT party_id FROM identity_party "
                "WHERE kind = 'subscriber' AND name > 'B' ORDER BY name LIMIT 26"
            )
        ).all()
    assert all("USING" in row[-1] and "INDEX" in row[-1] for row in plan), plan


def test_refunds_that_wait_are_listed_a_bounded_look_at_a_time(home, monkeypatch):
    owner = home.browser("owner")
    waiting = {one["name"] for one in walked(owner, "/v1/refunds", 1)}
    assert waiting == {"Bob", "Eve"}
    monkeypatch.setattr(views, "LOOKED_AT_MAX", 1)
    assert {one["name"] for one in walked(owner, "/v1/refunds", 5)} == waiting
    assert "Bob" in owner.get("/subscribers/refunds").text


def test_a_refund_is_booked_once_and_never_more_than_was_asked(home):
    assert settle(home, "owner", "Bob", amount_minor=0).json()["title"] == "bad_amount"
    too_much = settle(home, "owner", "Bob", amount_minor=ASKED_MINOR + 1)
    assert too_much.status_code == 409
    assert waits(home, "Bob") == ASKED_MINOR
    for _ in range(2):
        assert settle(home, "owner", "Bob").json()["asked_back_minor"] == ASKED_MINOR - 1_000_000
    kept = settle(home, "owner", "Bob", reference="keep", amount_minor=500_000, kept=True)
    assert kept.json()["asked_back_minor"] == ASKED_MINOR - 1_500_000
    assert settle(home, "owner", "Bob", reference="x" * 65).status_code == 422
    form = {"party": home.people["Bob"].party_id, "amount": "1.5", "reference": "b", "kept": "no"}
    owner = home.browser("owner")
    assert "Did you pay" in owner.form("/subscribers/refund", **form).text
    assert waits(home, "Bob") == 1_500_000, "nothing before one is sure"
    assert "booked as paid back" in owner.form("/subscribers/refund", **form, sure="yes").text
    assert waits(home, "Bob") == 0
    assert "booked as paid back" in owner.form("/subscribers/refund", **form, sure="yes").text
    assert waits(home, "Bob") == 0
    assert "waits for nothing" in owner.get(f"/subscribers/refund?party={form['party']}").text
    with home.base.store.read() as unit:
        lines = home.accounts.audit.page(unit, before=None, limit=20)
    assert {"refund_paid", "refund_kept"} <= {one.what for one in lines}


def test_two_owners_approve_what_is_paid_out(home):
    home.add("second", Grant(Role.OWNER))
    object.__setattr__(home.base.settings, "approval_people", 2)
    try:
        first = settle(home, "owner", "Eve")
        assert (first.status_code, first.json()["title"]) == (409, "not_approved")
        assert settle(home, "owner", "Eve", amount_minor=2_000_000).status_code == 409
        assert settle(home, "second", "Eve", reference="other").status_code == 409
        object.__setattr__(home.base.settings, "approval_people", 0)
        assert settle(home, "owner", "Eve").status_code == 409, "it was asked of two"
        assert waits(home, "Eve") == ASKED_MINOR
        assert home.browser("operator").ask("/v1/approvals").json()["waiting"] == []
        kinds = {
            one["kind"] for one in home.browser("second").ask("/v1/approvals").json()["waiting"]
        }
        assert kinds == {"refund"}
        done = settle(home, "second", "Eve")
        assert done.json()["asked_back_minor"] == ASKED_MINOR - 1_000_000
    finally:
        object.__setattr__(home.base.settings, "approval_people", 0)


def test_its_machines_hear_what_became_of_a_refund(home, monkeypatch):
    heard = []
    monkeypatch.setattr(home.base.webhooks, "tell", lambda unit, notices: heard.extend(notices))
    assert settle(home, "owner", "Eve", amount_minor=1, reference="told").status_code == 200
    assert settle(home, "owner", "Eve", amount_minor=1, reference="t", kept=True).status_code == 200
    assert [one.kind for one in heard] == [NoticeKind.REFUND_PAID, NoticeKind.REFUND_KEPT]


def test_a_subscriber_settles_no_refund_of_its_own(home):
    """Nor does anybody else but an owner see the list."""
    mine = home.made.subscriber.party_id
    body = {"amount_minor": 1, "reference": "me"}
    for who in ("subscriber", "operator", "host", "auditor", "onlooker"):
        browser = home.browser(who)
        settled = browser.script(f"/v1/subscribers/{mine}/refunds/settle", body)
        assert settled.status_code == 404, who
        for path in ("/v1/subscribers", "/v1/refunds"):
            assert browser.ask(path).status_code == 404, who
    absent = "sub_" + "0" * 32
    owner = home.browser("owner")
    assert owner.script(f"/v1/subscribers/{absent}/refunds/settle", body).status_code == 404


def test_every_text_passes_the_catalogues(home):
    party = home.people["Eve"].party_id
    with spoken(home.web.shell):
        owner = home.browser("owner")
        for path in ("/subscribers", "/subscribers/refunds", f"/subscribers/refund?party={party}"):
            assert not bare(owner.get(path).text), path
        for kept in ("yes", "no"):
            form = {"party": party, "amount": "1", "reference": "1", "kept": kept}
            assert not bare(owner.form("/subscribers/refund", **form).text)
