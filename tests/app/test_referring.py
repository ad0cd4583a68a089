"""One reference stands for one amount at the till and at the stakes, also across an upgrade."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.app import venue
from opencarrier.app.errands import ErrandRefusal, set_aside, top_up
from opencarrier.app.refunding import ask_back, pay_back
from opencarrier.app.staking import Stakes
from opencarrier.app.till import TillDesk
from opencarrier.chain.contracts import ClearingHouse, StableToken
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import KeySigner
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer, TransferReason

from .scene import Scene, scene, taken
from .test_till import _credit, fill

STAKER = KeySigner(b"\x07" * 32)
FUNDED = KeySigner(b"\x09" * 32).address
LOCK_S, PLENTY = 30 * 86_400, 1_000_000

ANOTHER = ErrandRefusal.REFERENCE_OF_ANOTHER


class DeadError(Exception):
    """The process ended there."""


@dataclass
class World:
    """Errands that move tokens, as this version does them and as the one before began them."""

    made: Scene

    def __post_init__(self) -> None:
        self.place = self.made.place
        self.desk, self.stakes = TillDesk(self.place), Stakes(self.place)
        self.token = StableToken(self.place.manifest.token)
        fill(self.made, PLENTY, "paid")
        with self.place.base.store.write() as unit:
            _credit(self.made, unit, PLENTY)
        self.mint(STAKER.address)

    def mint(self, account) -> None:
        self.place.work.do(derive("test", account), self.token.mint(account, PLENTY))

    def ask(self, kind: str, amount: int, reference: str) -> str | Refusal:
        """Do an errand; return its transaction."""
        done = {
            "payout": lambda: self.desk.pay_out(
                self.made.home.address, amount, reference=reference
            ),
            "fund": lambda: self.stakes.fund(FUNDED, amount, reference=reference),
            "stake": lambda: self.stakes.stake(STAKER, amount, LOCK_S, reference=reference),
        }[kind]()
        if isinstance(done, Refusal):
            return done
        return done["tx_hash"] if isinstance(done, dict) else "0x" + done.tx_hash.hex()

    def ask_before(self, kind: str, amount: int, reference: str) -> str:
        """Do it as versions did that had the amount in the id."""
        home = self.made.home.address
        if kind == "payout":
            intent = derive("errand/payout", home, amount, reference)
            call = self.desk._call(home, amount, intent)
        elif kind == "fund":
            intent = derive("errand/fund", FUNDED, amount, reference)
            call = self.token.mint(FUNDED, amount)
        else:
            intent = derive("errand/stake", STAKER.address, amount, LOCK_S, reference)
            call = self.stakes._stake_call(STAKER, amount, LOCK_S, intent)
        return "0x" + self.place.work.do(intent, call).tx_hash.hex()

    def paid(self) -> dict[str, int]:
        ask = self.place.client
        return {
            "payout": self.token.balance_of(self.made.home.address).ask(ask),
            "fund": self.token.balance_of(FUNDED).ask(ask),
            "stake": self.stakes.status(STAKER.address)["amount_minor"],
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("referring")) as made:
        yield World(made)


KINDS = st.sampled_from(["payout", "fund", "stake"])
STEP = st.tuples(KINDS, st.sampled_from("ab"), st.integers(1, 3), st.booleans())


@dataclass
class Model:
    """What a reference was used for first, and before the upgrade perhaps for more than one."""

    taken: dict[tuple[str, str], dict[int, str | None]] = field(default_factory=dict)

    def sum(self, kind: str) -> int:
        return sum(sum(paid) for (of, _), paid in self.taken.items() if of == kind)


@pytest.mark.parametrize("examples", [3, pytest.param(60, marks=pytest.mark.deep)])
def test_retries_other_amounts_and_deaths_pay_what_was_first_asked(world, monkeypatch, examples):
    """Whatever is asked again, by whichever version, wherever it died: the sum is the model's."""
    rounds = (f"{examples} {number} " for number in count())

    @settings(max_examples=examples, deadline=None)
    @given(st.lists(STEP, max_size=3), st.lists(STEP, min_size=1, max_size=8))
    def played(before, steps):
        number, model, start = next(rounds), Model(), world.paid()
        for kind, name, amount, dies in before:
            said = _dying(monkeypatch, dies, world.ask_before, kind, amount, f"{number}{name}")
            model.taken.setdefault((kind, name), {})[amount] = said
        for kind, name, amount, dies in steps:
            known = model.taken.setdefault((kind, name), {})
            said = _dying(monkeypatch, dies, world.ask, kind, amount, f"{number}{name}")
            if known and amount not in known:
                assert isinstance(said, Refusal)
                assert said.reason is ANOTHER
            else:
                assert known.get(amount) in (None, said), "the same again is the same"
                known[amount] = said
        world.made.errands.recover()
        paid = world.paid()
        assert {kind: paid[kind] - start[kind] for kind in paid} == {
            kind: model.sum(kind) for kind in paid
        }

    played()


