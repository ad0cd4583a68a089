"""A small world of channels: a home and a visited operator, real rating and books, no chain."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection
from tests.memory import ENGINE, lay

from opencarrier.chain.typed_data import ChannelConfig, SigningDomain
from opencarrier.channels import store
from opencarrier.channels.book import ChannelBook
from opencarrier.channels.model import (
    Channel,
    ChannelSettings,
    ChannelVenue,
    Deposit,
    Mode,
    Payment,
)
from opencarrier.channels.rules import Standing
from opencarrier.channels.service import ChannelService, Ports
from opencarrier.kernel.clock import SECOND_US, Window
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, KeySigner, Signature
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.ledger.store import metadata as ledger_metadata
from opencarrier.rating.desk import RatingSettings
from opencarrier.rating.model import Agreement, Price, RetailPlan, Tariff
from opencarrier.rating.rules import v1
from opencarrier.rating.service import RatingService
from opencarrier.rating.store import metadata as rating_metadata
from opencarrier.sim.payer import Asked, Payer
from opencarrier.spine.access import AuthorisationRequest, Grant
from opencarrier.spine.money import Discount, StakeReading
from opencarrier.spine.parties import Node, Operator, PartyId, Subscriber
from opencarrier.spine.usage import Counters, Usage

ASSET = AssetId("eip155:31337/erc20:0x" + "ab" * 20)
STAKES, ACCOUNT = Address("0x" + "5c" * 20), Address("0x" + "ac" * 20)
START_US = 1_700_000_000 * SECOND_US
START_S = START_US // SECOND_US
DAY_US = 86_400 * SECOND_US
KIB = 1024
HOME, VISITED = (PartyId(f"op_{number:032x}") for number in (1, 2))
HOST, PROTOCOL, TAX = (
    PartyId("host_" + "4" * 32),
    PartyId("op_" + "5" * 32),
    PartyId("tax_" + "6" * 32),
)
ADA = Subscriber(party_id=PartyId("sub_" + "7" * 32), home=HOME, plan_id="standard")
SIGNERS = {
    party: KeySigner(number.to_bytes(32, "big"))
    for number, party in enumerate((HOME, VISITED), start=1)
}
TOKEN, CONTRACT, COLLECTOR = (Address("0x" + pair * 20) for pair in ("ab", "cd", "ef"))
TOKEN_DOMAIN = SigningDomain(name="Demo Dollar", version="1", chain_id=31337, contract=TOKEN)
VENUE = ChannelVenue(
    asset=ASSET,
    chain_id=31337,
    contract=CONTRACT,
    collector=COLLECTOR,
    token=TOKEN,
    token_domain=TOKEN_DOMAIN,
)
SETTINGS = ChannelSettings(
    slice_octets=100 * KIB,
    slice_s=60,
    free_octets=10 * KIB,
    lease_s=600,
    lease_minor=100_000,
    skew_s=5,
    deposit_minor_min=1_000,
)
NODES = [f"node-{number}" for number in range(1, 6)]


class Directory:
    """Two operators; everybody else is unknown."""

    def __init__(self) -> None:
        self.nodes = {
            name: Node(node_id=name, nas_identifier=f"nas-{name}", operator=VISITED, host=HOST)
            for name in NODES
        }

    def operator(self, unit: Connection, party_id: PartyId) -> Operator | None:
        if party_id not in SIGNERS:
            return None
        return Operator(
            party_id=party_id,
            name=party_id,
            address=SIGNERS[party_id].address,
            jurisdiction="FR",
            realms=(),
            plmns=(),
        )

    def node_by_id(self, unit: Connection, node_id: str) -> Node | None:
        return self.nodes.get(node_id)


class Notary:
    """Holds the operators' keys."""

    def sign(self, unit: Connection, address: Address, digest: bytes) -> Signature | None:
        for signer in SIGNERS.values():
            if signer.address == address:
                return signer.sign(digest)
        return None


class Usages:
    def usage(self, unit: Connection, usage_id: Id) -> Usage | None:
        return None


