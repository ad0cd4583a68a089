"""ClearingHouse deposits, withdrawals and administration: invariants C1, C2, C10, C11, C14."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_evm import (
    FAR_S,
    GENESIS_S,
    MAX,
    NOTICE_S,
    RULEBOOK,
    TERMS,
    ZERO,
    key,
    logs_of,
    refused,
)
from contract_world import DEPOSIT, World

from opencarrier.chain import events
from opencarrier.chain.contracts import ClearingHouse, RewardDistributor, StableToken, Withdrawal
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

NONE = Withdrawal(amount=0, ready_at=0)
SEQUENCE_MAX = (1 << 64) - 1


def test_deposit(world: World):
    """C1: balance and tokens grow together; anybody may pay in for a member."""
    a, b = world.members[:2]
    outcome = world.send(b, world.house.deposit(world.usd, a.address, 7))
    assert world.told(outcome) == [
        events.Deposited(
            token=world.usd, member=a.address, payer=b.address, amount=7, balance=DEPOSIT + 7
        ),
        events.Transfer(sender=b.address, receiver=world.house.address, value=7),
    ]
    assert world.balance(a) == DEPOSIT + 7
    assert world.balance(b) == DEPOSIT
    assert world.tokens(b.address) == DEPOSIT - 7
    assert world.house.total_of(world.usd).ask(world.evm) == 4 * DEPOSIT + 7
    assert world.tokens(world.house.address) == 4 * DEPOSIT + 7


def test_deposit_refused(world: World):
    a, stranger = world.members[0], world.stranger
    with refused("deposit: not member"):
        world.send(a, world.house.deposit(world.usd, stranger.address, 1))
    with refused("amount: zero"):
        world.send(a, world.house.deposit(world.usd, a.address, 0))
    with refused("token: short allowance"):
        world.send(stranger, world.house.deposit(world.usd, a.address, 1))
    with refused("token: short balance"):
        world.send(a, world.house.deposit(world.usd, a.address, DEPOSIT + 1))
    with refused(None):
        world.send(a, world.house.deposit(world.usd, a.address, MAX))
    world.send(world.owner, world.token.freeze(a.address))
    with refused("token: frozen"):
        world.send(a, world.house.deposit(world.usd, a.address, 1))
    assert world.balances() == [DEPOSIT] * 4


def test_the_total_has_an_end(world: World):
    """C1, C8: what is owed in a token fits its part of the word, whoever it is owed to."""
    env, house, a = world.evm.env, world.house, world.members[0]
    token = bytes(12) + bytes.fromhex(world.usd[2:])
    slots = [int.from_bytes(keccak(p.to_bytes(32, "big") + token), "big") for p in range(64)]
    (slot,) = (s for s in slots if env.get_storage(house.address, s) % (1 << 128) == 4 * DEPOSIT)
    word = env.get_storage(house.address, slot) - 4 * DEPOSIT
    env.set_storage(house.address, slot, word | (1 << 128) - 6)
    with refused("balance: too large"):
        world.send(a, house.deposit(world.usd, a.address, 6))
    world.send(a, house.deposit(world.usd, a.address, 5))
    assert house.total_of(world.usd).ask(world.evm) == (1 << 128) - 1
    assert house.last_sequence(world.usd).ask(world.evm) == 0
    assert house.is_listed(world.usd).ask(world.evm)


def test_tokens_sent_by_mistake_are_nobodys_balance(world: World):
    """C1: at least, not exactly: a donation changes no balance and blocks nothing."""
    a = world.members[0]
    world.send(a, world.token.transfer(world.house.address, 9))
    assert world.balances() == [DEPOSIT] * 4
    world.settle(world.order([-5, 5]))


def test_withdrawal_after_notice(world: World):
    """C10: paid at the end of the notice, not a second before, once."""
    a = world.members[0]
    told = world.told(world.send(a, world.house.request_withdrawal(world.usd, 400)))
    ready = GENESIS_S + NOTICE_S
    assert told == [
        events.WithdrawalRequested(token=world.usd, member=a.address, amount=400, ready_at=ready)
    ]
    asked = Withdrawal(amount=400, ready_at=ready)
    assert world.house.withdrawal_of(world.usd, a.address).ask(world.evm) == asked
    world.evm.pass_time(NOTICE_S - 1)
    with refused("withdrawal: notice"):
        world.send(a, world.house.withdraw(world.usd))
    world.evm.pass_time(1)
    outcome = world.send(a, world.house.withdraw(world.usd))
    assert int.from_bytes(outcome.output, "big") == 400
    assert world.told(outcome) == [
        events.Withdrawn(token=world.usd, member=a.address, amount=400, balance=DEPOSIT - 400),
        events.Transfer(sender=world.house.address, receiver=a.address, value=400),
    ]
    assert world.tokens(a.address) == DEPOSIT + 400
    assert world.house.total_of(world.usd).ask(world.evm) == 4 * DEPOSIT - 400
    assert world.house.withdrawal_of(world.usd, a.address).ask(world.evm) == NONE
    with refused("withdrawal: not requested"):
        world.send(a, world.house.withdraw(world.usd))


def test_one_request_at_a_time(world: World):
    a = world.members[0]
    with refused("amount: zero"):
        world.send(a, world.house.request_withdrawal(world.usd, 0))
    for call in (world.house.withdraw(world.usd), world.house.cancel_withdrawal(world.usd)):
        with refused("withdrawal: not requested"):
            world.send(a, call)
    world.send(a, world.house.request_withdrawal(world.usd, 1))
    with refused("withdrawal: already requested"):
        world.send(a, world.house.request_withdrawal(world.usd, 1))
    told = world.told(world.send(a, world.house.cancel_withdrawal(world.usd)))
    assert told == [events.WithdrawalCancelled(token=world.usd, member=a.address)]
    assert world.house.withdrawal_of(world.usd, a.address).ask(world.evm) == NONE
    world.evm.pass_time(NOTICE_S)
    with refused("withdrawal: not requested"):
        world.send(a, world.house.withdraw(world.usd))
    world.send(a, world.house.request_withdrawal(world.usd, 1))
    with refused("withdrawal: notice"):
        world.send(a, world.house.withdraw(world.usd))


def test_notice_is_a_members_own(world: World):
    a, b = world.members[:2]
    world.send(a, world.house.request_withdrawal(world.usd, 400))
    world.evm.pass_time(NOTICE_S)
    with refused("withdrawal: not requested"):
        world.send(b, world.house.withdraw(world.usd))


def test_requested_money_can_still_be_debited(world: World):
    """C10: it stays collateral for what is owed and backs no new credit."""
    a = world.members[0]

    def free() -> int:
        return world.house.free_balance(world.usd, a.address).ask(world.evm)

    assert free() == DEPOSIT
    world.send(a, world.house.request_withdrawal(world.usd, DEPOSIT - 10))
    assert free() == 10
    world.settle(world.order([-(DEPOSIT - 3), DEPOSIT - 3]))
    assert free() == 0
    world.evm.pass_time(NOTICE_S)
    outcome = world.send(a, world.house.withdraw(world.usd))
    assert int.from_bytes(outcome.output, "big") == 3
    assert world.balance(a) == 0
    assert free() == 0


def test_everything_can_be_asked_for(world: World):
    """C10: the largest amount means all there is; with nothing left the request just ends."""
    a = world.members[0]
    world.send(a, world.house.request_withdrawal(world.usd, MAX))
    assert world.house.free_balance(world.usd, a.address).ask(world.evm) == 0
    world.settle(world.order([-DEPOSIT, DEPOSIT]))
    world.evm.pass_time(NOTICE_S)
    told = world.told(world.send(a, world.house.withdraw(world.usd)))
    assert told == [events.Withdrawn(token=world.usd, member=a.address, amount=0, balance=0)]
    world.send(world.members[1], world.house.request_withdrawal(world.usd, MAX))
    world.evm.pass_time(NOTICE_S)
    world.send(world.members[1], world.house.withdraw(world.usd))
    assert world.balances()[:2] == [0, 0]


def test_nothing_stops_an_exit(world: World):
    """C11: pause, rulebook, settler, membership, another's freeze: a withdrawal goes on."""
    a, b = world.members[:2]
    world.send(a, world.house.request_withdrawal(world.usd, MAX))
    for call in (
        world.house.set_settle_paused(paused=True),
        world.house.set_rulebook(bytes(32)),
        world.house.set_settler(ZERO),
        world.house.set_member(world.usd, a.address, registered=False),
        world.token.freeze(b.address),
        world.token.freeze(world.rewards.address),
    ):
        world.send(world.owner, call)
    world.evm.pass_time(NOTICE_S)
    world.send(a, world.house.withdraw(world.usd))
    assert world.tokens(a.address) == 2 * DEPOSIT


