"""NodeRegistry as ERC-721 (N4): by itself, against others', and before receivers that misbehave.

Any sequence of calls has the same answers, reverts, events and balances here and in snekmate's and
OpenZeppelin's. Where they differ is listed in `_stricter` and `_looser`: what snekmate refuses
though the standard allows it, and what it allows though we and OpenZeppelin do not.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import solidity
from contract_evm import GENESIS_S, ZERO, Evm, key, refused, vyper
from contract_nodes import TERMS, NodeWorld, number
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.chain import abi, events
from opencarrier.chain.contracts import NodeRegistry
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.model import Call
from opencarrier.identity.node_tree import NodeTree
from opencarrier.kernel.keccak import keccak
from opencarrier.spine.nodes import NodeLeaf

SNEKMATE = """
# pragma version 0.4.3
from snekmate.auth import ownable
from snekmate.tokens import erc721
initializes: ownable
initializes: erc721[ownable := ownable]
exports: erc721.__interface__

@deploy
def __init__():
    ownable.__init__()
    erc721.__init__("nodes", "NODE", "", "nodes", "1")
"""

OPENZEPPELIN = """
// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

contract Nodes is ERC721 {
    uint256 private count;

    constructor() ERC721("nodes", "NODE") {}

    function safe_mint(address owner, string calldata) external {
        _safeMint(owner, count++);
    }
}
"""

needs_solidity = [
    pytest.mark.peer,
    pytest.mark.skipif(not solidity.is_installed(), reason="solc and OpenZeppelin are missing"),
]
ORACLES = ["snekmate", pytest.param("openzeppelin", marks=needs_solidity)]

RECEIVER = """
# pragma version 0.4.3
answer: bytes4
mode: uint256
seen: public(Bytes[1200])
target: address
back: Bytes[300]
succeeded: public(bool)

@external
def arm(answer: bytes4, mode: uint256, target: address, back: Bytes[300]):
    self.answer = answer
    self.mode = mode
    self.target = target
    self.back = back

@external
def onERC721Received(
    operator: address, sender: address, token_id: uint256, data: Bytes[1024]
) -> bytes4:
    assert self.mode != 1, "receiver: no"
    if self.target != empty(address):
        self.succeeded = raw_call(self.target, self.back, revert_on_failure=False)
    self.seen = abi_encode(operator, sender, token_id, data)
    return self.answer
