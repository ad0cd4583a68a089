"""ClearingHouse.settle, invariants C1 to C9, C12, C15 of contracts/ClearingHouse.md."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_evm import (
    FAR_S,
    GENESIS_S,
    MAX,
    RULEBOOK,
    TERMS,
    ZERO,
    key,
    refused,
    sealed,
)
from contract_world import DEPOSIT, World

from opencarrier.chain import events, typed_data
from opencarrier.chain.contracts import (
    NETS_MAX,
    NO_ROOT,
    ClearingHouse,
    Mandate,
)
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.spine.ids import net_word
from opencarrier.spine.money import Net

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def raw_settle(world: World, order, nets, signatures, rewards_minor=None, root=None) -> Call:
    """A settlement with rows the bindings would not let through."""
    data = ClearingHouse.artefact().call_data(
        "settle",
        world.usd,
        order.sequence,
        order.cycle_id,
        order.records_root,
        order.netting_mode,
        [net_word(Net(address=address, amount_minor=amount)) for address, amount in nets],
        b"".join(signatures),
        order.rewards_root if root is None else root,
        order.rewards_minor if rewards_minor is None else rewards_minor,
    )
    return Call(to=world.house.address, data=data)


UNSIGNED = bytes(65)
AMOUNT_MAX = (1 << 95) - 1
CAP_MAX = (1 << 96) - 1
BALANCE_MAX = (1 << 104) - 1


def bare(world: World, *, last_sequence: int = 0) -> ClearingHouse:
    """Another clearing house with the same token and nobody in it."""
    deployment = ClearingHouse.deployment(
        owner=world.owner.address,
        settler=world.settler.address,
        rulebook_hash=RULEBOOK,
        terms=TERMS,
    )
    house = ClearingHouse(world.evm.deploy(world.owner.address, deployment))
    world.send(world.owner, house.list_token(world.usd, last_sequence=last_sequence))
    return house


def rows(order) -> list[tuple[str, int]]:
    return [(net.address, net.amount_minor) for net in order.nets]


def octets(order) -> list[bytes]:
    return [UNSIGNED if s is None else s.octets for s in order.debit_signatures]


def test_settles_everything_at_once(world: World):
    """C2, C13: nets move, rewards leave, and one event tells every row."""
    order = world.order([-500, 100, 300, 0])
    outcome = world.settle(order)
    assert outcome.output == order.settlement_id
    assert world.balances() == [DEPOSIT - 500, DEPOSIT + 100, DEPOSIT + 300, DEPOSIT]
    assert world.tokens(world.rewards.address) == 100
    assert world.house.total_of(world.usd).ask(world.evm) == 4 * DEPOSIT - 100
    assert world.told(outcome) == [
        events.Settled(
            cycle_id=order.cycle_id,
            settlement_id=order.settlement_id,
            token=world.usd,
            sequence=1,
            records_root=order.records_root,
            netting_mode=1,
            rewards_root=order.rewards_root,
            rewards_amount=100,
            nets=tuple(map(net_word, order.nets)),
        ),
        events.Transfer(sender=world.house.address, receiver=world.rewards.address, value=100),
        events.RewardsPublished(
            token=world.token.address,
            cycle_id=order.cycle_id,
            root=order.rewards_root,
            amount=100,
            funded=100,
            ready_at=world.evm.now_s,
        ),
    ]


def test_keeps_what_a_verifier_asks_for(world: World):
    order = world.order([-500, 500])
    assert world.house.settled(order.cycle_id).ask(world.evm) == bytes(32)
    world.settle(order)
    assert world.house.settled(order.cycle_id).ask(world.evm) == order.settlement_id
    assert world.house.last_sequence(world.usd).ask(world.evm) == 1


def test_same_content_again_changes_nothing(world: World):
    """C3: the id comes back, no event, no balance moves, whatever sequence and signatures say."""
    order = world.order([-500, 500])
    world.settle(order)
    before = world.balances()
    world.evm.pass_time(5)
    for again in (
        order,
        replace(order, sequence=99),
        replace(order, debit_signatures=(None,)),
    ):
        outcome = world.settle(again)
        assert outcome.output == order.settlement_id
        assert outcome.logs == ()
    world.send(world.owner, world.house.set_settle_paused(paused=True))
    assert world.settle(order).output == order.settlement_id
    assert world.balances() == before
    assert world.house.last_sequence(world.usd).ask(world.evm) == 1


def test_other_content_is_refused(world: World):
    """C3: each field of the content is part of the id."""
    order = world.order([-500, 400])
    world.settle(order)
    nets = (
        replace(order.nets[0], amount_minor=-501),
        replace(order.nets[1], amount_minor=401),
    )
    others = [
        replace(order, records_root=b"\x08" * 32),
        replace(order, netting_mode=2),
        replace(order, nets=nets),
        replace(order, rewards_root=b"\x0a" * 32),
        world.order([-501, 400], cycle_id=order.cycle_id),
        world.order([], cycle_id=order.cycle_id),
    ]
    for other in others:
        with refused("settled: other content"):
            world.settle(replace(other, sequence=2))


def test_sequence_moves_by_one(world: World):
    """C4: neither a repeat nor a gap; a refused settlement uses up nothing."""
    for sequence in (0, 2, MAX):
        with refused("settle: sequence"):
            world.settle(world.order([-5, 5], sequence=sequence, cycle_id=b"\x01" * 32))
    world.settle(world.order([-5, 5], sequence=1))
    for sequence in (1, 3):
        with refused("settle: sequence"):
            world.settle(world.order([-5, 5], sequence=sequence, cycle_id=b"\x01" * 32))
    world.settle(world.order([-5, 5], sequence=2))


def test_a_venue_that_takes_over_goes_on_counting(world: World):
    """C4: the first sequence follows the last one settled elsewhere."""
    moved = bare(world, last_sequence=41)
    with refused("settle: sequence"):
        world.send(world.settler, moved.settle(world.usd, world.order([], sequence=41)))
    order = world.order([], sequence=42)
    assert world.send(world.settler, moved.settle(world.usd, order)).output == order.settlement_id


def test_an_empty_cycle_settles(world: World):
    order = world.order([])
    told = world.told(world.settle(order))
    assert [type(event) for event in told] == [events.Settled]
    assert world.rewards.ready_at(world.token.address, NO_ROOT).ask(world.evm) == 0


def test_id_is_the_same_at_every_venue(world: World):
    """The id holds no chain and no contract."""
    order = world.order([])
    world.evm.set_chain_id(77)
    other = bare(world)
    assert world.send(world.settler, other.settle(world.usd, order)).output == order.settlement_id


def test_the_token_is_part_of_the_id(world: World):
    """C3: a cycle settled in one token is not settled by the same rows in another."""
    euro = world.coin("EURt")
    order = world.order([])
    world.settle(order)
    with refused("settled: other content"):
        world.send(world.settler, world.house.settle(euro.address, order))
    assert world.house.last_sequence(euro.address).ask(world.evm) == 0


def test_rows_ascend_and_appear_once(world: World):
    """C6: descending and repeated members are refused."""
    order = world.order([-5, 5], signed=False)
    world.mandate(world.members[0], 5)
    down, twice = list(reversed(rows(order))), [rows(order)[0], *rows(order)]
    with refused("nets: order"):
        world.send(world.settler, raw_settle(world, order, down, [b""]))
    with refused("nets: order"):
        world.send(world.settler, raw_settle(world, order, twice, [b"", b""]))
    with refused("nets: order"):
        world.send(world.settler, raw_settle(world, order, [(ZERO, 1)], []))


def test_the_lowest_address_has_a_row(world: World):
    """C6: only the zero address is below every row."""
    lowest, payer = Address("0x" + "00" * 19 + "01"), world.members[0]
    world.send(world.owner, world.house.set_member(world.usd, lowest, registered=True))
    world.mandate(payer, 5)
    nets = [Net(address=lowest, amount_minor=5), Net(address=payer.address, amount_minor=-5)]
    world.settle(
        sealed(token=world.usd, cycle_id=RULEBOOK, sequence=1, nets=nets, signatures=[None])
    )
    assert world.house.balance_of(world.usd, lowest).ask(world.evm) == 5


def test_no_row_of_zero(world: World):
    """C6: one content has one encoding."""
    order = world.order([])
    with refused("nets: zero"):
        world.send(world.settler, raw_settle(world, order, [(world.members[0].address, 0)], []))


def test_only_members_have_rows(world: World):
    """C6: a stranger and a former member are refused, on either side."""
    a, b = world.members[:2]
    world.mandate(a, 5)
    order = world.order([-5, 5], signed=False)
    strangers = sorted([(world.stranger.address, 5), rows(order)[0]], key=lambda row: row[0])
    with refused("nets: not member"):
        world.send(world.settler, raw_settle(world, order, strangers, octets(order)))
    world.send(world.owner, world.house.set_member(world.usd, b.address, registered=False))
    with refused("nets: not member"):
        world.settle(order)
    world.send(world.owner, world.house.set_member(world.usd, b.address, registered=True))
    world.send(world.owner, world.house.set_member(world.usd, a.address, registered=False))
    with refused("nets: not member"):
        world.settle(order)


@pytest.mark.parametrize("rewards", [0, 1, 3, AMOUNT_MAX])
def test_nets_and_rewards_sum_to_zero(world: World, rewards: int):
    """C2: neither a unit more nor less."""
    world.mandate(world.members[0], 5)
    order = world.order([-5, 3], signed=False)
    root = NO_ROOT if rewards == 0 else order.rewards_root
    with refused("nets: sum"):
        world.send(
            world.settler,
            raw_settle(world, order, rows(order), octets(order), rewards_minor=rewards, root=root),
        )


def test_amounts_at_the_ends_of_the_range(world: World):
    """C2, C8: an int96 read as one, sums checked."""
    a, b = world.members[:2]
    order = world.order([])
    most, least = [(a.address, AMOUNT_MAX), (b.address, AMOUNT_MAX)], [(a.address, -AMOUNT_MAX - 1)]
    with refused("nets: sum"):
        world.send(world.settler, raw_settle(world, order, most, []))
    with refused("debit: short of collateral"):
        world.send(world.settler, raw_settle(world, order, least, []))
    root = b"\x01" * 32
    with refused("nets: sum"):
        world.send(world.settler, raw_settle(world, order, [], [], rewards_minor=MAX, root=root))
    with refused(None):
        world.send(world.settler, raw_settle(world, order, most, [], rewards_minor=MAX, root=root))


def test_a_balance_stays_within_its_part_of_the_word(world: World):
    """C8: 104 bits to the last unit, not one more, by deposit or by settlement."""
    a, b = world.members[:2]
    world.send(world.owner, world.token.mint(a.address, BALANCE_MAX))
    world.send(a, world.house.deposit(world.usd, a.address, BALANCE_MAX - DEPOSIT))
    assert world.balance(a) == BALANCE_MAX
    assert world.house.is_member(world.usd, a.address).ask(world.evm)
    with refused("balance: too large"):
        world.send(b, world.house.deposit(world.usd, a.address, 1))
    with refused("balance: too large"):
        world.settle(world.order([1, -1]))
    world.settle(world.order([-1, 1]))
    world.settle(world.order([1, -1], sequence=2))
    assert world.balances()[:2] == [BALANCE_MAX, DEPOSIT]


def test_no_balance_below_zero(world: World):
    """C8, C5: everything may be debited, one unit more reverts all of it."""
    with refused("debit: short of collateral"):
        world.settle(world.order([100, -DEPOSIT - 1, DEPOSIT - 99]))
    assert world.balances() == [DEPOSIT] * 4
    assert world.house.last_sequence(world.usd).ask(world.evm) == 0
    world.settle(world.order([100, -DEPOSIT, DEPOSIT - 100]))
    assert world.balances()[1] == 0


def test_a_credit_of_the_same_cycle_is_no_collateral(world: World):
    """C8: a member has one row, so nothing it gets in a cycle can be paid with in the cycle."""
    a, b = world.members[:2]
    order = world.order([-DEPOSIT, DEPOSIT])
    world.settle(order)
    with refused("debit: short of collateral"):
        world.settle(world.order([-1, 1], sequence=2))
    assert world.balance(a) == 0
    assert world.balance(b) == 2 * DEPOSIT


def test_signatures_match_the_debits_in_number(world: World):
    """C6, C7: one entry for each paying member, none left over."""
    order = world.order([-5, -5, 10])
    first, second = octets(order)
    for signatures in ([first], [first, second[:64]]):
        with refused("debit: signatures missing"):
            world.send(world.settler, raw_settle(world, order, rows(order), signatures))
    with refused("debit: signatures left"):
        world.send(world.settler, raw_settle(world, order, rows(order), [first, second, b"\0"]))
    with refused("debit: bad signature"):
        world.send(world.settler, raw_settle(world, order, rows(order), [second, first]))
    world.settle(order)


def test_a_debit_needs_consent(world: World):
    """C7: neither signature nor mandate: refused."""
    with refused("mandate: expired"):
        world.settle(world.order([-5, 5], signed=False))


def malleable(signature: bytes) -> bytes:
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes((55 - signature[64],))


@pytest.mark.parametrize(
    "forge",
    [
        malleable,
        lambda octets: octets[:32] + bytes(33),
        lambda octets: octets[:64] + bytes((octets[64] - 27,)),
        lambda octets: octets[:64] + bytes((55 - octets[64],)),
    ],
)
def test_forged_signatures(world: World, forge):
    """C7: one accepted form; a standing mandate does not heal a bad signature."""
    world.mandate(world.members[0], CAP_MAX)
    order = world.order([-5, 5])
    bad = [forge(order.debit_signatures[0].octets)]
    with refused("debit: bad signature"):
        world.send(world.settler, raw_settle(world, order, rows(order), bad))


def test_a_debit_binds_every_field(world: World):
    """C9: other settlement, rulebook, token, member, amount, contract or chain: refused."""
    a, b = world.members[:2]
    order = world.order([-5, 5])
    house = world.domain
    good = {
        "settlement_id": order.settlement_id,
        "rulebook_hash": RULEBOOK,
        "token": world.usd,
        "member": a.address,
        "amount_minor": 5,
    }
    others = [
        (house, {"settlement_id": b"\x0b" * 32}),
        (house, {"token": b.address}),
        (house, {"rulebook_hash": b"\x0b" * 32}),
        (house, {"member": b.address}),
        (house, {"amount_minor": 4}),
        (replace(house, chain_id=house.chain_id + 1), {}),
        (replace(house, contract=world.token.address), {}),
        (replace(house, version="2"), {}),
        (replace(house, name="opencarrier"), {}),
    ]
    for domain, changes in others:
        signature = a.sign(typed_data.debit_digest(domain, **(good | changes)))
        with refused("debit: bad signature"):
            world.settle(replace(order, debit_signatures=(signature,)))
    signature = b.sign(typed_data.debit_digest(house, **good))
    with refused("debit: bad signature"):
        world.settle(replace(order, debit_signatures=(signature,)))
    signature = a.sign(typed_data.debit_digest(house, **good))
    world.settle(replace(order, debit_signatures=(signature,)))


def test_no_replay_after_a_fork(world: World):
    """C9: the separator follows the chain id."""
    order = world.order([-5, 5])
    world.evm.set_chain_id(world.evm.chain_id + 1)
    with refused("debit: bad signature"):
        world.settle(order)
    world.settle(world.order([-5, 5]))


def test_no_replay_at_another_address(world: World):
    """C9: another clearing house of the same members refuses the signature."""
    order = world.order([-5, 5])
    other = World(world.evm)
    assert other.house.address != world.house.address
    with refused("debit: bad signature"):
        other.settle(order)


def test_the_contract_says_what_to_sign(world: World):
    order = world.order([-5, 5])
    member = world.members[0].address
    data = ClearingHouse.artefact().call_data(
        "debit_digest", order.settlement_id, world.usd, member, 5
    )
    digest = world.evm.call(Call(to=world.house.address, data=data))
    assert digest == typed_data.debit_digest(
        world.domain,
        settlement_id=order.settlement_id,
        rulebook_hash=RULEBOOK,
        token=world.usd,
        member=member,
        amount_minor=5,
    )


def test_mandate_cap_and_end(world: World):
    """C7: up to the cap in each cycle, through its last second."""
    a = world.members[0]
    told = world.told(world.mandate(a, 5, GENESIS_S + 700))
    assert told == [
        events.MandateSet(
            member=a.address,
            token=world.usd,
            cap_per_cycle=5,
            valid_until=GENESIS_S + 700,
            rulebook_epoch=1,
        )
    ]
    assert world.house.mandate_of(world.usd, a.address).ask(world.evm) == Mandate(
        cap_per_cycle=5, valid_until=GENESIS_S + 700, rulebook_epoch=1
    )
    with refused("mandate: over cap"):
        world.settle(world.order([-6, 6], signed=False))
    world.settle(world.order([-5, 5], signed=False))
    world.evm.pass_time(700)
    world.settle(world.order([-5, 5], sequence=2, signed=False))
    world.evm.pass_time(1)
    with refused("mandate: expired"):
        world.settle(world.order([-5, 5], sequence=3, signed=False))
    world.settle(world.order([-500, 500], sequence=3))


def test_a_mandate_is_given_in_a_pause(world: World):
    """C7: a pause stops settlements, not what members say; the epoch is the rulebook's alone."""
    world.send(world.owner, world.house.set_settle_paused(paused=True))
    (told,) = world.told(world.mandate(world.members[0], 5))
    assert told.rulebook_epoch == 1