def test_a_frozen_member_stops_itself_only(world: World):
    """C11: its request stays until it is free again."""
    a, b = world.members[:2]
    world.send(a, world.house.request_withdrawal(world.usd, 5))
    world.send(b, world.house.request_withdrawal(world.usd, 5))
    world.send(world.owner, world.token.freeze(a.address))
    world.evm.pass_time(NOTICE_S)
    with refused("token: frozen"):
        world.send(a, world.house.withdraw(world.usd))
    world.send(b, world.house.withdraw(world.usd))
    world.send(world.owner, world.token.unfreeze(a.address))
    world.send(a, world.house.withdraw(world.usd))
    assert world.balances()[:2] == [DEPOSIT - 5] * 2


def test_members_come_and_go(world: World):
    stranger = world.stranger.address
    told = world.told(
        world.send(world.owner, world.house.set_member(world.usd, stranger, registered=True))
    )
    assert told == [events.MemberSet(token=world.usd, member=stranger, registered=True)]
    assert world.house.is_member(world.usd, stranger).ask(world.evm)
    told = world.told(
        world.send(world.owner, world.house.set_member(world.usd, stranger, registered=False))
    )
    assert told == [events.MemberSet(token=world.usd, member=stranger, registered=False)]
    assert not world.house.is_member(world.usd, stranger).ask(world.evm)
    for bad in (ZERO, world.house.address):
        with refused("member: bad address"):
            world.send(world.owner, world.house.set_member(world.usd, bad, registered=True))


