"""A subscriber at a glance: what it has left, what this month cost, what runs now and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.kernel.calendar import month_name, month_of
from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import Id
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.rating.holds import Authorisation
from opencarrier.spine.parties import PartyId, Subscriber
from opencarrier.spine.usage import Counters
from opencarrier.usage.model import Session, Stream

NO_COUNTRY = "ZZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where somebody was served, in plain words and not closer: the venue and its country.

    `country` is ISO 3166-1, empty where none is named.
    """

    venue: str
    operator: str
    country: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningLine:
    """A session that goes on: what its access point told of it last, and the price so far.

    `heard_us` is when, 0 before the first report. What is beyond `charged_minor` of the price is
    charged when the cycle ends.
    """

    session: str
    where: Where
    began_us: int
    heard_us: int
    octets: int
    duration_s: int
    price_minor: int
    charged_minor: int
    held_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CapLine:
    """A spend cap and what it leaves this month, beside what is held for running sessions."""

    cap_minor: int
    spent_minor: int
    held_minor: int
    left_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeLine:
    """That a share of the cap was reached."""

    percent: int
    cap_minor: int
    spent_minor: int
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberView:
    """What a subscriber has and this month cost it; amounts in minor units of the asset.

    `free_minor` can be used now, `held_minor` is set aside for sessions that run or wait for
    their price, `asked_back_minor` is on its way back to the subscriber.
    """

    party: str
    name: str
    home: str
    country: str
    plan: str
    asset: str
    as_of_us: int
    month: str
    free_minor: int
    held_minor: int
    asked_back_minor: int
    spent_minor: int
    octets: int
    cap: CapLine | None
    notices: tuple[NoticeLine, ...]
    running: tuple[RunningLine, ...]


def subscriber_view(place: Onchain, unit: Connection, subscriber: Subscriber) -> SubscriberView:
    """Return a subscriber as it stands now."""
    base, asset, party = place.base, place.manifest.asset, subscriber.party_id
    at_us = base.clock.now_us()
    month = month_of(at_us)
    balance = ledger.balance(unit, asset, chart.prepaid(party))
    lines = base.subscribers.month(unit, party, month.start_us)
    home = base.identity.directory.operator(unit, subscriber.home)
    named = base.identity.directory.party(unit, party)
    assert home is not None, "a subscriber without a home"
    return SubscriberView(
        party=party,
        name="" if named is None else named.name,
        home=home.name,
        country=_country(home.jurisdiction),
        plan=subscriber.plan_id,
        asset=asset,
        as_of_us=at_us,
        month=month_name(at_us),
        free_minor=balance.free_minor,
        held_minor=balance.debits_pending,
        asked_back_minor=ledger.balance(unit, asset, chart.refunds(party)).posted_minor,
        spent_minor=sum(line.paid_minor for line in lines if line.asset == asset),
        octets=sum(line.octets for line in lines),
        cap=cap_line(place, unit, subscriber, at_us=at_us),
        notices=_notices(place, unit, party, month),
        running=running_lines(place, unit, party, at_us=at_us),
    )


def cap_line(
    place: Onchain, unit: Connection, subscriber: Subscriber, *, at_us: int
) -> CapLine | None:
    """Return how a subscriber's cap stands this month, None where it has none."""
    book, asset = place.base.subscribers, place.manifest.asset
    cap = book.cap(unit, subscriber.party_id)
    if cap is None or cap.asset != asset:
        return None
    lines = book.month(unit, subscriber.party_id, month_of(at_us).start_us)
    spent_minor = sum(
        line.paid_minor for line in lines if (line.seller, line.asset) == (cap.home, asset)
    )
    balance = ledger.balance(unit, asset, chart.prepaid(subscriber.party_id))
    held_minor = balance.debits_pending
    return CapLine(
        cap_minor=cap.cap_minor,
        spent_minor=spent_minor,
        held_minor=held_minor,
        left_minor=max(0, cap.cap_minor - spent_minor - held_minor),
    )


