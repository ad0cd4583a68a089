"""Shadow mode: what another house's statement differs in is found, each with reason and amount."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clearing import shadow_months as months
from tests.clearing.shadow_months import FORM, MARCH, Billed, bill, later, told

from opencarrier.clearing.shadow.model import Cause, ShadowOrder, ShadowReport
from opencarrier.clearing.shadow.run import compare, parties_of
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.money import Adjustment, Allocation, Role
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service
from opencarrier.spine.statements import RowsAre, StatementForm, StatementRow, Unread

NANO_PER_MICRO = 1_000
IN_MARCH, IN_APRIL = 44, 4
Key = tuple[str, str, str, str, int]
"""Home, visited, currency, reason, amount: what a difference is."""


class Scene(NamedTuple):
    """A month that was rated once, what the other house bills for it, and where to report."""

    usage: Path
    rated: Path
    folder: Path
    march: list[Billed]
    april: list[Billed]
    waiting: list[Billed]

    def compare(
        self, statement: Iterable[StatementRow | Unread], form: StatementForm = FORM, **more: Any
    ) -> ShadowReport:
        order: dict[str, Any] = {"month": MARCH, "waiting": {3: "no_agreement"}}
        return compare(
            ShadowOrder(
                usage=self.usage,
                rated=self.rated,
                out=self.folder,
                form=form,
                statement=statement,
                **(order | more),
            )
        )

    def differences(self) -> list[dict[str, str]]:
        with self.folder.joinpath("differences.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def found(self) -> Counter[Key]:
        names = ("home", "visited", "currency", "reason")
        return Counter(
            (*(row[name] for name in names), int(row["amount_nano"]))  # type: ignore[misc]
            for row in self.differences()
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("shadow")
    items = months.records(IN_MARCH + IN_APRIL)
    items[IN_MARCH:] = [later(item, 24 * 31) for item in items[IN_MARCH:]]
    usage, rated = months.rate(folder, items)
    billed = bill(items)
    known = [replace(item, home="op_a") for item in items if item.home == "op_x"]
    return Scene(
        usage=usage,
        rated=rated,
        folder=folder / "shadow",
        march=[item for item in billed if item.number < IN_MARCH],
        april=[item for item in billed if item.number >= IN_MARCH],
        waiting=bill(known),
    )


def nano(amount: Decimal) -> int:
    return months.minor(amount, 9)


def key(row: StatementRow, cause: Cause, amount: Decimal) -> Key:
    return row.home, row.visited, row.currency, cause.name.lower(), nano(amount)


# What is done to a statement's row, by the reason it must be found with.

Made = tuple[list[StatementRow], list[StatementRow], list[Key]]
"""Rows of the statement, rows of the neighbouring month's, and what must be found."""


def _gone(item: Billed) -> Made:
    return [], [], [key(told(item), Cause.MISSING_THERE, item.gross)]


def _stranger(item: Billed) -> Made:
    row = told(item)
    other = row._replace(key=derive("other", item.number), line=row.line + 5_000)
    return [row, other], [], [key(row, Cause.MISSING_HERE, -item.gross)]


def _twice(item: Billed) -> Made:
    row = told(item)
    return [row, row._replace(line=row.line + 5_000)], [], [key(row, Cause.DUPLICATE, -item.gross)]


def _next_month(item: Billed) -> Made:
    row = told(item)
    return [], [row], [key(row, Cause.PERIOD, item.gross)]


def _other_partner(item: Billed) -> Made:
    row, wrong = told(item), told(item, home=PartyId("op_z"))
    moved = [key(wrong, Cause.PARTNER, -item.gross), key(row, Cause.PARTNER, item.gross)]
    return [wrong], [], moved


def _other_currency(item: Billed) -> Made:
    row, wrong = told(item), told(item, currency="CHF")
    moved = [key(wrong, Cause.CURRENCY, -item.gross), key(row, Cause.CURRENCY, item.gross)]
    return [wrong], [], moved


