"""What two sets of entries come to: a statement both compute alike, and sign. Pure.

Of an entry both have, the lower amount is agreed. Within tolerance the rest is waived, beyond it
what the creditor asks above is disputed. What only its creditor has is one-sided: it is named, not
agreed, and may be claimed on that rung. What only its debtor has nobody asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from opencarrier.clearing.exchange.model import PPM, Entry, Summary, Terms
from opencarrier.clearing.exchange.tree import EntryTree
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.signatures import Address


class Standing(IntEnum):
    """Why an entry is named."""

    WITHIN_TOLERANCE = 1
    DISPUTED = 2
    ONE_SIDED = 3
    UNCLAIMED = 4
    DEBTOR_DIFFERS = 5


class Cause(StrEnum):
    """What an entry differs in, of several the first."""

    TERMS = "terms"
    """Both have it, and do not hold the same to be agreed in band."""
    USE = "use"
    """What was used, until when, by whom: or only one side has it."""
    PRICE = "price"
    """All of that is alike, but not what it costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An entry that both sides do not have alike, what each has, and what comes of it."""

    usage_id: Id
    standing: Standing
    first: Entry | None
    second: Entry | None
    agreed: Entry | None
    disputed_minor: int = 0

    @property
    def cause(self) -> Cause:
        """Why the two are not alike; both sides say the same."""
        if self.first is None or self.second is None:
            return Cause.USE
        if self.first.terms != self.second.terms:
            return Cause.TERMS
        same_use = replace(self.first, amount_minor=self.second.amount_minor) == self.second
        return Cause.PRICE if same_use else Cause.USE


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The agreed entries of one cut by their root and sums, and every entry that differs."""

    exchange_id: Id
    cut_us: int
    agreed: Summary
    first_owes_minor: int
    second_owes_minor: int
    differences: tuple[Difference, ...]

    @property
    def digest(self) -> Id:
        """What both sign."""
        return derive(
            "exchange/statement",
            self.exchange_id,
            self.cut_us,
            self.agreed.count,
            self.agreed.digest,
            self.first_owes_minor,
            self.second_owes_minor,
            [
                [
                    d.usage_id,
                    int(d.standing),
                    _leaf(d.first),
                    _leaf(d.second),
                    d.disputed_minor,
                ]
                for d in self.differences
            ],
        )

    @property
    def disputed(self) -> tuple[Difference, ...]:
        """The entries whose difference is disputed."""
        return tuple(d for d in self.differences if d.disputed_minor)


def conclude(
    terms: Terms,
    cut_us: int,
    own: Iterable[Entry],
    differing: Mapping[Id, tuple[Entry | None, Entry | None]],
) -> Statement:
    """Make the statement from one side's entries and those that differ, first's and second's."""
    judged = [_judge(terms, usage, *pair) for usage, pair in sorted(differing.items())]
    agreed = [entry for entry in own if entry.usage_id not in differing]
    agreed += [difference.agreed for difference in judged if difference.agreed is not None]
    owed = dict.fromkeys((terms.first, terms.second), 0)
    for entry in agreed:
        owed[entry.debtor] += entry.amount_minor
    return Statement(
        exchange_id=terms.exchange_id,
        cut_us=cut_us,
        agreed=EntryTree(agreed).head,
        first_owes_minor=owed[terms.first],
        second_owes_minor=owed[terms.second],
        differences=tuple(judged),
    )


def _judge(terms: Terms, usage_id: Id, first: Entry | None, second: Entry | None) -> Difference:
    standing, agreed, disputed_minor = _outcome(terms, first, second)
    return Difference(
        usage_id=usage_id,
        standing=standing,
        first=first,
        second=second,
        agreed=agreed,
        disputed_minor=disputed_minor,
    )


def _outcome(
    terms: Terms, first: Entry | None, second: Entry | None
) -> tuple[Standing, Entry | None, int]:
    if first is None or second is None:
        holder = terms.first if second is None else terms.second
        entry = first or second
        assert entry is not None, "somebody has it"
        return _alone(holder, entry), None, 0
    if first.debtor != second.debtor:
        return Standing.DEBTOR_DIFFERS, None, 0
    agreed = _lower(first, second)
    larger = max(first.amount_minor, second.amount_minor)
    if (larger - agreed.amount_minor) * PPM <= larger * terms.tolerance_ppm:
        return Standing.WITHIN_TOLERANCE, agreed, 0
    claim = second if first.debtor == terms.first else first
    return Standing.DISPUTED, agreed, claim.amount_minor - agreed.amount_minor


def _alone(holder: Address, entry: Entry) -> Standing:
    return Standing.UNCLAIMED if entry.debtor == holder else Standing.ONE_SIDED


def _lower(one: Entry, two: Entry) -> Entry:
    """Return the lower of each amount: what both say at least; ids of corrections must agree."""
    return Entry(
        usage_id=one.usage_id,
        debtor=one.debtor,
        end_us=min(one.end_us, two.end_us),
        octets_in=min(one.octets_in, two.octets_in),
        octets_out=min(one.octets_out, two.octets_out),
        duration_s=min(one.duration_s, two.duration_s),
        amount_minor=min(one.amount_minor, two.amount_minor),
        corrects=one.corrects if one.corrects == two.corrects else None,
        terms=one.terms if one.terms == two.terms else None,
    )


def _leaf(entry: Entry | None) -> bytes | None:
    return None if entry is None else entry.leaf
