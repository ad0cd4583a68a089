"""Call events of a transfer file, decoded by layout.

A layout is where the values stand in an event of a given shape: its length and every identifier
and length octet in it. Another event with the same ones has its values at the same places, so what
costs time, walking the tree, is done once a shape; one `struct` then takes an event apart. The
walk is the reference: without layouts kept, every event is walked, and the result is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from struct import Struct
from typing import Any, Final, NamedTuple

from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire.ber import DEPTH_MAX, element, elements
from opencarrier.usage.wire.tap.tags import (
    BY_IDENTIFIER,
    BY_NAME,
    CONVERT,
    Kind,
    Tag,
)

LAYOUTS_MAX = 2_048
LAYOUTS_PER_LENGTH_MAX = 32
LAYOUT_OCTETS_MAX = 4_096
"""A larger event is walked each time: its shape will hardly come again."""

TOTAL = "00"
"""The charge type of a charge in full; the others say what it is made of (TD.57)."""


class TapTime(NamedTuple):
    """A local time as written, and the code of its offset from UTC."""

    local: str | None
    offset_code: int | None


class TapDetail(NamedTuple):
    """One line of a charge: its type, amount, and the units that were and are charged."""

    kind: str | None
    charge: int | None
    units: int | None
    charged_units: int | None


class TapCharge(NamedTuple):
    """What was charged for one item (`X` volume, `D` duration, `E` event), in which currency."""

    item: str | None
    rate_code: int | None
    details: tuple[TapDetail, ...]


class TapTax(NamedTuple):
    """A tax on an event: its code, value, and what it was taken of."""

    code: int | None
    value: int | None
    taxable: int | None


class TapDiscount(NamedTuple):
    """A discount on an event: its code, and its value."""

    code: int | None
    value: int | None


class TapEvent(NamedTuple):
    """A call event as a file has it; amounts are in units of the file's decimal places."""

    offset: int
    kind: str
    start: TapTime | None
    imsi: str | None
    msisdn: str | None
    min: str | None
    duration_s: int | None
    cause: int | None
    partial: str | None
    charging_id: int | None
    reference: str | None
    entity_code: int | None
    location_area: int | None
    cell_id: int | None
    serving_network: str | None
    access_point: str | None
    called: str | None
    calling: str | None
    service_code: str | None
    volume_in: int | None
    volume_out: int | None
    camel_fee: int | None
    refunds: int | None
    rap_sequence: str | None
    charges: tuple[TapCharge, ...]
    taxes: tuple[TapTax, ...]
    discounts: tuple[TapDiscount, ...]

    @property
    def total_charge(self) -> int:
        """The event's charges in full, as the audit counts them."""
        found = self.camel_fee or 0
        for charge in self.charges:
            for detail in charge.details:
                if detail.kind == TOTAL:
                    found += detail.charge or 0
        return found

    @property
    def total_tax(self) -> int:
        """All its taxes."""
        return sum([tax.value or 0 for tax in self.taxes])

    @property
    def total_discount(self) -> int:
        """All its discounts."""
        return sum([discount.value or 0 for discount in self.discounts])


_FIELDS: Final = {name: at for at, name in enumerate(TapEvent._fields)}
_SCALARS: Final = {
    name: _FIELDS[field]
    for field, names in {
        "imsi": "imsi",
        "msisdn": "msisdn",
        "min": "min mdn",
        "duration_s": "totalCallEventDuration",
        "cause": "causeForTerm",
        "partial": "partialTypeIndicator",
        "charging_id": "chargingId",
        "reference": "callReference eventReference",
        "entity_code": "recEntityCode",
        "location_area": "locationArea",
        "cell_id": "cellId",
        "serving_network": "servingNetwork",
        "access_point": "accessPointNameNI",
        "called": "calledNumber dialledDigits sMSDestinationNumber",
        "calling": "callingNumber sMSOriginator",
        "service_code": "teleServiceCode bearerServiceCode supplServiceCode",
        "camel_fee": "camelInvocationFee",
        "refunds": "chargeRefundIndicator",
        "rap_sequence": "rapFileSequenceNumber",
    }.items()
    for name in names.split()
}
"""Which field a value fills; the first of several that stand in an event does."""

_SUMS: Final = {
    "dataVolumeIncoming": _FIELDS["volume_in"],
    "dataVolumeOutgoing": _FIELDS["volume_out"],
}
"""Values that add up where an event has several."""

_STARTS: Final = frozenset((
    *("callEventStartTimeStamp", "chargingTimeStamp", "completionTimeStamp"),
    *("depositTimeStamp", "serviceStartTimestamp", "orderPlacedTimeStamp"),
))  # fmt: skip
"""Groups that may tell when an event began; the first in an event does."""

