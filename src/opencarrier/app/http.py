"""The process over HTTP: the console, health, metrics, receipts, and the chain's JSON-RPC."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.telemetry import TelemetryConfig
from sqlalchemy import Connection
from starlette.middleware.trustedhost import TrustedHostMiddleware

from opencarrier.access.hub.passing import Passing
from opencarrier.access.model import Metrics
from opencarrier.app import http_charging, http_routing, relaying
from opencarrier.app.answers import SECRET_OCTETS, Answers
from opencarrier.app.api import operation
from opencarrier.app.bootstrap import Installation, Onchain
from opencarrier.app.closing import PASSES_MAX
from opencarrier.app.config import ANY_HOST
from opencarrier.app.console import console_routes
from opencarrier.app.console.agreements import agreement_routes
from opencarrier.app.console.bans import BanDesk, ban_routes
from opencarrier.app.console.bans_api import bans_api
from opencarrier.app.console.chain import chain_routes
from opencarrier.app.console.disputes import dispute_routes
from opencarrier.app.console.door import Door, door_routes
from opencarrier.app.console.events import Events
from opencarrier.app.console.guard import Guard, guard_routes
from opencarrier.app.console.guests import GuestBook
from opencarrier.app.console.host import HostDesk, host_routes
from opencarrier.app.console.languages import language_routes
from opencarrier.app.console.nodes import node_routes
from opencarrier.app.console.operator import OperatorDesk, operator_routes, settle_noted
from opencarrier.app.console.origins import Origins
from opencarrier.app.console.payout import PayoutDesk, payout_routes
from opencarrier.app.console.people import people_routes
from opencarrier.app.console.people_api import people_api
from opencarrier.app.console.receipt import receipt_routes
from opencarrier.app.console.reference import reference_routes
from opencarrier.app.console.rights import is_repeatable, needs_key
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.subscriber import SubscriberDesk, subscriber_routes
from opencarrier.app.console.subscriber_acts import Acts, act_routes
from opencarrier.app.console.subscriber_api import subscriber_api
from opencarrier.app.console.subscribers import RefundDesk, subscribers_routes
from opencarrier.app.console.trace import trace_routes
from opencarrier.app.console.undecided import undecided_routes, waiting
from opencarrier.app.console.views.host import HostViews
from opencarrier.app.console.views.network import NetworkViews
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.console.watch import Watch
from opencarrier.app.console.webhooks import webhook_pages
from opencarrier.app.contract_wallets import ContractWallets
from opencarrier.app.forms import installation, settling
from opencarrier.app.hooking import WebhookDesk
from opencarrier.app.http_channels import ChannelDesk, channel_routes
from opencarrier.app.http_exchange import exchange_routes
from opencarrier.app.http_once import Once, once_for
from opencarrier.app.http_paid import paid_routes
from opencarrier.app.http_spans import HttpSpans
from opencarrier.app.http_webhooks import webhook_routes
from opencarrier.app.listening import Radius
from opencarrier.app.metrics import exposition, passing_exposition
from opencarrier.app.openapi import name_of
from opencarrier.app.passing_on import passing_status
from opencarrier.app.problems import problem
from opencarrier.app.quick_chain import QuickChain
from opencarrier.app.status import base_status, venue_status
from opencarrier.chain.contracts import StableToken
from opencarrier.chain.errors import ChainError
from opencarrier.chain.node.http import rpc_route
from opencarrier.channels.service import ChannelService
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.sentences import Sentence
from opencarrier.spine.spans import UNRECORDED

TEXT = "text/plain"
_NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False, auto_configure=False)
"""FastAPI's own spans tell paths and queries, which name people; ours are `http_spans`."""

HOSTS = ("127.0.0.1", "localhost", "[::1]")

Trigger = Callable[[], Awaitable[dict[str, Any]]]
"""Makes one thing happen in a world that is played here, and tells what it was."""


class Web:
    """What the routes share: the venue, the counters, what is watched, the token."""

    def __init__(self, place: Onchain, metrics: Callable[[], Metrics], *, token: str) -> None:
        self.place = place
        self.metrics = metrics
        self.radius: Radius | None = None
        self.passing: Passing | None = None
        self.token = token
        self.ready = False
        self.triggers: dict[str, Trigger] = {}
        self.guests = GuestBook(place.base)
        self.answers = answers_of(place.base)
        self.events = Events(place.base.clock)
        settings = place.base.settings
        self.origins = Origins(
            settings.console_url,
            chain_id=place.manifest.chain_id,
            anywhere=settings.http_host in ANY_HOST,
        )
        self.shell = Shell(
            domain=place.manifest.domain,
            chain_id=place.manifest.chain_id,
            code=_Code(place),
        )
        self.watch = Watch(place, self.events)

    def owner_link(self, http: str) -> str:
        """Return an address that signs in as the owner once; the page's own where it is refused."""
        accounts = self.place.base.accounts
        with self.place.base.store.write() as unit:
            made = accounts.owner_link(unit)
        path = "/" if isinstance(made, Refusal) else f"/welcome/{made}"
        return self.origins.link(http, path)

    def is_owned(self) -> bool:
        """Say whether somebody signs in as an owner by a key: then no link needs to be printed."""
        book = self.place.base.accounts.book
        with self.place.base.store.read() as unit:
            return any(book.keys(unit, owner) for owner in book.owners(unit))

    def tell(self, line: Sentence) -> None:
        """Add a sentence to the story of a network that somebody narrates."""
        self.watch.narrated = True
        self.watch.say(line)


