"""A bare EVM for contract tests: titanoboa's py-evm, driven by the shipped bytecode alone.

The package's own bindings make the calls and read the answers, so a test of a contract is one of
its bindings too.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import boa.environment
import pytest

from opencarrier.chain import abi
from opencarrier.chain.contracts import HouseTerms
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.model import LATEST, BlockAt, Call
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.spine.ids import settlement_id
from opencarrier.spine.money import SettlementOrder

GENESIS_S = 1_800_000_000
MAX = (1 << 256) - 1
ZERO = Address("0x" + "00" * 20)
RULEBOOK = keccak(b"rulebook 1")
NOTICE_S = 3600
TERMS = HouseTerms(notice_s=NOTICE_S, mandate_interval_s=600, bond_ppm=100_000, arbitration_s=7200)
FAR_S = GENESIS_S + 10**9


@dataclass(frozen=True)
class Log:
    address: Address
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class Outcome:
    output: bytes
    logs: tuple[Log, ...]


class Evm:
    """One EVM state; every message is signed by nobody and sent by whoever is named."""

    def __init__(self) -> None:
        self.env = boa.environment.Env()
        _untraced(self.env.evm.vm.state.computation_class.opcodes)
        self.env.evm.patch.timestamp = GENESIS_S

    def deploy(self, sender: str, call: Call) -> Address:
        address, computation = self.env.deploy(sender=sender, bytecode=call.data)
        if computation.is_error:
            raise RevertedError(computation.output)
        return Address(str(address).lower())

    def send(self, sender: str, call: Call) -> Outcome:
        ran = self.env.execute_code(to_address=call.to, sender=sender, data=call.data)
        if ran.is_error:
            raise RevertedError(ran.output)
        return Outcome(ran.output, logs_of(ran))

    def call(self, call: Call, at: BlockAt = LATEST) -> bytes:
        ran = self.env.execute_code(
            to_address=call.to, sender=call.sender or ZERO, data=call.data, simulate=True
        )
        if ran.is_error:
            raise RevertedError(ran.output)
        return bytes(ran.output)

    def gas(self, sender: str, call: Call) -> int:
        """Send a call and return what its execution took, without the transaction's own gas."""
        ran = self.env.execute_code(to_address=call.to, sender=sender, data=call.data)
        if ran.is_error:
            raise RevertedError(ran.output)
        return int(ran.get_gas_used())

    def forget(self) -> None:
        """Make every account and slot cold, as a new transaction finds them."""
        self.env.evm.vm.state.lock_changes()

    def code(self, address: str) -> bytes:
        return bytes(self.env.get_code(address))

    def copy_code(self, address: str, to: str) -> None:
        self.env.evm.set_code(boa.environment.Address(to), self.code(address))

    @property
    def now_s(self) -> int:
        return int(self.env.evm.patch.timestamp)

    def pass_time(self, seconds: int) -> None:
        self.env.evm.patch.timestamp = self.now_s + seconds

    @property
    def chain_id(self) -> int:
        return int(self.env.evm.patch.chain_id)

    def set_chain_id(self, chain_id: int) -> None:
        self.env.evm.patch.chain_id = chain_id

    def anchor(self):
        return self.env.anchor()


def _untraced(opcodes: dict) -> None:
    """Take titanoboa's tracers off: each environment wraps the operations of all once more."""
    for value, inner in ((0x20, "sha3"), (0x55, "sstore")):
        while hasattr(opcodes[value], inner):
            opcodes[value] = getattr(opcodes[value], inner)


def logs_of(computation) -> tuple[Log, ...]:
    """The events of a message that ran, in order."""
    return tuple(
        Log(Address("0x" + a.hex()), tuple(t.to_bytes(32, "big") for t in topics), data)
        for a, topics, data in computation.get_log_entries()
    )


def key(name: str) -> KeySigner:
    """The key of somebody in the story; the same name is the same key."""
    return KeySigner(keccak(name.encode()))


def sealed(
    *,
    token: str,
    cycle_id: bytes,
    sequence: int,
    nets=(),
    signatures=(),
    records_root: bytes = b"\x07" * 32,
    netting_mode: int = 1,
    rewards_root: bytes = bytes(32),
    rewards_minor: int = 0,
) -> SettlementOrder:
    """An order with its id; the nets are taken as they are."""
    identifier = settlement_id(
        cycle_id,
        token=token,
        records_root=records_root,
        netting_mode=netting_mode,
        nets=nets,
        rewards_root=rewards_root,
        rewards_minor=rewards_minor,
    )
    return SettlementOrder(
        settlement_id=identifier,
        cycle_id=cycle_id,
        sequence=sequence,
        asset="test/USD",
        records_root=records_root,
        netting_mode=netting_mode,
        nets=tuple(nets),
        rewards_root=rewards_root,
        rewards_minor=rewards_minor,
        debit_signatures=tuple(signatures),
    )


def vyper(text: str, *arguments, sender: str, evm: Evm) -> Address:
    """Deploy a contract written in a test: one that misbehaves, or an oracle from snekmate."""
    built = _compiled(text)
    inputs = [e["inputs"] for e in built["abi"] if e["type"] == "constructor"]
    types = [i["type"] for i in inputs[0]] if inputs else []
    code = bytes.fromhex(built["bytecode"].removeprefix("0x")) + abi.encode(types, arguments)
    return evm.deploy(sender, Call(to=None, data=code))


@cache
def _compiled(text: str) -> dict:
    from vyper.compiler import compile_code
    from vyper.compiler.input_bundle import FilesystemInputBundle

    packages = FilesystemInputBundle([Path(sysconfig.get_path("purelib"))])
    return compile_code(text, output_formats=["bytecode", "abi"], input_bundle=packages)


@contextmanager
def refused(reason: str | None) -> Iterator[None]:
    """What is done inside reverts with exactly this reason; None is checked arithmetic."""
    with pytest.raises(RevertedError) as caught:
        yield
    assert caught.value.reason == reason
