"""A co-signed statement moves both sides' positions: the same money, and the books agree."""

from __future__ import annotations

from random import Random

import pytest
from tests.app.test_exchanger import closed, same
from tests.app.two_installations import ASSET, HOUR_US, NODE, START_US, Side, two_installations

from opencarrier.clearing.agreed import division, in_proportion
from opencarrier.clearing.exchange import told
from opencarrier.clearing.model import RecordProof
from opencarrier.clearing.stages import ClearingStages
from opencarrier.kernel.ids import derive
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.spine.money import Allocation, Role
from opencarrier.spine.usage import Status

SESSION_MINOR = 100_000
OCTETS = 102_400


@pytest.fixture
def two(tmp_path):
    with two_installations(tmp_path) as made:
        yield made


def paid(side: Side, hour: int, *, number: int = 0) -> dict[str, int]:
    """Clear what is due at an hour and settle it for good; return the members' nets by party."""
    cycle = derive("test/paid", hour, number)
    with side.base.store.write() as unit:
        cleared = side.clearing.clear(
            unit,
            cycle_id=cycle,
            at_us=START_US + hour * HOUR_US + 1_000_000,
            collateral=lambda _: 10**15,
            excluded={},
        )
        side.clearing.finish(unit, cycle_id=cycle)
        charged = side.clearing.charged(unit, cycle_id=cycle)
    nets = {row.party: row.amount_minor for row in cleared.nets}
    assert nets == {party: net for party, net in charged.members.items() if net}
    assert cleared.rewards_minor == sum(charged.hosts.values())
    return nets


def waits(side: Side, hour: int) -> list[tuple[str, int]]:
    with side.base.store.read() as unit:
        found = side.clearing.waiting(unit, at_us=START_US + hour * HOUR_US + 1_000_000)
    return sorted((item.reason, item.amount_minor) for item in found)


def books_agree(side: Side) -> None:
    """What is accrued in the ledger, and no settlement posted, is what unsettled positions say.

    Nothing is posted here: the charges of what is paid stay accrued.
    """
    with side.base.store.read() as unit:
        owed = side.clearing.unsettled(unit)
        for prefix, nets in (("clearing/", owed.members), ("accrued/", owed.hosts)):
            posted = {
                item.name.removeprefix(prefix): item.balance.posted_minor
                for item in ledger.accounts(unit, ASSET, prefix=prefix)
            }
            for party in posted.keys() | nets.keys():
                assert posted.get(party, 0) == nets.get(party, 0), (prefix, party)


def entry_of(two, name: str):
    return told.entry_id(
        ASSET,
        visited=two.borea.own.address,
        home=two.lumen.own.address,
        nas_key=NODE,
        acct_session_id=name,
    )


def test_what_both_have_is_due_at_once_and_not_before(two):
    for number in range(5):
        two.meter(f"s{number}", OCTETS)
    for side in two.both():
        side.cycle(1)
        assert waits(side, 1) == [("window_open", 5 * SESSION_MINOR)]
        books_agree(side)
    two.talk(4)
    owed = -5 * SESSION_MINOR
    for side in two.both():
        assert waits(side, 1) == []
        books_agree(side)
        assert paid(side, 1)[two.lumen.own.party_id] == owed


def test_a_liar_is_paid_what_both_have_and_the_rest_waits_or_is_held(two):
    """Inflated fivefold, within tolerance, invented, kept back: both sides' due is the same."""
    for number in range(10):
        two.meter(f"s{number}", OCTETS)
    two.meter("lie", OCTETS, borea=5 * OCTETS)
    two.meter("within", OCTETS, borea=OCTETS + 1_024)
    two.meter("never", -1, borea=OCTETS)
    two.meter("hidden", OCTETS, borea=-1)
    closed(two, 1)
    same(two)
    assert waits(two.lumen, 1) == [("unclaimed", SESSION_MINOR)]
    assert waits(two.borea, 1) == [("window_open", SESSION_MINOR)]
    for side in two.both():
        books_agree(side)
    nets = [paid(side, 1) for side in two.both()]
    assert nets[0] == nets[1]
    assert nets[0][two.lumen.own.party_id] == -12 * SESSION_MINOR
    assert waits(two.lumen, 30) == [("unclaimed", SESSION_MINOR)]
    assert waits(two.borea, 30) == []


