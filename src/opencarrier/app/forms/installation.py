"""What an installation says of itself: its status, its connections, its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opencarrier.access.hub.neighbours import NeighbourLine
from opencarrier.access.hub.store import OutboxLine
from opencarrier.access.radsec.model import ConnectionLine
from opencarrier.app.forms.samples import ADDRESS, ASSET, AT_US, hex_id
from opencarrier.app.passing_on import Roles
from opencarrier.app.views import CycleLine, HostLine, OperatorLine
from opencarrier.usage.model import Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLine:
    """Where a realm leads; `inward` where what comes from there is ours to answer."""

    realm: str
    kind: str
    servers_of: str
    inward: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLine:
    """A position that no cycle pays yet, and why."""

    position_id: str
    amount_minor: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Why settling stands still until somebody looks."""

    alarm: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TillLine:
    """What payments brought in as of the final block; `unclaimed_minor` is no payment's."""

    address: str
    held_minor: int
    booked_minor: int
    unclaimed_minor: int
    open_payments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHead:
    """The newest journal entry: its number, the newest transfer's, its hash over all before it."""

    entries: int
    transfers: int
    head: str


@dataclass(frozen=True, slots=True)
class PassingOn:
    """Packets passed on for others; empty where none are."""

    neighbours: Sequence[NeighbourLine] = ()
    owed: Sequence[OutboxLine] = ()
    passed_on: int = 0
    refused: Mapping[str, int] | None = None
    delivered: int = 0
    given_up: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where an installation stands; amounts in minor units of `asset`, gas in wei.

    `hosts_money` and `operators_money` are empty where there are more than a hundred.
    """

    data: str
    domain: str
    settles_as: str
    operators: int
    nodes: int
    hosts: int
    roles: Roles
    routes: Sequence[RouteLine]
    usage: Totals
    suspended: int
    exchanges: Sequence[Mapping[str, int | str]]
    ledger: LedgerHead
    asset: str
    clearing_house: str
    finality: str
    gas_wei: int
    cycles: Sequence[CycleLine]
    waiting: Sequence[WaitingLine]
    halt: Halt | None
    hosts_money: Sequence[HostLine]
    till: TillLine
    operators_money: Sequence[OperatorLine]
    passing: PassingOn
    radsec: Sequence[ConnectionLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class RadsecLines:
    """The RadSec connections that are open."""

    radsec: Sequence[ConnectionLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedContract:
    """A contract of a venue: where it stands, and the hash of its code."""

    address: str
    code_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestForm:
    """One settlement venue, to be pinned by whoever verifies (`opencarrier-manifest/2`)."""

    format: str
    domain: str
    chain_id: int
    genesis_hash: str
    finality: str
    asset: str
    rulebook_hash: str
    from_block: int
    contracts: Mapping[str, PinnedContract]


CYCLE = CycleLine(
    sequence=1,
    state="final",
    cycle_id=hex_id(1),
    settlement_id=hex_id(2),
    tx_hash=hex_id(3),
    records_root=hex_id(4),
    records=1,
    gross_minor=12_044,
    net_minor=12_044,
    payments=4,
)
CONNECTION = ConnectionLine(
    peer="visited.example",
    certificate="CN=proxy.visited.example",
    address="192.0.2.7:51322",
    tls="TLSv1.3",
    in_work=0,
    requests=41,
)
RADSEC = RadsecLines(radsec=[CONNECTION])
STATUS = Status(
    data="/var/lib/opencarrier",
    domain="opencarrier",
    settles_as=ADDRESS,
    operators=2,
    nodes=1,
    hosts=1,
    roles=Roles(identity_provider=True, access_network=False, hub=False),
    routes=[
        RouteLine(realm="visited.example", kind="upstream", servers_of="visited", inward=False)
    ],
    usage=Totals(
        sessions=1,
        sessions_open=0,
        observations=1,
        observations_pending=0,
        usages=1,
        cuts=1,
        estimated=False,
    ),
    suspended=0,
    exchanges=[{"peer": ADDRESS, "state": "none", "failures": 0}],
    ledger=LedgerHead(entries=41, transfers=97, head=hex_id(6)),
    asset=ASSET,
    clearing_house=ADDRESS,
    finality="single_operator",
    gas_wei=999_999_969_743_979_390,
    cycles=[CYCLE],
    waiting=[
        WaitingLine(
            position_id=hex_id(5), amount_minor=17, reason="window_open", detail="two-sided"
        )
    ],
    halt=None,
    hosts_money=[HostLine(name="Cafe", payout=ADDRESS, earned_minor=6_124, withdrawn_minor=0)],
    till=TillLine(
        address=ADDRESS, held_minor=0, booked_minor=0, unclaimed_minor=0, open_payments=0
    ),
    operators_money=[
        OperatorLine(name="Home", jurisdiction="FR", collateral_minor=99_987_956, accrued_minor=0)
    ],
    passing=PassingOn(
        owed=[OutboxLine(realm="visited.example", packets=2, oldest_us=AT_US)], refused={}
    ),
    radsec=[CONNECTION],
)
MANIFEST = ManifestForm(
    format="opencarrier-manifest/2",
    domain="opencarrier",
    chain_id=31_337,
    genesis_hash=hex_id(6),
    finality="single_operator",
    asset=ASSET,
    rulebook_hash=hex_id(7),
    from_block=0,
    contracts={"StableToken": PinnedContract(address=ADDRESS, code_hash=hex_id(8))},
)
