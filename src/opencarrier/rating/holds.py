"""The life of a hold, and the transfers that book a charge; pure, no ledger is touched here.

A hold belongs to an authorisation. Each rated usage posts what it used and, while a session goes
on, opens the next hold for what is left, in one linked chain: so the subscriber's money is
always covered once, never twice. What no hold covers is the home operator's overrun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.ledger import chart
from opencarrier.ledger.model import Transfer, TransferFlags, post_hold, void_hold
from opencarrier.spine.access import Offered, Quote, Rate
from opencarrier.spine.money import Charge, Role
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Qos, RcoiClass, Service

_LINKED: Final = TransferFlags.LINKED
OVERRUN: Final = "overrun"
"""The code of what a home bears of a charge."""

COVER_US: Final = 7_200 * SECOND_US
"""What a session was paid for stays held for at least two hours, for the cycle that rates it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorisation:
    """An authorisation as it stands: the grant's terms, and what is left of its hold.

    `hold_number` counts the holds opened for it, 0 where nothing had to be held. `held_minor` is
    what the newest still holds, 0 once all is posted or released. `exposure_minor` is what the
    home may still come to owe the visited operator for it. A report of more than `watched_octets`
    is looked at; `spent_us` is when its money was last found to end.
    """

    authorisation_id: bytes
    subscriber: PartyId
    home: PartyId
    visited: PartyId
    node_id: str
    wholesale_tariff_hash: bytes
    retail_tariff_hash: bytes
    plan_hash: bytes
    discount_ppm: int
    asset: AssetId
    hold_minor: int
    session_timeout_s: int
    interim_interval_s: int
    granted_us: int
    expires_us: int
    wholesale_asset: AssetId
    exposure_minor: int
    hold_number: int
    held_minor: int
    hold_expires_us: int
    service: int = Service.WIFI
    qos: int = Qos.NONE
    rcoi: int = RcoiClass.NONE
    quoted_currency: str | None = None
    quoted_nano_per_kib: int | None = None
    accepted_index: int | None = None
    rate_cap_octets_per_s: int | None = None
    watched_octets: int | None = None
    spent_us: int | None = None

    @property
    def rate(self) -> Rate | None:
        """What was accepted of the rates that were offered."""
        quote = self.offered.quote
        if quote is None or self.accepted_index is None:
            return None
        return Rate(self.accepted_index, quote)

    @property
    def offered(self) -> Offered:
        """What the visited operator offered when it asked."""
        quote = None
        if self.quoted_currency is not None and self.quoted_nano_per_kib is not None:
            quote = Quote(self.quoted_currency, self.quoted_nano_per_kib)
        return Offered(
            service=Service(self.service),
            qos=Qos(self.qos),
            rcoi=RcoiClass(self.rcoi),
            quote=quote,
        )

    def covered_minor(self, at_us: int) -> int:
        """Return what the hold still covers: nothing once its time is over."""
        return self.held_minor if at_us < self.hold_expires_us else 0