class _Code:
    """How people call the asset money is kept in here; nothing until the chain told it once."""

    def __init__(self, place: Onchain) -> None:
        self._symbol = StableToken(place.manifest.token).symbol()
        self._quick = QuickChain(place)
        self._known = ""

    def __call__(self) -> str:
        if not self._known:
            with suppress(ChainError, PeerError):
                self._known = self._symbol.ask(self._quick.client())
        return self._known


def make_app(web: Web) -> FastAPI:
    """Make the ASGI app."""
    base, settings, origins = web.place.base, web.place.base.settings, web.origins
    guard = Guard(base.accounts, base.store, origins, web.guests, token=web.token)
    once = Once(web.answers, repeatable=is_repeatable, needed=needs_key)
    app = FastAPI(
        title="opencarrier",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(guard), Depends(once)],
        generate_unique_id_function=name_of,
        telemetry=_NO_TELEMETRY,
    )
    once_for(app, once)
    hosts = (*allowed_hosts(settings.http_host), *origins.hosts)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    if base.spans is not UNRECORDED:
        app.add_middleware(HttpSpans, spans=base.spans)
    guard_routes(app)
    web.shell.know = guard.know
    web.shell.once = lambda: base.real.entropy.octets("console/once", 16).hex()
    console_routes(app, web.shell, web.events, NetworkViews(web.place, web.watch, web.metrics))
    door = Door(web.shell, base, origins, web.guests, ContractWallets(QuickChain(web.place)))
    door_routes(app, door)
    people_routes(app, door)
    people_api(app, door)
    language_routes(app, door)
    receipt_routes(app, web.shell, web.place)
    trace_routes(app, web.shell, web.place)
    chain_routes(app, web.shell, web.place)
    operator = OperatorDesk(web.shell, web.place)
    operator_routes(app, operator)
    agreement_routes(app, operator)
    _hosts(app, web)
    _subscribers(app, web, door)
    dispute_routes(app, operator)
    _health(app, web)
    _api(app, web)
    _closing(app, web)
    _triggers(app, web)
    _webhooks(app, web)
    paid_routes(app, web.place)
    relaying.add_routes(app, web.place)
    exchange_routes(app, web.place.base)
    http_routing.add_routes(app, web.place.base)
    http_charging.add_routes(app, web.place.base, partial(_allowed, web))
    _enrolment(app, web)
    if web.place.channels is not None:
        app.include_router(channel_routes(_desk(web.place, web.place.channels.service)))
    if web.place.node is not None:
        app.router.routes.append(rpc_route(web.place.node))
    reference_routes(app, web.shell, cookie=origins.cookie(settings.http_port))
    return app


def answers_of(base: Installation) -> Answers:
    """Return the answers that an installation keeps; people's own time says for how long."""
    with base.store.write() as unit:
        secret = base.identity.secrets.octets(unit, "answers", SECRET_OCTETS)
    return Answers(base.store, base.real.clock, secret)


def _radius_ports(web: Web) -> tuple[int, int]:
    """Return where RADIUS is answered over UDP: authentication, accounting."""
    settings = web.place.base.settings
    if web.radius is None:
        return settings.radius_port, settings.acct_port
    return web.radius.udp.auth_address[1], web.radius.udp.acct_address[1]


def _webhooks(app: FastAPI, web: Web) -> None:
    desk = WebhookDesk(web.place.base)
    webhook_routes(app, desk)
    webhook_pages(app, web.shell, desk)


def _hosts(app: FastAPI, web: Web) -> None:
    host_desk = HostDesk(web.shell, HostViews(web.place, web.watch))
    host_routes(app, host_desk)
    payout_routes(app, PayoutDesk(host_desk))
    bans = BanDesk(host_desk, host_desk.views.bans)
    ban_routes(app, bans)
    bans_api(app, bans)
    undecided_routes(app, bans)
    web.shell.appeals = partial(waiting, bans)
    node_routes(app, host_desk, web.origins, partial(_radius_ports, web))


def _subscribers(app: FastAPI, web: Web, door: Door) -> None:
    desk = SubscriberDesk(web.place, door)
    acts = Acts(desk)
    subscriber_routes(app, desk)
    act_routes(app, acts)
    subscriber_api(app, desk, acts)
    subscribers_routes(app, RefundDesk(desk))


def _enrolment(app: FastAPI, web: Web) -> None:
    """Load what draws QR codes and certifies devices only where phones enrol."""
    base = web.place.base
    if base.settings.enrol_url:
        from opencarrier.app.enrolling import Enrolling
        from opencarrier.app.http_enrol import enrol_routes

        enrol_routes(app, Enrolling(base), web.shell)


