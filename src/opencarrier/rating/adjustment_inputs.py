"""What an adjustment is made from, as canonical octets and back; the octets may be anybody's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opencarrier.kernel.clock import Window
from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import Value, encode
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.agreements.documents import read_deal
from opencarrier.rating.agreements.heads import HEAD_FIELDS, head_fields, read_hashed_head
from opencarrier.rating.agreements.model import LINES_MAX, Deal, RoamingHead
from opencarrier.rating.agreements.reading import Cursor
from opencarrier.rating.periods import Legs, LineSum, PeriodSums, windows_in

SUM_MAX: Final = 1 << 100
"""Sums of a period may pass 64 bits; what an adjustment comes to may not."""

NUMBER_MAX: Final = 1 << 20
LEGS: Final = tuple(Legs.__slots__)
_REST: Final = (
    "deal",
    "start_us",
    "end_us",
    "number",
    "is_final",
    "lines",
    "subscribers",
    "booked",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustmentInputs:
    """Everything an adjustment is made from; `booked` is what earlier ones of it came to."""

    head: RoamingHead
    deal: Deal
    window: Window
    number: int
    is_final: bool
    sums: PeriodSums
    booked: Legs

    def __post_init__(self) -> None:
        assert self.deal.hash in self.head.deal_hashes, "the deal is not the agreement's"
        assert self.window in windows_in(self.head.periods_us, self.deal)
        assert len(self.sums.subscribers) == len(self.deal.pricings)
        assert self.number >= 0
        assert self.booked.host_minor == 0, "hosts keep what their records gave them"


def encode_inputs(inputs: AdjustmentInputs) -> bytes:
    """Write inputs in the one canonical way; their SHA-256 is part of the adjustment's id."""
    sums = inputs.sums
    lines: list[Value] = [
        [name, item.amount, *_list(item.legs)] for name, item in sorted(sums.lines.items())
    ]
    return encode(
        {
            **head_fields(inputs.head),
            "deal": inputs.deal.terms(),
            "start_us": inputs.window.start_us,
            "end_us": inputs.window.end_us,
            "number": inputs.number,
            "is_final": inputs.is_final,
            "lines": lines,
            "subscribers": list(sums.subscribers),
            "booked": _list(inputs.booked),
        }
    )


def decode_inputs(data: bytes) -> AdjustmentInputs:
    """Read inputs back; `PeerError` for anything `encode_inputs` would not have written."""
    fields = Cursor(decode(data)).keys(*HEAD_FIELDS, *_REST)
    deal = read_deal(fields["deal"])
    head = read_hashed_head(fields)
    window = tuple(fields[name].integer(0, INT64_MAX) for name in ("start_us", "end_us"))
    known = {(item.start_us, item.end_us): item for item in windows_in(head.periods_us, deal)}
    parties = {item.party for item in head.parties}
    if window not in known or deal.hash not in head.deal_hashes:
        raise PeerError("inputs", "the deal or the period is not the agreement's")
    if not {deal.home, deal.visited} <= parties:
        raise PeerError("inputs", "the deal is between others than who signs")
    booked = _legs(fields["booked"].items(len(LEGS), len(LEGS)), -SUM_MAX)
    if booked.host_minor:
        raise PeerError("inputs", "an adjustment never moves a host's share")
    subscribers = fields["subscribers"].items(len(deal.pricings), len(deal.pricings))
    inputs = AdjustmentInputs(
        head=head,
        deal=deal,
        window=known[window],
        number=fields["number"].integer(0, NUMBER_MAX),
        is_final=fields["is_final"].boolean(),
        sums=PeriodSums(
            dict(_line_sum(item) for item in fields["lines"].items(0, LINES_MAX)),
            tuple(item.integer(0, SUM_MAX) for item in subscribers),
        ),
        booked=booked,
    )
    if encode_inputs(inputs) != data:
        raise PeerError("inputs", "not the form rating writes")
    return inputs


def _line_sum(item: Cursor) -> tuple[str, LineSum]:
    name, amount, *legs = item.items(2 + len(LEGS), 2 + len(LEGS))
    if not isinstance(name.value, str):
        raise name.wrong("is no line's name", "see docs/reference/agreement.md")
    return name.value, LineSum(amount.integer(0, SUM_MAX), _legs(legs, 0))


def _legs(items: list[Cursor], least: int) -> Legs:
    found = zip(LEGS, items, strict=True)
    return Legs(**{name: item.integer(least, SUM_MAX) for name, item in found})


def _list(legs: Legs) -> list[int]:
    return [getattr(legs, name) for name in LEGS]
