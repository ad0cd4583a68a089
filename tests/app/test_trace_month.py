"""Where is my money in a month on disk: every record's timeline against what the month came to."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.clearing.rated_months import SECRET
from tests.rating.months import rated as audit
from tests.rating.months import record, row
from tests.usage.test_tap_records import origin

from opencarrier.app.month_tracing import MonthTracing
from opencarrier.app.timelines import LIMIT_MAX, TraceReason
from opencarrier.clearing import month as clearing
from opencarrier.clearing.netting import NettingMode
from opencarrier.clearing.placed_positions import path_of
from opencarrier.kernel.ids import derive, to_hex
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.rating.agreements.rows import Row
from opencarrier.rating.engine.run import Order, rate
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import RcoiClass, RecordKind, Side
from opencarrier.spine.stages import Stage
from opencarrier.usage import dataset_stages
from opencarrier.usage.dataset import DatasetWriter, read_records
from opencarrier.usage.dataset_aside import COPIES_MAX, note_file
from opencarrier.usage.importing import REFUSED_MAX, Importer
from opencarrier.usage.matched import MatchOrder, match_dataset, read_matches
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.csv_mapping import parse_mapping
from opencarrier.usage.wire.origin import Origin

MAPPING = """
[fields]
visited = { column = "visited" }
home = { column = "home" }
subject = { column = "subject" }
session = { column = "session" }
node = { column = "node" }
service = { value = "wifi" }
start = { column = "start", format = "unix_s" }
octets_out = { column = "octets" }
"""
HEADER = "visited,home,subject,session,node,start,octets\n"
PARTIES = ("op_a", "op_b", "op_c")
START_S = 1_772_323_200
_SHARED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


def agreements() -> list[Row]:
    """Lines between three operators; none at home, and none for op_c at op_a."""
    pairs = [("op_a", "op_b"), ("op_b", "op_c"), ("op_b", "op_a"), ("op_c", "op_b")]
    return [row(home=home, visited=at, place=place) for place, (home, at) in enumerate(pairs)]


@dataclass(frozen=True)
class Month:
    """A month's folder and what each step said it came to."""

    folder: Path
    files: dict[bytes, dict[str, Any]]
    rated: dict[str, Any]
    cleared: dict[str, Any]

    def ask(self, text: str, **words: Any) -> dict[str, Any]:
        told = MonthTracing(self.folder).trace(text, **words)
        assert not isinstance(told, Refusal), told
        return told

    def items(self, text: str, limit: int = 20) -> Iterator[dict[str, Any]]:
        """Follow the pages to the last."""
        after = ""
        while True:
            told = self.ask(text, after=after, limit=limit)
            assert len(told["items"]) <= limit
            yield from told["items"]
            if told["next"] is None:
                return
            after = told["next"]


def import_file(folder: Path, rows: Sequence[str], reporter: str | None) -> dict[str, Any]:
    text = (HEADER + "".join(f"{line}\n" for line in rows)).encode()
    path = folder / f"{sha256(text).hexdigest()[:8]}.csv"
    path.write_bytes(text)
    parties = {name: PartyId(name) for name in PARTIES}

    def origin_of(digest: bytes) -> Origin:
        return replace(
            origin(), source_digest=digest, party_of=parties.get, reporter=parties.get(reporter)
        )

    (told,) = Importer(folder / "records", origin_of, parse_mapping(MAPPING)).run([path])["files"]
    return dict(told) | {"digest": sha256(text).digest()}


def add(folder: Path, changes: Sequence[UsageRecord]) -> None:
    writer = DatasetWriter(folder / "records")
    for item in changes:
        assert writer.add(item) is None
    writer.close()


def finish(folder: Path, told: Sequence[dict[str, Any]]) -> Month:
    """Match, rate and clear what was imported."""
    match_dataset(MatchOrder(usage=folder / "records", out=folder / "matched"))
    order = {"usage": folder / "records", "subscribers": None, "rows": agreements()}
    report = rate(Order(out=folder / "rated", **order))
    cleared = clearing.clear(
        clearing.Order(
            rated=folder / "rated",
            out=folder / "cleared",
            domain="test",
            sequence=6,
            mode=NettingMode.CIRCULAR,
            secret=SECRET,
            post_at_us=1,
            matched=folder / "matched",
            usage=folder / "records",
        )
    )
    reports = {item["digest"]: item for item in told}
    return Month(folder, reports, report.as_mapping(), cleared.as_mapping())


