"""What answers RADIUS in the running process: two UDP ports and, with certificates, RadSec."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from opencarrier.access.dynamic_udp import DynamicBind, DynamicServer
from opencarrier.access.hub.backward import WayBack
from opencarrier.access.hub.incoming import OrdersOverUdp
from opencarrier.access.model import Metrics
from opencarrier.access.orders.reach import Reach
from opencarrier.access.orders.sending import OrderSender
from opencarrier.access.orders.silence import SilenceWatch
from opencarrier.access.radsec.model import Connections
from opencarrier.access.radsec.server import RadsecBind, RadsecServer
from opencarrier.access.radsec.trust import Trust
from opencarrier.access.service import AccessService
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.upstream.model import Upstream
from opencarrier.app.bootstrap import Installation
from opencarrier.app.folder import FolderError
from opencarrier.app.workers import Workers


class Radius:
    """Both servers over one access service; `await start()`, then `stop()`."""

    def __init__(
        self,
        base: Installation,
        access: AccessService,
        trust: Trust | None,
        way_back: WayBack | None = None,
    ) -> None:
        """`way_back` leads orders of homes over UDP to whoever serves the session."""
        settings = base.settings
        self._settings = settings
        self._sending: asyncio.Task[None] | None = None
        self._access = access
        self.workers = Workers(base) if settings.workers > 1 else None
        bind = Bind(
            host=settings.host,
            auth_port=settings.radius_port,
            acct_port=settings.acct_port,
            shared=self.workers is not None,
        )
        self.udp = UdpServer(access, bind, self.workers.affinity if self.workers else None)
        self.radsec: RadsecServer | None = None
        if trust is not None:
            self.radsec = RadsecServer(
                access,
                trust,
                RadsecBind(host=settings.host, port=settings.radsec_port),
                clock=base.clock,
                entropy=base.entropy,
            )

        self.incoming: DynamicServer | None = None
        if settings.orders_port and way_back is not None:
            orders = OrdersOverUdp(way_back, access.lookup.servers_at, clock=base.clock)
            at = DynamicBind(host=settings.host, port=settings.orders_port)
            self.incoming = DynamicServer(orders, orders.client, at)
        self._orders = OrderSender(
            base.orders,
            base.store,
            reach=Reach(
                entropy=base.entropy, connected=self._connected, port=settings.dynamic_port
            ),
            clients=access.lookup.client,
            clock=base.clock,
            watch=SilenceWatch(base.orders, base.usage, access.metrics, settings.loss_grace_s),
        )

    async def start(self) -> None:
        """Open the ports and send orders; `FolderError` names the port that is taken."""
        await self._open()
        self._sending = asyncio.create_task(self._orders.run())

    async def _open(self) -> None:
        settings = self._settings
        try:
            await self.udp.start()
        except OSError as error:
            raise FolderError(
                f"RADIUS on {settings.host}:{settings.radius_port}/{settings.acct_port}: "
                f"{error.strerror}",
                "choose other ports with --radius-port and --acct-port (0: any free one)",
            ) from None
        if self.incoming is not None:
            await self._start_incoming(self.incoming)
        if self.radsec is not None:
            await self._start_radsec(self.radsec)
        if self.workers is not None:
            self.workers.start(self.udp.auth_address[1], self.udp.acct_address[1])

    async def _start_incoming(self, incoming: DynamicServer) -> None:
        settings = self._settings
        try:
            await incoming.start()
        except OSError as error:
            await self.udp.stop()
            raise FolderError(
                f"Disconnect and CoA on {settings.host}:{settings.orders_port}: {error.strerror}",
                "choose another port with the setting orders_port (0: none)",
            ) from None

    async def _start_radsec(self, radsec: RadsecServer) -> None:
        settings = self._settings
        try:
            await radsec.start()
        except OSError as error:
            await self.udp.stop()
            if self.incoming is not None:
                await self.incoming.stop()
            raise FolderError(
                f"RadSec on {settings.host}:{settings.radsec_port}: {error.strerror}",
                "choose another port with the setting radsec_port (0: any free one)",
            ) from None

    async def stop(self) -> None:
        """Take nothing more, answer what was received, close."""
        if self.workers is not None:
            await self.workers.stop()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        if self.incoming is not None:
            await self.incoming.stop()
        if self.radsec is not None:
            await self.radsec.stop()
        await self.udp.stop()

    def _connected(self, client_id: str, host: str) -> Upstream | None:
        return None if self.radsec is None else self.radsec.to(client_id, host)

    def metrics(self) -> Metrics:
        """What access counted, in all processes."""
        own = self._access.counted()
        return own if self.workers is None else self.workers.metrics(own)

    def each(self) -> list[Metrics]:
        """What each process that answers has counted, our own first; others tell once a second."""
        others = [] if self.workers is None else self.workers.told
        return [self._access.metrics, *others]

    def lines(self) -> list[dict[str, Any]]:
        """The open RadSec connections, for `status`."""
        return [] if self.radsec is None else [asdict(line) for line in self.radsec.lines()]

    def counters(self) -> Connections | None:
        """What RadSec connections came to, None where it is off."""
        return None if self.radsec is None else self.radsec.counters