def hold_transfer(item: Authorisation) -> Transfer:
    """Make the transfer that opens the authorisation's newest hold."""
    assert item.hold_number > 0
    return Transfer(
        transfer_id=derive("transfer", item.authorisation_id, "hold", item.hold_number),
        asset=item.asset,
        debit=chart.prepaid(item.subscriber),
        credit=chart.revenue(item.home),
        amount_minor=item.held_minor,
        code="hold",
        flags=TransferFlags.PENDING,
        expires_us=item.hold_expires_us,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """A payment on the way to a session: the chain that books it, and what is held after it."""

    transfers: list[Transfer]
    hold: Transfer
    authorisation: Authorisation


def cover_transfers(
    item: Authorisation, amount_minor: int, *, payer: str, reference: Id, at_us: int
) -> Covered:
    """Give the subscriber money that was paid for a session, and hold it with what is held.

    One linked chain: in, the old hold released, one for all of it opened.
    """
    assert amount_minor > 0
    paid = Transfer(
        transfer_id=derive("transfer", reference, "cover"),
        asset=item.asset,
        debit=payer,
        credit=chart.prepaid(item.subscriber),
        amount_minor=amount_minor,
        code="cover",
        reference=reference,
    )
    transfers, covered_minor = [paid], item.covered_minor(at_us)
    if covered_minor:
        key = derive("transfer", reference, "release")
        old = void_hold(hold_transfer(item), transfer_id=key, code="release", reference=reference)
        transfers.append(old)
    after = replace(
        item,
        hold_number=item.hold_number + 1,
        held_minor=covered_minor + amount_minor,
        hold_expires_us=max(item.hold_expires_us, at_us + COVER_US),
    )
    hold = hold_transfer(after)
    return Covered(transfers=chain([*transfers, hold]), hold=hold, authorisation=after)


def wholesale_transfers(charge: Charge) -> list[Transfer]:
    """Book each leg from the payer's accrual to whom it is owed, but not what one owes oneself."""
    payer = chart.clearing(charge.payer)
    legs = [leg for leg in charge.allocations if leg.account != payer]
    return chain(
        [
            Transfer(
                transfer_id=derive("transfer", charge.charge_id, int(leg.role), leg.party),
                asset=charge.asset,
                debit=payer,
                credit=leg.account,
                amount_minor=leg.amount_minor,
                code=f"wholesale-{leg.role.name.lower()}",
                reference=charge.charge_id,
            )
            for leg in legs
        ]
    )


def retail_transfers(
    charge: Charge, item: Authorisation, *, done: bool, at_us: int
) -> tuple[list[Transfer], Authorisation]:
    """Book a retail charge against the hold; return the chain and the authorisation after it.

    `done` says that every session of the authorisation has ended: what is left is released.
    """
    covered_minor = min(charge.amount_minor, item.covered_minor(at_us))
    transfers: list[Transfer] = []
    if covered_minor > 0:
        transfers.append(
            post_hold(
                hold_transfer(item),
                transfer_id=derive("transfer", charge.charge_id, "post"),
                amount_minor=covered_minor,
                code="retail",
                reference=charge.charge_id,
            )
        )
        left_minor = 0 if done else item.held_minor - covered_minor
        item = replace(item, held_minor=left_minor)
        if left_minor > 0:
            item = replace(item, hold_number=item.hold_number + 1)
            transfers.append(hold_transfer(item))
    elif done and item.covered_minor(at_us) > 0:
        transfers.append(
            void_hold(
                hold_transfer(item),
                transfer_id=derive("transfer", charge.charge_id, "release"),
                code="release",
                reference=charge.charge_id,
            )
        )
        item = replace(item, held_minor=0)
    transfers += _income(charge, overrun_minor=charge.amount_minor - covered_minor)
    return chain(transfers), item


def overrun_transfers(charge: Charge) -> list[Transfer]:
    """Book a retail charge whose hold the ledger no longer has: the home bears all of it."""
    return chain(_income(charge, overrun_minor=charge.amount_minor))


def chain(transfers: Sequence[Transfer]) -> list[Transfer]:
    """Link transfers so that they are booked together or not at all."""
    linked = [replace(item, flags=item.flags | _LINKED) for item in transfers[:-1]]
    return [*linked, *transfers[-1:]]


def _income(charge: Charge, *, overrun_minor: int) -> list[Transfer]:
    """What else a retail charge moves: the overrun in, the tax out, the discount's cost in.

    The discount is limited to what its budget has; the seller forgoes the rest of it.
    """
    seller, revenue = charge.seller, chart.revenue(charge.seller)
    tax_minor = sum(leg.amount_minor for leg in charge.allocations if leg.role is Role.TAX)
    moves = (
        (OVERRUN, chart.overrun(seller), revenue, overrun_minor, TransferFlags.NONE),
        ("retail-tax", revenue, chart.retail_tax(seller), tax_minor, TransferFlags.NONE),
        (
            "discount",
            chart.discounts(seller),
            revenue,
            charge.discount_minor,
            TransferFlags.BALANCING_DEBIT,
        ),
    )
    return [
        Transfer(
            transfer_id=_label(charge, code),
            asset=charge.asset,
            debit=debit,
            credit=credit,
            amount_minor=amount_minor,
            code=code,
            flags=flags,
            reference=charge.charge_id,
        )
        for code, debit, credit, amount_minor, flags in moves
        if amount_minor > 0
    ]


def _label(charge: Charge, label: str) -> Id:
    return derive("transfer", charge.charge_id, label)