def _more_volume(item: Billed) -> Made:
    record = item.record
    more = replace(
        record,
        octets_in=record.octets_in + 7 * months.MEBI,
        duration_s=record.duration_s + 1_200,
        units=record.units + 3,
    )
    (billed,) = bill([more])
    row = told(billed, line=item.number + 2)
    return [row], [], [key(row, Cause.VOLUME, item.gross - billed.gross)]


def _other_price(item: Billed) -> Made:
    row = told(replace(item, net=item.net * 3, tax=item.tax * 3))
    return [row], [], [key(row, Cause.PRICE, -2 * item.gross)]


def _other_tax(item: Billed) -> Made:
    row = told(replace(item, tax=item.tax * 2))
    return [row], [], [key(row, Cause.TAX, -item.tax)]


def _rounded(item: Billed) -> Made:
    row = told(replace(item, net=item.net + Decimal("0.000001")))
    return [row], [], [key(row, Cause.ROUNDING, Decimal("-0.000001"))]


def _as_it_is(item: Billed) -> Made:
    return [told(item)], [], []


CHANGES: tuple[Callable[[Billed], Made], ...] = (
    *(_as_it_is, _gone, _stranger, _twice, _next_month, _other_partner, _other_currency),
    *(_more_volume, _other_price, _other_tax, _rounded),
)


def made_of(scene: Scene, changes: Sequence[Callable[[Billed], Made]]) -> Made:
    """Return a statement with a change to each row in turn, and all that must be found."""
    rows: list[StatementRow] = []
    beside: list[StatementRow] = []
    expected: list[Key] = []
    for item, change in zip(scene.march, itertools.cycle(changes), strict=False):
        one, other, keys = change(item)
        rows += one
        beside += other
        expected += keys
    return rows, beside, expected


def test_the_same_month_does_not_differ(scene: Scene) -> None:
    report = scene.compare(map(told, scene.march))
    assert report.differences == 0
    assert report.rows == report.equal == len(scene.march)
    assert report.records == IN_MARCH
    assert sum(item.theirs_nano for item in report.accounts) == sum(
        nano(item.gross) for item in scene.march
    )


changes_of_rows = st.lists(st.sampled_from(CHANGES), min_size=1, max_size=40)


def check_changes(scene: Scene, changes: list[Callable[[Billed], Made]]) -> None:
    rows, beside, expected = made_of(scene, changes)
    report = scene.compare(rows, beside=beside)
    assert scene.found() == Counter(expected)
    assert report.differences == len(expected)
    assert all(item.unexplained_nano == 0 for item in report.accounts)


@settings(max_examples=3, deadline=None)
@given(changes=changes_of_rows)
def test_every_change_is_found_with_its_reason_and_amount(
    scene: Scene, changes: list[Callable[[Billed], Made]]
) -> None:
    """Theirs and the differences sum to ours in each account: `Compared` asserts it."""
    check_changes(scene, changes)


@pytest.mark.deep
@settings(max_examples=100, deadline=None)
@given(changes=changes_of_rows)
def test_every_change_is_found_in_many_months(
    scene: Scene, changes: list[Callable[[Billed], Made]]
) -> None:
    check_changes(scene, changes)


whole = st.integers(0, (1 << 63) - 1)
signed = st.integers(-(1 << 63) + 1, (1 << 63) - 1)
maybe = st.none() | whole
hostile = st.fixed_dictionaries(
    {
        "home": st.sampled_from([*months.PARTIES, "op_x"]).map(PartyId),
        "currency": st.sampled_from(["EUR", "USD", "CHF"]),
        "amount_minor": signed,
        "tax_minor": signed,
        **dict.fromkeys(("octets_in", "octets_out", "duration_s", "units"), maybe),
        "records": st.integers(0, 1 << 40),
        "exchange_nano": maybe,
        "is_adjustment": st.booleans(),
    }
)


