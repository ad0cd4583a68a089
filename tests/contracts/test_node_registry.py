"""NodeRegistry: roots, minting, keys and bonds (N1 to N8 of contracts/NodeRegistry.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_evm import GENESIS_S, MAX, ZERO, key, refused
from contract_nodes import BOND, FUNDS, TERMS, NodeWorld, leaf, number

from opencarrier.chain import events
from opencarrier.chain.contracts import KEYS_MAX, NodeKey, NodeRegistry, Withdrawal
from opencarrier.chain.model import Call
from opencarrier.identity.node_tree import NodeTree
from opencarrier.kernel.pair_tree import NO_ROOT, PROOF_MAX, pair_hash
from opencarrier.spine.nodes import node_leaf_hash

# Roots and minting


def test_anybody_mints_for_the_owner(nodes: NodeWorld):
    """N2, N13: the token, its owner's count and its first key are what the leaf says."""
    told = nodes.told(nodes.mint(2, nodes.stranger))
    node_id, wanted = nodes.ids[2], nodes.leaves[2]
    host = nodes.hosts[0].address
    assert told == [
        events.NodeTransfer(sender=ZERO, receiver=host, token_id=number(node_id)),
        events.OperatorSet(
            node_id=node_id, index=0, operator=wanted.operator, valid_from=wanted.valid_from
        ),
    ]
    assert nodes.owner_of(2) == host
    assert nodes.registry.balance_of(host).ask(nodes.evm) == 2
    assert nodes.registry.keys_count(node_id).ask(nodes.evm) == 1
    assert nodes.registry.key_of(node_id, 0).ask(nodes.evm) == NodeKey(
        operator=wanted.operator, valid_from=wanted.valid_from, compromised_from=0, revoked_at=0
    )


def test_a_node_is_minted_once(nodes: NodeWorld):
    """N2: not again by its owner, another leaf or after it moved."""
    with refused("mint: minted"):
        nodes.mint(0)
    nodes.send(
        nodes.hosts[0],
        nodes.registry.transfer_from(
            nodes.hosts[0].address, nodes.hosts[1].address, number(nodes.ids[0])
        ),
    )
    with refused("mint: minted"):
        nodes.mint(0)


def test_a_new_root_takes_nothing_away(nodes: NodeWorld):
    """N3: what is minted stays; what is not follows the new root alone."""
    thief = key("thief")
    tree = NodeTree([leaf(0, thief), leaf(2, thief)])
    told = nodes.told(nodes.send(nodes.registrar, nodes.registry.publish_root(2, tree.root)))
    assert told == [events.RootPublished(epoch=2, root=tree.root)]
    assert nodes.registry.epoch().ask(nodes.evm) == 2
    assert nodes.registry.root().ask(nodes.evm) == tree.root
    with refused("mint: minted"):
        nodes.send(thief, nodes.registry.mint(*tree.proof(nodes.ids[0])))
    assert nodes.owner_of(0) == nodes.hosts[0].address
    with refused("mint: bad proof"):
        nodes.mint(2)
    nodes.send(thief, nodes.registry.mint(*tree.proof(nodes.ids[2])))
    assert nodes.owner_of(2) == thief.address


@pytest.mark.parametrize("epoch", [0, 1, 3, MAX])
def test_epochs_rise_by_one(nodes: NodeWorld, epoch: int):
    """N3."""
    with refused("root: epoch"):
        nodes.send(nodes.registrar, nodes.registry.publish_root(epoch, NO_ROOT))


def test_nothing_is_proven_without_a_root(nodes: NodeWorld):
    nodes.send(nodes.registrar, nodes.registry.publish_root(2, NO_ROOT))
    with refused("mint: bad proof"):
        nodes.mint(2)
    with refused("mint: bad proof"):
        nodes.send(nodes.stranger, nodes.registry.mint(nodes.leaves[2], ()))


def test_only_a_leaf_of_the_root(nodes: NodeWorld):
    """N2: no field may differ, no sibling be missing, added or moved, no inner node be a leaf."""
    found, proof = nodes.tree.proof(nodes.ids[2])
    wrong = [
        (replace(found, node_id=bytes(32)), proof),
        (replace(found, owner=nodes.stranger.address), proof),
        (replace(found, operator=nodes.stranger.address), proof),
        (replace(found, valid_from=found.valid_from - 1), proof),
        (found, proof[:-1]),
        (found, (*proof, proof[0])),
        (found, proof[::-1]),
    ]
    for one, siblings in wrong:
        with refused("mint: bad proof"):
            nodes.send(nodes.stranger, nodes.registry.mint(one, siblings))


