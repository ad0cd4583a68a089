"""What a host sees: its nodes, what they earned by day and why, and what can be taken out."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from opencarrier.app.api import Cursor, Page
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.traffic import SILENT_US, Presence
from opencarrier.app.console.views.bans import BanViews
from opencarrier.app.console.watch import Watch
from opencarrier.chain.contracts import RewardDistributor
from opencarrier.chain.errors import ChainError
from opencarrier.identity import pages
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.rewards import earnings
from opencarrier.rewards.claims import Claims, Standing
from opencarrier.rewards.earnings import DAY_US, Earned, Reason
from opencarrier.spine.parties import Host, Node, PartyId

T = TypeVar("T")

DAYS = 30
DAYS_MAX = 366
NODES_COUNTED_MAX = 1_000
VIEWS_MAX = 64

HOSTS_AFTER = Cursor("hosts", (str,))
NODES_AFTER = Cursor("host-nodes", (str,))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLine:
    """A host by name."""

    party: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLine:
    """A node as an asset; what was used (octets) and earned (minor units) is of the last 30 days.

    `state` is `in_use`, `alive` (heard within the hour) or `silent`, `standing` is `good` or
    `banned`; the place is in millionths of a degree, null where nobody said.
    """

    node_id: str
    nas_identifier: str
    operator: str
    operator_name: str
    latitude_udeg: int | None
    longitude_udeg: int | None
    state: str
    sessions: int
    heard_us: int | None
    octets: int
    earned_minor: int
    standing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonLine:
    """What was earned for a reason, minor units, by how many uses of how many octets.

    Reasons: `guests` of other operators, subscribers of the node's `own`, a `deal` at the end of
    its period, a `correction` two operators agreed on, `other`. The last three may be negative.
    """

    reason: str
    amount_minor: int
    uses: int
    octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLine:
    """A day in UTC that begins at `from_us`, and what was earned in it, by reason."""

    from_us: int
    amount_minor: int
    octets: int
    reasons: tuple[ReasonLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EarningsView:
    """What was earned in some days up to today, all of them, and summed up by reason."""

    asset: str
    amount_minor: int
    octets: int
    days: tuple[DayLine, ...]
    reasons: tuple[ReasonLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyView:
    """A host's money, minor units of `asset`.

    `accrued_minor` is earned and not yet settled; `payable_minor` can be withdrawn now, null while
    the chain does not answer; `waiting_minor` is settled and paid from `waits_until_us` on;
    `withdrawn_minor` was paid out of what this host earned. `payout` is the address that is paid.
    """

    asset: str
    payout: str
    today_minor: int
    ever_minor: int
    accrued_minor: int
    payable_minor: int | None
    waiting_minor: int
    waits_until_us: int | None
    withdrawn_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BeneficiaryLine:
    """An address that has a part of what a host earns, in millionths."""

    payout: str
    share_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """A host at an instant. More nodes than `nodes` are there where `has_more_nodes`."""

    as_of_us: int
    party: str
    name: str
    nodes: int
    has_more_nodes: bool
    in_use: int
    """Of the nodes listed first, how many have sessions now."""

    money: MoneyView
    earnings: EarningsView
    shown: Page[NodeLine]
    beneficiaries: tuple[BeneficiaryLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One node with what it earned by day."""

    as_of_us: int
    party: str
    host_name: str
    node: NodeLine
    place_said_by: str
    earnings: EarningsView


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionView:
    """A transaction that anybody may sign: `data` is the call of `function` with `arguments`."""

    chain_id: int
    to: str
    data: str
    function: str
    arguments: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawnView:
    """What a withdrawal paid, minor units, all that was ever paid, and its transaction."""

    amount_minor: int
    lifetime_minor: int
    tx_hash: str