@st.composite
def csv_rows(draw: st.DrawFn) -> str:
    """A row: mostly good, at times without home, node or a number, or of nobody known."""
    session = draw(st.integers(0, 12))
    return ",".join(
        (
            draw(st.sampled_from([*PARTIES, *PARTIES, "nobody"])),
            draw(st.sampled_from([*PARTIES, *PARTIES, ""])),
            f"imsi-{session % 3}",
            f"s-{session}",
            draw(st.sampled_from(["node-1", "node-2", ""])),
            str(START_S + 86_400 * draw(st.integers(0, 1)) + session),
            draw(st.sampled_from(["0", "1024", "99999999", "x"])),
        )
    )


@st.composite
def months(draw: st.DrawFn) -> list[tuple[list[str], str | None]]:
    """Files of visited operators with rows in common, and one of a home's meter."""
    pool = draw(st.lists(csv_rows(), min_size=12, max_size=24, unique=True))
    some = st.lists(st.sampled_from(pool), max_size=20)
    return [(pool[:20], None), (draw(some), None), (draw(some), "op_b")]


def changes_of(records: Sequence[UsageRecord], data: st.DataObject) -> list[UsageRecord]:
    """Corrections and voids of some records, and of each other, some for nothing."""
    made: list[UsageRecord] = []
    for number in range(data.draw(st.integers(0, 6))):
        named = data.draw(st.sampled_from([*records, *made]))
        free = data.draw(st.booleans())
        made.append(
            replace(
                named,
                usage_id=derive("change", number),
                kind=data.draw(st.sampled_from([RecordKind.CORRECTION, RecordKind.VOID])),
                corrects=named.usage_id,
                sequence=data.draw(st.integers(0, 2)),
                rcoi=RcoiClass.SETTLEMENT_FREE if free else RcoiClass.NONE,
                source_digest=CHANGES,
                source_offset=number,
            )
        )
    return made


CHANGES = derive("changes", 0)


@given(data=st.data())
@settings(max_examples=2, suppress_health_check=_SHARED)
def test_timelines_add_up_to_the_month(tmp_path_factory, data: st.DataObject) -> None:
    check_conservation(tmp_path_factory.mktemp("month"), data)


@pytest.mark.deep
@pytest.mark.timeout(1_800)
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=_SHARED)
def test_timelines_add_up_to_many_months(tmp_path_factory, data: st.DataObject) -> None:
    check_conservation(tmp_path_factory.mktemp("month"), data)


def check_conservation(folder: Path, data: st.DataObject) -> None:
    """What is told of all records, summed, is what each step's report says."""
    reports = [import_file(folder, rows, reporter) for rows, reporter in data.draw(months())]
    assume(len({report["digest"] for report in reports}) == len(reports))
    known = [r for r in read_records(folder / "records") if r.side is Side.VISITED]
    assume(known)
    changes = changes_of(known, data)
    add(folder, changes)
    month = finish(folder, reports)
    told = {
        item["id"]: item
        for digest in (*month.files, CHANGES)
        for item in (month.items(to_hex(digest)) if digest != CHANGES or changes else ())
        if item["kind"] == "usage"
    }
    records = list(read_records(folder / "records"))
    assert set(told) == {to_hex(item.usage_id) for item in records}
    check_rated(month, told.values())
    check_last(month, told, records)
    check_cleared(month, told.values())
    check_matched(month, told.values())
    check_files(month, told.values())


def steps(items: Iterable[dict[str, Any]], stage: Stage) -> list[dict[str, Any]]:
    name = stage.name.lower()
    return [step for item in items for step in item["steps"] if step["stage"] == name]


def check_rated(month: Month, told: Iterable[dict[str, Any]]) -> None:
    told = list(told)
    rated, suspended = steps(told, Stage.RATED), steps(told, Stage.SUSPENDED)
    assert sum(step["amount_minor"] for step in rated) == month.rated["charge_minor"]
    assert sum(step["host_minor"] for step in rated) == month.rated["host_minor"]
    assert Counter(step["reason"] for step in suspended) == month.rated["suspense"]
    assert len(rated) + len(suspended) == month.rated["records"]
    free = [step for step in rated if step["reason"] == "settlement_free"]
    assert len(free) == month.rated["settlement_free"]


