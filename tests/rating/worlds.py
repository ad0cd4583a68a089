"""A small world for rating: three operators with keys, hosts, nodes, subscribers, a ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from sqlalchemy import Connection
from tests.memory import ENGINE, lay

from opencarrier.kernel.clock import SECOND_US, Window
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.ledger import audit, chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.ledger.store import metadata as ledger_metadata
from opencarrier.rating.agreements.rows import AnyAgreement, signers_of
from opencarrier.rating.desk import RatingSettings
from opencarrier.rating.model import Agreement, Price, RetailPlan, Tariff
from opencarrier.rating.service import RatingService
from opencarrier.rating.store import metadata
from opencarrier.spine import ids
from opencarrier.spine.access import WIFI, AuthorisationRequest, Credential, Grant, Offered, Rate
from opencarrier.spine.money import Charge, Discount, StakeReading, Suspense
from opencarrier.spine.parties import Host, Node, Operator, PartyId, RadiusClient, Subscriber
from opencarrier.spine.usage import ZERO, Counters, Rung, Usage

ASSET = AssetId("eip155:31337/erc20:0x" + "ab" * 20)
START_US = 1_700_000_000 * SECOND_US
DAY_US = 86_400 * SECOND_US
KIB = 1024
HOME, VISITED, THIRD = (PartyId(f"op_{number:032x}") for number in (1, 2, 3))
HOST, PROTOCOL, TAX = (
    PartyId("host_" + "4" * 32),
    PartyId("op_" + "5" * 32),
    PartyId("tax_" + "6" * 32),
)
STAKES, STAKER = Address("0x" + "5a" * 20), Address("0x" + "57" * 20)
SUBSCRIBER = PartyId("sub_" + "7" * 32)
SIGNERS = {
    party: KeySigner(number.to_bytes(32, "big"))
    for number, party in enumerate((HOME, VISITED, THIRD), start=1)
}


def price(**changes: object) -> Price:
    """Return 1,000 nano per begun KiB, no minimum, no tax, in force for ten days."""
    terms: dict[str, object] = {
        "window": Window(START_US, START_US + 10 * DAY_US),
        "unit": "octets_total",
        "step": KIB,
        "price_nano": 1_000,
        "minimum_minor": 0,
        "tax_ppm": 0,
        "tax_included": False,
    }
    return Price(**{**terms, **changes})  # type: ignore[arg-type]


def tariff(**changes: object) -> Tariff:
    """Return a tariff whose host has 60 percent."""
    terms = price(**{name: value for name, value in changes.items() if name != "host_ppm"})
    fields = {name: getattr(terms, name) for name in Price.__slots__}
    return Tariff(host_ppm=changes.get("host_ppm", 600_000), **fields)  # type: ignore[arg-type]


def agreement(
    *tariffs: Tariff, home: PartyId = HOME, visited: PartyId = VISITED, protocol_ppm: int = 10_000
) -> Agreement:
    return Agreement(
        home=home,
        home_address=SIGNERS[home].address,
        visited=visited,
        visited_address=SIGNERS[visited].address,
        asset=ASSET,
        protocol_party=PROTOCOL,
        protocol_ppm=protocol_ppm,
        tax_party=TAX,
        tariffs=tariffs or (tariff(),),
    )


def plan(**changes: object) -> RetailPlan:
    """Return 2,000 nano per KiB at up to 1 MiB/s, an hour at most, an interim every 5 minutes."""
    terms: dict[str, object] = {
        "plan_id": "standard",
        "home": HOME,
        "asset": ASSET,
        "price": price(price_nano=2_000),
        "rate_cap_octets_per_s": KIB * KIB,
        "session_s_max": 3_600,
        "interim_s": 300,
    }
    return RetailPlan(**{**terms, **changes})  # type: ignore[arg-type]


def counters(octets: int, *, seconds: int = 60, octets_out: int = 0) -> Counters:
    return Counters(session_time_s=seconds, octets_in=octets, octets_out=octets_out)


def usage(
    name: str = "s1",
    *,
    before: Counters = ZERO,
    after: Counters | None = None,
    grant: Grant | None = None,
    closed: bool = False,
    home: PartyId | None = HOME,
    visited: PartyId = VISITED,
    node_id: str | None = "node-1",
    start_us: int = START_US,
) -> Usage:
    """Return a usage of the session called `name`."""
    after = after or counters(100 * KIB)
    session = derive("test-session", name)
    return Usage(
        usage_id=ids.usage_id(session, before, after),
        session_id=session,
        authorisation_id=None if grant is None else grant.authorisation_id,
        home=home,
        visited=visited,
        node_id=node_id,
        subject="",
        counters_from=before,
        counters_to=after,
        start_us=start_us,
        end_us=start_us + SECOND_US,
        weak=grant is None,
        closed_by="stop" if closed else "",
        rung=Rung.ONE_SIDED if grant is None else Rung.CO_SIGNED,
    )


@dataclass
class Directory:
    """Who is who; everybody else is unknown."""

    nodes: dict[str, Node] = field(default_factory=dict)

    def client(self, unit: Connection, source: str) -> RadiusClient | None:
        return None

    def node(self, unit: Connection, nas_identifier: str) -> Node | None:
        return None

    def node_by_id(self, unit: Connection, node_id: str) -> Node | None:
        return self.nodes.get(node_id)

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

    def operators(self, unit: Connection) -> Sequence[Operator]:
        return ()

    def home_of(self, unit: Connection, realm: str) -> Operator | None:
        return None

    def host(self, unit: Connection, party_id: PartyId) -> Host | None:
        return None

    def subscriber(self, unit: Connection, party_id: PartyId) -> Subscriber | None:
        return None

    def subscriber_by_imsi(self, unit: Connection, imsi: str) -> Subscriber | None:
        return None

    def subscribers_by(
        self, unit: Connection, credentials: Collection[Credential]
    ) -> Mapping[Credential, Subscriber]:
        return {}


@dataclass
class Usages:
    """Every usage there ever was."""

    known: dict[Id, Usage] = field(default_factory=dict)

    def cut(self, unit: Connection, *, cycle_id: Id, cut_us: int) -> Sequence[Usage]:
        return ()

    def usage(self, unit: Connection, usage_id: Id) -> Usage | None:
        return self.known.get(usage_id)


@dataclass
class Stakes:
    """The same stake behind everybody, locked for ever and with a cap nobody reaches."""

    value_ppm: int = 0
    cap_minor: int = 1 << 62
    unlock_at_s: int = 1 << 40
    lock_began_s: int = 1
    asset: AssetId = ASSET

    def staked(self, unit: Connection, subscribers: Collection[PartyId]) -> set[PartyId]:
        return set(subscribers)

    def discount(
        self, unit: Connection, subscriber: PartyId, *, seller: PartyId, at_us: int
    ) -> Discount | None:
        if self.value_ppm == 0:
            return None
        return Discount(
            ppm=self.value_ppm,
            reading=StakeReading(contract=STAKES, account=STAKER, timepoint_s=at_us // SECOND_US),
            unlock_at_s=self.unlock_at_s,
            lock_began_s=self.lock_began_s,
            asset=self.asset,
            cap_minor=self.cap_minor,
        )


class World:
    """An installation in memory, with a clock in the test's hand."""

    def __init__(self, settings: RatingSettings | None = None) -> None:
        self.unit = ENGINE.connect()
        lay(self.unit, metadata, ledger_metadata)
        self.at_us = START_US
        node = Node(node_id="node-1", nas_identifier="ap-1", operator=VISITED, host=HOST)
        self.node = node
        self.directory = Directory({"node-1": node})
        self.usages = Usages()
        self.discount = Stakes()
        self.service = RatingService(
            directory=self.directory,
            usages=self.usages,
            entropy=SeededEntropy(7),
            discounts=self.discount,
            settings=settings or RatingSettings(),
        )
        self.cycle = 0
        self.funded = 0

    def close(self) -> None:
        self.unit.close()

    def agree(self, item: AnyAgreement) -> Refusal | None:
        parties = sorted(set(signers_of(item).values()))
        signatures = [SIGNERS[party].sign(item.hash) for party in parties]
        return self.service.add_agreement(self.unit, item, signatures, at_us=self.at_us)

    def offer(self, item: RetailPlan) -> Refusal | None:
        return self.service.add_plan(self.unit, item, at_us=self.at_us)

    def fund(self, debit: str, credit: str, amount_minor: int) -> None:
        self.funded += 1
        ledger.ensure(self.unit, ASSET, [debit, credit])
        transfer = Transfer(
            transfer_id=derive("transfer", "fund", self.funded),
            asset=ASSET,
            debit=debit,
            credit=credit,
            amount_minor=amount_minor,
            code="fund",
        )
        assert ledger.apply(self.unit, [transfer], self.at_us) == [None]

    def top_up(self, amount_minor: int, subscriber: PartyId = SUBSCRIBER) -> None:
        self.fund(chart.funding(HOME), chart.prepaid(subscriber), amount_minor)

    def deposit(self, amount_minor: int, party: PartyId = HOME) -> None:
        self.fund(chart.CUSTODY, chart.collateral(party), amount_minor)

    def authorise(
        self,
        *,
        subscriber: PartyId = SUBSCRIBER,
        plan_id: str = "standard",
        visited: PartyId = VISITED,
        offered: Offered = WIFI,
        rates: tuple[Rate, ...] = (),
    ) -> Grant | Refusal:
        request = AuthorisationRequest(
            subscriber=Subscriber(party_id=subscriber, home=HOME, plan_id=plan_id),
            visited=visited,
            node=self.node,
            at_us=self.at_us,
            offered=offered,
            rates=rates,
        )
        return self.service.authorise(self.unit, request)

    def granted(self, **where: object) -> Grant:
        grant = self.authorise(**where)  # type: ignore[arg-type]
        assert isinstance(grant, Grant), str(grant)
        return grant

    def rate(self, *items: Usage) -> tuple[Sequence[Charge], Sequence[Suspense]]:
        """Rate usages in a new cycle."""
        self.cycle += 1
        return self.again(*items)

    def again(self, *items: Usage) -> tuple[Sequence[Charge], Sequence[Suspense]]:
        """Rate usages in the same cycle as before."""
        for item in items:
            self.usages.known[item.usage_id] = item
        cycle_id = ids.cycle_id("test", ASSET, self.cycle)
        return self.service.rate(self.unit, cycle_id=cycle_id, usages=items, at_us=self.at_us)

    def posted(self, name: str) -> int:
        return ledger.balance(self.unit, ASSET, name).posted_minor

    def held(self, subscriber: PartyId = SUBSCRIBER) -> int:
        return ledger.balance(self.unit, ASSET, chart.prepaid(subscriber)).debits_pending

    def free(self, subscriber: PartyId = SUBSCRIBER) -> int:
        return ledger.balance(self.unit, ASSET, chart.prepaid(subscriber)).free_minor

    def balances(self) -> dict[str, tuple[int, int]]:
        """Return what stands and is held on every account, by name."""
        return {
            item.name: (item.balance.posted_minor, item.balance.debits_pending)
            for item in ledger.accounts(self.unit, ASSET)
        }

    def check(self) -> None:
        """Every book sums to zero and the ledger agrees with itself."""
        assert set(ledger.sum_minor(self.unit).values()) <= {0}
        assert audit.check(self.unit).findings == ()


def split(item: Usage, *cuts: Counters) -> list[Usage]:
    """Cut a usage at counters along the way; only the last part is closed."""
    points = [item.counters_from, *cuts, item.counters_to]
    parts = []
    for number, (before, after) in enumerate(pairwise(points)):
        parts.append(
            replace(
                item,
                usage_id=ids.usage_id(item.session_id, before, after),
                counters_from=before,
                counters_to=after,
                start_us=item.start_us + number,
                closed_by=item.closed_by if after == item.counters_to else "",
            )
        )
    return parts