hostile_months = {
    "fields": st.lists(hostile, min_size=1, max_size=30),
    "in_sums": st.booleans(),
    "is_settled": st.booleans(),
    "rounding": st.integers(0, 1_000),
}


@settings(max_examples=4, deadline=None)
@given(**hostile_months)
def test_whatever_a_statement_says_nothing_is_lost(scene: Scene, **month: Any) -> None:
    check_nothing_is_lost(scene, **month)


@pytest.mark.deep
@settings(max_examples=150, deadline=None)
@given(**hostile_months)
def test_whatever_many_statements_say_nothing_is_lost(scene: Scene, **month: Any) -> None:
    check_nothing_is_lost(scene, **month)


def check_nothing_is_lost(
    scene: Scene, fields: list[dict[str, Any]], in_sums: bool, is_settled: bool, rounding: int
) -> None:
    """`Compared` asserts that theirs and the differences sum to ours; theirs is summed here too."""
    rows = [told(item)._replace(**more) for item, more in zip(scene.march, fields, strict=False)]
    if in_sums:
        rows = [row._replace(key=None, start_s=None, period="2026-03-09") for row in rows]
    assets = {"EUR": months.ASSET} if is_settled else {}
    form = replace(DAYS if in_sums else FORM, assets=assets)
    rows = [row._replace(key=None) if row.is_adjustment else row for row in rows]
    report = scene.compare(rows, form, rounding=rounding)
    assert sum(item.theirs_nano for item in report.accounts) == NANO_PER_MICRO * sum(
        row.amount_minor + (row.tax_minor or 0) for row in rows
    )


def test_each_reason_at_once(scene: Scene) -> None:
    """April's rows and those of an unknown partner stand in their March too."""
    rows, beside, expected = made_of(scene, CHANGES)
    early = [told(item) for item in scene.april]
    unrated = [told(item) for item in scene.waiting if item.number < IN_MARCH]
    expected += [
        key(row, Cause.PERIOD, -item.gross) for row, item in zip(early, scene.april, strict=True)
    ]
    expected += [key(told(item), Cause.SUSPENSE, -item.gross) for item in scene.waiting]
    report = scene.compare([*rows, *early, *unrated], beside=beside)
    assert scene.found() == Counter(expected)
    assert {row["waits_for"] for row in scene.differences() if row["reason"] == "suspense"} == {
        "no_agreement"
    }
    reasons = {cause for item in report.accounts for cause in item.causes}
    assert reasons == set(Cause) - {Cause.EXCHANGE, Cause.ADJUSTMENT, Cause.UNEXPLAINED}


def test_a_session_told_whole_is_its_parts_together(tmp_path: Path, scene: Scene) -> None:
    items = months.records(12)
    for number in range(0, 12, 2):
        items[number + 1] = replace(
            items[number + 1],
            **{name: getattr(items[number], name) for name in ("session_id", "home", "visited")},
            reporter=items[number].visited,
        )
    usage, rated = months.rate(tmp_path, [item for item in items if item.home != "op_x"])
    here = scene._replace(usage=usage, rated=rated, folder=tmp_path / "shadow")
    by_session: dict[bytes, list[Billed]] = {}
    for item in bill(items):
        by_session.setdefault(item.record.session_id, []).append(item)
    whole = [
        replace(first, net=first.net + second.net, tax=first.tax + second.tax)
        for first, second in by_session.values()
    ]
    form = replace(FORM, rows_are=RowsAre.SESSION)
    blank = {"start_s": None, "octets_in": None, "octets_out": None, "duration_s": None}
    rows = [told(item, **blank, units=None) for item in whole]
    assert here.compare(rows, form).differences == 0
    double = told(
        replace(whole[1], net=whole[1].net * 2, tax=whole[1].tax * 2), **blank, units=None
    )
    report = here.compare([rows[0], double, *rows[3:]], form)
    assert here.found() == Counter(
        [
            key(rows[2], Cause.MISSING_THERE, whole[2].gross),
            key(rows[1], Cause.PRICE, -whole[1].gross),
        ]
    )
    assert report.equal == len(rows) - 2


