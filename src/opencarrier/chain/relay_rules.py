"""How a sponsored action lives: pure rules, `relay, what its transaction became -> relay`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from opencarrier.chain.rules import SECOND_US, TransactionState
from opencarrier.chain.sponsored import Action, RelayRefusal
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import Refusal

KEY_LENGTH_MAX = 255
ATTEMPTS_MAX = 3


class RelayState(Enum):
    """Where an action stands; all but the first are terminal."""

    QUEUED = "queued"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPolicy:
    """What the hub pays for others; wei are the most that gas may cost, days the last 24 hours.

    What all relays may cost together in a day is the manager's cap for the purpose `relay`.
    """

    payer_day_max_wei: int = 10**17
    step_gas_max: int = 1_000_000
    queue_max: int = 1_000
    under_way_max: int = 64
    wait_s_max: int = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """An action under way: `position` counts its steps, `attempt` the tries of this one."""

    relay_id: Id
    key: str
    action: Action
    submitted_us: int
    state: RelayState = RelayState.QUEUED
    position: int = 0
    attempt: int = 0
    reason: str = ""
    cost_wei: int = 0

    def __post_init__(self) -> None:
        assert 0 < len(self.key) <= KEY_LENGTH_MAX, "an action has its caller's key"
        assert 0 <= self.position < len(self.action.steps), "an action stands at one of its steps"

    @property
    def intent_id(self) -> Id:
        """The intent of the transaction that makes this step."""
        return derive("relay-step", self.relay_id, self.position, self.attempt)

    @property
    def is_last(self) -> bool:
        """Say whether no step follows this one."""
        return self.position == len(self.action.steps) - 1

    @property
    def is_held_back(self) -> bool:
        """Say whether a cap, a spike or the endpoint keeps this step from beginning."""
        return self.state is RelayState.QUEUED and bool(self.reason)

    @property
    def may_skip(self) -> bool:
        """Say whether this step may fail: the next one tells."""
        return self.action.steps[self.position].may_fail and not self.is_last


def relay_id(chain_id: int, action: Action) -> Id:
    """Name an action by its content: the same signed calls are the same action for ever."""
    calls = [[step.call.to, step.call.data] for step in action.steps]
    return derive("relay", chain_id, action.payer, calls)


def after(relay: Relay, became: TransactionState) -> Relay:
    """Move an action on by what this step's transaction became.

    A mined step is enough for the next one, whose nonce is higher; only a final last step is done.
    """
    if became is TransactionState.FINAL and relay.is_last:
        return replace(relay, state=RelayState.DONE, reason="")
    if became in (TransactionState.FINAL, TransactionState.MINED):
        return relay if relay.is_last else following(relay)
    if became is TransactionState.REVERTED and relay.may_skip:
        return following(relay)
    if became is TransactionState.REVERTED:
        return _failed(relay, RelayRefusal.REVERTED)
    if became is TransactionState.REPLACED and relay.attempt + 1 >= ATTEMPTS_MAX:
        return _failed(relay, RelayRefusal.REPLACED)
    if became is TransactionState.REPLACED:
        return replace(relay, attempt=relay.attempt + 1)
    return relay


def reverting(relay: Relay, words: str) -> Relay:
    """Move an action on from a step that would revert now: nothing was sent for it."""
    if relay.may_skip:
        return following(relay)
    refusal = Refusal(RelayRefusal.WOULD_REVERT, words)
    return replace(relay, state=RelayState.REFUSED, reason=str(refusal))


def refused(relay: Relay, refusal: Refusal) -> Relay:
    """End an action of which this step was not sent."""
    return replace(relay, state=RelayState.REFUSED, reason=str(refusal))


def again(known: Relay, wanted: Relay) -> Relay:
    """Take a refused action up where it stood, under its caller's newest key."""
    assert known.state is RelayState.REFUSED, "only what was refused is taken anew"
    submitted_us = wanted.submitted_us
    return replace(
        known, key=wanted.key, submitted_us=submitted_us, state=RelayState.QUEUED, reason=""
    )


def is_late(relay: Relay, now_us: int, policy: RelayPolicy) -> bool:
    """Say whether an action has waited too long for its next step to begin."""
    return now_us - relay.submitted_us > policy.wait_s_max * SECOND_US


def following(relay: Relay) -> Relay:
    """Go on to the next step."""
    return replace(relay, position=relay.position + 1, attempt=0, reason="")


def _failed(relay: Relay, reason: RelayRefusal) -> Relay:
    return replace(relay, state=RelayState.FAILED, reason=str(Refusal(reason)))
