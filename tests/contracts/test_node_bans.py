"""NodeRegistry: bans, appeals and what they cost (N8 to N12 of contracts/NodeRegistry.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_evm import MAX, ZERO, key, refused
from contract_nodes import BOND, FUNDS, TERMS, NodeWorld

from opencarrier.chain import events
from opencarrier.chain.contracts import GUARDIANS_MAX, Ban, NodeRegistry, Stage
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
GROUNDS = keccak(b"the map was wrong")


def appealed(nodes: NodeWorld, **other):
    """A ban of node 0 that its owner appealed against."""
    statement = nodes.statement(**other)
    nodes.ban(statement)
    nodes.send(nodes.hosts[0], nodes.registry.appeal(statement.ban_id, GROUNDS))
    return statement


def test_a_ban(nodes: NodeWorld):
    """N9, N11, N13: it takes its price into escrow, says all, and ends by itself."""
    statement = nodes.statement()
    assert not nodes.banned(0)
    outcome = nodes.ban(statement)
    due = nodes.evm.now_s + TERMS["appeal_s"]
    assert outcome.output == statement.ban_id
    assert nodes.told(outcome) == [
        events.Banned(
            node_id=statement.node_id,
            ban_id=statement.ban_id,
            reason_hash=statement.reason_hash,
            evidence_root=statement.evidence_root,
            starts_at=statement.starts_at_s,
            ends_at=statement.ends_at_s,
            escrow=400,
            due_at=due,
        )
    ]
    assert nodes.ban_of(statement) == Ban(
        node_id=statement.node_id,
        ends_at=statement.ends_at_s,
        escrow=400,
        due_at=due,
        stage=Stage.OPEN,
    )
    assert nodes.registry.last_ban(statement.node_id).ask(nodes.evm) == statement.ban_id
    assert nodes.bond(0) == BOND - 400
    assert nodes.registry.total_held().ask(nodes.evm) == 2 * BOND
    assert (nodes.banned(0), nodes.banned(1)) == (True, False)
    nodes.evm.pass_time(1999)
    assert nodes.banned(0)
    nodes.evm.pass_time(1)
    assert not nodes.banned(0)


@pytest.mark.parametrize("price", [0, BOND - 1, BOND, BOND + 1, MAX])
def test_never_more_than_the_bond(nodes: NodeWorld, price: int):
    """N11."""
    statement = nodes.statement(slash_minor=price)
    nodes.ban(statement)
    assert nodes.ban_of(statement).escrow == min(price, BOND)
    assert nodes.bond(0) == BOND - min(price, BOND)
    assert nodes.bond(1) == BOND


def test_a_ban_counts_within_its_own_time(nodes: NodeWorld):
    """N9: not before it, not after it, at most as long as a ban may be."""
    now = nodes.evm.now_s
    for times, reason in (
        ((now + 1, now + 100), "ban: not yet"),
        ((now - 100, now), "ban: over"),
        ((now - 100, now - 50), "ban: over"),
        ((now, now), "ban: over"),
        ((now, now + 5001), "ban: too long"),
        ((now - 1, now + 5000), "ban: too long"),
        ((0, MAX), "ban: too long"),
    ):
        with refused(reason):
            nodes.ban(nodes.statement(starts_at_s=times[0], ends_at_s=times[1]))
    for times in ((now, now + 5000), (now - 4999, now + 1)):
        with nodes.evm.anchor():
            nodes.ban(nodes.statement(starts_at_s=times[0], ends_at_s=times[1]))
            assert nodes.banned(0)


def test_who_signs(nodes: NodeWorld):
    """N9: enough distinct guardians, ascending; nobody else, nobody twice."""
    one, two, three = nodes.guardians
    statement = nodes.statement()
    for signers, reason in (
        ((one,), "ban: signatures missing"),
        ((one, one), "ban: signers order"),
        ((two, one), "ban: signers order"),
        ((one, nodes.owner), "ban: not guardian"),
        ((nodes.arbiter, nodes.owner), "ban: not guardian"),
        ((one, two, nodes.stranger), "ban: not guardian"),
    ):
        with refused(reason):
            nodes.ban(statement, *signers)
    with refused("ban: signatures missing"):
        nodes.send(nodes.stranger, nodes.registry.ban(statement, ()))
    for signers in ((one, two), (one, three), (two, three), (one, two, three)):
        with nodes.evm.anchor():
            nodes.ban(statement, *signers)


def test_a_signature_has_one_form(nodes: NodeWorld):
    """N9: high s, another length and the zero signer are nobody's, guardian lists hold no zero."""
    statement = nodes.statement()
    first, second = nodes.signed(statement)
    r, s, v = first[:32], int.from_bytes(first[32:64], "big"), first[64]
    high = r + (ORDER - s).to_bytes(32, "big") + bytes((55 - v,))
    for bad in (high, first[:64], b"", bytes(65), first[:64] + b"\x00"):
        with refused("ban: not guardian"):
            nodes.send(nodes.stranger, nodes.registry.ban(statement, [bad, second]))


