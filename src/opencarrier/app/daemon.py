"""The running process: RADIUS, HTTP and the scheduler around one installation."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from opencarrier.access.hub.backward import WayBack
from opencarrier.app.answers import sweep
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.config import ANY_HOST, Settings
from opencarrier.app.courier import Courier
from opencarrier.app.dispute_rounds import DisputeRounds
from opencarrier.app.errands import Errands
from opencarrier.app.exchanger import Exchanger
from opencarrier.app.folder import FolderError, Running
from opencarrier.app.listening import Radius
from opencarrier.app.moving import see_where_it_is
from opencarrier.app.news import News
from opencarrier.app.passing_on import access_service
from opencarrier.app.radsec_trust import trust_of
from opencarrier.app.retention import Forgetting, read_retention
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import service as ledger
from opencarrier.settlement.model import CloseRefusal

if TYPE_CHECKING:
    from opencarrier.access.hub.passing import Passing
    from opencarrier.app.http import Web
    from opencarrier.app.http_server import HttpServer

_log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
TICK_S = 1.0
TOKEN_OCTETS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A process that answers: where, and its page's state."""

    running: Running
    web: Web
    auth: tuple[str, int]
    acct: tuple[str, int]


@asynccontextmanager
async def serving(place: Onchain) -> AsyncIterator[Serving]:
    """Open the RADIUS ports and HTTP; on the way out answer what was received, then close.

    `FolderError` where a port is taken: the environment is at fault, and which port is named.
    """
    settings = place.base.settings
    trust = trust_of(place.base)
    way_back = WayBack(place.base.entropy, port=settings.dynamic_port)
    payments = None if place.channels is None else place.channels.service
    access = access_service(place.base, trust, way_back, payments=payments)
    radius = Radius(place.base, access, trust, way_back)
    token = place.base.real.entropy.octets("http-token", TOKEN_OCTETS).hex()
    if radius.radsec is not None:
        way_back.connected = radius.radsec.to
    courier = Courier(place.base)
    listeners = _listen(settings)
    try:
        await radius.start()
    except FolderError:
        _close(listeners)
        raise
    try:
        web, server = await asyncio.to_thread(_loaded, place, radius, access.passing, token)
    except BaseException:
        _close(listeners)
        await radius.stop()
        raise
    udp = radius.udp
    task = asyncio.create_task(server.serve(sockets=listeners))
    watching = asyncio.create_task(web.watch.run())
    carrying = asyncio.create_task(courier.run())
    base_url = f"http://{LOOPBACK}:{listeners[0].getsockname()[1]}"
    running = Running(
        pid=os.getpid(),
        http=base_url,
        rpc=f"{base_url}/rpc" if place.node is not None else settings.chain,
        radius_port=udp.auth_address[1],
        acct_port=udp.acct_address[1],
        token=token,
    )
    try:
        yield Serving(running=running, web=web, auth=udp.auth_address, acct=udp.acct_address)
    finally:
        courier.stop()
        web.watch.stop()
        web.events.close()
        await watching
        await carrying
        await radius.stop()
        await way_back.stop()
        server.should_exit = True
        await task


def _loaded(
    place: Onchain, radius: Radius, passing: Passing | None, token: str
) -> tuple[Web, HttpServer]:
    """Load and make what answers HTTP: a second of work, and RADIUS answers meanwhile."""
    from opencarrier.app.http import Web
    from opencarrier.app.http_server import server_of

    web = Web(place, radius.metrics, token=token)
    web.radius, web.passing = radius, passing
    return web, server_of(web)


def _close(listeners: Iterable[socket.socket]) -> None:
    for listener in listeners:
        listener.close()


