"""How many events of a transfer file are read a second of processor time, beside asn1tools.

Each column is a process of its own on the same file, made here by our own writer: `events` reads
and checks them, `records` makes usage records of them, `walked` is the first without layouts,
`asn1tools` decodes them one by one with a module made of our table, its fastest way. The file of
the memory figure holds the same events several times over.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from opencarrier.bench.tap_file import module, write
from opencarrier.spine.parties import PartyId
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.ber import ElementReader, Whole, application
from opencarrier.usage.wire.origin import Origin
from opencarrier.usage.wire.records import Refused, Severity
from opencarrier.usage.wire.tap.event import EventDecoder
from opencarrier.usage.wire.tap.reader import Dated, TapReader
from opencarrier.usage.wire.tap.records import TapRecordReader

READ_OCTETS = 65_536
EVENTS: Final = 70_000
"""More octets than are remembered, so that those of the larger file are not refused as copies."""

TIMES = 4
WALKED_EVENTS_DIVISOR = 8
PEER = "asn1tools"


def run(events: int = EVENTS, times: int = TIMES) -> dict[str, Any]:
    """Make the files, read them, and compare; rates are per second of processor time."""
    with tempfile.TemporaryDirectory() as name:
        file, large, few = (Path(name) / word for word in ("file", "large", "few"))
        write(file, events)
        write(large, events, times)
        write(few, max(1, events // WALKED_EVENTS_DIVISOR))
        columns = {
            "events": _column("events", file),
            "records": _column("records", file),
            "walked": _column("walked", few),
            PEER: _column(PEER, file) if find_spec(PEER) else None,
        }
        larger = _column("records", large)
        sizes = file.stat().st_size, large.stat().st_size
    peer = columns[PEER]
    return {
        "events": events,
        "octets_per_event": sizes[0] // events,
        "columns": columns,
        **{
            f"{name}_to_{PEER}": peer and round(columns[name]["per_s"] / peer["per_s"], 2)
            for name in ("events", "records")
        },
        "large_file_octets": sizes[1],
        "large_file_peak_rss_mib": larger["peak_rss_mib"],
    }


def _column(name: str, file: Path) -> Any:
    command = [sys.executable, "-m", "opencarrier.bench.tap", name, str(file)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while piece := stream.read(READ_OCTETS):
            yield piece


def _events(file: Path, decoder: EventDecoder | None = None) -> int:
    reader, found = TapReader(decoder), 0
    for piece in _pieces(file):
        for item in reader.feed(piece):
            found += isinstance(item, Dated)
            assert not _bad(item), item
    assert not list(reader.finish())
    return found


def _records(file: Path) -> int:
    origin = Origin(
        source_digest=bytes(32),
        ingested_us=0,
        party_of=lambda name: PartyId(f"op_{name.lower()}"),
        subject_of=lambda name: blake2b(name.encode(), digest_size=16).digest(),
        jurisdiction_of=lambda party: None,
    )
    reader, found = TapRecordReader(origin), 0
    for piece in _pieces(file):
        for item in reader.feed(piece):
            found += isinstance(item, UsageRecord)
            assert not _bad(item), item
    assert not list(reader.finish())
    return found


def _bad(item: object) -> bool:
    return isinstance(item, Refused) and item.severity > Severity.WARNING


def _foreign(file: Path) -> int:
    compiled = import_module(PEER).compile_string(module())
    batch, listed = application(1), application(3)
    elements, found = ElementReader(frozenset({(batch,), (batch, listed)})), 0
    for piece in _pieces(file):
        for item in elements.feed(piece):
            if isinstance(item, Whole) and len(item.path) > 2:
                compiled.decode("Event", item.octets)
                found += 1
    return found


_COLUMNS: Final[dict[str, Callable[[Path], int]]] = {
    "events": _events,
    "records": _records,
    "walked": lambda file: _events(file, EventDecoder(0)),
    PEER: _foreign,
}


def main(name: str, file: Path) -> None:
    """Read a file one way and print what it took."""
    if name == PEER:
        import_module(PEER)
    started_s = time.process_time()
    events = _COLUMNS[name](file)
    spent_s = time.process_time() - started_s
    told = {"events": events, "per_s": round(events / spent_s), "peak_rss_mib": _peak_rss_mib()}
    print(json.dumps(told))


def _peak_rss_mib() -> int | None:
    """Return the highest use of memory since this program began; rusage would count its parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    (told,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(told.split()[1]) // 1024


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
