"""Claims that one side signed: invariants C1, C8, C11, C13, C16, C17, C18 of ClearingHouse.md."""

from __future__ import annotations

from dataclasses import replace

import contract_world
import pytest
from contract_evm import MAX, NOTICE_S, TERMS, key, refused
from contract_world import DEPOSIT, World

from opencarrier.chain import events
from opencarrier.chain.contracts import ClaimState, Corridor, claim_id
from opencarrier.kernel.keccak import keccak

WINDOW_S = 600
WINDOW_MAX_S = 30 * 86_400
CAP = 1_000
ROOT = b"\x07" * 32


class Pair:
    """Member 0 owes member 1; the rest of the world looks on."""

    def __init__(self, world: World) -> None:
        self.world, self.house, self.evm = world, world.house, world.evm
        self.debtor, self.creditor, self.other = world.members[:3]
        self.arbiter = key("arbiter")
        world.send(world.owner, world.house.set_arbiter(self.arbiter.address))

    def open(self, *, window_s: int = WINDOW_S, cap: int = CAP):
        call = self.house.open_corridor(
            self.world.usd, self.creditor.address, window_s=window_s, cap=cap
        )
        return self.world.send(self.debtor, call)

    def post(self, amount: int, cycle: int = 1, sender=None) -> bytes:
        """The outcome's id, checked against the one Python derives."""
        sender = sender or self.creditor
        cycle_id = keccak(b"cycle %d" % cycle)
        call = self.house.post_claim(
            self.world.usd,
            self.debtor.address,
            cycle_id=cycle_id,
            records_root=ROOT,
            amount=amount,
        )
        self.posted = self.world.send(sender, call)
        parties = {"debtor": self.debtor.address, "creditor": sender.address}
        assert self.posted.output == claim_id(self.world.usd, cycle_id, **parties)
        return self.posted.output

    def disputed(self, amount: int = 100, undisputed: int = 20) -> bytes:
        self.open()
        found = self.post(amount)
        self.world.send(self.debtor, self.house.dispute_claim(found, undisputed))
        return found

    def moved(self) -> tuple[int, int]:
        """What debtor and creditor have more than at the beginning; the total never moves."""
        assert self.house.total_of(self.world.usd).ask(self.evm) == 4 * DEPOSIT
        assert self.world.balances()[2:] == [DEPOSIT] * 2
        debtor, creditor = map(self.world.balance, (self.debtor, self.creditor))
        return debtor - DEPOSIT, creditor - DEPOSIT

    def escrowed(self) -> int:
        parties = (self.debtor.address, self.creditor.address)
        return self.house.corridor_of(self.world.usd, *parties).ask(self.evm).escrowed

    def claim(self, found: bytes):
        return self.house.claim_of(found).ask(self.evm)


@pytest.fixture
def pair(world: World) -> Pair:
    return Pair(world)


def test_the_owner_names_who_decides(pair: Pair):
    """C13, C14: the event tells the arbiter that `arbiter` answers."""
    named = pair.other.address
    told = pair.world.told(pair.world.send(pair.world.owner, pair.house.set_arbiter(named)))
    assert told == [events.ArbiterSet(arbiter=named)]
    assert pair.house.arbiter().ask(pair.evm) == named


def test_a_corridor_opens_and_closes_with_notice(pair: Pair):
    """C18: what was used before the notice ends can be claimed; afterwards it opens anew."""
    parties = {"debtor": pair.debtor.address, "creditor": pair.creditor.address}
    told = pair.world.told(pair.open())
    opened = events.CorridorOpened(token=pair.world.usd, window_s=WINDOW_S, cap=CAP, **parties)
    assert told == [opened]
    with refused("corridor: open"):
        pair.open(cap=1)
    close = pair.house.close_corridor(pair.world.usd, pair.creditor.address)
    closes_at = pair.evm.now_s + NOTICE_S
    told = pair.world.told(pair.world.send(pair.debtor, close))
    assert told == [events.CorridorClosed(token=pair.world.usd, closes_at=closes_at, **parties)]
    with refused("corridor: not open"):
        pair.world.send(pair.debtor, close)
    pair.evm.pass_time(NOTICE_S - 1)
    pair.post(10)
    with refused("corridor: open"):
        pair.open()
    pair.evm.pass_time(1)
    with refused("corridor: not open"):
        pair.post(1, 2)
    pair.open(window_s=5, cap=12)
    found = pair.house.corridor_of(pair.world.usd, *parties.values()).ask(pair.evm)
    assert found == Corridor(window_s=5, cap=12, closes_at=MAX, escrowed=10)
    with refused("claim: over cap"):
        pair.post(3, 2)
    pair.post(2, 2)


