"""Where is my money: one timeline a use, from the report to the host's claim."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path

import pytest
from tests.app.scene import START_US, Scene, scene, taken
from tests.app.serving import served
from tests.plans import read_whole

from opencarrier.access.model import Metrics
from opencarrier.app import tracing
from opencarrier.app.http import Web, make_app
from opencarrier.app.ingesting import ingest_files
from opencarrier.app.timelines import LIMIT_MAX, TraceReason, lines
from opencarrier.app.tracing import Tracing
from opencarrier.clearing.model import DeferralReason
from opencarrier.kernel.ids import to_hex
from opencarrier.rating.reasons import SuspenseReason
from opencarrier.spine.stages import Stage, StageReason
from opencarrier.usage import set_aside
from opencarrier.usage import stages as stages_of_usage
from opencarrier.usage.tables import OBSERVATIONS, observation_of

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "trace.md"
TOKEN = "the token"
DELAY_S = 3_600

DETAIL = """Mon Jan  5 10:00:00 2026
\tAcct-Status-Type = Stop
\tAcct-Session-Id = "from-file"
\tNAS-Identifier = "node-1"
\tAcct-Session-Time = 60
\tAcct-Input-Octets = 1000
\tAcct-Output-Octets = 90000
\tTimestamp = 1767607200

Mon Jan  5 10:00:01 2026
\tAcct-Status-Type = Stop
\tAcct-Session-Id = "another node's"
\tNAS-Identifier = "somewhere-else"
\tAcct-Session-Time = 60
\tTimestamp = 1767607201

"""


def ask(made: Scene, text: str, **words):
    return taken(Tracing(made.place).trace(text, **words))


def stages(item) -> list[tuple[str, str]]:
    return [(step["stage"], step["reason"]) for step in item["steps"]]


def fact(item, stage: str, name: str):
    return next(step[name] for step in item["steps"] if step["stage"] == stage)


def again(made: Scene, name: str, source: str) -> None:
    """Have a report arrive once more, from elsewhere."""
    with made.place.base.store.write() as unit:
        query = OBSERVATIONS.select().where(OBSERVATIONS.c.acct_session_id == name)
        seen = replace(observation_of(unit.execute(query).one()), source=source)
        assert made.place.base.usage.record(unit, [seen]) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A paid and claimed cycle, a paid one, a waiting one, and use no cut has taken."""
    root = tmp_path_factory.mktemp("trace")
    with scene(root, one_sided_window_s=0, rewards_delay_s=DELAY_S) as found:
        directory = found.place.base.identity.directory
        found.use("one", octets=5_000_000, grant=found.authorise())
        again(found, "one", "pcap:" + "ab" * 32 + "@24")
        found.settle()
        found.clock.set(found.clock.now_us() + DELAY_S * 1_000_000)
        with found.place.base.store.read() as unit:
            host = directory.host(unit, found.node.host)
        taken(found.errands.withdraw(host))
        found.use("two", octets=3_000_000, grant=found.authorise())
        detail = root / "detail"
        detail.write_text(DETAIL)
        report = taken(
            ingest_files(
                found.place.base,
                [detail],
                operator="Visited",
                node_id="node-1",
                home=None,
                secret=None,
            )
        )
        assert (report["observations_new"], report["refused_count"]) == (1, 1)
        found.settle()
        found.use("three", octets=1_000, grant=found.authorise())
        yield found


@pytest.fixture(scope="module")
def usages(made):
    """The usages by what the access point called their session."""
    found = ask(made, made.node.node_id)["items"]
    return {fact(i, "received", "acct_session_id"): i for i in found if i["kind"] == "usage"}


def test_paid_and_claimed_use_is_told_from_report_to_claim(made, usages):
    """Every stage has its reason; amounts of the stages agree with each other and the ledger."""
    assert stages(usages["one"]) == [
        ("received", "reported"),
        ("duplicate", "seen_before"),
        ("matched", "co_signed"),
        ("rated", "wholesale"),
        ("rated", "retail"),
        ("netted", "paid_by_cycle"),
        ("in_root", "leaf_of_cycle"),
        ("settled", "final"),
        ("claimed", "paid_to_host"),
    ]
    item = usages["one"]
    assert fact(item, "rated", "amount_minor") == fact(item, "netted", "position_minor")
    assert fact(item, "settled", "gross_minor") == fact(item, "rated", "amount_minor")
    assert fact(item, "claimed", "unclaimed_minor") == 0
    assert fact(item, "received", "octets_out") == 5_000_000
    assert fact(item, "duplicate", "copies") == 1
    assert len(fact(item, "settled", "tx_hash")) == 66


