"""Plug the rooms together; the only module that names concrete parts.

`Installation` is everything that needs no chain. `Onchain` adds the venue and what settles there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from opencarrier.access.class_token import KEY_OCTETS, ClassRing
from opencarrier.access.model import AccessKeys, AccessSettings
from opencarrier.access.service import AccessPorts, AccessService
from opencarrier.app import config, schema
from opencarrier.app.config import ConfigError, Settings
from opencarrier.app.folder import Folder, FolderError
from opencarrier.app.moving import see_where_it_is
from opencarrier.app.sponsoring import sponsorship
from opencarrier.app.store import Store
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.app.venue import (
    ChainWork,
    RewardTerms,
    StakeTerms,
    deploy,
    read_tiers,
    rulebook_hash,
    x402_codes,
)
from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.contracts import (
    X402_COLLECTOR_ADDRESS,
    X402_SETTLEMENT_ADDRESS,
    BatchChannels,
    ClearingHouse,
    Contract,
    Erc3009DepositCollector,
    HouseTerms,
    StableToken,
    StakeDiscount,
)
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.chain.index import Indexer, folds_of
from opencarrier.chain.keys import LocalSigner
from opencarrier.chain.model import Finality
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.quorum import QuorumClient
from opencarrier.chain.relay_rules import RelayPolicy
from opencarrier.chain.relayer import PURPOSE as RELAY
from opencarrier.chain.relayer import Relayer
from opencarrier.chain.rules import Policy as SpendingPolicy
from opencarrier.chain.transactions import TransactionManager
from opencarrier.channels.book import ChannelBook
from opencarrier.channels.claims import Claimer
from opencarrier.channels.custody import ChannelFollower
from opencarrier.channels.model import ChannelSettings, ChannelVenue
from opencarrier.channels.purchases import Purchases
from opencarrier.channels.service import ChannelService
from opencarrier.channels.service import Ports as ChannelPorts
from opencarrier.clearing.model import Policy as ClearingPolicy
from opencarrier.clearing.netting import NettingMode
from opencarrier.clearing.service import ClearingService
from opencarrier.clearing.service import Ports as ClearingPorts
from opencarrier.identity.model import Party, PartyKind
from opencarrier.identity.rules import read_address
from opencarrier.identity.sealing import FileSealingKey
from opencarrier.identity.service import Identity
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.paywall.by_channel import ChannelSales
from opencarrier.paywall.model import Till
from opencarrier.paywall.service import PURPOSE as PAYMENT
from opencarrier.paywall.service import PaywallService
from opencarrier.rating.changes import TermChanges
from opencarrier.rating.service import RatingService, RatingSettings
from opencarrier.receipts.issue import Issuer, Settled
from opencarrier.receipts.manifest import Manifest, check_venue, read_manifest
from opencarrier.rewards.service import RewardService
from opencarrier.settlement.model import AttemptState, Venue
from opencarrier.settlement.orders import Ports as SettlementPorts
from opencarrier.settlement.service import SettlementService
from opencarrier.staking.follower import StakeFollower, StakeVenue
from opencarrier.staking.service import StakingService
from opencarrier.usage.service import UsageService

GENESIS_WEI = 10**24
"""What the hub's key has on an embedded chain: gas without end."""

REMOTE_FINALITY = "depth:12"
OWN, X402 = "own", "x402"
"""Whose place a venue's channels have: one of their own, or x402's."""

CUI_KEY_OCTETS = 32
TILL_KEY_OCTETS = 32