def test_corridors_have_limits(pair: Pair):
    """C16: between two members, with a window that has an end."""
    for window_s in (0, WINDOW_MAX_S + 1):
        with refused("corridor: window"):
            pair.open(window_s=window_s)
    house, usd, world = pair.house, pair.world.usd, pair.world
    for sender, creditor, reason in (
        (world.stranger, pair.creditor, "corridor: not member"),
        (pair.debtor, world.stranger, "corridor: not member"),
        (pair.debtor, pair.debtor, "corridor: with oneself"),
    ):
        with refused(reason):
            call = house.open_corridor(usd, creditor.address, window_s=1, cap=1)
            world.send(sender, call)
    for window_s in (1, WINDOW_MAX_S):
        with pair.evm.anchor():
            pair.open(window_s=window_s)


def test_a_claim_goes_into_escrow_at_once(pair: Pair):
    """C1, C13, C16: the debtor's balance falls, the total does not."""
    pair.open()
    found = pair.post(300)
    assert pair.moved() == (-300, 0)
    assert pair.escrowed() == 300
    assert pair.world.told(pair.posted) == [
        events.ClaimPosted(
            claim_id=found,
            debtor=pair.debtor.address,
            creditor=pair.creditor.address,
            token=pair.world.usd,
            cycle_id=keccak(b"cycle 1"),
            records_root=ROOT,
            amount=300,
            deadline=pair.evm.now_s + WINDOW_S,
        )
    ]
    with refused("debit: short of collateral"):
        pair.world.settle(pair.world.order([-(DEPOSIT - 299), DEPOSIT - 299]))


def test_claims_are_bounded(pair: Pair):
    """C16: only the creditor's, up to the cap in escrow at a time, once for a cycle and pair."""
    with refused("corridor: not open"):
        pair.post(1)
    pair.open(cap=10)
    with refused("corridor: not open"):
        pair.post(1, sender=pair.other)
    with refused("amount: zero"):
        pair.post(0)
    with refused("claim: over cap"):
        pair.post(11)
    first = pair.post(6)
    with refused("claim: posted before"):
        pair.post(4)
    with refused("claim: over cap"):
        pair.post(5, 2)
    pair.post(4, 2)
    pair.world.send(pair.debtor, pair.house.accept_claim(first))
    with refused("claim: posted before"):
        pair.post(4)
    pair.post(6, 3)


def test_a_claim_has_the_collateral_there_is(pair: Pair):
    """C8: escrow comes from the balance alone."""
    pair.open(cap=2 * DEPOSIT)
    with refused("balance: short"):
        pair.post(DEPOSIT + 1)
    pair.post(DEPOSIT)
    assert pair.moved() == (-DEPOSIT, 0)


def test_ids_are_each_pairs_cycles_and_tokens_own(pair: Pair):
    """C16: the same cycle is claimed by another creditor, of another debtor, in another token."""
    world, usd = pair.world, pair.world.usd
    pair.open()
    found = {pair.post(1), pair.post(1, 2)}
    call = pair.house.open_corridor(usd, pair.other.address, window_s=9, cap=CAP)
    world.send(pair.debtor, call)
    found.add(pair.post(1, sender=pair.other))
    pair.debtor, pair.other = pair.other, pair.debtor
    pair.open()
    found.add(pair.post(1))
    euro = world.coin("EURt")
    for member in (pair.debtor, pair.creditor):
        join = pair.house.set_member(euro.address, member.address, registered=True)
        world.send(world.owner, join)
    world.send(world.owner, euro.mint(pair.debtor.address, 5))
    world.send(pair.debtor, euro.approve(pair.house.address, 5))
    world.send(pair.debtor, pair.house.deposit(euro.address, pair.debtor.address, 5))
    world.token = euro
    try:
        pair.open()
        found.add(pair.post(1))
    finally:
        world.token = type(euro)(usd)
    assert len(found) == 5