def test_every_word_is_signed(nodes: NodeWorld):
    """N9: signatures of one statement count for no other."""
    statement = nodes.statement()
    signatures = nodes.signed(statement)
    for change in (
        {"node_id": nodes.ids[1]},
        {"reason_hash": bytes(32)},
        {"evidence_root": bytes(32)},
        {"starts_at_s": statement.starts_at_s - 1},
        {"ends_at_s": statement.ends_at_s + 1},
        {"slash_minor": statement.slash_minor + 1},
    ):
        other = replace(statement, **change)
        with refused("ban: not guardian"):
            nodes.send(nodes.stranger, nodes.registry.ban(other, signatures))


def test_no_other_chain_or_contract(nodes: NodeWorld):
    """N10."""
    statement = nodes.statement()
    signatures = nodes.signed(statement)
    made = NodeRegistry.deployment(token=nodes.token.address, owner=nodes.owner.address, **TERMS)
    other = NodeRegistry(nodes.evm.deploy(nodes.owner.address, made))
    guardians = [guardian.address for guardian in nodes.guardians]
    nodes.send(nodes.owner, other.set_guardians(guardians, 2))
    with refused("ban: not guardian"):
        nodes.send(nodes.stranger, other.ban(statement, signatures))
    here = nodes.evm.chain_id
    nodes.evm.set_chain_id(here + 1)
    try:
        with refused("ban: not guardian"):
            nodes.send(nodes.stranger, nodes.registry.ban(statement, signatures))
    finally:
        nodes.evm.set_chain_id(here)
    nodes.ban(statement)


def test_a_statement_counts_once(nodes: NodeWorld):
    """N10: not while it is in force, not after it was lifted, not by other signatures."""
    statement = appealed(nodes)
    with refused("ban: already banned"):
        nodes.ban(statement)
    with refused("ban: already banned"):
        nodes.ban(nodes.statement(reason_hash=bytes(32)))
    nodes.send(nodes.arbiter, nodes.registry.decide(statement.ban_id, lifted=True))
    assert not nodes.banned(0)
    for signers in ((), nodes.guardians[1:], nodes.guardians):
        with refused("ban: known"):
            nodes.ban(statement, *signers)
    nodes.ban(nodes.statement(reason_hash=bytes(32)))
    assert nodes.banned(0)


def test_after_one_ban_another(nodes: NodeWorld):
    """N11: as soon as the last one ended; its open case is not touched by the next."""
    first = nodes.statement(ends_at_s=nodes.evm.now_s + 200)
    nodes.ban(first)
    nodes.evm.pass_time(199)
    with refused("ban: already banned"):
        nodes.ban(nodes.statement())
    nodes.evm.pass_time(1)
    with refused("ban: over"):
        nodes.ban(first)
    second = nodes.statement(slash_minor=100)
    nodes.ban(second)
    assert nodes.bond(0) == BOND - 400 - 100
    nodes.send(nodes.hosts[0], nodes.registry.appeal(first.ban_id, GROUNDS))
    nodes.send(nodes.arbiter, nodes.registry.decide(first.ban_id, lifted=True))
    assert nodes.banned(0)
    assert nodes.bond(0) == BOND - 100
    assert nodes.ban_of(second).escrow == 100


