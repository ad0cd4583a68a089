"""What rating knows of where money stands: rated, or suspended and why, for each contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Row, select

from opencarrier.kernel.ids import Id, to_hex
from opencarrier.rating import charges, period_ends
from opencarrier.rating.adjustments import readjust
from opencarrier.rating.rules.v2 import VERSION as V2
from opencarrier.rating.rules.v2.charges import LineTerms
from opencarrier.rating.rules.v2.inputs import decode_inputs
from opencarrier.rating.tables import authorisations, by_ids, suspense
from opencarrier.spine.money import Adjustment, Charge, Kind
from opencarrier.spine.parties import PartyId
from opencarrier.spine.stages import Stage, StageReason, Step

AUTHORISATIONS_MAX = 500
"""The newest authorisations by which a subscriber's use is found."""

_REASONS = {Kind.WHOLESALE: StageReason.WHOLESALE, Kind.RETAIL: StageReason.RETAIL}


class RatingStages:
    """Answers the port `Stages` for usages."""

    def steps(self, unit: Connection, about: Sequence[Id]) -> Sequence[Step]:
        """Return what usages cost, and why a charge waits or waited."""
        return [*self._suspended(unit, about), *map(_rated, charges.charges_of(unit, about))]

    def _suspended(self, unit: Connection, about: Sequence[Id]) -> Iterator[Step]:
        query = select(suspense).order_by(suspense.c.kind)
        for row in by_ids(unit, query, about, suspense.c.usage_id):
            yield _suspension(row)

    def adjusted(self, unit: Connection, about: Id, adjustment_id: Id) -> Sequence[Step]:
        """Return what an adjustment moved, said of one of its records."""
        found = period_ends.due(unit, adjustment_id)
        return [] if found is None else [adjusted_step(about, found.adjustment)]

    def host(self, unit: Connection, usage_id: Id) -> PartyId | None:
        """Return the host that a usage pays, None while it is not rated."""
        return charges.host_of(unit, usage_id)

    def authorisations(self, unit: Connection, subscriber: PartyId) -> list[bytes]:
        """Return a subscriber's newest authorisations, one more than `AUTHORISATIONS_MAX` at most.

        So a caller sees that there are older ones.
        """
        query = (
            select(authorisations.c.authorisation_id)
            .where(authorisations.c.subscriber == subscriber)
            .order_by(authorisations.c.granted_us.desc(), authorisations.c.authorisation_id)
            .limit(AUTHORISATIONS_MAX + 1)
        )
        return list(unit.execute(query).scalars())


def _suspension(row: Row[tuple[object, ...]]) -> Step:
    return Step(
        stage=Stage.SUSPENDED,
        reason=row.reason,
        about=Id(row.usage_id),
        at_us=row.suspended_us,
        facts={
            "contract": Kind(row.kind).name.lower(),
            "detail": row.detail,
            "rated_us": row.rated_us,
        },
    )


def _rated(charge: Charge) -> Step:
    is_free = charge.is_settlement_free
    reason = StageReason.SETTLEMENT_FREE if is_free else _REASONS[charge.kind]
    return Step(
        stage=Stage.RATED,
        reason=reason.name.lower(),
        about=charge.usage_id,
        facts={
            "charge_id": to_hex(charge.charge_id),
            "amount_minor": charge.amount_minor,
            "discount_minor": charge.discount_minor,
            "asset": charge.asset,
            "seller": charge.seller,
            "rule_version": charge.rule_version,
            "agreement_hash": to_hex(charge.agreement_hash),
            **_by_line(charge),
        },
    )


def _by_line(charge: Charge) -> dict[str, str | int | None]:
    """Say which line priced a charge, at which rate in band, or why that was set aside."""
    if charge.rule_version != V2 or charge.is_settlement_free:
        return {}
    terms = decode_inputs(charge.inputs).terms
    assert isinstance(terms, LineTerms), "whatever is not free has a line"
    dispute, quote = terms.dispute, terms.offered.quote
    counts = terms.line.in_band and quote is not None and dispute is None
    return {
        "line": terms.line.line,
        "quote": None if dispute is None else dispute.name.lower(),
        "in_band_nano": quote.nano_per_kib if counts and quote is not None else None,
    }


def adjusted_step(about: Id, item: Adjustment) -> Step:
    """Say of a record what a deal's adjustment moved, and how the deal stood then."""
    return Step(
        stage=Stage.ADJUSTED,
        reason=readjust(item.inputs).owed.verdict.name.lower(),
        about=about,
        facts={
            "adjustment_id": to_hex(item.adjustment_id),
            "deal_hash": to_hex(item.deal_hash),
            "number": item.number,
            "is_final": int(item.is_final),
            "payer": item.payer,
            "seller": item.seller,
            "currency": item.currency,
            "period_minor": item.amount_minor,
        },
    )
