"""What is done on chain and in a cycle as spans: wrappers around rooms that know nothing of it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache, wraps
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection

from opencarrier.app.venue import CONTRACTS
from opencarrier.chain.abi import load
from opencarrier.chain.ports import UnitOfWork
from opencarrier.chain.rules import Transaction
from opencarrier.chain.transactions import DriveReport, Quote, TransactionManager
from opencarrier.kernel.refusals import Refusal
from opencarrier.settlement.model import CycleClosed, Driven
from opencarrier.settlement.service import ClosedBeside, SettlementService
from opencarrier.spine.spans import UNRECORDED, Kind, Root, Span, Spans, current, duty, step

T = TypeVar("T")

UNDER_WAY_MAX: Final = 1_024
"""Transactions whose span is open; the one begun first gives way."""


def stepped(thing: T, spans: Spans, **names: str) -> T:
    """Return a thing whose methods so named are steps of what is recorded; as it is where off."""
    return thing if spans is UNRECORDED else cast(T, _Stepped(thing, names))


class _Stepped:
    """Hands everything on; some methods within a step."""

    def __init__(self, thing: object, names: Mapping[str, str]) -> None:
        self._thing = thing
        self._names = names

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._thing, attribute)
        name = self._names.get(attribute)
        if name is None:
            return found

        @wraps(found)
        def within(*arguments: Any, **words: Any) -> Any:
            with step(name):
                return found(*arguments, **words)

        return within


class RecordedManager(TransactionManager):
    """Each transaction is a span from when it was kept to when the chain has decided on it."""

    def __init__(self, spans: Spans, *parts: Any) -> None:
        super().__init__(*parts)
        self._spans = spans
        self._under_way: OrderedDict[bytes, Span] = OrderedDict()

    def prepare(
        self, connection: Connection, intent_id: bytes, quote: Quote, **words: Any
    ) -> Transaction | Refusal:
        """Keep a transaction, below whatever asks for it."""
        prepared = super().prepare(connection, intent_id, quote, **words)
        if isinstance(prepared, Transaction) and not prepared.is_terminal:
            self._begun(prepared)
        return prepared

    def drive(self, unit_of_work: UnitOfWork, *, now_us: int) -> DriveReport:
        """Look at every open one; those that are decided end."""
        report = super().drive(unit_of_work, now_us=now_us)
        for transaction in report.settled:
            span = self._begun(transaction)
            if span is not None:
                self._under_way.pop(transaction.intent_id)
                _end(span, transaction)
        return report

    def _begun(self, transaction: Transaction) -> Span | None:
        """Return a transaction's span; one of a former process begins where it is met again."""
        known = self._under_way.get(transaction.intent_id)
        if known is not None:
            return known
        name, around = f"chain {method_of(transaction.call.data)}", current.get()
        span = (
            self._spans.begin(Root.DUTY, name, Kind.CLIENT)
            if around is None
            else around.child(name, Kind.CLIENT)
        )
        if span is not None:
            self._under_way[transaction.intent_id] = span
            if len(self._under_way) > UNDER_WAY_MAX:
                self._under_way.popitem(last=False)[1].end("forgotten")
        return span


def _end(span: Span, transaction: Transaction) -> None:
    span.note("opencarrier.chain.state", transaction.state.value)
    span.note("opencarrier.chain.id", transaction.chain_id)
    failed = transaction.state.value if transaction.state.value != "final" else ""
    span.end(failed)


def manager_of(spans: Spans, *parts: Any) -> TransactionManager:
    """Return the transaction manager of these parts: the bare one where nothing is recorded."""
    return TransactionManager(*parts) if spans is UNRECORDED else RecordedManager(spans, *parts)


def method_of(data: bytes) -> str:
    """Return what a call to a contract of ours asks for, as `ClearingHouse.settle`."""
    return _methods().get(data[:4], "call" if data else "transfer")


@cache
def _methods() -> Mapping[bytes, str]:
    found = {}
    for contract in CONTRACTS:
        artefact = load(contract.NAME)
        for signature, function in artefact.functions.items():
            found[artefact.selector(signature)] = f"{contract.NAME}.{function['name']}"
    return found


class RecordedSettlement(SettlementService):
    """A cycle's close is a trace: its steps, the transaction, and the wait until it is final."""

    def __init__(self, spans: Spans, *parts: Any) -> None:
        super().__init__(*parts)
        self._spans = spans
        self._settling: Span | None = None

    def close(
        self, begin: UnitOfWork, *, at_us: int, beside: ClosedBeside | None = None
    ) -> CycleClosed | Refusal:
        """End the open cycle, and note what it came to."""
        with duty(self._spans, "cycle close") as span:
            closed = super().close(begin, at_us=at_us, beside=beside)
            if span is None:
                return closed
            if isinstance(closed, Refusal):
                span.note("opencarrier.reason", closed.code)
            else:
                span.note("opencarrier.cycle.sequence", closed.cycle.sequence)
                span.note("opencarrier.cycle.usages", closed.usages)
                span.note("opencarrier.cycle.ordered", closed.attempt is not None)
                if closed.attempt is not None:
                    self._settling = span.child("cycle settle")
            return closed

    def drive(self, begin: UnitOfWork, *, now_us: int) -> Driven:
        """Do what is due; the wait ends when the cycle is final, open again, or halted."""
        driven = super().drive(begin, now_us=now_us)
        if self._settling is not None and (driven.is_settled or driven.halt is not None):
            if driven.cycle is not None:
                self._settling.note("opencarrier.cycle.state", driven.cycle.state.value)
            self._settling.end("" if driven.halt is None else driven.halt.alarm.value)
            self._settling = None
        return driven


def settlement_of(spans: Spans, *parts: Any) -> SettlementService:
    """Return the settlement of these parts: the bare one where nothing is recorded."""
    return SettlementService(*parts) if spans is UNRECORDED else RecordedSettlement(spans, *parts)


class TracedFormatter(logging.Formatter):
    """Says after a line which trace it belongs to, where that is recorded."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        told, span = super().format(record), current.get()
        return told if span is None else f"{told} trace_id={span.trace_id}"
