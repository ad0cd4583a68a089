"""Who owes whom as a flow: what comes in on the left, where it goes on the right, equal sums.

What is only passed through is what netting sets off; the rest is the one row that is paid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from opencarrier.clearing.owed import Owed
from opencarrier.spine.money import Role
from opencarrier.spine.parties import PartyId

ROWS_MAX: Final = 6
"""Rows a side of the picture; the smallest of more are one row together."""

BODY: Final = 168
TOP: Final = 28
SLOT_LEAST: Final = 46
GAP: Final = 8
BAR: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRow:
    """An amount and whose it is; `kind` says why.

    `operator`: another operator owes it, or is owed. `hosts`, `protocol`, `tax`: their shares.
    `net`: what is paid to even it out. `others`: rows too small to be drawn apart.
    """

    kind: str
    party: str
    name: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowView:
    """What comes in and where it goes; both sides sum to `total_minor`.

    `net_minor` is what is paid to the operator after all is set off, below zero what it pays.
    """

    incoming: tuple[FlowRow, ...]
    outgoing: tuple[FlowRow, ...]
    net_minor: int

    @property
    def total_minor(self) -> int:
        """The sum of either side."""
        return sum(row.amount_minor for row in self.incoming)

    @property
    def owed_to_minor(self) -> int:
        """What others owe the operator before anything is set off."""
        return sum(row.amount_minor for row in self.incoming if row.kind != "net")

    @property
    def owes_minor(self) -> int:
        """What the operator owes others, its hosts' and all other shares included."""
        return sum(row.amount_minor for row in self.outgoing if row.kind != "net")

    @property
    def set_off_minor(self) -> int:
        """What needs no payment of its own: it is set off."""
        return min(self.owed_to_minor, self.owes_minor)


def flow_of(owed: Owed, name: Callable[[PartyId], str]) -> FlowView:
    """Make the flow of what a party is owed and owes; `name` says how others are called."""
    net = owed.net_minor
    incoming = [
        *(_operator(one.other, one.amount_minor, name) for one in owed.to_it),
        *_shares(owed.passed_to),
    ]
    outgoing = [
        *(_operator(one.other, one.amount_minor, name) for one in owed.by_it),
        *_shares(owed.passed_on),
    ]
    if net:
        side = outgoing if net > 0 else incoming
        side.append(FlowRow(kind="net", party="", name="", amount_minor=abs(net)))
    made = FlowView(incoming=tuple(incoming), outgoing=tuple(outgoing), net_minor=net)
    assert made.total_minor == sum(row.amount_minor for row in outgoing), "what comes in goes out"
    return made


def _operator(party: PartyId, amount_minor: int, name: Callable[[PartyId], str]) -> FlowRow:
    return FlowRow(kind="operator", party=party, name=name(party), amount_minor=amount_minor)


def _shares(by_role: dict[Role, int]) -> Iterable[FlowRow]:
    names = {Role.HOST: "hosts", Role.PROTOCOL: "protocol", Role.TAX: "tax", Role.SELLER: "seller"}
    return (
        FlowRow(kind=names[role], party="", name="", amount_minor=amount)
        for role, amount in by_role.items()
    )


# the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A row as it is drawn: the band's outline, its bar at the edge, where its words stand."""

    row: FlowRow
    path: str
    bar_x: int
    bar_y: int
    bar_height: int
    words_x: int
    words_y: int
    is_left: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing in units of its own width; `middle` is the operator's bar."""

    width: int
    words: int
    height: int
    middle_x: int
    middle_y: int
    middle_height: int
    bands: tuple[Band, ...]


def picture(flow: FlowView, *, width: int, words: int) -> Picture:
    """Draw a flow that wide, with that much room for words at each side."""
    sides = (folded(flow.incoming), folded(flow.outgoing))
    heights = [_column(side, flow.total_minor) for side in sides]
    height = TOP + max(*(sum(slots) for slots in heights), BODY)
    middle_x, middle_y = (width - BAR) // 2, TOP + (height - TOP - BODY) // 2
    bands = [
        band
        for is_left, (side, slots) in zip(
            (True, False), zip(sides, heights, strict=True), strict=True
        )
        for band in _bands(side, slots, flow.total_minor, (width, words, height), is_left=is_left)
    ]
    return Picture(
        width=width,
        words=words,
        height=height,
        middle_x=middle_x,
        middle_y=middle_y,
        middle_height=BODY,
        bands=tuple(bands),
    )


def folded(rows: Sequence[FlowRow]) -> tuple[FlowRow, ...]:
    """Keep the rows that are drawn: the net always, of the others the largest."""
    net = [row for row in rows if row.kind == "net"]
    others = sorted((row for row in rows if row.kind != "net"), key=lambda row: -row.amount_minor)
    room = ROWS_MAX - len(net)
    if len(others) <= room:
        return (*others, *net)
    rest = sum(row.amount_minor for row in others[room - 1 :])
    together = FlowRow(kind="others", party="", name="", amount_minor=rest)
    return (*others[: room - 1], together, *net)


def _column(rows: Sequence[FlowRow], total: int) -> list[int]:
    return [max(_thick(row, total), SLOT_LEAST) + GAP for row in rows]


def _thick(row: FlowRow, total: int) -> int:
    return max(row.amount_minor * BODY // total, 2)


def _bands(
    rows: Sequence[FlowRow],
    slots: Sequence[int],
    total: int,
    room: tuple[int, int, int],
    *,
    is_left: bool,
) -> Iterable[Band]:
    width, words, height = room
    y = TOP + (height - TOP - sum(slots)) // 2
    bar_x = words if is_left else width - words - BAR
    middle_x, middle_y = (width - BAR) // 2, TOP + (height - TOP - BODY) // 2
    ends = (bar_x + BAR, middle_x) if is_left else (bar_x, middle_x + BAR)
    before = 0
    for row, slot in zip(rows, slots, strict=True):
        thick = _thick(row, total)
        bar_y = y + (slot - thick) // 2
        inner_y = middle_y + before * BODY // total
        before += row.amount_minor
        inner = max(middle_y + before * BODY // total - inner_y, 1)
        yield Band(
            row=row,
            path=_outline(ends, (bar_y, thick), (inner_y, inner)),
            bar_x=bar_x,
            bar_y=bar_y,
            bar_height=thick,
            words_x=bar_x - 8 if is_left else bar_x + BAR + 8,
            words_y=y + slot // 2,
            is_left=is_left,
        )
        y += slot


def _outline(ends: tuple[int, int], outer: tuple[int, int], inner: tuple[int, int]) -> str:
    (x1, x2), (y1, thick1), (y2, thick2) = ends, outer, inner
    half = (x1 + x2) // 2
    return (
        f"M{x1} {y1}C{half} {y1} {half} {y2} {x2} {y2}V{y2 + thick2}"
        f"C{half} {y2 + thick2} {half} {y1 + thick1} {x1} {y1 + thick1}Z"
    )
