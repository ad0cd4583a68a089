"""Spine ids: the published vectors, a foreign ABI encoder, and every field deciding."""

from hashlib import sha256
from typing import Any

import cbor2
import pytest
from eth_abi import encode as abi_encode
from eth_abi.packed import encode_packed
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st
from tests.vectors.reading import load, value_of

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.spine import ids
from opencarrier.spine.money import Kind, Net
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Counters, Rung, Status

A, B = Id(bytes(31) + b"\x01"), Id(bytes(31) + b"\x02")
P, Q = PartyId("op_p"), PartyId("op_q")
ONE = Counters(session_time_s=1, octets_in=2, octets_out=3)
TWO = Counters(session_time_s=1, octets_in=2, octets_out=4)
VECTORS = load("ids.json")

digests = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20).map(lambda octets: "0x" + octets.hex())
amounts = st.integers(-(1 << 95), (1 << 95) - 1)


@pytest.mark.parametrize("vector", VECTORS["derived"], ids=lambda vector: vector["tag"])
def test_derived_ids_from_the_file_alone(vector: dict[str, Any]) -> None:
    """What a third party computes from the published text, with another encoder."""
    fields = value_of(vector["fields"])
    hashed = cbor2.dumps([f"opencarrier/{vector['tag']}", *fields], canonical=True)
    assert "0x" + hashed.hex() == vector["hashed"]
    assert "0x" + sha256(hashed).hexdigest() == vector["id"]


def settlement_by_abi(fields: tuple[Any, ...], nets: list[tuple[str, int]]) -> bytes:
    token, cycle, root, mode, rewards_root, rewards = fields
    types = ["bytes32", "address", "bytes32", "bytes32", "uint8", "bytes32", "bytes32", "uint256"]
    typehash = keccak(
        text="Settlement(address token,bytes32 cycle_id,bytes32 records_root,uint8 netting_mode,"
        "bytes32 nets_hash,bytes32 rewards_root,uint256 rewards_amount)"
    )
    packed = [
        int.from_bytes(encode_packed(["address", "int96"], [address, amount]), "big")
        for address, amount in nets
    ]
    nets_hash = keccak(abi_encode(["uint256[]"], [packed]))
    words = [typehash, token, cycle, root, mode, nets_hash, rewards_root, rewards]
    return keccak(abi_encode(types, words))


def test_settlement_id_from_the_file_alone() -> None:
    vector = VECTORS["settlement"]
    names = ("cycle_id", "records_root", "netting_mode", "rewards_root", "rewards_amount")
    fields = tuple(
        bytes.fromhex(item[2:]) if isinstance(item, str) else item
        for item in (vector[name] for name in names)
    )
    fields = (vector["token"], *fields)
    nets = [(address, amount) for address, amount in vector["nets"]]
    assert "0x" + settlement_by_abi(fields, nets).hex() == vector["id"]


@given(
    addresses,
    digests,
    digests,
    st.integers(0, 255),
    st.lists(st.tuples(addresses, amounts), max_size=6),
    digests,
    st.integers(0, (1 << 256) - 1),
)
def test_settlement_id_agrees_with_eth_abi(
    token: str,
    cycle: bytes,
    root: bytes,
    mode: int,
    nets: list[tuple[str, int]],
    rewards_root: bytes,
    rewards: int,
) -> None:
    ours = ids.settlement_id(
        Id(cycle),
        token=Address(token),
        records_root=root,
        netting_mode=mode,
        nets=[Net(address=Address(address), amount_minor=amount) for address, amount in nets],
        rewards_root=rewards_root,
        rewards_minor=rewards,
    )
    assert ours == settlement_by_abi((token, cycle, root, mode, rewards_root, rewards), nets)


def test_every_field_decides_every_id() -> None:
    asset, other = AssetId("a/EUR"), AssetId("b/EUR")
    charge = {"inputs_hash": A, "rule_version": "v1", "amount_minor": 1}
    position = {"rung": Rung.CO_SIGNED, "pair_root": A, "amount_minor": 1}
    identifiers = [
        ids.session_id(bytes(16), "nas", "1"),
        ids.session_id(bytes(15) + b"\x01", "nas", "1"),
        ids.session_id(bytes(16), "nas2", "1"),
        ids.session_id(bytes(16), "nas", "2"),
        ids.session_id(bytes(16), "na", "s1"),
        ids.weak_session_id(P, Q, "nas", "1", epoch_us=0),
        ids.weak_session_id(None, Q, "nas", "1", epoch_us=0),
        ids.weak_session_id(Q, P, "nas", "1", epoch_us=0),
        ids.weak_session_id(P, Q, "nas", "1", epoch_us=1),
        ids.observation_id(A, P, Status.INTERIM, ONE),
        ids.observation_id(A, P, Status.STOP, ONE),
        ids.observation_id(A, Q, Status.INTERIM, ONE),
        ids.observation_id(A, P, Status.INTERIM, TWO),
        ids.observation_id(A, P, Status.INTERIM, None),
        ids.usage_id(A, ONE, TWO),
        ids.usage_id(B, ONE, TWO),
        ids.usage_id(A, TWO, TWO),
        ids.charge_id(A, Kind.WHOLESALE, **charge),
        ids.charge_id(A, Kind.RETAIL, **charge),
        ids.charge_id(B, Kind.WHOLESALE, **charge),
        *(ids.charge_id(A, Kind.WHOLESALE, **{**charge, key: value})
          for key, value in (("inputs_hash", B), ("rule_version", "v2"), ("amount_minor", 2))),
        ids.cycle_id("demo", asset, 1),
        ids.cycle_id("demo", other, 1),
        ids.cycle_id("demo", asset, 2),
        ids.position_id(A, P, Q, asset, **position),
        ids.position_id(A, Q, P, asset, **position),
        ids.position_id(B, P, Q, asset, **position),
        ids.position_id(A, P, Q, other, **position),
        *(ids.position_id(A, P, Q, asset, **{**position, key: value})
          for key, value in (("rung", Rung.ONE_SIDED), ("pair_root", B), ("amount_minor", 2))),
    ]  # fmt: skip
    assert len(set(identifiers)) == len(identifiers)