def test_rulebooks_come_to_an_end(world: World):
    """C9: no epoch comes again: the 65,535th is the last, and owner and settler stay."""
    house, env = world.house, world.evm.env
    settler = int(world.settler.address, 16)
    words = {slot: env.get_storage(house.address, slot) for slot in range(64)}
    (slot,) = (slot for slot, word in words.items() if word % (1 << 160) == settler)
    env.set_storage(house.address, slot, settler | 65_534 << 160)
    told = world.told(world.send(world.owner, house.set_rulebook(RULEBOOK)))
    assert told == [events.RulebookSet(rulebook_hash=RULEBOOK, epoch=65_535)]
    with refused("rulebook: too many"):
        world.send(world.owner, house.set_rulebook(RULEBOOK))
    world.settle(world.order([-5, 5]))


def test_mandate_of_another_member_does_not_help(world: World):
    world.mandate(world.members[1], CAP_MAX)
    with refused("mandate: expired"):
        world.settle(world.order([-5, 5], signed=False))


def test_mandate_is_revoked(world: World):
    a = world.members[0]
    world.mandate(a, 5)
    world.mandate(a, 0, 0)
    with refused("mandate: expired"):
        world.settle(world.order([-5, 5], signed=False))


def test_a_new_rulebook_voids_what_was_given_under_the_old(world: World):
    """C7, C9: mandates and signatures lapse with their rulebook."""
    a = world.members[0]
    world.mandate(a, CAP_MAX)
    signed, order = world.order([-5, 5]), world.order([-5, 5], signed=False)
    told = world.told(world.send(world.owner, world.house.set_rulebook(keccak(b"rulebook 2"))))
    assert told == [events.RulebookSet(rulebook_hash=keccak(b"rulebook 2"), epoch=2)]
    with refused("mandate: other rulebook"):
        world.settle(order)
    with refused("debit: bad signature"):
        world.settle(signed)
    world.mandate(a, CAP_MAX)
    world.settle(order)


