"""A pair's rated records as a transfer file of TAP; no installation is opened."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.usage.priced import DECIMALS, Pair
from opencarrier.usage.record import SUBJECT_OCTETS
from opencarrier.usage.wire.tap.batch import ExchangeRate
from opencarrier.usage.wire.tap.outgoing import FileOrder, OutgoingFile

SUBSCRIBERS_MAX: Final = 10_000_000
_SUBJECT: Final = re.compile(rf"[0-9a-f]{{{2 * SUBJECT_OCTETS}}}", re.ASCII)
_IMSI: Final = re.compile(r"\d{6,15}", re.ASCII)
_TADIG: Final = re.compile(r"[A-Z0-9]{5}", re.ASCII)
_RATE: Final = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?", re.ASCII)
_TAX_DIGITS_PER_PPM: Final = 10
"""Seven digits, five of them decimals of a hundredth: 200,000 ppm are 20.00000 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TapOrder:
    """What a file is made of and where to; its two times are `at_us`.

    `subscribers` says each subject's IMSI, `sdr_rate` what one SDR is in the records' currency.
    """

    usage: Path
    rated: Path
    home: PartyId
    visited: PartyId
    sender: str
    recipient: str
    sequence: int
    subscribers: Path
    sdr_rate: str
    at_us: int
    out: Path
    is_test: bool = False
    definite: bool = False


def write_tap(order: TapOrder) -> dict[str, Any]:
    """Write the file, whole or not at all; the result is what `usage tap --json` prints."""
    for code in (order.sender, order.recipient):
        if not _TADIG.fullmatch(code):
            raise PeerError("tadig", f"{code!r} is no TADIG code like FRA93")
    unready = order.out.with_name(f".{order.out.name}.unready")
    spill = order.out.with_name(f".{order.out.name}.spill")
    pair = Pair(
        usage=order.usage,
        rated=order.rated,
        home=order.home,
        visited=order.visited,
        spill=spill,
    )
    imsis, head = _imsis(order.subscribers), _head(order, pair)
    file = OutgoingFile(head, pair.lines, lambda record: imsis.get(record.subject))
    try:
        with unready.open("wb") as stream:
            octets = sum(map(stream.write, file.octets(definite=order.definite)))
        unready.rename(order.out)
    finally:
        unready.unlink(missing_ok=True)
        shutil.rmtree(spill, ignore_errors=True)
    return {
        "file": str(order.out),
        "octets": octets,
        "events": file.sums.count,
        "currency": head.currency,
        "decimals": head.decimals,
        "charge_minor": file.sums.charge,
        "tax_minor": file.sums.tax,
        "refused": [item._asdict() | {"severity": "severe"} for item in file.refused],
        "refused_counts": dict(sorted(file.refused_counts.items())),
    }


def _head(order: TapOrder, pair: Pair) -> FileOrder:
    currency, tax_ppm = pair.terms()
    if not re.fullmatch("[A-Z]{3}", currency):
        raise PeerError("currency", f"{currency} is none that a file can name")
    return FileOrder(
        sender=order.sender,
        recipient=order.recipient,
        sequence=order.sequence,
        currency=currency,
        decimals=DECIMALS,
        rate=_rate(order.sdr_rate),
        cut_off_us=order.at_us,
        available_us=order.at_us,
        tax_rate=f"{tax_ppm * _TAX_DIGITS_PER_PPM:07}" if tax_ppm else None,
        is_test=order.is_test,
    )


def _rate(text: str) -> ExchangeRate:
    found = _RATE.fullmatch(text)
    if found is None or not int(found[1] + (found[2] or "")):
        raise PeerError("rate", f"{text!r} is no rate like 1.21734")
    return ExchangeRate(int(found[1] + (found[2] or "")), len(found[2] or ""))


def _imsis(path: Path) -> Mapping[bytes, str]:
    """Read who a pseudonym is; `PeerError` names the line, never what stands in it."""
    found: dict[bytes, str] = {}
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        if not {"subject", "imsi"} <= set(rows.fieldnames or ()):
            raise PeerError("subscribers", "the columns are subject and imsi")
        for row in rows:
            subject, imsi = (row["subject"] or "").lower(), row["imsi"] or ""
            if not _SUBJECT.fullmatch(subject) or not _IMSI.fullmatch(imsi):
                raise PeerError("subscribers", f"line {rows.line_num}: no subject and IMSI")
            found[bytes.fromhex(subject)] = imsi
            if len(found) > SUBSCRIBERS_MAX:
                raise PeerError("subscribers", f"more than {SUBSCRIBERS_MAX}")
    return found
