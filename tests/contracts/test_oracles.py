"""Ours beside snekmate's and OpenZeppelin's: the same inputs, the same results.

Merkle proofs, ERC-20 arithmetic, ERC-2612 permits and the digests of ERC-3009. snekmate comes with
the development requirements, OpenZeppelin and its compiler with `./dev peers`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import solidity
from contract_evm import FAR_S, GENESIS_S, MAX, Evm, key, refused, vyper
from contract_rewards import Pool
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.chain import abi, typed_data
from opencarrier.chain.contracts import StableToken
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization, SigningDomain
from opencarrier.kernel.keccak import keccak
from opencarrier.rewards.merkle import Tree, leaf_hash, verify
from opencarrier.rewards.model import EntitlementLeaf

needs_solidity = [
    pytest.mark.peer,
    pytest.mark.skipif(not solidity.is_installed(), reason="solc and OpenZeppelin are missing"),
]
ORACLES = ["snekmate", pytest.param("openzeppelin", marks=needs_solidity)]
NAME = "Test Dollar"
PEOPLE = [key(name) for name in ("one", "two", "three")]
OWNER = key("owner").address
SUPPLY_MAX = (1 << 255) - 1
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

SNEKMATE_PROOFS = """
# pragma version 0.4.3
# pragma nonreentrancy off
from snekmate.utils import merkle_proof_verification as proofs

@external
@pure
def verify(proof: DynArray[bytes32, 40], root: bytes32, leaf: bytes32) -> bool:
    return proofs._verify(proof, root, leaf)
"""

OPENZEPPELIN_PROOFS = """
// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

contract Proofs {
    function verify(bytes32[] calldata proof, bytes32 root, bytes32 leaf)
        external pure returns (bool)
    {
        return MerkleProof.verifyCalldata(proof, root, leaf);
    }
}
"""

SNEKMATE_TOKEN = """
# pragma version 0.4.3
# pragma nonreentrancy off
from snekmate.auth import ownable
from snekmate.tokens import erc20
initializes: ownable
initializes: erc20[ownable := ownable]
exports: erc20.__interface__

@deploy
def __init__():
    ownable.__init__()
    erc20.__init__("Test Dollar", "USDt", 6, "Test Dollar", "1")
"""

OPENZEPPELIN_TOKEN = """
// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

contract Token is ERC20Permit {
    constructor() ERC20("Test Dollar", "USDt") ERC20Permit("Test Dollar") {}

    function mint(address account, uint256 amount) external {
        _mint(account, amount);
    }
}
"""

OPENZEPPELIN_DIGESTS = """
// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