"""

TAKEN = keccak(b"onERC721Received(address,address,uint256,bytes)")[:4]
TOKENS = 3
PEOPLE = [key(f"person {i}").address for i in range(3)]


def encoded(signature: str, *values: object) -> bytes:
    types = signature[signature.index("(") + 1 : -1]
    return keccak(signature.encode())[:4] + abi.encode(types.split(",") if types else [], values)


class Pair:
    """Our registry and a foreign ERC-721 in one EVM, with the same owners of the same tokens."""

    def __init__(self, oracle: str) -> None:
        self.evm, self.oracle = Evm(), oracle
        deployer = key("owner").address
        terms = {"token": deployer, "owner": deployer, **TERMS}
        ours = self.evm.deploy(deployer, NodeRegistry.deployment(**terms))
        if oracle == "snekmate":
            theirs = vyper(SNEKMATE, sender=deployer, evm=self.evm)
        else:
            theirs = solidity.solidity(OPENZEPPELIN, "Nodes", sender=deployer, evm=self.evm)
        self.contracts = (ours, theirs)
        self.receivers = [vyper(RECEIVER, sender=deployer, evm=self.evm) for _ in range(3)]
        for receiver, answer, mode in zip(
            self.receivers, (TAKEN, b"\x01" * 4, TAKEN), (0, 0, 1), strict=True
        ):
            arm = encoded("arm(bytes4,uint256,address,bytes)", answer, mode, ZERO, b"")
            self.evm.send(deployer, Call(to=receiver, data=arm))
        self._fill(NodeRegistry(ours), deployer)

    def _fill(self, ours: NodeRegistry, deployer: str) -> None:
        leaves = [
            NodeLeaf(
                node_id=i.to_bytes(32, "big"),
                owner=PEOPLE[i % 2],
                operator=deployer,
                valid_from=GENESIS_S,
            )
            for i in range(TOKENS)
        ]
        tree = NodeTree(leaves)
        self.evm.send(deployer, ours.set_registrar(deployer))
        self.evm.send(deployer, ours.publish_root(1, tree.root))
        for leaf in leaves:
            self.evm.send(deployer, ours.mint(*tree.proof(leaf.node_id)))
            minted = encoded("safe_mint(address,string)", leaf.owner, "")
            self.evm.send(deployer, Call(to=self.contracts[1], data=minted))

    def both(self, sender: str, data: bytes) -> list[tuple | None]:
        """What each contract returned and told; None where it reverted."""
        found: list[tuple | None] = []
        for contract in self.contracts:
            try:
                outcome = self.evm.send(sender, Call(to=contract, data=data))
            except RevertedError:
                found.append(None)
                continue
            found.append((outcome.output, [(log.topics, log.data) for log in outcome.logs]))
        return found

    def state(self) -> list[bytes]:
        """Every question about every token and person."""
        return [
            *(
                encoded(f"{name}(uint256)", i)
                for name in ("ownerOf", "getApproved")
                for i in range(4)
            ),
            *(encoded("balanceOf(address)", who) for who in (*PEOPLE, ZERO, *self.receivers)),
            *(encoded("isApprovedForAll(address,address)", a, b) for a in PEOPLE for b in PEOPLE),
        ]


@pytest.fixture(scope="module", params=ORACLES)
def pair(request) -> Pair:
    return Pair(request.param)


people = st.integers(0, 6)
tokens = st.integers(0, TOKENS)
calls = st.one_of(
    st.tuples(st.just("approve"), people, people, tokens),
    st.tuples(st.just("all"), people, people, st.booleans()),
    *(
        st.tuples(st.just(name), people, people, people, tokens)
        for name in ("transferFrom", "safe", "safe with data")
    ),
)


def data_of(pair: Pair, call: tuple) -> bytes:
    everybody = [*PEOPLE, ZERO, *pair.receivers]
    match call:
        case ("approve", _, to, token):
            return encoded("approve(address,uint256)", everybody[to], token)
        case ("all", _, to, allowed):
            return encoded("setApprovalForAll(address,bool)", everybody[to], allowed)
        case (name, _, sender, receiver, token):
            values = (everybody[sender], everybody[receiver], token)
            if name == "safe with data":
                text = "safeTransferFrom(address,address,uint256,bytes)"
                return encoded(text, *values, b"\x05" * 33)
            name = {"safe": "safeTransferFrom"}.get(name, name)
            return encoded(f"{name}(address,address,uint256)", *values)


def _stricter(pair: Pair, call: tuple, sender: str) -> bool:
    """Whether snekmate refuses it though ERC-721 does not say so: an owner approving itself."""
    if pair.oracle != "snekmate":
        return False
    everybody = [*PEOPLE, ZERO, *pair.receivers]
    if call[0] == "approve" and call[3] < TOKENS:
        owner = NodeRegistry(pair.contracts[0]).owner_of(call[3]).ask(pair.evm)
        return everybody[call[2]] == owner
    return call[0] == "all" and everybody[call[2]] == sender


def _looser(pair: Pair, call: tuple) -> bool:
    """Whether snekmate takes what we refuse: the zero operator, of which ERC-721 is silent."""
    return pair.oracle == "snekmate" and call[0] == "all" and call[2] == 3


@settings(max_examples=25, deadline=None)
@given(st.lists(calls, min_size=1, max_size=12))
def test_as_others_do(pair: Pair, sequence: list[tuple]):
    """The same calls have the same answers, events and reverts, and leave the same state."""
    with pair.evm.anchor():
        for call in sequence:
            sender = PEOPLE[call[1] % 3]
            if _stricter(pair, call, sender):
                continue
            ours, theirs = pair.both(sender, data_of(pair, call))
            if _looser(pair, call):
                assert ours is None
                continue
            assert ours == theirs, call
        for question in pair.state():
            ours, theirs = pair.both(PEOPLE[0], question)
            assert ours == theirs


def test_every_path_of_the_comparison(pair: Pair):
    """A fixed walk on which each call succeeds and fails at least once, in both contracts."""
    walk = [
        ("transferFrom", 0, 0, 2, 0),
        ("transferFrom", 0, 0, 2, 0),
        ("transferFrom", 2, 2, 2, 0),
        ("approve", 1, 2, 1),
        ("approve", 2, 2, 1),
        ("transferFrom", 2, 1, 0, 1),
        ("transferFrom", 2, 0, 1, 1),
        ("all", 0, 1, True),
        ("approve", 1, 2, 1),
        ("safe", 1, 0, 4, 1),
        ("safe", 1, 0, 4, 1),
        ("safe", 0, 0, 4, 2),
        ("safe with data", 2, 2, 5, 0),
        ("safe with data", 2, 2, 6, 0),
        ("transferFrom", 2, 2, 3, 0),
        ("transferFrom", 2, 2, 6, 0),
        ("approve", 0, 1, 3),
    ]
    with pair.evm.anchor():
        results = [pair.both(PEOPLE[call[1]], data_of(pair, call)) for call in walk]
        assert [ours for ours, _ in results] == [theirs for _, theirs in results]
        assert [ours is not None for ours, _ in results] == [
            *(True, False, True),
            *(True, False, True, False),
            *(True, True, True, False, True),
            *(False, False, False, True, False),
        ]


def test_interfaces(nodes: NodeWorld):
    """ERC-165: ERC-721 and itself, never the forbidden one."""
    for interface_id, has in (
        ("01ffc9a7", True),
        ("80ac58cd", True),
        ("ffffffff", False),
        ("780e9d63", False),
    ):
        query = nodes.registry.supports_interface(bytes.fromhex(interface_id))
        assert query.ask(nodes.evm) is has


def test_reasons(nodes: NodeWorld):
    """N4: each refusal says why."""
    registry, (one, other), token = nodes.registry, nodes.hosts, number(nodes.ids[0])
    for sender, call, reason in (
        (one, registry.transfer_from(other.address, one.address, token), "erc721: not owner"),
        (other, registry.transfer_from(one.address, other.address, token), "erc721: not allowed"),
        (one, registry.transfer_from(one.address, ZERO, token), "erc721: zero address"),
        (one, registry.transfer_from(one.address, one.address, 5), "erc721: no such token"),
        (other, registry.approve(other.address, token), "erc721: not allowed"),
        (one, registry.approve(other.address, 5), "erc721: no such token"),
        (one, registry.set_approval_for_all(ZERO, approved=True), "erc721: zero address"),
    ):
        with refused(reason):
            nodes.send(sender, call)
    for query, reason in (
        (registry.owner_of(5), "erc721: no such token"),
        (registry.approved(5), "erc721: no such token"),
        (registry.balance_of(ZERO), "erc721: zero address"),
    ):
        with refused(reason):
            query.ask(nodes.evm)


def test_an_approval_ends_with_the_move(nodes: NodeWorld):
    """N4: also where the owner moves the node to itself; approval for all does not end."""
    registry, host, friend = nodes.registry, nodes.hosts[0], nodes.stranger
    token = number(nodes.ids[0])
    told = nodes.told(nodes.send(host, registry.approve(friend.address, token)))
    assert told == [
        events.NodeApproval(owner=host.address, approved=friend.address, token_id=token)
    ]
    assert registry.approved(token).ask(nodes.evm) == friend.address
    nodes.send(host, registry.transfer_from(host.address, host.address, token))
    assert registry.approved(token).ask(nodes.evm) == ZERO
    assert registry.balance_of(host.address).ask(nodes.evm) == 1
    told = nodes.told(
        nodes.send(host, registry.set_approval_for_all(friend.address, approved=True))
    )
    assert told == [
        events.ApprovalForAll(owner=host.address, operator=friend.address, approved=True)
    ]
    assert registry.is_approved_for_all(host.address, friend.address).ask(nodes.evm)
    nodes.send(friend, registry.transfer_from(host.address, friend.address, token))
    with refused("erc721: not allowed"):
        nodes.send(host, registry.transfer_from(friend.address, host.address, token))


@pytest.fixture
def receiver(nodes: NodeWorld):
    return vyper(RECEIVER, sender=nodes.owner.address, evm=nodes.evm)


def arm(nodes: NodeWorld, receiver: str, answer: bytes, back: Call | None = None) -> None:
    target, data = (back.to, back.data) if back else (ZERO, b"")
    call = encoded("arm(bytes4,uint256,address,bytes)", answer, 0, target, data)
    nodes.send(nodes.owner, Call(to=receiver, data=call))


def test_a_receiver_is_told_and_may_refuse(nodes: NodeWorld, receiver: str):
    """N4: it hears who sends, whose, which and the data; only the right answer takes the token."""
    registry, host, token = nodes.registry, nodes.hosts[0], number(nodes.ids[0])
    friend = nodes.stranger
    nodes.send(host, registry.approve(friend.address, token))
    move = registry.safe_transfer_from(host.address, receiver, token, b"hello")
    for answer in (bytes(4), b"\x01" * 4):
        arm(nodes, receiver, answer)
        with refused("erc721: not taken"):
            nodes.send(friend, move)
    arm(nodes, receiver, TAKEN)
    nodes.send(friend, move)
    seen = nodes.evm.call(Call(to=receiver, data=encoded("seen()")))
    types = ["address", "address", "uint256", "bytes"]
    (inner,) = abi.decode(["bytes"], seen)
    assert abi.decode(types, inner) == (friend.address, host.address, token, b"hello")
    assert nodes.owner_of(0) == receiver


def test_data_has_a_limit(nodes: NodeWorld, receiver: str):
    """N15: 1,024 octets for a receiver, not one more, not even for one that is not asked."""
    registry, host, token = nodes.registry, nodes.hosts[0], number(nodes.ids[0])
    arm(nodes, receiver, TAKEN)
    for to in (receiver, nodes.stranger.address):
        with refused(None):
            nodes.send(host, registry.safe_transfer_from(host.address, to, token, bytes(1025)))
    nodes.send(host, registry.safe_transfer_from(host.address, receiver, token, bytes(1024)))


def test_a_contract_without_an_answer_takes_nothing(nodes: NodeWorld):
    registry, host, token = nodes.registry, nodes.hosts[0], number(nodes.ids[0])
    for target in (nodes.token.address, registry.address):
        with refused(None):
            nodes.send(host, registry.safe_transfer_from(host.address, target, token))
    nodes.send(host, registry.transfer_from(host.address, nodes.token.address, token))


def test_a_receiver_that_calls_back_finds_every_door_shut(nodes: NodeWorld, receiver: str):
    """N4: it cannot move the token on, take the bond or even look while it is asked."""
    registry, host, token = nodes.registry, nodes.hosts[0], number(nodes.ids[0])
    doors = [
        registry.transfer_from(receiver, nodes.stranger.address, token),
        registry.request_bond_withdrawal(nodes.ids[0], 1),
        registry.set_operator(nodes.ids[0], receiver),
        registry.approve(nodes.stranger.address, token),
        registry.owner_of(token).call,
        registry.is_banned(nodes.ids[0]).call,
    ]
    for door in doors:
        with nodes.evm.anchor():
            arm(nodes, receiver, TAKEN, door)
            nodes.send(host, registry.safe_transfer_from(host.address, receiver, token))
            outcome = nodes.send(nodes.owner, Call(to=receiver, data=encoded("succeeded()")))
            assert int.from_bytes(outcome.output, "big") == 0
            assert nodes.owner_of(0) == receiver
            # Outside of a move the same call passes.
            nodes.evm.send(receiver, replace(door))