def mandate_by_signature(world: World, *, signer=None, forge=lambda octets: octets, **changes):
    member = world.members[0]
    signed = {
        "token": world.usd,
        "member": member.address,
        "cap_per_cycle_minor": 5,
        "valid_until_s": FAR_S,
        "rulebook_hash": RULEBOOK,
        "nonce": 0,
    } | changes.pop("signed", {})
    digest = typed_data.mandate_digest(changes.pop("domain", world.domain), **signed)
    signature = forge((signer or member).sign(digest).octets)
    sent = {"member": member.address, "cap_per_cycle": 5, "valid_until": FAR_S} | changes
    return world.house.set_mandate_by_signature(world.usd, signature=signature, **sent)


def test_mandate_by_signature_counts_once(world: World):
    """C9: anybody submits it, once; the nonce moves each time."""
    a = world.members[0]
    call = mandate_by_signature(world)
    told = world.told(world.send(world.stranger, call))
    assert [type(event) for event in told] == [events.MandateSet]
    assert world.house.mandate_nonce(world.usd, a.address).ask(world.evm) == 1
    world.settle(world.order([-5, 5], signed=False))
    with refused("mandate: bad signature"):
        world.send(world.stranger, call)
    second = mandate_by_signature(world, signed={"nonce": 1})
    world.send(world.stranger, second)
    assert world.house.mandate_nonce(world.usd, a.address).ask(world.evm) == 2
    with refused("mandate: bad signature"):
        world.send(world.stranger, second)


