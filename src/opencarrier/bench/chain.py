"""Vouchers checked, a rewards tree grown and claimed from, blocks made: each beside its floor.

Times are CPU microseconds of the process that does the work; ratios are what machines share.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import coincurve

from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.contracts import RewardDistributor, StableToken
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.chain.keys import DynamicFeeTransaction, LocalSigner, create_address
from opencarrier.chain.model import Call, Finality
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.typed_data import batch_channels_domain, voucher_digest
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address, KeySigner, recover
from opencarrier.rewards.merkle import Tree
from opencarrier.rewards.model import EntitlementLeaf

CHAIN_ID = 31337
HUB = LocalSigner(bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"))
"""The first of anvil's funded keys, so that both chains take the same transactions."""

PHONE = KeySigner(b"\x0a" * 32)
CONTRACT = Address("0x" + "11" * 20)
FUNDS_WEI = 10**22
ETH_ACCOUNT_SAMPLE = 200
PEERS = Path(".peers") / "node_modules" / ".bin"
START_TRIES_MAX = 400
_PROCESSES = Path("/proc")


def run(
    vouchers: int = 20_000, leaves: int = 1_700_000, proofs: int = 32, transactions: int = 400
) -> dict[str, Any]:
    """Run all three parts; the tree needs about a gigabyte of memory at its full size."""
    return {
        "cores": os.cpu_count() or 1,
        "vouchers": _vouchers(vouchers),
        "rewards_tree": _tree(leaves, proofs),
        "transactions": _transactions(transactions),
    }


def _vouchers(count: int) -> dict[str, Any]:
    """Check one voucher after another: digest by hand, recover, compare; no cache of signers."""
    domain = batch_channels_domain(chain_id=CHAIN_ID, contract=CONTRACT)
    channel = keccak(b"a channel of the bench")
    digests = [voucher_digest(domain, channel, amount) for amount in range(count)]
    signed = [PHONE.sign(digest).octets for digest in digests]
    raws = [octets[:64] + bytes((octets[64] - 27,)) for octets in signed]

    def ours() -> None:
        for amount, octets in enumerate(signed):
            assert recover(voucher_digest(domain, channel, amount), octets) == PHONE.address

    def bare() -> None:
        for raw, digest in zip(raws, digests, strict=True):
            coincurve.PublicKey.from_signature_and_message(raw, digest, hasher=None)

    sample = min(count, ETH_ACCOUNT_SAMPLE)
    ours_us, bare_us = _cpu_us(ours, count), _cpu_us(bare, count)
    _eth_account(channel, signed[:1])  # its imports are not its work
    general_us = _cpu_us(lambda: _eth_account(channel, signed[:sample]), sample)
    return {
        "checked": count,
        "per_s_per_core": round(1_000_000 / ours_us),
        "us": round(ours_us, 2),
        "bare_recover_us": round(bare_us, 2),
        "times_bare_recover": round(ours_us / bare_us, 3),
        "eth_account_us": round(general_us, 2),
        "times_faster_than_eth_account": round(general_us / ours_us, 1),
    }


def _eth_account(channel: bytes, signed: Sequence[bytes]) -> None:
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    voucher = [("channelId", "bytes32"), ("maxClaimableAmount", "uint128")]
    types = {"Voucher": [{"name": name, "type": kind} for name, kind in voucher]}
    domain = {
        "name": "x402 Batch Settlement",
        "version": "1",
        "chainId": CHAIN_ID,
        "verifyingContract": CONTRACT,
    }
    for amount, octets in enumerate(signed):
        message = {"channelId": channel, "maxClaimableAmount": amount}
        encoded = encode_typed_data(domain, types, message)
        signer = Account.recover_message(encoded, signature=octets)
        assert signer.lower() == PHONE.address


