"""What was followed answers as the contract does, at every second, for any story."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.memory import ENGINE, lay

from opencarrier.chain import events
from opencarrier.chain.contracts import Tier
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.spine.money import Discount, StakeReading
from opencarrier.spine.parties import PartyId
from opencarrier.staking import rules, store
from opencarrier.staking.follower import take
from opencarrier.staking.model import Binding, StakeContract
from opencarrier.staking.service import StakingService

CONTRACT, ALICE, BOB = (Address("0x" + pair * 20) for pair in ("5a", "a1", "b0"))
ASSET = AssetId("test/USD")
HOME, SUBSCRIBER = PartyId("op_1"), PartyId("sub_1")
TIERS = (
    Tier(min_amount=10, min_lock_s=10, discount_ppm=10_000),
    Tier(min_amount=20, min_lock_s=20, discount_ppm=50_000),
)
CAP_PPM = 2_500_000


@dataclass
class Story:
    """A contract's events from the model's hand, taken as they come."""

    now_s: int = 1_000
    total: int = 0
    held: dict[Address, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unit = ENGINE.connect()
        lay(self.unit, store.metadata)
        store.put_contract(self.unit, contract(tiers=(), cap_ppm=0, followed_s=0))
        self.take(events.SpendCapSet(cap_ppm=CAP_PPM))
        for tier in TIERS:
            self.take(
                events.TierSet(
                    min_amount=tier.min_amount,
                    min_lock_s=tier.min_lock_s,
                    discount_ppm=tier.discount_ppm,
                )
            )
        bind(self.unit, ALICE)

    def take(self, event: events.Event) -> None:
        take(self.unit, CONTRACT, event)

    def commit(self, account: Address, added: int, lock_s: int) -> None:
        amount = self.held.get(account, (0, 0))[0] + added
        self.total += added
        self.held[account] = (amount, lock_s)
        self.take(
            events.StakeCommitted(
                account=account,
                added=added,
                amount=amount,
                lock_s=lock_s,
                unlock_at=self.now_s + lock_s,
                total=self.total,
            )
        )

    def withdraw(self, account: Address) -> None:
        amount, _ = self.held.pop(account)
        self.total -= amount
        self.take(
            events.StakeWithdrawn(
                account=account, amount=amount, withdrawn_at=self.now_s, total=self.total
            )
        )

    def followed(self, at_s: int) -> None:
        store.set_followed(self.unit, CONTRACT, at_s)

    def discount(
        self, at_s: int, subscriber: PartyId = SUBSCRIBER, seller: PartyId = HOME
    ) -> Discount | None:
        at_us = at_s * SECOND_US + 999_999
        return StakingService().discount(self.unit, subscriber, seller=seller, at_us=at_us)


def contract(**changes: object) -> StakeContract:
    terms: dict[str, object] = {
        "address": CONTRACT,
        "chain_id": 31337,
        "asset": ASSET,
        "cap_ppm": CAP_PPM,
        "tiers": TIERS,
        "followed_s": 0,
    }
    return StakeContract(**{**terms, **changes})  # type: ignore[arg-type]


def bind(unit, account: Address, subscriber: PartyId = SUBSCRIBER) -> None:
    store.put_binding(
        unit,
        Binding(
            contract=CONTRACT,
            home=HOME,
            account=account,
            subscriber=subscriber,
            bound_us=0,
            free_us=None,
        ),
    )


def test_a_stake_counts_between_its_second_and_its_end() -> None:
    story = Story()
    story.commit(ALICE, 20, 30)
    story.followed(1_010)
    told = story.discount(1_020)
    assert told == Discount(
        ppm=50_000,
        reading=StakeReading(contract=CONTRACT, account=ALICE, timepoint_s=1_009),
        unlock_at_s=1_030,
        lock_began_s=1_000,
        asset=ASSET,
        cap_minor=50,
    )
    assert story.discount(1_005).reading.timepoint_s == 1_005, "never after the session's start"
    assert story.discount(999) is None
    assert story.discount(1_029) is not None
    assert story.discount(1_030) is None, "none from the end of the lock on"
    assert story.discount(1_020, PartyId("sub_2")) is None
    assert story.discount(1_020, seller=PartyId("op_2")) is None, "another seller grants nothing"


def test_nothing_counts_before_it_is_final_and_over() -> None:
    """Another block may come in the second of the newest final one."""
    story = Story()
    story.commit(ALICE, 20, 30)
    for followed_s, granted in ((0, False), (999, False), (1_000, False), (1_001, True)):
        story.followed(followed_s)
        assert (story.discount(1_020) is not None) is granted
    story.followed(5)
    assert story.discount(1_020) is not None, "what was followed is never forgotten"


def test_too_small_or_too_short_carries_nothing() -> None:
    for amount, lock_s, ppm in ((9, 99, 0), (99, 9, 0), (10, 10, 10_000), (19, 99, 10_000)):
        story = Story()
        story.commit(ALICE, amount, lock_s)
        story.followed(2_000)
        told = story.discount(1_001)
        assert (told.ppm if told else 0) == ppm


def test_one_lock_is_renewed_and_another_begins() -> None:
    """A renewal in time keeps the lock's beginning, and so its cap; a later one begins anew."""
    story = Story()
    began = []
    for at_s, lock_s in ((1_000, 20), (1_019, 20), (1_039, 20), (1_058, 20)):
        story.now_s = at_s
        story.commit(ALICE, 20, lock_s)
        story.followed(at_s + 1)
        began.append(story.discount(at_s).lock_began_s)
    assert began == [1_000, 1_000, 1_039, 1_039]


