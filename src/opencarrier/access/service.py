"""Use cases of access: authenticate, authorise, account; the only door others are handed.

One writer thread does all database work and commits in groups: what arrived while it was busy is
one transaction, up to a batch, and every reply leaves after its commit. An attempt's vector and
sequence number stand or fall together, and so do its quote and hold; accounting that is
acknowledged is durable.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from opencarrier.access.agreeing import TermsDesk
from opencarrier.access.answering import Home
from opencarrier.access.directory import DirectoryCache
from opencarrier.access.discovery.service import Ask, Discovery
from opencarrier.access.hub.backward import Served, WayBack
from opencarrier.access.hub.neighbours import Connect, Neighbours
from opencarrier.access.hub.passing import Passing
from opencarrier.access.hub.routes import is_inward
from opencarrier.access.hub.service import Hub
from opencarrier.access.methods import offered_methods, remembered, tls_server
from opencarrier.access.model import AccessKeys, AccessSettings, Metrics, Origin, Transport
from opencarrier.access.orders.book import OrderBook
from opencarrier.access.privacy import PrivacyCache
from opencarrier.access.recording import Recorder
from opencarrier.access.rounds import server_for, writing
from opencarrier.access.server import (
    Agree,
    Dropped,
    Effect,
    Forward,
    Need,
    Send,
    Store,
)
from opencarrier.access.upstream.model import Reply
from opencarrier.access.wire import eap
from opencarrier.access.wire.aka import AkaHome
from opencarrier.access.wire.aka_identity import PseudonymRing
from opencarrier.access.wire.dictionary import Code
from opencarrier.access.wire.hidden import Hop
from opencarrier.access.wire.tls_material import MaterialSource
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.entropy import Entropy
from opencarrier.spine.access import Grant
from opencarrier.spine.ports import (
    AccessPolicy,
    AgreedTerms,
    CarriedPayments,
    Directory,
    Notary,
    Passwords,
    PrivacyKeySource,
    SessionKeys,
    Spending,
    UsageSink,
    VectorSource,
)
from opencarrier.spine.spans import UNRECORDED, Spans

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from opencarrier.access.meters.service import MeterBook

_log = logging.getLogger(__name__)


class Units(Protocol):
    """Opens units of work: `write` commits as a whole or not at all, `read` sees one snapshot.

    `append` commits like `write`, and beside others that append where `shares_turns`.
    """

    @property
    def shares_turns(self) -> bool:
        """Whether units that append run beside each other."""
        ...

    def append(self) -> AbstractContextManager[Connection]:
        """Open a unit that only adds."""
        ...

    def write(self) -> AbstractContextManager[Connection]:
        """Open a unit that writes."""
        ...

    def read(self) -> AbstractContextManager[Connection]:
        """Open a unit that reads."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPorts:
    """Everything access asks of other rooms and of the machine."""

    units: Units
    directory: Directory
    vectors: VectorSource
    policy: AccessPolicy
    sink: UsageSink
    clock: Clock
    entropy: Entropy
    passwords: Passwords | None = None
    privacy: PrivacyKeySource | None = None
    tls: MaterialSource | None = None
    session_keys: SessionKeys | None = None
    connect: Connect | None = None
    ask_dns: Ask | None = None
    way_back: WayBack | None = None
    meters: MeterBook | None = None
    payments: CarriedPayments | None = None
    orders: OrderBook | None = None
    spending: Spending | None = None
    agreed: AgreedTerms | None = None
    notary: Notary | None = None
    spans: Spans = UNRECORDED
    monotonic: Callable[[], float] = time.monotonic


Sender = Callable[[Send], None]
_Answered = tuple[Need | Agree, eap.Answer | str | None]
_Kept = tuple[Store, bool]