def check_last(
    month: Month, told: dict[str, dict[str, Any]], records: Sequence[UsageRecord]
) -> None:
    """The last stage is the one that the outputs, read row by row, say."""
    rated = audit(month.folder / "rated")
    for item in records:
        name = to_hex(item.usage_id)
        last = told[name]["steps"][-1]["stage"]
        if item.usage_id in rated:
            if rated[item.usage_id]["status"]:
                assert last == "suspended"
            elif isinstance(path_of(month.folder / "cleared", item.usage_id), Refusal):
                assert last == "rated"
            else:
                assert last == "settled"
        elif item.kind is RecordKind.VOID:
            assert last in ("matched", "replaced")
        else:
            visited = [r for r in records if r.usage_id == item.usage_id and r.side == 1]
            # Where only somebody's word came that does not count, matching has no outcome.
            ends = ("replaced",) if visited else ("received", "duplicate", "matched")
            assert last in ends


def check_cleared(month: Month, told: Iterable[dict[str, Any]]) -> None:
    told = list(told)
    netted, leaves = steps(told, Stage.NETTED), steps(told, Stage.IN_ROOT)
    assert len(netted) == len(leaves) == month.cleared["records"]
    positions = {step["position_id"]: step["position_minor"] for step in netted}
    assert len(positions) == month.cleared["positions"]
    assert {step["records_root"] for step in leaves} <= {month.cleared["records_root"]}
    amounts = Counter(step["position_id"] for step in netted)
    for item in told:
        for place in steps([item], Stage.NETTED):
            (charge,) = steps([item], Stage.RATED)
            amounts[place["position_id"], "minor"] += charge["amount_minor"]
    assert {key: amounts[key, "minor"] for key in positions} == positions


def check_matched(month: Month, told: Iterable[dict[str, Any]]) -> None:
    """Each usage has the outcome of each session it is reported in; no outcome is left over."""
    outcomes = {
        (m.key.visited, m.key.home, to_hex(m.key.session_id)): m.outcome.name.lower()
        for m in read_matches(month.folder / "matched")
    }
    seen: set[tuple[Any, ...]] = set()
    for item in told:
        received = steps([item], Stage.RECEIVED)
        sessions = {(step["visited"], step["home"], step["session_id"]) for step in received}
        seen |= sessions
        matched = Counter(step["reason"] for step in steps([item], Stage.MATCHED))
        assert matched == Counter(outcomes[key] for key in sessions if key in outcomes)
    assert seen >= set(outcomes)


def check_files(month: Month, told: Iterable[dict[str, Any]]) -> None:
    """Refusals and copies of each file are those its import reported; of many copies eight."""
    duplicates = steps(told, Stage.DUPLICATE)
    crowded = any(step["copies"] >= COPIES_MAX for step in duplicates)
    sources = [source for step in duplicates for source in sources_of(step)]
    copies = Counter(source.partition("@")[0] for source in sources)
    for digest, report in month.files.items():
        refused = [i["steps"] for i in month.items(to_hex(digest)) if i["kind"] == "record"]
        assert [step["reason"] for (step,) in refused] == [r["reason"] for r in report["refused"]]
        assert [step["offset"] for (step,) in refused] == [r["offset"] for r in report["refused"]]
        assert sum(report["refused_counts"].values()) == len(refused)
        assert copies[to_hex(digest)] <= report["duplicates"]
        assert crowded or copies[to_hex(digest)] == report["duplicates"]


def sources_of(step: dict[str, Any]) -> list[str]:
    found: list[str] = step["sources"].split(" ")
    assert len(found) == min(step["copies"], COPIES_MAX)
    return found


FIRST = [
    *(f"op_b,op_a,imsi-{n % 2},s-{n},node-{n % 2},{START_S + n},{5_000_000 + n}" for n in range(5)),
    f"op_b,op_a,imsi-9,s-9,,{START_S},77",
    f"op_b,op_a,imsi-9,s-10,node-1,{START_S},nonsense",
    f"nobody,op_a,imsi-9,s-11,node-1,{START_S},1",
]
AGAIN = [f"op_b,op_a,imsi-5,s-20,node-7,{START_S},9", FIRST[0]]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Month:
    """Five good records, one that names no node, two that are refused, and a copy."""
    folder = tmp_path_factory.mktemp("month")
    return finish(folder, [import_file(folder, rows, None) for rows in (FIRST, AGAIN)])