def test_a_lock_after_a_withdrawal_begins_anew() -> None:
    story = Story()
    story.commit(ALICE, 20, 20)
    story.now_s = 1_020
    story.withdraw(ALICE)
    story.commit(ALICE, 10, 10)
    story.followed(1_021)
    told = story.discount(1_020)
    assert (told.lock_began_s, told.cap_minor, told.ppm) == (1_020, 25, 10_000)


def test_the_last_of_a_second_stays() -> None:
    story = Story()
    story.commit(ALICE, 10, 10)
    story.commit(ALICE, 10, 20)
    story.followed(1_001)
    told = story.discount(1_000)
    assert (told.ppm, told.cap_minor, told.lock_began_s) == (50_000, 50, 1_000)


def test_amounts_beyond_64_bits() -> None:
    story = Story()
    story.commit(ALICE, (1 << 160) - 1, 20)
    story.followed(1_001)
    assert story.discount(1_000).cap_minor == ((1 << 160) - 1) * CAP_PPM // 1_000_000


steps = st.lists(
    st.tuples(
        st.sampled_from([ALICE, BOB]),
        st.integers(0, 25),
        st.integers(1, 25),
        st.integers(0, 15),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=12, deadline=None)
@given(steps)
def test_any_history_is_looked_up_as_it_was(told) -> None:
    """At each second the store finds what a plain list of all commitments has there."""
    story = Story()
    plain: list[tuple[int, int, int]] = [(0, 0, 0)]
    for account, added, lock_s, pause_s in told:
        story.now_s += pause_s
        amount, locked_s = story.held.get(account, (0, 0))
        if amount + added == 0:
            continue
        story.commit(account, added, max(lock_s, locked_s))
        if account == ALICE:
            plain.append((story.now_s, *story.held[ALICE]))
    story.followed(story.now_s + 100)
    for at_s in range(995, story.now_s + 60):
        since_s, amount, lock_s = [row for row in plain if row[0] <= at_s][-1]
        ppm = rules.discount_ppm(TIERS, amount, lock_s) if at_s < since_s + lock_s else 0
        found = story.discount(at_s)
        assert (found.ppm if found else 0) == ppm
        if found:
            assert found.unlock_at_s == since_s + lock_s
            assert found.cap_minor == amount * CAP_PPM // 1_000_000
            assert found.lock_began_s <= since_s
