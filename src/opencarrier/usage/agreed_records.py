"""What matching pays less for, as corrections of the claim: rated then like any other record.

A session of which both sides have something, and the other side less, is paid at the lower amounts
(`matching.py`). Its last records are corrected down until the claim is what is paid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Final

import duckdb

from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.records import RecordKind
from opencarrier.usage.columns import to_records
from opencarrier.usage.dataset import DatasetWriter, files_of
from opencarrier.usage.matched import MEMORY_MIB, match_files
from opencarrier.usage.matching import Amounts, is_own, key_of, standing
from opencarrier.usage.record import UsageRecord

DECODER: Final = "opencarrier/match"
_BATCH_ROWS: Final = 1 << 13

_LESS: Final = """
select used.*, paid_octets_in, paid_octets_out, paid_duration_s, paid_units
from read_parquet(?, hive_partitioning = false) as used
join read_parquet(?) as matches
    on matches.visited = used.visited and matches.home is not distinct from used.home
    and matches.session_id = used.session_id and matches.service = used.service
where used.side = 1 and matches.outcome in (2, 3) and (
    paid_octets_in <> claimed_octets_in or paid_octets_out <> claimed_octets_out
    or paid_duration_s <> claimed_duration_s or paid_units <> claimed_units
)
order by used.visited, used.home, used.session_id, used.service, used.start_us, used.usage_id
"""
_PAID: Final = ("paid_octets_in", "paid_octets_out", "paid_duration_s", "paid_units")
Claimed = tuple[UsageRecord, Amounts]


def correct(usage: Path, matched: Path) -> int:
    """Add corrections for what is paid less for to the dataset that was matched; count them.

    The same again adds nothing. `PeerError` where there are no outcomes.
    """
    if not match_files(matched):
        raise PeerError("matched", f"{matched} holds no outcomes")
    writer = DatasetWriter(usage)
    for _, session in groupby(_claims(usage, matched), key=lambda claim: key_of(claim[0])):
        claims = list(session)
        for correction in lowered([record for record, _ in claims], claims[0][1]):
            refusal = writer.add(correction)
            assert refusal is None, f"a correction of a good record is one: {refusal}"
    return writer.close().records


def lowered(records: Sequence[UsageRecord], paid: Amounts) -> Iterator[UsageRecord]:
    """Yield corrections that leave a session's claim at what is paid, its last records first."""
    own = [record for record in records if is_own(record)] or records
    counted = {record.usage_id: record for record in standing(own)}
    amounts = {usage: _amounts(record) for usage, record in counted.items()}
    excess = _less(_sum(amounts.values()), paid)
    for usage, record in sorted(
        counted.items(), key=lambda item: (item[1].start_us, item[0]), reverse=True
    ):
        cut = Amounts(*map(min, excess, amounts[usage]))
        if any(cut):
            yield _correction(record, _less(amounts[usage], cut))
            excess = _less(excess, cut)


def _claims(usage: Path, matched: Path) -> Iterator[Claimed]:
    files = [[str(path) for path in paths] for paths in (files_of(usage), match_files(matched))]
    with duckdb.connect() as database:
        database.execute("set threads = 1")
        database.execute(f"set memory_limit = '{MEMORY_MIB}MiB'")
        found = database.sql(_LESS, params=files).to_arrow_reader(_BATCH_ROWS)
        for batch in found:
            paid = zip(*(batch.column(name).to_pylist() for name in _PAID), strict=True)
            for record, said in zip(to_records(batch.drop_columns(_PAID)), paid, strict=True):
                yield record, Amounts(*map(int, said))


def _correction(record: UsageRecord, amounts: Amounts) -> UsageRecord:
    """Say less of a record; of several corrections the one with the highest sequence counts."""
    corrects = record.corrects or record.usage_id
    name = derive("usage/agreed", corrects, *amounts)
    return replace(
        record,
        **amounts._asdict(),
        usage_id=name,
        kind=RecordKind.CORRECTION,
        corrects=corrects,
        sequence=record.sequence + 1,
        source_digest=Id(derive("usage/matched", name)),
        source_offset=0,
        decoder=DECODER,
    )


def _amounts(record: UsageRecord) -> Amounts:
    return Amounts(record.octets_in, record.octets_out, record.duration_s, record.units)


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    return Amounts(*map(sum, zip(*amounts, strict=True)))


def _less(one: Amounts, two: Amounts) -> Amounts:
    return Amounts(*(a - b for a, b in zip(one, two, strict=True)))
