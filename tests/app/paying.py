"""A scene whose subscriber pays as it uses: real RADIUS, HTTP and chain in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.app.daemon import Serving, serving
from opencarrier.app.terms import Limits, Terms, draft_agreement, draft_plan
from opencarrier.app.venue import ChainWork
from opencarrier.chain.contracts import BatchChannels, StableToken
from opencarrier.chain.keys import LocalSigner
from opencarrier.chain.model import Call
from opencarrier.chain.transactions import TransactionManager
from opencarrier.channels.model import Channel, Mode
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import derive
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.ledger import service as ledger
from opencarrier.rating.rules import v1
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.payer import Payer
from opencarrier.sim.phone import Endpoint, PayingPhone
from opencarrier.sim.radio import Attached, Radio, RadioSettings, Report
from opencarrier.sim.usim import Usim
from opencarrier.spine.usage import Counters

from .scene import IMSI, OPC, SECOND_US, K, Scene, taken

MAIN = bytes(31) + b"\x09"
SECRET = b"0123456789abcdef"
REALM = "wlan.mnc093.mcc208.3gppnetwork.org"
MONEY_MINOR = 20_000_000
MIB = 1_048_576


@dataclass
class Paying:
    """A scene that answers, an access point, and Ada's wallet."""

    scene: Scene
    served: Serving
    radio: Radio
    payer: Payer
    usim: Usim

    @property
    def now_s(self) -> int:
        return self.scene.clock.now_us() // SECOND_US

    @property
    def channels(self):
        channels = self.scene.place.channels
        assert channels is not None
        return channels

    @property
    def contract(self) -> BatchChannels:
        return BatchChannels(self.channels.service.venue.contract)

    async def attach(self) -> tuple[Attached, PayingPhone]:
        """Attach by EAP-AKA', and reach the endpoint with the key that came of it."""
        peer = AkaPrimePeer(self.usim, REALM)
        attached = await self.radio.attach(peer)
        assert isinstance(attached, Attached), attached
        assert peer.keys is not None
        host, port = self.served.running.http.removeprefix("http://").split(":")
        endpoint = Endpoint((host, int(port)), peer.keys)
        return attached, PayingPhone(self.payer, endpoint, self.channels.service.settings)

    async def report(
        self, attached: Attached, status: AcctStatus, name: str, seconds: int, octets: int
    ) -> None:
        self.scene.clock.set(self.scene.clock.now_us() + SECOND_US)
        report = Report(
            status=status,
            acct_session_id=name,
            event_s=self.now_s,
            session_time_s=seconds,
            octets_in=0,
            octets_out=octets,
        )
        await self.radio.report(report, attached)

    async def opened(self, phone: PayingPhone, seller: Address, mode: Mode = Mode.HOME) -> None:
        """Open a channel of half of Ada's money and see it on the chain."""
        now_s, amount = self.now_s, MONEY_MINOR // 2
        told = await asyncio.to_thread(phone.open, seller, amount, mode=mode, now_s=now_s)
        assert told.status == 200, told
        await self.tend()

    async def tend(self, *, everything: bool = False):
        return await asyncio.to_thread(self.scene.errands.tend_channels, everything=everything)

    def withdraw(self, channel: Channel) -> None:
        """Let the payer announce that it takes everything back, with gas of its own."""
        place = self.scene.place
        coin = Call(to=self.payer.address, value_wei=10**17)
        place.work.do(derive("test", "coin"), coin)
        manager = TransactionManager(place.client, LocalSigner(MAIN))
        work = ChainWork(place.client, manager, place.base.store.write, place.base.clock)
        call = self.contract.initiate_withdraw(channel.config, channel.deposited_minor)
        work.do(derive("test", "withdraw"), call)

    def tokens(self, account: Address) -> int:
        place = self.scene.place
        return StableToken(place.manifest.token).balance_of(account).ask(place.client)

    def posted(self, name: str) -> int:
        place = self.scene.place
        with place.base.store.read() as unit:
            return ledger.balance(unit, place.manifest.asset, name).posted_minor

    def agrees(self) -> None:
        """Every book sums to zero, the ledger is whole, and contracts say the same."""
        place = self.scene.place
        with place.base.store.read() as unit:
            assert set(ledger.sum_minor(unit).values()) == {0}
            assert ledger.check(unit).findings == ()
            assert place.settlement.reconcile(unit, charges=True).agrees


@asynccontextmanager
async def paying(scene: Scene, *, day_cap_minor: int = 10**9) -> AsyncIterator[Paying]:
    """Serve a scene whose subscriber pays as it uses, from a wallet with money on chain."""
    place = scene.place
    channels = place.channels
    assert channels is not None
    base = place.base
    main = KeySigner(MAIN)
    mint = StableToken(place.manifest.token).mint(main.address, MONEY_MINOR)
    place.work.do(derive("test", "mint"), mint)
    with base.store.write() as unit:
        plan = base.rating.plans(unit)[0]
        taken(
            base.identity.clients.add(
                unit, prefix="127.0.0.1/32", secret=SECRET, operator=scene.visited.party_id
            )
        )
        channels.service.enrol(unit, scene.subscriber.party_id, Mode.HOME)

    def price(counters: Counters) -> int:
        legs = v1.retail_legs(plan.price, 0, counters)
        return legs.seller_minor + legs.tax_minor

    payer = Payer(
        channels.service.venue,
        channels.service.settings,
        main,
        SeededEntropy(4),
        price=price,
        day_cap_minor=day_cap_minor,
    )
    async with serving(place) as served:
        settings = RadioSettings(
            nas_identifier=scene.node.nas_identifier,
            secret=SECRET,
            auth=served.auth,
            acct=served.acct,
        )
        radio = await Radio.open(settings, SeededEntropy(3))
        try:
            yield Paying(scene, served, radio, payer, Usim(imsi=IMSI, k=K, opc=OPC))
        finally:
            radio.close()


def sell_directly(made: Scene) -> None:
    """Let the visited operator sell to whoever comes: an agreement with itself, a plan."""
    base, asset = made.place.base, made.place.manifest.asset
    terms = {"unit": "octets_total", "step": 1024, "minimum_minor": 0}
    wholesale = Terms(price_nano=1_900, tax_ppm=180_000, **terms)
    retail = Terms(price_nano=5_200, tax_ppm=200_000, **terms)
    limits = Limits(rate_cap_octets_per_s=250_000, session_s_max=3_600, interim_s=300)
    at_us = made.clock.now_us()
    with base.store.write() as unit:
        agreement = taken(
            draft_agreement(
                base,
                unit,
                asset,
                home="Visited",
                visited="Visited",
                terms=wholesale,
                host_ppm=600_000,
                protocol_ppm=10_000,
            )
        )
        signatures = base.rating.sign_agreement(unit, agreement, base.identity.notary)
        taken(base.rating.add_agreement(unit, agreement, signatures, at_us=at_us))
        plan = draft_plan(
            base, unit, asset, operator="Visited", plan_id="prepaid", terms=retail, limits=limits
        )
        taken(base.rating.add_plan(unit, taken(plan), at_us=at_us))