def test_accepting_pays_at_once(pair: Pair):
    """C16: the debtor alone; once."""
    pair.open()
    found = pair.post(300)
    accept = pair.house.accept_claim(found)
    for sender in (pair.creditor, pair.world.owner):
        with refused("claim: not debtor"):
            pair.world.send(sender, accept)
    told = pair.world.told(pair.world.send(pair.debtor, accept))
    assert told == [ended(pair, found, to_creditor=300)]
    assert pair.moved() == (-300, 300)
    assert pair.escrowed() == 0
    assert pair.claim(found).state is ClaimState.ENDED
    for call in (accept, pair.house.dispute_claim(found, 1), pair.house.finish_claim(found)):
        with refused("claim: not open"):
            pair.world.send(pair.debtor, call)


def ended(pair: Pair, found: bytes, to_creditor: int = 0, to_debtor: int = 0, penalty: int = 0):
    return events.ClaimEnded(
        claim_id=found,
        debtor=pair.debtor.address,
        creditor=pair.creditor.address,
        token=pair.world.usd,
        to_creditor=to_creditor,
        to_debtor=to_debtor,
        penalty=penalty,
    )


def test_silence_is_acceptance(pair: Pair):
    """C17: anybody finishes it at the window's end, not a second before; then it is too late."""
    pair.open()
    found = pair.post(300)
    finish, dispute = pair.house.finish_claim(found), pair.house.dispute_claim(found, 0)
    pair.evm.pass_time(WINDOW_S - 1)
    with refused("claim: not due"):
        pair.world.send(pair.world.stranger, finish)
    with pair.evm.anchor():
        pair.world.send(pair.debtor, dispute)
    for _ in range(2):
        pair.evm.pass_time(1)
        with refused("claim: window over"):
            pair.world.send(pair.debtor, dispute)
    pair.world.send(pair.world.stranger, finish)
    assert pair.moved() == (-300, 300)
    assert pair.escrowed() == 0


def test_nothing_ends_what_nobody_posted(pair: Pair):
    house, none = pair.house, bytes(32)
    for call in (house.accept_claim(none), house.dispute_claim(none, 0), house.finish_claim(none)):
        with refused("claim: not open"):
            pair.world.send(pair.world.stranger, call)
    for call in (house.decide_claim(none, 0), house.agree_claim(none, 0)):
        with refused("claim: not disputed"):
            pair.world.send(pair.arbiter, call)


def test_a_dispute_pays_what_is_undisputed(pair: Pair):
    """C16: the difference and a bond, rounded up, wait; the debtor alone disputes."""
    pair.open()
    found = pair.post(100)
    for sender in (pair.creditor, pair.arbiter):
        with refused("claim: not debtor"):
            pair.world.send(sender, pair.house.dispute_claim(found, 15))
    for undisputed in (100, 101, MAX):
        with refused("dispute: nothing disputed"):
            pair.world.send(pair.debtor, pair.house.dispute_claim(found, undisputed))
    told = pair.world.told(pair.world.send(pair.debtor, pair.house.dispute_claim(found, 15)))
    deadline = pair.evm.now_s + TERMS.arbitration_s
    assert told == [
        events.ClaimDisputed(
            claim_id=found,
            debtor=pair.debtor.address,
            creditor=pair.creditor.address,
            token=pair.world.usd,
            undisputed=15,
            bond=9,
            deadline=deadline,
        )
    ]
    assert pair.moved() == (-109, 15)
    assert pair.escrowed() == 85
    held = pair.claim(found)
    assert (held.amount, held.bond, held.deadline) == (85, 9, deadline)
    assert held.state is ClaimState.DISPUTED
    for call in (pair.house.accept_claim(found), pair.house.dispute_claim(found, 0)):
        with refused("claim: not open"):
            pair.world.send(pair.debtor, call)