def test_amounts_with_tax_and_usages_by_their_id(scene: Scene) -> None:
    """Tax that is not told apart is a part of the price."""
    form = StatementForm(rows_are=RowsAre.USAGE, decimals=6, with_tax=True)
    rows = [
        told(item, amount_minor=months.minor(item.gross, 6), tax_minor=None, start_s=None)
        for item in scene.march
    ]
    assert scene.compare(rows, form).differences == 0
    item = scene.march[3]
    rows[3] = rows[3]._replace(amount_minor=rows[3].amount_minor - 10_000)
    scene.compare(rows, form)
    assert scene.found() == Counter([key(rows[3], Cause.PRICE, Decimal("0.01"))])
    (row,) = scene.differences()
    assert row["usage_id"] == item.record.usage_id.hex()
    assert int(row["ours_nano"]) - int(row["theirs_nano"]) == int(row["amount_nano"])


def test_amounts_of_few_decimals_differ_by_rounding_alone(scene: Scene) -> None:
    """At three decimals every amount is within one unit; at half a unit less, none is more."""
    form = replace(FORM, decimals=3)
    rows = [told(item, decimals=3) for item in scene.march]
    report = scene.compare(rows, form)
    assert {cause for item in report.accounts for cause in item.causes} <= {Cause.ROUNDING}
    assert report.differences > 0
    exact = scene.compare(rows, form, rounding=0)
    assert all(Cause.ROUNDING not in item.causes for item in exact.accounts)
    assert exact.differences >= report.differences


def test_what_was_exchanged_is_compared_in_the_asset(scene: Scene) -> None:
    form = replace(FORM, decimals=9, assets={"EUR": months.ASSET})
    rates = {"op_c": Decimal("0.655957")}

    def row_of(item: Billed, rate: Decimal) -> StatementRow:
        return told(
            replace(item, net=item.net * rate, tax=item.tax * rate),
            decimals=9, currency="EUR", exchange_nano=nano(rate),
        )  # fmt: skip

    agreed = [rates.get(item.record.visited, Decimal(1)) for item in scene.march]
    rows = [row_of(*pair) for pair in zip(scene.march, agreed, strict=True)]
    assert scene.compare(rows, form).differences == 0
    place = next(n for n, item in enumerate(scene.march) if item.record.visited == "op_c")
    item = scene.march[place]
    rows[place] = row_of(item, Decimal("0.7"))
    scene.compare(rows, form)
    ours = item.gross * Decimal("0.655957")
    assert scene.found() == Counter(
        [key(rows[place], Cause.EXCHANGE, ours - item.gross * Decimal("0.7"))]
    )


def test_files_that_tell_their_charge_need_no_statement(tmp_path: Path, scene: Scene) -> None:
    """As TAP does: without tax, each record with decimals of its own."""
    march = bill(months.records(12))
    decimals = {item.record.usage_id: (6, 9)[item.number % 2] for item in march}
    charges = {item.record.usage_id: item for item in march}
    items = [
        replace(
            item,
            charged_minor=months.minor(charges[item.usage_id].net, decimals[item.usage_id]),
            charged_currency=months.CURRENCIES[item.visited],
            charged_decimals=decimals[item.usage_id],
        )
        for item in months.records(12)
        if item.usage_id in charges
    ]
    items[2] = replace(items[2], charged_minor=items[2].charged_minor + 5_000)
    items[5] = replace(items[5], charged_minor=None, charged_currency=None, charged_decimals=None)
    usage, rated = months.rate(tmp_path, items)
    here = scene._replace(usage=usage, rated=rated, folder=tmp_path / "shadow")
    report = compare(ShadowOrder(usage=usage, rated=rated, out=here.folder))
    assert (report.rows_are, report.rows) == ("usage", len(items) - 1)
    assert here.found() == Counter(
        [
            key(told(march[2]), Cause.PRICE, Decimal("-0.005")),
            key(told(march[5]), Cause.MISSING_THERE, march[5].net),
        ]
    )