class HostViews:
    """Makes views of hosts from sums that are kept; nothing big is counted."""

    def __init__(self, place: Onchain, watch: Watch) -> None:
        self.place = place
        self._watch = watch
        self.bans = BanViews(place)
        self._claims = Claims(place.rewards, RewardDistributor(place.manifest.distributor))
        self._paid: OrderedDict[PartyId, tuple[int, Standing | None]] = OrderedDict()

    def hosts(self, cursor: str, limit: int) -> Page[HostLine]:
        """Return all hosts, ascending by name."""
        after = HOSTS_AFTER.read(cursor)
        with self.place.base.store.read() as unit:
            name = str(after[0]) if after else ""
            found = pages.names_after(unit, PartyKind.HOST, name, limit=limit + 1)
        rows = [HostLine(party=party, name=name) for party, name in found]
        return HOSTS_AFTER.page(rows, limit, lambda row: (row.name,))

    def some_hosts(self, parties: Iterable[PartyId]) -> Page[HostLine]:
        """Return those hosts among some parties, ascending by name."""
        with self.place.base.store.read() as unit:
            found = [self.place.base.identity.directory.host(unit, one) for one in parties]
        rows = [HostLine(party=one.party_id, name=one.name) for one in found if one is not None]
        return Page(items=sorted(rows, key=lambda row: row.name), next=None)

    def host(self, host: Host, cursor: str, limit: int) -> HostView:
        """Return a host with the first of its nodes."""
        base, party = self.place.base, host.party_id
        now_us, money = base.clock.now_us(), self.money(host)
        nodes = self.nodes(host, cursor, limit)
        with base.store.read() as unit:
            counted = pages.nodes_counted(unit, party, most=NODES_COUNTED_MAX + 1)
            days = self._days(unit, host, DAYS)
            beneficiaries = base.identity.directory.beneficiaries(unit, party, at_us=now_us)
        return HostView(
            as_of_us=now_us,
            party=party,
            name=host.name,
            nodes=min(counted, NODES_COUNTED_MAX),
            has_more_nodes=counted > NODES_COUNTED_MAX,
            in_use=sum(node.state == "in_use" for node in nodes.items),
            money=money,
            earnings=self._told(days, DAYS),
            shown=nodes,
            beneficiaries=tuple(
                BeneficiaryLine(payout=one.payout, share_ppm=one.share_ppm) for one in beneficiaries
            ),
        )

    def nodes(self, host: Host, cursor: str, limit: int) -> Page[NodeLine]:
        """Return a host's nodes, ascending by id."""
        after = NODES_AFTER.read(cursor)
        with self.place.base.store.read() as unit:
            node_id = str(after[0]) if after else ""
            found = pages.nodes_after(unit, host.party_id, node_id, limit=limit + 1)
            rows = self._lines(unit, host, found)
        return NODES_AFTER.page(rows, limit, lambda row: (row.node_id,))

    def node(self, host: Host, node_id: str) -> NodeView | None:
        """Return one of a host's nodes, None where it has no such."""
        base = self.place.base
        now_us, since = base.clock.now_us(), self._since_day(DAYS)
        with base.store.read() as unit:
            found = base.identity.directory.node_by_id(unit, node_id)
            if found is None or found.host != host.party_id:
                return None
            (line,) = self._lines(unit, host, [found])
            place = base.identity.places.of(unit, [node_id]).get(node_id)
            said_by = None if place is None else base.identity.directory.party(unit, place.attester)
            asset = self.place.manifest.asset
            days = earnings.days_of_node(unit, host.party_id, node_id, asset, since_day=since)
        return NodeView(
            as_of_us=now_us,
            party=host.party_id,
            host_name=host.name,
            node=line,
            place_said_by="" if said_by is None else said_by.name,
            earnings=self._told(days, DAYS),
        )

    def earnings(self, host: Host, days: int) -> EarningsView:
        """Return what a host earned in so many days up to today."""
        assert 0 < days <= DAYS_MAX
        with self.place.base.store.read() as unit:
            found = self._days(unit, host, days)
        return self._told(found, days)

    def money(self, host: Host) -> MoneyView:
        """Return a host's money: the books', and what the distributor would pay now."""
        base, asset, party = self.place.base, self.place.manifest.asset, host.party_id
        standing = self._standing(host)
        with base.store.read() as unit:
            addresses = pages.payouts_ever(unit, [party])[party]
            own = [chart.entitled(address, party) for address in addresses]
            accrued = chart.accrued(party)
            balances = ledger.balances(unit, asset, [accrued, *own])
            ever_minor = earnings.ever_minor(unit, party, asset)
            today = earnings.days_of_host(unit, party, asset, since_day=self._since_day(1))
        waits_until_s = 0 if standing is None else standing.waits_until_s
        return MoneyView(
            asset=asset,
            payout=host.payout,
            today_minor=sum(one.amount_minor for one in today),
            ever_minor=ever_minor,
            accrued_minor=balances[accrued].posted_minor,
            payable_minor=None if standing is None else standing.payable_minor,
            waiting_minor=0 if standing is None else standing.waiting_minor,
            waits_until_us=waits_until_s * SECOND_US or None,
            withdrawn_minor=sum(balances[name].debits_posted for name in own),
        )

    def claim(self, host: Host) -> TransactionView | Refusal:
        """Return the call that pays a host what it can be paid now; the proof is made for it."""
        place = self.place
        with place.base.store.read() as unit:
            due = self._claims.due(unit, host.payout, chain=place.client, now_s=place.chain_now_s())
        if isinstance(due, Refusal):
            return due
        call = self._claims.call(due)
        assert call.to is not None, "a claim is a call"
        return TransactionView(
            chain_id=place.manifest.chain_id,
            to=call.to,
            data=to_hex(call.data),
            function="claim",
            arguments={
                "account": due.claim.account,
                "token": due.claim.token,
                "lifetime_amount": str(due.claim.lifetime_amount),
                "proof": " ".join(to_hex(one) for one in due.claim.proof),
            },
        )

    def forget(self, host: Host) -> None:
        """Ask the chain anew what a host can be paid."""
        self._paid.pop(host.party_id, None)

    def _standing(self, host: Host) -> Standing | None:
        """Ask what the payout address can be paid, once a look: many may ask between two."""
        looks = self._watch.looks
        known = self._paid.get(host.party_id)
        if known is not None and 0 < looks == known[0]:
            return known[1]
        place = self.place
        try:
            with place.base.store.read() as unit:
                found = self._claims.standing(
                    unit, host.payout, chain=place.client, now_s=place.chain_now_s()
                )
        except ChainError:
            found = None
        self._paid[host.party_id] = (looks, found)
        while len(self._paid) > VIEWS_MAX:
            self._paid.popitem(last=False)
        return found

    def _since_day(self, days: int) -> int:
        return max(self.place.base.clock.now_us() // DAY_US - days + 1, 0)

    def _days(self, unit: Connection, host: Host, days: int) -> list[Earned]:
        asset, since = self.place.manifest.asset, self._since_day(days)
        return earnings.days_of_host(unit, host.party_id, asset, since_day=since)

    def _told(self, found: Sequence[Earned], days: int) -> EarningsView:
        """Return sums as lines, a day each whether anything was earned or not."""
        since, last = self._since_day(days), self._since_day(1)
        return EarningsView(
            asset=self.place.manifest.asset,
            amount_minor=sum(one.amount_minor for one in found),
            octets=sum(one.octets for one in found),
            days=tuple(
                _day(day, [one for one in found if one.day == day])
                for day in range(since, last + 1)
            ),
            reasons=_reasons(found),
        )

    def _lines(self, unit: Connection, host: Host, nodes: Sequence[Node]) -> list[NodeLine]:
        identity, asset = self.place.base.identity, self.place.manifest.asset
        ids, now_us = [node.node_id for node in nodes], self.place.base.clock.now_us()
        places = identity.places.of(unit, ids)
        present = self._watch.traffic.at(set(ids), now_us)
        since = self._since_day(DAYS)
        earned = earnings.by_node(unit, host.party_id, ids, asset, since_day=since)
        banned = self.bans.banned(unit, ids)
        names = _remembered(
            lambda party: getattr(identity.directory.operator(unit, party), "name", "")
        )
        lines = []
        for node in nodes:
            place, here = places.get(node.node_id), present[node.node_id]
            amount_minor, octets = earned.get(node.node_id, (0, 0))
            lines.append(
                NodeLine(
                    node_id=node.node_id,
                    nas_identifier=node.nas_identifier,
                    operator=node.operator,
                    operator_name=names(node.operator),
                    latitude_udeg=None if place is None else place.latitude_udeg,
                    longitude_udeg=None if place is None else place.longitude_udeg,
                    state=_state(here, now_us),
                    sessions=here.sessions,
                    heard_us=here.heard_us,
                    octets=octets,
                    earned_minor=amount_minor,
                    standing="banned" if node.node_id in banned else "good",
                )
            )
        return lines


def _state(here: Presence, now_us: int) -> str:
    if here.sessions:
        return "in_use"
    return "alive" if here.heard_us is not None and here.heard_us > now_us - SILENT_US else "silent"


def _day(day: int, found: Sequence[Earned]) -> DayLine:
    return DayLine(
        from_us=day * DAY_US,
        amount_minor=sum(one.amount_minor for one in found),
        octets=sum(one.octets for one in found),
        reasons=_reasons(found),
    )


def _reasons(found: Sequence[Earned]) -> tuple[ReasonLine, ...]:
    """Sum up by reason, in the order of `Reason`."""
    amounts: Counter[Reason] = Counter()
    uses: Counter[Reason] = Counter()
    octets: Counter[Reason] = Counter()
    for one in found:
        amounts[one.reason] += one.amount_minor
        uses[one.reason] += one.uses
        octets[one.reason] += one.octets
    return tuple(
        ReasonLine(
            reason=reason.value,
            amount_minor=amounts[reason],
            uses=uses[reason],
            octets=octets[reason],
        )
        for reason in Reason
        if reason in amounts
    )


def _remembered(ask: Callable[[PartyId], T]) -> Callable[[PartyId], T]:
    known: dict[PartyId, T] = {}

    def told(party: PartyId) -> T:
        if party not in known:
            known[party] = ask(party)
        return known[party]

    return told
