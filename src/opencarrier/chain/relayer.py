"""The relayer: people and devices sign, the hub simulates, pays the gas and sends, once.

    relay = relayer.submit(engine.begin, calls, key="...", now_us=...)   # Relay | Refusal
    relayer.drive(engine.begin, now_us=...)      # as often as one likes; after a restart too
    manager.drive(engine.begin, now_us=...)      # sends what was prepared

An action's id follows from its calls, so the same signed calls are relayed once, whoever submits
them and however often. Everything is kept before anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from opencarrier.chain import relay_rules, relay_store
from opencarrier.chain.errors import ChainError, ChainRefusedError, RevertedError
from opencarrier.chain.model import Call
from opencarrier.chain.ports import UnitOfWork
from opencarrier.chain.relay_rules import (
    KEY_LENGTH_MAX,
    Relay,
    RelayPolicy,
    RelayState,
    relay_id,
)
from opencarrier.chain.spending import DAY_US
from opencarrier.chain.sponsored import RelayRefusal, Sponsorship
from opencarrier.chain.transactions import Quote, TransactionManager
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.refusals import Refusal

PURPOSE = "relay"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayReport:
    """What one pass moved, and `unavailable` where the chain did not answer."""

    moved: tuple[Relay, ...] = ()
    unavailable: str = ""


class Relayer:
    """Sends sponsored actions through one account; what it spends is capped twice, by payer and
    in all.
    """

    def __init__(
        self,
        manager: TransactionManager,
        sponsorship: Sponsorship,
        policy: RelayPolicy | None = None,
    ) -> None:
        self._manager = manager
        self._sponsorship = sponsorship
        self._policy = policy or RelayPolicy()

    def submit(
        self, begin: UnitOfWork, calls: Sequence[Call], *, key: str, now_us: int
    ) -> Relay | Refusal:
        """Take an action into the queue, once its next step was seen to succeed now.

        The same calls again are the same action, whatever the key; one that was refused, so that
        nothing of its step was sent, is taken anew. The same key with other calls is refused.
        Raises what the chain raises where it does not answer.
        """
        if not 0 < len(key) <= KEY_LENGTH_MAX:
            return Refusal(RelayRefusal.MALFORMED, f"a key has 1 to {KEY_LENGTH_MAX} characters")
        action = self._sponsorship.action(calls)
        if isinstance(action, Refusal):
            return action
        wanted = Relay(
            relay_id=relay_id(self._manager.chain_id, action),
            key=key,
            action=action,
            submitted_us=now_us,
        )
        with begin() as unit:
            taken, is_new = self._taken(unit, wanted)
        if isinstance(taken, Refusal) or not is_new:
            return taken
        refusal = self._look(begin, taken, now_us)
        if refusal is not None:
            return refusal
        crashpoint("chain.relay.before_queue")
        with begin() as unit:
            taken, is_new = self._taken(unit, wanted)
            if is_new and isinstance(taken, Relay):
                relay_store.put(unit, taken)
        crashpoint("chain.relay.after_queue")
        return taken

    def drive(self, begin: UnitOfWork, *, now_us: int) -> RelayReport:
        """Move every action on by one step at most; safe to repeat and to kill.

        A pass ends where a cap or a gas spike holds an action back, as it would hold the next.
        """
        with begin() as unit:
            pending = relay_store.queued(unit, limit=self._policy.under_way_max)
        moved: list[Relay] = []
        try:
            for relay in pending:
                after = self._advance(begin, relay, now_us)
                if after != relay:
                    moved.append(after)
                if after.is_held_back:
                    break
        except ChainError as error:
            return RelayReport(moved=tuple(moved), unavailable=str(error))
        return RelayReport(moved=tuple(moved))

    def find(self, unit: Connection, relay: bytes) -> Relay | None:
        """Return what is known of an action."""
        return relay_store.find(unit, relay)

    def counts(self, unit: Connection) -> dict[str, int]:
        """Return how many actions stand where."""
        return relay_store.counts(unit)

    def _taken(self, unit: Connection, wanted: Relay) -> tuple[Relay | Refusal, bool]:
        """Return the action as it stands, or as it is to be queued, and whether it is to be."""
        same_key = relay_store.find_key(unit, wanted.key)
        if same_key is not None and same_key.relay_id != wanted.relay_id:
            return Refusal(RelayRefusal.KEY_OF_ANOTHER, "this key came with other calls"), False
        known = relay_store.find(unit, wanted.relay_id)
        if known is not None and known.state is not RelayState.REFUSED:
            return known, False
        if relay_store.counts(unit)[RelayState.QUEUED.value] >= self._policy.queue_max:
            return Refusal(RelayRefusal.QUEUE_FULL, f"{self._policy.queue_max} wait"), False
        return wanted if known is None else relay_rules.again(known, wanted), True

    def _look(self, begin: UnitOfWork, fresh: Relay, now_us: int) -> Refusal | None:
        """Simulate the next step and see what its payer has cost so far."""
        try:
            quote = self._quote(fresh)
        except (RevertedError, ChainRefusedError) as error:
            return None if fresh.may_skip else Refusal(RelayRefusal.WOULD_REVERT, str(error))
        with begin() as unit:
            return self._above_payer_cap(unit, fresh, quote, now_us)

    def _advance(self, begin: UnitOfWork, relay: Relay, now_us: int) -> Relay:
        with begin() as unit:
            transaction = self._manager.find(unit, relay.intent_id)
        if transaction is None:
            return self._begin_step(begin, relay, now_us)
        after = relay_rules.after(relay, transaction.state)
        return self._save(begin, relay, after)

    def _begin_step(self, begin: UnitOfWork, relay: Relay, now_us: int) -> Relay:
        """Simulate a step, then prepare its transaction with what it may cost, or say why not."""
        if relay_rules.is_late(relay, now_us, self._policy):
            late = Refusal(RelayRefusal.EXPIRED, relay.reason)
            return self._save(begin, relay, relay_rules.refused(relay, late))
        try:
            quote = self._quote(relay)
        except RevertedError as error:
            return self._save(begin, relay, relay_rules.reverting(relay, str(error)))
        except ChainRefusedError as error:
            return self._save(begin, relay, replace(relay, reason=str(error)))
        crashpoint("chain.relay.before_prepare")
        with begin() as unit:
            after = self._prepared(unit, relay, quote, now_us)
            relay_store.save(unit, after)
        crashpoint("chain.relay.after_prepare")
        return after

    def _prepared(self, unit: Connection, relay: Relay, quote: Quote, now_us: int) -> Relay:
        refusal = self._above_payer_cap(unit, relay, quote, now_us)
        if refusal is not None:
            return relay_rules.refused(relay, refusal)
        prepared = self._manager.prepare(
            unit, relay.intent_id, quote, now_us=now_us, purpose=PURPOSE
        )
        if isinstance(prepared, Refusal):  # a cap or a spike: it waits, and is tried again
            return replace(relay, reason=str(prepared))
        cost_wei = relay.cost_wei + (self._manager.cost_wei(quote) or 0)
        return replace(relay, reason="", cost_wei=cost_wei)

    def _quote(self, relay: Relay) -> Quote:
        call = relay.action.steps[relay.position].call
        return self._manager.quote(replace(call, gas_limit=self._policy.step_gas_max))

    def _above_payer_cap(
        self, unit: Connection, relay: Relay, quote: Quote, now_us: int
    ) -> Refusal | None:
        payer, most_wei = relay.action.payer, self._policy.payer_day_max_wei
        so_far = relay_store.payer_cost_wei(unit, payer, since_us=now_us - DAY_US)
        cost_wei = so_far + (self._manager.cost_wei(quote) or 0)
        if cost_wei <= most_wei:
            return None
        return Refusal(RelayRefusal.ABOVE_PAYER_CAP, f"{payer}: {cost_wei} wei of {most_wei}")

    def _save(self, begin: UnitOfWork, relay: Relay, after: Relay) -> Relay:
        if after != relay:
            with begin() as unit:
                relay_store.save(unit, after)
        return after
