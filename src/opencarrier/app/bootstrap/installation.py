"""An installation: everything that needs no chain, plugged together over one data folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from opencarrier.access.class_token import KEY_OCTETS, ClassRing
from opencarrier.access.discovery.service import Ask
from opencarrier.access.hub.backward import WayBack
from opencarrier.access.hub.neighbours import Connect
from opencarrier.access.meters.service import MeterBook
from opencarrier.access.model import AccessKeys, AccessSettings
from opencarrier.access.orders.book import OrderBook
from opencarrier.access.service import AccessPorts, AccessService
from opencarrier.access.wire.aka_identity import SECRET_OCTETS, PseudonymRing
from opencarrier.app import config, schema
from opencarrier.app.accessing import access_settings, rating_settings
from opencarrier.app.bootstrap.certificates import eap_certificates
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder, FolderError
from opencarrier.app.moving import see_where_it_is
from opencarrier.app.store import Store
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.chain.keys import LocalSigner
from opencarrier.channels.book import ChannelBook
from opencarrier.identity.accounts.service import Accounts
from opencarrier.identity.model import Party, PartyKind
from opencarrier.identity.sealing import FileSealingKey
from opencarrier.identity.service import Identity
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.rating.accepted import AcceptedBook
from opencarrier.rating.changes import TermChanges
from opencarrier.rating.service import RatingService
from opencarrier.rating.spending import SpendingWatch
from opencarrier.rating.subscribers import SubscriberBook
from opencarrier.receipts.manifest import Manifest, read_manifest
from opencarrier.routing.model import Steering
from opencarrier.routing.service import ChoiceBook, RoutedPolicy, Routing
from opencarrier.spine.ports import CarriedPayments
from opencarrier.spine.spans import UNRECORDED, Spans
from opencarrier.staking.service import StakingService
from opencarrier.usage.service import UsageService
from opencarrier.usage.store import is_erased
from opencarrier.webhooks.service import Webhooks

CUI_KEY_OCTETS = 32
TILL_KEY_OCTETS = 32


@dataclass(frozen=True, slots=True)
class Real:
    """Time and randomness where people's browsers take part: their own, also in a told world."""

    clock: Clock
    entropy: Entropy


