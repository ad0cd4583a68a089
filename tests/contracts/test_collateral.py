"""ClearingHouse deposits, withdrawals and administration: invariants C1, C2, C10, C11, C14."""

from __future__ import annotations

import pytest
from contract_evm import GENESIS_S, MAX, NOTICE_S, RULEBOOK, ZERO, key, refused
from contract_world import DEPOSIT, World

from opencarrier.chain import events
from opencarrier.chain.contracts import ClearingHouse, RewardDistributor, Withdrawal

NONE = Withdrawal(amount=0, ready_at=0)


def test_deposit(world: World):
    """C1: balance and tokens grow together; anybody may pay in for a member."""
    a, b = world.members[:2]
    outcome = world.send(b, world.house.deposit(a.address, 7))
    assert world.told(outcome) == [
        events.Deposited(member=a.address, payer=b.address, amount=7, balance=DEPOSIT + 7),
        events.Transfer(sender=b.address, receiver=world.house.address, value=7),
    ]
    assert world.balance(a) == DEPOSIT + 7
    assert world.balance(b) == DEPOSIT
    assert world.tokens(b.address) == DEPOSIT - 7
    assert world.house.total_balance().ask(world.evm) == 4 * DEPOSIT + 7
    assert world.tokens(world.house.address) == 4 * DEPOSIT + 7


def test_deposit_refused(world: World):
    a, stranger = world.members[0], world.stranger
    with refused("deposit: not member"):
        world.send(a, world.house.deposit(stranger.address, 1))
    with refused("amount: zero"):
        world.send(a, world.house.deposit(a.address, 0))
    with refused("token: short allowance"):
        world.send(stranger, world.house.deposit(a.address, 1))
    with refused("token: short balance"):
        world.send(a, world.house.deposit(a.address, DEPOSIT + 1))
    with refused(None):
        world.send(a, world.house.deposit(a.address, MAX))
    world.send(world.owner, world.token.freeze(a.address))
    with refused("token: frozen"):
        world.send(a, world.house.deposit(a.address, 1))
    assert world.balances() == [DEPOSIT] * 4


def test_tokens_sent_by_mistake_are_nobodys_balance(world: World):
    """C1: at least, not exactly: a donation changes no balance and blocks nothing."""
    a = world.members[0]
    world.send(a, world.token.transfer(world.house.address, 9))
    assert world.balances() == [DEPOSIT] * 4
    world.settle(world.order([-5, 5]))


def test_withdrawal_after_notice(world: World):
    """C10: paid at the end of the notice, not a second before, once."""
    a = world.members[0]
    told = world.told(world.send(a, world.house.request_withdrawal(400)))
    ready = GENESIS_S + NOTICE_S
    assert told == [events.WithdrawalRequested(member=a.address, amount=400, ready_at=ready)]
    asked = Withdrawal(amount=400, ready_at=ready)
    assert world.house.withdrawal_of(a.address).ask(world.evm) == asked
    world.evm.pass_time(NOTICE_S - 1)
    with refused("withdrawal: notice"):
        world.send(a, world.house.withdraw())
    world.evm.pass_time(1)
    outcome = world.send(a, world.house.withdraw())
    assert int.from_bytes(outcome.output, "big") == 400
    assert world.told(outcome) == [
        events.Withdrawn(member=a.address, amount=400, balance=DEPOSIT - 400),
        events.Transfer(sender=world.house.address, receiver=a.address, value=400),
    ]
    assert world.tokens(a.address) == DEPOSIT + 400
    assert world.house.total_balance().ask(world.evm) == 4 * DEPOSIT - 400
    assert world.house.withdrawal_of(a.address).ask(world.evm) == NONE
    with refused("withdrawal: not requested"):
        world.send(a, world.house.withdraw())


def test_one_request_at_a_time(world: World):
    a = world.members[0]
    with refused("amount: zero"):
        world.send(a, world.house.request_withdrawal(0))
    for call in (world.house.withdraw(), world.house.cancel_withdrawal()):
        with refused("withdrawal: not requested"):
            world.send(a, call)
    world.send(a, world.house.request_withdrawal(1))
    with refused("withdrawal: already requested"):
        world.send(a, world.house.request_withdrawal(1))
    told = world.told(world.send(a, world.house.cancel_withdrawal()))
    assert told == [events.WithdrawalCancelled(member=a.address)]
    assert world.house.withdrawal_of(a.address).ask(world.evm) == NONE
    world.evm.pass_time(NOTICE_S)
    with refused("withdrawal: not requested"):
        world.send(a, world.house.withdraw())
    world.send(a, world.house.request_withdrawal(1))
    with refused("withdrawal: notice"):
        world.send(a, world.house.withdraw())


def test_notice_is_a_members_own(world: World):
    a, b = world.members[:2]
    world.send(a, world.house.request_withdrawal(400))
    world.evm.pass_time(NOTICE_S)
    with refused("withdrawal: not requested"):
        world.send(b, world.house.withdraw())