class AccessService:
    """A running access server: packets in by `receive`, replies out by a sender."""

    def __init__(self, ports: AccessPorts, keys: AccessKeys, settings: AccessSettings) -> None:
        self._ports = ports
        self._keys = keys
        self._settings = settings
        self.metrics = Metrics()
        self._cache = DirectoryCache(
            ports.directory,
            ports.units.read,
            monotonic=ports.monotonic,
            ttl_s=settings.directory_ttl_s,
            entries_max=settings.directory_entries_max,
        )
        self._tls = tls_server(ports.tls, ports.clock, settings)
        self.server = server_for(
            ports.spans,
            lookup=self._cache,
            keys=keys,
            entropy=ports.entropy,
            methods=offered_methods(settings, self._aka_home(keys.pseudonyms), self._tls),
            settings=settings,
            metrics=self.metrics,
        )
        self.passing = self._passing()
        self._terms = TermsDesk(
            directory=ports.directory,
            agreed=ports.agreed,
            notary=ports.notary,
            clock=ports.clock,
            refused=self.metrics.terms_refused,
        )
        self._home = Home(ports, keys, settings.federation, self._terms)
        self._recorder = Recorder(ports, self.metrics, self.passing, self._terms)
        self._needs: deque[Need | Agree] = deque()
        self._stores: deque[Store] = deque()
        self._wake = asyncio.Event()
        self._ends = asyncio.Event()
        self._senders: dict[Transport, Sender] = {}
        self._writer: asyncio.Task[None] | None = None
        self._stopping = False

    def _aka_home(self, pseudonyms: PseudonymRing | None) -> AkaHome:
        ports, privacy = self._ports, None
        if ports.privacy is not None:
            privacy = PrivacyCache(ports.privacy, ports.units.read, monotonic=ports.monotonic)
        entropy, clock = ports.entropy, ports.clock
        return AkaHome(entropy, clock, pseudonyms, privacy, remembered(self._settings))

    def start(self, transport: Transport, sender: Sender) -> None:
        """Begin work in the running event loop; what came over a transport is answered there.

        Each transport starts once; the first begins the work and the first `stop` ends it.
        """
        assert transport not in self._senders
        self._senders[transport] = sender
        self._stopping = False
        self._ends.clear()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_loop())
            if self.passing is not None:
                self.passing.start(delivers=not self._settings.worker)

    async def stop(self) -> None:
        """Finish what was received, answer it, and end."""
        self._stopping = True
        self._wake.set()
        self._ends.set()
        if self._writer is not None:
            if self.passing is not None:
                await self.passing.stop()
            await self._writer
            self._writer = None
        self._senders.clear()

    @property
    def lookup(self) -> DirectoryCache:
        """Who may talk to us, as the server sees it."""
        return self._cache

    def receive(self, origin: Origin, datagram: bytes) -> str:
        """Take one packet; nothing a peer sends makes this raise.

        Returned is what is wrong with one that is malformed or not signed, else nothing.
        """
        if self._stopping:
            self.metrics.dropped["stopping"] += 1
            return ""
        ports = self._ports
        try:
            effects = self.server.receive(
                origin, datagram, now_s=ports.monotonic(), now_us=ports.clock.now_us()
            )
        except Exception:
            _log.exception("receive failed")
            self.metrics.dropped["internal_error"] += 1
            return ""
        self._perform(effects)
        if self.server.sessions.unused:
            self._wake.set()
        first = effects[0]
        return first.reason if isinstance(first, Dropped) and first.unsound else ""

    def counted(self) -> Metrics:
        """The counters, and what is open now."""
        sessions, tls, metrics = self.server.sessions, self._tls, self.metrics
        metrics.eap_open, metrics.eap_displaced = len(sessions), sessions.displaced
        metrics.spans = self._ports.spans.counts
        if tls is not None:
            metrics.tls_open, metrics.tls_displaced = tls.conversations, tls.displaced
        return metrics

    @property
    def idle(self) -> bool:
        """Whether nothing waits for the writer."""
        return not self._needs and not self._stores and not self.server.sessions.unused

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._senders[effect.origin.transport](effect)
                case Need() | Agree():
                    self._queue_need(effect)
                case Store():
                    self._queue_store(effect)
                case Forward():
                    self._pass_on(effect)
                case Dropped():
                    pass

    def _passing(self) -> Passing | None:
        ports, settings = self._ports, self._settings
        if ports.connect is None:
            return None
        discovery = None
        if ports.ask_dns is not None:
            discovery = Discovery(
                ports.ask_dns,
                settings.discovery,
                entropy=ports.entropy,
                monotonic=ports.monotonic,
            )
        neighbours = Neighbours(
            self._cache.servers,
            ports.connect,
            discovery,
            entropy=ports.entropy,
            monotonic=ports.monotonic,
            settings=settings.hub,
        )
        hub = Hub(neighbours, settings.hub)
        return Passing(hub, ports.units, ports.clock, settings.hub, self._cache.debtor)

    def _pass_on(self, forward: Forward) -> None:
        ticket = forward.ticket
        if self.passing is None:
            self._perform(self.server.unreachable(ticket, "upstream_off"))
            return

        def answered(reply: Reply | str, server: str) -> None:
            if isinstance(reply, Reply):
                self._note_way_back(forward, reply, server)
                self._perform(self.server.brought_back(ticket, reply, forward.target))
            else:
                self._perform(self.server.unreachable(ticket, reply))

        came = Hop(ticket.client.secret, ticket.packet.authenticator)
        self.passing.pass_on(forward, ticket.packet.code, came, answered)

    def _note_way_back(self, forward: Forward, reply: Reply, server: str) -> None:
        if self._ports.way_back is not None and reply.packet.code == Code.ACCESS_ACCEPT:
            ticket, inward = forward.ticket, is_inward(forward.target)
            origin = ticket.origin
            served = Served(ticket.client, origin.address[0], origin.transport, inward)
            self._ports.way_back.note(server, ticket.packet, served, reply.packet)

    def _queue_need(self, need: Need | Agree) -> None:
        if len(self._needs) >= self._settings.authentication_queue_max:
            self.server.lost(need.ticket, "authentication_queue_full")
            return
        self._needs.append(need)
        self._wake.set()

    def _queue_store(self, store: Store) -> None:
        if store.relay is not None and self.passing is None:
            self.server.lost(store.ticket, "upstream_off")
            return
        if len(self._stores) >= self._settings.accounting_queue_max:
            self.server.lost(store.ticket, "accounting_queue_full")
            return
        self._stores.append(store)
        self._wake.set()

    async def _write_loop(self) -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="access-writer") as writer:
            while True:
                if self.idle:
                    if self._stopping:
                        return
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                await self._gather()
                work = self._drain()
                spans = writing(work[0], work[1])
                answered, kept = await loop.run_in_executor(writer, self._work, *work)
                for span in spans:
                    span.end()
                self._finish(answered, kept)

    async def _gather(self) -> None:
        """Let attempts that are under way come too; whoever is alone waits for nobody.

        A transaction costs several times what one more attempt in it does.
        """
        waiting, settings = len(self._needs), self._settings
        under_way = len(self.server.sessions) - waiting
        if 0 < waiting < settings.authentication_batch_max and under_way > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.gather_s):
                    await self._ends.wait()

    def _drain(self) -> tuple[list[Need | Agree], list[Store], list[bytes]]:
        needs = min(len(self._needs), self._settings.authentication_batch_max)
        stores = min(len(self._stores), self._settings.accounting_batch_max)
        unused = self.server.sessions.unused
        return (
            [self._needs.popleft() for _ in range(needs)],
            [self._stores.popleft() for _ in range(stores)],
            [unused.popleft() for _ in range(len(unused))],
        )

    def _finish(self, answered: Sequence[_Answered], kept: Sequence[_Kept]) -> None:
        now_s = self._ports.monotonic()
        for store, durable in kept:
            verdict = self._recorder.verdicts.pop(store.ticket.key, None)
            if durable:
                told = [] if verdict is None else [verdict.attribute()]
                self._perform(self.server.stored(store.ticket, told))
            else:
                self._perform(self.server.lost(store.ticket, "store_failed"))
        if self.passing is not None and kept:
            self.passing.kept()
        for one in answered:
            self._finish_need(one, now_s)
        crashpoint("access.replied")

    def _finish_need(self, one: _Answered, now_s: float) -> None:
        effects: Sequence[Effect] = ()
        try:
            effects = self._tell(one, now_s)
        except Exception:
            _log.exception("answer failed")
        self._perform(effects or self.server.lost(one[0].ticket, "internal_error"))

    def _tell(self, one: _Answered, now_s: float) -> Sequence[Effect]:
        """Tell the server what a need or an agreement came to; nothing where it failed."""
        need, answer = one
        if answer is None:
            return ()
        if isinstance(need, Agree):
            assert isinstance(answer, str), "an agreement is kept, or not for a reason"
            return self.server.agreed(need, answer)
        assert not isinstance(answer, str), "a need is answered"
        if isinstance(answer, Grant) and self._ports.way_back is not None:
            self._ports.way_back.keep_own(need.ticket.packet, need.ticket.client)
        return self.server.answer(need.ticket, answer, now_s)

    # Everything below runs on the writer thread.

    def _work(
        self, needs: Sequence[Need | Agree], stores: Sequence[Store], unused: Sequence[bytes]
    ) -> tuple[list[_Answered], list[_Kept]]:
        """Do everything in one transaction; if it fails, each by itself, so that one stops none."""
        crashpoint("access.received")
        if unused:
            self._give_back(unused)
        if not needs and not stores:
            return [], []
        done = self._commit(needs, stores)
        if done is not None:
            return done, [(store, True) for store in stores]
        if len(needs) + len(stores) == 1:
            return [(need, None) for need in needs], [(store, False) for store in stores]
        answered: list[_Answered] = [(need, self._alone(need)) for need in needs]
        return answered, [(store, self._commit([], [store]) is not None) for store in stores]

    def _give_back(self, unused: Sequence[bytes]) -> None:
        """Void the holds of grants that let nobody in; where that fails they expire."""
        at_us, orders = self._ports.clock.now_us(), self._ports.orders
        try:
            with self._ports.units.write() as unit:
                for authorisation_id in unused:
                    self._ports.policy.release(unit, authorisation_id, at_us=at_us)
                    if orders is not None:
                        orders.unattached(unit, authorisation_id)
        except Exception:
            _log.exception("%d holds are left to expire", len(unused))
            return
        self.metrics.holds_released += len(unused)

    def _alone(self, need: Need | Agree) -> eap.Answer | str | None:
        done = self._commit([need], [])
        return done[0][1] if done else None

    def _commit(
        self, needs: Sequence[Need | Agree], stores: Sequence[Store]
    ) -> list[_Answered] | None:
        answered: list[_Answered] = []
        try:
            new = None if needs else self._recorder.add(stores)
            if new is None:
                with self._ports.units.write() as unit:
                    new = self._recorder.record(unit, stores)
                    answered += self._home.answers(unit, [n for n in needs if isinstance(n, Need)])
                    answered += self._agreements(unit, needs)
                    crashpoint("access.before_commit")
            crashpoint("access.committed")
        except Exception:
            _log.exception("a batch of %d and %d failed", len(needs), len(stores))
            self.metrics.batches_failed += 1
            return None
        self.metrics.batches += 1
        self.metrics.observations_new += new
        return answered

    def _agreements(
        self, unit: Connection, needs: Sequence[Need | Agree]
    ) -> list[tuple[Agree, str]]:
        agreements = [need for need in needs if isinstance(need, Agree)]
        return [(agree, self._terms.keep(unit, agree)) for agree in agreements]
