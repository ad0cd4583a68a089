"""A comparison on one page, for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from opencarrier.clearing.shadow.model import Cause, Compared, ShadowReport, shown

ACCOUNTS_MAX: Final = 20
"""Accounts on the page; of more, those that differ most, and how many there are besides."""


def summary(report: ShadowReport) -> str:
    """Write the page: what was compared, the reasons by currency, the accounts that differ most."""
    return "\n".join((*_head(report), "", *_reasons(report), "", *_accounts(report))) + "\n"


def _head(report: ShadowReport) -> Iterator[str]:
    yield f"Shadow of {report.month or 'all that was rated'}: theirs by {report.rows_are}"
    yield f"{report.rows} rows of theirs, {report.equal} equal; {report.records} records of ours"
    yield f"{report.differences} differences; {sum(report.refused.values())} rows refused"
    yield from (f"  {reason}: {count}" for reason, count in sorted(report.refused.items()))


def _reasons(report: ShadowReport) -> Iterator[str]:
    """Yield what each reason comes to in each currency, and so how theirs leads to ours."""
    by_currency: defaultdict[str, list[Compared]] = defaultdict(list)
    for item in report.accounts:
        by_currency[item.currency].append(item)
    for currency, items in sorted(by_currency.items()):
        yield _line("theirs", currency, sum(item.theirs_nano for item in items))
        for cause in Cause:
            told = [item.causes[cause] for item in items if cause in item.causes]
            if told:
                count, nano = (sum(values) for values in zip(*told, strict=True))
                yield _line(f"{cause.name.lower()} ({count})", currency, nano)
        yield _line("ours", currency, sum(item.ours_nano for item in items))


def _line(what: str, currency: str, nano: int) -> str:
    return f"{what:<32} {currency:>4} {shown(nano):>24}"


def _accounts(report: ShadowReport) -> Iterator[str]:
    """Yield the accounts that differ most, each with its reasons."""
    differing = [item for item in report.accounts if item.causes]
    differing.sort(key=lambda item: -abs(item.difference_nano))
    for item in differing[:ACCOUNTS_MAX]:
        yield f"{item.home} owes {item.visited}, {item.currency}"
        yield (
            f"  theirs {shown(item.theirs_nano)}, ours {shown(item.ours_nano)}, "
            f"difference {shown(item.difference_nano)}, "
            f"unexplained {shown(item.unexplained_nano)}"
        )
        yield "  " + ", ".join(
            f"{cause.name.lower()} {shown(nano)} ({count})"
            for cause, (count, nano) in sorted(item.causes.items())
        )
    if len(differing) > ACCOUNTS_MAX:
        yield f"and {len(differing) - ACCOUNTS_MAX} more that differ: shadow.json"