def test_requested_money_can_still_be_debited(world: World):
    """C10: it stays collateral for what is owed and backs no new credit."""
    a = world.members[0]

    def free() -> int:
        return world.house.free_balance(a.address).ask(world.evm)

    assert free() == DEPOSIT
    world.send(a, world.house.request_withdrawal(DEPOSIT - 10))
    assert free() == 10
    world.settle(world.order([-(DEPOSIT - 3), DEPOSIT - 3]))
    assert free() == 0
    world.evm.pass_time(NOTICE_S)
    outcome = world.send(a, world.house.withdraw())
    assert int.from_bytes(outcome.output, "big") == 3
    assert world.balance(a) == 0
    assert free() == 0


def test_everything_can_be_asked_for(world: World):
    """C10: the largest amount means all there is; with nothing left the request just ends."""
    a = world.members[0]
    world.send(a, world.house.request_withdrawal(MAX))
    assert world.house.free_balance(a.address).ask(world.evm) == 0
    world.settle(world.order([-DEPOSIT, DEPOSIT]))
    world.evm.pass_time(NOTICE_S)
    told = world.told(world.send(a, world.house.withdraw()))
    assert told == [events.Withdrawn(member=a.address, amount=0, balance=0)]
    world.send(world.members[1], world.house.request_withdrawal(MAX))
    world.evm.pass_time(NOTICE_S)
    world.send(world.members[1], world.house.withdraw())
    assert world.balances()[:2] == [0, 0]


def test_nothing_stops_an_exit(world: World):
    """C11: pause, rulebook, settler, membership, another's freeze: a withdrawal goes on."""
    a, b = world.members[:2]
    world.send(a, world.house.request_withdrawal(MAX))
    for call in (
        world.house.set_settle_paused(paused=True),
        world.house.set_rulebook(bytes(32)),
        world.house.set_settler(ZERO),
        world.house.set_member(a.address, registered=False),
        world.token.freeze(b.address),
        world.token.freeze(world.rewards.address),
    ):
        world.send(world.owner, call)
    world.evm.pass_time(NOTICE_S)
    world.send(a, world.house.withdraw())
    assert world.tokens(a.address) == 2 * DEPOSIT


def test_a_frozen_member_stops_itself_only(world: World):
    """C11: its request stays until it is free again."""
    a, b = world.members[:2]
    world.send(a, world.house.request_withdrawal(5))
    world.send(b, world.house.request_withdrawal(5))
    world.send(world.owner, world.token.freeze(a.address))
    world.evm.pass_time(NOTICE_S)
    with refused("token: frozen"):
        world.send(a, world.house.withdraw())
    world.send(b, world.house.withdraw())
    world.send(world.owner, world.token.unfreeze(a.address))
    world.send(a, world.house.withdraw())
    assert world.balances()[:2] == [DEPOSIT - 5] * 2


def test_members_come_and_go(world: World):
    stranger = world.stranger.address
    told = world.told(world.send(world.owner, world.house.set_member(stranger, registered=True)))
    assert told == [events.MemberSet(member=stranger, registered=True)]
    assert world.house.is_member(stranger).ask(world.evm)
    told = world.told(world.send(world.owner, world.house.set_member(stranger, registered=False)))
    assert told == [events.MemberSet(member=stranger, registered=False)]
    assert not world.house.is_member(stranger).ask(world.evm)
    for bad in (ZERO, world.house.address):
        with refused("member: bad address"):
            world.send(world.owner, world.house.set_member(bad, registered=True))


def test_settler_changes(world: World):
    new = world.stranger
    told = world.told(world.send(world.owner, world.house.set_settler(new.address)))
    assert told == [events.SettlerSet(settler=new.address)]
    order = world.order([-5, 5])
    with refused("settle: not settler"):
        world.settle(order)
    world.send(new, world.house.settle(order))


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
        "token": world.token.address,
        "owner": world.owner.address,
        "settler": world.settler.address,
        "notice_s": NOTICE_S,
        "rulebook_hash": RULEBOOK,
    } | changes
    return ClearingHouse(world.evm.deploy(world.owner.address, ClearingHouse.deployment(**terms)))


def test_a_new_house_knows_its_terms(world: World):
    house = _bare(world, notice_s=5, last_sequence=7)
    assert house.token().ask(world.evm) == world.token.address
    assert house.owner().ask(world.evm) == world.owner.address
    assert house.settler().ask(world.evm) == world.settler.address
    assert house.notice_s().ask(world.evm) == 5
    assert house.rulebook_hash().ask(world.evm) == RULEBOOK
    assert house.last_sequence().ask(world.evm) == 7
    assert house.distributor().ask(world.evm) == ZERO
    for changes, reason in (({"token": ZERO}, "address: zero"), ({"owner": ZERO}, "owner: zero")):
        with refused(reason):
            _bare(world, **changes)


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