def _tree(count: int, proofs: int) -> dict[str, Any]:
    """Grow the tree; then let the contract check random proofs out of it, by paying claims."""
    with _chain() as (_, client):
        token, pool = _deployed(client)
        leaves = [
            EntitlementLeaf(
                account=_account(number), token=token.address, lifetime_minor=number + 1
            )
            for number in range(count)
        ]
        grown: list[Tree] = []
        build_us = _cpu_us(lambda: grown.append(Tree(leaves)), count)
        floor_us = _cpu_us(lambda: _hash_only(count), count)
        tree, chosen = grown[0], _chosen(leaves, proofs)
        prove_us = _cpu_us(lambda: [tree.siblings(leaf) for leaf in chosen], len(chosen))
        paid_minor, gas = _claim(client, token, pool, tree, chosen)
        assert paid_minor == sum(leaf.lifetime_minor for leaf in chosen), "the contract paid each"
    return {
        "leaves": count,
        "depth": len(tree.siblings(leaves[0])),
        "build_s": round(build_us * count / 1_000_000, 2),
        "us_per_leaf": round(build_us, 3),
        "bare_keccak_us_per_leaf": round(floor_us, 3),
        "times_bare_keccak": round(build_us / floor_us, 2),
        "us_per_proof": round(prove_us, 2),
        "claims_paid_on_chain": len(chosen),
        "gas_per_claim": gas // len(chosen),
    }


def _leaf(token: StableToken, number: int) -> EntitlementLeaf:
    return EntitlementLeaf(account=_account(number), token=token.address, lifetime_minor=number + 1)


def _chosen(leaves: Sequence[EntitlementLeaf], proofs: int) -> list[EntitlementLeaf]:
    """Choose so many leaves at random, others each time the bench is run."""
    entropy, picked = SystemEntropy(), set[int]()
    while len(picked) < min(proofs, len(leaves)):
        picked.add(int.from_bytes(entropy.octets("bench", 8), "big") % len(leaves))
    return [leaves[number] for number in sorted(picked)]


def _hash_only(count: int) -> None:
    """Hash as often as the tree must: twice a leaf of three words, once a pair."""
    words, pair = bytes(96), bytes(64)
    for _ in range(count):
        keccak(keccak(words))
        keccak(pair)


def _claim(
    client: ChainClient,
    token: StableToken,
    pool: RewardDistributor,
    tree: Tree,
    chosen: Sequence[EntitlementLeaf],
) -> tuple[int, int]:
    """Fund the pool, publish the root and claim; return what was paid and the gas it took."""
    money = sum(leaf.lifetime_minor for leaf in chosen)
    _send(client, token.set_minter(HUB.address, allowed=True))
    _send(client, token.mint(pool.address, money))
    publish = pool.artefact().call_data("publish", token.address, bytes(32), tree.root, money)
    _send(client, Call(to=pool.address, data=publish))
    gas = 0
    for leaf in chosen:
        proof = tree.siblings(leaf)
        gas += _send(client, pool.claim(leaf.account, token.address, leaf.lifetime_minor, proof))
    held = [token.balance_of(leaf.account).ask(client) for leaf in chosen]
    assert held == [leaf.lifetime_minor for leaf in chosen], "each has what its leaf says"
    return sum(held), gas


def _transactions(count: int) -> dict[str, Any]:
    """Make a block for each token transfer, durably; reopen; the same on anvil where it is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.sqlite"
        node = _opened(path)
        raws = _transfers(connect("embedded:", node=node), count)
        embedded_us = _cpu_us(lambda: _send_all(node.request, raws), count)
        node.close()
        reopen_us = _cpu_us(lambda: _opened(path).close(), 1)
        file_octets = path.stat().st_size
    told = {
        "sent": count,
        "per_s_per_core": round(1_000_000 / embedded_us),
        "us": round(embedded_us),
        "reopen_ms": round(reopen_us / 1_000, 2),
        "octets_per_transaction": file_octets // count,
    }
    anvil_us = _on_anvil(count)
    if anvil_us is None:
        return {**told, "anvil": "not installed"}
    return {
        **told,
        "anvil_us": round(anvil_us),
        "times_anvil": round(embedded_us / max(anvil_us, 1), 2),
    }


def _transfers(client: ChainClient, count: int) -> list[bytes]:
    """Deploy a token and sign transfers to as many accounts."""
    token, _ = _deployed(client)
    _send(client, token.set_minter(HUB.address, allowed=True))
    _send(client, token.mint(HUB.address, count))
    nonce = client.nonce(HUB.address)
    return [
        _signed(token.transfer(_account(number), 1), nonce + number, gas_limit=100_000)
        for number in range(count)
    ]


def _send_all(request: Callable[[str, list[Any]], Any], raws: Sequence[bytes]) -> None:
    for raw in raws:
        answer = request("eth_sendRawTransaction", ["0x" + raw.hex()])
        assert "error" not in answer, answer


def _on_anvil(count: int) -> float | None:
    """Return anvil's own CPU microseconds for the same transfers, None where it is not here."""
    found = os.environ.get("OPENCARRIER_ANVIL") or shutil.which("anvil", path=_search_path())
    if found is None or not _PROCESSES.exists():
        return None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [found, "--port", str(port), "--silent", "--hardfork", "prague"],
        start_new_session=True,
    )
    try:
        client = _answering(f"http://127.0.0.1:{port}")
        raws = _transfers(client, count)
        before_us, provider = _group_cpu_us(process.pid), client.web3.provider
        _send_all(provider.make_request, raws)  # type: ignore[arg-type]
        _mined(client, count)
        return (_group_cpu_us(process.pid) - before_us) / count
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _search_path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), str(PEERS)))


