"""The Python side of the contracts: artefacts, typed data, logs, recognition of code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from contract_evm import FAR_S, NOTICE_S, RULEBOOK, TERMS, ZERO, Log, key
from contract_world import World
from eth_account.messages import _hash_eip191_message, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.chain import abi, events, typed_data
from opencarrier.chain.contracts import (
    BatchChannels,
    ClearingHouse,
    Erc3009DepositCollector,
    NodeRegistry,
    RewardDistributor,
    StableToken,
    StakeDiscount,
    canonical_nets,
)
from opencarrier.chain.typed_data import Authorization, SigningDomain
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine import ids
from opencarrier.spine.money import Net

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = (StableToken, ClearingHouse, RewardDistributor, NodeRegistry, StakeDiscount)
"""Those that say in words why they revert; the twins of x402's contracts have errors by name."""

ALL = (*CONTRACTS, BatchChannels, Erc3009DepositCollector)

words = st.binary(min_size=32, max_size=32)
uints = st.integers(0, 2**256 - 1)
addresses = st.binary(min_size=20, max_size=20).map(lambda octets: "0x" + octets.hex())
domains = st.builds(
    SigningDomain,
    name=st.text(max_size=32),
    version=st.text(max_size=8),
    chain_id=uints,
    contract=addresses,
)

DOMAIN_TYPE = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]


def reference_digest(domain: SigningDomain, name: str, members: str, message: dict) -> bytes:
    """What eth-account signs for the same typed data."""
    parts = [part.split() for part in members.split(",")]
    message = dict(zip([n for _, n in parts], message, strict=True))
    encoded = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": DOMAIN_TYPE,
                name: [{"name": n, "type": t} for t, n in parts],
            },
            "primaryType": name,
            "domain": {
                "name": domain.name,
                "version": domain.version,
                "chainId": domain.chain_id,
                "verifyingContract": domain.contract,
            },
            "message": message,
        }
    )
    return bytes(_hash_eip191_message(encoded))


@given(domains, words, words, addresses, addresses, uints)
def test_debit_digest(domain, settlement, rulebook, token, member, amount):
    """The digest by hand equals a general encoder's."""
    digest = typed_data.debit_digest(
        domain,
        settlement_id=settlement,
        rulebook_hash=rulebook,
        token=token,
        member=member,
        amount_minor=amount,
    )
    members = (
        "bytes32 settlement_id,bytes32 rulebook_hash,address token,address member,uint256 amount"
    )
    assert digest == reference_digest(
        domain, "Debit", members, (settlement, rulebook, token, member, amount)
    )


@given(domains, addresses, addresses, uints, uints, words, uints)
def test_mandate_digest(domain, token, member, cap, until, rulebook, nonce):
    digest = typed_data.mandate_digest(
        domain,
        token=token,
        member=member,
        cap_per_cycle_minor=cap,
        valid_until_s=until,
        rulebook_hash=rulebook,
        nonce=nonce,
    )
    members = (
        "address token,address member,uint256 cap_per_cycle,uint256 valid_until,"
        "bytes32 rulebook_hash,uint256 nonce"
    )
    values = (token, member, cap, until, rulebook, nonce)
    assert digest == reference_digest(domain, "Mandate", members, values)


@given(domains, addresses, addresses, uints, uints, uints)
def test_permit_digest(domain, owner, spender, amount, nonce, deadline):
    digest = typed_data.permit_digest(
        domain,
        owner=owner,
        spender=spender,
        amount_minor=amount,
        nonce=nonce,
        deadline_s=deadline,
    )
    members = "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline"
    values = (owner, spender, amount, nonce, deadline)
    assert digest == reference_digest(domain, "Permit", members, values)


