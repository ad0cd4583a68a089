"""A host's share is split where it accrues; no address takes what another earned, nor hosts' parts
meet where they are paid at the same one."""

from __future__ import annotations

from tests.clearing.facts import host, payout, rated

from opencarrier.kernel.signatures import Address
from opencarrier.ledger import chart
from opencarrier.settlement.model import CycleState
from opencarrier.spine.money import RatedUsage
from opencarrier.spine.parties import Beneficiary, PartyId

from .fake_chain import FakeChain, claim
from .world import Installation, single

FIRST, SECOND = host(0), host(1)
SHARED = payout(SECOND)
A, B = sorted(Address("0x" + character * 40) for character in "ab")


def usages(first: int = 0) -> list[RatedUsage]:
    """The first host earns 600 and the second 1,200 (60% of what is charged)."""
    return [
        rated(first + n, home=0, visited=1, amount=1_000 * (n + 1), host_number=n) for n in range(2)
    ]


def split(place: Installation, party: PartyId, **shares_ppm: int) -> None:
    addresses = {"a": A, "b": B, "shared": SHARED}
    place.people.splits[party] = sorted(
        Beneficiary(payout=addresses[name], share_ppm=share) for name, share in shares_ppm.items()
    )


def entitled(place: Installation) -> dict[tuple[Address, PartyId], int]:
    pairs = [(address, party) for address in (A, B, SHARED) for party in (FIRST, SECOND)]
    found = {pair: place.balance(chart.entitled(*pair)) for pair in pairs}
    return {pair: amount for pair, amount in found.items() if amount}


def claimed(chain: FakeChain, place: Installation, address: Address, amount: int) -> str:
    chain.do(claim(address, amount))
    chain.mine(4)
    return place.follow()


def test_each_beneficiary_has_an_account_and_claims_its_own() -> None:
    chain, place = single()
    split(place, FIRST, a=333_333, b=333_334, shared=333_333)
    place.close(usages())
    place.restart()
    driven = place.settle()
    assert driven.cycle is not None
    assert driven.cycle.state is CycleState.FINAL
    parts = {(A, FIRST): 199, (B, FIRST): 200, (SHARED, FIRST): 199, (SHARED, SECOND): 1_200}
    parts[min(A, SHARED), FIRST] += 2
    assert entitled(place) == parts
    place.assert_agrees()
    for address in (A, B):
        assert claimed(chain, place, address, parts.pop((address, FIRST))) == ""
        assert entitled(place) == parts
        place.assert_agrees()
    assert claimed(chain, place, SHARED, sum(parts.values())) == ""
    assert entitled(place) == {}
    place.assert_agrees()


def test_a_part_of_a_claim_takes_from_the_hosts_in_their_order() -> None:
    """Never more than each has there; the other hosts' and the other addresses' parts stay."""
    chain, place = single()
    split(place, FIRST, a=500_000, shared=500_000)
    place.close(usages())
    place.settle()
    low, high = sorted((FIRST, SECOND))
    before = entitled(place)
    assert before == {(A, FIRST): 300, (SHARED, FIRST): 300, (SHARED, SECOND): 1_200}
    amount = before[SHARED, low] + 50
    assert claimed(chain, place, SHARED, amount) == ""
    left = before[SHARED, high] - 50
    assert entitled(place) == {(A, FIRST): 300, (SHARED, high): left}
    place.assert_agrees()


def test_an_address_takes_nothing_that_was_earned_for_another() -> None:
    """A claim above what its address has waits, whatever else its hosts have."""
    chain, place = single()
    split(place, FIRST, a=500_000, b=500_000)
    place.close(usages())
    place.settle()
    before = entitled(place)
    assert "nobody here earned" in claimed(chain, place, A, 301)
    assert entitled(place) == before


def test_shares_change_between_two_cycles() -> None:
    """What was earned before stays whose it was, and is claimed there."""
    chain, place = single()
    split(place, FIRST, a=1_000_000)
    place.close(usages())
    place.settle()
    split(place, FIRST, b=250_000, shared=750_000)
    place.close(usages(10))
    place.settle()
    parts = {(A, FIRST): 600, (B, FIRST): 150, (SHARED, FIRST): 450, (SHARED, SECOND): 2_400}
    assert entitled(place) == parts
    for address in (SHARED, A, B):
        due = sum(amount for (one, _), amount in parts.items() if one == address)
        assert claimed(chain, place, address, due) == ""
        place.assert_agrees()
    assert entitled(place) == {}