def _group_cpu_us(group: int) -> float:
    """Add up the CPU of a process group, as anvil's starter leaves the work to a child."""
    ticks = 0
    for stat in _PROCESSES.glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return 1e6 * ticks / os.sysconf("SC_CLK_TCK")


def _answering(url: str) -> ChainClient:
    for _ in range(START_TRIES_MAX):
        try:
            return connect(url, finality=Finality.parse("depth:1"))
        except ChainUnavailableError:
            time.sleep(0.05)
    raise AssertionError("anvil does not answer")


def _mined(client: ChainClient, count: int) -> None:
    """Wait until the last of the hub's transactions is in a block."""
    sent = client.nonce(HUB.address, "pending")
    for _ in range(START_TRIES_MAX):
        if client.nonce(HUB.address) == sent >= count:
            return
        time.sleep(0.05)
    raise AssertionError("anvil does not mine")


def _deployed(client: ChainClient) -> tuple[StableToken, RewardDistributor]:
    """Deploy a token, and a distributor whose publisher is the hub itself."""
    token = StableToken(
        _place(
            client,
            StableToken.deployment(name="B", symbol="B", version="1", owner=HUB.address),
        )
    )
    pool = RewardDistributor.deployment(
        clearing_house=HUB.address, owner=HUB.address, guardian=HUB.address, delay_s=0
    )
    return token, RewardDistributor(_place(client, pool))


def _place(client: ChainClient, deployment: Call) -> Address:
    nonce = client.nonce(HUB.address)
    _send(client, deployment)
    return create_address(HUB.address, nonce)


def _send(client: ChainClient, call: Call) -> int:
    """Send a transaction and wait for it; return its gas."""
    raw = _signed(call, client.nonce(HUB.address), gas_limit=6_000_000)
    tx_hash = client.send_raw(raw)
    for _ in range(START_TRIES_MAX):
        receipt = client.receipt(tx_hash)
        if receipt is not None:
            assert receipt.succeeded, "the bench's own call reverted"
            return receipt.gas_used
        time.sleep(0.05)
    raise AssertionError("not mined")


def _signed(call: Call, nonce: int, *, gas_limit: int) -> bytes:
    return HUB.sign_transaction(
        DynamicFeeTransaction(
            chain_id=CHAIN_ID,
            nonce=nonce,
            max_fee_per_gas_wei=4 * 10**9,
            max_priority_fee_per_gas_wei=10**9,
            gas_limit=gas_limit,
            to=call.to,
            value_wei=0,
            data=call.data,
        )
    ).raw


def _account(number: int) -> Address:
    return Address(f"0x{number + 1:040x}")


@contextmanager
def _chain() -> Iterator[tuple[EmbeddedNode, ChainClient]]:
    with tempfile.TemporaryDirectory() as folder:
        node = _opened(Path(folder) / "chain.sqlite")
        try:
            yield node, connect("embedded:", node=node)
        finally:
            node.close()


def _opened(path: Path) -> EmbeddedNode:
    settings = NodeSettings(chain_id=CHAIN_ID, genesis={HUB.address: FUNDS_WEI})
    return EmbeddedNode.open(path, settings, SystemClock())


def _cpu_us(work: Callable[[], object], count: int) -> float:
    """Return this process's CPU microseconds per piece of some work."""
    started_ns = time.process_time_ns()
    work()
    return max(time.process_time_ns() - started_ns, 1) / 1_000 / count
