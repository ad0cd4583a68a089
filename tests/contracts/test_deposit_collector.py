"""The collector of deposits by signature alone, with a double of the channels (E1 to E3)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from channel_world import ChannelWorld
from contract_evm import FAR_S, refused, vyper

from opencarrier.chain import abi, typed_data
from opencarrier.chain.contracts import Erc3009DepositCollector, collector_data
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

MOCK = Path(__file__).parents[2] / "contracts" / "mocks" / "BatchChannelsMock.vy"
ASK = ["address", "address", "address", "uint256", "bytes32", "bytes"]
CHANNEL = b"\x07" * 32
SALT = 2**256 - 1


@pytest.fixture
def asking(channel_world: ChannelWorld):
    """A collector of its own whose only caller is a double."""
    world = channel_world
    asker = vyper(MOCK.read_text(), sender=world.owner.address, evm=world.evm)
    deployed = world.evm.deploy(
        world.owner.address, Erc3009DepositCollector.deployment(channels=asker)
    )
    return world, asker, Erc3009DepositCollector(deployed)


def granted(world: ChannelWorld, collector: Erc3009DepositCollector, **changed) -> Authorization:
    authorization = Authorization(
        sender=world.payer.address,
        receiver=collector.address,
        amount_minor=50,
        valid_after_s=3,
        valid_before_s=FAR_S,
        nonce=typed_data.deposit_nonce(CHANNEL, SALT),
    )
    return replace(authorization, **changed)


def signed(world: ChannelWorld, authorization: Authorization, salt: int = SALT) -> bytes:
    domain = world.token.signing_domain().ask(world.evm)
    signature = world.payer.sign(typed_data.receive_digest(domain, authorization)).octets
    return collector_data(authorization, salt=salt, signature=signature)


def asked(
    world: ChannelWorld,
    asker: Address,
    collector: Erc3009DepositCollector,
    data: bytes,
    *,
    amount: int = 50,
    channel: bytes = CHANNEL,
):
    values = (
        collector.address,
        world.payer.address,
        world.token.address,
        amount,
        channel,
        data,
    )
    selector = keccak(f"ask({','.join(ASK)})".encode())[:4]
    return world.send(world.relay, Call(to=asker, data=selector + abi.encode(ASK, values)))


def test_what_is_collected_goes_on(asking):
    """E3: both times, the salt and the nonce are the signed ones; nothing stays."""
    world, asker, collector = asking
    before = world.tokens(world.payer.address)
    asked(world, asker, collector, signed(world, granted(world, collector)))
    assert world.tokens(world.payer.address) == before - 50
    assert world.tokens(asker) == 50
    assert world.tokens(collector.address) == 0
    nonce = typed_data.deposit_nonce(CHANNEL, SALT)
    assert world.token.authorization_used(world.payer.address, nonce).ask(world.evm)


def test_an_authorisation_serves_what_it_was_signed_for(asking):
    """E2: another channel, amount, salt or time is another signature."""
    world, asker, collector = asking
    good = granted(world, collector)
    with refused("authorization: bad signature"):
        asked(world, asker, collector, signed(world, good), channel=b"\x08" * 32)
    with refused("authorization: bad signature"):
        asked(world, asker, collector, signed(world, good), amount=51)
    with refused("authorization: bad signature"):
        asked(world, asker, collector, signed(world, good, salt=1))
    shifted = replace(good, valid_before_s=FAR_S - 1)
    data = signed(world, good)
    other = collector_data(shifted, salt=SALT, signature=data[160 : 160 + 65])
    with refused("authorization: bad signature"):
        asked(world, asker, collector, other)
    expired = granted(world, collector, valid_before_s=world.evm.now_s)
    with refused("authorization: expired"):
        asked(world, asker, collector, signed(world, expired))


def test_data_out_of_form(asking):
    world, asker, collector = asking
    data = signed(world, granted(world, collector))
    for bad in (b"", data[:96], data[:160], data[:-32]):
        with refused(None):
            asked(world, asker, collector, bad)


def test_what_cannot_go_on_is_not_taken(asking):
    """E3: a receiver frozen by the token undoes the whole, the authorisation included."""
    world, asker, collector = asking
    world.send(world.owner, world.token.freeze(asker))
    data = signed(world, granted(world, collector))
    with refused("token: frozen"):
        asked(world, asker, collector, data)
    world.send(world.owner, world.token.unfreeze(asker))
    asked(world, asker, collector, data)
    assert world.tokens(asker) == 50


def test_only_its_channels_ask(asking):
    """E1: another contract with the same call is refused."""
    world, _, collector = asking
    stranger = vyper(MOCK.read_text(), sender=world.owner.address, evm=world.evm)
    with refused("OnlyX402BatchSettlement"):
        asked(world, stranger, collector, signed(world, granted(world, collector)))