def test_a_node_that_nobody_minted(nodes: NodeWorld):
    """N9: it is banned as well, at no price; its owner mints it to appeal."""
    statement = nodes.statement(2)
    nodes.ban(statement)
    assert nodes.banned(2)
    assert nodes.ban_of(statement).escrow == 0
    with refused("erc721: no such token"):
        nodes.send(nodes.hosts[0], nodes.registry.appeal(statement.ban_id, GROUNDS))
    nodes.mint(2)
    nodes.send(nodes.hosts[0], nodes.registry.appeal(statement.ban_id, GROUNDS))


def test_an_appeal(nodes: NodeWorld):
    """N12: the owner's, once, until the last second of its time."""
    statement = nodes.statement()
    nodes.ban(statement)
    appeal = nodes.registry.appeal(statement.ban_id, GROUNDS)
    for other in (nodes.hosts[1], nodes.stranger, nodes.arbiter):
        with refused("node: not owner"):
            nodes.send(other, appeal)
    with refused("decide: not appealed"):
        nodes.send(nodes.arbiter, nodes.registry.decide(statement.ban_id, lifted=True))
    nodes.evm.pass_time(TERMS["appeal_s"] - 1)
    due = nodes.evm.now_s + TERMS["decision_s"]
    with nodes.evm.anchor():
        for _ in range(2):
            nodes.evm.pass_time(1)
            with refused("appeal: late"):
                nodes.send(nodes.hosts[0], appeal)
    nodes.evm.pass_time(0)
    assert nodes.told(nodes.send(nodes.hosts[0], appeal)) == [
        events.BanAppealed(ban_id=statement.ban_id, grounds_hash=GROUNDS, due_at=due)
    ]
    assert nodes.ban_of(statement) == Ban(
        node_id=statement.node_id,
        ends_at=statement.ends_at_s,
        escrow=400,
        due_at=due,
        stage=Stage.APPEALED,
    )
    assert nodes.banned(0)
    with refused("appeal: not open"):
        nodes.send(nodes.hosts[0], appeal)


def test_a_lifted_ban_gives_all_back(nodes: NodeWorld):
    """N12."""
    statement = appealed(nodes)
    call = nodes.registry.decide(statement.ban_id, lifted=True)
    with refused("decide: not arbiter"):
        nodes.send(nodes.owner, call)
    assert nodes.told(nodes.send(nodes.arbiter, call)) == [
        events.BanLifted(ban_id=statement.ban_id, node_id=statement.node_id, amount=400, bond=BOND)
    ]
    assert not nodes.banned(0)
    assert nodes.bond(0) == BOND
    assert nodes.registry.collectable().ask(nodes.evm) == 0
    assert nodes.ban_of(statement).stage is Stage.LIFTED
    assert nodes.ban_of(statement).escrow == 0
    with refused("decide: not appealed"):
        nodes.send(nodes.arbiter, call)
    nodes.evm.pass_time(TERMS["decision_s"])
    with refused("close: not open"):
        nodes.send(nodes.stranger, nodes.registry.close(statement.ban_id))


