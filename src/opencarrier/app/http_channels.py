"""Pay as you use over HTTP: a small endpoint beside access, in the hub or alone beside a node.

A request proves its session by the key that device and home derived from one authentication
(`Authorization: Bearer`, hex); a payment also carries its own signatures. A POST has an
Idempotency-Key; sent again it is the same also under another: what it says decides what it is.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from opencarrier.app.answers import Answers
from opencarrier.app.api import Body, operation
from opencarrier.app.console.guard import guard_routes
from opencarrier.app.forms import channels as forms
from opencarrier.app.http_once import Once, once_for
from opencarrier.app.problems import problem
from opencarrier.app.store import Store
from opencarrier.app.turnstile import Manners, Turnstile
from opencarrier.channels import wire
from opencarrier.channels.reasons import KeyReason, PaymentReason
from opencarrier.channels.rules import Standing
from opencarrier.channels.service import ChannelService
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.ids import from_hex, to_hex
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.spine.access import Grant
from opencarrier.spine.ids import session_id as session_id_of
from opencarrier.spine.ports import AccessPolicy, Directory

KEY_OCTETS = 64

Answer = dict[str, Any] | Refusal
Handler = Callable[[Connection, Grant, bytes], Answer]


class ChannelDesk:
    """What the routes share: the room, the store, who was granted what."""

    def __init__(
        self,
        channels: ChannelService,
        store: Store,
        *,
        grants: AccessPolicy,
        directory: Directory,
        clock: Clock,
        manners: Manners | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channels = channels
        self._store = store
        self._grants = grants
        self._directory = directory
        self._clock = clock
        self._turnstile = Turnstile(manners or Manners(), monotonic)

    def answer(self, authorization: str, body: bytes, handler: Handler) -> Response:
        """Hear one request: who asks, how often, then what; nothing is said before it is kept."""
        digest = _digest(authorization)
        if digest is None:
            return problem(401, KeyReason.UNKNOWN_KEY.name.lower(), "a session's key is needed")
        if not self._turnstile.passes(digest):
            return problem(429, KeyReason.TOO_OFTEN.name.lower(), "come back in a second")
        try:
            with self._store.write() as unit:
                grant = self._granted(unit, digest)
                answer = None if grant is None else handler(unit, grant, body)
        except PeerError as error:
            return problem(400, error.reason, error.detail)
        if answer is None:
            return problem(401, KeyReason.UNKNOWN_KEY.name.lower(), "no session has this key")
        if isinstance(answer, Refusal):
            return problem(409, answer.code, answer.detail)
        return JSONResponse(answer)

    def terms(self, unit: Connection, grant: Grant, _: bytes) -> Answer:
        """Say where channels are, who would be paid, by which tariff, and what a slice is."""
        venue, settings = self._channels.venue, self._channels.settings
        sellers = {"home": grant.home, "direct": grant.visited}
        operators = {name: self._directory.operator(unit, who) for name, who in sellers.items()}
        return {
            "chain_id": venue.chain_id,
            "contract": venue.contract,
            "collector": venue.collector,
            "token": venue.token,
            "receivers": {
                name: operator.address for name, operator in operators.items() if operator
            },
            "withdraw_delay_s": settings.withdraw_delay_s_min,
            "tariff_hash": to_hex(grant.retail_tariff_hash),
            "slice_octets": settings.slice_octets,
            "slice_s": settings.slice_s,
        }

    def open(self, unit: Connection, grant: Grant, body: bytes) -> Answer:
        """Take a channel and its gasless deposit."""
        mode, config, deposit = wire.read_open(body)
        made = self._channels.open(unit, grant, mode, config, deposit, at_us=self._clock.now_us())
        if isinstance(made, Refusal):
            return made
        return {
            "channel_id": to_hex(made.channel_id),
            "deposited_minor": str(made.deposited_minor),
            "due_minor": str(made.due_minor),
            "closed": made.closed or made.withdrawing,
        }

    def begin(self, unit: Connection, grant: Grant, body: bytes) -> Answer:
        """Put the caller's session on a channel of the caller's."""
        channel_id, acct_session_id = wire.read_begin(body)
        node = self._directory.node_by_id(unit, grant.node_id)
        assert node is not None, "a grant's node is gone"
        session_id = session_id_of(grant.authorisation_id, node.nas_identifier, acct_session_id)
        begun = self._channels.begin(
            unit, grant, channel_id, session_id, at_us=self._clock.now_us()
        )
        return begun if isinstance(begun, Refusal) else self._told(unit, begun)

    def pay(self, unit: Connection, grant: Grant, body: bytes) -> Answer:
        """Take a payment of the caller's session; a lease that ends is renewed for it."""
        payment, at_us = wire.read_payment(body), self._clock.now_us()
        own = self._own(unit, grant, payment.ack.session_id)
        if isinstance(own, Refusal):
            return own
        taken = self._channels.pay_renewing(unit, payment, at_us=at_us)
        return taken if isinstance(taken, Refusal) else self._told(unit, taken)

    def end(self, unit: Connection, grant: Grant, body: bytes) -> Answer:
        """End the caller's session and free its channel for another node."""
        session_id = wire.read_session(body)
        own = self._own(unit, grant, session_id)
        if isinstance(own, Refusal):
            return own
        self._channels.end(unit, session_id)
        ended = self._channels.standing(unit, session_id)
        assert ended is not None
        return self._told(unit, ended)

    def close(self, unit: Connection, grant: Grant, body: bytes) -> Answer:
        """Close a channel of the caller's: what is due is claimed, the rest given back."""
        channel_id = wire.read_channel(body)
        channel = self._channels.channel(unit, channel_id)
        if channel is None or channel.subscriber != grant.subscriber:
            return Refusal(PaymentReason.OTHER_CHANNEL)
        closed = self._channels.close(unit, channel_id)
        return closed if isinstance(closed, Refusal) else {"closed": True}

    def state(self, unit: Connection, grant: Grant, body: bytes) -> Answer:
        """Say where the caller's session stands; the body is the session's id in hex."""
        try:
            session_id = from_hex(body.decode())
        except ValueError:
            raise PeerError("form", "0x and 32 octets in hex") from None
        own = self._own(unit, grant, session_id)
        return own if isinstance(own, Refusal) else self._told(unit, own)

    def _granted(self, unit: Connection, digest: bytes) -> Grant | None:
        """Return whose session a key is, None for nobody's or one long over."""
        authorisation_id = self._channels.authorisation_of(unit, digest)
        if authorisation_id is None:
            return None
        grant = self._grants.grant(unit, authorisation_id)
        late_us = self._channels.settings.late_s * 1_000_000
        if grant is None or self._clock.now_us() >= grant.expires_us + late_us:
            return None
        return grant

    def _own(self, unit: Connection, grant: Grant, session_id: bytes) -> Standing | Refusal:
        standing = self._channels.standing(unit, from_hex(to_hex(session_id)))
        mine = grant.authorisation_id
        if standing is None or standing.session.authorisation_id != mine:
            return Refusal(PaymentReason.UNKNOWN_SESSION)
        return standing

    def _told(self, unit: Connection, standing: Standing) -> dict[str, Any]:
        session, lease = standing.session, standing.lease
        offered = self._channels.offer(unit, session)
        return {
            "session_id": to_hex(session.session_id),
            "channel_id": to_hex(session.channel_id),
            "tariff_hash": to_hex(session.tariff_hash),
            "base_minor": str(session.base_minor),
            "sequence": session.sequence,
            "cumulative_minor": str(session.cumulative_minor),
            "voucher_minor": str(session.voucher_minor),
            "ended": session.ended,
            "lease": {
                "number": lease.number,
                "node": lease.node_id,
                "floor_minor": str(lease.floor_minor),
                "ceiling_minor": str(lease.ceiling_minor),
                "expires_s": lease.expires_s,
                "signature": to_hex(lease.signature),
            },
            "next": None
            if offered is None
            else {
                "voucher_minor": str(offered.voucher_minor),
                "octets": offered.octets,
                "duration_s": offered.duration_s,
                "paid": offered.paid,
            },
        }