def test_what_a_deal_came_to_is_compared_by_account(scene: Scene) -> None:
    def adjustment(payer: str, seller: str, amount: int, end_us: int) -> Adjustment:
        leg = Allocation(role=Role.SELLER, party=PartyId(seller), account="", amount_minor=amount)
        return Adjustment(
            adjustment_id=derive("adjustment", payer, amount),
            payer=PartyId(payer), seller=PartyId(seller), asset=months.ASSET, currency="EUR",
            amount_minor=amount, agreement_hash=bytes(32), deal_hash=bytes(32),
            start_us=MARCH.since_us, end_us=end_us, number=0, is_final=True, inputs=b"",
            allocations=(leg,),
        )  # fmt: skip

    made = [
        adjustment("op_b", "op_a", -2_000_000, MARCH.until_us),
        adjustment("op_c", "op_a", 7, MARCH.until_us),
        adjustment("op_c", "op_a", 99, MARCH.until_us + 1),
    ]
    theirs = told(scene.march[0], home=PartyId("op_b"), visited=PartyId("op_a"), currency="EUR",
                  key=None, start_s=None, service=None, is_adjustment=True,
                  amount_minor=-1_500_000, tax_minor=0)  # fmt: skip
    scene.compare([*map(told, scene.march), theirs], adjustments=made)
    assert scene.found() == Counter(
        [
            ("op_b", "op_a", "EUR", "adjustment", -500_000 * NANO_PER_MICRO),
            ("op_c", "op_a", "EUR", "adjustment", 7 * NANO_PER_MICRO),
        ]
    )


# Sums by service and day.

DAYS = StatementForm(
    rows_are=RowsAre.SUM, decimals=6, with_tax=False, tells_tax=True, period="day", offset_min=60
)


def sums(items: Iterable[Billed], hours: int = 1) -> list[StatementRow]:
    """Add billed records up by day of local time, as a house at that offset does."""
    cells: dict[tuple[Any, ...], list[StatementRow]] = {}
    for item in items:
        row = told(item)
        day = months.day_of(item.record.start_us + hours * months.HOUR_US)
        cells.setdefault((row.home, row.visited, row.service, day), []).append(row)
    names = ("amount_minor", "tax_minor", "octets_in", "octets_out", "duration_s", "units")
    return [
        rows[0]._replace(
            key=None, start_s=None, period=day, records=len(rows), line=place,
            **{name: sum(getattr(row, name) for row in rows) for name in names},
        )
        for place, ((*_, day), rows) in enumerate(cells.items())
    ]  # fmt: skip


def test_sums_by_day_do_not_differ_but_where_the_month_is_cut(scene: Scene) -> None:
    """An hour ahead, the last hour of March is April's first; theirs has it in no cell of March."""
    late = [item for item in scene.march if item.record.start_us >= MARCH.until_us - months.HOUR_US]
    assert late, "a record begins in the last hour of the month"
    rows = sums(item for item in scene.march if item not in late)
    report = scene.compare(rows, DAYS)
    assert scene.found() == Counter(key(told(item), Cause.PERIOD, item.gross) for item in late)
    assert report.equal == len(rows)


def test_a_cell_that_differs_is_taken_apart(scene: Scene) -> None:
    rows = sums(scene.march, 1)
    data = next(n for n, row in enumerate(rows) if row.service is Service.DATA and row.octets_in)
    row = rows[data]
    rows[data] = row._replace(amount_minor=row.amount_minor * 2, tax_minor=row.tax_minor * 2)
    more = rows[data + 1]
    rows[data + 1] = more._replace(
        **{
            name: getattr(more, name) * 2
            for name in (
                "amount_minor",
                "tax_minor",
                "octets_in",
                "octets_out",
                "duration_s",
                "units",
            )
        }
    )
    gone = rows.pop()
    scene.compare(rows, DAYS)
    assert scene.found() == Counter(
        [
            key(row, Cause.PRICE, -gross_of(row)),
            key(more, Cause.VOLUME, -gross_of(more)),
            key(gone, Cause.MISSING_THERE, gross_of(gone)),
        ]
    )


