"""What goes back to the sender of a transfer file: which of its parts are not accepted, and why.

The report has the shape of RAP: fatal returns the file, severe returns single events, missing names
the numbers that never came. It is JSON of our own; it holds no subscriber's number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from opencarrier.usage.wire.records import Refused, Severity
from opencarrier.usage.wire.tap.batch import SEQUENCE_MAX, BatchControl, Notification
from opencarrier.usage.wire.tap.catalogue import FATAL, SEVERE, finding
from opencarrier.usage.wire.tap.reader import Dated, End, Header, TapItem

FORMAT: Final = "opencarrier-tap-return/1"
LISTED_MAX = 1_000
"""Refusals listed one by one; beyond, they are counted."""


class Return:
    """Takes what a reader yields of one file, passes it on, and knows what is to be returned."""

    def __init__(self) -> None:
        self._control: BatchControl | None = None
        self._end: End | None = None
        self._events_taken = self._charge_taken = 0
        self._listed: dict[Severity, list[Refused]] = {Severity.FATAL: [], Severity.SEVERE: []}
        self._counts: dict[Severity, Counter[str]] = {severity: Counter() for severity in Severity}

    def through(self, items: Iterable[TapItem | Refused]) -> Iterator[TapItem | Refused]:
        """Yield what comes as it comes, having noted it."""
        for item in items:
            self.take(item)
            yield item

    def take(self, item: TapItem | Refused) -> None:
        """Note one thing that a reader yielded."""
        if isinstance(item, Dated):
            self._events_taken += 1
            self._charge_taken += -item.charge if item.event.refunds else item.charge
        elif isinstance(item, Refused):
            self._counts[item.severity][item.reason] += 1
            listed = self._listed.get(item.severity)
            if listed is not None and len(listed) < LISTED_MAX:
                listed.append(item)
        elif isinstance(item, End):
            self._end = item
        else:
            self._control = item.control

    @property
    def decision(self) -> str:
        """`accept`, `return_events`, or `return_file` where anything is fatal."""
        if self._counts[Severity.FATAL]:
            return "return_file"
        return "return_events" if self._counts[Severity.SEVERE] else "accept"

    def report(self) -> dict[str, Any]:
        """Return the report with stable keys, for JSON."""
        control, end = self._control, self._end
        return {
            "format": FORMAT,
            "sender": control and control.sender,
            "recipient": control and control.recipient,
            "file_sequence_number": control and control.sequence,
            "release": control and f"{control.specification}.{control.release}",
            "decision": self.decision,
            "fatal": [_told(refused, FATAL) for refused in self._listed[Severity.FATAL]],
            "severe": [_told(refused, SEVERE) for refused in self._listed[Severity.SEVERE]],
            "severe_count": self._counts[Severity.SEVERE].total(),
            "warnings": dict(sorted(self._counts[Severity.WARNING].items())),
            "events_taken": self._events_taken,
            "charge_taken": self._charge_taken,
            "totals": None if end is None else _totals(end),
        }


def _told(refused: Refused, words: Any) -> dict[str, Any]:
    return {
        "offset": refused.offset,
        "reason": refused.reason,
        "detail": refused.detail,
        "meaning": words.get(refused.reason, "the octets are no well-formed BER there"),
    }


def _totals(end: End) -> dict[str, Any]:
    audit, sums = end.audit, end.sums
    rows = {
        "events": (audit.count, sums.count),
        "charge": (audit.total_charge, sums.charge),
        "refund": (audit.total_refund, sums.refund),
        "tax": (audit.total_tax, sums.tax),
        "discount": (audit.total_discount, sums.discount),
    }
    return {name: {"audit": told, "events": summed} for name, (told, summed) in rows.items()}


class Series(NamedTuple):
    """Files of one sender to one recipient, numbered one after the other; tests apart."""

    sender: str
    recipient: str
    is_test: bool


class Missing(NamedTuple):
    """Numbers of a series that never came, from the first to the last."""

    series: Series
    first: int
    last: int


class Sequences:
    """The numbers of the files that came: which came twice, and which are missing between."""

    def __init__(self) -> None:
        self._digests: dict[Series, dict[int, bytes]] = {}

    def add(self, item: Header | Notification, digest: bytes) -> Refused | None:
        """Count a file with the digest of its octets; say where its number came before."""
        control = item.control
        series = Series(control.sender, control.recipient, control.is_test)
        known = self._digests.setdefault(series, {})
        before = known.get(control.sequence)
        if before is None:
            known[control.sequence] = digest
            return None
        reason = "file_known" if before == digest else "file_again"
        return finding(item.offset, reason, f"{control.sender} {control.sequence:05}")

    def as_rows(self) -> list[list[Any]]:
        """Return all numbers with their digests, for JSON."""
        return [
            [*series, number, digest.hex()]
            for series, digests in sorted(self._digests.items())
            for number, digest in sorted(digests.items())
        ]

    @classmethod
    def of_rows(cls, rows: Iterable[Sequence[Any]]) -> Sequences:
        """Make them again from what `as_rows` returned."""
        sequences = cls()
        for *series, number, digest in rows:
            known = sequences._digests.setdefault(Series(*series), {})
            known[number] = bytes.fromhex(digest)
        return sequences

    def missing(self) -> list[Missing]:
        """Return the gaps of every series; after 99,999 comes 1, the widest gap is around it."""
        found = []
        for series, digests in sorted(self._digests.items()):
            numbers = sorted(digests)
            following = [*numbers[1:], numbers[0] + SEQUENCE_MAX]
            gaps = [
                (after - number, number) for number, after in zip(numbers, following, strict=True)
            ]
            _, last = max(gaps)
            found += [
                Missing(series, number % SEQUENCE_MAX + 1, (number + gap - 2) % SEQUENCE_MAX + 1)
                for gap, number in gaps
                if gap > 1 and number != last
            ]
        return found