def test_a_share_that_is_not_paid_yet_says_why(made, usages):
    """The second cycle's root still has its delay before it."""
    assert stages(usages["two"])[-1] == ("claimable", "root_not_ready")
    owed = fact(usages["two"], "claimable", "unclaimed_minor")
    assert owed == fact(usages["two"], "claimable", "amount_minor") > 0


def test_a_session_is_found_by_its_id_before_its_first_cut(made, monkeypatch):
    """Among as many streams as are looked through, a page at a time."""
    (pending,) = [i for i in ask(made, made.node.node_id)["items"] if i["kind"] == "session"]
    monkeypatch.setattr(stages_of_usage, "UNCUT_AT_ONCE", 1)
    told = ask(made, pending["id"])
    assert (told["kind"], told["items"]) == ("session", [pending])
    monkeypatch.setattr(stages_of_usage, "UNCUT_MAX", 0)
    beyond = Tracing(made.place).trace(pending["id"])
    assert beyond.reason is TraceReason.UNKNOWN_ID


def test_suspended_use_says_why(made, usages):
    """A report that names no home waits with rating's reason and goes no further."""
    assert stages(usages["from-file"]) == [
        ("received", "reported"),
        ("matched", "one_sided"),
        ("suspended", "no_home"),
    ]


def test_what_no_cut_has_taken_is_told_too(made):
    """The newest report is there before any cycle closes."""
    pending = [i for i in ask(made, made.node.node_id)["items"] if i["kind"] == "session"]
    assert [stages(item) for item in pending] == [[("received", "not_cut")]]
    assert fact(pending[0], "received", "acct_session_id") == "three"


def test_every_kind_of_id_finds_its_use(made, usages):
    """Usage, session, party, pseudonym, host, node, cycle by id and by number, file.

    But for a file no table is read whole, nor for what nobody knows.
    """
    one = usages["one"]
    session, cycle = fact(one, "received", "session_id"), fact(one, "netted", "cycle_id")
    digest = to_hex(sha256(DETAIL.encode()).digest())
    every = {item["id"] for item in usages.values()}
    mine = {usages["one"]["id"], usages["two"]["id"]}
    wanted = {
        one["id"]: ("usage", {one["id"]}),
        session: ("session", {one["id"]}),
        made.subscriber.party_id: ("subscriber", mine),
        "pseudonym": ("subscriber", mine),
        made.node.host: ("host", every),
        made.node.node_id: ("node", every),
        cycle: ("cycle", {one["id"]}),
        "cycle:1": ("cycle", {one["id"]}),
        digest: ("file", {usages["from-file"]["id"]}),
    }
    for text, (kind, ids) in wanted.items():
        with read_whole(made.place.base.store) as whole:
            told = ask(made, text)
        assert told["kind"] == kind, text
        assert {i["id"] for i in told["items"] if i["kind"] == "usage"} == ids, text
        assert kind == "file" or not whole, text
    with read_whole(made.place.base.store) as whole:
        assert Tracing(made.place).trace("nobody").reason is TraceReason.UNKNOWN_ID
    assert not whole


def test_of_a_host_only_so_many_nodes_are_looked_at(made, usages, monkeypatch):
    """Nor are all nodes there are read for those of one host."""
    monkeypatch.setattr(tracing, "NODES_MAX", 0)
    told = ask(made, made.node.host)
    assert (told["items"], told["is_partial"]) == ([], True)


def test_a_file_tells_what_was_refused_and_copied(made, usages):
    """By reason and offset; a file whose records were known leads to the use they copy."""
    told = ask(made, to_hex(sha256(DETAIL.encode()).digest()))
    refused = [item for item in told["items"] if item["kind"] == "record"]
    assert [stages(item) for item in refused] == [[("refused", "nas_identifier_of_another_node")]]
    assert fact(refused[0], "refused", "offset") == DETAIL.index("Mon Jan  5 10:00:01")