def test_settler_changes(world: World):
    new = world.stranger
    told = world.told(world.send(world.owner, world.house.set_settler(new.address)))
    assert told == [events.SettlerSet(settler=new.address)]
    order = world.order([-5, 5])
    with refused("settle: not settler"):
        world.settle(order)
    world.send(new, world.house.settle(world.usd, order))
    for edge in (Address("0x" + "ff" * 20), Address("0x80" + "00" * 19)):
        world.send(world.owner, world.house.set_settler(edge))
        assert world.house.settler().ask(world.evm) == edge


def test_distributor_is_set_once_and_must_fit(world: World):
    owner = world.owner.address
    with refused("distributor: already set"):
        world.send(world.owner, world.house.set_distributor(world.rewards.address))
    house = _bare(world)
    with refused("distributor: other clearing house"):
        world.send(world.owner, house.set_distributor(world.rewards.address))
    with refused(None):
        world.send(world.owner, house.set_distributor(key("nobody").address))
    right = world.evm.deploy(
        owner,
        RewardDistributor.deployment(
            clearing_house=house.address, owner=owner, guardian=owner, delay_s=0
        ),
    )
    outcome = world.send(world.owner, house.set_distributor(right))
    assert [house.event(log) for log in outcome.logs] == [events.DistributorSet(distributor=right)]
    assert house.distributor().ask(world.evm) == right


def _bare(world: World, **changes) -> ClearingHouse:
    terms = {
        "owner": world.owner.address,
        "settler": world.settler.address,
        "rulebook_hash": RULEBOOK,
        "terms": TERMS,
    } | changes
    return ClearingHouse(world.evm.deploy(world.owner.address, ClearingHouse.deployment(**terms)))