async def serve(place: Onchain, ready: Callable[[Serving], None]) -> None:
    """Serve until SIGINT or SIGTERM, closing cycles as they fall due."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(place) as running:
        place.base.folder.announce(running.running)
        try:
            await asyncio.to_thread(Errands(place).recover)
            running.web.ready = True
            ready(running)
            works = (
                Exchanger(place.base).tick,
                DisputeRounds(place.base).tick,
                News(place).tick,
                partial(_tick, place, Scheduler(place)),
            )
            await each_second(stop, *works)
        finally:
            place.base.folder.run.unlink(missing_ok=True)


def _tick(place: Onchain, scheduler: Scheduler) -> None:
    see_where_it_is(place.base.store)
    scheduler.tick()


async def each_second(stop: asyncio.Event, *works: Callable[[], None]) -> None:
    """Do each work in a thread of its own, a second after it was done before, until the stop.

    What one of them raises stops all and is raised as it is.
    """
    tasks = [asyncio.create_task(_again(stop, work)) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        stop.set()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again(stop: asyncio.Event, work: Callable[[], None]) -> None:
    while not stop.is_set():
        await asyncio.to_thread(work)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), TICK_S)


class Scheduler:
    """What is due once a second: follow the venue, drive the cycle, close it on time."""

    def __init__(self, place: Onchain) -> None:
        self._place = place
        self._errands = Errands(place)
        self._noted: dict[str, str] = {}
        self._due_us = self._next_due_us()
        self._forgetting: Forgetting | None = None
        if place.bans is not None:
            kept = read_retention(place.base.settings.retention_days)
            self._forgetting = Forgetting(place.bans.service, kept)

    def tick(self) -> None:
        """Do what is due; what goes wrong is logged, and tried again at the next tick."""
        try:
            self._tick()
        except Exception:
            _log.exception("the scheduler goes on after an error")

    def _tick(self) -> None:
        now_us = self._place.base.clock.now_us()
        self._errands.follow()
        self._note("settlement", self._errands.drive().note)
        self._note("payments", self._errands.see_payments_through())
        self._note("bans", self._errands.follow_bans())
        self._note("relays", self._errands.relay_on().unavailable)
        self._note("channels", self._errands.tend_channels().note)
        with self._place.base.store.write() as unit:
            ledger.expire(unit, now_us)
            sweep(unit, self._place.base.real.clock.now_us())
            self._place.base.webhooks.sweep(unit)
            if self._forgetting is not None:
                self._forgetting.step(unit, now_us)
        if self._due_us is not None and now_us >= self._due_us:
            self._close(self._due_us)

    def _note(self, what: str, note: str) -> None:
        """Log what holds something up, once while it stays the same."""
        if note != self._noted.get(what, ""):
            self._noted[what] = note
            _log.info("%s: %s", what, note)

    def _close(self, at_us: int) -> None:
        """Cut at the whole instant: two installations' cuts are then the same."""
        closed = self._errands.close(at_us)
        if isinstance(closed, Refusal) and closed.reason is not CloseRefusal.CUT_BEFORE_LAST:
            _log.warning("the cycle was not closed: %s", closed)
            return
        self._due_us = self._next_due_us()

    def _next_due_us(self) -> int | None:
        """Return the next whole multiple of the cycle's length; None where people close cycles."""
        length_us = self._place.base.settings.cycle_s * SECOND_US
        if not length_us:
            return None
        return (self._place.base.clock.now_us() // length_us + 1) * length_us


def look_for_port(settings: Settings) -> None:
    """See that HTTP's port is free, before anything is made; `FolderError` where it is taken."""
    _close(_listen(settings))


def _listen(settings: Settings) -> list[socket.socket]:
    """Open HTTP's listeners: loopback first, where our own commands ask, then what was named."""
    hosts = [LOOPBACK]
    if settings.http_host in ANY_HOST:
        hosts = [settings.http_host]
    elif settings.http_host != LOOPBACK:
        hosts.append(settings.http_host)
    listeners: list[socket.socket] = []
    port = settings.http_port
    try:
        for host in hosts:
            listeners.append(_bound(host, port))
            port = listeners[0].getsockname()[1]
    except OSError as error:
        _close(listeners)
        raise FolderError(
            f"HTTP on {host}:{port}: {error.strerror}",
            "choose another port with --http-port (0: any free one)",
        ) from None
    return listeners


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY on sockets that say they are TCP; without it answers wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
