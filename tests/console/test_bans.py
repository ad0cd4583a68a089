"""Bans as people meet them: how a node stands, banning, appealing, deciding; whose it is to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.app.scene import taken
from tests.console.people import Installation, installation
from tests.console.pseudo import bare, spoken
from tests.console.test_host import DeadError, die

from opencarrier.app import venue
from opencarrier.app.banning import Banning
from opencarrier.app.registering import Registry
from opencarrier.app.venue import NODE_TERMS
from opencarrier.bans.model import CODES, words_hash
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.signatures import KeySigner

DAY_US = 86_400 * SECOND_US


class Court:
    """An installation whose host has a person, and whose node is a token."""

    def __init__(self, home: Installation) -> None:
        self.home, self.made = home, home.made
        self.party, self.node_id = home.made.node.host, home.made.node.node_id
        home.add("cafe", Grant(Role.HOST, self.party))
        home.add("second", Grant(Role.OWNER))
        registry = Registry(home.made.place)
        taken(registry.publish())
        taken(registry.mint(self.node_id))
        self.owner, self.second, self.me = map(home.browser, ("owner", "second", "cafe"))

    def told(self, who: Any = None) -> dict[str, Any]:
        answer = (who or self.me).client.get(
            f"/v1/hosts/{self.party}/bans", params={"node": self.node_id}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, who: Any, path: str, body: dict[str, Any]) -> Any:
        return who.script(f"/v1/hosts/{self.party}/{path}", {"node_id": self.node_id, **body})

    def ban(self, **more: Any) -> Any:
        return self.ask(self.owner, "bans", {"reason": "false_place", "days": 10, **more})

    def page(self, who: Any = None) -> str:
        return (who or self.me).get(f"/host/{self.party}/nodes/{self.node_id}").text

    def noted(self, number: int) -> list[tuple[str, str]]:
        """Return the newest lines of the log about the node, the newest first."""
        with self.home.base.store.read() as unit:
            lines = self.home.accounts.audit.page(unit)
        return [(one.what, one.outcome) for one in lines if one.about == self.node_id][:number]

    def later(self, seconds: int) -> None:
        self.made.clock.set(self.made.clock.now_us() + seconds * SECOND_US)
        self.owner, self.second, self.me = map(self.home.browser, ("owner", "second", "cafe"))

    def approved(self, people: int) -> None:
        object.__setattr__(self.home.base.settings, "approval_people", people)


@pytest.fixture(scope="module")
def court(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("bans")) as home:
        yield Court(home)


@pytest.fixture(autouse=True)
def over(court):
    """Leave no ban in force: the longest ends."""
    yield
    court.approved(0)
    court.later(NODE_TERMS["ban_s_max"])
    for _ in filter(lambda one: one["may_close"], court.told()["bans"]):
        assert court.ask(court.me, "closings", {}).status_code == 200


def waiting_for(court: Court) -> tuple[Any, ...]:
    """Return the one ban that is not decided, which an owner meets wherever it looks."""
    (found,) = court.owner.ask("/v1/bans").json()["items"]
    decide = f"/host/{court.party}/decide?node={court.node_id}"
    assert decide in court.owner.get("/bans").text
    for path in ("/", "/approvals"):
        assert "1 appeal waits to be decided" in court.owner.get(path).text
        assert "/bans" not in court.me.get(path).text
    assert court.me.get("/bans").status_code == 404
    return found["ban_id"], found["due_us"], found["may_decide"]


def test_a_host_reads_why_appeals_and_is_heard(court):
    assert court.told()["standing"] == "good"
    assert "in good standing" in court.page()
    assert court.ban(evidence="It moved to <Lyon>.").json()["waits"] == ""
    told = court.told()
    (ban,) = told["bans"]
    assert told["standing"] == "banned"
    assert (ban["reason"], ban["evidence"], ban["stage"]) == (
        "false_place",
        "It moved to <Lyon>.",
        "open",
    )
    hub = court.made.place.manager.sender
    assert ban["signers"] == [{"address": hub, "name": "opencarrier"}]
    assert ban["due_us"] - ban["starts_us"] == NODE_TERMS["appeal_s"] * SECOND_US
    page = court.page()
    for words in (
        "banned",
        "It moved to &lt;Lyon&gt;.",
        "it stands elsewhere",
        hub,
        "checked here",
    ):
        assert words in page
    assert f"/host/{court.party}/appeal?node=" in page
    assert "/appeal?node=" not in court.page(court.home.browser("auditor"))
    host = court.me.get(f"/host/{court.party}").text
    assert 'class="state act">banned' in host

    form = {"node": court.node_id, "grounds": "We never moved."}
    sure = court.me.form(f"/host/{court.party}/appeal", **form).text
    digest = to_hex(words_hash("We never moved."))
    assert f"grounds_hash={digest}" in sure
    query = {"node": court.node_id, "grounds_hash": digest}
    call = court.me.client.get(f"/v1/hosts/{court.party}/appeal", params=query).json()
    contract = court.home.made.place.bans.follower.contract
    expected = contract.appeal(bytes.fromhex(ban["ban_id"][2:]), words_hash("We never moved."))
    assert (call["to"], call["data"]) == (contract.address, to_hex(expected.data))
    done = court.me.form(f"/host/{court.party}/appeal", **form, sure="yes").text
    assert "with the arbiter" in done
    (ban,) = court.told()["bans"]
    assert (ban["stage"], ban["grounds"], ban["may_decide"]) == (
        "appealed",
        "We never moved.",
        True,
    )
    assert court.ask(court.me, "appeals", {"grounds": "again"}).json()["title"] == "not_open"
    assert waiting_for(court) == (ban["ban_id"], ban["due_us"], True)

    path = f"/host/{court.party}/decide"
    decided = {"node": court.node_id, "lifted": "yes"}
    assert "Lift the ban" in court.owner.form(path, **decided).text
    assert court.told()["bans"][0]["stage"] == "appealed", "nothing before one is sure"
    assert "The ban is lifted" in court.owner.form(path, **decided, sure="yes").text
    assert court.told()["standing"] == "good"
    assert court.owner.ask("/v1/bans").json() == {"items": [], "next": None}
    assert "No ban of a node is undecided" in court.owner.get("/bans").text
    again = court.ask(court.owner, "decisions", {"lifted": False})
    assert (again.status_code, again.json()["title"]) == (409, "not_appealed")
    assert "1 ban before" in court.page()
    assert court.noted(6) == [
        ("node_ban_upheld", "not_appealed"),
        ("node_ban_lifted", "ordered"),
        ("node_ban_appealed", "not_open"),
        ("node_ban_appealed", "ordered"),
        ("node_banned", "ordered"),
        ("node_ban_begun", "done"),
    ]


def test_who_did_what_stands_before_it_is_sent(court):
    """Wherever the process dies then, the line is there, once."""

    def dies(what: str, act: Callable[[], Any]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(venue, "crashpoint", die)
            with pytest.raises(DeadError):
                act()
        line = (what, "ordered")
        assert court.noted(1) == [line]
        told = court.noted(50).count(line)
        assert act().status_code == 200
        assert court.noted(50).count(line) == told

    dies("node_banned", lambda: court.ban(days=20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(court.home.accounts.audit, "write", full)
        with pytest.raises(OSError, match="full"):
            court.ask(court.me, "appeals", {"grounds": "no"})
    assert court.told()["bans"][0]["stage"] == "open"
    digest = words_hash("no")
    with court.home.base.store.read() as unit:
        assert not court.made.place.bans.service.words(unit, [digest])
    assert court.ask(court.me, "appeals", {"grounds": "no"}).status_code == 200
    assert court.told()["bans"][0]["grounds"] == "no"
    assert court.noted(1) == [("node_ban_appealed", "ordered")]
    dies("node_ban_lifted", lambda: court.ask(court.owner, "decisions", {"lifted": True}))


def test_what_is_kept_here_stands_with_its_line_or_not_at_all(court, monkeypatch):
    court.approved(2)
    with monkeypatch.context() as patch:
        patch.setattr(court.home.accounts.audit, "write", full)
        with pytest.raises(OSError, match="full"):
            court.ban(days=21)
    assert court.told(court.owner)["drafts"] == []
    court.ban(days=21)
    (draft,) = court.told(court.owner)["drafts"]
    drop = {"ban": draft["ban_id"], "drop": "yes"}
    with monkeypatch.context() as patch:
        patch.setattr(court.home.accounts.audit, "write", full)
        with pytest.raises(OSError, match="full"):
            court.owner.form(f"/host/{court.party}/ban/draft", **drop)
    assert court.told(court.owner)["drafts"] == [draft]
    court.owner.form(f"/host/{court.party}/ban/draft", **drop)
    assert court.told(court.owner)["drafts"] == []
    assert court.noted(1) == [("node_ban_dropped", "done")]


def full(*_: object, **__: object) -> None:
    raise OSError("the disk is full")


def test_a_form_asks_once_more_before_it_bans(court):
    form = {"node": court.node_id, "reason": "other", "days": "3", "cost": "1.5", "evidence": "so"}
    path = f"/host/{court.party}/ban"
    assert court.owner.client.get(path, params={"node": court.node_id}).status_code == 200
    sure = court.owner.form(path, **form).text
    assert "1500000" in sure.replace(".", "")
    assert court.told()["standing"] == "good"
    assert "is banned" in court.owner.form(path, **form, sure="yes").text
    assert court.told()["standing"] == "banned"
    assert "banned already" in court.owner.form(path, **form, sure="yes").text
    court.later(NODE_TERMS["appeal_s"])
    assert "Nobody appealed in time" in court.page()
    assert court.ask(court.me, "appeals", {}).json()["title"] == "late"
    closed = court.me.form(f"/host/{court.party}/close-ban", node=court.node_id)
    assert closed.status_code == 303
    assert court.told()["bans"][0]["stage"] == "upheld"
    assert court.me.form(f"/host/{court.party}/close-ban", node=court.node_id).status_code == 409


def test_a_page_is_of_the_ban_that_its_form_names(court):
    """Two bans are undecided at a time where the first was short: each is appealed by itself."""
    first = court.ban(days=1).json()["ban_id"]
    court.later(86_400)
    second = court.ban(days=2).json()["ban_id"]
    appeal, decide = (f"/host/{court.party}/{way}" for way in ("appeal", "decide"))
    node = court.page()
    assert max(node.index(first), node.index(second)) < node.index("bans before")
    page = court.me.get(f"{appeal}?node={court.node_id}").text
    assert f'name="ban" value="{first}"' in page
    form = {"node": court.node_id, "grounds": "no", "ban": second}
    assert f"ban={second}" in court.me.form(appeal, **form).text
    assert "with the arbiter" in court.me.form(appeal, **form, sure="yes").text
    assert [one["stage"] for one in court.told()["bans"][:2]] == ["appealed", "open"]
    query = {"node": court.node_id, "lifted": True, "ban": first}
    call = f"/v1/hosts/{court.party}/decision"
    assert court.owner.client.get(call, params=query).json()["title"] == "not_appealed"
    told = {"node": court.node_id, "lifted": "yes", "ban": first, "sure": "yes"}
    assert "There is no appeal to decide" in court.owner.form(decide, **told).text
    assert court.ask(court.owner, "decisions", {"lifted": True, "ban_id": "0x"}).status_code == 422
    done = court.ask(court.owner, "decisions", {"lifted": True, "ban_id": second})
    assert done.status_code == 200
    assert court.ask(court.me, "appeals", {"ban_id": second}).json()["title"] == "not_open"
    assert court.ask(court.me, "appeals", {"ban_id": first}).status_code == 200


def test_pressed_twice_a_form_prepares_one_ban(court):
    """What waits was done; what was refused is tried again."""
    court.approved(2)
    path = f"/host/{court.party}/ban"
    form = {"node": court.node_id, "reason": "other", "days": "2", "sure": "yes", "once": "b"}
    pages = []
    for _ in range(2):
        pages.append(court.owner.form(path, **form))
        court.made.clock.set(court.made.clock.now_us() + 2 * SECOND_US)
    assert [page.status_code for page in pages] == [200, 200]
    (draft,) = court.told(court.owner)["drafts"]
    for _ in range(2):
        refused = court.owner.form(path, **{**form, "days": "0"})
        assert refused.status_code == 409
        assert "idempotency-replayed" not in refused.headers
    dropped = court.owner.form(f"{path}/draft", ban=draft["ban_id"], drop="yes")
    assert dropped.status_code == 200
    assert court.told(court.owner)["drafts"] == []


def test_two_people_approve_a_ban_and_a_decision(court):
    """Only owners see and answer these; the installation's token is nobody."""
    court.approved(2)
    assert court.ban(days=5).json()["waits"] == "not_approved"
    (draft,) = court.told(court.owner)["drafts"]
    assert (draft["said"], draft["needed"]) == (1, 2)
    assert court.told()["drafts"] == []
    send = {"ban_id": draft["ban_id"]}
    assert court.ask(court.owner, "bans/send", send).json()["title"] == "not_approved"
    (waits,) = court.second.ask("/v1/approvals").json()["waiting"]
    assert (waits["kind"], waits["about"]) == ("node-ban", court.node_id)
    yes = f"/v1/approvals/{waits['approval']}/yes"
    operator = court.home.browser("operator")
    assert operator.ask("/v1/approvals").json()["waiting"] == []
    assert operator.script(yes, {}).status_code == 404
    assert "The ban of a node" in court.second.get("/approvals").text
    assert court.second.script(yes, {}).status_code == 204
    sent = court.ask(court.owner, "bans/send", send)
    assert sent.status_code == 200
    assert court.told()["bans"][0]["ban_id"] == draft["ban_id"]
    assert court.ask(court.me, "appeals", {"grounds": "no"}).status_code == 200
    lift = {"lifted": True}
    assert court.ask(court.owner, "decisions", lift).json()["title"] == "not_approved"
    assert court.ask(court.owner, "decisions", {"lifted": False}).status_code == 409
    assert court.ask(court.second, "decisions", lift).status_code == 200
    assert court.told()["bans"][0]["stage"] == "lifted"