def test_the_longest_proof(nodes: NodeWorld):
    """N15: forty siblings are taken; one more does not decode."""
    one = leaf(9, nodes.hosts[0])
    siblings = [bytes((i,)) * 32 for i in range(PROOF_MAX)]
    root = node_leaf_hash(one)
    for sibling in siblings:
        root = pair_hash(root, sibling)
    nodes.send(nodes.registrar, nodes.registry.publish_root(2, root))
    fields = (one.node_id, one.owner, one.operator, one.valid_from)
    data = NodeRegistry.artefact().call_data("mint", *fields, [*siblings, bytes(32)])
    with refused(None):
        nodes.send(nodes.stranger, Call(to=nodes.registry.address, data=data))
    nodes.send(nodes.stranger, nodes.registry.mint(one, siblings))
    with pytest.raises(AssertionError):
        nodes.registry.mint(one, [*siblings, bytes(32)])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"valid_from": GENESIS_S + 1}, "mint: not yet"),
        ({"owner": ZERO}, "erc721: zero address"),
        ({"operator": ZERO}, "operator: zero"),
    ],
)
def test_leaves_that_are_no_nodes(nodes: NodeWorld, change: dict, reason: str):
    """A key of the future, no owner, no key: such a node cannot be minted."""
    one = replace(leaf(9, nodes.hosts[0]), **change)
    nodes.send(nodes.registrar, nodes.registry.publish_root(2, node_leaf_hash(one)))
    with refused(reason):
        nodes.send(nodes.stranger, nodes.registry.mint(one, ()))
    now = replace(leaf(9, nodes.hosts[0]), valid_from=GENESIS_S)
    nodes.send(nodes.registrar, nodes.registry.publish_root(3, node_leaf_hash(now)))
    nodes.send(nodes.stranger, nodes.registry.mint(now, ()))


# Keys


def test_a_new_key_waits(nodes: NodeWorld):
    """N5: the old key stands until the new one begins, to the second."""
    told = nodes.told(
        nodes.send(nodes.hosts[0], nodes.registry.set_operator(nodes.ids[0], key("next").address))
    )
    begins = nodes.evm.now_s + TERMS["operator_delay_s"]
    assert told == [
        events.OperatorSet(
            node_id=nodes.ids[0], index=1, operator=key("next").address, valid_from=begins
        )
    ]
    old = nodes.leaves[0].operator
    assert nodes.operator_at(0, begins - 1) == old
    assert nodes.operator_at(0, begins) == key("next").address
    assert nodes.operator_at(0, nodes.leaves[0].valid_from) == old
    assert nodes.operator_at(0, nodes.leaves[0].valid_from - 1) == ZERO
    assert nodes.operator_at(2) == ZERO


def test_a_revocation_holds_at_once(nodes: NodeWorld):
    """N6: what was signed before the compromise stands, what came after does not."""
    old, now = nodes.leaves[0].operator, nodes.evm.now_s
    call = nodes.registry.revoke_operator(nodes.ids[0], 0, now - 10)
    assert nodes.told(nodes.send(nodes.hosts[0], call)) == [
        events.OperatorRevoked(
            node_id=nodes.ids[0], index=0, operator=old, compromised_from=now - 10
        )
    ]
    assert nodes.operator_at(0) == ZERO
    assert nodes.operator_at(0, now - 10) == ZERO
    assert nodes.operator_at(0, now - 11) == old
    assert nodes.registry.key_of(nodes.ids[0], 0).ask(nodes.evm) == NodeKey(
        operator=old,
        valid_from=nodes.leaves[0].valid_from,
        compromised_from=now - 10,
        revoked_at=now,
    )
    with refused("operator: already revoked"):
        nodes.send(nodes.hosts[0], call)


def test_a_revocation_undoes_nothing_that_was_relied_on(nodes: NodeWorld):
    """N6: who accepted a signature before the owner spoke is judged by what was known then."""
    nodes.evm.pass_time(60)
    old, now = nodes.leaves[0].operator, nodes.evm.now_s
    nodes.send(nodes.hosts[0], nodes.registry.revoke_operator(nodes.ids[0], 0, now - 40))

    def known(at: int, known_at: int) -> str:
        return nodes.registry.operator_known_at(nodes.ids[0], at, known_at).ask(nodes.evm)

    assert known(now - 30, now - 1) == old
    assert known(now - 30, now) == ZERO
    assert known(now - 41, now) == old
    assert known(now - 30, MAX) == ZERO


