"""Positions, nets, maturity and the defaulter rule: pure functions of what they are given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from opencarrier.clearing import tree
from opencarrier.clearing.model import (
    DeferralReason,
    Leaf,
    OpenPosition,
    Policy,
    SaltedRecord,
)
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import PPM, AssetId, int64
from opencarrier.kernel.signatures import Address
from opencarrier.spine import ids
from opencarrier.spine.money import Allocation, Charge, Deferral, Kind, Nets, Position, Role
from opencarrier.spine.parties import Beneficiary, PartyId
from opencarrier.spine.usage import Rung


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Pair:
    """Who owes whom in which asset."""

    debtor: PartyId
    creditor: PartyId
    asset: AssetId


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A position and the leaves of its records, ascending by usage id."""

    position: Position
    leaves: tuple[Leaf, ...]


def pair_of(record: SaltedRecord) -> Pair:
    """Return who owes whom for a record: the wholesale payer its seller."""
    charge = record.rated.wholesale
    return Pair(debtor=charge.payer, creditor=charge.seller, asset=charge.asset)


def by_pair(records: Iterable[SaltedRecord]) -> dict[Pair, list[SaltedRecord]]:
    """Group records by who owes whom, pairs ascending."""
    groups: defaultdict[Pair, list[SaltedRecord]] = defaultdict(list)
    for record in records:
        groups[pair_of(record)].append(record)
    return dict(sorted(groups.items()))


def can_be_co_signed(record: SaltedRecord) -> bool:
    """Say whether the evidence lets both sides sign: the home's own Class named the session."""
    usage = record.rated.usage
    return usage.rung is Rung.CO_SIGNED and not usage.weak


def split_at_cap(records: Iterable[SaltedRecord], cap_minor: int) -> list[list[SaltedRecord]]:
    """Cut records, ascending by usage id, into runs whose amounts stay within a cap.

    A position matures whole, so a larger one would wait for ever. A single record above the cap
    stands alone; it waits until its debtor signs.
    """
    runs: list[list[SaltedRecord]] = []
    left = -1
    for record in sorted(records, key=lambda record: record.rated.usage.usage_id):
        amount = record.rated.wholesale.amount_minor
        if amount > left:
            runs.append([])
            left = cap_minor
        runs[-1].append(record)
        left -= amount
    return runs


def statement_digest(position_id: Id) -> bytes:
    """Return what the parties of a position sign; the id covers records, amount and rung."""
    return derive("statement", position_id)


def draft(
    cycle_id: Id, pair: Pair, rung: Rung, jurisdiction: str, records: Sequence[SaltedRecord]
) -> Drafted:
    """Make the position of a pair's records on one rung, in whatever order they come."""
    ordered = sorted(records, key=lambda record: record.rated.usage.usage_id)
    leaves = tuple(_leaf(index, record) for index, record in enumerate(ordered))
    assert all(a.usage_id < b.usage_id for a, b in pairwise(leaves))
    root = tree.pair_root([leaf.leaf_hash for leaf in leaves])
    amount = int64(sum(r.rated.wholesale.amount_minor for r in ordered), "a position")
    position = Position(
        position_id=ids.position_id(
            cycle_id,
            pair.debtor,
            pair.creditor,
            pair.asset,
            rung=rung,
            pair_root=root,
            amount_minor=amount,
        ),
        cycle_id=cycle_id,
        debtor=pair.debtor,
        creditor=pair.creditor,
        asset=pair.asset,
        jurisdiction=jurisdiction,
        rung=rung,
        pair_root=root,
        records=len(ordered),
        amount_minor=amount,
        legs=onward_legs(record.rated.wholesale for record in ordered),
    )
    return Drafted(position=position, leaves=leaves)


def onward_legs(charges: Iterable[Charge]) -> tuple[Allocation, ...]:
    """Sum what the creditor owes onward by role, party and account; its own share is not one."""
    sums: defaultdict[tuple[Role, PartyId, str], int] = defaultdict(int)
    for charge in charges:
        assert charge.kind is Kind.WHOLESALE, "positions are made of wholesale charges"
        for leg in charge.allocations:
            if leg.role is Role.SELLER:
                assert leg.party == charge.seller, "the seller's share is the creditor's"
            elif leg.amount_minor:
                sums[leg.role, leg.party, leg.account] += leg.amount_minor
    return tuple(
        Allocation(role=role, party=party, account=account, amount_minor=amount)
        for (role, party, account), amount in sorted(sums.items())
    )


def nets(positions: Iterable[Position]) -> Nets:
    """Sum positions and their onward legs to one net per member and one share per host."""
    members: defaultdict[PartyId, int] = defaultdict(int)
    hosts: defaultdict[PartyId, int] = defaultdict(int)
    for position in positions:
        onward = sum(leg.amount_minor for leg in position.legs)
        assert onward <= position.amount_minor, "a creditor owes onward what it is owed at most"
        members[position.debtor] -= position.amount_minor
        members[position.creditor] += position.amount_minor - onward
        for leg in position.legs:
            side = hosts if leg.role is Role.HOST else members
            side[leg.party] += leg.amount_minor
    return Nets(members=dict(sorted(members.items())), hosts=dict(sorted(hosts.items())))


def together(one: Nets, other: Nets) -> Nets:
    """Add two nets up."""
    return Nets(members=_added(one.members, other.members), hosts=_added(one.hosts, other.hosts))