def test_a_new_house_knows_its_terms(world: World):
    house = _bare(world)
    assert house.owner().ask(world.evm) == world.owner.address
    assert house.settler().ask(world.evm) == world.settler.address
    assert house.notice_s().ask(world.evm) == TERMS.notice_s
    assert house.mandate_interval_s().ask(world.evm) == TERMS.mandate_interval_s
    assert house.bond_ppm().ask(world.evm) == TERMS.bond_ppm
    assert house.arbitration_s().ask(world.evm) == TERMS.arbitration_s
    assert house.rulebook_hash().ask(world.evm) == RULEBOOK
    assert house.rulebook_epoch().ask(world.evm) == 1
    assert not house.settle_paused().ask(world.evm)
    assert not house.is_listed(world.usd).ask(world.evm)
    world.send(world.owner, house.list_token(world.usd))
    assert house.is_listed(world.usd).ask(world.evm)
    for nobody in (house.distributor(), house.arbiter()):
        assert nobody.ask(world.evm) == ZERO
    with refused("owner: zero"):
        _bare(world, owner=ZERO)


def test_the_record_begins_with_the_house(world: World):
    """C13: first owner, settler and rulebook are told as later ones are."""
    owner, settler = world.owner.address, world.settler.address
    terms = {"owner": owner, "settler": settler, "rulebook_hash": RULEBOOK, "terms": TERMS}
    call = ClearingHouse.deployment(**terms)
    address, ran = world.evm.env.deploy(sender=owner, bytecode=call.data)
    house = ClearingHouse(Address(str(address).lower()))
    assert [house.event(log) for log in logs_of(ran)] == [
        events.OwnershipTransferred(previous_owner=ZERO, new_owner=owner),
        events.SettlerSet(settler=settler),
        events.RulebookSet(rulebook_hash=RULEBOOK, epoch=1),
    ]


@pytest.mark.parametrize(
    ("term", "most", "reason"),
    [
        ("notice_s", 90 * 86_400, "terms: too long"),
        ("mandate_interval_s", 30 * 86_400, "terms: too long"),
        ("arbitration_s", 90 * 86_400, "terms: too long"),
        ("bond_ppm", 1_000_000, "terms: bond"),
    ],
)
def test_terms_have_an_end(world: World, term: str, most: int, reason: str):
    """C11: nothing that holds money back can be set to take for ever."""
    _bare(world, terms=replace(TERMS, **{term: most}))
    with refused(reason):
        _bare(world, terms=replace(TERMS, **{term: most + 1}))


