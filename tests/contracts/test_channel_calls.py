"""Channels as octets: several calls in one, call data read by hand, digests, copied code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from channel_world import DEPOSIT, ChannelWorld
from contract_evm import refused

from opencarrier.chain import events, typed_data
from opencarrier.chain.contracts import BatchChannels, ChannelState

# Several calls at once


def test_multicall_keeps_the_caller(opened: ChannelWorld):
    """B8, B10: claim and refund in one, as the SDK closes a channel."""
    calls = [
        opened.channels.claim([opened.row(10)]),
        opened.channels.refund(opened.config, DEPOSIT),
    ]
    with refused("NotAuthorizedToClaim"):
        opened.send(opened.relay, opened.channels.multicall(calls))
    told = opened.told(opened.send(opened.receiver, opened.channels.multicall(calls)))
    assert [type(event) for event in told] == [events.ChannelClaimed, events.ChannelRefunded]
    assert opened.state() == ChannelState(balance_minor=10, total_claimed_minor=10)


def test_multicall_answers_what_the_calls_answer(opened: ChannelWorld):
    calls = [
        opened.channels.channel(opened.id()).call,
        opened.channels.channel_id(opened.config).call,
        opened.channels.settle(opened.receiver.address, opened.token.address),
    ]
    output = opened.send(opened.relay, opened.channels.multicall(calls)).output
    (answers,) = opened.channels.artefact().read_result("multicall", output)
    assert opened.channels.channel(opened.id()).read(answers[0]) == opened.state()
    assert answers[1:] == (opened.id(), b"")
    assert opened.send(opened.relay, opened.channels.multicall([])).logs == ()


def test_multicall_is_all_or_nothing(opened: ChannelWorld):
    """B8: also when it calls itself, and the reason comes through."""
    claim = opened.channels.claim([opened.row(10)])
    bad = opened.channels.claim([opened.row(20, signer=opened.relay)])
    with refused("InvalidSignature"):
        opened.send(opened.receiver, opened.channels.multicall([claim, bad]))
    assert opened.state().total_claimed_minor == 0
    nested = opened.channels.multicall([opened.channels.multicall([claim])])
    opened.send(opened.receiver, nested)
    assert opened.state().total_claimed_minor == 10


def test_the_bounds_of_a_multicall(opened: ChannelWorld):
    quiet = opened.channels.settle(opened.receiver.address, opened.token.address)
    opened.send(opened.relay, opened.channels.multicall([quiet] * 8))
    with pytest.raises(AssertionError, match="more calls"):
        opened.channels.multicall([quiet] * 9)
    longest = replace(quiet, data=quiet.data + bytes(4096 - len(quiet.data)))
    opened.send(opened.relay, opened.channels.multicall([longest]))
    with pytest.raises(AssertionError, match="too long"):
        opened.channels.multicall([replace(longest, data=longest.data + b"\x00")])
    for beyond in ([quiet.data] * 9, [longest.data + b"\x00"]):
        data = BatchChannels.artefact().call_data("multicall", beyond)
        with refused(None):
            opened.send(opened.relay, replace(quiet, data=data))


def test_an_answer_within_a_multicall_is_cut(opened: ChannelWorld):
    """An inner multicall of eight answers 576 octets, of which 512 come out."""
    quiet = opened.channels.settle(opened.receiver.address, opened.token.address)
    inner = opened.channels.multicall([quiet] * 8)
    whole = opened.send(opened.relay, inner).output
    output = opened.send(opened.relay, opened.channels.multicall([inner])).output
    ((answer,),) = opened.channels.artefact().read_result("multicall", output)
    assert (len(whole), answer) == (576, whole[:512])


# The calls as octets


def test_data_after_a_call_is_tolerated(opened: ChannelWorld):
    """The SDK marks its calls at their end."""
    rows = [opened.row(4)]
    calls = [
        (opened.relay, opened.channels.claim_with_signature(rows, opened.batch_signature(rows))),
        (opened.receiver, opened.channels.claim([opened.row(5)])),
        (opened.relay, opened.channels.settle(opened.receiver.address, opened.token.address)),
    ]
    for sender, call in calls:
        opened.send(sender, replace(call, data=call.data + b"mark" * 9))
    assert opened.tokens(opened.receiver.address) == 5


def test_unknown_calls_and_ether_are_refused(opened: ChannelWorld):
    call = opened.channels.claim([opened.row(1)])
    for data in (b"", b"\x00", b"\x12\x34\x56\x78", call.data[:3], b"\xff" + call.data[1:]):
        with refused(None):
            opened.send(opened.receiver, replace(call, data=data))


def test_cut_and_dirty_claims_are_refused(opened: ChannelWorld):
    """Every prefix of a claim reverts; so do values beyond their types."""
    call = opened.channels.claim([opened.row(1)])
    for length in range(4, len(call.data), 32):
        with refused(None):
            opened.send(opened.receiver, replace(call, data=call.data[:length]))
    row_at = 4 + 32 + 32 + 32
    for word, first in ((0, 11), (1, 11), (4, 11), (5, 26), (7, 15), (9, 15)):
        at = row_at + 32 * word + first
        assert call.data[at] == 0
        dirty = call.data[:at] + b"\x01" + call.data[at + 1 :]
        with refused(None):
            opened.send(opened.receiver, replace(call, data=dirty))


def test_offsets_that_point_nowhere_are_refused(opened: ChannelWorld):
    """Offsets beyond the data, and such that their sum overflows."""
    call = opened.channels.claim([opened.row(1)])
    offsets = (4, 4 + 32 + 32, 4 + 32 + 32 + 32 + 8 * 32)
    for at in offsets:
        for offset in (len(call.data), 2**255, 2**256 - 1):
            bad = call.data[:at] + offset.to_bytes(32, "big") + call.data[at + 32 :]
            with refused(None):
                opened.send(opened.receiver, replace(call, data=bad))


def test_the_batch_digest_is_the_compilers(opened: ChannelWorld):
    """Rows read where they lie and rows as typed arguments are the same rows."""
    for count in (0, 1, 3):
        rows = [opened.row(i + 1, opened.terms(salt=i)) for i in range(count)]
        entries = [
            typed_data.ClaimEntry(
                channel_id=opened.id(row.config),
                max_claimable_minor=row.max_claimable_minor,
                total_claimed_minor=row.total_claimed_minor,
            )
            for row in rows
        ]
        digest = typed_data.claim_batch_digest(opened.domain, entries)
        assert opened.channels.claim_batch_digest(rows).ask(opened.evm) == digest


# Digests and domain


def test_digests_are_the_python_sides(opened: ChannelWorld):
    """SDK digest = Python digest (test_channel_typed_data) = contract digest."""
    channels, domain = opened.channels, opened.domain
    assert channels.channel_id(opened.config).ask(opened.evm) == opened.id()
    assert channels.voucher_digest(opened.id(), 5).ask(opened.evm) == typed_data.voucher_digest(
        domain, opened.id(), 5
    )
    assert channels.refund_digest(opened.id(), nonce=3, amount=5).ask(
        opened.evm
    ) == typed_data.refund_digest(domain, channel_id=opened.id(), nonce=3, amount_minor=5)


def test_copied_code_has_its_own_domain(opened: ChannelWorld):
    """B9: code put elsewhere, or a chain that forked, computes its domain anew."""
    canonical = "0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003"
    opened.evm.copy_code(opened.channels.address, canonical)
    there = BatchChannels(canonical)
    here = there.signing_domain(opened.evm.chain_id)
    assert there.channel_id(opened.config).ask(opened.evm) == typed_data.channel_id(
        here, opened.config
    )
    opened.evm.set_chain_id(31337)
    domain = there.signing_domain(31337)
    assert domain.separator.hex().startswith("bf720f8d28a5c76a")
    identifier = typed_data.channel_id(domain, opened.config)
    assert there.channel_id(opened.config).ask(opened.evm) == identifier
    assert there.channel_id(opened.config).ask(opened.evm) != opened.id()
    opened.evm.set_chain_id(1)
    assert there.channel_id(opened.config).ask(opened.evm) != identifier


@pytest.mark.parametrize("step", [-1, 1])
def test_a_fork_has_its_own_domain(opened: ChannelWorld, step):
    """B9: whatever its chain id, below the first or above."""
    opened.evm.set_chain_id(opened.evm.chain_id + step)
    assert opened.channels.channel_id(opened.config).ask(opened.evm) == opened.id()


def test_a_voucher_counts_in_one_place(opened: ChannelWorld):
    """B9: not after the chain id changed, not in a copy of the contract."""
    row = opened.row(5)
    chain_id = opened.evm.chain_id
    opened.evm.set_chain_id(chain_id + 1)
    assert opened.id() != typed_data.channel_id(
        opened.channels.signing_domain(chain_id), opened.config
    )
    with refused("ClaimExceedsBalance"):
        opened.claim(row)
    opened.deposit()
    with refused("InvalidSignature"):
        opened.claim(row)


def test_constants(opened: ChannelWorld):
    artefact = BatchChannels.artefact()

    def ask(name):
        call = replace(opened.channels.refund_nonce(bytes(32)).call, data=artefact.call_data(name))
        return artefact.read_result(name, opened.evm.call(call))[0]

    assert (ask("MIN_WITHDRAW_DELAY"), ask("MAX_WITHDRAW_DELAY")) == (900, 2_592_000)
    assert ask("VOUCHER_TYPEHASH") == typed_data.VOUCHER_TYPE_HASH
    assert ask("CHANNEL_CONFIG_TYPEHASH") == typed_data.CHANNEL_CONFIG_TYPE_HASH
    assert ask("REFUND_TYPEHASH") == typed_data.REFUND_TYPE_HASH
    assert ask("CLAIM_ENTRY_TYPEHASH") == typed_data.CLAIM_ENTRY_TYPE_HASH
    assert ask("CLAIM_BATCH_TYPEHASH") == typed_data.CLAIM_BATCH_TYPE_HASH