def _desk(place: Onchain, channels: ChannelService) -> ChannelDesk:
    base = place.base
    return ChannelDesk(
        channels,
        base.store,
        grants=base.rating,
        directory=base.identity.directory,
        clock=base.clock,
    )


def allowed_hosts(bound: str) -> tuple[str, ...]:
    """Return the Host names that are ours, so that a name rebound to us gets nothing.

    Bound to every address, the operator has put a proxy in front that knows its names. The
    chain's JSON-RPC answers loopback names only, wherever the rest is bound.
    """
    return ("*",) if bound in ANY_HOST else (*HOSTS, bound)


def _health(app: FastAPI, web: Web) -> None:
    @app.get(
        "/healthz",
        response_class=PlainTextResponse,
        **operation("installation", "Is it alive", example="ok\n", media=TEXT),
    )
    def healthy() -> str:
        """Say that the process runs."""
        return "ok\n"

    @app.get(
        "/readyz",
        response_class=PlainTextResponse,
        **operation(
            "installation",
            "Does it take traffic",
            example="ready\n",
            media=TEXT,
            refuses={503: "It starts, or settling is halted."},
        ),
    )
    def ready() -> Response:
        """Say whether it takes traffic: listeners open, settling not halted."""
        with web.place.base.store.read() as unit:
            halt = web.place.settlement.halt(unit)
        if not web.ready or halt is not None:
            return problem(503, "not ready", "starting" if halt is None else halt.detail)
        return PlainTextResponse("ready\n")

    @app.get(
        "/metrics",
        response_class=PlainTextResponse,
        **operation(
            "installation",
            "Counters for Prometheus",
            example="opencarrier_radius_accepts_total 7\n",
            media=TEXT,
        ),
    )
    def metrics() -> str:
        """Give the counters in Prometheus' text format."""
        with web.place.base.store.read() as unit:
            totals = web.place.base.usage.totals(unit)
            cycle = web.place.settlement.cycle(unit)
        radsec = web.radius.counters() if web.radius else None
        told = exposition(web.metrics(), totals, cycle, radsec)
        return told + passing_exposition(web.passing)

    @app.get(
        "/v1/radsec",
        **operation(
            "installation",
            "RadSec connections",
            example=installation.RADSEC,
            model=installation.RadsecLines,
        ),
    )
    def connections() -> dict[str, Any]:
        """Say which RadSec connections are open."""
        return {"radsec": web.radius.lines() if web.radius else []}


def _live(web: Web, unit: Connection) -> dict[str, Any]:
    """Return what only the running process knows, and the venue's cycles and money."""
    return {
        **venue_status(web.place, unit),
        "passing": passing_status(web.passing, unit),
        "radsec": web.radius.lines() if web.radius else [],
    }


def _api(app: FastAPI, web: Web) -> None:
    @app.get(
        "/v1/status",
        **operation(
            "installation",
            "Where it stands",
            example=installation.STATUS,
            model=installation.Status,
        ),
    )
    def status() -> Response:
        """Say where the installation stands: cycles, money, routes, exchanges; in minor units."""
        with web.place.base.store.read() as unit:
            return JSONResponse({**base_status(web.place.base, unit), **_live(web, unit)})

    @app.get(
        "/v1/manifest",
        **operation(
            "settlement",
            "The venue to pin",
            example=installation.MANIFEST,
            model=installation.ManifestForm,
        ),
    )
    def manifest() -> Response:
        """Give the venue's manifest, to be pinned by whoever verifies."""
        return Response(web.place.manifest.to_json(), media_type="application/json")


def _closing(app: FastAPI, web: Web) -> None:
    @app.post(
        "/v1/cycles/close",
        **operation(
            "settlement",
            "Close the open cycle",
            example=settling.CLOSED,
            model=settling.CloseAnswer,
            refuses={
                409: "There is nothing to close, or settling is halted.",
            },
        ),
    )
    def close(request: Request) -> Response:
        """Close the open cycle and see its settlement through."""
        told = settle_noted(web.place, visitor_of(request), passes_max=PASSES_MAX)
        if isinstance(told, Refusal):
            return problem(409, told.code, str(told))
        return JSONResponse(told)


def _triggers(app: FastAPI, web: Web) -> None:
    @app.post(
        "/v1/triggers/{name}",
        **operation(
            "installation",
            "Make one thing happen",
            example={"name": "roam"},
            model=settling.PLAYED_SCHEMA,
            refuses={404: "There is no such trigger: only a demo has some."},
        ),
    )
    async def trigger(name: str) -> Response:
        """Make one thing happen; there is nothing to make happen where nobody plays."""
        if name not in web.triggers:
            known = ", ".join(sorted(web.triggers)) or "none: only a demo has some"
            return problem(404, "no such trigger", f"{name}; known here: {known}")
        return JSONResponse(await web.triggers[name]())


def _allowed(web: Web, authorization: str) -> bool:
    return hmac.compare_digest(authorization.encode(), f"Bearer {web.token}".encode())