@given(domains, addresses, addresses, uints, uints, uints, words)
def test_authorization_digests(domain, sender, receiver, amount, after, before, nonce):
    granted = Authorization(
        sender=sender,
        receiver=receiver,
        amount_minor=amount,
        valid_after_s=after,
        valid_before_s=before,
        nonce=nonce,
    )
    members = (
        "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
    )
    values = (sender, receiver, amount, after, before, nonce)
    assert typed_data.transfer_digest(domain, granted) == reference_digest(
        domain, "TransferWithAuthorization", members, values
    )
    assert typed_data.receive_digest(domain, granted) == reference_digest(
        domain, "ReceiveWithAuthorization", members, values
    )
    assert typed_data.cancel_digest(domain, authorizer=sender, nonce=nonce) == reference_digest(
        domain, "CancelAuthorization", "address authorizer,bytes32 nonce", (sender, nonce)
    )


@given(domains, addresses, uints, uints, uints, uints, words)
def test_stake_digest(domain, account, amount, lock_s, nonce, deadline, salt):
    digest = typed_data.stake_digest(
        domain,
        account=account,
        amount_minor=amount,
        lock_s=lock_s,
        nonce=nonce,
        deadline_s=deadline,
    )
    members = "address account,uint256 amount,uint256 lock_s,uint256 nonce,uint256 deadline"
    values = (account, amount, lock_s, nonce, deadline)
    assert digest == reference_digest(domain, "Stake", members, values)
    encoded = keccak(abi.encode(["uint256", "bytes32"], [lock_s, salt]))
    assert typed_data.stake_authorization_nonce(lock_s, salt) == encoded


def test_x402_selectors():
    """The selectors other people's software calls a token by."""
    artefact = StableToken.artefact()
    assert artefact.selector("receiveWithAuthorization").hex() == "88b7ab63"
    assert artefact.selector("transferWithAuthorization").hex() == "cf092995"
    split = "(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
    assert artefact.selector("receiveWithAuthorization" + split).hex() == "ef55bec6"
    assert artefact.selector("transferWithAuthorization" + split).hex() == "e3ee160e"
    cancel = "cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)"
    assert artefact.selector(cancel).hex() == "5a049a70"
    assert artefact.selector("permit").hex() == "d505accf"
    assert artefact.selector("transferFrom").hex() == "23b872dd"
    assert artefact.selector("eip712Domain").hex() == "84b0196e"


def test_a_call_with_data_after_it_is_taken(world: World):
    """Callers may append a mark to the call data; the contract must not mind."""
    call = world.token.transfer(world.stranger.address, 1)
    world.send(world.members[0], replace(call, data=call.data + b"mark" * 9))
    assert world.tokens(world.stranger.address) == 1


@given(
    st.lists(st.tuples(addresses, st.integers(-(2**95), 2**95 - 1)), max_size=5),
    addresses,
    words,
    words,
    st.integers(0, 255),
    words,
    uints,
)
def test_settlement_id_is_the_abis(rows, token, cycle, root, mode, rewards_root, rewards):
    """The id by hand equals the contract's formula through a general ABI encoder."""
    nets = [Net(address=address, amount_minor=amount) for address, amount in rows]
    identifier = ids.settlement_id(
        cycle,
        token=token,
        records_root=root,
        netting_mode=mode,
        nets=nets,
        rewards_root=rewards_root,
        rewards_minor=rewards,
    )
    packed = [abi.encode(["int96"], [amount])[-12:] for _, amount in rows]
    words_of_rows = [
        int(address, 16) << 96 | int.from_bytes(octets, "big")
        for (address, _), octets in zip(rows, packed, strict=True)
    ]
    hashed = keccak(abi.encode(["uint256[]"], [words_of_rows]))
    types = ["bytes32", "address", "bytes32", "bytes32", "uint8", "bytes32", "bytes32", "uint256"]
    values = [ids.SETTLEMENT_TYPEHASH, token, cycle, root, mode, hashed, rewards_root, rewards]
    assert identifier == keccak(abi.encode(types, values))


def test_the_sources_say_the_same_types():
    """The type strings of the Vyper sources are those of the Python side."""
    hashes = {
        keccak(text.encode())
        for name in (
            "BatchChannels",
            "ClearingHouse",
            "NodeRegistry",
            "StableToken",
            "StakeDiscount",
            "modules/eip712",
        )
        for text in re.findall(
            r'"(\w+\(\w[^"]* [^"]*\))"', (ROOT / f"contracts/{name}.vy").read_text()
        )
    }
    assert hashes == {
        ids.SETTLEMENT_TYPEHASH,
        *(v for k, v in vars(typed_data).items() if k.endswith("_TYPE_HASH")),
    }