def test_an_upheld_ban_costs_its_price(nodes: NodeWorld):
    """N12: the ban goes on, the escrow is the beneficiary's, once."""
    statement = appealed(nodes)
    told = nodes.told(
        nodes.send(nodes.arbiter, nodes.registry.decide(statement.ban_id, lifted=False))
    )
    assert told == [events.BanUpheld(ban_id=statement.ban_id, amount=400)]
    assert nodes.banned(0)
    assert nodes.bond(0) == BOND - 400
    assert nodes.ban_of(statement).stage is Stage.UPHELD
    assert nodes.ban_of(statement).escrow == 0
    outcome = nodes.send(nodes.stranger, nodes.registry.collect())
    assert int.from_bytes(outcome.output, "big") == 400
    assert nodes.told(outcome) == [
        events.Collected(beneficiary=nodes.beneficiary.address, amount=400),
        events.Transfer(
            sender=nodes.registry.address, receiver=nodes.beneficiary.address, value=400
        ),
    ]
    assert nodes.tokens(nodes.beneficiary.address) == 400
    assert nodes.registry.collectable().ask(nodes.evm) == 0
    assert nodes.registry.total_held().ask(nodes.evm) == 2 * BOND - 400
    with refused("collect: nothing due"):
        nodes.send(nodes.stranger, nodes.registry.collect())
    with refused("close: not open"):
        nodes.evm.pass_time(TERMS["decision_s"])
        nodes.send(nodes.stranger, nodes.registry.close(statement.ban_id))


def test_silence_of_the_owner_upholds(nodes: NodeWorld):
    """N12: from the first second after its time."""
    statement = nodes.statement()
    nodes.ban(statement)
    close = nodes.registry.close(statement.ban_id)
    nodes.evm.pass_time(TERMS["appeal_s"] - 1)
    with refused("close: early"):
        nodes.send(nodes.stranger, close)
    nodes.evm.pass_time(1)
    assert nodes.told(nodes.send(nodes.stranger, close)) == [
        events.BanUpheld(ban_id=statement.ban_id, amount=400)
    ]
    assert nodes.registry.collectable().ask(nodes.evm) == 400
    assert nodes.banned(0)


def test_silence_of_the_arbiter_lifts(nodes: NodeWorld):
    """N12: an arbiter that is late or gone cannot keep a bond."""
    statement = appealed(nodes)
    close = nodes.registry.close(statement.ban_id)
    nodes.evm.pass_time(TERMS["decision_s"] - 1)
    with refused("close: early"):
        nodes.send(nodes.stranger, close)
    with nodes.evm.anchor():
        nodes.send(nodes.arbiter, nodes.registry.decide(statement.ban_id, lifted=False))
    for _ in range(2):
        nodes.evm.pass_time(1)
        with refused("decide: late"):
            nodes.send(nodes.arbiter, nodes.registry.decide(statement.ban_id, lifted=False))
    nodes.send(nodes.stranger, close)
    assert nodes.bond(0) == BOND
    assert not nodes.banned(0)


def test_cases_that_are_none(nodes: NodeWorld):
    with refused("appeal: not open"):
        nodes.send(nodes.hosts[0], nodes.registry.appeal(bytes(32), GROUNDS))
    with refused("decide: not appealed"):
        nodes.send(nodes.arbiter, nodes.registry.decide(bytes(32), lifted=True))
    with refused("close: not open"):
        nodes.send(nodes.stranger, nodes.registry.close(bytes(32)))
    assert nodes.registry.ban_of(bytes(32)).ask(nodes.evm).stage is Stage.NONE


def test_a_ban_stops_no_withdrawal(nodes: NodeWorld):
    """N8, N7: what is not in escrow leaves after notice; under notice it can be lost."""
    registry, host, node_id = nodes.registry, nodes.hosts[0], nodes.ids[0]
    nodes.send(host, registry.request_bond_withdrawal(node_id, BOND))
    nodes.evm.pass_time(TERMS["notice_s"] - 1)
    nodes.ban(nodes.statement(slash_minor=BOND - 1))
    nodes.evm.pass_time(1)
    nodes.send(host, registry.withdraw_bond(node_id))
    assert nodes.tokens(host.address) == FUNDS - BOND + 1
    assert nodes.bond(0) == 0


def test_a_banned_node_goes_on_being_owned(nodes: NodeWorld):
    """N8: a ban says what a node is worth to others, not whose it is."""
    nodes.ban(nodes.statement())
    registry, host, node_id = nodes.registry, nodes.hosts[0], nodes.ids[0]
    nodes.send(host, registry.set_operator(node_id, key("next").address))
    nodes.send(host, registry.post_bond(node_id, 5))
    nodes.send(
        host,
        registry.transfer_from(host.address, nodes.hosts[1].address, int.from_bytes(node_id)),
    )
    assert nodes.banned(0)


