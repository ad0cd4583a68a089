"""A subscriber's sessions and the charges they are made of, each of which has a receipt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.views.subscriber import RunningLine, Where, running_lines, where_of
from opencarrier.kernel.clock import SECOND_US, Window
from opencarrier.kernel.ids import Id, derive, to_hex
from opencarrier.ledger import service as ledger
from opencarrier.rating.holds import OVERRUN, Authorisation
from opencarrier.rating.subscribers import RetailLine
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Usage

PARTS_SHOWN = 200
"""Parts of one session that are shown; its sums are over all."""

SCANNED_MAX = 400
"""Grants that a page of receipts looks through: most have at least one."""

SessionKey = tuple[int, bytes]
ReceiptKey = tuple[int, str, int, str]
"""The grant's instant and id, then the end of the use and its id, both ids in hex."""

LONGEST_US = 8 * 86_400 * SECOND_US
"""How long before a month sessions began whose use may end in it: they last seven days at most."""

LAST = (0, "")
"""After all receipts of a grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """A stay at a node: what was used, what it cost and how it stands.

    `state` is `running` (octets, seconds and price as of the last report), `waiting` (used and not
    priced yet), `paid`, or `unused` (let in, and nothing came of it). Of `price_minor` the home
    bears what no hold covered; the rest was paid.
    """

    session: str
    granted_us: int
    where: Where
    service: int
    began_us: int
    ended_us: int
    octets: int
    duration_s: int
    price_minor: int
    paid_minor: int
    parts: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLine:
    """What a session used within one cycle and its charge; null amounts where it is not priced."""

    usage_id: str
    start_us: int
    end_us: int
    octets: int
    duration_s: int
    price_minor: int | None
    tax_minor: int | None
    discount_minor: int | None
    borne_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """One session with its newest parts; `left_out` of them are older than those shown."""

    line: SessionLine
    plan_price_nano: int
    plan_step: int
    plan_unit: str
    plan_tax_included: bool
    tax_minor: int
    discount_minor: int
    discount_ppm: int
    parts: tuple[PartLine, ...]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptLine:
    """A charge, which has a receipt once its cycle is paid for good."""

    usage_id: str
    session: str
    where: Where
    used_us: int
    octets: int
    asset: str
    price_minor: int
    tax_minor: int
    borne_minor: int


def session_lines(
    place: Onchain, unit: Connection, party: PartyId, *, before: SessionKey | None, limit: int
) -> list[SessionLine]:
    """Return sessions, the newest first."""
    base = place.base
    grants = base.subscribers.grants(unit, party, before=before, limit=limit)
    running = _running(place, unit, party)
    parts: defaultdict[bytes, list[Usage]] = defaultdict(list)
    for usage in base.usage.used_under(unit, [grant.authorisation_id for grant in grants]):
        parts[usage.authorisation_id or b""].append(usage)
    charges = _charges(place, unit, [usage for some in parts.values() for usage in some])
    return [
        _line(place, unit, grant, parts[grant.authorisation_id], charges, running)
        for grant in grants
    ]


def session_view(
    place: Onchain, unit: Connection, party: PartyId, session: bytes
) -> SessionView | None:
    """Return one session, None where it is not this subscriber's."""
    base = place.base
    grant = base.subscribers.grant(unit, party, session)
    if grant is None:
        return None
    plan = base.subscribers.plan_of(unit, grant)
    running = _running(place, unit, party)
    parts = base.usage.used_under(unit, [session])
    charges = _charges(place, unit, parts)
    made = [charge for charge, _ in charges.values()]
    return SessionView(
        line=_line(place, unit, grant, parts, charges, running),
        plan_price_nano=plan.price.price_nano,
        plan_step=plan.price.step,
        plan_unit=plan.price.unit,
        plan_tax_included=plan.price.tax_included,
        tax_minor=sum(charge.tax_minor for charge in made),
        discount_minor=sum(charge.discount_minor for charge in made),
        discount_ppm=grant.discount_ppm,
        parts=tuple(_part(usage, charges.get(usage.usage_id)) for usage in parts[:PARTS_SHOWN]),
        left_out=max(0, len(parts) - PARTS_SHOWN),
    )


def receipt_lines(
    place: Onchain,
    unit: Connection,
    party: PartyId,
    *,
    after: ReceiptKey | None,
    limit: int,
    window: Window | None = None,
) -> tuple[list[ReceiptLine], ReceiptKey | None]:
    """Return charges by session, the newest first, and where the list goes on, None at its end.

    With a window, only those of use that ended in it, as a bill counts it.
    """
    found: list[tuple[Authorisation, Usage]] = []
    grants = _grants(place, unit, party, after, window)
    for scanned, (grant, before) in enumerate(grants, start=1):
        more = place.base.usage.newest_under(
            unit, grant.authorisation_id, before=before, limit=limit + 1 - len(found)
        )
        found += [(grant, usage) for usage in more if window is None or window.holds(usage.end_us)]
        if len(found) > limit:
            break
        if scanned == SCANNED_MAX:
            return _receipts(place, unit, found), (
                grant.granted_us,
                grant.authorisation_id.hex(),
                *LAST,
            )
    shown = found[:limit]
    last = _receipt_key(*shown[-1]) if len(found) > limit else None
    return _receipts(place, unit, shown), last