contract Digests is EIP712 {
    constructor() EIP712("Test Dollar", "1") {}

    function moved(bool pulled, address from, address to, uint256 value, uint256 validAfter,
        uint256 validBefore, bytes32 nonce) external view returns (bytes32)
    {
        bytes32 kind = pulled
            ? keccak256("ReceiveWithAuthorization(address from,address to,uint256 value,"
                "uint256 validAfter,uint256 validBefore,bytes32 nonce)")
            : keccak256("TransferWithAuthorization(address from,address to,uint256 value,"
                "uint256 validAfter,uint256 validBefore,bytes32 nonce)");
        return _hashTypedDataV4(
            keccak256(abi.encode(kind, from, to, value, validAfter, validBefore, nonce))
        );
    }

    function cancelled(address authorizer, bytes32 nonce) external view returns (bytes32) {
        bytes32 kind = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
        return _hashTypedDataV4(keccak256(abi.encode(kind, authorizer, nonce)));
    }
}
"""


def ask(evm: Evm, at: str, signature: str, types: list[str], *values: object) -> bytes:
    """What a view of a foreign contract answers."""
    return evm.call(Call(to=at, data=keccak(signature.encode())[:4] + abi.encode(types, values)))


@pytest.fixture(scope="module", params=ORACLES)
def proves(request) -> Callable[[list[bytes], bytes, bytes], bool]:
    """Whether an oracle takes a proof."""
    evm = Evm()
    if request.param == "snekmate":
        at = vyper(SNEKMATE_PROOFS, sender=OWNER, evm=evm)
    else:
        at = solidity.solidity(OPENZEPPELIN_PROOFS, "Proofs", sender=OWNER, evm=evm)
    signature, types = "verify(bytes32[],bytes32,bytes32)", ["bytes32[]", "bytes32", "bytes32"]

    def asked(proof: list[bytes], root: bytes, leaf: bytes) -> bool:
        return bool(int.from_bytes(ask(evm, at, signature, types, proof, root, leaf)))

    return asked


trees = st.lists(st.integers(1, 2**90), min_size=1, max_size=33)


def changed(proof: list[bytes], how: int) -> list[bytes]:
    """A proof as it is, without its end, longer, reversed, or with another octet."""
    flipped = [bytes((proof[0][0] ^ 1,)) + proof[0][1:], *proof[1:]] if proof else [b"\x01" * 32]
    return [proof, proof[:-1], [*proof, bytes(32)], proof[::-1], flipped][how]


@settings(max_examples=25, deadline=None)
@given(amounts=trees, data=st.data())
def test_proofs_are_taken_alike(proves, amounts: list[int], data):
    """Any tree, any leaf, any change: our check in Python says what the oracle says."""
    token = key("token").address
    leaves = [
        EntitlementLeaf(account=key(f"host {i}").address, token=token, lifetime_minor=amount)
        for i, amount in enumerate(amounts)
    ]
    tree = Tree(leaves)
    leaf = data.draw(st.sampled_from(leaves))
    proof = list(tree.siblings(leaf))
    assert proves(proof, tree.root, leaf_hash(leaf))
    other = data.draw(st.sampled_from(leaves))
    tried = changed(proof, data.draw(st.integers(0, 4)))
    assert proves(tried, tree.root, leaf_hash(other)) == verify(tree.root, other, tried)


@settings(max_examples=6, deadline=None)
@given(amounts=trees, data=st.data())
def test_claims_are_proven_alike(proves, amounts: list[int], data):
    """The distributor pays where the oracle takes the proof, and says "bad proof" elsewhere."""
    pool = Pool(delay_s=0)
    rows = {key(f"host {i}").address: amount for i, amount in enumerate(amounts)}
    tree = pool.ready(rows, money=sum(amounts))
    account = data.draw(st.sampled_from(list(rows)))
    leaf = pool.leaf(account, rows[account])
    tried = changed(list(tree.siblings(leaf)), data.draw(st.integers(0, 4)))
    call = pool.rewards.claim(account, leaf.token, leaf.lifetime_minor, tried)
    try:
        pool.send(pool.stranger, call)
        reason = ""
    except RevertedError as error:
        reason = error.reason
    assert reason == ("" if proves(tried, tree.root, leaf_hash(leaf)) else "claim: bad proof")


class Twins:
    """Our token and a foreign one under the same calls."""

    def __init__(self, oracle: str) -> None:
        self.evm = Evm()
        terms = {"name": NAME, "symbol": "USDt", "version": "1", "owner": OWNER}
        ours = StableToken(self.evm.deploy(OWNER, StableToken.deployment(**terms)))
        self.evm.send(OWNER, ours.set_minter(OWNER, allowed=True))
        if oracle == "snekmate":
            at = vyper(SNEKMATE_TOKEN, sender=OWNER, evm=self.evm)
        else:
            at = solidity.solidity(OPENZEPPELIN_TOKEN, "Token", sender=OWNER, evm=self.evm)
        self.tokens = (ours, StableToken(at))

    def both(self, sender: str, call: Callable[[StableToken], Call]) -> bool:
        """Send a call to both; they agree whether it is done."""
        done = []
        for token in self.tokens:
            try:
                self.evm.send(sender, call(token))
                done.append(True)
            except RevertedError:
                done.append(False)
        assert done[0] == done[1]
        return done[0]

    def mint(self, account: str, amount: int) -> None:
        """Mint at both; beyond our supply ours alone refuses, and theirs is not asked."""
        ours = self.tokens[0]
        if ours.total_supply().ask(self.evm) + amount <= SUPPLY_MAX:
            assert self.both(OWNER, lambda token: token.mint(account, amount))
            return
        with refused("token: too many"):
            self.evm.send(OWNER, ours.mint(account, amount))

    def assert_alike(self) -> None:
        """Balances, allowances and supply are the same."""
        told = []
        for token in self.tokens:
            people = [person.address for person in PEOPLE]
            asked = [token.balance_of(one) for one in people]
            asked += [token.allowance(one, other) for one in people for other in people]
            told.append([query.ask(self.evm) for query in (*asked, token.total_supply())])
        assert told[0] == told[1]


@pytest.fixture(scope="module", params=ORACLES)
def twins(request) -> Twins:
    return Twins(request.param)


amounts = st.one_of(st.integers(0, 12), st.sampled_from([MAX, MAX - 1, 1 << 255, SUPPLY_MAX]))
persons = st.sampled_from([person.address for person in PEOPLE])
steps = st.one_of(
    st.tuples(st.just("mint"), persons, persons, persons, amounts),
    st.tuples(st.just("transfer"), persons, persons, persons, amounts),
    st.tuples(st.just("approve"), persons, persons, persons, amounts),
    st.tuples(st.just("transfer_from"), persons, persons, persons, amounts),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(steps, min_size=5, max_size=25))
def test_tokens_move_alike(twins: Twins, told):
    """Any calls in any order: what one refuses the other does, and they end alike."""
    with twins.evm.anchor():
        for kind, sender, one, other, amount in told:
            if kind == "mint":
                twins.mint(one, amount)
            elif kind == "transfer_from":
                twins.both(sender, lambda t, a=one, b=other, n=amount: t.transfer_from(a, b, n))
            else:
                twins.both(sender, lambda t, k=kind, a=one, n=amount: getattr(t, k)(a, n))
        twins.assert_alike()


def permit(twins: Twins, token: StableToken, change: str) -> Call:
    """A permit our Python signs for a token at any address, with one thing wrong or none."""
    holder, spender = PEOPLE[0], PEOPLE[1].address
    domain = SigningDomain(
        name=NAME, version="1", chain_id=twins.evm.chain_id, contract=token.address
    )
    deadline = GENESIS_S - 1 if change == "expired" else FAR_S
    terms = {"owner": holder.address, "spender": spender, "deadline_s": deadline}
    nonce = 1 if change == "nonce" else 0
    digest = typed_data.permit_digest(domain, amount_minor=7, nonce=nonce, **terms)
    signer = PEOPLE[2] if change == "signer" else holder
    octets = signer.sign(digest).octets
    if change == "high s":
        s = ORDER - int.from_bytes(octets[32:64], "big")
        octets = octets[:32] + s.to_bytes(32, "big") + bytes((55 - octets[64],))
    amount = 8 if change == "amount" else 7
    return token.permit(
        owner=holder.address, spender=spender, amount=amount, deadline=deadline, signature=octets
    )


@pytest.mark.parametrize("change", ["", "signer", "amount", "nonce", "expired", "high s"])
def test_permits_are_taken_alike(twins: Twins, change: str):
    """ERC-2612: our digest is theirs; what breaks it breaks it at both, and none serves twice."""
    with twins.evm.anchor():
        signed = partial(permit, twins, change=change)
        assert twins.both(OWNER, signed) == (change == "")
        assert not twins.both(OWNER, signed)
        twins.assert_alike()


words = st.integers(0, MAX)
granted = st.builds(
    Authorization,
    sender=persons,
    receiver=persons,
    amount_minor=words,
    valid_after_s=words,
    valid_before_s=words,
    nonce=st.binary(min_size=32, max_size=32),
)


@pytest.mark.peer
@pytest.mark.skipif(not solidity.is_installed(), reason="solc and OpenZeppelin are missing")
def test_digests_of_authorizations_are_openzeppelins():
    """ERC-3009: what our Python signs is what OpenZeppelin's EIP712 makes of the same fields."""
    evm = Evm()
    at = solidity.solidity(OPENZEPPELIN_DIGESTS, "Digests", sender=OWNER, evm=evm)
    domain = SigningDomain(name=NAME, version="1", chain_id=evm.chain_id, contract=at)
    moved = "moved(bool,address,address,uint256,uint256,uint256,bytes32)"
    types = ["bool", "address", "address", "uint256", "uint256", "uint256", "bytes32"]

    @settings(max_examples=25, deadline=None)
    @given(granted)
    def same(grant: Authorization) -> None:
        fields = (grant.sender, grant.receiver, grant.amount_minor)
        fields += (grant.valid_after_s, grant.valid_before_s, grant.nonce)
        for pulled, ours in (
            (False, typed_data.transfer_digest),
            (True, typed_data.receive_digest),
        ):
            assert ours(domain, grant) == ask(evm, at, moved, types, pulled, *fields)
        cancelled = typed_data.cancel_digest(domain, authorizer=grant.sender, nonce=grant.nonce)
        asked = ("cancelled(address,bytes32)", ["address", "bytes32"], grant.sender, grant.nonce)
        assert cancelled == ask(evm, at, *asked)

    same()