def _dying(monkeypatch, dies: bool, do: Callable, *what) -> str | Refusal | None:
    """Do something; if it dies between keeping and sending, nobody hears what came of it."""

    def die(point: str) -> None:
        if dies and point == "errand.kept":
            raise DeadError

    with monkeypatch.context() as patch, suppress(DeadError):
        patch.setattr(venue, "crashpoint", die)
        return do(*what)
    return None


def test_a_lock_is_what_a_reference_stands_for_too(world):
    stakes, day_s = world.stakes, 86_400
    taken(stakes.stake(STAKER, 5, LOCK_S, reference="lock"))
    assert stakes.stake(STAKER, 5, LOCK_S + 1, reference="lock").reason is ANOTHER
    first = taken(stakes.extend(STAKER, LOCK_S + day_s, reference="lock"))
    assert taken(stakes.extend(STAKER, LOCK_S + day_s, reference="lock")) == first
    assert stakes.extend(STAKER, LOCK_S + 2 * day_s, reference="lock").reason is ANOTHER
    former = derive("errand/extend", STAKER.address, LOCK_S + 3 * day_s, "old")
    call = stakes._extend_call(STAKER, LOCK_S + 3 * day_s)
    done = world.place.work.do(former, call)
    again = taken(stakes.extend(STAKER, LOCK_S + 3 * day_s, reference="old"))
    assert again.tx_hash == done.tx_hash
    assert stakes.extend(STAKER, LOCK_S + 4 * day_s, reference="old").reason is ANOTHER
    taken(stakes.stake(STAKER, 5, LOCK_S + 3 * day_s, reference="after"))


def test_another_process_that_was_first_is_not_answered_for(world, monkeypatch):
    """Between looking and keeping another may take the reference: no answer, nothing paid."""
    from opencarrier.app import till

    taken(world.desk.pay_out(world.made.home.address, 7, reference="raced"))
    paid = world.paid()
    monkeypatch.setattr(till, "intent_of", lambda place, errand: errand.intent)
    with pytest.raises(venue.ChainWorkError, match="taken meanwhile"):
        world.desk.pay_out(world.made.home.address, 8, reference="raced")
    assert world.paid() == paid


def test_what_was_booked_or_deposited_before_is_not_done_again(world):
    """Top-ups, budgets, refunds and deposits had the amount in their ids too."""
    made, base = world.made, world.place.base
    asset, at_us, amount = world.place.manifest.asset, made.clock.now_us(), 5
    party, home = made.subscriber.party_id, made.home.party_id
    about = {"amount_minor": amount, "reference": "old", "at_us": at_us}
    between = {
        ("topup", party): (chart.funding(home), chart.prepaid(party), "retail/topup"),
        ("budget", home): (chart.funding(home), chart.discounts(home), "retail/budget"),
        ("retail/refund-asked", chart.prepaid(party)): (
            chart.prepaid(party),
            chart.refunds(party),
            "retail/refund-asked",
        ),
        ("retail/refund-paid", chart.refunds(party)): (
            chart.refunds(party),
            chart.funding(home),
            "retail/refund-paid",
        ),
    }
    with base.store.write() as unit:
        for (kind, whose), (debit, credit, code) in between.items():
            ledger.ensure(unit, asset, [debit, credit])
            move = Transfer(
                transfer_id=derive("transfer", kind, whose, amount, "old"),
                asset=asset,
                debit=debit,
                credit=credit,
                amount_minor=amount,
                code=code,
            )
            assert ledger.apply(unit, [move], at_us) == [None]
        head = ledger.head(unit)
        told = {**about, "announcer": base.webhooks}
        assert top_up(unit, asset, subscriber=party, home=home, **told) is None
        assert set_aside(unit, asset, home=home, **about) is None
        assert ask_back(unit, asset, made.subscriber, **about) is None
        assert pay_back(unit, asset, made.subscriber, **told) is None
        other = {"amount_minor": amount + 1}
        for refusal in (
            top_up(unit, asset, subscriber=party, home=home, **told | other),
            set_aside(unit, asset, home=home, **about | other),
            ask_back(unit, asset, made.subscriber, **about | other),
            pay_back(unit, asset, made.subscriber, **told | other),
        ):
            assert refusal is not None, "one reference stands for one amount, across an upgrade"
            assert refusal.reason is TransferReason.EXISTS_WITH_DIFFERENT_AMOUNT_MINOR
        assert ledger.head(unit) == head
    former = derive("errand/deposit", home, amount, "old")
    house = ClearingHouse(world.place.manifest.clearing_house)
    world.place.work.do(derive("errand/mint", former), world.token.mint(_hub(world), amount))
    world.place.work.do(
        derive("errand/approve", former), world.token.approve(house.address, amount)
    )
    first = taken(made.errands.deposit(made.home, amount, reference="old"))
    assert taken(made.errands.deposit(made.home, amount, reference="old")) == first
    refused = made.errands.deposit(made.home, amount + 1, reference="old")
    assert refused.reason is ANOTHER
    with base.store.read() as unit:
        assert world.place.work.manager.find(unit, former) is not None


def _hub(world: World):
    return world.place.work.manager.sender
