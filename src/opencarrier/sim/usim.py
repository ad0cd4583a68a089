"""A software USIM: Milenage, its own sequence numbers, AUTS; and its place on a control socket.

It answers challenges as a SIM card does (TS 33.102 section 6.3.3 and annex C) for our own phone,
and for Debian's `eapol_test` and `wpa_supplicant` with `external_sim=1` over their Unix datagram
control interface.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from opencarrier.identity.milenage import Milenage

IND_BITS = 5
DELTA = 1 << 28
"""How far ahead SEQ may jump before the card calls it out of range (TS 33.102 annex C.3.2)."""

_ATTACH_TRIES = 100
_ATTACH_PAUSE_S = 0.05
_REQUEST = re.compile(rb"CTRL-REQ-SIM-(\d+):UMTS-AUTH:([0-9a-f]{32}):([0-9a-f]{32})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answered:
    """The network is genuine and the challenge fresh."""

    res: bytes
    ck: bytes = field(repr=False)
    ik: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OutOfStep:
    """The network is genuine, the sequence number is not fresh."""

    auts: bytes


@dataclass(frozen=True, slots=True)
class NotGenuine:
    """The challenge was not made with this card's key."""


class Usim:
    """One SIM card: K and OPc sealed inside, the highest SEQ taken per place of the array."""

    __slots__ = ("_highest", "_milenage", "imsi")

    def __init__(self, *, imsi: str, k: bytes, opc: bytes, highest_sqn: int = 0) -> None:
        self.imsi = imsi
        self._milenage = Milenage(k, opc)
        self._highest = [highest_sqn >> IND_BITS] * (1 << IND_BITS)

    def __repr__(self) -> str:
        """Show nothing of the card but that it is one."""
        return "Usim(<sealed>)"

    @property
    def highest_sqn(self) -> int:
        """The highest sequence number taken so far: SQN_MS of an AUTS."""
        highest = max(self._highest)
        return highest << IND_BITS | self._highest.index(highest)

    def authenticate(self, rand: bytes, autn: bytes) -> Answered | OutOfStep | NotGenuine:
        """Check AUTN, then take the sequence number or answer with AUTS."""
        assert len(rand) == len(autn) == 16
        res, ak = self._milenage.f2_f5(rand)
        sqn = int.from_bytes(autn[:6], "big") ^ int.from_bytes(ak, "big")
        if not hmac.compare_digest(self._milenage.f1(rand, sqn, autn[6:8]), autn[8:]):
            return NotGenuine()
        if not self._fresh(sqn):
            return OutOfStep(self._milenage.auts(rand, self.highest_sqn))
        self._highest[sqn % (1 << IND_BITS)] = sqn >> IND_BITS
        return Answered(res, self._milenage.f3(rand), self._milenage.f4(rand))

    def _fresh(self, sqn: int) -> bool:
        seq, place = sqn >> IND_BITS, sqn % (1 << IND_BITS)
        return seq > self._highest[place] and seq - max(self._highest) <= DELTA


def control_reply(usim: Usim, line: bytes) -> bytes | None:
    """The `CTRL-RSP-SIM` line to a `CTRL-REQ-SIM` event, or None for any other line."""
    match = _REQUEST.search(line)
    if match is None:
        return None
    answer = usim.authenticate(bytes.fromhex(match[2].decode()), bytes.fromhex(match[3].decode()))
    head = f"CTRL-RSP-SIM-{match[1].decode()}:"
    match answer:
        case Answered(res, ck, ik):
            body = f"UMTS-AUTH:{ik.hex()}:{ck.hex()}:{res.hex()}"
        case OutOfStep(auts):
            body = f"UMTS-AUTS:{auts.hex()}"
        case NotGenuine():
            body = "UMTS-FAIL"
    return (head + body).encode()


class _Control(asyncio.DatagramProtocol):
    def __init__(self, usim: Usim) -> None:
        self._usim = usim
        self._transport: asyncio.DatagramTransport | None = None
        self.attached = asyncio.Event()
        self.requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the daemon for its events."""
        self._transport = cast("asyncio.DatagramTransport", transport)
        self._transport.sendto(b"ATTACH")

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Answer a SIM request, let everything else pass."""
        if data.startswith(b"OK"):
            self.attached.set()
        reply = control_reply(self._usim, data)
        if reply is not None and self._transport is not None:
            self.requests += 1
            self._transport.sendto(reply)

    def error_received(self, exc: Exception) -> None:
        """The daemon has gone; its socket says so."""


class ControlSim:
    """A USIM attached to a running daemon's control socket until `close()`."""

    def __init__(self, usim: Usim, control_socket: Path) -> None:
        self._usim = usim
        self._remote = control_socket
        self._local = control_socket.with_name(f"sim-{id(self):x}")
        self._transport: asyncio.DatagramTransport | None = None
        self._control: _Control | None = None

    @property
    def requests(self) -> int:
        """How many challenges the daemon has put to the card."""
        return self._control.requests if self._control else 0

    async def attach(self) -> None:
        """Wait for the daemon's socket and subscribe; `TimeoutError` if it never comes."""
        for _ in range(_ATTACH_TRIES):
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                await self._connect()
                return
            await asyncio.sleep(_ATTACH_PAUSE_S)
        raise TimeoutError(f"no control socket at {self._remote}")

    async def _connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.connect(str(self._remote))
            sock.bind(str(self._local))
        except OSError:
            sock.close()
            raise
        loop = asyncio.get_running_loop()
        transport, control = await loop.create_datagram_endpoint(
            lambda: _Control(self._usim), sock=sock
        )
        self._transport, self._control = transport, control
        await asyncio.wait_for(control.attached.wait(), timeout=5)

    def command(self, line: str) -> None:
        """Send the daemon a command of its own, such as `LOGOFF`."""
        assert self._transport is not None
        self._transport.sendto(line.encode())

    def close(self) -> None:
        """Leave the daemon and remove our end of the socket."""
        if self._transport is not None:
            self._transport.close()
        self._local.unlink(missing_ok=True)
