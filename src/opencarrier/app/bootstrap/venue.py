"""An installation at its venue: the chain, and the rooms that settle there, plugged together."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.bootstrap.installation import Installation
from opencarrier.app.config import ConfigError, Settings
from opencarrier.app.consenting import SettlementConsent
from opencarrier.app.folder import FolderError
from opencarrier.app.spanning import manager_of, settlement_of, stepped
from opencarrier.app.sponsoring import sponsorship
from opencarrier.app.venue import (
    ChainWork,
    RewardTerms,
    StakeTerms,
    deploy,
    read_tiers,
    rulebook_hash,
)
from opencarrier.bans.follower import BanFollower
from opencarrier.bans.service import BanService
from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import (
    X402_COLLECTOR_ADDRESS,
    X402_SETTLEMENT_ADDRESS,
    BatchChannels,
    ClearingHouse,
    Contract,
    Erc3009DepositCollector,
    HouseTerms,
    NodeRegistry,
    StableToken,
    StakeDiscount,
)
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.chain.index import Indexer, folds_of
from opencarrier.chain.keys import LocalSigner
from opencarrier.chain.node import EmbeddedNode
from opencarrier.chain.relay_rules import RelayPolicy
from opencarrier.chain.relayer import PURPOSE as RELAY
from opencarrier.chain.relayer import Relayer
from opencarrier.chain.rules import Policy as SpendingPolicy
from opencarrier.chain.transactions import TransactionManager
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
from opencarrier.identity.rules import read_address
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.paywall.by_channel import ChannelSales
from opencarrier.paywall.model import Till
from opencarrier.paywall.service import PURPOSE as PAYMENT
from opencarrier.paywall.service import PaywallService
from opencarrier.receipts.issue import Issuer, Settled
from opencarrier.receipts.manifest import Manifest, check_venue
from opencarrier.rewards.service import RewardService
from opencarrier.routing.measuring import MeasuredUse
from opencarrier.settlement.model import AttemptState, Venue
from opencarrier.settlement.orders import Ports as SettlementPorts
from opencarrier.settlement.service import SettlementService
from opencarrier.staking.follower import StakeFollower, StakeVenue

OWN, X402 = "own", "x402"
"""Whose place a venue's channels have: one of their own, or x402's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Pay as you use at a venue: its door, what follows the contract, and what claims there."""

    service: ChannelService
    follower: ChannelFollower
    claimer: Claimer


@dataclass(frozen=True, slots=True, kw_only=True)
class Bans:
    """Bans of nodes at a venue: what is kept of them, and what follows the contract."""

    service: BanService
    follower: BanFollower


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
        self.manager = self._manager(base.hub_signer())
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
        self.consent = _consent(base)
        self.settlement = self._settlement()
        self.paywall = PaywallService(
            _till(base, self.manifest),
            self.manager,
            client,
            identity.directory,
            timeout_s=settings.payment_timeout_s,
            announcer=base.webhooks,
        )
        self.stakes = _stakes(self.manifest, client)
        self.bans = _bans(self.manifest, client)
        self.channels = self._channels()
        self.channel_sales = self._channel_sales()
        issuer = Issuer(
            self.manifest,
            proofs=self.clearing,
            agreements=base.rating,
            settlements=_Settlements(self.settlement),
        )
        self.issuer = stepped(issuer, base.spans, issue="receipt")

    def _settlement(self) -> SettlementService:
        base, spans = self.base, self.base.spans
        return settlement_of(
            spans,
            _venue(self.manifest),
            SettlementPorts(
                usage=stepped(MeasuredUse(base.usage), spans, cut="cut"),
                rater=stepped(base.rating, spans, rate="rate", adjust="rate adjustments"),
                clearing=stepped(
                    self.clearing,
                    spans,
                    take="positions",
                    take_dues="positions of adjustments",
                    clear="net and tree",
                    finish="finish",
                ),
                rewards=stepped(self.rewards, spans, entitle="rewards tree"),
                members=base.identity.directory,
                notary=base.identity.notary,
                consent=self.consent,
                announcer=base.webhooks,
            ),
            self.manager,
            self.client,
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
        manager = self._manager(LocalSigner.of(signer))
        return ChainWork(self.client, manager, base.store.write, base.clock)

    def _manager(self, signer: LocalSigner) -> TransactionManager:
        return manager_of(self.base.spans, self.client, signer, _spending(self.base.settings))

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


def _till(base: Installation, manifest: Manifest) -> Till:
    return Till(
        asset=manifest.asset,
        chain_id=manifest.chain_id,
        token=manifest.token,
        address=base.till_signer().address,
        from_block=manifest.from_block,
        owner=base.hub.party_id,
    )


def _consent(base: Installation) -> SettlementConsent:
    settings = base.settings
    return SettlementConsent(
        base.accounts,
        base.webhooks,
        base.identity.directory.operators,
        people=settings.approval_people,
        above_minor=settings.approval_above_minor,
        ttl_s=settings.approval_s,
    )


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


def _bans(manifest: Manifest, client: ChainClient) -> Bans | None:
    """Follow the venue's bans; None at a venue that was put up before it had a registry."""
    if NodeRegistry.NAME not in manifest.contracts:
        return None
    address = manifest.at(NodeRegistry)
    domain = NodeRegistry(address).signing_domain(manifest.chain_id)
    follower = BanFollower(address, client, from_block=manifest.from_block)
    return Bans(service=BanService(domain), follower=follower)


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
