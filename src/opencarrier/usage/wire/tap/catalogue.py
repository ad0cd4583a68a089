"""What can be wrong with a transfer file, and how much it takes with it.

The severities are those of RAP: fatal returns the file, severe the event, a warning nothing. The
reasons are our own words; the GSMA's numbers for them are for its members.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opencarrier.usage.wire.records import Refused, Severity

FATAL: Final[Mapping[str, str]] = {
    "root": "the file is neither a transfer batch nor a notification",
    "operator_unknown": "the sender or the recipient is nobody known here",
    "test_file": "a file of test data, which is never settled",
    "batch_control": "there is no control part, or it says too little to know the file by",
    "sequence_number": "the file's number is not 1 to 99,999",
    "version": "another version than 3.10 to 3.12",
    "accounting": "there is no accounting part before the events",
    "currency": "no currency, or not three capital letters",
    "decimal_places": "no decimal places, or not 0 to 6",
    "rate": "an exchange rate that is not positive, or with decimals beyond 0 to 9",
    "code_twice": "one code for two exchange rates, taxes, discounts, offsets or entities",
    "network": "there is no network part before the events",
    "offset": "an offset from UTC that cannot be",
    "time": "a time that cannot be",
    "form": "a part that does not hold what it must",
    "part_twice": "a part of the file stands in it twice",
    "audit": "there is no audit part at the end",
    "audit_count": "the audit counts another number of events than there are",
    "audit_total_charge": "the audit's total charge is not the events'",
    "audit_total_tax": "the audit's total tax is not the events'",
    "audit_total_discount": "the audit's total discount is not the events'",
    "file_again": "a file of this number came before, with other content",
}
SEVERE: Final[Mapping[str, str]] = {
    "event_syntax": "the event is not well-formed",
    "event_kind": "a kind of event that is not settled here",
    "subscriber": "no IMSI, MSISDN or MIN",
    "start_time": "the event does not tell when it began, or a time that cannot be",
    "offset_code": "a code of an offset that the network part does not name",
    "rate_code": "a code of an exchange rate that the accounting part does not name",
    "tax_code": "a code of a tax that the accounting part does not name",
    "discount_code": "a code of a discount that the accounting part does not name",
    "entity_code": "a code of a recording entity that the network part does not name",
    "range": "a volume, duration or amount that is negative or cannot be held",
    "total_missing": "a charge whose total, type 00, is not told",
    "event_again": "the event stands in the file before",
}
WARNING: Final[Mapping[str, str]] = {
    "rate_code_missing": "a charge names no exchange rate; it stands in the file's currency",
    "after_cut_off": "the event began after the file's cut-off",
    "audit_earliest": "the audit's earliest event is not the events'",
    "audit_latest": "the audit's latest event is not the events'",
    "audit_unread": "events could not be read, so totals could not be compared",
    "part_unknown": "a part of the file that is not known here; it was passed over",
    "trailing": "octets after the end",
    "file_known": "the same file came before; nothing of it is new",
}

SEVERITY: Final[Mapping[str, Severity]] = {
    **dict.fromkeys(FATAL, Severity.FATAL),
    **dict.fromkeys(SEVERE, Severity.SEVERE),
    **dict.fromkeys(WARNING, Severity.WARNING),
}

assert len(SEVERITY) == len(FATAL) + len(SEVERE) + len(WARNING), "a reason has one severity"


def finding(offset: int, reason: str, detail: str = "") -> Refused:
    """Return a finding of the catalogue at a place of the file."""
    return Refused(offset, reason, SEVERITY[reason], detail)