_TIME: Final = {"localTimeStamp": 0, "utcTimeOffsetCode": 1}
_CHARGE: Final = {"chargedItem": 0, "exchangeRateCode": 1}
_FLAT_CHARGE: Final = {**_CHARGE, "charge": 2}
_DETAIL: Final = {"chargeType": 0, "charge": 1, "chargeableUnits": 2, "chargedUnits": 3}
_TAX: Final = {"taxCode": 0, "taxValue": 1, "taxableAmount": 2}
_DISCOUNT: Final = {"discountCode": 0, "discount": 1, "discountValue": 1}
_NOTHING: Final[Mapping[str, int]] = {}

_SLOTS: Final = range(_FIELDS["imsi"], _FIELDS["charges"])
"""The fields that hold one value each."""

_KINDS: Final = frozenset(BY_NAME["callEventDetails"].holds)
_FLAT: Final = "messagingEvent"
"""The one kind that has its charge in itself, not in a group of its own."""

_ALWAYS_TOTAL, _NONE = -2, -1
"""Behind an event's values stand these two, for columns that no value of it fills."""

_NATIVE: Final = {1: "b", 2: "h", 4: "i", 8: "q"}
"""Sizes of integers that `struct` reads by itself."""

_new: Final = tuple.__new__
"""Makes a named tuple of as many values as it has fields, which `_make` would count each time."""

Convert = Callable[[bytes], Any]
Getter = Callable[[Sequence[Any]], tuple[Any, ...]]
Row = list[int]
"""Which of an event's values fills each column of a group, `_NONE` where none does."""


class Place(NamedTuple):
    """Where a value stands; its kind is None where nobody asks for it."""

    start: int
    end: int
    kind: Kind | None


