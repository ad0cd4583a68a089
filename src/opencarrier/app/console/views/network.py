"""What the network page shows, and what the API says of the same: one computation for both."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from opencarrier.access.model import Metrics
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.story import Happening
from opencarrier.app.console.traffic import Flow
from opencarrier.app.console.visitor import Visitor
from opencarrier.app.console.watch import Watch
from opencarrier.app.views import CycleLine, cycle_line
from opencarrier.identity import pages
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.identity.model import PartyKind
from opencarrier.identity.places.model import EARTH, Cell
from opencarrier.kernel.clock import SECOND_US
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.spine.parties import PartyId

CYCLES_SHOWN = 8
ROWS_SHOWN = 10
STORY_SHOWN = 30
LIVE_NODES_MAX = 500
VIEWS_MAX = 64
FLOWS_SHOWN = 48
"""Four hours of five minutes."""

COUNTRY_LETTERS = 2
REGIONS_LEVEL = 2

STATES = {
    "open": ("wait", N_("under way")),
    "ordered": ("wait", N_("being paid")),
    "sent": ("wait", N_("being paid")),
    "final": ("good", N_("paid")),
    "lost": ("act", N_("settled otherwise")),
}
"""How a cycle's state is coloured and called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """A host and its money in all settled cycles, minor units."""

    party_id: PartyId
    name: str
    earned_minor: int
    withdrawn_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRow:
    """An operator, its nodes and its money at the clearing house, minor units.

    Money is None in the eyes of who may not see it.
    """

    party_id: PartyId
    name: str
    country: str
    nodes: int
    collateral_minor: int | None
    accrued_minor: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView:
    """The network at an instant; amounts in minor units, cycles and story newest first.

    `hosts_after` and `operators_after` are where the next rows begin, empty where there are none.
    """

    as_of_us: int
    nodes: int
    operators_number: int
    hosts_number: int
    sessions: int
    octets: int
    """What was used in the time that `flows` covers."""

    flows: Sequence[Flow]
    attached: int
    turned_away: int
    answered: int
    """Of devices let on, turned away, and accounting answered, since the process started."""

    cycle_due_us: int | None
    """When the open cycle ends, None where people close it."""

    cycles: Sequence[CycleLine]
    hosts: Sequence[HostRow]
    hosts_after: str
    operators: Sequence[OperatorRow]
    operators_after: str
    story: Sequence[Happening]
    regions: Sequence[Cell]
    """Where most nodes are, summed up over four degrees."""

    whole: bool = True
    """Whether everybody's money is shown; else that of the visitor's own parties only."""

    @property
    def paid_minor(self) -> int:
        """What the cycles shown have moved for good."""
        return sum(cycle.net_minor for cycle in self.cycles if cycle.state == "final")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where the rows of each list begin: after a name."""

    hosts: str = ""
    operators: str = ""


class NetworkViews:
    """Makes views of the network from what the process has at hand; nothing big is counted."""

    def __init__(self, place: Onchain, watch: Watch, metrics: Callable[[], Metrics]) -> None:
        self.place = place
        self._watch = watch
        self._metrics = metrics
        self._kept: OrderedDict[Cursor, tuple[int, NetworkView]] = OrderedDict()

    def network(self, cursor: Cursor) -> NetworkView:
        """Say how the network stands, as of the last look: many may ask between two."""
        looks = self._watch.looks
        known = self._kept.get(cursor)
        if known is not None and 0 < looks == known[0]:
            return known[1]
        view = self._network(cursor)
        self._kept[cursor] = (looks, view)
        while len(self._kept) > VIEWS_MAX:
            self._kept.popitem(last=False)
        return view

    def seen_by(self, visitor: Visitor, cursor: Cursor, *, is_demo: bool) -> NetworkView:
        """Say how the network stands in somebody's eyes: money by name is for whom it concerns.

        Owners, auditors and, of a demo, everybody see all of it; a party its own.
        """
        view = self.network(cursor)
        if is_demo or visitor.is_owner or Grant(Role.AUDITOR) in visitor.grants:
            return view
        mine = visitor.at(Role.OPERATOR, Role.HOST, Role.AUDITOR)
        return replace(
            view,
            whole=False,
            hosts=self._hosts([party for party in mine if party.startswith("host_")]),
            hosts_after="",
            operators=[
                row
                if row.party_id in mine
                else replace(row, collateral_minor=None, accrued_minor=None)
                for row in view.operators
            ],
        )

    def _hosts(self, parties: Sequence[PartyId]) -> Sequence[HostRow]:
        if not parties:
            return ()
        with self.place.base.store.read() as unit:
            found = (self.place.base.identity.directory.host(unit, party) for party in parties)
            named = sorted(
                ((one.party_id, one.name) for one in found if one), key=lambda one: one[1]
            )
            return _host_rows(self.place, unit, named[:ROWS_SHOWN])

    def _network(self, cursor: Cursor) -> NetworkView:
        place, base, traffic = self.place, self.place.base, self._watch.traffic
        now_us, counted = base.clock.now_us(), self._metrics()
        flows = traffic.flows(now_us, buckets=FLOWS_SHOWN)
        with base.store.read() as unit:
            numbers = base.identity.places.numbers(unit)
            hosts, hosts_after = host_rows(place, unit, cursor.hosts)
            operators, operators_after = operator_rows(place, unit, cursor.operators)
            cycles = place.settlement.figures(unit, limit=CYCLES_SHOWN)
            regions = base.identity.places.filled(unit, EARTH, REGIONS_LEVEL).cells
        return NetworkView(
            as_of_us=now_us,
            nodes=numbers["node"],
            operators_number=numbers["operator"],
            hosts_number=numbers["host"],
            sessions=traffic.standing(now_us),
            octets=sum(flow.octets for flow in flows),
            flows=flows,
            attached=counted.accepts,
            turned_away=sum(counted.rejects.values()),
            answered=counted.accounting_responses,
            cycle_due_us=cycle_due_us(base.settings.cycle_s, now_us),
            cycles=[cycle_line(cycle) for cycle in cycles],
            hosts=hosts,
            hosts_after=hosts_after,
            operators=operators,
            operators_after=operators_after,
            story=self._watch.story.newest(STORY_SHOWN),
            regions=sorted(regions, key=lambda cell: -cell.nodes)[:ROWS_SHOWN],
        )

    def live_nodes(self) -> Sequence[tuple[int, int, int]]:
        """Return where sessions stand now: longitude, latitude (1e-6 degrees), how many."""
        base = self.place.base
        found = self._watch.traffic.nodes(base.clock.now_us(), limit=LIVE_NODES_MAX)
        with base.store.read() as unit:
            places = base.identity.places.of(unit, [node_id for node_id, _ in found])
        return [
            (places[node_id].longitude_udeg, places[node_id].latitude_udeg, sessions)
            for node_id, sessions in found
            if node_id in places
        ]


def host_rows(place: Onchain, unit: Connection, after: str) -> tuple[Sequence[HostRow], str]:
    """Return the hosts that follow a name, and where the next ones begin."""
    found = pages.names_after(unit, PartyKind.HOST, after, limit=ROWS_SHOWN + 1)
    rows = _host_rows(place, unit, found[:ROWS_SHOWN])
    return rows, rows[-1].name if len(found) > ROWS_SHOWN else ""


def _host_rows(
    place: Onchain, unit: Connection, found: Sequence[tuple[PartyId, str]]
) -> Sequence[HostRow]:
    payouts = pages.payouts_ever(unit, (party for party, _ in found))
    names = {
        party: [chart.entitled(address, party) for address in addresses]
        for party, addresses in payouts.items()
    }
    asset = place.manifest.asset
    balances = ledger.balances(unit, asset, (name for own in names.values() for name in own))
    return [
        HostRow(
            party_id=party,
            name=name,
            earned_minor=sum(balances[own].credits_posted for own in names[party]),
            withdrawn_minor=sum(balances[own].debits_posted for own in names[party]),
        )
        for party, name in found
    ]


def operator_rows(
    place: Onchain, unit: Connection, after: str
) -> tuple[Sequence[OperatorRow], str]:
    """Return the operators that follow a name, and where the next ones begin."""
    identity, asset = place.base.identity, place.manifest.asset
    found = pages.names_after(unit, PartyKind.OPERATOR, after, limit=ROWS_SHOWN + 1)
    shown = [party for party, _ in found[:ROWS_SHOWN]]
    nodes = identity.places.nodes_of(unit, shown)
    accounts = [
        name for party in shown for name in (chart.collateral(party), chart.clearing(party))
    ]
    balances = ledger.balances(unit, asset, accounts)
    rows = []
    for party in shown:
        operator = identity.directory.operator(unit, party)
        assert operator is not None, "whoever is listed is there"
        rows.append(
            OperatorRow(
                party_id=party,
                name=operator.name,
                country=operator.jurisdiction[:COUNTRY_LETTERS],
                nodes=nodes[party],
                collateral_minor=balances[chart.collateral(party)].posted_minor,
                accrued_minor=balances[chart.clearing(party)].posted_minor,
            )
        )
    return rows, rows[-1].name if len(found) > ROWS_SHOWN else ""


def cycle_due_us(cycle_s: int, now_us: int) -> int | None:
    """Return the next whole multiple of a cycle's length, None where people close cycles."""
    length_us = cycle_s * SECOND_US
    return (now_us // length_us + 1) * length_us if length_us else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFigures:
    """The network at an instant. `flows` are instants with the octets used in the five minutes from
    then on; `paid_minor` is what the last eight cycles moved, in minor units of `asset`.
    """

    as_of_us: int
    nodes: int
    operators: int
    hosts: int
    sessions: int
    octets: int
    flows: Sequence[Sequence[int]]
    asset: str
    paid_minor: int
    cycle_due_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellsAnswer:
    """Parts of the map with nodes in them, of the size of `level`: longitude and latitude of the
    middle of a part's nodes (1e-6 degrees), and how many.
    """

    level: int
    cells: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAnswer:
    """Where sessions stand now: longitude, latitude (1e-6 degrees), how many."""

    nodes: Sequence[Sequence[int]]


FIGURES = NetworkFigures(
    as_of_us=1_767_603_600_000_000,
    nodes=3,
    operators=2,
    hosts=1,
    sessions=4,
    octets=5_500_000,
    flows=[(1_767_603_300_000_000, 5_500_000)],
    asset="eip155:31337/erc20:0x0248740b33015cbd79c92a7d5eaa9296a3ed1b88",
    paid_minor=12_044,
    cycle_due_us=None,
)
CELLS = CellsAnswer(level=2, cells=[(2_350_000, 48_860_000, 1)])
LIVE = LiveAnswer(nodes=[(2_350_000, 48_860_000, 1)])


def figures(view: NetworkView, asset: str) -> NetworkFigures:
    """Return the figures of a view; lists have their own routes."""
    return NetworkFigures(
        as_of_us=view.as_of_us,
        nodes=view.nodes,
        operators=view.operators_number,
        hosts=view.hosts_number,
        sessions=view.sessions,
        octets=view.octets,
        flows=[(flow.at_us, flow.octets) for flow in view.flows],
        asset=asset,
        paid_minor=view.paid_minor,
        cycle_due_us=view.cycle_due_us,
    )
