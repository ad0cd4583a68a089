"""Any id's life: each its own, others' as unknown; every stage and reason has its plain words."""

from __future__ import annotations

import pytest
from tests.console import pseudo
from tests.console.people import Installation, installation

from opencarrier.app.console.views.trace import KINDS, REASONS, STAGES
from opencarrier.clearing.model import DeferralReason
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.kernel.ids import to_hex
from opencarrier.rating.reasons import SuspenseReason
from opencarrier.spine.stages import Stage, StageReason


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("trace")) as found:
        made = found.made
        found.add("its host", Grant(Role.HOST, made.node.host))
        made.use("one", octets=5_000_000, grant=made.authorise())
        made.settle()
        yield found


@pytest.fixture(scope="module")
def ids(home: Installation) -> dict[str, str]:
    made = home.made
    with home.base.store.read() as unit:
        (cycle, _) = made.place.settlement.cycles(unit)[0]
        (usage,) = home.base.usage.usages(unit, cycle.cycle_id)
    return {
        "usage": to_hex(usage.usage_id),
        "session": to_hex(usage.session_id),
        "cycle": "cycle:1",
        "subscriber": made.subscriber.party_id,
        "host": made.node.host,
        "node": made.node.node_id,
        "pseudonym": "pseudonym",
    }


MAY = {
    "usage": {"operator", "visited", "its host", "subscriber"},
    "session": {"operator", "visited", "its host", "subscriber"},
    "subscriber": {"operator", "subscriber"},
    "host": {"its host"},
    "node": {"visited", "its host"},
    "cycle": set(),
    "pseudonym": set(),
}
ASKING = ("operator", "visited", "its host", "subscriber", "host")


def test_every_stage_and_reason_has_its_words():
    assert set(STAGES) == {stage.name.lower() for stage in Stage}
    reasons = {
        r.name.lower() for kind in (StageReason, SuspenseReason, DeferralReason) for r in kind
    }
    assert reasons <= set(REASONS)


@pytest.mark.parametrize("kind", MAY)
def test_each_follows_its_own_and_others_are_unknown(home, ids, kind):
    assert home.browser("owner").ask(f"/v1/trace/{ids[kind]}").status_code == 200
    for who in ASKING:
        browser = home.browser(who)
        page, told = browser.get(f"/trace/{ids[kind]}"), browser.ask(f"/v1/trace/{ids[kind]}")
        expected = 200 if who in MAY[kind] else 404
        assert (page.status_code, told.status_code) == (expected, expected), who
        if expected == 404:
            absent = browser.ask("/v1/trace/nothing")
            assert told.text.replace(ids[kind], "nothing") == absent.text
            nothing = browser.get("/trace/nothing")
            assert page.text.replace(ids[kind], "nothing") == nothing.text


def test_each_sees_what_is_its_own_of_a_life(home, ids):
    """No subscriber reads what operators owe each other, no host what the subscriber paid."""
    seen = {}
    for who in ("owner", *ASKING[:4]):
        steps = home.browser(who).ask(f"/v1/trace/{ids['usage']}").json()["items"][0]["steps"]
        seen[who] = {(step["stage"], step["reason"]) for step in steps}
        facts = {name for step in steps if step["stage"] != "rated" for name in step}
        assert ("position_minor" in facts) == (who != "subscriber")
    prices = {who: {r for stage, r in found if stage == "rated"} for who, found in seen.items()}
    assert prices["owner"] == prices["operator"] == {"wholesale", "retail"}
    assert prices["visited"] == prices["its host"] == {"wholesale"}
    assert prices["subscriber"] == {"retail"}
    assert not any(stage.startswith("claim") for stage, _ in seen["subscriber"])
    assert ("settled", "final") in seen["subscriber"]


def test_a_search_leads_to_its_page_and_says_what_it_could_find(home, ids):
    owner = home.browser("owner")
    found = owner.get(f"/trace?sought=%20{ids['node']}%20")
    assert (found.status_code, found.headers["location"]) == (303, f"/trace/{ids['node']}")
    assert owner.get("/trace?sought=a%2Fb").headers["location"] == "/trace/a%2Fb"
    assert owner.get(f"/trace?sought={'x' * 256}").status_code == 422
    assert owner.get(f"/trace/{ids['usage']}?after=nonsense").status_code == 404
    assert owner.ask(f"/v1/trace/{ids['usage']}?limit=101").status_code == 422
    page = owner.get("/trace").text
    assert "cycle:7" in page
    life = owner.get(f"/trace/{ids['usage']}").text
    assert f'href="/receipt/{ids["usage"]}"' in life
    assert f'href="/trace/{ids["session"]}"' in life


def test_no_text_of_it_passes_a_catalogue_by(home, ids):
    with pseudo.spoken(home.web.shell):
        owner = home.browser("owner")
        for path in ("/trace", "/trace/nothing", *(f"/trace/{one}" for one in ids.values())):
            assert not pseudo.bare(owner.get(path).text), path
        assert set(KINDS) >= {"usage", "session", "cycle", "subscriber", "host", "node"}
