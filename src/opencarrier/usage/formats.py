"""Which format a file is of, told by its first octets, and the reader that makes records of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.ber import application, header
from opencarrier.usage.wire.csv_mapping import CsvMapping
from opencarrier.usage.wire.diameter.records import DiameterRecordReader
from opencarrier.usage.wire.mapped_csv import CsvRecordReader
from opencarrier.usage.wire.nrtrde import NrtrdeRecordReader
from opencarrier.usage.wire.origin import Origin
from opencarrier.usage.wire.pcap import MAGICS, PcapFrames
from opencarrier.usage.wire.pcapng import MAGIC, PcapngFrames
from opencarrier.usage.wire.records import Reader
from opencarrier.usage.wire.tap.records import TapRecordReader

HEAD_OCTETS: Final = 32
"""As many first octets are enough to tell."""

TAP, NRTRDE, PCAP, PCAPNG, CSV = "tap", "nrtrde", "pcap", "pcapng", "csv"

_FIRST: Final = {
    application(1): {
        **{application(number): TAP for number in (3, 4, 5, 6, 8, 15)},
        **{application(number): NRTRDE for number in (41, 37, 38, 36, 39, 31, 45)},
    },
    application(2): {
        application(number): TAP for number in (196, 182, 109, 181, 108, 107, 227, 201, 189, 110)
    },
}
"""What tells by root and first field: a transfer batch, near real time calls, a notification."""


def format_of(head: bytes) -> str | None:
    """Tell the format of a file by its first octets, None where they say nothing.

    Text may look like BER (`a` begins a batch), so what is all printable is none.
    """
    if head[:4] in MAGICS:
        return PCAP
    if head[:4] == MAGIC:
        return PCAPNG
    if head.isascii() and head.decode("ascii").replace("\n", "").replace("\r", "").isprintable():
        return None
    try:
        root = header(head, 0)
        first = header(head, root.size) if root is not None else None
    except PeerError:
        return None
    if root is None or first is None or not root.constructed:
        return None
    return _FIRST.get(root.tag, {}).get(first.tag)


def reader_of(name: str, origin: Origin, mapping: CsvMapping | None = None) -> Reader[UsageRecord]:
    """Return the reader of a format; a CSV has a mapping."""
    if name == CSV:
        assert mapping is not None, "the caller has one"
        return CsvRecordReader(origin, mapping)
    return _READERS[name](origin)


_READERS: Final[dict[str, Callable[[Origin], Reader[UsageRecord]]]] = {
    TAP: TapRecordReader,
    NRTRDE: NrtrdeRecordReader,
    PCAP: lambda origin: DiameterRecordReader(origin, PcapFrames()),
    PCAPNG: lambda origin: DiameterRecordReader(origin, PcapngFrames()),
}
