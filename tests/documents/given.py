"""Files that a page's reader has from elsewhere: python -m tests.documents.given NAME...

What a name ends with says what it is: a capture, a detail file, a transfer file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.usage import capture, diameter_wire, tap_files


def octets(name: str) -> bytes:
    """Return what a file of that name has in it."""
    if name.startswith("gy"):
        used = diameter_wire.used(into=1_000_000, out=9_000_000, seconds=60)
        asked = [diameter_wire.request("s;1", kind, kind - 1, used) for kind in (1, 2, 3)]
        chunks = [diameter_wire.chunk(number, one) for number, one in enumerate(asked)]
        return diameter_wire.pcap([diameter_wire.sctp(one) for one in chunks])
    if name.endswith(".pcap"):
        return capture.pcap(capture.framed())
    if name.endswith(".pcapng"):
        return capture.pcapng(capture.framed())
    if name.startswith("detail"):
        return capture.detail()
    return tap_files.file(control={"sender": "SENBA", "recipient": "FRA93"})


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(octets(Path(name).name))
