"""What a device at the venue may ask its node's agent: its own session, and to carry a payment.

A device is known by the address it asks from. On the same network the kernel knows which station
that is; elsewhere the access point says whose it is (Framed-IP). What it signed is checked as far
as that goes without a book; the home says the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from opencarrier.access.agent.payments import Carried, State, session_id_at
from opencarrier.access.agent.request import Head
from opencarrier.access.agent.service import AgentService
from opencarrier.access.agent.sessions import Session
from opencarrier.access.agent.store import Brought
from opencarrier.app.turnstile import Manners, Turnstile
from opencarrier.channels import wire
from opencarrier.channels.carried import Contract, objection, pack, unpack
from opencarrier.channels.model import Payment
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.refusals import PeerError

SESSION_PATH: Final = "/v1/session"
PAYMENT_PATH: Final = "/v1/payment"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSettings:
    """Where devices ask, whose payments are taken, and the limits."""

    host: str
    port: int
    contract: Contract
    neighbours: bool = True
    connections_max: int = 256
    connections_each_max: int = 4
    request_s: float = 10.0
    patience_s: float = 2.0
    per_s: float = 2.0
    burst: float = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and a document to say as JSON."""

    status: int
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asker:
    """The open session whose address asks; without one it is a stranger, one of all of them."""

    number: int | None
    session: Session | None


def problem(status: int, title: str, detail: str = "") -> Answer:
    """Return why a request is not answered, as the home's own endpoint says it (RFC 9457)."""
    return Answer(status, {"status": status, "title": title, "detail": detail})


class NodeDesk:
    """Answers devices, each of its own session."""

    def __init__(
        self,
        service: AgentService,
        settings: PaymentSettings,
        *,
        station_of: Callable[[str], str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._station_of = station_of
        self._settings = settings
        manners = Manners(per_s=settings.per_s, burst=settings.burst)
        self._turnstile = Turnstile(manners, monotonic)
        self._keys = {point.name: point.nas_identifier for point in service.agent.points}

    def asker(self, source: str) -> Asker:
        """Return whose an address is: limits are a session's, however many addresses it has.

        A neighbour is who the kernel says, whatever the access point tells of the address.
        """
        address, store = _plain(source), self._service.agent.store
        station = self._station_of(address)
        found = store.session_of(station) if station else store.session_holding(address)
        return Asker(*(found or (None, None)))

    def hears(self, asker: Asker) -> bool:
        """Take one of an asker's turns, or say that it has none now."""
        return self._turnstile.passes(repr(asker.number).encode())

    async def answer(self, asker: Asker, head: Head, body: bytes) -> Answer:
        """Answer one request; `PeerError` where it is malformed."""
        if (head.method, head.path) not in (("GET", SESSION_PATH), ("POST", PAYMENT_PATH)):
            return problem(404, "unknown", f"GET {SESSION_PATH} or POST {PAYMENT_PATH}")
        number, session = asker.number, asker.session
        if number is None or session is None:
            return problem(404, "no_session", "no open session has this address")
        if head.method == "GET":
            return Answer(200, self._told(number, session))
        return await self._pay(number, session, body)

    async def _pay(self, number: int, session: Session, body: bytes) -> Answer:
        config, payment = wire.read_brought(body)
        session_id = self._session_id(session)
        if session_id is None:
            return problem(409, "not_granted_here", "the home did not say which session this is")
        known = self._of_channel(number, payment.ack.channel_id)
        carried = Carried(*pack(payment))
        if known is not None and known.carried == carried and known.state is not State.REFUSED:
            return _judged(known)
        counts = known is not None and known.state is not State.REFUSED
        before = _payment(known) if known is not None and counts else None
        refusal = objection(
            self._settings.contract, config, payment, session_id=session_id, before=before
        )
        if refusal is not None:
            self._service.metrics.payments[refusal.code] += 1
            return problem(409, refusal.code, refusal.detail)
        channel, patience_s = payment.ack.channel_id, self._settings.patience_s
        stands = await self._service.pay(number, channel, carried, patience_s)
        return (
            problem(409, "replaced", "a newer payment came") if stands is None else _judged(stands)
        )

    def _of_channel(self, number: int, channel: Id) -> Brought | None:
        brought = self._service.agent.store.payments(number)
        return next((one for one in brought if one.channel == channel), None)

    def _session_id(self, session: Session) -> Id | None:
        key = self._keys.get(session.access_point, "")
        return session_id_at(session.accepted.classes, key, session.acct_session_id)

    def _told(self, number: int, session: Session) -> dict[str, Any]:
        session_id = self._session_id(session)
        return {
            "session_id": None if session_id is None else to_hex(session_id),
            "acct_session_id": session.acct_session_id,
            "session_time_s": session.time.total,
            "octets_in": session.told_in,
            "octets_out": session.told_out,
            "payments": [_shown(one) for one in self._service.agent.store.payments(number)],
        }


def _judged(stands: Brought) -> Answer:
    if stands.state is State.REFUSED:
        return problem(409, stands.reason, "the home refuses it")
    return Answer(202 if stands.state is State.WAITING else 200, _shown(stands))


def _shown(brought: Brought) -> dict[str, Any]:
    payment = _payment(brought)
    return {
        "channel_id": to_hex(payment.ack.channel_id),
        "state": brought.state.value,
        "reason": brought.reason,
        "max_claimable_minor": str(payment.max_claimable_minor),
        "sequence": payment.ack.sequence,
        "cumulative_minor": str(payment.ack.cumulative_minor),
    }


def _payment(brought: Brought) -> Payment:
    try:
        return unpack(brought.carried.voucher, brought.carried.ack)
    except PeerError as error:
        raise AssertionError("what was kept was read before") from error


def _plain(source: str) -> str:
    """Return an IPv4 address that came mapped into IPv6 as itself, any other without its zone."""
    address = ip_address(source.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