def test_canonical_nets():
    """Summed by address, ascending, none zero."""
    a, b, c = ("0x" + digit * 40 for digit in "abc")
    given_nets = [(b, 5), (a, -3), (c, 7), (b, -5), (a, -1), (c, 1)]
    assert canonical_nets(Net(address=x, amount_minor=y) for x, y in given_nets) == (
        Net(address=a, amount_minor=-4),
        Net(address=c, amount_minor=8),
    )


def test_orders_beyond_the_contract_are_our_mistake(world: World):
    order = world.order([])
    too_many = tuple(
        Net(address="0x" + i.to_bytes(20, "big").hex(), amount_minor=(-1) ** i)
        for i in range(1, 403)
    )
    crowded = replace(order, nets=too_many, debit_signatures=(None,) * 201)
    with pytest.raises(AssertionError):
        world.house.settle(world.usd, crowded)
    zero = replace(order, nets=(Net(address=world.members[0].address, amount_minor=0),))
    with pytest.raises(AssertionError):
        world.house.settle(world.usd, zero)
    with pytest.raises(AssertionError):
        world.rewards.claim(world.stranger.address, ZERO, 1, [bytes(32)] * 41)


def test_every_event_has_its_class():
    """Each event of each ABI is one of ours with the same fields, and none is left over."""
    for contract in ALL:
        told = {entry["name"]: entry for entry in contract.artefact().events.values()}
        assert set(told) == set(contract.EVENTS)
        for name, cls in contract.EVENTS.items():
            inputs = [re.sub("(?=[A-Z])", "_", i["name"]).lower() for i in told[name]["inputs"]]
            assert [f.name for f in fields(cls)] == inputs


def test_topics_for_a_log_filter():
    transfer = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    approval = "8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925"
    found = StableToken.topics(events.Transfer, events.Approval)
    assert [topic.hex() for topic in found] == [transfer, approval]


def test_foreign_and_broken_logs(world: World):
    """Another contract's or an unknown event is None; one out of form is the peer's mistake."""
    good = world.send(world.members[0], world.token.transfer(world.stranger.address, 5)).logs[0]
    assert world.house.event(good) is None
    assert world.token.event(replace(good, topics=())) is None
    assert world.token.event(replace(good, topics=(bytes(32),))) is None
    broken = [
        replace(good, data=good.data[:-1]),
        replace(good, data=b""),
        replace(good, topics=good.topics[:2]),
        replace(good, topics=(*good.topics, bytes(32))),
        replace(good, topics=(good.topics[0], b"\xff" * 32, good.topics[2])),
    ]
    for log in broken:
        with pytest.raises(PeerError):
            world.token.event(log)


@given(
    st.sampled_from([e for c in ALL for e in c.artefact().events.items()]),
    st.lists(words, max_size=3),
    st.binary(max_size=400),
)
def test_any_log_parses_or_is_the_peers_mistake(event, topics, data):
    """Fuzz: an event or `PeerError`, nothing else."""
    topic, entry = event
    for contract in ALL:
        if topic in contract.artefact().events:
            here = contract("0x" + "01" * 20)
            log = Log(here.address, (topic, *topics), data)
            try:
                found = here.event(log)
            except PeerError:
                continue
            assert type(found) is here.EVENTS[entry["name"]]


