"""What one request may compute: EVM steps, counted, so that no call holds the node for long.

Gas does not bound time here: py-evm spends seconds on what Prague sells for a few thousand gas.
A precompiled contract counts as the steps it takes as long as. The count is the same on every
machine. Imported with py-evm, when a node opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from eth.vm.code_stream import CodeStream
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState

STEPS_MAX = 2_000_000
"""Steps of one request: two or three seconds. Our largest transactions take a tenth of it."""

RESTING_STEPS = 10
"""A precompiled contract that costs little more than being called."""


class StepsExhaustedError(Exception):
    """A request asks for more than this node computes at once."""


class Budget:
    """The steps that one request has left."""

    __slots__ = ("left",)

    def __init__(self, steps: int = STEPS_MAX) -> None:
        self.left = steps

    def take(self, steps: int) -> None:
        """Count steps before they are taken; `StepsExhaustedError` where too few are left."""
        self.left -= steps
        if self.left < 0:
            raise StepsExhaustedError(f"more than {STEPS_MAX} steps")


class _MeteredCode(CodeStream):
    """Code that counts each operation it hands out."""

    __slots__ = ("_budget",)

    def __init__(self, code: bytes, budget: Budget) -> None:
        super().__init__(code)
        self._budget = budget

    def __iter__(self) -> Iterator[int]:
        budget = self._budget
        for operation in super().__iter__():
            budget.left -= 1
            if budget.left < 0:
                budget.take(0)
            yield operation


def precompile_steps(number: int, data: bytes) -> int:
    """Return the steps a precompiled contract takes as long as, for its input."""
    if number == _BLAKE2F:  # one round costs one gas, whatever their number
        return RESTING_STEPS + 4 * int.from_bytes(data[:4], "big")
    base, per_part, part_octets = _STEPS.get(number, (RESTING_STEPS, 0, 1))
    return base + per_part * -(-len(data) // part_octets)


_BLAKE2F = 9
_STEPS = {
    1: (150, 0, 1),  # ecrecover
    5: (RESTING_STEPS, 200, 1_024),  # modexp
    6: (30, 0, 1),  # bn128: add, mul, pairing
    7: (4_000, 0, 1),
    8: (100_000, 80_000, 192),
    10: (5_000, 0, 1),  # KZG point evaluation
    11: (30, 0, 1),  # BLS12-381: G1 add, G1 msm, G2 add, G2 msm, pairing, maps
    12: (RESTING_STEPS, 2_000, 160),
    13: (80, 0, 1),
    14: (RESTING_STEPS, 10_000, 288),
    15: (RESTING_STEPS, 40_000, 384),
    16: (2_000, 0, 1),
    17: (60_000, 0, 1),
}
"""Measured beside steps on one machine: once, each part of the input begun, that part's octets."""


def _metered(address: bytes, run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    number = int.from_bytes(address, "big")

    def counted(computation: Any) -> Any:
        data = bytes(computation.msg.data)
        computation.state.budget.take(precompile_steps(number, data))
        return run(computation)

    return counted


_PRECOMPILES: Any = {
    address: _metered(address, run) for address, run in PragueComputation.get_precompiles().items()
}


class _Computation(PragueComputation):
    _precompiles: Any = _PRECOMPILES

    def __init__(self, state: Any, message: Any, context: Any) -> None:
        super().__init__(state, message, context)
        self.code = _MeteredCode(message.code, state.budget)


class _State(PragueState):
    """A state whose computations share one budget."""

    computation_class: Any = _Computation
    budget: Budget


class MeteredVM(PragueVM):
    """Prague's rules, counted."""

    _state_class: Any = _State