def test_a_later_mandate_voids_an_older_signature(world: World):
    """C9: who revokes by transaction is not undone by a signature that was still out."""
    call = mandate_by_signature(world)
    world.mandate(world.members[0], 0, 0)
    assert world.house.mandate_nonce(world.usd, world.members[0].address).ask(world.evm) == 1
    with refused("mandate: bad signature"):
        world.send(world.stranger, call)


def test_a_mandate_binds_every_field(world: World):
    """C9: other cap, time, rulebook, member, chain, contract or signer: refused."""
    house = world.domain
    forgeries = [
        {"cap_per_cycle": 6},
        {"valid_until": FAR_S + 1},
        {"member": world.members[1].address},
        {"signed": {"rulebook_hash": b"\x01" * 32}},
        {"signed": {"token": world.members[0].address}},
        {"signed": {"nonce": 1}},
        {"domain": replace(house, chain_id=house.chain_id + 1)},
        {"domain": replace(house, contract=world.token.address)},
        {"signer": world.stranger},
        {"forge": malleable},
        {"forge": lambda octets: b""},
        {"member": ZERO, "forge": lambda octets: bytes(64) + b"\x1b"},
        {"member": ZERO, "forge": lambda octets: b""},
    ]
    for forgery in forgeries:
        with refused("mandate: bad signature"):
            world.send(world.stranger, mandate_by_signature(world, **forgery))


