"""The room's door: make positions, clear a cycle, sign, state, and prove a record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.clearing import corrections, due_store, netting, rules, store, tree
from opencarrier.clearing.due_store import DueRecord
from opencarrier.clearing.dues import Flow, due_leaf, flows_of, with_flows
from opencarrier.clearing.dues import draft as draft_flow
from opencarrier.clearing.model import (
    NO_JURISDICTION,
    SALT_OCTETS,
    DeferralReason,
    DueProof,
    OpenPosition,
    Policy,
    RecordProof,
    SaltedRecord,
    SignatureRefusal,
    SignedPosition,
    Statement,
)
from opencarrier.clearing.netting import NettingMode
from opencarrier.clearing.proofs import Prover
from opencarrier.clearing.rules import Drafted, Pair
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, Signature, verify
from opencarrier.spine.money import (
    Charge,
    Cleared,
    Deferral,
    Due,
    Entitlement,
    MemberNet,
    Nets,
    Position,
    Role,
)
from opencarrier.spine.parties import PartyId
from opencarrier.spine.ports import Directory, Members, Notary, Rater
from opencarrier.spine.usage import Rung


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What clearing asks of other rooms."""

    rater: Rater
    directory: Directory
    members: Members
    notary: Notary
    entropy: Entropy


class ClearingService:
    """The clearing of one asset in one domain; answers the port `spine.ports.Clearing`.

    `unit` is the caller's open transaction.
    """

    def __init__(self, ports: Ports, *, asset: AssetId, mode: NettingMode, policy: Policy) -> None:
        assert mode is not NettingMode.CCP, "a cycle's payments name no counterparty"
        self._ports = ports
        self.asset = asset
        self.mode = mode
        self.policy = policy
        self._prover = Prover(ports.rater)

    # positions

    def take(
        self, unit: Connection, *, cycle_id: Id, charges: Sequence[Charge], cut_us: int
    ) -> Sequence[Position]:
        """Make positions of what was rated: one per debtor, creditor, asset and rung.

        One-sided ones are cut at the cap, so that each can mature.
        A usage with a record is left out, so is settlement-free use, and one that is not fully
        rated waits. Where both
        sides' keys sign, a position is co-signed; the rest is one-sided. Records whose amounts
        sum to zero owe nothing: they make no position.
        """
        members = self._ports.members.members(unit)
        records = self._records(unit, charges)
        made: list[Position] = []
        for pair, group in rules.by_pair(records).items():
            jurisdiction = self._jurisdiction(unit, pair.creditor)
            for drafted, signed in self._draft(unit, cycle_id, pair, jurisdiction, group, members):
                position = drafted.position
                store.add(unit, position, drafted.leaves, cut_us=cut_us, signed=signed)
                made.append(position)
        return made

    def _records(self, unit: Connection, charges: Sequence[Charge]) -> list[SaltedRecord]:
        wanted = sorted({charge.usage_id for charge in charges})
        known = store.recorded(unit, wanted)
        records = []
        for usage_id in wanted:
            if usage_id in known:
                continue
            rated = self._ports.rater.rated(unit, usage_id)
            if rated is not None and not rated.wholesale.is_settlement_free:
                label = f"salt/{usage_id.hex()}"
                salt = self._ports.entropy.octets(label, SALT_OCTETS)
                records.append(SaltedRecord(rated=rated, salt=salt))
        return records

    def take_dues(
        self, unit: Connection, *, cycle_id: Id, dues: Sequence[Due], cut_us: int
    ) -> Sequence[Position]:
        """Make positions of adjustments: one for each flow, with one record of its own.

        One that has its positions already is left out. Rungs are as for use: what both sides' keys
        sign here is due at once, the rest waits for the other side, or for its window to pass. So
        does all of it while one-sided use waits between the two: no credit is paid before its use.
        """
        members = self._ports.members.members(unit)
        waiting = {
            frozenset((item.position.debtor, item.position.creditor))
            for item in store.open_positions(unit)
            if item.position.rung is Rung.ONE_SIDED and not item.accepted
        }
        made: list[Position] = []
        for due in dues:
            if due_store.is_recorded(unit, due.adjustment.adjustment_id):
                continue
            jurisdiction = self._jurisdiction(unit, due.adjustment.seller)
            pair = frozenset((due.adjustment.payer, due.adjustment.seller))
            rung = Rung.ONE_SIDED if pair in waiting else Rung.CO_SIGNED
            place = (cycle_id, rung, jurisdiction)
            made += [self._take_flow(unit, flow, place, cut_us, members) for flow in flows_of(due)]
        return made

    def _take_flow(
        self,
        unit: Connection,
        flow: Flow,
        place: tuple[Id, Rung, str],
        cut_us: int,
        members: Mapping[PartyId, Address],
    ) -> Position:
        salt = self._ports.entropy.octets(f"salt/{flow.record_id.hex()}", SALT_OCTETS)
        leaf = due_leaf(flow, salt)
        cycle_id, rung, jurisdiction = place
        position = draft_flow(cycle_id, flow, rung, jurisdiction, leaf)
        both = (flow.debtor, flow.creditor)
        signed = self._sign(unit, position, both, members) if rung is Rung.CO_SIGNED else {}
        if len(signed) < len(both):
            position = draft_flow(cycle_id, flow, Rung.ONE_SIDED, jurisdiction, leaf)
            signed = self._sign_claim(unit, position, members)
        store.add_position(unit, position, cut_us=cut_us, signed=signed)
        record = DueRecord(
            record_id=flow.record_id,
            adjustment_id=flow.due.adjustment.adjustment_id,
            role=flow.role,
            position_id=position.position_id,
            salt=salt,
            leaf_hash=leaf,
        )
        due_store.add(unit, record)
        return position

    def _draft(
        self,
        unit: Connection,
        cycle_id: Id,
        pair: Pair,
        jurisdiction: str,
        records: Sequence[SaltedRecord],
        members: Mapping[PartyId, Address],
    ) -> Iterable[tuple[Drafted, dict[PartyId, Signature]]]:
        """Put what both sides sign on the upper rung and all else on the lower one."""
        upper = [record for record in records if rules.can_be_co_signed(record)]
        lower = [record for record in records if not rules.can_be_co_signed(record)]
        if _amount(upper):
            drafted = rules.draft(cycle_id, pair, Rung.CO_SIGNED, jurisdiction, upper)
            signed = self._sign(unit, drafted.position, (pair.debtor, pair.creditor), members)
            if len(signed) == len({pair.debtor, pair.creditor}):
                yield drafted, signed
            else:
                lower = list(records)
        for run in rules.split_at_cap(lower, self.policy.one_sided_cap_minor):
            if _amount(run):
                drafted = rules.draft(cycle_id, pair, Rung.ONE_SIDED, jurisdiction, run)
                yield drafted, self._sign_claim(unit, drafted.position, members)

    def _sign_claim(
        self, unit: Connection, position: Position, members: Mapping[PartyId, Address]
    ) -> dict[PartyId, Signature]:
        """A one-sided position carries its creditor's signature: the debtor's is the silence."""
        if position.creditor == position.debtor:
            return {}
        return self._sign(unit, position, (position.creditor,), members)

    def _sign(
        self,
        unit: Connection,
        position: Position,
        parties: Iterable[PartyId],
        members: Mapping[PartyId, Address],
    ) -> dict[PartyId, Signature]:
        digest = rules.statement_digest(position.position_id)
        signed: dict[PartyId, Signature] = {}
        for party in sorted(set(parties) & members.keys()):
            signature = self._ports.notary.sign(unit, members[party], digest)
            if signature is not None:
                signed[party] = signature
        return signed

    def _jurisdiction(self, unit: Connection, creditor: PartyId) -> str:
        operator = self._ports.directory.operator(unit, creditor)
        return NO_JURISDICTION if operator is None else operator.jurisdiction

    # clearing

    def clear(
        self,
        unit: Connection,
        *,
        cycle_id: Id,
        at_us: int,
        collateral: Callable[[PartyId], int],
        excluded: Mapping[PartyId, str],
    ) -> Cleared:
        """Choose what is due, remove who cannot pay or is excluded, net, and build the tree.

        The chosen positions belong to the cycle until `release` or `finish`. Without any due
        position the result has `positions` zero and nothing is kept.
        """
        members = self._ports.members.members(unit)
        able, deferred = self._able(unit, store.open_positions(unit), members)
        due, waiting = rules.mature(able, at_us=at_us, policy=self.policy)
        due, out = rules.exclude(due, excluded)
        kept, removed = rules.remove_defaulters(due, collateral)
        deferred += [*waiting, *out, *removed]
        roots = _jurisdiction_roots(kept)
        if kept:
            store.take(unit, cycle_id, [p.position_id for p in kept], roots)
        nets = rules.nets(kept)
        rows = [
            MemberNet(party=party, address=members[party], amount_minor=amount)
            for party, amount in nets.members.items()
            if amount
        ]
        earned = self._entitlements(unit, nets.hosts, at_us)
        return self._cleared(cycle_id, kept, roots, rows, earned, deferred)

    def release(self, unit: Connection, *, cycle_id: Id) -> None:
        """Open a cycle's positions again: the attempt to settle them is provably dead."""
        store.release(unit, cycle_id)

    def finish(self, unit: Connection, *, cycle_id: Id) -> None:
        """Note that a cycle's positions are settled for good."""
        store.finish(unit, cycle_id)

    def waiting(self, unit: Connection, *, at_us: int) -> Sequence[Deferral]:
        """Return the positions that no cycle at an instant would take, and why, by id.

        Who is short of collateral is decided when a cycle closes, so it is not foretold here.
        """
        members = self._ports.members.members(unit)
        able, deferred = self._able(unit, store.open_positions(unit), members)
        _, waiting = rules.mature(able, at_us=at_us, policy=self.policy)
        return sorted([*deferred, *waiting], key=lambda d: d.position_id)

    def _able(
        self,
        unit: Connection,
        positions: Iterable[OpenPosition],
        members: Mapping[PartyId, Address],
    ) -> tuple[list[OpenPosition], list[Deferral]]:
        """Keep the positions that could be settled here at all."""
        able: list[OpenPosition] = []
        deferred: list[Deferral] = []
        for open_ in positions:
            obstacle = self._obstacle(unit, open_.position, members)
            if obstacle is None:
                able.append(open_)
            else:
                deferred.append(rules.defer(open_.position, *obstacle))
        return able, deferred

    def _obstacle(
        self, unit: Connection, position: Position, members: Mapping[PartyId, Address]
    ) -> tuple[DeferralReason, str] | None:
        if position.asset != self.asset:
            return DeferralReason.OTHER_ASSET, position.asset
        onward = [leg.party for leg in position.legs if leg.role is not Role.HOST]
        for party in (position.debtor, position.creditor, *onward):
            if party not in members:
                return DeferralReason.NOT_MEMBER, party
        for leg in position.legs:
            if leg.role is Role.HOST and self._ports.directory.host(unit, leg.party) is None:
                return DeferralReason.NO_PAYOUT, leg.party
        return None

    def _cleared(
        self,
        cycle_id: Id,
        kept: Sequence[Position],
        roots: Mapping[str, bytes],
        rows: Iterable[MemberNet],
        earned: Iterable[Entitlement],
        deferred: Iterable[Deferral],
    ) -> Cleared:
        flows = netting.net(netting.obligations(kept), self.mode)
        return Cleared(
            cycle_id=cycle_id,
            records_root=tree.seal_domain(tree.domain_tree(roots)),
            netting_mode=int(self.mode),
            nets=tuple(sorted(rows, key=lambda row: row.address)),
            entitlements=tuple(earned),
            positions=len(kept),
            records=sum(position.records for position in kept),
            gross_minor=sum(position.amount_minor for position in kept),
            residual_minor=sum(flows.values()),
            payments=len(flows),
            deferred=tuple(sorted(deferred, key=lambda d: d.position_id)),
        )

    def _entitlements(
        self, unit: Connection, hosts: Mapping[PartyId, int], at_us: int
    ) -> Iterable[Entitlement]:
        """Split each host's share among whom it named before the cycle was closed."""
        for host, amount in sorted(hosts.items()):
            named = self._ports.members.beneficiaries(unit, host, at_us=at_us)
            for payout, part in rules.split(amount, named).items():
                yield Entitlement(host=host, payout=payout, amount_minor=part)

    # what others read

    def positions(self, unit: Connection, cycle_id: Id) -> Sequence[SignedPosition]:
        """Return the positions a cycle settles, ascending by id."""
        return store.positions_settled_in(unit, cycle_id)

    def position(self, unit: Connection, position_id: Id) -> SignedPosition | None:
        """Return a position with its standing and signatures."""
        return store.position(unit, position_id)

    def usages(self, unit: Connection, cycle_id: Id) -> Sequence[Id]:
        """Return the usages whose records a cycle settles, ascending."""
        return store.usages_settled_in(unit, cycle_id)

    def accept(
        self, unit: Connection, position_id: Id, party: PartyId, signature: Signature
    ) -> Refusal | None:
        """Take a party's signature over `rules.statement_digest`; the debtor's ends the wait."""
        found = store.position(unit, position_id)
        if found is None:
            return Refusal(SignatureRefusal.UNKNOWN_POSITION, position_id.hex())
        parties = (found.position.debtor, found.position.creditor)
        if party not in parties:
            return Refusal(SignatureRefusal.NOT_A_PARTY, party)
        members = self._ports.members.members(unit)
        digest = rules.statement_digest(position_id)
        if signature.kid != members.get(party) or not verify(digest, signature):
            return Refusal(SignatureRefusal.BAD_SIGNATURE, signature.kid)
        store.sign(unit, position_id, party, signature)
        return None

    def proof(self, unit: Connection, usage_id: Id) -> RecordProof | Refusal:
        """Return a settled record's salt, commitments and path to the root its cycle settled."""
        return self._prover.proof(unit, usage_id)

    def due_record(self, unit: Connection, record_id: Id) -> DueProof | Refusal | None:
        """Return the proof of an adjustment's record, None where the id is of no such record."""
        return self._prover.due_record(unit, record_id)

    def due_records(self, unit: Connection, cycle_id: Id) -> Sequence[DueRecord]:
        """Return the records of adjustments that a cycle settles, ascending."""
        return due_store.settled_in(unit, cycle_id)

    def charged(self, unit: Connection, *, cycle_id: Id) -> Nets:
        """Sum what is behind a cycle's records again, one by one, from what rating holds.

        Corrections are what both signed: they stand beside it as they are.
        """
        rated = (self._ports.rater.rated(unit, u) for u in store.usages_settled_in(unit, cycle_id))
        charges = rules.nets_of_charges(item.wholesale for item in rated if item is not None)
        flowed = with_flows(charges, self._flows(unit, cycle_id))
        return rules.together(flowed, rules.nets(corrections.settled_in(unit, cycle_id)))

    def _flows(self, unit: Connection, cycle_id: Id) -> Iterable[Flow]:
        """Make the flows of adjustments that a cycle settles again."""
        for record in due_store.settled_in(unit, cycle_id):
            due = self._ports.rater.due(unit, record.adjustment_id)
            assert due is not None, "an adjustment that was made is gone"
            yield next(flow for flow in flows_of(due) if flow.role == record.role)

    def unsettled(self, unit: Connection) -> Nets:
        """Return the nets of all positions that are not settled for good."""
        return rules.nets(store.unsettled_positions(unit))

    def statements(self, unit: Connection, cycle_id: Id) -> Sequence[Statement]:
        """Return what each pair of operators owes each other by the usage cut in a cycle."""
        groups: defaultdict[tuple[PartyId, PartyId, AssetId], list[SignedPosition]]
        groups = defaultdict(list)
        for signed in store.positions_cut_in(unit, cycle_id):
            position = signed.position
            first, second = sorted((position.debtor, position.creditor))
            groups[first, second, position.asset].append(signed)
        return [_statement(cycle_id, key, positions) for key, positions in sorted(groups.items())]


def _amount(records: Iterable[SaltedRecord]) -> int:
    return sum(record.rated.wholesale.amount_minor for record in records)


def _jurisdiction_roots(positions: Iterable[Position]) -> dict[str, bytes]:
    by_name: defaultdict[str, list[Id]] = defaultdict(list)
    for position in positions:
        by_name[position.jurisdiction].append(position.position_id)
    return {
        name: tree.seal_jurisdiction(tree.jurisdiction_tree(ids))
        for name, ids in sorted(by_name.items())
    }


def _statement(
    cycle_id: Id, key: tuple[PartyId, PartyId, AssetId], positions: Sequence[SignedPosition]
) -> Statement:
    first, second, asset = key
    owed = {True: 0, False: 0}
    for signed in positions:
        owed[signed.position.debtor == first] += signed.position.amount_minor
    return Statement(
        cycle_id=cycle_id,
        first=first,
        second=second,
        asset=asset,
        first_owes_minor=owed[True],
        second_owes_minor=owed[False],
        positions=tuple(positions),
    )
