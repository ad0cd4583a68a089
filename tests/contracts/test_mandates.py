"""What shares a storage word, and what bounds mandates: C7, C8, C13 of ClearingHouse.md."""

from __future__ import annotations

from dataclasses import replace

from contract_evm import RULEBOOK, TERMS, key, refused
from contract_world import DEPOSIT, World
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.chain.contracts import canonical_nets
from opencarrier.spine.ids import net_of_word, net_word
from opencarrier.spine.money import Net

CAP_MAX = (1 << 96) - 1
UNTIL_MAX = (1 << 32) - 1


def test_mandates_serve_one_settlement_in_an_interval(world: World):
    """C7: a settler cannot drain cap after cap, in odd seconds as in even ones."""
    world.evm.pass_time(1)
    for member in world.members[:2]:
        world.mandate(member, 5)
    world.settle(world.order([-5, -5, 10], signed=False))
    used_at = world.evm.now_s
    assert world.house.mandates_used_at(world.usd).ask(world.evm) == used_at
    world.settle(world.order([-5, 5], sequence=2))
    world.settle(world.order([], sequence=3))
    world.evm.pass_time(TERMS.mandate_interval_s - 1)
    again = world.order([-5, 5], sequence=4, signed=False)
    with refused("mandate: too soon"):
        world.settle(again)
    world.evm.pass_time(1)
    world.settle(again)
    assert world.house.mandates_used_at(world.usd).ask(world.evm) == world.evm.now_s
    assert world.house.last_sequence(world.usd).ask(world.evm) == 4
    assert world.house.total_of(world.usd).ask(world.evm) == 4 * DEPOSIT


def test_signed_and_mandated_debits_share_a_settlement(world: World):
    """C7: zeros in a signature's place say mandate, in any mixture."""
    a, b = world.members[:2]
    for member in (a, b):
        world.mandate(member, 5)
    order = world.order([-5, -5, -5, 15])
    world.settle(replace(order, debit_signatures=(None, *order.debit_signatures[1:])))
    assert world.house.mandates_used_at(world.usd).ask(world.evm) == world.evm.now_s
    order = world.order([-5, -5, -5, 15], sequence=2)
    with refused("mandate: expired"):
        world.settle(replace(order, debit_signatures=(*order.debit_signatures[:2], None)))
    world.settle(order)


def test_a_members_word_keeps_its_parts_apart(world: World):
    """C8, C13: balance, mandate and membership share a word; each changes alone, at its limits."""
    a = world.members[0]
    house, usd = world.house, world.usd

    def state() -> tuple:
        mandate = house.mandate_of(usd, a.address).ask(world.evm)
        parts = (mandate.cap_per_cycle, mandate.valid_until, mandate.rulebook_epoch)
        return (world.balance(a), *parts, house.is_member(usd, a.address).ask(world.evm))

    balance = DEPOSIT + 1
    world.send(a, house.deposit(usd, a.address, 1))
    world.mandate(a, CAP_MAX, UNTIL_MAX)
    assert state() == (balance, CAP_MAX, UNTIL_MAX, 1, True)
    world.send(world.owner, house.set_member(usd, a.address, registered=False))
    assert state() == (balance, CAP_MAX, UNTIL_MAX, 1, False)
    world.send(world.owner, house.set_rulebook(RULEBOOK))
    world.mandate(a, 7, 9)
    assert state() == (balance, 7, 9, 2, False)
    for _ in range(2):
        world.send(world.owner, house.set_member(usd, a.address, registered=True))
    assert state() == (balance, 7, 9, 2, True)
    world.settle(world.order([-balance, balance]))
    assert state() == (0, 7, 9, 2, True)
    world.mandate(a, 0, 0)
    assert state() == (0, 0, 0, 2, True)
    for cap, until in ((CAP_MAX + 1, 0), (0, UNTIL_MAX + 1)):
        with refused("mandate: too large"):
            world.mandate(a, cap, until)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-(10**9), 10**9)), max_size=12),
    st.randoms(use_true_random=False),
)
def test_permuting_or_splitting_legs_gives_the_same_nets(legs, random):
    """Any order, and any split of a leg in two: one canonical encoding, one settlement id."""
    people = sorted(key(f"leg {i}").address for i in range(5))
    nets = [Net(address=people[i], amount_minor=amount) for i, amount in legs]
    canonical = canonical_nets(nets)
    random.shuffle(nets)
    assert canonical_nets(nets) == canonical
    halves = [
        Net(address=net.address, amount_minor=part)
        for net in nets
        for part in (net.amount_minor // 3, net.amount_minor - net.amount_minor // 3)
    ]
    assert canonical_nets(halves) == canonical
    assert [net_of_word(net_word(net)) for net in canonical] == list(canonical)
    assert list(map(net_word, canonical)) == sorted(map(net_word, canonical))