def test_the_smallest_bond_is_one_unit(monkeypatch: pytest.MonkeyPatch):
    """C16: rounded up for whatever is left of a division, the least too."""
    monkeypatch.setattr(contract_world, "TERMS", replace(TERMS, bond_ppm=1))
    pair = Pair(World())
    assert pair.claim(pair.disputed(1, 0)).bond == 1


def test_a_dispute_needs_its_bond(pair: Pair):
    """C8: who has nothing left cannot dispute, but after a deposit."""
    pair.open(cap=DEPOSIT)
    found = pair.post(DEPOSIT)
    dispute = pair.house.dispute_claim(found, 0)
    with refused("balance: short"):
        pair.world.send(pair.debtor, dispute)
    bond = DEPOSIT // 10
    pair.world.send(pair.debtor, pair.house.deposit(pair.world.usd, pair.debtor.address, bond))
    pair.world.send(pair.debtor, dispute)
    assert pair.world.balance(pair.debtor) == 0


@pytest.mark.parametrize(
    ("to_creditor", "moved"),
    [
        (0, (-20 + 8, 20 - 8)),
        (40, (-60 + 8, 60 - 8)),
        (41, (-61 - 8, 61 + 8)),
        (80, (-100 - 8, 100 + 8)),
    ],
)
def test_the_arbiter_decides_and_the_loser_pays(pair: Pair, to_creditor: int, moved):
    """C16: who gets the smaller part has lost the bond, in halves the creditor, who claimed."""
    found = pair.disputed()
    decide = pair.house.decide_claim(found, to_creditor)
    for sender in (pair.debtor, pair.creditor, pair.other, pair.world.owner):
        with refused("decide: not arbiter"):
            pair.world.send(sender, decide)
    with refused("claim: over amount"):
        pair.world.send(pair.arbiter, pair.house.decide_claim(found, 81))
    pair.world.send(pair.arbiter, decide)
    assert pair.moved() == moved
    assert pair.escrowed() == 0
    with refused("claim: not disputed"):
        pair.world.send(pair.arbiter, decide)


@pytest.mark.parametrize(("left", "to_creditor", "paid"), [(3, 0, 3), (3, 4, 7), (3, 6, 8)])
def test_a_creditor_pays_as_far_as_its_balance_reaches(pair: Pair, left, to_creditor, paid):
    """C8, C11: an empty balance does not hold the decision up; what it just got counts."""
    found = pair.disputed()
    take = DEPOSIT + 20 - left
    amounts = [0, -take, take]
    with pair.evm.anchor():
        pair.world.settle(pair.world.order(amounts))
        told = pair.world.told(
            pair.world.send(pair.arbiter, pair.house.decide_claim(found, to_creditor))
        )
        to_debtor = 80 - to_creditor + 8
        assert told == [ended(pair, found, to_creditor, to_debtor, penalty=paid)]
        assert pair.world.balance(pair.creditor) == left + to_creditor - paid


def test_no_decision_comes_too_late(pair: Pair):
    """C11, C17: undecided, all of the difference and the bond return; anybody sees to it."""
    found = pair.disputed()
    finish, decide = pair.house.finish_claim(found), pair.house.decide_claim(found, 80)
    pair.evm.pass_time(TERMS.arbitration_s - 1)
    with refused("claim: not due"):
        pair.world.send(pair.world.stranger, finish)
    with pair.evm.anchor():
        pair.world.send(pair.arbiter, decide)
    for _ in range(2):
        pair.evm.pass_time(1)
        with refused("claim: time over"):
            pair.world.send(pair.arbiter, decide)
    told = pair.world.told(pair.world.send(pair.world.stranger, finish))
    assert told == [ended(pair, found, to_debtor=88)]
    assert pair.moved() == (-20, 20)
    assert pair.escrowed() == 0