def test_when_a_key_may_be_said_to_be_compromised(nodes: NodeWorld):
    """N6: not before its beginning, not in the future; a pending key from its beginning only."""
    registry, host, node_id = nodes.registry, nodes.hosts[0], nodes.ids[0]
    begun, now = nodes.leaves[0].valid_from, nodes.evm.now_s
    with refused("operator: before key"):
        nodes.send(host, registry.revoke_operator(node_id, 0, begun - 1))
    with refused("operator: in future"):
        nodes.send(host, registry.revoke_operator(node_id, 0, now + 1))
    for index in (1, 2, MAX):
        with refused("operator: no such key"):
            nodes.send(host, registry.revoke_operator(node_id, index, now))
    nodes.send(host, registry.set_operator(node_id, key("next").address))
    begins = now + TERMS["operator_delay_s"]
    with refused("operator: in future"):
        nodes.send(host, registry.revoke_operator(node_id, 1, begins + 1))
    with refused("operator: before key"):
        nodes.send(host, registry.revoke_operator(node_id, 1, begins - 1))
    nodes.send(host, registry.revoke_operator(node_id, 1, begins))
    assert nodes.operator_at(0, begins) == ZERO
    assert nodes.operator_at(0, begins - 1) == nodes.leaves[0].operator
    nodes.send(host, registry.revoke_operator(node_id, 0, now))
    assert nodes.operator_at(0, now) == ZERO


@pytest.mark.parametrize("key_from", [0, 5])
def test_a_key_from_the_beginning_of_time(nodes: NodeWorld, key_from: int):
    """N6: zero is a time like any other; a key compromised from there never counted."""
    one = replace(leaf(9, nodes.hosts[0]), valid_from=key_from)
    nodes.send(nodes.registrar, nodes.registry.publish_root(2, node_leaf_hash(one)))
    nodes.send(nodes.stranger, nodes.registry.mint(one, ()))
    nodes.send(nodes.hosts[0], nodes.registry.revoke_operator(one.node_id, 0, key_from))
    for at in (0, key_from, nodes.evm.now_s):
        assert nodes.registry.operator_at(one.node_id, at).ask(nodes.evm) == ZERO


def test_the_longest_history(nodes: NodeWorld):
    """N5, N15: 255 keys, each found at its beginning and a second before the next; no more."""
    host, node_id = nodes.hosts[0], nodes.ids[0]
    names = [nodes.leaves[0].operator]
    begun = [nodes.leaves[0].valid_from]
    for i in range(1, KEYS_MAX):
        nodes.evm.pass_time(1 + i % 3)
        names.append(key(f"key {i % 7}").address)
        begun.append(nodes.evm.now_s + TERMS["operator_delay_s"])
        nodes.send(host, nodes.registry.set_operator(node_id, names[i]))
        if i in (1, 2, 3, 7, 8):
            assert [nodes.operator_at(0, at) for at in begun] == names
    assert nodes.operator_at(0, begun[0] - 1) == ZERO
    assert nodes.operator_at(0, MAX) == names[-1]
    assert [nodes.operator_at(0, at - 1) for at in begun[1:]] == names[:-1]
    with refused("operator: too many"):
        nodes.send(host, nodes.registry.set_operator(node_id, key("one more").address))


def test_a_key_is_somebody(nodes: NodeWorld):
    with refused("operator: zero"):
        nodes.send(nodes.hosts[0], nodes.registry.set_operator(nodes.ids[0], ZERO))


# Bonds


def test_a_bond_is_posted_by_anybody(nodes: NodeWorld):
    """N7: it is the node's, whoever paid; the exact amount arrives."""
    host = nodes.hosts[1]
    told = nodes.told(nodes.send(host, nodes.registry.post_bond(nodes.ids[0], 7)))
    assert told == [
        events.BondPosted(node_id=nodes.ids[0], payer=host.address, amount=7, bond=BOND + 7),
        events.Transfer(sender=host.address, receiver=nodes.registry.address, value=7),
    ]
    assert nodes.bond(0) == BOND + 7
    assert nodes.registry.total_held().ask(nodes.evm) == 2 * BOND + 7
    assert nodes.tokens(nodes.registry.address) == 2 * BOND + 7
    with refused("amount: zero"):
        nodes.send(host, nodes.registry.post_bond(nodes.ids[0], 0))
    with refused("erc721: no such token"):
        nodes.send(host, nodes.registry.post_bond(nodes.ids[2], 1))
    with refused(None):
        nodes.send(host, nodes.registry.post_bond(nodes.ids[0], MAX))


