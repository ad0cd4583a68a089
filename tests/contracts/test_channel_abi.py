"""The twins of x402's contracts offer what its SDK calls: selectors, topics, errors, shapes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from x402.mechanisms.evm.batch_settlement.abi import BATCH_SETTLEMENT_ABI
from x402.mechanisms.evm.batch_settlement.constants import (
    BATCH_SETTLEMENT_ADDRESS,
    ERC3009_DEPOSIT_COLLECTOR_ADDRESS,
    MAX_WITHDRAW_DELAY,
    MIN_WITHDRAW_DELAY,
)

from opencarrier.chain.contracts import (
    WITHDRAW_DELAY_S_MAX,
    WITHDRAW_DELAY_S_MIN,
    X402_COLLECTOR_ADDRESS,
    X402_SETTLEMENT_ADDRESS,
    BatchChannels,
    Erc3009DepositCollector,
    revert_reason,
)
from opencarrier.chain.errors import X402_ERRORS
from opencarrier.kernel.keccak import keccak

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
TERMS = "(address,address,address,address,address,uint40,bytes32)"
ROWS = f"(({TERMS},uint128),bytes,uint128)[]"

FUNCTIONS = {
    "CHANNEL_CONFIG_TYPEHASH()",
    "CLAIM_BATCH_TYPEHASH()",
    "CLAIM_ENTRY_TYPEHASH()",
    "MAX_WITHDRAW_DELAY()",
    "MIN_WITHDRAW_DELAY()",
    "REFUND_TYPEHASH()",
    "VOUCHER_TYPEHASH()",
    "channels(bytes32)",
    f"claim({ROWS})",
    f"claimWithSignature({ROWS},bytes)",
    f"deposit({TERMS},uint128,address,bytes)",
    "eip712Domain()",
    f"finalizeWithdraw({TERMS})",
    f"getChannelId({TERMS})",
    f"getClaimBatchDigest({ROWS})",
    "getRefundDigest(bytes32,uint256,uint128)",
    "getVoucherDigest(bytes32,uint128)",
    f"initiateWithdraw({TERMS},uint128)",
    "multicall(bytes[])",
    "pendingWithdrawals(bytes32)",
    "receivers(address,address)",
    f"refund({TERMS},uint128)",
    "refundNonce(bytes32)",
    f"refundWithSignature({TERMS},uint128,uint256,bytes)",
    "settle(address,address)",
}
"""All that x402's contract answers."""

EVENTS = {
    f"ChannelCreated(bytes32,{TERMS})",
    f"ChannelClosed(bytes32,{TERMS})",
    "Deposited(bytes32,address,uint128,uint128)",
    "Claimed(bytes32,address,uint128,uint128)",
    "Settled(address,address,address,uint128)",
    "Refunded(bytes32,address,uint128)",
    "WithdrawInitiated(bytes32,uint128,uint40)",
    "WithdrawFinalized(bytes32,address,uint128)",
}


def test_functions_and_events_are_the_originals():
    artefact = BatchChannels.artefact()
    selectors = {artefact.selector(name) for name in artefact.functions}
    assert selectors == {keccak(text.encode())[:4] for text in FUNCTIONS}
    assert set(artefact.events) == {keccak(text.encode()) for text in EVENTS}
    collector = Erc3009DepositCollector.artefact()
    assert {collector.selector(name) for name in collector.functions} == {
        keccak(b"x402BatchSettlement()")[:4],
        keccak(b"collect(address,address,uint256,bytes32,bytes)")[:4],
    }


@pytest.mark.parametrize("wanted", BATCH_SETTLEMENT_ABI, ids=lambda entry: entry["name"])
def test_the_sdk_finds_what_it_calls(wanted):
    """Types, shapes and the names within them of everything in the SDK's own ABI."""
    ours = next(
        e
        for e in BatchChannels.artefact().entries
        if (e["type"], e.get("name")) == (wanted["type"], wanted["name"])
    )
    assert shapes(ours["inputs"]) == shapes(wanted["inputs"])
    if wanted["type"] == "function":
        assert shapes(ours["outputs"]) == shapes(wanted["outputs"])
        assert ours["stateMutability"] == wanted["stateMutability"]


def shapes(values):
    """The types of values, and what tuples are made of."""
    return [(value["type"], value.get("indexed"), value.get("components")) for value in values]


def test_the_sdks_addresses_and_bounds():
    assert BATCH_SETTLEMENT_ADDRESS.lower() == X402_SETTLEMENT_ADDRESS
    assert ERC3009_DEPOSIT_COLLECTOR_ADDRESS.lower() == X402_COLLECTOR_ADDRESS
    assert (MIN_WITHDRAW_DELAY, MAX_WITHDRAW_DELAY) == (WITHDRAW_DELAY_S_MIN, WITHDRAW_DELAY_S_MAX)


def test_claims_are_not_payable():
    functions = BatchChannels.artefact().functions.values()
    assert all(entry["stateMutability"] != "payable" for entry in functions)


def test_errors_have_their_names():
    """Each is read by name; the table, the sources and the specifications name the same."""
    for error in X402_ERRORS:
        assert revert_reason(keccak(error.encode())[:4] + bytes(32)) == error.partition("(")[0]
    assert revert_reason(b"\x01\x02\x03\x04") is None
    raised = {
        text
        for name in ("BatchChannels", "Erc3009DepositCollector", "modules/payment")
        for text in re.findall(
            r'raw_revert\(\s*(?:abi_encode\(\w+, method_id=)?method_id\("(\w+\([^"]*\))"\)',
            (CONTRACTS / f"{name}.vy").read_text(),
        )
    }
    assert raised - {"Panic(uint256)"} == set(X402_ERRORS)
    told = set()
    for name in ("BatchChannels", "Erc3009DepositCollector"):
        text = (CONTRACTS / f"{name}.md").read_text()
        listing = text[text.index("Reverts (custom errors): ") :]
        told |= set(re.findall(r"[A-Z]\w+", listing[listing.index("`") : listing.rindex("`")]))
    assert told == {error.partition("(")[0] for error in X402_ERRORS}