@pytest.mark.parametrize("is_debtor_above", [False, True])
def test_both_agree(pair: Pair, is_debtor_above: bool):
    """C16: what both say, bond back; until then either may say something else."""
    if is_debtor_above:
        pair.debtor, pair.creditor = pair.creditor, pair.debtor
    found = pair.disputed()

    def agree(sender, to_creditor: int):
        return pair.world.send(sender, pair.house.agree_claim(found, to_creditor))

    with refused("claim: not party"):
        agree(pair.arbiter, 1)
    with refused("claim: over amount"):
        agree(pair.debtor, 81)
    told = pair.world.told(agree(pair.debtor, 0))
    offered = {"claim_id": found, "party": pair.debtor.address, "to_creditor": 0}
    assert told == [events.ClaimOffered(**offered)]
    agree(pair.debtor, 0)
    agree(pair.creditor, 1)
    agree(pair.creditor, 80)
    assert pair.moved() == (-108, 20)
    agree(pair.debtor, 30)
    assert pair.world.told(agree(pair.creditor, 30)) == [ended(pair, found, 30, 58)]
    assert pair.moved() == (-50, 50)
    with refused("claim: not disputed"):
        agree(pair.debtor, 30)


def test_an_agreement_needs_a_dispute(pair: Pair):
    pair.open()
    with refused("claim: not disputed"):
        pair.world.send(pair.debtor, pair.house.agree_claim(pair.post(5), 5))


def test_nothing_stops_a_claim_from_ending(pair: Pair):
    """C11: paused, frozen, thrown out, without arbiter and settler: it ends, and all leave."""
    world, house = pair.world, pair.house
    found = pair.disputed()
    other = pair.post(50, 2)
    for call in (
        house.set_settle_paused(paused=True),
        house.set_arbiter(world.rewards.address),
        house.set_settler(world.rewards.address),
        house.set_member(world.usd, pair.debtor.address, registered=False),
        house.set_member(world.usd, pair.creditor.address, registered=False),
        world.token.freeze(pair.creditor.address),
    ):
        world.send(world.owner, call)
    pair.post(7, 3)
    pair.evm.pass_time(max(TERMS.arbitration_s, WINDOW_S))
    for claim in (found, other):
        world.send(world.stranger, house.finish_claim(claim))
    assert pair.moved() == (-77, 70)
    world.send(pair.debtor, house.request_withdrawal(world.usd, MAX))
    pair.evm.pass_time(NOTICE_S)
    world.send(pair.debtor, house.withdraw(world.usd))
    assert world.tokens(pair.debtor.address) == 2 * DEPOSIT - 77


def test_escrow_is_no_withdrawal(pair: Pair):
    """C1: money in escrow stays in the house whoever leaves."""
    world, house = pair.world, pair.house
    pair.open(cap=DEPOSIT)
    world.send(pair.debtor, house.request_withdrawal(world.usd, MAX))
    found = pair.post(400)
    pair.evm.pass_time(NOTICE_S)
    world.send(pair.debtor, house.withdraw(world.usd))
    assert world.balance(pair.debtor) == 0
    assert house.total_of(world.usd).ask(pair.evm) == 3 * DEPOSIT + 400
    world.send(world.stranger, house.finish_claim(found))
    assert world.balance(pair.creditor) == DEPOSIT + 400


def test_the_contract_does_not_see_pairs(pair: Pair):
    """What ClearingHouse.md says of itself: a settled cycle can be claimed too, and is disputed."""
    order = pair.world.order([-5, 5])
    pair.world.settle(order)
    pair.open()
    found = pair.post(5, 1)
    assert pair.claim(found).amount == 5
    pair.world.send(pair.debtor, pair.house.dispute_claim(found, 0))
    pair.world.send(pair.arbiter, pair.house.decide_claim(found, 0))
    assert pair.moved() == (-5 + 1, 5 - 1)