def test_pause_stops_new_settlements_only(world: World):
    order = world.order([-5, 5])
    told = world.told(world.send(world.owner, world.house.set_settle_paused(paused=True)))
    assert told == [events.SettlePausedSet(paused=True)]
    assert world.house.settle_paused().ask(world.evm)
    with refused("settle: paused"):
        world.settle(order)
    world.send(world.owner, world.house.set_settle_paused(paused=False))
    world.settle(order)


def test_money_and_root_go_together(world: World):
    """C12: neither without the other."""
    bare = world.order([-5, 5], rewards_root=b"\x09" * 32)
    with refused("rewards: root without money"):
        world.settle(bare)
    unnamed = world.order([-5, 4], rewards_root=NO_ROOT)
    with refused("rewards: money without root"):
        world.settle(unnamed)


def test_no_rewards_without_a_distributor(world: World):
    world.house = bare(world)
    try:
        for member in world.members[:2]:
            join = world.house.set_member(world.usd, member.address, registered=True)
            world.send(world.owner, join)
            world.send(member, world.token.approve(world.house.address, MAX))
            world.send(member, world.house.deposit(world.usd, member.address, 10))
        with refused("rewards: no distributor"):
            world.settle(world.order([-5, 4]))
        world.settle(world.order([-5, 5]))
    finally:
        world.house = ClearingHouse(world.rewards.clearing_house().ask(world.evm))


