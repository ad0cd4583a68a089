"""How many transfers a second of processor time books, in the shapes a cycle books them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine, create_engine

from opencarrier.kernel.ids import derive
from opencarrier.kernel.money import AssetId
from opencarrier.ledger import chart, service, store
from opencarrier.ledger.model import Transfer, TransferFlags, post_hold
from opencarrier.spine.parties import PartyId

_ASSET = AssetId("eip155:31337/erc20:0x0000000000000000000000000000000000000001")
_PARTIES = 200
_SECOND_NS = 1_000_000_000


def run(transfers: int = 20_000) -> dict[str, int]:
    """Book on a SQLite file with full synchronisation; figures are per second of CPU."""
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{Path(folder) / 'ledger.sqlite'}")
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        store.metadata.create_all(engine)
        with engine.begin() as unit:
            for name in (chart.clearing, chart.prepaid, chart.revenue, chart.accrued):
                service.ensure(unit, _ASSET, (name(_party(i)) for i in range(_PARTIES)))
            top_up = [_move("top-up", i, "clearing", "prepaid", 1 << 40) for i in range(_PARTIES)]
            assert service.apply(unit, top_up, 1) == [None] * _PARTIES
        figures = _phases(engine, transfers)
        engine.dispose()
    return figures


def _phases(engine: Engine, count: int) -> dict[str, int]:
    legs = [_leg(i) for i in range(count)]
    holds = [_hold(i) for i in range(count // 2)]
    posts = [
        post_hold(hold, transfer_id=derive("transfer", i, "post"), amount_minor=7, code="use")
        for i, hold in enumerate(holds)
    ]
    single = [_move("single", i, "clearing", "accrued", 3) for i in range(count // 20)]
    return {
        "transfers": count,
        "linked_per_cpu_s": _rate(engine, list(service.in_batches(legs))),
        "retried_per_cpu_s": _rate(engine, list(service.in_batches(legs))),
        "holds_opened_per_cpu_s": _rate(engine, list(service.in_batches(holds))),
        "holds_posted_per_cpu_s": _rate(engine, list(service.in_batches(posts))),
        "one_by_one_per_cpu_s": _rate(engine, [[item] for item in single]),
        "checked_per_cpu_s": _checked(engine),
    }


def _rate(engine: Engine, batches: Sequence[Sequence[Transfer]]) -> int:
    started_ns = time.process_time_ns()
    for batch in batches:
        with engine.begin() as unit:
            unit.exec_driver_sql("PRAGMA synchronous=FULL")
            refused = [item for item in service.apply(unit, batch, 2) if item is not None]
            assert not refused, refused[0]
    elapsed_ns = time.process_time_ns() - started_ns
    return sum(map(len, batches)) * _SECOND_NS // elapsed_ns


def _checked(engine: Engine) -> int:
    started_ns = time.process_time_ns()
    with engine.begin() as unit:
        audit = service.check(unit)
    assert not audit.findings, audit.findings
    return audit.transfers * _SECOND_NS // (time.process_time_ns() - started_ns)


def _party(number: int) -> PartyId:
    return PartyId(f"op_{number % _PARTIES:032x}")


def _move(what: str, number: int, debit: str, credit: str, amount_minor: int) -> Transfer:
    return Transfer(
        transfer_id=derive("transfer", what, number),
        asset=_ASSET,
        debit=f"{debit}/{_party(number)}",
        credit=f"{credit}/{_party(number * 7 + 1)}",
        amount_minor=amount_minor,
        code=f"bench/{what}",
    )


def _leg(number: int) -> Transfer:
    """One of four legs of a wholesale charge; the fourth ends its chain."""
    linked = TransferFlags.NONE if number % 4 == 3 else TransferFlags.LINKED
    charge = derive("charge", number // 4)
    return Transfer(
        transfer_id=derive("transfer", charge, number % 4),
        asset=_ASSET,
        debit=chart.clearing(_party(number // 4)),
        credit=chart.accrued(_party(number + 1)),
        amount_minor=number,
        code="charge/wholesale",
        flags=linked,
        reference=charge,
    )


def _hold(number: int) -> Transfer:
    return Transfer(
        transfer_id=derive("transfer", number, "hold"),
        asset=_ASSET,
        debit=chart.prepaid(_party(number)),
        credit=chart.revenue(_party(number + 1)),
        amount_minor=10,
        code="hold",
        flags=TransferFlags.PENDING,
        expires_us=10_000_000,
    )