@dataclass
class Discounts:
    """A stake of somebody's that carries as much as anybody uses."""

    ppm: int = 0

    def staked(self, unit: Connection, subscribers: Collection[PartyId]) -> set[PartyId]:
        return set(subscribers)

    def discount(
        self, unit: Connection, subscriber: PartyId, *, seller: PartyId, at_us: int
    ) -> Discount | None:
        if not self.ppm:
            return None
        at_s = at_us // SECOND_US
        reading = StakeReading(contract=STAKES, account=ACCOUNT, timepoint_s=at_s - 1)
        return Discount(
            ppm=self.ppm,
            reading=reading,
            unlock_at_s=at_s + 10**7,
            lock_began_s=at_s - 1,
            asset=ASSET,
            cap_minor=10**15,
        )


@dataclass
class World:
    """An installation in memory, with a clock in the test's hand."""

    settings: ChannelSettings = SETTINGS
    price: Price = field(default_factory=lambda: price(2_000))
    discount_ppm: int = 0
    venue: ChannelVenue = VENUE
    unit: Connection = field(default_factory=ENGINE.connect)

    def __post_init__(self) -> None:
        lay(self.unit, rating_metadata, ledger_metadata, store.metadata)
        self.at_us = START_US
        self.directory = Directory()
        self.book = ChannelBook()
        self.rating = RatingService(
            directory=self.directory,
            usages=Usages(),
            entropy=SeededEntropy(7),
            discounts=Discounts(self.discount_ppm),
            sales=self.book,
            settings=RatingSettings(collateral_gate=False),
        )
        self.channels = self.service(books=True)
        self.entropy = SeededEntropy(9)
        self._agree()

    def service(self, *, books: bool) -> ChannelService:
        ports = Ports(prices=self.rating, directory=self.directory, notary=Notary())
        return ChannelService(self.venue, ports, self.settings, books=books)

    @property
    def now_s(self) -> int:
        return self.at_us // SECOND_US

    def close(self) -> None:
        self.unit.close()

    def authorise(self, node: str = "node-1", subscriber: Subscriber = ADA) -> Grant:
        request = AuthorisationRequest(
            subscriber=subscriber,
            visited=VISITED,
            node=self.directory.nodes[node],
            at_us=self.at_us,
        )
        grant = self.rating.authorise(self.unit, request)
        assert isinstance(grant, Grant), grant
        return grant

    def payer(self, *, day_cap_minor: int = 10**9, seed: int = 5) -> Payer:
        return Payer(
            self.venue,
            self.settings,
            KeySigner(bytes(31) + bytes((seed,))),
            SeededEntropy(seed),
            price=self.priced,
            day_cap_minor=day_cap_minor,
        )

    def priced(self, counters: Counters) -> int | None:
        """The phone's own reading of the plan."""
        if not v1.fits(self.price, v1.quantity(self.price.unit, counters), self.discount_ppm):
            return None
        legs = v1.retail_legs(self.price, self.discount_ppm, counters)
        return legs.seller_minor + legs.tax_minor

    def registered(self, payer: Payer, *, deposit_minor: int = 50_000) -> Channel:
        """Open a channel whose deposit is not on the chain yet."""
        self.channels.enrol(self.unit, ADA.party_id, Mode.HOME)
        seller = SIGNERS[HOME].address
        config, deposit = payer.open(seller, deposit_minor, now_s=self.now_s)
        return self.registered_as(config, deposit)

    def registered_as(self, config: ChannelConfig, deposit: Deposit) -> Channel:
        made = self.channels.register(
            self.unit,
            subscriber=ADA.party_id,
            seller=HOME,
            mode=Mode.HOME,
            config=config,
            deposit=deposit,
            at_us=self.at_us,
        )
        assert isinstance(made, Channel), made
        return made

    def opened(self, payer: Payer, *, deposit_minor: int = 50_000, mode: Mode = Mode.HOME) -> Id:
        """Open a channel and see its deposit on the chain."""
        self.channels.enrol(self.unit, ADA.party_id, mode)
        grant = self.authorise()
        seller = SIGNERS[HOME if mode is Mode.HOME else VISITED].address
        config, deposit = payer.open(seller, deposit_minor, now_s=self.now_s)
        made = self.channels.open(self.unit, grant, mode, config, deposit, at_us=self.at_us)
        assert not isinstance(made, Refusal), made
        store.put_channel(self.unit, replace(made, deposited_minor=deposit_minor))
        return made.channel_id

    def begun(self, channel_id: Id, *, node: str = "node-1", name: str = "s1") -> Standing:
        grant = self.authorise(node)
        begun = self.channels.begin(
            self.unit, grant, channel_id, derive("test-session", name), at_us=self.at_us
        )
        assert isinstance(begun, Standing), begun
        return begun

    def asked(self, standing: Standing) -> Asked:
        """What the seller asks the phone for."""
        session = standing.session
        return Asked(
            session_id=session.session_id,
            tariff_hash=session.tariff_hash,
            base_minor=session.base_minor,
        )

    def pay(self, payment: Payment | Refusal) -> Standing | Refusal:
        assert isinstance(payment, Payment), payment
        return self.channels.pay(self.unit, payment, at_us=self.at_us)

    def paid(self, payment: Payment | Refusal) -> Standing:
        taken = self.pay(payment)
        assert isinstance(taken, Standing), taken
        return taken

    def posted(self, name: str) -> int:
        return ledger.balance(self.unit, ASSET, name).posted_minor

    def check(self) -> None:
        assert set(ledger.sum_minor(self.unit).values()) <= {0}
        audit = ledger.check(self.unit)
        assert audit.findings == ()

    def top_up(self, amount_minor: int) -> None:
        debit, credit = chart.funding(HOME), chart.prepaid(ADA.party_id)
        ledger.ensure(self.unit, ASSET, [debit, credit])
        transfer = Transfer(
            transfer_id=derive("transfer", "top-up", amount_minor),
            asset=ASSET,
            debit=debit,
            credit=credit,
            amount_minor=amount_minor,
            code="top-up",
        )
        assert ledger.apply(self.unit, [transfer], self.at_us) == [None]

    def _agree(self) -> None:
        for home, visited in ((HOME, VISITED), (VISITED, VISITED)):
            item = Agreement(
                home=home,
                home_address=SIGNERS[home].address,
                visited=visited,
                visited_address=SIGNERS[visited].address,
                asset=ASSET,
                protocol_party=PROTOCOL,
                protocol_ppm=10_000,
                tax_party=TAX,
                tariffs=(tariff(),),
            )
            signatures = [SIGNERS[party].sign(item.hash) for party in {home, visited}]
            assert self.rating.add_agreement(self.unit, item, signatures, at_us=self.at_us) is None
        for home in (HOME, VISITED):
            plan = RetailPlan(
                plan_id="standard",
                home=home,
                asset=ASSET,
                price=self.price,
                rate_cap_octets_per_s=KIB * KIB,
                session_s_max=3_600,
                interim_s=300,
            )
            assert self.rating.add_plan(self.unit, plan, at_us=self.at_us) is None


def price(price_nano: int, **changes: object) -> Price:
    terms: dict[str, object] = {
        "window": Window(START_US, START_US + 10 * DAY_US),
        "unit": "octets_total",
        "step": KIB,
        "price_nano": price_nano,
        "minimum_minor": 0,
        "tax_ppm": 0,
        "tax_included": False,
    }
    return Price(**{**terms, **changes})  # type: ignore[arg-type]


def tariff() -> Tariff:
    terms = price(1_000)
    return Tariff(host_ppm=600_000, **{name: getattr(terms, name) for name in Price.__slots__})


def counters(octets: int, *, seconds: int = 10, octets_out: int = 0) -> Counters:
    return Counters(session_time_s=seconds, octets_in=octets, octets_out=octets_out)


def refused(outcome: object) -> str:
    """Return why something was refused."""
    assert isinstance(outcome, Refusal), outcome
    return outcome.code
