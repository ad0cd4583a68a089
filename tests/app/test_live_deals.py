"""A roaming agreement with a deal, from the access point to the chain and to the month's engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.app.scene import SECOND_US, START_US, Scene, scene, taken

from opencarrier.app.closing import show
from opencarrier.app.exporting import export_usage
from opencarrier.app.tracing import Tracing
from opencarrier.clearing.dues import flows_of, record_id
from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import from_hex, to_hex
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.agreements.book import read_book, write_any
from opencarrier.rating.agreements.model import (
    Commitment,
    Deal,
    Line,
    Pricing,
    RoamingAgreement,
    Signatory,
)
from opencarrier.rating.agreements.plans import Linear, Tier, Tiered
from opencarrier.rating.engine import deals
from opencarrier.rating.engine.run import Order, rate
from opencarrier.receipts.verify import Verifier
from opencarrier.spine.money import Due
from opencarrier.spine.records import Qos, RcoiClass, Service
from opencarrier.spine.usage import Status

HOUR_US = 3_600 * SECOND_US
PERIODS_US = tuple(START_US + 2 * HOUR_US * number for number in range(3))
TIERS = (
    Tier(start=0, fixed_minor=0, price_nano=1_900),
    Tier(start=2_048_000, fixed_minor=0, price_nano=100),
)


@dataclass
class Played:
    """What was settled: receipts and adjustments, and what the month made of the same use."""

    scene: Scene
    receipts: list[str]
    dues: list[Due]
    folder: Path
    signed: RoamingAgreement


def signed_by(here: Scene, protocol: str) -> RoamingAgreement:
    """Wi-Fi by steps of ten KiB and a fee, cheaper beyond 2 MB of a period, and access on top."""
    there = Window(PERIODS_US[0], PERIODS_US[-1])
    line = Line(
        line="wifi", home=here.home.party_id, visited=here.visited.party_id, window=there,
        services=(Service.WIFI,), qos=tuple(Qos), rcoi=(RcoiClass.NONE, RcoiClass.SETTLED),
        unit="octets_total", first_step=10_240, next_step=1_024, price_nano=1_900, fixed_minor=50,
        minimum_minor=0, currency="USD", tax_ppm=180_000, tax_included=False, host_ppm=600_000,
        in_band=False,
    )  # fmt: skip
    terms = {"reverse_lines": (), "tax_ppm": 180_000, "tax_included": False, "in_commitment": True}
    pricings = (
        Pricing(lines=("wifi",), measure="usage", plan=Tiered(step=1_024, tiers=TIERS), **terms),
        Pricing(
            lines=("wifi",), measure="subscribers", plan=Linear(step=1, price_nano=10**5), **terms
        ),
    )
    commitment = Commitment(
        basis="deal", amount_minor=10, with_tax=False, shortfall="send_or_pay", tax_ppm=0
    )
    parties = sorted((here.home, here.visited), key=lambda item: item.party_id)
    return RoamingAgreement(
        parties=tuple(
            Signatory(party=item.party_id, address=item.address, tax_party=protocol)
            for item in parties
        ),
        asset=here.place.manifest.asset, currency="USD", protocol_party=protocol,
        protocol_ppm=10_000, periods_us=PERIODS_US, lines=(line,), rates=(),
        deals=(
            Deal(
                deal="volume", home=here.home.party_id, visited=here.visited.party_id,
                per="period", currency="USD", commitment=commitment, pricings=pricings,
            ),
        ),
    )  # fmt: skip


def at_third(played: Scene) -> tuple[Scene, RoamingAgreement]:
    """Let a third operator serve, by a roaming agreement with the home."""
    base = played.place.base
    with base.store.write() as unit:
        register = base.identity.register
        third = taken(register.add_operator(unit, name="Third", jurisdiction="SN"))
        host = taken(register.add_host(unit, name="Third's host"))
        node = taken(
            register.add_node(unit, node_id="node-3", operator=third.party_id, host=host.party_id)
        )
        moved = replace(played, visited=third, node=node)
        signed = signed_by(moved, base.hub.party_id)
        signatures = base.rating.sign_agreement(unit, signed, base.identity.notary)
        assert base.rating.add_agreement(unit, signed, signatures, at_us=START_US) is None
    taken(moved.errands.deposit(third, 1_000_000, reference="third"))
    return moved, signed


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Two sessions, the end of a period, one more report of it late, the end of the next."""
    root = tmp_path_factory.mktemp("deals")
    with scene(root / "data") as begun:
        here, signed = at_third(begun)
        grant = here.authorise()
        here.use("a", octets=1_777_777, grant=grant, status=Status.INTERIM)
        here.use("b", octets=12_345, grant=here.authorise(), seconds=10)
        here.clock.set(START_US + HOUR_US)
        here.use("a", octets=2_999_991, grant=grant, seconds=700)
        here.settle()  # two hours: the first period is over
        here.use("weak", octets=555_555, grant=None, ended_s=-1_800)  # of the first period
        here.settle()
        here.settle()  # four hours: the second is over, and nothing was used in it
        here.settle()  # what waited beside the late report's position
        base = here.place.base
        export_usage(base, root / "usage")
        receipts = []
        with base.store.read() as unit:
            for usage in base.usage.every(unit):
                text = here.place.issuer.issue(unit, usage.usage_id)
                assert isinstance(text, str), text
                receipts.append(text)
            cycles = [cycle for cycle, _ in here.place.settlement.cycles(unit)]
            found = [
                due
                for cycle in reversed(cycles)
                for due in base.rating.adjust(unit, cycle_id=cycle.cycle_id, at_us=START_US)
            ]
        yield Played(here, receipts, found, root, signed)