def test_a_cycle_begins_with_its_settlement(made):
    """Of the suspended use in it one sees that it was cut there and not paid."""
    told = ask(made, "cycle:2")
    assert told["items"][0]["kind"] == "cycle"
    assert stages(told["items"][0]) == [("settled", "final")]
    assert {stages(item)[-1][0] for item in told["items"][1:]} == {"suspended", "claimable"}


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_are_the_whole_cut_up(made, limit):
    """Whatever their size, pages joined are one page of everything, each item once."""
    for text in (made.node.node_id, "cycle:2", to_hex(sha256(DETAIL.encode()).digest())):
        whole, joined, after = ask(made, text)["items"], [], ""
        for _ in range(20):
            page = ask(made, text, after=after, limit=limit)
            assert len(page["items"]) <= limit
            joined += page["items"]
            if page["next"] is None:
                break
            after = page["next"]
        assert joined == whole


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        ("0x" + "00" * 32, {}, TraceReason.UNKNOWN_ID),
        ("nobody", {}, TraceReason.UNKNOWN_ID),
        ("", {}, TraceReason.UNKNOWN_ID),
        ("x" * 10_000, {}, TraceReason.UNKNOWN_ID),
        ("cycle:99", {}, TraceReason.UNKNOWN_ID),
        ("cycle:" + "9" * 40, {}, TraceReason.UNKNOWN_ID),
        ("cycle:²", {}, TraceReason.UNKNOWN_ID),
        ("node-1", {"limit": 0}, TraceReason.BAD_LIMIT),
        ("node-1", {"limit": LIMIT_MAX + 1}, TraceReason.BAD_LIMIT),
        ("node-1", {"after": "usage/0x12"}, TraceReason.BAD_CURSOR),
        ("node-1", {"after": "pending/-1"}, TraceReason.BAD_CURSOR),
        ("node-1", {"after": "refused/" + "9" * 30}, TraceReason.BAD_CURSOR),
        ("node-1", {"after": "other/1"}, TraceReason.BAD_CURSOR),
    ],
)
def test_what_cannot_be_told_is_refused(made, text, words, reason):
    assert Tracing(made.place).trace(text, **words).reason is reason


def test_copies_of_one_report_are_bounded(made):
    """Who sends a report from a thousand places fills nothing; the first source is no copy."""
    for number in range(set_aside.COPIES_MAX + 5):
        again(made, "two", f"pcap:{number:064x}@24")
    again(made, "two", "test")
    item = ask(made, made.node.node_id)["items"]
    found = [i for i in item if ("duplicate", "seen_before") in stages(i)]
    assert set_aside.COPIES_MAX in {fact(i, "duplicate", "copies") for i in found}


def test_a_foreign_client_asks_over_http(made, usages):
    """With the token the same as the command, without it nothing; refusals are problems."""
    web = Web(made.place, Metrics, token=TOKEN)
    wanted = usages["one"]["id"]
    with served(make_app(web)) as url:
        client = HTTPConnection(url.removeprefix("http://"), timeout=30)

        def get(path: str, token: str = TOKEN) -> tuple[int, dict]:
            client.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())

        assert get(f"/v1/trace/{wanted}") == (200, ask(made, wanted))
        assert get(f"/v1/trace/{wanted}", "wrong")[0] == 401
        assert get("/v1/trace/nobody")[1]["title"] == "unknown_id"
        assert get("/v1/trace/nobody")[0] == 404
        assert get("/v1/trace/node-1?limit=1000")[0] == 422
        assert get("/v1/trace/node-1?after=nonsense")[0] == 422
        assert get("/v1/trace/node-1?limit=1")[1]["next"].startswith("usage/0x")
        client.close()


def test_people_read_a_line_for_each_step(made, usages):
    text = "\n".join(lines(ask(made, usages["one"]["id"])))
    assert re.search(r"^  settled +final +.*tx_hash=0x", text, re.M)
    assert text.count("\n") == len(usages["one"]["steps"])


def test_the_page_of_the_docs_lists_every_stage_and_reason():
    """In their order: what a script matches on is written down."""
    text = DOCS.read_text()
    for enum in (Stage, StageReason, SuspenseReason, DeferralReason, TraceReason):
        named = [f"`{member.name.lower()}`" for member in enum]
        places = [text.find(name) for name in named]
        assert -1 not in places, named[places.index(-1)]
    rows = re.findall(r"^\| `(\w+)` \|", text, re.M)
    assert [row for row in rows if row.upper() in Stage.__members__] == [
        stage.name.lower() for stage in Stage
    ]


def test_a_timeline_is_in_the_order_of_the_stages(usages):
    for item in usages.values():
        order = [Stage[stage.upper()] for stage, _ in stages(item)]
        assert order == sorted(order)
        assert all(step["at_us"] is None or step["at_us"] >= START_US for step in item["steps"])