def stages(item: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["stage"], step["reason"]) for step in item["steps"]]


BOOKED = [
    ("received", "reported"),
    ("matched", "one_sided"),
    ("rated", "wholesale"),
    ("netted", "taken_by_cycle"),
    ("in_root", "leaf_of_cycle"),
    ("settled", "booked"),
]


def test_an_id_means_a_usage_a_session_a_file_a_node_or_a_subscriber(month: Month) -> None:
    """Each finds the same timeline; a copy is told where it was read."""
    first, again = month.files
    (copied,) = [
        item for item in month.items(to_hex(first)) if ("duplicate", "seen_before") in stages(item)
    ]
    assert stages(copied) == [BOOKED[0], ("duplicate", "seen_before"), *BOOKED[1:]]
    (received,) = steps([copied], Stage.RECEIVED)
    assert (received["file"], received["offset"]) == (to_hex(first), len(HEADER))
    (copy,) = steps([copied], Stage.DUPLICATE)
    offset = len(HEADER) + len(AGAIN[0]) + 1
    assert sources_of(copy) == [f"{to_hex(again)}@{offset}"]
    one = next(r for r in read_records(month.folder / "records") if r.node == "node-0")
    for text, kind, count in (
        (copied["id"], "usage", 1),
        (received["session_id"], "session", 1),
        (to_hex(again), "file", 2),
        ("node-0", "node", 3),
        (to_hex(one.subject), "subscriber", 3),
    ):
        told = month.ask(text)
        assert (told["kind"], len(told["items"])) == (kind, count)
        assert not told["is_partial"]
        assert copied in told["items"]


def test_what_waits_and_what_was_refused_say_why(month: Month) -> None:
    items = list(month.items(to_hex(next(iter(month.files))), limit=3))
    waiting = [stages(item)[-1] for item in items if item["kind"] == "usage"]
    assert waiting.count(("suspended", "no_node")) == 1
    refused = [item["steps"][0] for item in items if item["kind"] == "record"]
    assert [step["reason"] for step in refused] == ["number", "visited_unknown"]
    assert all(step["severity"] == "severe" for step in refused)