def test_a_bond_leaves_after_notice(nodes: NodeWorld):
    """N7: to the second; under notice it is not free; the smaller of request and bond is paid."""
    registry, host, node_id = nodes.registry, nodes.hosts[0], nodes.ids[0]
    ready = nodes.evm.now_s + TERMS["notice_s"]
    told = nodes.told(nodes.send(host, registry.request_bond_withdrawal(node_id, 300)))
    assert told == [events.BondWithdrawalRequested(node_id=node_id, amount=300, ready_at=ready)]
    assert registry.withdrawal_of(node_id).ask(nodes.evm) == Withdrawal(amount=300, ready_at=ready)
    assert registry.free_bond(node_id).ask(nodes.evm) == BOND - 300
    with refused("withdrawal: already requested"):
        nodes.send(host, registry.request_bond_withdrawal(node_id, 1))
    nodes.evm.pass_time(TERMS["notice_s"] - 1)
    with refused("withdrawal: notice"):
        nodes.send(host, registry.withdraw_bond(node_id))
    nodes.evm.pass_time(1)
    outcome = nodes.send(host, registry.withdraw_bond(node_id))
    assert int.from_bytes(outcome.output, "big") == 300
    assert nodes.told(outcome) == [
        events.BondWithdrawn(node_id=node_id, owner=host.address, amount=300, bond=BOND - 300),
        events.Transfer(sender=registry.address, receiver=host.address, value=300),
    ]
    assert nodes.bond(0) == BOND - 300
    assert registry.total_held().ask(nodes.evm) == 2 * BOND - 300
    with refused("withdrawal: not requested"):
        nodes.send(host, registry.withdraw_bond(node_id))
    assert nodes.tokens(host.address) == FUNDS - BOND + 300


def test_more_than_the_bond_is_the_bond(nodes: NodeWorld):
    registry, host, node_id = nodes.registry, nodes.hosts[0], nodes.ids[0]
    nodes.send(host, registry.request_bond_withdrawal(node_id, MAX))
    assert registry.free_bond(node_id).ask(nodes.evm) == 0
    nodes.evm.pass_time(TERMS["notice_s"])
    nodes.send(host, registry.withdraw_bond(node_id))
    assert nodes.bond(0) == 0
    assert nodes.tokens(host.address) == FUNDS
    nodes.send(host, registry.request_bond_withdrawal(node_id, 1))
    nodes.evm.pass_time(TERMS["notice_s"])
    outcome = nodes.send(host, registry.withdraw_bond(node_id))
    assert nodes.told(outcome) == [
        events.BondWithdrawn(node_id=node_id, owner=host.address, amount=0, bond=0)
    ]


def test_a_notice_can_be_taken_back(nodes: NodeWorld):
    registry, host, node_id = nodes.registry, nodes.hosts[0], nodes.ids[0]
    with refused("withdrawal: not requested"):
        nodes.send(host, registry.cancel_bond_withdrawal(node_id))
    with refused("amount: zero"):
        nodes.send(host, registry.request_bond_withdrawal(node_id, 0))
    nodes.send(host, registry.request_bond_withdrawal(node_id, 300))
    told = nodes.told(nodes.send(host, registry.cancel_bond_withdrawal(node_id)))
    assert told == [events.BondWithdrawalCancelled(node_id=node_id)]
    assert registry.free_bond(node_id).ask(nodes.evm) == BOND
    nodes.evm.pass_time(TERMS["notice_s"])
    with refused("withdrawal: not requested"):
        nodes.send(host, registry.withdraw_bond(node_id))


def test_bond_notice_and_keys_travel_with_the_node(nodes: NodeWorld):
    """N7: the buyer has them all, the seller nothing."""
    registry, node_id = nodes.registry, nodes.ids[0]
    seller, buyer = nodes.hosts
    nodes.send(seller, registry.request_bond_withdrawal(node_id, 300))
    nodes.send(seller, registry.transfer_from(seller.address, buyer.address, number(node_id)))
    nodes.evm.pass_time(TERMS["notice_s"])
    with refused("node: not owner"):
        nodes.send(seller, registry.withdraw_bond(node_id))
    nodes.send(buyer, registry.withdraw_bond(node_id))
    assert nodes.tokens(buyer.address) == FUNDS - BOND + 300
    nodes.send(buyer, registry.revoke_operator(node_id, 0, nodes.evm.now_s))
    assert nodes.operator_at(0) == ZERO