def running_lines(
    place: Onchain, unit: Connection, party: PartyId, *, at_us: int
) -> tuple[RunningLine, ...]:
    """Return the sessions of a subscriber that go on, the newest first."""
    base = place.base
    grants = base.subscribers.lasting(unit, party, at_us=at_us)
    sessions = _standing(place, unit, grants)
    running = [
        (grant, sessions.get(grant.authorisation_id))
        for grant in grants
        if grant.authorisation_id in sessions
    ]
    return tuple(_running(place, unit, grant, session) for grant, session in running)


def where_of(place: Onchain, unit: Connection, grant: Authorisation) -> Where:
    """Say where a grant was used: the host's name is the venue's."""
    directory = place.base.identity.directory
    node, operator = (
        directory.node_by_id(unit, grant.node_id),
        directory.operator(unit, grant.visited),
    )
    host = None if node is None else directory.host(unit, node.host)
    name = grant.visited if operator is None else operator.name
    return Where(
        venue=name if host is None else host.name,
        operator=name,
        country="" if operator is None else _country(operator.jurisdiction),
    )


def _standing(
    place: Onchain, unit: Connection, grants: Sequence[Authorisation]
) -> dict[bytes, Session | None]:
    """Return by grant its session as of the last report; None where none came, yet it may run.

    A grant whose session has ended is left out, also where no cycle has counted that yet.
    """
    base = place.base
    names = base.orders.called_there(unit, [grant.authorisation_id for grant in grants])
    streams = {}
    for grant in grants:
        node = base.identity.directory.node_by_id(unit, grant.node_id)
        name = names.get(grant.authorisation_id)
        if node is not None and name is not None:
            streams[grant.authorisation_id] = Stream(grant.visited, node.nas_identifier, name)
    heard = base.usage.preview(unit, list(streams.values()), at_us=base.clock.now_us())
    found: dict[bytes, Session | None] = {}
    for key, stream in streams.items():
        mine = [one for one in heard.get(stream, []) if one.authorisation_id == key]
        if not any(one.closed_by for one in mine):
            found[key] = mine[-1] if mine else None
    return found


def _running(
    place: Onchain, unit: Connection, grant: Authorisation, session: Session | None
) -> RunningLine:
    rating, key = place.base.rating, grant.authorisation_id
    charged_minor = price_minor = octets = duration_s = 0
    if session is not None:
        parts = [
            usage.usage_id
            for usage in place.base.usage.used_under(unit, [key])
            if usage.session_id == session.session_id
        ]
        charges = place.base.subscribers.charged(unit, [Id(part) for part in parts])
        charged_minor = sum(charge.amount_minor for charge in charges.values())
        more_minor = _price(rating.retail_minor(unit, key, session.counters)) - _price(
            rating.retail_minor(unit, key, session.settled)
        )
        price_minor = charged_minor + more_minor
        octets, duration_s = _octets(session.total), session.total.session_time_s
    return RunningLine(
        session=key.hex(),
        where=where_of(place, unit, grant),
        began_us=grant.granted_us if session is None else session.start_us,
        heard_us=0 if session is None else session.last_us,
        octets=octets,
        duration_s=duration_s,
        price_minor=price_minor,
        charged_minor=charged_minor,
        held_minor=grant.held_minor,
    )


def _price(amount_minor: int | None) -> int:
    """Read a price; what is beyond the formula's range waits and costs nothing yet."""
    return 0 if amount_minor is None else amount_minor


def _octets(counters: Counters) -> int:
    return counters.octets_in + counters.octets_out


def _notices(
    place: Onchain, unit: Connection, party: PartyId, month: Window
) -> tuple[NoticeLine, ...]:
    return tuple(
        NoticeLine(
            percent=notice.percent,
            cap_minor=notice.cap_minor,
            spent_minor=notice.spent_minor,
            at_us=notice.at_us,
        )
        for notice in place.base.subscribers.notices(unit, party, month.start_us)
    )


def _country(jurisdiction: str) -> str:
    return "" if jurisdiction == NO_COUNTRY else jurisdiction