def test_guardians_elsewhere_sign_what_is_prepared(court):
    guardian, stranger = KeySigner(bytes([31]) * 32), KeySigner(bytes([32]) * 32)
    bans, hub = court.home.made.place.bans, court.home.made.place.manager.sender
    desk = Banning(court.made.place)
    both = {"threshold": 2, "arbiter": None, "beneficiary": None}
    taken(desk.appoint(guardians=[hub, guardian.address], **both))
    begun = court.ban().json()
    assert begun["waits"] == "signatures_missing"
    (draft,) = court.told(court.owner)["drafts"]
    digest = bytes.fromhex(draft["digest"][2:])
    for signer, status in ((stranger, 409), (guardian, 200)):
        body = {"ban_id": draft["ban_id"], "signature": to_hex(signer.sign(digest).octets)}
        assert court.ask(court.owner, "bans/signatures", body).status_code == status
    assert (
        court.ask(court.owner, "bans/signatures", {"ban_id": "0x", "signature": ""}).status_code
        == 422
    )
    page = court.owner.client.get(f"/host/{court.party}/ban", params={"node": court.node_id}).text
    assert draft["digest"] in page
    sent = court.owner.form(f"/host/{court.party}/ban/draft", ban=draft["ban_id"], send="yes").text
    assert "is banned" in sent
    signers = {one["address"] for one in court.told()["bans"][0]["signers"]}
    assert signers == {hub, guardian.address}
    taken(desk.appoint(guardians=[hub], threshold=1, arbiter=None, beneficiary=None))
    assert bans is court.home.made.place.bans


