"""How many usages a second of processor time are rated and booked, and sessions authorised."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, create_engine

from opencarrier.kernel.clock import SECOND_US, Window
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import KeySigner
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger import store as ledger_store
from opencarrier.ledger.model import Transfer
from opencarrier.rating.desk import RatingSettings
from opencarrier.rating.model import Agreement, Price, RetailPlan, Tariff
from opencarrier.rating.rules import v1
from opencarrier.rating.service import RatingService
from opencarrier.rating.tables import metadata
from opencarrier.spine.access import AuthorisationRequest, Grant
from opencarrier.spine.ids import usage_id
from opencarrier.spine.parties import Node, Operator, PartyId, Subscriber
from opencarrier.spine.ports import Directory, UsageSource
from opencarrier.spine.usage import ZERO, Counters, Rung, Usage

_ASSET = AssetId("eip155:31337/erc20:0x0000000000000000000000000000000000000001")
_HOME, _VISITED = PartyId("op_" + "a" * 32), PartyId("op_" + "b" * 32)
_SIGNERS = {_HOME: KeySigner(b"\x01" * 32), _VISITED: KeySigner(b"\x02" * 32)}
_NODE = Node(
    node_id="node-1", nas_identifier="ap-1", operator=_VISITED, host=PartyId("host_" + "c" * 32)
)
_AT_US = 1_700_000_000 * SECOND_US
_SECOND_NS = 1_000_000_000


class _Directory:
    """Two operators and a node."""

    def operator(self, unit: Connection, party_id: PartyId) -> Operator | None:
        return Operator(
            party_id=party_id,
            name=party_id,
            address=_SIGNERS[party_id].address,
            jurisdiction="FR",
            realms=(),
            plmns=(),
        )

    def node_by_id(self, unit: Connection, node_id: str) -> Node | None:
        return _NODE


def run(usages: int = 2_000) -> dict[str, int]:
    """Rate and book on a SQLite file with full synchronisation; figures are per second of CPU.

    Every usage has both charges; half of the sessions go on and renew their hold.
    """
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{Path(folder) / 'rating.sqlite'}")
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        metadata.create_all(engine)
        ledger_store.metadata.create_all(engine)
        service = RatingService(
            directory=cast(Directory, _Directory()),
            usages=cast(UsageSource, None),
            entropy=SeededEntropy(1),
            settings=RatingSettings(collateral_gate=False),
        )
        figures = _figures(engine, service, usages)
        engine.dispose()
    return figures


def _figures(engine: Engine, service: RatingService, count: int) -> dict[str, int]:
    with engine.begin() as unit:
        _prepare(service, unit, count)
    grants: list[Grant] = []

    def authorise(unit: Connection) -> None:
        for number in range(count):
            request = AuthorisationRequest(
                subscriber=Subscriber(party_id=_person(number), home=_HOME, plan_id="standard"),
                visited=_VISITED,
                node=_NODE,
                at_us=_AT_US,
            )
            grant = service.authorise(unit, request)
            assert isinstance(grant, Grant), grant
            grants.append(grant)

    authorised = _rate(engine, count, authorise)
    items = [_usage(grant, number) for number, grant in enumerate(grants)]

    def rate(unit: Connection) -> None:
        charges, waiting = service.rate(
            unit, cycle_id=derive("cycle", "bench"), usages=items, at_us=_AT_US + 1
        )
        assert len(charges) == 2 * count
        assert not waiting

    rated = _rate(engine, count, rate)
    return {
        "usages": count,
        "authorised_per_cpu_s": authorised,
        "rated_and_booked_per_cpu_s": rated,
        "rated_again_per_cpu_s": _rerated(engine, service, [item.usage_id for item in items]),
    }


def _rate(engine: Engine, count: int, work: Callable[[Connection], None]) -> int:
    started_ns = time.process_time_ns()
    with engine.begin() as unit:
        unit.exec_driver_sql("PRAGMA synchronous=FULL")
        work(unit)
    return count * _SECOND_NS // (time.process_time_ns() - started_ns)


def _rerated(engine: Engine, service: RatingService, usage_ids: Sequence[Id]) -> int:
    """Rate again from what the charges carry, as a verifier does."""
    with engine.connect() as unit:
        inputs = [item.inputs for item in service.charges(unit, derive("cycle", "bench"))]
    assert len(inputs) == 2 * len(usage_ids)
    started_ns = time.process_time_ns()
    for octets in inputs:
        v1.rerate(octets)
    return len(inputs) * _SECOND_NS // (time.process_time_ns() - started_ns)


def _prepare(service: RatingService, unit: Connection, count: int) -> None:
    window = Window(_AT_US, _AT_US + 86_400 * SECOND_US)
    agreement = Agreement(
        home=_HOME,
        home_address=_SIGNERS[_HOME].address,
        visited=_VISITED,
        visited_address=_SIGNERS[_VISITED].address,
        asset=_ASSET,
        protocol_party=PartyId("op_" + "d" * 32),
        protocol_ppm=10_000,
        tax_party=PartyId("tax_" + "e" * 32),
        tariffs=(
            Tariff(
                window=window,
                unit="octets_total",
                step=1024,
                price_nano=1_900,
                minimum_minor=0,
                tax_ppm=200_000,
                tax_included=False,
                host_ppm=600_000,
            ),
        ),
    )
    plan = RetailPlan(
        plan_id="standard",
        home=_HOME,
        asset=_ASSET,
        price=Price(
            window=window,
            unit="octets_total",
            step=1024,
            price_nano=5_200,
            minimum_minor=0,
            tax_ppm=200_000,
            tax_included=True,
        ),
        rate_cap_octets_per_s=1 << 20,
        session_s_max=3_600,
        interim_s=300,
    )
    signatures = [signer.sign(agreement.hash) for signer in _SIGNERS.values()]
    assert service.add_agreement(unit, agreement, signatures, at_us=_AT_US) is None
    assert service.add_plan(unit, plan, at_us=_AT_US) is None
    _top_up(unit, count)


def _top_up(unit: Connection, count: int) -> None:
    funding = chart.funding(_HOME)
    transfers = [
        Transfer(
            transfer_id=derive("transfer", "bench", number),
            asset=_ASSET,
            debit=funding,
            credit=chart.prepaid(_person(number)),
            amount_minor=1_000_000_000,
            code="top-up",
        )
        for number in range(count)
    ]
    for batch in ledger.in_batches(transfers):
        ledger.ensure(unit, _ASSET, [funding, *(item.credit for item in batch)])
        assert ledger.apply(unit, batch, _AT_US) == [None] * len(batch)


def _person(number: int) -> PartyId:
    return PartyId(f"sub_{number:032x}")


def _usage(grant: Grant, number: int) -> Usage:
    after = Counters(session_time_s=60, octets_in=number * 10_000, octets_out=12_345)
    session = derive("session", "bench", number)
    return Usage(
        usage_id=usage_id(session, ZERO, after),
        session_id=session,
        authorisation_id=grant.authorisation_id,
        home=_HOME,
        visited=_VISITED,
        node_id=_NODE.node_id,
        subject="",
        counters_from=ZERO,
        counters_to=after,
        start_us=_AT_US,
        end_us=_AT_US + 1,
        weak=False,
        closed_by="stop" if number % 2 else "",
        rung=Rung.CO_SIGNED,
    )
