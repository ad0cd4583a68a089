"""The usages of an installation's cycles as usage records: what was rated here, for any engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from opencarrier.access.meters.service import MeterEvidence
from opencarrier.app.bootstrap import Installation
from opencarrier.kernel.ids import derive
from opencarrier.rating.rules.v2.charges import WholesaleInputs as LineInputs
from opencarrier.rating.rules.versions import wholesale_inputs
from opencarrier.spine.access import Offered
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Evidence, Rat, Service
from opencarrier.spine.usage import ZERO, Rung, Usage
from opencarrier.usage.dataset import DatasetWriter
from opencarrier.usage.record import SUBJECT_OCTETS, UsageRecord

DECODER = "opencarrier/1"


def export_usage(base: Installation, folder: Path) -> dict[str, Any]:
    """Add every usage that was cut to a dataset; the same again adds nothing.

    A record's source is its usage as the store has it: `source_digest` is over its encoding.
    """
    writer = DatasetWriter(folder)
    with base.store.read() as unit:
        places = {
            operator.party_id: operator.jurisdiction
            for operator in base.identity.directory.operators(unit)
        }
        for record in _records(base, unit, places):
            writer.add(record)
    return writer.close().as_mapping()


def _records(
    base: Installation, unit: Connection, places: Mapping[PartyId, str]
) -> Iterator[UsageRecord]:
    sequences: Counter[bytes] = Counter()
    for usage in base.usage.every(unit):
        sequence = sequences[usage.session_id]
        sequences[usage.session_id] += 1
        yield _record(base, unit, usage, places, sequence)


def _record(
    base: Installation,
    unit: Connection,
    usage: Usage,
    places: Mapping[PartyId, str],
    sequence: int,
) -> UsageRecord:
    before, used = usage.counters_from, usage.quantities
    tariff_at_us, offered = _terms(base, unit, usage)
    quote = offered.quote
    metered = _metered(base, unit, usage)
    return UsageRecord(
        usage_id=usage.usage_id,
        session_id=usage.session_id,
        sequence=sequence,
        is_final=bool(usage.closed_by),
        reporter=usage.visited,
        home=usage.home,
        visited=usage.visited,
        subject=_subject(usage),
        node=usage.node_id,
        jurisdiction_home=None if usage.home is None else places.get(usage.home),
        jurisdiction_visited=places.get(usage.visited),
        service=offered.service,
        rat=Rat.WLAN if offered.service is Service.WIFI else Rat.UNKNOWN,
        rcoi=offered.rcoi,
        qos=offered.qos,
        start_us=usage.start_us,
        end_us=usage.end_us,
        tariff_at_us=tariff_at_us,
        octets_in=used.get("octets_in"),
        octets_out=used.get("octets_out"),
        duration_s=used.get("duration_s"),
        from_octets_in=before.octets_in,
        from_octets_out=before.octets_out,
        from_duration_s=before.session_time_s,
        quoted_currency=None if quote is None else quote.currency,
        quoted_nano_per_kib=None if quote is None else quote.nano_per_kib,
        evidence=_evidence(usage)
        | (Evidence.NODE_SIGNED if metered else Evidence.NONE)
        | (Evidence.ACKNOWLEDGED if _acknowledged(base, unit, usage) else Evidence.NONE),
        evidence_digest=None if metered is None else metered.head,
        source_digest=derive("usage/exported", usage.usage_id, usage.start_us, usage.end_us),
        source_offset=0,
        ingested_us=usage.end_us,
        decoder=DECODER,
    )


def _terms(base: Installation, unit: Connection, usage: Usage) -> tuple[int | None, Offered]:
    """Return the instant whose tariff a usage was rated by, None while it waits, and its offer.

    A charge by a line says what was offered; its authorisation may have been erased.
    """
    offered = base.rating.offered(unit, usage.authorisation_id)
    rated = base.rating.rated(unit, usage.usage_id)
    if rated is None:
        return None, offered
    charge = rated.wholesale
    inputs = wholesale_inputs(charge.rule_version, charge.inputs)
    if isinstance(inputs, LineInputs):
        offered = inputs.terms.offered
    return inputs.tariff_at_us, offered


def _subject(usage: Usage) -> bytes:
    """Return the pseudonym the visited operator knows; one of another size is hashed to 16."""
    try:
        octets = bytes.fromhex(usage.subject)
    except ValueError:
        octets = b""
    if len(octets) == SUBJECT_OCTETS:
        return octets
    return derive("usage/subject", usage.visited, usage.subject)[:SUBJECT_OCTETS]


def _metered(base: Installation, unit: Connection, usage: Usage) -> MeterEvidence | None:
    """Return what the node that served a usage signed for of its session."""
    session = base.usage.session(unit, usage.session_id)
    if session is None or usage.authorisation_id is None:
        return None
    return base.meters.evidence(
        unit,
        nas_identifier=session.stream.nas_key,
        acct_session_id=session.stream.acct_session_id,
        authorisation_id=usage.authorisation_id,
        used=usage.counters_to,
    )


def _acknowledged(base: Installation, unit: Connection, usage: Usage) -> bool:
    """Say whether the device signed for the use: what is paid as it is used is cut there."""
    if usage.authorisation_id is None:
        return False
    sessions = {usage.session_id: usage.authorisation_id}
    signed = base.channel_book.acknowledged(unit, sessions).get(usage.session_id, ZERO)
    return signed != ZERO


def _evidence(usage: Usage) -> Evidence:
    evidence = Evidence.NONE if usage.weak else Evidence.OWN_CLASS
    return evidence | Evidence.CO_SIGNED if usage.rung >= Rung.CO_SIGNED else evidence
