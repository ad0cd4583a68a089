"""Credit by volume: how many octets more a subscriber's money covers, held to the unit.

A session that asks again and again has its hold renewed each time: the old one released and one
for what it used and may use opened, in one linked chain.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, func, select

from opencarrier.kernel.ids import Id, derive
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer, void_hold
from opencarrier.rating import caps, discounts, store, tables
from opencarrier.rating.holds import COVER_US, Authorisation, chain, hold_transfer
from opencarrier.rating.model import RetailPlan
from opencarrier.rating.rules import v1
from opencarrier.spine.money import Kind
from opencarrier.spine.usage import Counters


def reserve(
    unit: Connection,
    item: Authorisation,
    session_id: Id,
    *,
    used: Counters,
    octets: int,
    ahead_s: int,
    at_us: int,
) -> int | None:
    """Hold what is used and as many more octets as the money covers; return how many these are.

    `ahead_s` more seconds are held for too, which counts where time is what costs.
    None where what is used is beyond the formula's range: nothing is changed then. What is used
    beyond the money is the home's overrun once it is rated.
    """
    plan = store.plan(unit, item.plan_hash)
    assert plan is not None, "an authorisation's plan is gone"
    charged_minor = _charged_minor(unit, session_id)
    if _cost_minor(plan, item.discount_ppm, used, 0) is None:
        return None
    until = replace(used, session_time_s=used.session_time_s + ahead_s)
    held_minor = item.covered_minor(at_us)
    money_minor = held_minor + _more_minor(unit, item, at_us)
    granted = _covered(plan, item.discount_ppm, until, octets, charged_minor + money_minor)
    cost_minor = _cost_minor(plan, item.discount_ppm, until if granted else used, granted)
    assert cost_minor is not None, "what is granted was priced"
    need_minor = max(0, min(cost_minor - charged_minor, money_minor))
    if need_minor != held_minor:
        _hold(unit, item, need_minor, at_us)
    return granted


def release(unit: Connection, item: Authorisation, at_us: int) -> None:
    """Void what is held, what the home may come to owe and what is reserved at a discount.

    Once that is done again is nothing.
    """
    item = replace(item, exposure_minor=0)
    spendings = discounts.by_authorisation(unit, [item.authorisation_id])
    discounts.write(unit, {key: one.released() for key, one in spendings.items()})
    if item.held_minor:
        _hold(unit, item, 0, at_us)
    else:
        store.write_authorisations(unit, [item])


def _covered(
    plan: RetailPlan, discount_ppm: int, used: Counters, octets: int, money_minor: int
) -> int:
    """Return the most octets beyond what is used, up to some, that money covers."""
    least, beyond = 0, octets + 1
    while beyond - least > 1:
        middle = (least + beyond) // 2
        cost_minor = _cost_minor(plan, discount_ppm, used, middle)
        if cost_minor is not None and cost_minor <= money_minor:
            least = middle
        else:
            beyond = middle
    return least


def _cost_minor(plan: RetailPlan, discount_ppm: int, used: Counters, octets: int) -> int | None:
    """Return the price of a session with so many octets more, in the direction that costs."""
    price = plan.price
    way = "octets_in" if price.unit == "octets_in" else "octets_out"
    after = replace(used, **{way: getattr(used, way) + octets})
    if not v1.fits(price, v1.quantity(price.unit, after), discount_ppm):
        return None
    legs = v1.retail_legs(price, discount_ppm, after)
    return legs.seller_minor + legs.tax_minor


def _more_minor(unit: Connection, item: Authorisation, at_us: int) -> int:
    """Return what may be held besides: what the subscriber has free, as far as its cap allows."""
    balance = ledger.balance(unit, item.asset, chart.prepaid(item.subscriber))
    cap = caps.of(unit, [item.subscriber]).get(item.subscriber)
    if cap is None or cap.asset != item.asset:
        return balance.free_minor
    room_minor = caps.room_minor(unit, cap, held_minor=balance.debits_pending, at_us=at_us)
    return min(balance.free_minor, room_minor)


def _charged_minor(unit: Connection, session_id: Id) -> int:
    """Return what cycles have charged a session so far: it is posted, and no longer held."""
    query = select(func.coalesce(func.sum(tables.charges.c.amount_minor), 0)).where(
        tables.charges.c.session_id == session_id, tables.charges.c.kind == int(Kind.RETAIL)
    )
    return int(unit.execute(query).scalar_one())


def _hold(unit: Connection, item: Authorisation, need_minor: int, at_us: int) -> None:
    """Release the old hold and open one for another amount, together or not at all."""
    transfers: list[Transfer] = []
    if item.covered_minor(at_us):
        key = derive("transfer", item.authorisation_id, "renew", item.hold_number)
        transfers.append(void_hold(hold_transfer(item), transfer_id=key, code="release"))
    after = replace(item, held_minor=need_minor)
    if need_minor:
        after = replace(
            after,
            hold_number=item.hold_number + 1,
            hold_expires_us=max(item.hold_expires_us, at_us + COVER_US),
        )
        transfers.append(hold_transfer(after))
    if transfers:
        outcomes = ledger.apply(unit, chain(transfers), at_us)
        assert set(outcomes) == {None}, f"a renewed hold is refused: {outcomes}"
    store.write_authorisations(unit, [after])
