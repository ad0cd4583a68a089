"""Roaming agreements as documents: they read back, anybody can hash them, both lines are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.clock import Window
from opencarrier.rating.agreements.book import read_book
from opencarrier.rating.agreements.documents import (
    OCTETS_MAX,
    ROAMING_AGREEMENT,
    read_roaming_agreement,
    write_roaming_agreement,
)
from opencarrier.rating.agreements.model import LINES_MAX, Line, RoamingAgreement
from opencarrier.rating.agreements.places import lines_of
from opencarrier.rating.agreements.plans import (
    BackToFirst,
    Balanced,
    Discounted,
    DiscountTier,
    Flat,
    NotCharged,
    Tier,
    Tiered,
    Totals,
)
from opencarrier.rating.cli import InputError, agreement_check
from opencarrier.rating.documents import write_agreement
from opencarrier.rating.rules import v2
from opencarrier.rating.terms import DocumentError
from opencarrier.spine.records import Qos, RcoiClass, Service

from .roaming import (
    BACK,
    GIB,
    TERM,
    commitment,
    deal,
    line,
    pricing,
    rate,
    roaming,
    since,
    until,
    written,
)
from .worlds import DAY_US, HOME, SIGNERS, START_US, VISITED, agreement, tariff

EXAMPLE = Path(__file__).parents[2] / "docs/guides/examples/roaming-agreement.json"
TIERS = (
    Tier(start=0, fixed_minor=0, price_nano=3),
    Tier(start=GIB, fixed_minor=5, price_nano=2),
)
CUTS = (DiscountTier(start_minor=0, discount_ppm=0), DiscountTier(start_minor=9, discount_ppm=7))
FULL = roaming(
    line("wifi", services=(Service.WIFI,), in_band=True, host_ppm=600_000),
    line(currency="EUR"),
    line("calls", services=(Service.VOICE,), unit="duration_s", first_step=60, next_step=1),
    line(
        "texts", services=(Service.MESSAGE, Service.EVENT), unit="units", first_step=1, next_step=1
    ),
    BACK,
    rates=(rate(),),
    deals=(
        deal(
            pricing(plan=Tiered(step=GIB, tiers=TIERS)),
            pricing(measure="subscribers", plan=BackToFirst(step=1, tiers=TIERS)),
            currency="EUR",
            commitment=commitment(amount_minor=7),
        ),
        deal(
            pricing(lines=("calls",), plan=Flat(fixed_minor=3)),
            pricing(lines=("texts",), plan=Discounted(whole=True, tiers=CUTS)),
            pricing(lines=("wifi",), plan=NotCharged()),
            deal="rest",
        ),
        deal(
            pricing(
                lines=("data-back",),
                reverse_lines=("data-there",),
                plan=Balanced(step=GIB, balanced_price_nano=1, unbalanced_price_nano=2),
            ),
            deal="back",
            per="period",
            home=VISITED,
            visited=HOME,
        ),
    ),
)
SIGNATURES = tuple(SIGNERS[party].sign(FULL.hash) for party in (HOME, VISITED))


def digest(*value: Any) -> bytes:
    return sha256(cbor2.dumps(list(value), canonical=True)).digest()


def test_an_agreement_reads_back_with_its_signatures() -> None:
    assert read_roaming_agreement(write_roaming_agreement(FULL, SIGNATURES)) == (FULL, SIGNATURES)


def test_a_third_party_hashes_an_agreement_from_its_json_alone() -> None:
    document = written(FULL)
    names = {"lines": "roaming-line", "rates": "roaming-rate", "deals": "roaming-deal"}
    hashes = [
        [digest(f"opencarrier/{name}", item) for item in document.pop(key)]
        for key, name in names.items()
    ]
    del document["document"], document["signatures"]
    assert digest("opencarrier/roaming-agreement", document, *hashes) == FULL.hash


def test_the_example_is_read_and_checked() -> None:
    found = agreement_check(file=EXAMPLE)
    assert (found["rows"], found["agreements"][0]["deals"]) == (6, 3)


def test_the_page_shows_a_whole_one_and_its_price_is_right() -> None:
    page = (EXAMPLE.parents[2] / "reference/agreement.md").read_text()
    shown = page.split("```json\n")[1].split("```")[0]
    found, _ = read_roaming_agreement(shown)
    rated = v2.rate(found.lines[0], 0, before=v2.NOTHING, used=v2.Amounts(duration_s=90))
    assert (rated.legs.seller_minor, rated.legs.tax_minor) == (65_000, 11_700)
    totals = Totals(amount=6_000_060, reverse_amount=0, untaxed_minor=0)
    assert found.deals[0].pricings[0].plan.minor(totals) == 100_000 * 30_000 + 21_000


def test_the_signatures_that_hold_are_told(tmp_path: Path) -> None:
    file = tmp_path / "agreement.json"
    stranger = SIGNERS[HOME].sign(roaming().hash)
    file.write_text(write_roaming_agreement(FULL, (stranger, SIGNATURES[1])))
    found = agreement_check(file=file)["agreements"][0]
    assert (found["signed_by"], found["complete"]) == ([SIGNERS[VISITED].address], False)
    file.write_text(write_roaming_agreement(FULL, SIGNATURES))
    assert agreement_check(file=file)["agreements"][0]["complete"]


Change = Callable[[dict[str, Any]], None]


def put(value: Any, *place: str | int) -> Change:
    def change(document: dict[str, Any]) -> None:
        holder: Any = document
        for step in place[:-1]:
            holder = holder[step]
        holder[place[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "place", "what"),
    [
        (put(1, "comment"), ("comment",), "unknown key 'comment'"),
        (put(True, "lines", 0, "price_nano"), ("lines", 0, "price_nano"), "is True"),
        (put(1.0, "lines", 0, "price_nano"), ("lines", 0, "price_nano"), "is 1.0, not whole"),
        (put(1 << 63, "lines", 0, "price_nano"), ("lines", 0, "price_nano"), "is 922337203"),
        (put(-1, "lines", 0, "tax_ppm"), ("lines", 0, "tax_ppm"), "is -1"),
        (put(1_000_001, "lines", 0, "tax_ppm"), ("lines", 0, "tax_ppm"), "is 1000001"),
        (put("yes", "lines", 0, "in_band"), ("lines", 0, "in_band"), "is 'yes'"),
        (put(True, "lines", 2, "in_band"), ("lines", 2, "in_band"), "steps of a KiB"),
        (put(61, "lines", 2, "next_step"), ("lines", 2, "first_step"), "is 60"),
        (put(90, "lines", 2, "next_step"), ("lines", 2, "first_step"), "is 60"),
        (put(["data", "wifi"], "lines", 0, "services"), ("lines", 0, "services"), "out of order"),
        (put(["wifi", "wifi"], "lines", 0, "services"), ("lines", 0, "services"), "twice"),
        (put([], "lines", 0, "qos"), ("lines", 0, "qos"), "list of 1 to 4"),
        (put(["settlement_free"], "lines", 0, "rcoi"), ("lines", 0, "rcoi", 0), "settlement_free"),
        (put("usd", "lines", 0, "currency"), ("lines", 0, "currency"), "is 'usd'"),
        (put("EUR", "currency"), ("rates", 0), "own currency"),
        (put([5, 5], "periods_us"), ("periods_us", 1), "not after"),
        (put({"kind": "magic"}, "deals", 1, "pricings", 0, "plan"), None, "no known kind"),
        (put([[]], "deals", 1, "pricings", 0, "plan"), None, "no known kind"),
        (put(0, "deals", 0, "pricings", 0, "plan", "tiers", 1, "start"), None, "do not ascend"),
        (put([], "lines"), ("lines",), "list of 1 to"),
        (put("opencarrier/agreement/v3", "document"), ("document",), "agreement/v3"),
        (put({"kid": "0x", "octets": "0x"}, "signatures"), ("signatures",), "not a list"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(
    change: Change, place: tuple[str | int, ...] | None, what: str
) -> None:
    document = written(FULL)
    change(document)
    with pytest.raises(DocumentError, match=what) as caught:
        read_roaming_agreement(json.dumps(document))
    assert place is None or caught.value.places[0] == place


def refused(spoilt: RoamingAgreement) -> tuple[str, list[int]]:
    """Return why an agreement is refused, and the lines of its file that are named."""
    source = write_roaming_agreement(spoilt)
    with pytest.raises(DocumentError) as caught:
        read_book(source, "a.json")
    lines = lines_of(source)
    assert len(caught.value.places) == 2, "both are named"
    named = [lines[place][0] for place in caught.value.places]
    where = ", ".join(f"a.json:{number}" for number in named)
    assert caught.value.what.startswith(where + ": ")
    return caught.value.what.split(": ", 1)[1], named


DATA, OTHER = line(), line("other")


def since_us(item: Line, day: int, more_us: int) -> Line:
    return replace(item, window=Window(START_US + day * DAY_US + more_us, TERM.end_us))


@pytest.mark.parametrize(
    ("spoilt", "what"),
    [
        (roaming(until(DATA, 10), since(OTHER, 9)), "lines[0] and lines[1] are both in force"),
        (roaming(since(DATA, 9), until(OTHER, 10)), "lines[1] and lines[0] are both in force"),
        (roaming(DATA, line("gold", qos=(Qos.GOLD,))), "for data/gold/none"),
        (roaming(DATA, line("x", rcoi=(RcoiClass.SETTLED,))), "for data/none/settled"),
        (roaming(until(DATA, 9), since(OTHER, 10)), "between lines[0] and lines[1] nothing"),
        (roaming(until(DATA, 9), since_us(OTHER, 9, 1)), "between lines[0] and lines[1] nothing"),
        (roaming(since(DATA, 1)), "between periods_us[0] and lines[0] nothing prices"),
        (roaming(until(DATA, 29)), "between lines[0] and periods_us nothing prices"),
        (roaming(line(window=Window(START_US - 1, TERM.end_us))), "beyond the term"),
        (roaming(line(window=Window(START_US, TERM.end_us + 1))), "beyond the term"),
        (roaming(DATA, line(services=(Service.WIFI,))), "are both 'data-there'"),
        (roaming(line(visited=HOME)), "is not between the parties"),
        (roaming(line(host_ppm=990_001)), "more than the whole price"),
        (roaming(line(currency="EUR")), "is EUR, which has no rate"),
        (
            roaming(line(currency="EUR"), rates=(rate(Window(START_US, TERM.end_us - 1)),)),
            f"no rate at {TERM.end_us - 1}",
        ),
        (roaming(line(currency="EUR"), rates=(rate(), rate())), "rates[0] and rates[1] are both"),
        (roaming(deals=(deal(), deal())), "deals[0].deal and deals[1].deal are both 'volume'"),
        (roaming(deals=(deal(), deal(deal="other"))), "both price 'data-there'"),
        (roaming(deals=(deal(pricing(), pricing()),)), "both price 'data-there'"),
        (roaming(deals=(deal(visited=HOME),)), "is not between the parties"),
        (roaming(deals=(deal(pricing(reverse_lines=("data-back",))),)), "do not belong together"),
        (
            roaming(
                deals=(
                    deal(pricing(measure="subscribers", plan=Discounted(whole=True, tiers=CUTS))),
                )
            ),
            "counts subscribers with a plan on use",
        ),
        (
            roaming(
                DATA,
                line("calls", services=(Service.VOICE,), unit="duration_s"),
                deals=(deal(pricing(lines=("data-there", "calls"))),),
            ),
            "count different units",
        ),
    ],
)
def test_what_contradicts_is_refused_with_both_lines(spoilt: RoamingAgreement, what: str) -> None:
    assert what in refused(spoilt)[0]


@pytest.mark.parametrize(
    "sound",
    [
        roaming(until(DATA, 10), since(OTHER, 10)),  # to the microsecond
        roaming(line(qos=(Qos.NONE, Qos.BRONZE)), line("gold", qos=(Qos.SILVER, Qos.GOLD))),
        roaming(line(host_ppm=990_000)),
        roaming(line(currency="EUR"), rates=(rate(),)),
        roaming(deals=(deal(), deal(pricing(measure="subscribers"), deal="access"))),
    ],
)
def test_what_adjoins_is_taken(sound: RoamingAgreement) -> None:
    assert read_roaming_agreement(write_roaming_agreement(sound)) == (sound, ())


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("nowhere",), "names no line"),
        (("data-there", "data-there"), "stands there already"),
        (("data-back",), "another direction or currency"),
    ],
)
def test_a_deal_names_lines_of_its_own_direction(names: tuple[str, ...], what: str) -> None:
    spoilt = roaming(DATA, BACK, deals=(deal(pricing(lines=names)),))
    with pytest.raises(DocumentError, match=what):
        read_roaming_agreement(write_roaming_agreement(spoilt))


def test_agreements_of_a_pair_do_not_price_the_same_record() -> None:
    first, second = roaming(until(DATA, 30)), roaming(line("later"))
    one, other = (json.dumps(written(item)) for item in (first, second))
    with pytest.raises(DocumentError, match=r"^document: b\.jsonl:1, b\.jsonl:3: lines\[0\] and"):
        read_book(f"{one}\n\n{other}\n", "b.jsonl")
    old = json.dumps(json.loads(write_agreement(agreement(tariff()))))
    with pytest.raises(DocumentError, match=r"b\.jsonl:\d, b\.jsonl:\d: \S+\[0\] and \S+\[0\]"):
        read_book(f"{one}\n{old}\n", "b.jsonl")
    gone = agreement(tariff(window=Window(START_US - DAY_US, START_US)))
    both = f"{one}\n{json.dumps(json.loads(write_agreement(gone)))}\n"
    assert len(list(read_book(both, "b.jsonl").rows())) == 1 + 6


def test_version_1_overlaps_are_told_by_line() -> None:
    spoilt = json.loads(write_agreement(agreement()))
    spoilt["tariffs"] *= 2
    with pytest.raises(DocumentError, match=r"^document: a\.json:12, a\.json:23: tariffs\[0\]"):
        read_book(json.dumps(spoilt, indent=2), "a.json")


def test_a_file_that_is_no_agreement_is_told_by_line(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for text, what in [
        ('{\n"document": 1}', "a.json:1: the document is no agreement"),
        ('{\n"document"\n}', "a.json:3: it is not JSON"),
        ("[" * 20_000, "too many lists"),
        (f'{{"document": "{ROAMING_AGREEMENT}", "deep": {"[" * 900}{"]" * 900}}}', "key 'deep'"),
        ('{\n"a": 1,\n"a": 2}', "a.json:2, " + str(file) + ":3: a stands twice"),
        ("[]", "a.json:1: the document is not an object"),
        (" " * OCTETS_MAX + "{}", "too long"),
    ]:
        file.write_text(text)
        with pytest.raises(InputError) as caught:
            agreement_check(file=file)
        assert what in str(caught.value)
    file.write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        agreement_check(file=file)
    with pytest.raises(InputError, match="No such file"):
        agreement_check(file=tmp_path / "none")


def test_a_key_that_stands_twice_is_named_on_both_lines() -> None:
    source = write_roaming_agreement(FULL).replace('"asset":', '"asset": "",\n  "asset":')
    with pytest.raises(DocumentError, match=r"a\.json:15, a\.json:16: asset stands twice"):
        read_book(source, "a.json")


def test_as_many_lines_as_allowed_and_one_more() -> None:
    document = written(roaming())
    one = document["lines"][0]
    ends = [TERM.start_us + at for at in range(LINES_MAX)] + [TERM.end_us]
    document["lines"] = [
        {**one, "line": f"l{at}", "valid_from_us": ends[at], "valid_until_us": ends[at + 1]}
        for at in range(LINES_MAX)
    ]
    found, _ = read_roaming_agreement(json.dumps(document))
    assert len(found.lines) == LINES_MAX
    document["lines"].append(one)
    with pytest.raises(DocumentError, match=f"list of 1 to {LINES_MAX}"):
        read_roaming_agreement(json.dumps(document))


def outcome(read: Callable[[], Any]) -> Any:
    """Return what reading gives, a value or the refusal; anything else is raised."""
    try:
        return read()
    except DocumentError as error:
        return error


SOURCE = json.dumps(written(FULL))


@settings(max_examples=300)
@given(st.data())
def test_no_damage_makes_the_reader_raise_anything_else(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SOURCE)))
    until_at = data.draw(st.integers(at, min(len(SOURCE), at + 40)))
    put_in = data.draw(st.text(alphabet='{}[]",:0123456789.eE-tfn\\ \nuUSD\0', max_size=8))
    damaged = SOURCE[:at] + put_in + SOURCE[until_at:]
    told = outcome(lambda: read_book(damaged, "a.json"))
    if isinstance(told, DocumentError):
        assert told.what.startswith("a.json:")
    else:
        again = outcome(lambda: read_book(json.dumps(json.loads(damaged)), "a.json"))
        assert not isinstance(again, DocumentError)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@settings(max_examples=100)
@given(st.data())
def test_no_foreign_value_makes_the_reader_raise_anything_else(data: st.DataObject) -> None:
    document = written(FULL)
    holder: Any = document
    while True:
        key = data.draw(
            st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder)))
        )
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        holder = inner
    holder[key] = data.draw(VALUES)
    told = outcome(lambda: read_roaming_agreement(json.dumps(document)))
    if isinstance(told, DocumentError):
        assert told.hint
    else:
        assert written(told[0]) == {**document, "signatures": []}