def test_what_nobody_claims_is_owed_no_more_once_its_window_has_passed(two):
    two.meter("hidden", OCTETS, borea=-1)
    closed(two, 1)
    books_agree(two.lumen)
    closed(two, 25)
    assert waits(two.lumen, 25) == []
    books_agree(two.lumen)
    assert paid(two.lumen, 25) == {}
    with two.lumen.base.store.read() as unit:
        owed = two.lumen.clearing.unsettled(unit)
    assert not any(owed.members.values())
    assert not any(owed.hosts.values())


def test_a_record_keeps_its_leaf_in_a_new_position_and_proves(two):
    """The corrected record is in no root; where it stands says why."""
    for name in ("s", "lie"):
        two.meter(name, OCTETS, borea=OCTETS if name == "s" else 5 * OCTETS)
    closed(two, 1)
    paid(two.borea, 1)
    base, service = two.borea.base, two.borea.clearing
    with base.store.read() as unit:
        (kept,) = told.usages_of(unit, entry_of(two, "s"))
        (replaced,) = told.usages_of(unit, entry_of(two, "lie"))
        assert isinstance(service.proof(unit, kept), RecordProof)
        assert service.proof(unit, replaced).code == "not_settled"
        steps = ClearingStages(service, base.clock).steps(unit, [kept, replaced])
    assert [step.reason for step in steps] == ["paid_by_cycle", "leaf_of_cycle", "replaced"]


def test_what_was_paid_in_silence_and_is_agreed_lower_flows_back(tmp_path):
    """With no window the claim is paid first; the statement's difference is owed the other way."""
    with two_installations(tmp_path, one_sided_window_s=0) as two:
        two.meter("s", OCTETS, borea=5 * OCTETS)
        for side in two.both():
            side.cycle(1)
        lumen = two.lumen.own.party_id
        assert paid(two.borea, 1)[lumen] == -5 * SESSION_MINOR
        two.talk(4)
        assert same(two).disputed[0].disputed_minor == 4 * SESSION_MINOR
        assert paid(two.borea, 1, number=1) == {
            lumen: 4 * SESSION_MINOR,
            two.borea.own.party_id: -4 * SESSION_MINOR,
        }
        assert paid(two.lumen, 1)[lumen] == -SESSION_MINOR


@pytest.mark.parametrize(("seed", "pays"), [(1, True), (2, False)])
def test_whatever_two_meters_say_both_sides_owe_what_is_agreed(two, seed, pays):
    """Three cycles of sessions that grow; each side misses some of it, by chance, for a while.

    Whether it is paid each cycle or at the end, both sides' dues come to the same.
    """
    random = Random(seed)
    sent = {f"s{number}": 0 for number in range(5)}
    lumen = two.lumen.own.party_id
    owed = [0, 0]
    for hour in (1, 2, 3, 4):
        for name in sent:
            sent[name] += 1_024 * random.randrange(1, 50) if hour < 4 else 1_024
            for side in two.both():
                if hour == 4 or random.randrange(3):
                    status = Status.STOP if hour == 4 else Status.INTERIM
                    at_s = 3_600 * (hour - 1) + 60 + random.randrange(60)
                    home, visited = two.lumen.own, two.borea.own
                    side.meter(
                        name, sent[name], at_s=at_s, home=home, visited=visited, status=status
                    )
        closed(two, hour)
        same(two)
        for place, side in enumerate(two.both()):
            if pays or hour == 4:
                owed[place] -= paid(side, hour)[lumen]
            else:
                books_agree(side)
    assert owed[0] == owed[1]
    assert 0 < owed[0] <= sum(sent.values()) // 1_024 * 1_000


@pytest.mark.parametrize(
    ("agreed", "under_way", "waiting", "wanted"),
    [
        (100, 0, 100, (True, 0)),
        (101, 0, 100, (True, 1)),
        (99, 0, 100, (False, 99)),
        (0, 0, 100, (False, 0)),
        (100, 60, 40, (True, 0)),
        (100, 100, 0, (True, 0)),
        (99, 100, 0, (False, -1)),
    ],
)
def test_what_is_agreed_is_divided(agreed, under_way, waiting, wanted):
    assert division(agreed, under_way, waiting) == wanted
    whole, extra = division(agreed, under_way, waiting)
    assert under_way + waiting * whole + extra == agreed


def test_legs_are_in_proportion_rounded_down_and_none_is_empty():
    legs = tuple(
        Allocation(role=Role.HOST, party=name, account=chart.accrued(name), amount_minor=minor)
        for name, minor in (("a", 100), ("b", 1))
    )
    assert [(leg.party, leg.amount_minor) for leg in in_proportion(legs, 99, 200)] == [("a", 49)]
    assert in_proportion(legs, 200, 200) == legs