def test_deployed_code_is_recognised(world: World):
    """The part before the immutables by its hash, the immutables by value; nothing else passes."""
    code = world.evm.code(world.house.address)
    found = world.house.check_code(code)
    assert found["collateral.notice_s"] == NOTICE_S
    assert found["mandate_interval_s"] == TERMS.mandate_interval_s
    assert found["eip712.FIRST_ADDRESS"] == world.house.address
    assert found["eip712.FIRST_SEPARATOR"] == world.domain.separator
    assert found["eip712.NAME"] == typed_data.CLEARING_HOUSE_NAME
    assert world.token.check_code(world.evm.code(world.token.address))["symbol"] == "USDt"
    assert world.rewards.check_code(world.evm.code(world.rewards.address)) == {
        "clearing_house": world.house.address,
        "delay_s": 0,
    }
    length = ClearingHouse.artefact().runtime_length
    flipped = code[:99] + bytes((code[99] ^ 1,)) + code[100:]
    overlong = code[:length] + b"\xff" * 32 + code[length + 32 :]
    for bad in (b"", flipped, code[:-1], code + b"\x00", overlong):
        with pytest.raises(PeerError, match="other_code"):
            world.house.check_code(bad)
    with pytest.raises(PeerError, match="other_code"):
        world.token.check_code(code)


def test_signing_domain_of_a_token(world: World):
    """EIP-5267 answers are read strictly."""
    domain = world.token.signing_domain().ask(world.evm)
    assert domain == SigningDomain(
        name="Test Dollar",
        version="1",
        chain_id=world.evm.chain_id,
        contract=world.token.address,
    )
    answer = world.evm.call(world.token.signing_domain().call)
    with pytest.raises(PeerError, match="eip712_domain"):
        world.token.signing_domain().read(b"\x1f" + answer[1:])
    with pytest.raises(PeerError, match="abi"):
        world.token.signing_domain().read(answer[:64])


def test_the_house_publishes_its_domain(world: World):
    artefact = ClearingHouse.artefact()
    call = replace(world.house.owner().call, data=artefact.call_data("eip712Domain"))
    used, name, version, chain_id, contract, salt, extensions = artefact.read_result(
        "eip712Domain", world.evm.call(call)
    )
    assert (used, salt, extensions) == (b"\x0f", bytes(32), ())
    assert (
        SigningDomain(name=name, version=version, chain_id=chain_id, contract=contract)
        == world.domain
    )


def test_reverts_are_documented():
    """Each revert string of a source stands in its specification, and the other way round."""
    for contract in CONTRACTS:
        source = (ROOT / f"contracts/{contract.NAME}.vy").read_text()
        for module in re.findall(r"^from .modules import (\w+)$", source, re.M):
            source += (ROOT / f"contracts/modules/{module}.vy").read_text()
        said = set(re.findall(r'"([a-z0-9]+: [a-z ]+)"', source))
        text = (ROOT / f"contracts/{contract.NAME}.md").read_text()
        listing = text[text.index("Reverts: ") :].removeprefix("Reverts: ")
        told = set()
        for group in re.findall(r"`([a-z0-9]+: [^`]+)`", listing):
            subject, _, reasons = group.partition(": ")
            told |= {f"{subject}: {reason.strip()}" for reason in reasons.split("|")}
        told.discard("publish: ...")
        assert said == told, contract.NAME
        assert all(len(reason) <= 40 for reason in said)


def test_bindings_import_nothing_heavy():
    """Start-up: neither web3 nor an ABI codec nor a compiler before the first call."""
    code = (
        "import sys; import opencarrier.chain.contracts; "
        "print(sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(ran.stdout))
    assert not loaded & {"web3", "eth_abi", "eth_utils", "eth", "vyper", "boa", "eth_account"}


def test_a_signature_of_a_mandate_is_taken(world: World):
    """The bindings' own path: domain, digest, signature, call."""
    member = world.members[0]
    digest = typed_data.mandate_digest(
        world.house.signing_domain(world.evm.chain_id),
        token=world.usd,
        member=member.address,
        cap_per_cycle_minor=9,
        valid_until_s=FAR_S,
        rulebook_hash=RULEBOOK,
        nonce=0,
    )
    call = world.house.set_mandate_by_signature(
        world.usd,
        member=member.address,
        cap_per_cycle=9,
        valid_until=FAR_S,
        signature=member.sign(digest).octets,
    )
    world.send(key("relayer"), call)
    assert world.house.mandate_of(world.usd, member.address).ask(world.evm).cap_per_cycle == 9