def test_whom_the_owner_approved_only_moves_the_node(nodes: NodeWorld):
    """N14: an approval is not the owner's key."""
    registry, node_id, friend = nodes.registry, nodes.ids[0], nodes.stranger
    nodes.send(nodes.hosts[0], registry.approve(friend.address, number(node_id)))
    nodes.send(nodes.hosts[0], registry.set_approval_for_all(friend.address, approved=True))
    for call in (
        registry.set_operator(node_id, friend.address),
        registry.revoke_operator(node_id, 0, nodes.evm.now_s),
        registry.request_bond_withdrawal(node_id, 1),
        registry.cancel_bond_withdrawal(node_id),
        registry.withdraw_bond(node_id),
    ):
        with refused("node: not owner"):
            nodes.send(friend, call)
    nodes.send(
        friend, registry.transfer_from(nodes.hosts[0].address, friend.address, number(node_id))
    )
    assert nodes.owner_of(0) == friend.address


def test_a_frozen_owner_stops_itself_only(nodes: NodeWorld):
    """N8."""
    registry = nodes.registry
    for node in (0, 1):
        nodes.send(nodes.hosts[node], registry.request_bond_withdrawal(nodes.ids[node], BOND))
    nodes.evm.pass_time(TERMS["notice_s"])
    nodes.send(nodes.owner, nodes.token.freeze(nodes.hosts[0].address))
    with refused("token: frozen"):
        nodes.send(nodes.hosts[0], registry.withdraw_bond(nodes.ids[0]))
    nodes.send(nodes.hosts[1], registry.withdraw_bond(nodes.ids[1]))
    nodes.send(nodes.owner, nodes.token.unfreeze(nodes.hosts[0].address))
    nodes.send(nodes.hosts[0], registry.withdraw_bond(nodes.ids[0]))
    assert registry.total_held().ask(nodes.evm) == 0


# Deployment


def test_the_terms(nodes: NodeWorld):
    """A registry needs a token and times that are not zero; it has the terms it was given."""
    assert nodes.registry.check_code(nodes.evm.code(nodes.registry.address)) == {
        "token": nodes.token.address,
        **TERMS,
        "eip712.NAME": "opencarrier NodeRegistry",
        "eip712.VERSION": "1",
        "eip712.FIRST_CHAIN_ID": nodes.evm.chain_id,
        "eip712.FIRST_ADDRESS": nodes.registry.address,
        "eip712.FIRST_SEPARATOR": nodes.domain.separator,
    }
    owner = nodes.owner.address
    for name in ("appeal_s", "decision_s", "ban_s_max"):
        terms = {"token": nodes.token.address, "owner": owner, **TERMS, name: 0}
        with refused("time: zero"):
            nodes.evm.deploy(owner, NodeRegistry.deployment(**terms))
    with refused("address: zero"):
        nodes.evm.deploy(owner, NodeRegistry.deployment(token=ZERO, owner=owner, **TERMS))
    prompt = {**TERMS, "notice_s": 0, "operator_delay_s": 0}
    made = NodeRegistry.deployment(token=nodes.token.address, owner=owner, **prompt)
    nodes.evm.deploy(owner, made)


def test_who_is_named(nodes: NodeWorld):
    """N14: what the owner set is told and read."""
    registry, send, owner = nodes.registry, nodes.send, nodes.owner
    new = nodes.stranger.address
    for call, event, read in (
        (registry.set_registrar, events.RegistrarSet(registrar=new), registry.registrar),
        (registry.set_arbiter, events.ArbiterSet(arbiter=new), registry.arbiter),
        (registry.set_beneficiary, events.BeneficiarySet(beneficiary=new), registry.beneficiary),
    ):
        assert nodes.told(send(owner, call(new))) == [event]
        assert read().ask(nodes.evm) == new
    for bad in (ZERO, registry.address):
        with refused("beneficiary: bad address"):
            send(owner, registry.set_beneficiary(bad))
    assert registry.token().ask(nodes.evm) == nodes.token.address