def nets_of_charges(charges: Iterable[Charge]) -> Nets:
    """Sum wholesale charges leg by leg; equal to `nets` over the positions they are in."""
    members: defaultdict[PartyId, int] = defaultdict(int)
    hosts: defaultdict[PartyId, int] = defaultdict(int)
    for charge in charges:
        members[charge.payer] -= charge.amount_minor
        for leg in charge.allocations:
            side = hosts if leg.role is Role.HOST else members
            side[leg.party] += leg.amount_minor
    return Nets(members=dict(sorted(members.items())), hosts=dict(sorted(hosts.items())))


def mature(
    positions: Iterable[OpenPosition], *, at_us: int, policy: Policy
) -> tuple[list[Position], list[Deferral]]:
    """Split open positions into those that are due and those that wait, with the reason.

    Signed by both: due at once. One-sided: due when its window has passed in silence, oldest
    first, up to the cap per debtor and creditor; what does not fit waits, smaller ones behind it
    may fit. What its creditor does not claim waits until it does.
    """
    due: list[Position] = []
    waiting: list[Deferral] = []
    silent: defaultdict[tuple[PartyId, PartyId], int] = defaultdict(int)
    for open_ in sorted(positions, key=lambda p: (p.cut_us, p.position.position_id)):
        position = open_.position
        pair = (position.debtor, position.creditor)
        ripe_us = open_.cut_us + policy.one_sided_window_us
        if position.rung is Rung.CO_SIGNED or open_.accepted:
            due.append(position)
        elif open_.is_held:
            waiting.append(defer(position, DeferralReason.UNCLAIMED, "its creditor was asked"))
        elif at_us < ripe_us:
            waiting.append(defer(position, DeferralReason.WINDOW_OPEN, f"until {ripe_us} us"))
        elif silent[pair] + position.amount_minor > policy.one_sided_cap_minor:
            detail = f"{policy.one_sided_cap_minor} per pair and cycle"
            waiting.append(defer(position, DeferralReason.OVER_CAP, detail))
        else:
            silent[pair] += position.amount_minor
            due.append(position)
    return due, waiting


def remove_defaulters(
    positions: Sequence[Position], collateral: Callable[[PartyId], int]
) -> tuple[list[Position], list[Deferral]]:
    """Take out every member that cannot bear its net, with all its positions, until none is left.

    Each round removes all members short in it, both directions and with their legs, and nets
    again: the outcome depends on the set of positions alone, and every round removes at least
    one position, so it ends.
    """
    kept = sorted(positions, key=lambda p: p.position_id)
    removed: list[Deferral] = []
    while True:
        members = nets(kept).members
        short = {party for party, net in members.items() if net < 0 and -net > collateral(party)}
        if not short:
            return kept, removed
        out = [p for p in kept if p.debtor in short or p.creditor in short]
        assert out, "a member with a debit has a position"
        removed += [_short(p, short) for p in out]
        kept = [p for p in kept if p.debtor not in short and p.creditor not in short]


def split(amount_minor: int, beneficiaries: Iterable[Beneficiary]) -> dict[Address, int]:
    """Split a host's share to the unit: parts are rounded down, the rest is the lowest address's.

    Ascending by address, without the zeros, whatever the order they are named in.
    """
    named = sorted(beneficiaries)
    assert sum(b.share_ppm for b in named) == PPM, "beneficiaries share the whole"
    parts = {b.payout: amount_minor * b.share_ppm // PPM for b in named}
    assert len(parts) == len(named), "a beneficiary is named once"
    parts[min(parts)] += amount_minor - sum(parts.values())
    return {payout: part for payout, part in parts.items() if part}


def exclude(
    positions: Iterable[Position], excluded: Mapping[PartyId, str]
) -> tuple[list[Position], list[Deferral]]:
    """Take out every position of excluded parties; the detail says who and why."""
    kept: list[Position] = []
    out: list[Deferral] = []
    for position in positions:
        named = [p for p in (position.debtor, position.creditor) if p in excluded]
        if named:
            detail = "; ".join(f"{party}: {excluded[party]}" for party in dict.fromkeys(named))
            out.append(defer(position, DeferralReason.EXCLUDED, detail))
        else:
            kept.append(position)
    return kept, out


def defer(position: Position, reason: DeferralReason, detail: str = "") -> Deferral:
    """Note why a position waits."""
    return Deferral(
        position_id=position.position_id,
        debtor=position.debtor,
        creditor=position.creditor,
        amount_minor=position.amount_minor,
        reason=reason.name.lower(),
        detail=detail,
    )


def _added(one: Mapping[PartyId, int], other: Mapping[PartyId, int]) -> dict[PartyId, int]:
    parties = sorted({*one, *other})
    return {party: one.get(party, 0) + other.get(party, 0) for party in parties}


def _short(position: Position, short: set[PartyId]) -> Deferral:
    names = dict.fromkeys(p for p in (position.debtor, position.creditor) if p in short)
    return defer(position, DeferralReason.SHORT_OF_COLLATERAL, ", ".join(names))


def _leaf(index: int, record: SaltedRecord) -> Leaf:
    return Leaf(
        usage_id=record.rated.usage.usage_id,
        index=index,
        salt=record.salt,
        leaf_hash=tree.record_leaf(record),
        has_retail=record.rated.retail is not None,
    )