def test_what_was_settled_is_what_was_charged_and_adjusted(played: Played) -> None:
    place = played.scene.place
    with place.base.store.read() as unit:
        told = place.settlement.reconcile(unit)
    assert [line for line in told.lines if line.ledger_minor != line.other_minor] == []
    numbers = [(due.adjustment.start_us, due.adjustment.number) for due in played.dues]
    assert numbers == [(PERIODS_US[0], 0), (PERIODS_US[0], 1), (PERIODS_US[1], 0)]
    assert [due.amount_minor > 0 for due in played.dues] == [False, False, True]
    assert played.dues[2].amount_minor == 10, "nothing was used, so the commitment is owed"


def test_every_receipt_of_the_agreements_use_holds(played: Played) -> None:
    place = played.scene.place
    verifier = Verifier(place.manifest, place.client)
    assert len(played.receipts) == 3
    for text in played.receipts:
        assert json.loads(text)["wholesale"]["content"]["rule_version"] == "rating/v2"
        verdict = verifier.verify(text)
        assert verdict.included
        assert verdict.final
        assert "wholesale" in verdict.rated_right
        assert len(verdict.signed_by["agreement"]) == 2
    spoilt = played.receipts[0].replace('"price_nano": 1900', '"price_nano": 1901', 1)
    assert spoilt != played.receipts[0]
    with pytest.raises(PeerError):
        verifier.verify(spoilt)


def receipts_of_dues(played: Played) -> list[tuple[Due, str]]:
    """Every adjustment with its receipts, one a flow, by what `cycle show` lists."""
    place, found = played.scene.place, []
    by_record = {record_id(d.adjustment.adjustment_id, r): d for d in played.dues for r in range(8)}
    with place.base.store.read() as unit:
        for cycle, _ in place.settlement.cycles(unit):
            told = show(place, unit, cycle.sequence)
            for name in told["adjustment_ids"] if told else ():
                text = place.issuer.issue(unit, from_hex(name))
                assert isinstance(text, str), text
                found.append((by_record[from_hex(name)], text))
    return found


def test_every_adjustments_receipt_holds_and_no_other_text_does(played: Played) -> None:
    place = played.scene.place
    verifier = Verifier(place.manifest, place.client)
    found = receipts_of_dues(played)
    assert {id(due) for due, _ in found} == {id(due) for due in played.dues}
    for due, text in found:
        verdict, document = verifier.verify(text), json.loads(text)
        content = document["adjustment"]["content"]
        assert verdict.final
        assert verdict.rated_right == ("adjustment",)
        assert len(verdict.signed_by["agreement"]) == 2
        assert content["amount_minor"] == due.amount_minor
        assert verdict.amount_minor == document["path"]["amount_minor"]
    for text in (found[0][1], found[-1][1]):
        for spoilt in spoilt_lines(text):
            with pytest.raises(PeerError):
                verifier.verify(spoilt)


def test_an_adjustment_is_traced_flow_by_flow(played: Played) -> None:
    tracing = Tracing(played.scene.place)
    for due in played.dues:
        told = tracing.trace(to_hex(due.adjustment.adjustment_id))
        assert isinstance(told, dict), told
        assert (told["kind"], told["next"]) == ("adjustment", None)
        assert len(told["items"]) == len(list(flows_of(due)))
        for item in told["items"]:
            stages = [step["stage"] for step in item["steps"]]
            assert stages == ["adjusted", "netted", "in_root", "settled"], stages
            assert item["steps"][0]["period_minor"] == due.adjustment.amount_minor
            assert tracing.trace(item["id"])["items"] == [item]  # type: ignore[index]


def spoilt_lines(text: str) -> Iterator[str]:
    """The text with one digit of one line changed, for each line that has one."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        place = max((line.rfind(digit) for digit in "0123456789"), default=-1)
        if place >= 0:
            other = "1" if line[place] != "1" else "2"
            changed = line[:place] + other + line[place + 1 :]
            yield "".join([*lines[:number], changed, *lines[number + 1 :]])


def test_the_month_makes_the_same_adjustments_of_the_same_use(played: Played) -> None:
    folder = played.folder
    text = json.dumps(json.loads(write_any(played.signed))) + "\n"
    book = read_book(text, "book.jsonl")
    usage, out = folder / "usage", folder / "out"
    rate(Order(usage=usage, rows=list(book.rows()), subscribers=None, out=out))
    made = deals.adjustments_of(
        deals.DealOrder(usage=usage, rated=out, book=book, booked=(), until_us=PERIODS_US[-1])
    )
    by_period = {item.start_us: item.amount_minor for item in made}
    for start_us in PERIODS_US[:2]:
        live = [due for due in played.dues if due.adjustment.start_us == start_us]
        assert sum(due.amount_minor for due in live) == by_period[start_us]
        last = live[-1].adjustment
        booked = [due.adjustment for due in live[:-1]]
        again = deals.adjustments_of(
            deals.DealOrder(
                usage=usage, rated=out, book=book, booked=booked, until_us=PERIODS_US[-1]
            )
        )
        assert last in again, "the same sums give the same adjustment, id and all"