class Installation:
    """One data folder, opened: its store and the rooms that need no chain."""

    def __init__(
        self, folder: Folder, settings: Settings, *, clock: Clock, entropy: Entropy
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.clock = clock
        self.entropy = entropy
        folder.make()
        sealing_key = _sealing_key(folder, entropy)
        self.store = Store(settings.database or folder.database)
        self.identity = Identity(sealing_key, clock=clock, entropy=entropy)
        self.channel_book = ChannelBook()
        self.usage = UsageService(
            silence_us=settings.silence_s * SECOND_US,
            acknowledgements=self.channel_book,
            terms=TermChanges(),
        )
        self.staking = StakingService()
        self.rating = RatingService(
            directory=self.identity.directory,
            usages=self.usage,
            entropy=entropy,
            discounts=self.staking,
            sales=self.channel_book,
            settings=RatingSettings(settlement_lag_s=settings.settlement_lag_s),
        )
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

    def access(self, settings: AccessSettings | None = None) -> AccessService:
        """Make the access service."""
        ports = AccessPorts(
            units=self.store,
            directory=self.identity.directory,
            vectors=self.identity.authentication,
            policy=self.rating,
            sink=self.usage,
            clock=self.clock,
            entropy=self.entropy,
            session_keys=self.channel_book,
        )
        return AccessService(ports, self.access_keys(), settings or AccessSettings())

    def access_keys(self) -> AccessKeys:
        """Return the keys of Class and CUI; they are made the first time."""
        secrets = self.identity.secrets
        with self.store.write() as unit:
            ring = ClassRing.of(secrets.octets(unit, "class", KEY_OCTETS))
            return AccessKeys(ring=ring, cui_key=secrets.octets(unit, "cui", CUI_KEY_OCTETS))

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Pay as you use at a venue: its door, what follows the contract, and what claims there."""

    service: ChannelService
    follower: ChannelFollower
    claimer: Claimer


class Onchain:
    """An installation at its venue: the chain, and the rooms that settle there.

    `turn` is held by whoever does an errand there: scheduler and requests take turns. Other
    processes are kept apart by the database and the contract.
    """

    def __init__(self, base: Installation, client: ChainClient, node: EmbeddedNode | None) -> None:
        self.base = base
        self.client = client
        self.node = node
        self.turn = threading.RLock()
        self.manager = TransactionManager(client, base.hub_signer(), _spending(base.settings))
        self.work = ChainWork(client, self.manager, base.store.write, base.clock)
        found = _pinned(base, client)
        self.is_new = found is None
        self.manifest = found or self._deploy()
        self.house = ClearingHouse(self.manifest.clearing_house)
        self.index = _index(client, self.manifest)
        self.relayer = _relayer(self.manager, self.manifest, base.settings)
        settings, identity = base.settings, base.identity
        self.rewards = RewardService(self.manifest.asset, self.manifest.token)
        self.clearing = ClearingService(
            ClearingPorts(
                rater=base.rating,
                directory=identity.directory,
                members=identity.directory,
                notary=identity.notary,
                entropy=base.entropy,
            ),
            asset=self.manifest.asset,
            mode=NettingMode[settings.netting.upper()],
            policy=ClearingPolicy(
                one_sided_window_us=settings.one_sided_window_s * SECOND_US,
                one_sided_cap_minor=settings.one_sided_cap_minor,
            ),
        )
        self.settlement = SettlementService(
            _venue(self.manifest),
            SettlementPorts(
                usage=base.usage,
                rater=base.rating,
                clearing=self.clearing,
                rewards=self.rewards,
                members=identity.directory,
                notary=identity.notary,
            ),
            self.manager,
            client,
        )
        self.paywall = PaywallService(
            Till(
                asset=self.manifest.asset,
                chain_id=self.manifest.chain_id,
                token=self.manifest.token,
                address=base.till_signer().address,
                from_block=self.manifest.from_block,
                owner=base.hub.party_id,
            ),
            self.manager,
            client,
            identity.directory,
            timeout_s=settings.payment_timeout_s,
        )
        self.stakes = _stakes(self.manifest, client)
        self.channels = self._channels()
        self.channel_sales = self._channel_sales()
        self.issuer = Issuer(
            self.manifest,
            proofs=self.clearing,
            agreements=base.rating,
            settlements=_Settlements(self.settlement),
        )

    @property
    def channel_venue(self) -> ChannelVenue | None:
        """Where channels are at this venue, None in one that has none."""
        manifest = self.manifest
        if BatchChannels.NAME not in manifest.contracts:
            return None
        return ChannelVenue(
            asset=manifest.asset,
            chain_id=manifest.chain_id,
            contract=manifest.at(BatchChannels),
            collector=manifest.at(Erc3009DepositCollector),
            token=manifest.token,
            token_domain=StableToken(manifest.token).signing_domain().ask(self.client),
            from_block=manifest.from_block,
        )

    def _channels(self) -> Channels | None:
        venue, base = self.channel_venue, self.base
        if venue is None:
            return None
        directory, notary = base.identity.directory, base.identity.notary
        settings = _channel_settings(base.settings)
        ports = ChannelPorts(prices=base.rating, directory=directory, notary=notary)
        return Channels(
            service=ChannelService(venue, ports, settings),
            follower=ChannelFollower(venue, self.client),
            claimer=Claimer(venue, self.manager, self.relayer, self.client, notary, settings),
        )

    def _channel_sales(self) -> ChannelSales | None:
        """Return what sells for vouchers: only where x402's clients look for channels."""
        venue, base = self.channel_venue, self.base
        if venue is None or venue.contract != X402_SETTLEMENT_ADDRESS:
            return None
        assert base.hub.address is not None
        purchases = Purchases(
            venue,
            _channel_settings(base.settings),
            seller=base.hub.party_id,
            receiver=base.hub.address,
        )
        return ChannelSales(purchases, self.manager)

    def work_of(self, signer: KeySigner) -> ChainWork:
        """Return the errands of another key at this venue, under the same caps as the hub's."""
        base = self.base
        manager = TransactionManager(self.client, LocalSigner.of(signer), _spending(base.settings))
        return ChainWork(self.client, manager, base.store.write, base.clock)

    def chain_now_s(self) -> int:
        """Return a second the next block is not before: our clock's or, elsewhere, the head's."""
        head = self.client.block()
        if head is None:
            raise ChainUnavailableError("the chain has no head", outcome_unknown=False)
        if self.node is None:
            return head.timestamp_s
        return max(head.timestamp_s, self.base.clock.now_us() // SECOND_US)

    def enrol(self) -> int:
        """Register every member of the domain with the clearing house; return how many were new."""
        with self.base.store.read() as unit:
            members = self.base.identity.directory.members(unit)
        new, token = 0, self.manifest.token
        for address in sorted(members.values()):
            if not self.house.is_member(token, address).ask(self.client):
                intent = derive("member", self.manifest.clearing_house, address)
                self.work.do(intent, self.house.set_member(token, address, registered=True))
                new += 1
        return new

    def _deploy(self) -> Manifest:
        settings = self.base.settings
        manifest = deploy(
            self.work,
            domain=settings.domain,
            house=HouseTerms(
                notice_s=settings.withdrawal_notice_s,
                mandate_interval_s=settings.mandate_interval_s,
                bond_ppm=settings.dispute_bond_ppm,
                arbitration_s=settings.arbitration_s,
            ),
            rulebook_hash=rulebook_hash(
                domain=settings.domain,
                netting=settings.netting,
                one_sided_window_s=settings.one_sided_window_s,
            ),
            rewards=RewardTerms(
                guardian=self._guardian(settings.rewards_guardian), delay_s=settings.rewards_delay_s
            ),
            standing=_standing(settings),
            stakes=StakeTerms(
                tiers=read_tiers(settings.stake_tiers), cap_ppm=settings.stake_cap_ppm
            ),
        )
        temporary = self.base.folder.manifest.with_suffix(".tmp")
        temporary.write_text(manifest.to_json())
        temporary.replace(self.base.folder.manifest)
        return manifest

    def _guardian(self, text: str) -> Address:
        if not text:
            return self.manager.sender
        found = read_address(text)
        if isinstance(found, Refusal):
            raise ConfigError(f"rewards_guardian: {found.detail}")
        return found


class _Settlements:
    """Tells receipts how a cycle was settled."""

    def __init__(self, settlement: SettlementService) -> None:
        self._settlement = settlement

    def settled(self, unit: Connection, cycle_id: Id) -> Settled | None:
        """Return how a cycle was settled, None before it is final."""
        for attempt in self._settlement.attempts(unit, cycle_id):
            if attempt.state is AttemptState.FINAL:
                assert attempt.tx_hash is not None, "a final attempt has its transaction"
                return Settled(
                    sequence=attempt.order.sequence,
                    cycle_id=cycle_id,
                    settlement_id=attempt.order.settlement_id,
                    tx_hash=attempt.tx_hash,
                )
        return None


def load_settings(folder: Folder, flags: Mapping[str, Any]) -> config.Loaded:
    """Merge defaults, the folder's file, the environment and flags."""
    return config.load(file=folder.config, environ=os.environ, flags=flags)


def open_installation(
    folder: Folder,
    settings: Settings,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> Installation:
    """Open a data folder; what is missing in it is made."""
    return Installation(
        folder, settings, clock=clock or SystemClock(), entropy=entropy or SystemEntropy()
    )


@contextmanager
def onchain(base: Installation) -> Iterator[Onchain]:
    """Open the installation's chain: the running process's, our own file, or a remote one.

    `FolderError` where that chain does not answer or is not the one its venue stands on,
    `ConfigError` where the settings name none.
    """
    running = base.folder.running()
    if base.settings.chain != "embedded:":
        yield Onchain(base, _public(base), None)
    elif base.settings.chain_second:
        raise ConfigError("an embedded chain has no second endpoint: unset chain_second")
    elif running is not None:
        yield Onchain(base, _remote(base, running.rpc, ""), None)
    else:
        _see_that_it_is_here(base)
        with embedded_node(base) as node:
            yield Onchain(base, connect("embedded:", node=node), node)


def _public(base: Installation) -> ChainClient:
    """Open a public chain: through one endpoint, or through two that must agree."""
    settings = base.settings
    first = _remote(base, settings.chain, settings.finality)
    if not settings.chain_second:
        return first
    return QuorumClient(first, _remote(base, settings.chain_second, settings.finality))


def _remote(base: Installation, url: str, finality: str) -> ChainClient:
    """Open a chain's JSON-RPC, with the profile that is set, else the venue's own."""
    manifest = base.manifest()
    text = finality or (manifest.finality if manifest else REMOTE_FINALITY)
    try:
        profile = Finality.parse(text)
    except ValueError:
        raise ConfigError(f"finality is depth:N, safe or finalized, not {text!r}") from None
    try:
        return connect(url, finality=profile)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except ChainUnavailableError as error:
        raise FolderError(
            f"the chain at {url} does not answer ({error})",
            "see that its node runs and that --chain or config.toml names it",
        ) from None


def _see_that_it_is_here(base: Installation) -> None:
    manifest = base.manifest()
    if manifest is not None and not base.folder.chain.exists():
        raise FolderError(
            f"the venue of {base.folder.root} stands on chain {manifest.chain_id}, elsewhere",
            f'write chain = "URL" into {base.folder.config}',
        )


def _pinned(base: Installation, client: ChainClient) -> Manifest | None:
    """Return the folder's venue, checked against the chain."""
    manifest = base.manifest()
    if manifest is not None:
        try:
            check_venue(manifest, client)
        except PeerError as error:
            raise FolderError(
                f"the venue of {base.folder.root} is not on this chain: {error}",
                f"name the chain that {base.folder.manifest} pins",
            ) from None
    return manifest


@contextmanager
def embedded_node(base: Installation) -> Iterator[EmbeddedNode]:
    """Open the folder's own chain, funding the hub's key where the chain begins.

    It begins with our channels at x402's address where the settings ask for that.
    """
    assert base.hub.address is not None
    chain_id, begins = base.settings.chain_id, not base.folder.chain.exists()
    wanted = begins and base.settings.channels == X402
    settings = NodeSettings(
        chain_id=chain_id,
        genesis={base.hub.address: GENESIS_WEI},
        code=x402_codes(chain_id, base.clock) if wanted else {},
    )
    node = EmbeddedNode.open(base.folder.chain, settings, base.clock)
    try:
        yield node
    finally:
        node.close()


def _sealing_key(folder: Folder, entropy: Entropy) -> FileSealingKey:
    if folder.seal_key.exists():
        return FileSealingKey.load(folder.seal_key)
    if folder.database.exists():
        raise FolderError(
            f"{folder.seal_key} is missing",
            "put it back from its backup: without it no secret of this folder opens",
        )
    return FileSealingKey.make(folder.seal_key, entropy)


def _spending(settings: Settings) -> SpendingPolicy:
    return SpendingPolicy(
        transaction_max_wei=settings.gas_transaction_max_wei,
        day_max_wei=settings.gas_day_max_wei,
        purposes_day_max_wei={
            PAYMENT: settings.gas_payments_day_max_wei,
            RELAY: settings.relay_day_max_wei,
        },
    )


def _standing(settings: Settings) -> dict[type[Contract], Address]:
    """Return the contracts that a new venue finds there and does not put up."""
    if settings.channels == OWN:
        return {}
    if settings.channels == X402:
        return {
            BatchChannels: X402_SETTLEMENT_ADDRESS,
            Erc3009DepositCollector: X402_COLLECTOR_ADDRESS,
        }
    raise ConfigError(f"channels is {OWN} or {X402}, not {settings.channels!r}")


def _stakes(manifest: Manifest, client: ChainClient) -> StakeFollower | None:
    """Follow the venue's stake contract; None at a venue that was put up before there was one."""
    if StakeDiscount.NAME not in manifest.contracts:
        return None
    venue = StakeVenue(
        contract=manifest.at(StakeDiscount),
        chain_id=manifest.chain_id,
        asset=manifest.asset,
        from_block=manifest.from_block,
    )
    return StakeFollower(venue, client)


def _index(client: ChainClient, manifest: Manifest) -> Indexer:
    where = {name: pinned.address for name, pinned in manifest.contracts.items()}
    return Indexer(client, folds_of(where), from_block=manifest.from_block)


def _relayer(manager: TransactionManager, manifest: Manifest, settings: Settings) -> Relayer:
    policy = RelayPolicy(payer_day_max_wei=settings.relay_payer_day_max_wei)
    return Relayer(manager, sponsorship(manifest), policy)


def _channel_settings(settings: Settings) -> ChannelSettings:
    return ChannelSettings(
        slice_octets=settings.slice_octets,
        slice_s=settings.slice_s,
        free_octets=settings.free_octets,
        free_s=settings.free_s,
        lease_s=settings.channel_lease_s,
        lease_minor=settings.channel_lease_minor,
        claim_minor=settings.channel_claim_minor,
    )


def _venue(manifest: Manifest) -> Venue:
    return Venue(
        domain=manifest.domain,
        asset=manifest.asset,
        chain_id=manifest.chain_id,
        token=manifest.token,
        clearing_house=manifest.clearing_house,
        distributor=manifest.distributor,
        rulebook_hash=bytes.fromhex(manifest.rulebook_hash[2:]),
        from_block=manifest.from_block,
    )
