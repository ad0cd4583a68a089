"""RLP and signatures against the libraries everybody uses."""

from __future__ import annotations

import pickle

import pytest
import rlp as reference
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.chain import rlp
from opencarrier.chain.keys import (
    DynamicFeeTransaction,
    LocalSigner,
    address_octets,
    create_address,
)
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address, Signature, verify

SECRET = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
ADDRESS = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"

items = st.recursive(
    st.binary(max_size=80) | st.integers(0, 1 << 256),
    lambda children: st.lists(children, max_size=6),
    max_leaves=20,
)


@given(items)
def test_rlp_is_the_reference(item: rlp.Item) -> None:
    assert rlp.encode(item) == reference.encode(item)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 70_000])
def test_rlp_lengths(size: int) -> None:
    assert rlp.encode(b"\x80" * size) == reference.encode(b"\x80" * size)


def transaction(**changes: object) -> DynamicFeeTransaction:
    fields: dict[str, object] = {
        "chain_id": 31337,
        "nonce": 0,
        "max_priority_fee_per_gas_wei": 1,
        "max_fee_per_gas_wei": 10**10,
        "gas_limit": 21_000,
        "to": Address("0x" + "22" * 20),
        "value_wei": 5,
        "data": b"\x01\x02",
    }
    return DynamicFeeTransaction(**{**fields, **changes})  # type: ignore[arg-type]


@given(
    nonce=st.integers(0, 1 << 63),
    value_wei=st.integers(0, (1 << 256) - 1),
    data=st.binary(max_size=100),
    to=st.none() | st.binary(min_size=20, max_size=20).map(lambda b: Address("0x" + b.hex())),
)
def test_a_transaction_is_signed_as_eth_account_does(
    nonce: int, value_wei: int, data: bytes, to: Address | None
) -> None:
    ours = LocalSigner(SECRET).sign_transaction(
        transaction(nonce=nonce, value_wei=value_wei, data=data, to=to)
    )
    theirs = Account.sign_transaction(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": nonce,
            "maxPriorityFeePerGas": 1,
            "maxFeePerGas": 10**10,
            "gas": 21_000,
            "value": value_wei,
            "data": data,
            **({} if to is None else {"to": bytes.fromhex(to[2:])}),
        },
        SECRET,
    )
    assert ours.raw == bytes(theirs.raw_transaction)
    assert ours.tx_hash == bytes(theirs.hash)


def test_a_digest_is_signed_and_names_its_key() -> None:
    signer = LocalSigner(SECRET)
    digest = keccak(b"x")
    signature = signer.sign(digest)
    assert isinstance(signature, Signature)
    assert signature.kid == signer.address == ADDRESS
    assert verify(digest, signature)


def test_the_secret_is_never_shown_and_never_copied() -> None:
    signer = LocalSigner(SECRET)
    assert SECRET.hex() not in repr(signer)
    assert ADDRESS in repr(signer)
    assert not hasattr(signer, "__dict__")
    with pytest.raises(TypeError, match="not copied"):
        pickle.dumps(signer)


def test_a_deployment_lands_where_the_chain_puts_it() -> None:
    assert create_address(Address(ADDRESS), 1) == "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512"


@pytest.mark.parametrize("text", ["0x", "0x12", "0x" + "11" * 21, "0x" + "zz" * 20])
def test_an_address_has_twenty_octets(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|hex"):
        address_octets(Address(text))