def test_a_cell_without_volumes_says_what_it_cannot_explain(scene: Scene) -> None:
    rows = [
        row._replace(octets_in=None, octets_out=None, duration_s=None, units=None)
        for row in sums(scene.march)
    ]
    assert scene.compare(rows, DAYS).differences == 0
    gross = gross_of(rows[0])
    rows[0] = rows[0]._replace(
        amount_minor=rows[0].amount_minor * 2, tax_minor=2 * (rows[0].tax_minor or 0)
    )
    report = scene.compare(rows, DAYS)
    assert sum(item.unexplained_nano for item in report.accounts) == -nano(gross)


def test_a_cell_may_hold_what_waits_here_or_is_not_of_the_month(scene: Scene) -> None:
    """Theirs bills an unknown partner's use, and April's first day with March's last."""
    unrated = [item for item in scene.waiting if item.number < IN_MARCH]
    rows = sums([*scene.march, *unrated])
    known = {(r.home, r.visited, r.service, r.period) for r in sums(scene.march)}
    waits = [r for r in rows if (r.home, r.visited, r.service, r.period) not in known]
    assert waits
    scene.compare([r._replace(home=PartyId("op_x")) if r in waits else r for r in rows], DAYS)
    found = scene.found()
    assert {cause for *_, cause, _ in found} == {"suspense"}
    assert sum(amount for *_, amount in found.elements()) == -sum(
        nano(item.gross) for item in unrated
    )


def gross_of(row: StatementRow) -> Decimal:
    """Return what a row comes to."""
    return Decimal(row.amount_minor + (row.tax_minor or 0)) / 10**6


# What is refused.


def test_a_run_over_other_records_is_refused(scene: Scene, tmp_path: Path) -> None:
    usage, _ = months.rate(tmp_path, months.records(3))
    with pytest.raises(PeerError, match="are rated, 3 of them"):
        scene._replace(usage=usage, folder=tmp_path / "shadow").compare([])
    assert not tmp_path.joinpath("shadow").exists()
    assert not list(tmp_path.glob(".shadow*"))


def test_another_folder_stays(scene: Scene, tmp_path: Path) -> None:
    tmp_path.joinpath("mine").write_text("kept")
    with pytest.raises(PeerError, match="holds no comparison"):
        scene._replace(folder=tmp_path).compare([])
    assert tmp_path.joinpath("mine").read_text() == "kept"


def test_what_could_not_be_read_is_counted_and_kept(scene: Scene) -> None:
    report = scene.compare([Unread(17, "number", "line 2: amount"), *map(told, scene.march)])
    assert (dict(report.refused), report.differences) == ({"number": 1}, 0)
    refused = scene.folder.joinpath("refused.csv").read_text().splitlines()
    assert refused == ["statement,offset,reason,detail", "statement,17,number,line 2: amount"]


@pytest.mark.deep
def test_amounts_at_the_bounds_are_summed_exactly(scene: Scene) -> None:
    """No sum leaves 128 bits, and no share of one is guessed."""
    most = (1 << 63) - 1
    rows = [
        told(item, amount_minor=most, tax_minor=most, octets_in=most, octets_out=most,
             duration_s=most, units=most)
        for item in scene.march
    ]  # fmt: skip
    report = scene.compare(rows)
    assert sum(item.theirs_nano for item in report.accounts) == len(rows) * 2 * most * 1_000
    lowest = scene.compare([row._replace(amount_minor=-most) for row in rows])
    assert sum(item.theirs_nano for item in lowest.accounts) == 0


def test_the_operators_of_a_dataset(scene: Scene) -> None:
    assert parties_of(scene.usage) == {*months.PARTIES, "op_x"}