def test_a_failing_payment_reverts_all(world: World):
    """C5: rewards that cannot leave undo the whole settlement."""
    order = world.order([-500, 100])
    world.send(world.owner, world.token.freeze(world.rewards.address))
    with refused("token: frozen"):
        world.settle(order)
    assert world.balances() == [DEPOSIT] * 4
    assert world.house.settled(order.cycle_id).ask(world.evm) == bytes(32)
    world.send(world.owner, world.token.unfreeze(world.rewards.address))
    world.settle(order)


def test_a_frozen_member_blocks_nobody(world: World):
    """C11: the token's freeze of a member does not stop a settlement it has part in."""
    for member in world.members[:2]:
        world.send(world.owner, world.token.freeze(member.address))
    world.settle(world.order([-500, 100, 300]))
    assert world.balances()[:3] == [DEPOSIT - 500, DEPOSIT + 100, DEPOSIT + 300]


def full(world: World, count: int, *, signed: bool):
    """A settlement of `count` members, every other one paying."""
    people = sorted((key(f"crowd {i}") for i in range(count)), key=lambda s: s.address)
    for member in people:
        world.join(member, 1000)
    nets = [
        Net(address=m.address, amount_minor=-7 if i % 2 == 0 else 6) for i, m in enumerate(people)
    ]
    rewards = -sum(net.amount_minor for net in nets)
    terms = {"token": world.usd, "cycle_id": b"\x0c" * 32, "nets": nets}
    terms |= {"rewards_root": b"\x09" * 32, "rewards_minor": rewards}
    payers = people[::2]
    draft = sealed(sequence=1, signatures=[None] * len(payers), **terms)
    signatures: list[Signature | None] = [
        world.debit(draft, member, 7) if signed else None for member in payers
    ]
    return people, sealed(sequence=1, signatures=signatures, **terms)


def test_four_hundred_members_settle(world: World):
    """C15: the bound is reached in one settlement; one row more does not even decode."""
    people, order = full(world, NETS_MAX, signed=True)
    assert world.settle(order).output == order.settlement_id
    assert world.balance(people[0]) == 993
    assert world.balance(people[1]) == 1006
    extra = [*rows(order), ("0x" + "ff" * 20, 1)]
    with refused(None):
        world.send(
            world.settler, raw_settle(world, replace(order, sequence=2), extra, octets(order))
        )