class _Walk:
    """Goes through an event once, and notes where each value stands and what it is of."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.places: list[Place] = []
        self.scalars: dict[int, int] = {}
        self.sums: dict[int, list[int]] = {}
        self._values = 0
        self.start: Row | None = None
        self.charges: list[tuple[Row, list[Row]]] = []
        self.taxes: list[Row] = []
        self.discounts: list[Row] = []
        self.kind = self._root()

    def _root(self) -> str:
        root = element(self.octets, 0, len(self.octets))
        if root.next != len(self.octets):
            raise PeerError("length")
        tag = BY_IDENTIFIER.get(root.tag)
        if tag is None or tag.name not in _KINDS or not root.constructed:
            raise PeerError("event_kind")
        columns, row = self._open(tag.name)
        self._group(root.start, root.end, columns, row, 1)
        return tag.name

    def _group(
        self, start: int, end: int, columns: Mapping[str, int], row: Row, depth: int
    ) -> None:
        if depth > DEPTH_MAX:
            raise PeerError("depth")
        for found in elements(self.octets, start, end):
            tag = BY_IDENTIFIER.get(found.tag)
            if tag is None:
                self.places.append(Place(found.start, found.end, None))
            elif found.constructed is not (tag.kind in (Kind.GROUP, Kind.LIST)):
                raise PeerError("form", tag.name)
            elif found.constructed:
                inner = (columns, row) if tag.kind is Kind.LIST else self._open(tag.name)
                self._group(found.start, found.end, *inner, depth + 1)
            else:
                if tag.kind is Kind.INTEGER and not 0 < found.end - found.start <= 8:
                    raise PeerError("integer", tag.name)
                kind = tag.kind if self._wanted(tag, columns, row) else None
                self.places.append(Place(found.start, found.end, kind))
                self._values += kind is not None

    def _open(self, name: str) -> tuple[Mapping[str, int], Row]:
        """Begin a group: its columns, and the row that its values fill."""
        if name in _STARTS and self.start is None:
            self.start = [_NONE] * 2
            return _TIME, self.start
        if name in ("chargeInformation", "sessionChargeInformation"):
            self.charges.append(([_NONE] * 2, []))
            return _CHARGE, self.charges[-1][0]
        if name == _FLAT:
            self.charges.append(([_NONE] * 3, []))
            return _FLAT_CHARGE, self.charges[-1][0]
        if name == "chargeDetail" and self.charges:
            self.charges[-1][1].append([_NONE] * 4)
            return _DETAIL, self.charges[-1][1][-1]
        if name == "taxInformation":
            self.taxes.append([_NONE] * 3)
            return _TAX, self.taxes[-1]
        if name == "discountInformation":
            self.discounts.append([_NONE] * 2)
            return _DISCOUNT, self.discounts[-1]
        return _NOTHING, []

    def _wanted(self, tag: Tag, columns: Mapping[str, int], row: Row) -> bool:
        """Note what the next value fills; False where nobody asks for it."""
        column, index = columns.get(tag.name), self._values
        if column is not None:
            if row[column] != _NONE:
                raise PeerError("twice", tag.name)
            row[column] = index
            return True
        if tag.name in _SUMS:
            self.sums.setdefault(_SUMS[tag.name], []).append(index)
            return True
        slot = _SCALARS.get(tag.name)
        if slot is None or slot in self.scalars:
            return False
        self.scalars[slot] = index
        return True


class Layout:
    """Where an event's values stand, and what becomes of them.

    `_mask` has the bits of every identifier and length octet, `_skeleton` what they are: an event
    fits if its octets, as one number, have these bits there.
    """

    __slots__ = (
        "_charges",
        "_conversions",
        "_discounts",
        "_kind",
        "_mask",
        "_scalars",
        "_skeleton",
        "_start",
        "_sums",
        "_taxes",
        "_unpack",
    )

    def __init__(self, octets: bytes) -> None:
        """Walk an event; raises `PeerError` where it is not one."""
        walk = _Walk(octets)
        self._kind = walk.kind
        self._mask = int.from_bytes(_mask(len(octets), walk.places), "big")
        self._skeleton = int.from_bytes(octets, "big") & self._mask
        form, self._conversions = _form(len(octets), walk)
        self._unpack = Struct(form).unpack
        self._sums = [
            (indices[0], index) for indices in walk.sums.values() for index in indices[1:]
        ]
        slots = {slot: indices[0] for slot, indices in walk.sums.items()} | walk.scalars
        self._scalars = itemgetter(*(slots.get(slot, _NONE) for slot in _SLOTS))
        self._start = _getter(walk.start)
        self._charges = [
            (itemgetter(*charge[:2]), [itemgetter(*line) for line in _lines(charge, lines)])
            for charge, lines in walk.charges
        ]
        self._taxes = [itemgetter(*row) for row in walk.taxes]
        self._discounts = [itemgetter(*row) for row in walk.discounts]

    def fits(self, number: int) -> bool:
        """Tell whether an event of the same length, its octets one number, has this shape."""
        return number & self._mask == self._skeleton

    def event(self, octets: bytes, offset: int) -> TapEvent:
        """Decode an event that fits; raises `PeerError` for a value that is not of its kind."""
        values: list[Any] = [*self._unpack(octets), TOTAL, None]
        for index, convert in self._conversions:
            values[index] = convert(values[index])
        for index, more in self._sums:
            values[index] += values[more]
        start = None if self._start is None else _new(TapTime, self._start(values))
        charges = [
            _new(
                TapCharge,
                (*head(values), tuple([_new(TapDetail, line(values)) for line in lines])),
            )
            for head, lines in self._charges
        ]
        taxes = tuple([_new(TapTax, row(values)) for row in self._taxes])
        discounts = tuple([_new(TapDiscount, row(values)) for row in self._discounts])
        named = self._scalars(values)
        return _new(
            TapEvent,
            (offset, self._kind, start, *named, tuple(charges), taxes, discounts),
        )


def _getter(row: Row | None) -> Getter | None:
    return itemgetter(*row) if row is not None else None


def _mask(length: int, places: list[Place]) -> bytes:
    mask = bytearray(b"\xff" * length)
    for place in places:
        mask[place.start : place.end] = bytes(place.end - place.start)
    return bytes(mask)


def _form(length: int, walk: _Walk) -> tuple[str, list[tuple[int, Convert]]]:
    """Say to `struct` how to take the values, and what is to be done with some of them."""
    form, at, conversions, index = [">"], 0, [], 0
    for start, end, kind in walk.places:
        form.append(f"{start - at}x")
        at = end
        if kind is None:
            form.append(f"{end - start}x")
            continue
        native = _NATIVE.get(end - start) if kind is Kind.INTEGER else None
        form.append(native or f"{end - start}s")
        if native is None:
            conversions.append((index, CONVERT[kind]))
        index += 1
    return "".join([*form, f"{length - at}x"]), conversions


def _lines(charge: Row, details: list[Row]) -> list[Row]:
    """The lines of a charge; one that has none of its own, but an amount, is the total."""
    if len(charge) > len(_CHARGE):
        return [[_ALWAYS_TOTAL, charge[2], _NONE, _NONE]]
    return details


class EventDecoder:
    """Decodes events one by one; keeps the layouts it met, the latest used first."""

    def __init__(self, layouts_max: int = LAYOUTS_MAX) -> None:
        self._layouts: dict[int, list[Layout]] = {}
        self._layouts_max = layouts_max
        self._count = 0

    def decode(self, octets: bytes, offset: int) -> TapEvent:
        """Decode a whole event; raises `PeerError` with the reason it is not taken."""
        kept = self._layouts.get(len(octets))
        if kept is not None:
            number = int.from_bytes(octets, "big")
            for at, layout in enumerate(kept):
                if layout.fits(number):
                    if at:
                        kept.insert(0, kept.pop(at))
                    return layout.event(octets, offset)
        layout = Layout(octets)
        self._keep(len(octets), layout)
        return layout.event(octets, offset)

    def _keep(self, length: int, layout: Layout) -> None:
        if length > LAYOUT_OCTETS_MAX or not self._layouts_max:
            return
        if self._count >= self._layouts_max:
            self._layouts.clear()
            self._count = 0
        kept = self._layouts.setdefault(length, [])
        if len(kept) == LAYOUTS_PER_LENGTH_MAX:
            kept.pop()
            self._count -= 1
        kept.insert(0, layout)
        self._count += 1