def test_tokens_are_listed_once_and_for_good(world: World):
    euro = _bare_token(world)
    with refused("token: not contract"):
        world.send(world.owner, world.house.list_token(key("nobody").address))
    for beyond in (SEQUENCE_MAX // 2, SEQUENCE_MAX // 2 + 1, MAX):
        with refused("token: sequence"):
            world.send(world.owner, world.house.list_token(euro, last_sequence=beyond))
    call = world.house.list_token(euro, last_sequence=SEQUENCE_MAX // 2 - 1)
    told = world.told(world.send(world.owner, call))
    assert told == [events.TokenListed(token=euro, last_sequence=SEQUENCE_MAX // 2 - 1)]
    assert world.house.is_listed(euro).ask(world.evm)
    with refused("token: already listed"):
        world.send(world.owner, world.house.list_token(euro))


def test_nothing_goes_in_an_unlisted_token(world: World):
    euro, member = _bare_token(world), world.members[0]
    with refused("token: not listed"):
        world.send(world.owner, world.house.set_member(euro, member.address, registered=True))
    with refused("deposit: not member"):
        world.send(member, world.house.deposit(euro, member.address, 1))
    with refused("token: not listed"):
        world.send(world.settler, world.house.settle(euro, world.order([])))


def test_each_token_is_an_account_of_its_own(world: World):
    """C1, C2: balances, mandates, notices, sequences and totals of two tokens never meet."""
    a, b = world.members[:2]
    euro = world.coin("EURt")
    for member in (a, b):
        call = world.house.set_member(euro.address, member.address, registered=True)
        world.send(world.owner, call)
        world.send(world.owner, euro.mint(member.address, 50))
        world.send(member, euro.approve(world.house.address, MAX))
        world.send(member, world.house.deposit(euro.address, member.address, 50))
    assert world.balances() == [DEPOSIT] * 4
    assert world.house.total_of(euro.address).ask(world.evm) == 100
    world.mandate(a, 5)
    order = world.order([-5, 5], token=euro.address, signed=False)
    with refused("mandate: expired"):
        world.send(world.settler, world.house.settle(euro.address, order))
    world.send(a, world.house.set_mandate(euro.address, 5, FAR_S))
    world.send(world.settler, world.house.settle(euro.address, order))
    assert world.house.balance_of(euro.address, a.address).ask(world.evm) == 45
    assert world.balances() == [DEPOSIT] * 4
    assert world.house.last_sequence(world.usd).ask(world.evm) == 0
    world.settle(world.order([-5, 5], signed=False, cycle_id=b"\x0d" * 32))
    world.send(a, world.house.request_withdrawal(euro.address, MAX))
    world.evm.pass_time(NOTICE_S)
    with refused("withdrawal: not requested"):
        world.send(a, world.house.withdraw(world.usd))
    world.send(a, world.house.withdraw(euro.address))
    assert euro.balance_of(a.address).ask(world.evm) == 45
    assert world.house.total_of(world.usd).ask(world.evm) == 4 * DEPOSIT


def test_the_gate_keeps_its_parts_apart(world: World):
    """Settler, epoch and pause share a word: each changes alone."""
    house, other = world.house, world.stranger.address
    world.send(world.owner, house.set_settle_paused(paused=True))
    world.send(world.owner, house.set_rulebook(bytes(32)))
    world.send(world.owner, house.set_settler(other))
    assert house.settler().ask(world.evm) == other
    assert house.rulebook_epoch().ask(world.evm) == 2
    for paused in (True, True, False, False):
        world.send(world.owner, house.set_settle_paused(paused=paused))
        assert house.settle_paused().ask(world.evm) == paused
        assert house.settler().ask(world.evm) == other
        assert house.rulebook_epoch().ask(world.evm) == 2


def test_who_is_short_is_named(world: World):
    """The first payer in the rows' order whose balance does not reach; nobody else is judged."""
    house, members = world.house, world.members

    def short(*amounts: int) -> str:
        return house.short_of(world.usd, world.order(amounts, signed=False).nets).ask(world.evm)

    assert short() == ZERO
    assert short(-DEPOSIT, 2 * DEPOSIT, -DEPOSIT) == ZERO
    assert short(2 * DEPOSIT + 1, -DEPOSIT - 1, -DEPOSIT) == members[1].address
    assert short(-DEPOSIT, -DEPOSIT - 1, -DEPOSIT - 2) == members[1].address
    assert short(-(1 << 95), (1 << 95) - 1, 1) == members[0].address


def _bare_token(world: World) -> Address:
    owner = world.owner.address
    terms = StableToken.deployment(name="Euro", symbol="EURt", version="1", owner=owner)
    return world.evm.deploy(owner, terms)


@pytest.mark.parametrize("name", ["token", "house"])
def test_ownership_takes_two_steps(world: World, name: str):
    """C14, T10: offered, taken back, offered again, accepted; the former owner is out."""
    contract, new = getattr(world, name), world.stranger
    offer = contract.transfer_ownership(new.address)
    told = world.told(world.send(world.owner, offer))
    expected = {"previous_owner": world.owner.address, "new_owner": new.address}
    assert told == [events.OwnershipTransferStarted(**expected)]
    assert contract.owner().ask(world.evm) == world.owner.address
    world.send(world.owner, contract.transfer_ownership(ZERO))
    with refused("owner: not offered"):
        world.send(new, contract.accept_ownership())
    world.send(world.owner, offer)
    assert world.told(world.send(new, contract.accept_ownership())) == [
        events.OwnershipTransferred(**expected)
    ]
    assert contract.owner().ask(world.evm) == new.address
    with refused("owner: not offered"):
        world.send(new, contract.accept_ownership())
    with refused("owner: not caller"):
        world.send(world.owner, offer)
