"""The doubles: each speaks as its contract does, and serves those that ask it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from contract_evm import Evm, key
from contract_world import World

from opencarrier.chain import abi
from opencarrier.chain.contracts import RewardDistributor, StableToken
from opencarrier.chain.model import Call
from opencarrier.kernel.signatures import Address

ROOT = Path(__file__).parents[2]
MOCKS = sorted(path.stem.removesuffix("Mock") for path in (ROOT / "contracts/mocks").glob("*.vy"))
NAMED = {"DepositCollector": "Erc3009DepositCollector"}
"""A collector of any kind has one double."""

CYCLE, TREE = b"\x01" * 32, b"\x02" * 32


@cache
def compiled(name: str) -> abi.Artefact:
    from vyper.compiler import compile_code

    text = (ROOT / "contracts" / "mocks" / f"{name}Mock.vy").read_text()
    built = compile_code(text, output_formats=["bytecode", "abi"])
    return abi.Artefact(
        name=name,
        compiler="",
        bytecode=bytes.fromhex(built["bytecode"].removeprefix("0x")),
        runtime_length=0,
        runtime_keccak=bytes(32),
        immutables=(),
        entries=tuple(built["abi"]),
    )


def deploy(evm: Evm, name: str, *arguments) -> Address:
    data = compiled(name).bytecode + b"".join(abi.encode(["address"], [a]) for a in arguments)
    return evm.deploy(key("owner").address, Call(to=None, data=data))


def call(name: str, address: Address, function: str, *arguments) -> Call:
    return Call(to=address, data=compiled(name).call_data(function, *arguments))


def asked(evm: Evm, name: str, address: Address, function: str, *arguments):
    output = evm.call(call(name, address, function, *arguments))
    return compiled(name).read_result(function, output)[0]


def test_every_contract_has_a_double():
    sources = {path.stem for path in (ROOT / "contracts").glob("*.vy")}
    assert {NAMED.get(name, name) for name in MOCKS} == sources


@pytest.mark.parametrize("name", MOCKS)
def test_a_double_speaks_as_its_contract(name):
    """What both have is called, answered and declared alike; and there is something they share."""
    theirs, ours = abi.load(NAMED.get(name, name)).functions, compiled(name).functions
    shared = set(theirs) & set(ours)
    for function in shared:
        for part in ("inputs", "outputs"):
            kinds = [[value["type"] for value in side[function][part]] for side in (theirs, ours)]
            assert kinds[0] == kinds[1], function
    assert shared or name == "BatchChannels"


def test_a_distributor_serves_a_double_of_the_house(world: World):
    """R3, R6: what another house funds is published, whatever else that house is."""
    evm, token = world.evm, world.token
    house = deploy(evm, "ClearingHouse")
    data = RewardDistributor.deployment(
        clearing_house=house,
        owner=world.owner.address,
        guardian=world.owner.address,
        delay_s=0,
    )
    pool = RewardDistributor(evm.deploy(world.owner.address, data))
    world.send(world.owner, pool.set_cap(token.address, 9))
    world.send(world.owner, token.mint(house, 9))
    fund = call("ClearingHouse", house, "fund", pool.address, token.address, CYCLE, TREE, 9)
    world.send(world.owner, fund)
    assert pool.funded(token.address).ask(evm) == 9


def test_a_house_funds_a_double_of_the_distributor(world: World):
    """C12: money and root arrive together, at whatever listens to the house."""
    evm, token = world.evm, world.token.address
    pool = deploy(evm, "RewardDistributor", world.house.address)
    call_data = call("RewardDistributor", pool, "publish", token, CYCLE, TREE, 5)
    evm.send(world.stranger.address, call_data)
    assert asked(evm, "RewardDistributor", pool, "root") == TREE
    assert asked(evm, "RewardDistributor", pool, "funded", token) == 5
    assert asked(evm, "RewardDistributor", pool, "clearing_house") == world.house.address


def test_a_double_of_the_token_moves_anything(world: World):
    evm, stranger = world.evm, world.stranger.address
    token = StableToken(deploy(evm, "StableToken"))
    evm.send(stranger, token.mint(stranger, 5))
    evm.send(world.owner.address, token.transfer_from(stranger, token.address, 2))
    assert token.balance_of(stranger).ask(evm) == 3
    assert token.total_supply().ask(evm) == 5