class Installation:
    """One data folder, opened: its store and the rooms that need no chain."""

    def __init__(
        self,
        folder: Folder,
        settings: Settings,
        *,
        clock: Clock,
        entropy: Entropy,
        people: Real | None = None,
        spans: Spans = UNRECORDED,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.clock = clock
        self.entropy = entropy
        self.spans = spans
        folder.make()
        sealing_key = _sealing_key(folder, entropy)
        self.store = Store(settings.database or folder.database)
        self.real = people or Real(clock, entropy)
        self.identity = Identity(sealing_key, clock=clock, entropy=entropy, people=self.real.clock)
        self.accounts = Accounts(self.real.clock, self.real.entropy)
        self.webhooks = Webhooks(self.identity.secrets, clock=clock, entropy=self.real.entropy)
        self.channel_book = ChannelBook()
        self.meters = MeterBook(is_erased)
        self.orders = OrderBook()
        self.accepted = AcceptedBook()
        self.usage = UsageService(
            silence_us=settings.silence_s * SECOND_US,
            acknowledgements=self.channel_book,
            terms=TermChanges(),
        )
        self.staking = StakingService()
        self.routing = Routing(
            self.identity.directory,
            Steering(
                margin_ppm=settings.steering_margin_ppm,
                refusals_max=settings.steering_refusals_max,
                window_s=settings.steering_window_s,
            ),
        )
        self.rating = RatingService(
            directory=self.identity.directory,
            usages=self.usage,
            entropy=entropy,
            discounts=self.staking,
            sales=self.channel_book,
            choices=ChoiceBook(),
            settings=rating_settings(settings),
            announcer=self.webhooks,
        )
        self.subscribers = SubscriberBook(self.webhooks)
        self.policy = RoutedPolicy(self.routing, self.rating)
        see_where_it_is(self.store)
        with self.store.write() as unit:
            schema.upgrade(unit)
            self.identity.vault.check(unit)
            self.hub = self._hub(unit)

    def close(self) -> None:
        """Close the database."""
        self.store.close()

    def manifest(self) -> Manifest | None:
        """Return the pinned venue, None before there is one."""
        path = self.folder.manifest
        try:
            return read_manifest(path.read_text())
        except FileNotFoundError:
            return None
        except PeerError as error:
            raise FolderError(
                f"{path} cannot be used: {error}", "put it back from a backup, or as it was made"
            ) from None

    def access(
        self,
        settings: AccessSettings | None = None,
        *,
        worker: int | None = None,
        connect: Connect | None = None,
        ask_dns: Ask | None = None,
        way_back: WayBack | None = None,
        payments: CarriedPayments | None = None,
    ) -> AccessService:
        """Make the access service; what dials others is handed in where packets are passed on.

        `payments` takes what nodes' agents bring, where there is a venue for channels. `worker` is
        the process's number where there are several.
        """
        ports = AccessPorts(
            units=self.store,
            directory=self.identity.directory,
            vectors=self.identity.authentication,
            privacy=self.identity.privacy,
            policy=self.policy,
            sink=self.usage,
            clock=self.clock,
            entropy=self.entropy,
            passwords=self.identity.logins,
            tls=eap_certificates(self.folder, self.settings),
            session_keys=self.channel_book,
            meters=self.meters,
            payments=payments,
            connect=connect,
            ask_dns=ask_dns,
            orders=self.orders,
            way_back=way_back,
            agreed=self.accepted,
            notary=self.identity.notary,
            spans=self.spans,
            spending=SpendingWatch(self.orders, self.usage, rating_settings(self.settings)),
        )
        told = settings or access_settings(self.settings)
        return AccessService(ports, self.access_keys(), replace(told, worker=worker))

    def access_keys(self) -> AccessKeys:
        """Return the keys of Class, CUI and pseudonyms; they are made the first time."""
        secrets = self.identity.secrets
        with self.store.write() as unit:
            ring = ClassRing.of(secrets.octets(unit, "class", KEY_OCTETS))
            return AccessKeys(
                ring=ring,
                cui_key=secrets.octets(unit, "cui", CUI_KEY_OCTETS),
                pseudonyms=PseudonymRing(secrets.octets(unit, "pseudonym", SECRET_OCTETS)),
            )

    def hub_signer(self) -> LocalSigner:
        """Return the key that settles for this clearing domain."""
        with self.store.read() as unit:
            assert self.hub.address is not None
            signer = self.identity.notary.signer(unit, self.hub.address)
        assert signer is not None, "the hub's key is held here"
        return LocalSigner.of(signer)

    def till_signer(self) -> LocalSigner:
        """Return the key of the till, where payments over HTTP go; it is made the first time."""
        with self.store.write() as unit:
            return LocalSigner(self.identity.secrets.octets(unit, "till", TILL_KEY_OCTETS))

    def _hub(self, unit: Connection) -> Party:
        made = self.identity.register.add_party(
            unit, kind=PartyKind.PROTOCOL, name=self.settings.domain
        )
        assert not isinstance(made, Refusal), made
        return made


def _sealing_key(folder: Folder, entropy: Entropy) -> FileSealingKey:
    if folder.seal_key.exists():
        return FileSealingKey.load(folder.seal_key)
    if folder.database.exists():
        raise FolderError(
            f"{folder.seal_key} is missing",
            "put it back from its backup: without it no secret of this folder opens",
        )
    return FileSealingKey.make(folder.seal_key, entropy)


def load_settings(folder: Folder, flags: Mapping[str, Any]) -> config.Loaded:
    """Merge defaults, the folder's file, the environment and flags."""
    return config.load(file=folder.config, environ=os.environ, flags=flags)


def open_installation(
    folder: Folder,
    settings: Settings,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    people: Real | None = None,
    spans: Spans = UNRECORDED,
) -> Installation:
    """Open a data folder; what is missing in it is made. What is done in it `spans` records."""
    return Installation(
        folder,
        settings,
        clock=clock or SystemClock(),
        entropy=entropy or SystemEntropy(),
        people=people,
        spans=spans,
    )
