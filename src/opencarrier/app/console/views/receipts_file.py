"""A month's receipts as one file: a ZIP that is written as it is read, and has its bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.views.receipt import Receipts
from opencarrier.app.console.views.subscriber_sessions import ReceiptKey, receipt_lines
from opencarrier.app.console.visitor import Visitor
from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import from_hex
from opencarrier.spine.parties import PartyId

CHUNK: Final = 50
"""Receipts written at once; between them no transaction is open, however slow the reader is."""

FILE_MAX: Final = 1_000
"""Receipts in one file; as many the page checks at once."""

REST: Final = "more.txt"
"""Where the others are, in a file that has not all of them."""


WriteKey: TypeAlias = Callable[[ReceiptKey], str]


class MonthFile:
    """Writes the receipts of a subscriber's month that are settled; `more` names the next file."""

    def __init__(
        self, place: Onchain, visitor: Visitor, party: PartyId, window: Window, more: str
    ) -> None:
        self._place = place
        self._receipts = Receipts(place)
        self._visitor = visitor
        self._party = party
        self._window = window
        self._more = more

    def octets(self, after: ReceiptKey | None, write_key: WriteKey) -> Iterator[bytes]:
        """Yield the file's octets, from a place in the list of receipts on."""
        sink, count = _Sink(), 0
        with ZipFile(sink, "w", ZIP_DEFLATED) as zipped:
            while count < FILE_MAX:
                texts, after = self._texts(after, min(CHUNK, FILE_MAX - count))
                count += len(texts)
                for name, text in texts:
                    zipped.writestr(_entry(name), text)
                yield sink.taken()
                if after is None:
                    break
            if after is not None:
                zipped.writestr(_entry(REST), f"{self._more}&cursor={write_key(after)}\n")
        yield sink.taken()

    def _texts(
        self, after: ReceiptKey | None, limit: int
    ) -> tuple[list[tuple[str, str]], ReceiptKey | None]:
        found = []
        with self._place.base.store.read() as unit:
            lines, after = receipt_lines(
                self._place, unit, self._party, after=after, limit=limit, window=self._window
            )
            for line in lines:
                usage_id = from_hex(line.usage_id)
                text = self._receipts.text(unit, self._visitor, usage_id, "subscriber")
                if isinstance(text, str):
                    found.append((f"receipt-{line.usage_id[2:]}.json", text))
        return found, after


class _Sink:
    """What a ZIP is written to: it holds what nobody has taken yet."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, octets: bytes) -> int:
        self._held += octets
        return len(octets)

    def flush(self) -> None:
        """There is nothing behind it."""

    def close(self) -> None:
        """There is nothing to close."""

    def taken(self) -> bytes:
        found, self._held = bytes(self._held), bytearray()
        return found


def _entry(name: str) -> ZipInfo:
    """Name a file without a time, so that the same receipts are the same octets."""
    entry = ZipInfo(name)
    entry.compress_type = ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry
