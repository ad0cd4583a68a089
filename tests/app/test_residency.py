"""Identities stay with the home: nothing it sends abroad, exports or logs tells who somebody is.

Lumen (FR) is the home, Borea (NO) is visited; a phone with Lumen's SIM is served at Borea's node.
All octets that leave either are searched: replies to Borea's network, exchange messages, usage
records, receipts' inputs, logs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.app.abroad import MAC, NAME, REALM, furnish, served
from tests.app.scene import IMSI
from tests.app.two_installations import (
    NODE,
    START_US,
    Line,
    Side,
    Two,
    two_installations,
)

from opencarrier.access.cui import named_subject
from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.app.exporting import export_usage
from opencarrier.spine.parties import Subscriber
from opencarrier.spine.usage import Counters, Observation, Status

OCTETS = 102_400
SECOND_US = 1_000_000


@dataclass
class Heard(Line):
    """A line whose messages are written down by who sent them."""

    said: dict[str, list[bytes]] = field(default_factory=lambda: {"lumen": [], "borea": []})

    def send(self, url: str, octets: bytes) -> bytes:
        asked = "borea" if url == "http://lumen" else "lumen"
        answer = super().send(url, octets)
        self.said[asked].append(octets)
        self.said["lumen" if asked == "borea" else "borea"].append(answer)
        return answer


def _borea_meters(borea: Side, lumen: Side) -> None:
    """Borea's own record of the session: what its network saw, under its own pseudonym."""
    seen = Observation(
        status=Status.STOP,
        home=lumen.own.party_id,
        visited=borea.own.party_id,
        nas_key=NODE,
        node_id=NODE,
        authorisation_id=None,
        acct_session_id="session-1",
        counters=Counters(session_time_s=60, octets_in=0, octets_out=OCTETS),
        subject=named_subject(bytes(32), f"6{IMSI}@{REALM}", borea.own.party_id),
        event_us=START_US + 60 * SECOND_US,
        terminate_cause=1,
        reporter=borea.own.party_id,
        source="udp:127.0.0.1:1",
        packet_digest=bytes(32),
    )
    with borea.base.store.write() as unit:
        borea.base.usage.record(unit, [seen])


def _identities(subscriber: Subscriber) -> Iterator[bytes]:
    """What names a person, as it may be written: text, hex, packed digits, raw octets."""
    digits = IMSI + ("f" if len(IMSI) % 2 else "")
    packed = bytes(int(a + b, 16) for a, b in zip(digits[::2], digits[1::2], strict=True))
    swapped = bytes(int(b + a, 16) for a, b in zip(digits[::2], digits[1::2], strict=True))
    mac = bytes.fromhex(MAC.replace("-", ""))
    words = (IMSI, NAME, f"6{IMSI}@{REALM}", MAC, MAC.replace("-", ":"), mac.hex())
    for word in words:
        yield word.lower().encode()
        yield word.lower().encode().hex().encode()
    yield from (packed, swapped, mac)
    yield subscriber.party_id.encode()
    yield bytes.fromhex(subscriber.party_id.removeprefix("sub_"))


def _found(outgoing: dict[str, bytes], subscriber: Subscriber) -> list[tuple[str, bytes]]:
    return [
        (where, identity)
        for where, octets in outgoing.items()
        for identity in _identities(subscriber)
        if identity in octets or identity in octets.lower()
    ]


async def test_no_identity_leaves_its_home(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="opencarrier")
    with two_installations(tmp_path / "two") as two:
        line = Heard(two.line.sides, two.line.random)
        two.line = line
        subscriber = furnish(*two.both())
        replies = await served(two.lumen, (AcctStatus.STOP, 60, OCTETS))
        _borea_meters(two.borea, two.lumen)
        _settle(two)
        outgoing = {
            "replies": b"\0".join(replies),
            "logs": caplog.text.encode(),
            **{f"said by {who}": b"\0".join(said) for who, said in line.said.items()},
            **{f"usage of {s.own.name}": _exported(s, tmp_path / s.own.name) for s in two.both()},
            **{f"charges of {s.own.name}": _charges(s) for s in two.both()},
        }
    assert len(replies) >= 4
    assert all(len(octets) > 100 for octets in outgoing.values() if octets is not outgoing["logs"])
    assert _found(outgoing, subscriber) == []
    planted = {"planted": b"..." + IMSI.encode() + b"..."}
    assert _found(planted, subscriber)


def _settle(two: Two) -> None:
    for side in two.both():
        side.cycle(1)
    two.talk(6)
    statements = [side.newest().statement for side in two.both()]
    assert statements[0] == statements[1]
    assert statements[0].agreed.count == 1


def _exported(side: Side, folder: Path) -> bytes:
    """The usage records, read as they stand in the file's columns."""
    import pyarrow.parquet as parquet

    export_usage(side.base, folder)
    tables = [parquet.read_table(file) for file in sorted(folder.rglob("*.parquet"))]
    return repr([table.to_pylist() for table in tables]).encode()


def _charges(side: Side) -> bytes:
    """What a receipt shows of the wholesale side, as both operators get it."""
    with side.base.store.read() as unit:
        usages = list(side.base.usage.every(unit))
        rated = [side.base.rating.rated(unit, usage.usage_id) for usage in usages]
    return b"\0".join(item.wholesale.inputs for item in rated if item is not None)
