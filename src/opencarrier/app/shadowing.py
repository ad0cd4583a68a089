"""A month beside another clearing of it: files in, a folder with every difference out.

Nothing of an installation is opened: no store, no ledger, no key. What a statement calls an
operator is told on the command line, or is the operator's id as the records have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from opencarrier.clearing.shadow.model import ShadowOrder, month_of
from opencarrier.clearing.shadow.run import compare, parties_of
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.engine.deals import read_adjustments
from opencarrier.rating.reasons import SuspenseReason
from opencarrier.spine.parties import PartyId
from opencarrier.spine.statements import StatementRow, Unread
from opencarrier.usage.wire.csv_mapping import CsvMapping, parse_mapping
from opencarrier.usage.wire.records import Refused, Severity
from opencarrier.usage.wire.statement_csv import STATEMENT, StatementReader, form_of

READ_OCTETS: Final = 65_536
PartyOf = Callable[[str], PartyId | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowFiles:
    """The files of a comparison; without a statement, theirs is what the records' files charged."""

    usage: Path
    rated: Path
    out: Path
    statement: Path | None = None
    mapping: str | None = None
    beside: Sequence[Path] = ()
    adjustments: Sequence[Path] = ()
    codes: Mapping[str, str] = field(default_factory=dict)
    month: str = ""
    rounding: int = 1


def shadow(files: ShadowFiles) -> dict[str, Any]:
    """Compare; the result is what `shadow --json` prints. `PeerError` for what is amiss."""
    order: dict[str, Any] = {}
    if files.mapping is not None and files.statement is not None:
        mapping, party_of = parse_mapping(files.mapping, STATEMENT), _parties(files)
        order = {
            "form": form_of(mapping),
            "statement": _rows(files.statement, mapping, party_of),
            "beside": (row for path in files.beside for row in _rows(path, mapping, party_of)),
        }
    adjustments = [
        item for path in files.adjustments for item in read_adjustments(path.read_text())
    ]
    report = compare(
        ShadowOrder(
            usage=files.usage,
            rated=files.rated,
            out=files.out,
            adjustments=adjustments,
            month=month_of(files.month) if files.month else None,
            rounding=files.rounding,
            waiting={reason: reason.name.lower() for reason in SuspenseReason},
            **order,
        )
    )
    return report.as_mapping()


def _parties(files: ShadowFiles) -> PartyOf:
    known: dict[str, PartyId] = {party: party for party in parties_of(files.usage)}
    known |= {code: PartyId(party) for code, party in files.codes.items()}
    return known.get


def _rows(path: Path, mapping: CsvMapping, party_of: PartyOf) -> Iterator[StatementRow | Unread]:
    """Read a statement, a piece at a time; raises `PeerError` where no row of it can be trusted."""
    reader = StatementReader(mapping, party_of)
    with path.open("rb") as stream:
        while chunk := stream.read(READ_OCTETS):
            yield from map(_item, reader.feed(chunk))
    yield from map(_item, reader.finish())


def _item(item: StatementRow | Refused) -> StatementRow | Unread:
    if not isinstance(item, Refused):
        return item
    if item.severity is Severity.FATAL:
        raise PeerError("statement", f"{item.reason}: {item.detail}")
    return Unread(item.offset, item.reason, item.detail)