def test_pages_end_and_go_on_where_they_should(
    month: Month, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full last page is followed by an empty one; no item is left out or told twice."""
    file = to_hex(next(iter(month.files)))
    for limit, rows in ((2, 1), (4, 3), (8, 400)):
        monkeypatch.setattr(dataset_stages, "ROWS_OF_PAGE", rows)
        items = list(month.items(file, limit))
        assert [item["kind"] for item in items] == ["usage"] * 6 + ["record"] * 2
        ids = [item["id"] for item in items[:6]]
        assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        ("nowhere", {}, TraceReason.UNKNOWN_ID),
        ("", {}, TraceReason.UNKNOWN_ID),
        ("n" * 256, {}, TraceReason.UNKNOWN_ID),
        ("0x" + "00" * 32, {}, TraceReason.UNKNOWN_ID),
        ("0x" + "00" * 16, {}, TraceReason.UNKNOWN_ID),
        ("node-0", {"limit": 0}, TraceReason.BAD_LIMIT),
        ("node-0", {"limit": LIMIT_MAX + 1}, TraceReason.BAD_LIMIT),
        ("node-0", {"after": "usage/1"}, TraceReason.BAD_CURSOR),
    ],
)
def test_refusals(month: Month, text: str, words: dict[str, Any], reason: TraceReason) -> None:
    told = MonthTracing(month.folder).trace(text, **words)
    assert isinstance(told, Refusal)
    assert told.reason is reason


def test_a_root_that_its_leaf_does_not_reach_is_not_told(month: Month, tmp_path: Path) -> None:
    """One bit of a leaf or of the published root changed: the files contradict themselves."""
    copy = shutil.copytree(month.folder, tmp_path / "month")
    usage = next(item for item in month.items("node-0") if stages(item) == BOOKED)
    leaves = copy / "cleared" / "tree" / "level-00"
    octets = bytearray(leaves.read_bytes())
    octets[32 * steps([usage], Stage.IN_ROOT)[0]["leaf_index"]] ^= 1
    leaves.write_bytes(octets)
    with pytest.raises(PeerError, match="leads elsewhere"):
        MonthTracing(copy).trace(usage["id"])


def test_steps_that_are_not_taken_yet_are_not_told(month: Month, tmp_path: Path) -> None:
    copy = shutil.copytree(month.folder, tmp_path / "month")
    usage = next(item for item in month.items("node-0") if stages(item) == BOOKED)["id"]
    for folder, left in (("cleared", BOOKED[:3]), ("rated", BOOKED[:2]), ("matched", BOOKED[:1])):
        shutil.rmtree(copy / folder)
        told = MonthTracing(copy).trace(usage)
        assert not isinstance(told, Refusal)
        assert stages(told["items"][0]) == left
    shutil.rmtree(copy / "records")
    with pytest.raises(PeerError, match="holds no records"):
        MonthTracing(copy)


def test_the_command_tells_it_to_scripts_and_to_people(month: Month, run) -> None:
    told = json.loads(run("trace", "node-0", "--month", str(month.folder), "--json"))
    assert told == month.ask("node-0")
    text = run("trace", "node-0", "--month", str(month.folder), "--limit", "1")
    assert text.splitlines()[-1] == f"more: --after usage/{told['items'][0]['id']}"
    assert "unknown_id" in run("trace", "nowhere", "--month", str(month.folder), code=1)
    assert "holds no records" in run("trace", "x", "--month", str(month.folder / "rated"), code=1)


def test_a_file_that_was_not_kept_says_why_and_one_kept_is_not_forgotten(tmp_path: Path) -> None:
    """The latest import that kept the file counts; a refusal of it later does not."""
    (tmp_path / "records").mkdir()
    digest = derive("file", 1)
    told = {"kept": False, "refused": [], "refused_counts": {"severe": 0}}
    one = {"offset": 0, "reason": "header", "severity": "fatal", "detail": ""}
    for kept, refused, left in ((False, [one], 1), (True, [], 0), (False, [one], 0)):
        now = {**told, "kept": kept, "refused": refused, "refused_counts": {"fatal": len(refused)}}
        note_file(tmp_path / "records", digest, now)
        answer = MonthTracing(tmp_path).trace(to_hex(digest))
        assert not isinstance(answer, Refusal)
        assert (answer["kind"], len(answer["items"])) == ("file", left)


def test_more_refusals_than_are_listed_are_said_to_be_there(tmp_path: Path) -> None:
    rows = [f"op_b,op_a,imsi,s,n,{START_S},x" for _ in range(REFUSED_MAX + 1)]
    for count, is_partial in ((REFUSED_MAX, False), (REFUSED_MAX + 1, True)):
        digest = import_file(tmp_path, rows[:count], None)["digest"]
        told = MonthTracing(tmp_path).trace(to_hex(digest), limit=LIMIT_MAX)
        assert not isinstance(told, Refusal)
        assert told["is_partial"] == is_partial


def test_copies_are_kept_for_so_many_places_and_never_of_the_record_itself(tmp_path: Path) -> None:
    """Ten files repeat a record: of nine copies eight are kept; the same again adds none."""
    many = [record(1, source_digest=derive("file", n)) for n in range(COPIES_MAX + 2)]
    for _ in range(2):
        add(tmp_path, many)
        told = MonthTracing(tmp_path).trace("node-1")
        assert not isinstance(told, Refusal)
        (copies,) = steps(told["items"], Stage.DUPLICATE)
        assert copies["copies"] == COPIES_MAX
        (received,) = steps(told["items"], Stage.RECEIVED)
        assert received["file"] not in copies["sources"]


def test_copies_below_the_limit_are_all_kept(tmp_path: Path) -> None:
    for number in range(COPIES_MAX + 1):
        add(tmp_path, [record(1, source_digest=derive("file", number))])
    told = MonthTracing(tmp_path).trace("node-1")
    assert not isinstance(told, Refusal)
    (copies,) = steps(told["items"], Stage.DUPLICATE)
    assert len(set(sources_of(copies))) == COPIES_MAX