def _grants(
    place: Onchain,
    unit: Connection,
    party: PartyId,
    after: ReceiptKey | None,
    window: Window | None,
) -> Iterable[tuple[Authorisation, SessionKey | None]]:
    """Yield grants to look through, and before what; the first from the middle of its use."""
    newest = None if window is None else (window.end_us, b"")
    oldest_us = 0 if window is None else window.start_us - LONGEST_US
    book, before = place.base.subscribers, newest
    if after is not None:
        before = (after[0], bytes.fromhex(after[1]))
        grant = book.grant(unit, party, before[1])
        if grant is not None:
            yield grant, (after[2], bytes.fromhex(after[3]))
    while some := book.grants(unit, party, before=before, limit=50):
        yield from ((grant, newest) for grant in some if grant.granted_us >= oldest_us)
        if some[-1].granted_us < oldest_us:
            return
        before = (some[-1].granted_us, some[-1].authorisation_id)


def _receipt_key(grant: Authorisation, usage: Usage) -> ReceiptKey:
    key = grant.authorisation_id.hex()
    return grant.granted_us, key, usage.end_us, usage.usage_id.hex()


def _receipts(
    place: Onchain, unit: Connection, found: Sequence[tuple[Authorisation, Usage]]
) -> list[ReceiptLine]:
    charges = _charges(place, unit, [usage for _, usage in found])
    lines = []
    for grant, usage in found:
        if usage.usage_id not in charges:
            continue
        charge, borne_minor = charges[usage.usage_id]
        lines.append(
            ReceiptLine(
                usage_id=to_hex(usage.usage_id),
                session=grant.authorisation_id.hex(),
                where=where_of(place, unit, grant),
                used_us=usage.end_us,
                octets=_octets(usage),
                asset=charge.asset,
                price_minor=charge.amount_minor,
                tax_minor=charge.tax_minor,
                borne_minor=borne_minor,
            )
        )
    return lines


Charges = Mapping[Id, tuple[RetailLine, int]]
"""By usage: its charge, and what of it the home bears."""


def _charges(place: Onchain, unit: Connection, usages: Iterable[Usage]) -> Charges:
    found = place.base.subscribers.charged(unit, {usage.usage_id for usage in usages})
    moves = {derive("transfer", one.charge_id, OVERRUN): key for key, one in found.items()}
    borne = {moves[key]: booked.moved_minor for key, booked in ledger.booked(unit, moves).items()}
    return {key: (charge, borne.get(key, 0)) for key, charge in found.items()}


def _running(place: Onchain, unit: Connection, party: PartyId) -> dict[str, RunningLine]:
    lines = running_lines(place, unit, party, at_us=place.base.clock.now_us())
    return {line.session: line for line in lines}


def _line(
    place: Onchain,
    unit: Connection,
    grant: Authorisation,
    parts: Sequence[Usage],
    charges: Charges,
    running: Mapping[str, RunningLine],
) -> SessionLine:
    mine = [charges[part.usage_id] for part in parts if part.usage_id in charges]
    price_minor = sum(charge.amount_minor for charge, _ in mine)
    session = grant.authorisation_id.hex()
    line = SessionLine(
        session=session,
        granted_us=grant.granted_us,
        where=where_of(place, unit, grant),
        service=grant.service,
        began_us=min((part.start_us for part in parts), default=grant.granted_us),
        ended_us=max((part.end_us for part in parts), default=grant.granted_us),
        octets=sum(_octets(part) for part in parts),
        duration_s=sum(part.quantities.get("duration_s") for part in parts),
        price_minor=price_minor,
        paid_minor=price_minor - sum(borne for _, borne in mine),
        parts=len(parts),
        state=_state(parts, len(mine)),
    )
    now = running.get(session)
    if now is None:
        return line
    return replace(
        line,
        octets=now.octets,
        duration_s=now.duration_s,
        price_minor=now.price_minor,
        state="running",
    )


def _state(parts: Sequence[Usage], priced: int) -> str:
    if not parts:
        return "unused"
    return "paid" if priced == len(parts) else "waiting"


def _part(usage: Usage, charged: tuple[RetailLine, int] | None) -> PartLine:
    charge, borne_minor = charged or (None, 0)
    return PartLine(
        usage_id=to_hex(usage.usage_id),
        start_us=usage.start_us,
        end_us=usage.end_us,
        octets=_octets(usage),
        duration_s=usage.quantities.get("duration_s"),
        price_minor=None if charge is None else charge.amount_minor,
        tax_minor=None if charge is None else charge.tax_minor,
        discount_minor=None if charge is None else charge.discount_minor,
        borne_minor=borne_minor,
    )


def _octets(usage: Usage) -> int:
    used = usage.quantities
    return used.get("octets_in") + used.get("octets_out")
