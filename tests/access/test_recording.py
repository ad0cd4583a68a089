"""Which batches share the writer's turn, and which take it alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection
from tests.access.fakes import NAS, SECRET, Bench

from opencarrier.access.agent.statement import ENTERPRISE
from opencarrier.access.model import Listener, Origin
from opencarrier.access.recording import Recorder
from opencarrier.access.server import Store
from opencarrier.access.service import AccessPorts
from opencarrier.access.wire.authenticators import accounting_request
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import Attribute, integer, text, vendor
from opencarrier.spine.usage import Observation


class Concerned:
    """Says that more follows from some reports, as orders and spending do."""

    def __init__(self) -> None:
        self.yes = False
        self.told: list[str] = []

    def concerned(self, unit: Connection, seen: Sequence[Observation], **_: Any) -> bool:
        return self.yes

    def called(self, unit: Connection, seen: Sequence[Observation]) -> None:
        self.told.append("called")

    def observed(self, unit: Connection, seen: Sequence[Observation], **_: Any) -> None:
        self.told.append("observed")


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.units.shares_turns = True
    return made


def reports(bench: Bench, *more: Attribute) -> list[Store]:
    attributes = [
        integer(Type.ACCT_STATUS_TYPE, 3),
        text(Type.ACCT_SESSION_ID, "s"),
        text(Type.NAS_IDENTIFIER, NAS),
        *more,
    ]
    origin = Origin(Listener.ACCT, ("127.0.0.1", 20_000))
    effects = bench.service().server.receive(
        origin, accounting_request(1, attributes, SECRET), now_s=0.0, now_us=1
    )
    return [effect for effect in effects if isinstance(effect, Store)]


def recorder(bench: Bench, **ports: Any) -> Recorder:
    service = bench.service()
    told = {name: getattr(service._ports, name) for name in AccessPorts.__dataclass_fields__}
    return Recorder(AccessPorts(**told | ports), service.metrics, None, service._terms)


def test_reports_that_only_add_share_the_turn(bench: Bench) -> None:
    orders = Concerned()
    assert recorder(bench, orders=orders, spending=Concerned()).add(reports(bench)) == 1
    assert (bench.units.appended, bench.units.opened) == (1, 0)
    assert orders.told == ["called"]
    assert len(bench.sink.observations) == 1


@pytest.mark.parametrize("whose", ["orders", "spending"])
def test_what_concerns_an_order_or_money_takes_the_turn_alone(bench: Bench, whose: str) -> None:
    ports = {"orders": Concerned(), "spending": Concerned()}
    ports[whose].yes = True
    made = recorder(bench, **ports)
    assert made.add(reports(bench)) is None
    assert bench.sink.observations == [], "nothing is kept"
    with bench.units.write() as unit:
        assert made.record(unit, reports(bench)) == 1
    assert ports["orders"].told == ports["spending"].told == ["observed"]


def test_a_statement_of_a_node_takes_the_turn_alone(bench: Bench) -> None:
    ours, others = vendor(ENTERPRISE, 1, b"x"), vendor(14122, 1, b"x")
    assert recorder(bench).add(reports(bench, ours)) is None
    assert recorder(bench).add(reports(bench, others)) == 1
    assert bench.units.opened == 0


def test_where_turns_are_not_shared_none_is(bench: Bench) -> None:
    bench.units.shares_turns = False
    assert recorder(bench).add(reports(bench)) is None
    assert bench.units.appended == 0
