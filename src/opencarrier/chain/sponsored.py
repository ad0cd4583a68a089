"""Which calls the hub pays the gas of: those whose right lies in a signature, never in the caller.

A sponsored call names its payer, the account on whose behalf it is, in one of its arguments; the
contract checks that account's signature, or pays to it whoever calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opencarrier.chain.contracts.base import Contract
from opencarrier.chain.model import Call
from opencarrier.kernel.refusals import PeerError, Reason, Refusal
from opencarrier.kernel.signatures import Address

STEPS_MAX = 3
DATA_OCTETS_MAX = 16_384


class RelayRefusal(Reason):
    """Why an action is not sponsored; of several that apply, the lowest is given."""

    NOT_SPONSORED = 1
    MALFORMED = 2
    SEVERAL_PAYERS = 3
    KEY_OF_ANOTHER = 4
    QUEUE_FULL = 5
    WOULD_REVERT = 6
    ABOVE_PAYER_CAP = 7
    EXPIRED = 8
    REVERTED = 9
    REPLACED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sponsored:
    """One function of one contract; `payer` is the argument's name, then fields within it.

    `fixed` are arguments that must be an address of the venue's, where a stranger's contract could
    say yes for the payer. `may_fail` is for a step that somebody else may have done before us, such
    as a permit seen in a pool: the next step tells whether it did its work.
    """

    contract: Contract
    function: str
    payer: tuple[str, ...]
    may_fail: bool = False
    fixed: tuple[tuple[tuple[str, ...], Address], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of an action."""

    call: Call
    may_fail: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Calls to be made in their order for one payer, such as a permit and what needs it."""

    payer: Address
    steps: tuple[Step, ...]


class Sponsorship:
    """The calls that are sponsored at one venue."""

    def __init__(self, rights: Sequence[Sponsored]) -> None:
        self._rights = {
            (right.contract.address, right.contract.artefact().selector(right.function)): right
            for right in rights
        }
        assert len(self._rights) == len(rights), "a function is sponsored once"

    def action(self, calls: Sequence[Call]) -> Action | Refusal:
        """Read calls as an action; refused unless every one is sponsored and for one payer."""
        if not 0 < len(calls) <= STEPS_MAX:
            return Refusal(RelayRefusal.MALFORMED, f"an action has 1 to {STEPS_MAX} calls")
        read = [self._read(call) for call in calls]
        refusals = [item for item in read if isinstance(item, Refusal)]
        if refusals:
            return min(refusals, key=lambda refusal: refusal.reason)
        found = [item for item in read if not isinstance(item, Refusal)]
        payers = {payer for payer, _ in found}
        if len(payers) > 1:
            return Refusal(RelayRefusal.SEVERAL_PAYERS, ", ".join(sorted(payers)))
        return Action(payer=payers.pop(), steps=tuple(step for _, step in found))

    def _read(self, call: Call) -> tuple[Address, Step] | Refusal:
        right = None if call.to is None else self._rights.get((call.to, call.data[:4]))
        if right is None or call.value_wei:
            return Refusal(RelayRefusal.NOT_SPONSORED, f"{call.to} 0x{call.data[:4].hex()}")
        if len(call.data) > DATA_OCTETS_MAX:
            return Refusal(RelayRefusal.MALFORMED, f"more than {DATA_OCTETS_MAX} octets")
        artefact = right.contract.artefact()
        try:
            arguments = artefact.read_call(right.function, call.data)
        except PeerError as error:
            return Refusal(RelayRefusal.MALFORMED, error.detail[:100])
        for path, address in right.fixed:
            if _address(arguments, path) != address:
                return Refusal(RelayRefusal.NOT_SPONSORED, f"{'.'.join(path)} is not {address}")
        plain = Call(to=call.to, data=call.data)
        return _address(arguments, right.payer), Step(call=plain, may_fail=right.may_fail)


def _address(arguments: Any, path: tuple[str, ...]) -> Address:
    for name in path:
        arguments = arguments[name]
    return Address(arguments)