def test_anothers_node_is_as_one_that_is_not_there(court):
    """Whoever asks: another host, an owner under another host's name, somebody without a role."""
    other, absent = court.home.browser("host"), "host_" + "0" * 32
    mine = court.home.host.party_id
    node = {"node": court.node_id}
    for who in (other, court.home.browser("onlooker")):
        for way in ("bans", "appeal"):
            theirs = who.client.get(f"/v1/hosts/{court.party}/{way}", params=node)
            none = who.client.get(f"/v1/hosts/{absent}/{way}", params=node)
            assert (theirs.status_code, theirs.text) == (404, none.text)
    for who in (other, court.owner):
        assert who.client.get(f"/v1/hosts/{mine}/bans", params=node).status_code == 404
    body = {"node_id": court.node_id, "reason": "other", "days": 1}
    assert court.owner.script(f"/v1/hosts/{mine}/bans", body).status_code == 404
    for path in ("bans", "decisions", "bans/send"):
        for who in (court.me, court.home.browser("operator"), court.home.browser("auditor")):
            assert who.script(f"/v1/hosts/{court.party}/{path}", {}).status_code == 404
    for path in ("appeals", "closings"):
        assert court.ask(other, path, {}).status_code == 404
    assert court.ask(court.owner, "bans", {"reason": "no", "days": 1}).status_code == 409
    assert court.ask(court.owner, "bans", {"reason": "other", "days": "x"}).status_code == 422


def test_every_text_passes_the_catalogues(court):
    court.ban(evidence="so")
    paths = [
        (court.me, f"/host/{court.party}/nodes/{court.node_id}"),
        (court.me, f"/host/{court.party}/appeal?node={court.node_id}"),
        (court.owner, f"/host/{court.party}/ban?node={court.node_id}"),
        (court.owner, f"/host/{court.party}/decide?node={court.node_id}"),
    ]
    with spoken(court.home.web.shell):
        for who, path in paths:
            assert not bare(who.get(path).text), path
        form = {"node": court.node_id, "grounds": "1"}
        assert not bare(court.me.form(f"/host/{court.party}/appeal", **form).text)
        for code in CODES:
            wish = {"node": court.node_id, "reason": code, "days": "2"}
            assert not bare(court.owner.form(f"/host/{court.party}/ban", **wish).text)
        court.ask(court.me, "appeals", {"grounds": "1"})
        for lifted in ("yes", "no"):
            told = {"node": court.node_id, "lifted": lifted}
            assert not bare(court.owner.form(f"/host/{court.party}/decide", **told).text)