def channel_routes(desk: ChannelDesk) -> APIRouter:
    """Return the endpoint's routes."""
    router = APIRouter(prefix="/v1/channels")
    posts: dict[str, Handler] = {
        "open": desk.open,
        "session": desk.begin,
        "payment": desk.pay,
        "end": desk.end,
        "close": desk.close,
    }
    for name, handler in posts.items():
        words = (handler.__doc__ or "").partition("\n")[0]
        told = _told(words, forms.ANSWERS[name], body=forms.BODIES[name])
        router.post(f"/{name}", name=f"channels_{name}", description=words, **told)(
            _posted(desk, handler)
        )

    @router.get("/terms", name="channels_terms", **_told("What a slice costs", forms.TERMS))
    def terms(request: Request) -> Response:
        """Say where channels are, who would be paid, by which tariff, and what a slice is."""
        return desk.answer(request.headers.get("authorization", ""), b"", desk.terms)

    @router.get(
        "/session/{session_id}",
        name="channels_state",
        **_told("Where a session stands", forms.STANDING),
    )
    def state(request: Request, session_id: str) -> Response:
        """Say where the caller's session stands."""
        asked = session_id.encode()
        return desk.answer(request.headers.get("authorization", ""), asked, desk.state)

    return router


def _told(summary: str, example: object, *, body: Body | None = None) -> dict[str, Any]:
    """Declare a route; all refuse alike."""
    return operation(
        "channels",
        summary.rstrip("."),
        example=example,
        model=type(example),
        body=body,
        refuses={
            401: "No session has this key.",
            409: "The room says no: `type` says why.",
            429: "This session asked too often within a second.",
        },
    )


def make_channel_app(desk: ChannelDesk, answers: Answers) -> FastAPI:
    """Make an app of the endpoint alone, for a walled garden beside a node."""
    once = Once(answers, repeatable=lambda _: True, needed=lambda _: True)
    app = FastAPI(
        title="opencarrier channels", docs_url=None, redoc_url=None, dependencies=[Depends(once)]
    )
    once_for(app, once)
    guard_routes(app)
    app.include_router(channel_routes(desk))
    return app


def _posted(desk: ChannelDesk, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def post(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return problem(413, "body_size", f"at most {wire.BODY_OCTETS_MAX} octets")
        authorization = request.headers.get("authorization", "")
        return await run_in_threadpool(desk.answer, authorization, body, handler)

    return post


async def _body(request: Request) -> bytes | None:
    """Read a body as far as it may go, None where it goes further."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > wire.BODY_OCTETS_MAX:
            return None
    return body


def _digest(authorization: str) -> bytes | None:
    kind, _, text = authorization.partition(" ")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        return None
    whole = kind == "Bearer" and len(key) == KEY_OCTETS and len(text) == 2 * KEY_OCTETS
    return sha256(key).digest() if whole else None
