"""Every mutating function of the channels against every role (B10, E1): no owner, no right by
accident."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from channel_world import DELAY_S, DEPOSIT, ChannelWorld
from contract_evm import refused
from test_authority import Right

from opencarrier.chain.contracts import BatchChannels, Erc3009DepositCollector
from opencarrier.chain.model import Call
from opencarrier.kernel.signatures import Address

ROLES = (
    "payer",
    "payer_authorizer",
    "receiver",
    "receiver_authorizer",
    "token_owner",
    "collector",
    "channels",
    "stranger",
)
PAYER_SIDE = ("payer", "payer_authorizer")
RECEIVER_SIDE = ("receiver", "receiver_authorizer")


@dataclass(frozen=True)
class _Named:
    """A sender without a key: a contract."""

    address: Address


def _collect(world: ChannelWorld) -> Call:
    data = Erc3009DepositCollector.artefact().call_data(
        "collect", world.payer.address, world.token.address, 1, bytes(32), bytes(160)
    )
    return Call(to=world.collector.address, data=data)


def _claim_signed(world: ChannelWorld) -> Call:
    rows = [world.row(5)]
    return world.channels.claim_with_signature(rows, world.batch_signature(rows))


def _refund_signed(world: ChannelWorld) -> Call:
    signature = world.refund_signature(5, 0)
    return world.channels.refund_with_signature(world.config, 5, nonce=0, signature=signature)


def _settle(world: ChannelWorld) -> Call:
    return world.channels.settle(world.receiver.address, world.token.address)


RIGHTS: dict[str, Right] = {
    "deposit": Right(ROLES, lambda w: w.deposit_call(1, w.config)),
    "claim": Right(RECEIVER_SIDE, lambda w: w.channels.claim([w.row(5)]), "NotAuthorizedToClaim"),
    "claimWithSignature": Right(ROLES, _claim_signed),
    "settle": Right(ROLES, _settle),
    "initiateWithdraw": Right(
        PAYER_SIDE, lambda w: w.channels.initiate_withdraw(w.terms(salt=1), 5), "InvalidChannel"
    ),
    "finalizeWithdraw": Right(
        PAYER_SIDE,
        lambda w: w.channels.finalize_withdraw(w.config),
        "NotAuthorizedToFinalizeWithdraw",
    ),
    "refund": Right(
        RECEIVER_SIDE, lambda w: w.channels.refund(w.config, 5), "NotAuthorizedToRefund"
    ),
    "refundWithSignature": Right(ROLES, _refund_signed),
    "multicall": Right(ROLES, lambda w: w.channels.multicall([_settle(w)])),
}
"""A channel with an announced withdrawal whose delay has passed, and a second one without."""

BY_MULTICALL: dict[str, Callable[[ChannelWorld], Call]] = {
    name: right.call for name, right in RIGHTS.items() if right.roles != ROLES
}


def test_the_matrix_is_complete():
    """Every function that may change something has its row, those answered by default too."""
    mutating = {
        name
        for name, entry in BatchChannels.artefact().functions.items()
        if entry["stateMutability"] not in ("view", "pure")
    }
    assert mutating == set(RIGHTS)
    collector = Erc3009DepositCollector.artefact().functions
    assert {n for n, e in collector.items() if e["stateMutability"] != "view"} == {"collect"}


def test_no_function_takes_ether():
    for contract in (BatchChannels, Erc3009DepositCollector):
        entries = contract.artefact().entries
        assert all(entry.get("stateMutability") != "payable" for entry in entries)


@pytest.fixture
def cast(channel_world: ChannelWorld):
    world = channel_world
    for config in (world.config, world.terms(salt=1)):
        world.deposit(DEPOSIT, config)
    world.send(world.payer, world.channels.initiate_withdraw(world.config, 5))
    world.evm.pass_time(DELAY_S)
    return {
        "payer": world.payer,
        "payer_authorizer": world.payer_authorizer,
        "receiver": world.receiver,
        "receiver_authorizer": world.receiver_authorizer,
        "token_owner": world.owner,
        "collector": _Named(world.collector.address),
        "channels": _Named(world.channels.address),
        "stranger": world.relay,
    }


@pytest.mark.parametrize("function", RIGHTS)
def test_rights(channel_world: ChannelWorld, cast, function):
    world, row = channel_world, RIGHTS[function]
    for role in ROLES:
        call = row.call(world)
        with world.evm.anchor():
            if role in row.roles:
                world.send(cast[role], call)
                continue
            with refused(row.refusal):
                world.send(cast[role], call)


@pytest.mark.parametrize("function", BY_MULTICALL)
def test_rights_within_a_multicall(channel_world: ChannelWorld, cast, function):
    """The caller of the many is the caller of each: nobody borrows the contract's own address."""
    world, row = channel_world, RIGHTS[function]
    for role in ROLES:
        call = world.channels.multicall([row.call(world)])
        with world.evm.anchor():
            if role in row.roles:
                world.send(cast[role], call)
                continue
            with refused(row.refusal):
                world.send(cast[role], call)


def test_who_may_collect(channel_world: ChannelWorld, cast):
    """E1: to the channels alone the collector listens, as far as the token does."""
    world, call = channel_world, _collect(channel_world)
    for role in ROLES:
        refusal = "authorization: expired" if role == "channels" else "OnlyX402BatchSettlement"
        with refused(refusal):
            world.send(cast[role], call)