def test_the_guardians(nodes: NodeWorld):
    """N15: ascending, distinct, none zero, at most sixteen; a threshold they can reach."""
    registry, owner = nodes.registry, nodes.owner
    addresses = [guardian.address for guardian in nodes.guardians]
    assert registry.guardians().ask(nodes.evm) == tuple(addresses)
    assert registry.threshold().ask(nodes.evm) == 2

    def raw(guardians: list[str], threshold: int) -> Call:
        data = NodeRegistry.artefact().call_data("set_guardians", guardians, threshold)
        return Call(to=registry.address, data=data)

    for guardians, threshold, reason in (
        (addresses, 0, "guardians: threshold"),
        (addresses, 4, "guardians: threshold"),
        ([], 2, "guardians: threshold"),
        ([], 0, "guardians: threshold"),
        (addresses[::-1], 1, "guardians: order"),
        ([addresses[0]] * 2, 1, "guardians: order"),
        ([ZERO, *addresses], 1, "guardians: order"),
    ):
        with refused(reason):
            nodes.send(owner, raw(guardians, threshold))
    lowest = "0x" + "00" * 19 + "01"
    with nodes.evm.anchor():
        nodes.send(owner, raw([lowest, *addresses], 1))
        assert registry.guardians().ask(nodes.evm)[0] == lowest
    crowd = sorted(key(f"crowd {i}").address for i in range(GUARDIANS_MAX))
    told = nodes.told(nodes.send(owner, registry.set_guardians(crowd, GUARDIANS_MAX)))
    assert told == [events.GuardiansSet(guardians=tuple(crowd), threshold=GUARDIANS_MAX)]
    with refused(None):
        nodes.send(owner, raw(sorted([*crowd, addresses[0]]), 1))
    with pytest.raises(AssertionError):
        registry.set_guardians([*crowd, addresses[0]], 1)
    nodes.ban(
        nodes.statement(),
        *sorted((key(f"crowd {i}") for i in range(16)), key=lambda k: k.address),
    )


def test_new_guardians_void_what_was_not_submitted(nodes: NodeWorld):
    """N9: signatures count by the list in force when the statement arrives."""
    statement = nodes.statement()
    signatures = nodes.signed(statement)
    nodes.send(nodes.owner, nodes.registry.set_guardians([nodes.stranger.address], 1))
    with refused("ban: not guardian"):
        nodes.send(nodes.stranger, nodes.registry.ban(statement, signatures))
    nodes.send(nodes.owner, nodes.registry.set_guardians([], 1))
    with refused("ban: not guardian"):
        nodes.ban(statement, nodes.stranger)


def test_no_ban_before_there_are_guardians():
    """N9: a registry that was only deployed bans nobody, with no signature and with any."""
    fresh = NodeWorld()
    statement = fresh.statement()
    with refused("ban: signatures missing"):
        fresh.send(fresh.stranger, fresh.registry.ban(statement, ()))
    with refused("ban: not guardian"):
        fresh.send(fresh.stranger, fresh.registry.ban(statement, [bytes(65)]))
    assert fresh.registry.threshold().ask(fresh.evm) == 1


def test_nobody_collects_for_nobody():
    """N12: without a beneficiary what bans cost waits for one."""
    fresh = NodeWorld().open(beneficiary=False)
    statement = fresh.statement()
    fresh.ban(statement)
    with refused("collect: nothing due"):
        fresh.send(fresh.stranger, fresh.registry.collect())
    fresh.evm.pass_time(TERMS["appeal_s"])
    fresh.send(fresh.stranger, fresh.registry.close(statement.ban_id))
    with refused("collect: no beneficiary"):
        fresh.send(fresh.stranger, fresh.registry.collect())
    fresh.send(fresh.owner, fresh.registry.set_beneficiary(fresh.beneficiary.address))
    fresh.send(fresh.stranger, fresh.registry.collect())
    assert fresh.tokens(fresh.beneficiary.address) == 400
