"""A cleared month in double entry: every position and onward leg a hold, until it is settled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine

from opencarrier.clearing.accounts import are_hosts
from opencarrier.clearing.netting import Edges
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.ledger import chart, service, store
from opencarrier.ledger.model import Hold, Transfer, TransferFlags
from opencarrier.spine.money import Position, Role
from opencarrier.spine.parties import PartyId

FILE: Final = "ledger.sqlite"


def post(folder: Path, positions: Iterable[Position], at_us: int) -> int:
    """Book a month's holds in a ledger of its own and count them; `PeerError` for what it refuses.

    The debtor's clearing account is debited, the creditor's credited; onward the creditor's is
    debited. What a party owes itself is no transfer.
    """
    return _book(folder, _transfers(positions), at_us)


def post_edges(
    folder: Path, owed: Mapping[AssetId, Edges], cycles: Mapping[AssetId, Id], at_us: int
) -> int:
    """Book what a corrected month leaves owed, a hold for each pair; as `post` otherwise.

    What hosts earn more accrues to them. What they earned too much is owed by them, against what
    they earn next: nothing is taken from what accrued.
    """
    return _book(folder, _corrections(owed, cycles), at_us)


def _book(folder: Path, transfers: Iterable[Transfer], at_us: int) -> int:
    engine = create_engine(f"sqlite:///{folder / FILE}")
    booked = 0
    try:
        store.metadata.create_all(engine)
        with engine.begin() as unit:
            for batch in service.in_batches(transfers):
                for asset in sorted({item.asset for item in batch}):
                    of_asset = [item for item in batch if item.asset == asset]
                    names = {name for item in of_asset for name in (item.debit, item.credit)}
                    service.ensure(unit, asset, names)
                for refusal in service.apply(unit, batch, at_us):
                    if refusal is not None:
                        raise PeerError("ledger", str(refusal))
                booked += len(batch)
    finally:
        engine.dispose()
    return booked


def hold_of(folder: Path, position_id: Id) -> Hold | None:
    """Return a position's hold, None where the month was not booked or the party owes itself."""
    if not folder.joinpath(FILE).exists():
        return None
    engine = create_engine(f"sqlite:///{folder / FILE}")
    try:
        with engine.connect() as unit:
            return store.hold(unit, _hold_id(position_id, 0))
    finally:
        engine.dispose()


def _hold_id(position_id: Id, number: int) -> Id:
    return derive("transfer/month", position_id, number)


def _transfers(positions: Iterable[Position]) -> Iterator[Transfer]:
    for position in positions:
        owed = chart.clearing(position.creditor)
        yield from _hold(position, position.debtor, owed, position.amount_minor, 0)
        for number, leg in enumerate(position.legs, start=1):
            kind = chart.accrued if leg.role is Role.HOST else chart.clearing
            yield from _hold(position, position.creditor, kind(leg.party), leg.amount_minor, number)


def _corrections(owed: Mapping[AssetId, Edges], cycles: Mapping[AssetId, Id]) -> Iterator[Transfer]:
    for asset, edges in owed.items():
        for (debtor, creditor), amount_minor in edges.items():
            yield Transfer(
                transfer_id=derive("transfer/correction", cycles[asset], debtor, creditor),
                asset=asset,
                debit=chart.clearing(debtor),
                credit=_account(creditor),
                amount_minor=amount_minor,
                code="correction",
                flags=TransferFlags.PENDING,
                reference=cycles[asset],
            )


def _account(party: PartyId) -> str:
    return chart.accrued(party) if are_hosts(party) else chart.clearing(party)


def _hold(
    position: Position, debtor: PartyId, credit: str, amount_minor: int, number: int
) -> Iterator[Transfer]:
    debit = chart.clearing(debtor)
    if debit == credit:
        return
    yield Transfer(
        transfer_id=_hold_id(position.position_id, number),
        asset=position.asset,
        debit=debit,
        credit=credit,
        amount_minor=amount_minor,
        code="position" if number == 0 else "onward",
        flags=TransferFlags.PENDING,
        reference=position.position_id,
    )
