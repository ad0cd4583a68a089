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
    token: Address | None = None,
):
    values = (
        collector.address,
        world.payer.address,
        token or world.token.address,
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


TRUSTING_TOKEN = """
# pragma version 0.4.3
# pragma evm-version cancun
length: public(uint256)
target: address
back: Bytes[4096]

@external
def ask(collector: address, data: Bytes[4096], twice: bool):
    if twice:
        self.target = collector
        self.back = data
    raw_call(collector, data)

@external
def receiveWithAuthorization(
    sender: address,
    receiver: address,
    amount: uint256,
    valid_after: uint256,
    valid_before: uint256,
    nonce: bytes32,
    signature: Bytes[2048],
):
    self.length = len(signature)

@external
def transfer(receiver: address, amount: uint256) -> bool:
    target: address = self.target
    if target != empty(address):
        self.target = empty(address)
        raw_call(target, self.back)
    return True
"""


@pytest.fixture
def trusting(asking) -> tuple[ChannelWorld, Address, Erc3009DepositCollector, Address]:
    """A collector and a token that takes any signature."""
    world, asker, collector = asking
    token = vyper(TRUSTING_TOKEN, sender=world.owner.address, evm=world.evm)
    return world, asker, collector, token


def test_the_bound_of_a_payers_signature(trusting):
    """The longest reaches the token whole, one octet more does not."""
    world, asker, collector, token = trusting
    asked(world, asker, collector, _data(world, collector, 1024), token=token)
    read = world.evm.call(Call(to=token, data=keccak(b"length()")[:4]))
    assert int.from_bytes(read, "big") == 1024
    with refused(None):
        asked(world, asker, collector, _data(world, collector, 1025), token=token)


def _data(world: ChannelWorld, collector: Erc3009DepositCollector, length: int) -> bytes:
    return collector_data(granted(world, collector), salt=SALT, signature=b"\x01" * length)


def test_a_token_cannot_collect_while_it_pays(trusting):
    """E3: even a token that is its own channels finds the lock within a collection."""
    world, _, _, token = trusting
    own = Erc3009DepositCollector.deployment(channels=token)
    collector = Erc3009DepositCollector(world.evm.deploy(world.owner.address, own))
    data = collector.artefact().call_data(
        "collect", world.payer.address, token, 50, CHANNEL, _data(world, collector, 65)
    )

    def ask(twice: bool) -> None:
        types = ["address", "bytes", "bool"]
        asking = abi.encode(types, (collector.address, data, twice))
        selector = keccak(f"ask({','.join(types)})".encode())[:4]
        world.send(world.relay, Call(to=token, data=selector + asking))

    ask(twice=False)
    with refused(None):
        ask(twice=True)


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


@pytest.mark.parametrize(("length", "reason"), [(2048, "OnlyX402BatchSettlement"), (2049, None)])
def test_the_bound_of_the_data(asking, length, reason):
    """E1: whoever asks is looked at first, but at nothing of what is too long to be a call."""
    world, _, collector = asking
    call_data = collector.artefact().call_data(
        "collect", world.payer.address, world.token.address, 1, CHANNEL, bytes(length)
    )
    with refused(reason):
        world.send(world.relay, Call(to=collector.address, data=call_data))
