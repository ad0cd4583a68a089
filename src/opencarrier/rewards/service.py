"""The room's door: entitle a cycle, take an unsettled one back, prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId, int64
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.rewards import rules, store
from opencarrier.rewards.certificate import RewardSheet, objection
from opencarrier.rewards.merkle import Tree, verify
from opencarrier.rewards.model import (
    NO_ROOT,
    CycleRewards,
    EntitlementLeaf,
    EntitlementProof,
    RewardReason,
    Share,
)
from opencarrier.spine.money import Entitlement


class RewardService:
    """The rewards of one asset, paid in `token`; answers the port `spine.ports.RewardBook`.

    `unit` is the caller's open transaction. The service remembers the last tree it made, nothing
    else.
    """

    __slots__ = ("_last", "asset", "token")

    def __init__(self, asset: AssetId, token: Address) -> None:
        self.asset = asset
        self.token = token
        self._last: Tree | None = None

    def entitle(
        self, unit: Connection, *, cycle_id: Id, entitlements: Sequence[Entitlement]
    ) -> bytes:
        """Add a cycle's shares to the lifetime amounts; return the root of the new tree.

        The same cycle again returns the same root and adds nothing; with other shares it is our
        own mistake (take it back first). A cycle without any share has `NO_ROOT`.
        """
        amounts = rules.by_account(entitlements)
        known = store.by_cycle(unit, self.asset, cycle_id)
        if known is not None:
            before = {s.account: s.amount_minor for s in self.shares(unit, cycle_id=cycle_id)}
            assert before == amounts, "the cycle is entitled with other shares"
            return known.root
        cycle, shares = self._next(unit, cycle_id, amounts)
        store.add(unit, cycle, shares)
        return cycle.root

    def take_back(self, unit: Connection, *, cycle_id: Id) -> None:
        """Forget a cycle that was entitled and then not settled; it must be the newest.

        The caller answers for its settlement being provably dead. An unknown cycle is nothing.
        """
        cycle = store.by_cycle(unit, self.asset, cycle_id)
        if cycle is None:
            return
        assert store.newest(unit, self.asset) == cycle, "only the newest cycle can be taken back"
        store.remove(unit, cycle)

    def objection(self, unit: Connection, *, cycle_id: Id, funding_minor: int) -> Refusal | None:
        """Say why the settlement of an entitled cycle must not be signed, or nothing.

        Everything is read from the store anew and compared with the root before it.
        """
        cycle = store.by_cycle(unit, self.asset, cycle_id)
        assert cycle is not None, "the cycle is entitled"
        if cycle.root == NO_ROOT and funding_minor == 0:
            return None
        former = store.newest(unit, self.asset, with_root=True, before=cycle.number)
        return objection(
            self._sheet(unit, former),
            self._sheet(unit, cycle),
            token=self.token,
            funding_minor=funding_minor,
        )

    def cycle(self, unit: Connection, *, cycle_id: Id) -> CycleRewards | None:
        """Return a cycle's rewards: root, total and all money for hosts so far."""
        return store.by_cycle(unit, self.asset, cycle_id)

    def roots(self, unit: Connection, *, limit: int) -> Sequence[bytes]:
        """Return the roots made here, the newest first; the last may not be published yet."""
        return store.roots(unit, self.asset, limit=limit)

    def shares(self, unit: Connection, *, cycle_id: Id) -> Sequence[Share]:
        """Return what each account earned in a cycle, ascending by account."""
        cycle = store.by_cycle(unit, self.asset, cycle_id)
        return [] if cycle is None else store.shares_of(unit, self.asset, cycle.number)

    def lifetime(self, unit: Connection, account: Address, *, root: bytes | None = None) -> int:
        """Return what an account has earned as of a root (default: the newest cycle's)."""
        cycle = self._published(unit, root)
        if cycle is None:
            return 0
        return store.lifetime(unit, self.asset, account, through=cycle.number)

    def lifetimes(self, unit: Connection, *, root: bytes) -> Mapping[Address, int]:
        """Return what each account has earned as of a root that was made here."""
        cycle = self._published(unit, root)
        return {} if cycle is None else store.lifetimes(unit, self.asset, through=cycle.number)

    def proof(
        self, unit: Connection, account: Address, *, root: bytes | None = None
    ) -> EntitlementProof | Refusal:
        """Prove an account's lifetime amount against a root; `claims` says which one pays.

        Without a root the newest one is taken. Refused: a root that was never made here, an
        account that has earned nothing.
        """
        cycle = self._published(unit, root)
        if cycle is None:
            return Refusal(RewardReason.UNKNOWN_ROOT, "no cycle here made this root")
        amount = store.lifetime(unit, self.asset, account, through=cycle.number)
        if amount == 0:
            return Refusal(RewardReason.UNKNOWN_ACCOUNT, f"{account} has earned nothing")
        leaf = EntitlementLeaf(account=account, token=self.token, lifetime_minor=amount)
        siblings = self._tree(unit, cycle).siblings(leaf)
        assert verify(cycle.root, leaf, siblings), "a proof made here holds"
        return EntitlementProof(
            root=cycle.root, cycle_id=cycle.cycle_id, leaf=leaf, siblings=siblings
        )

    def _next(
        self, unit: Connection, cycle_id: Id, amounts: dict[Address, int]
    ) -> tuple[CycleRewards, list[Share]]:
        last = store.newest(unit, self.asset)
        number, funded = (last.number, last.funded_minor) if last else (0, 0)
        total = int64(sum(amounts.values()), "a cycle's rewards")
        shares: list[Share] = []
        root = NO_ROOT
        if amounts:
            lifetimes = store.lifetimes(unit, self.asset, through=number)
            assert sum(lifetimes.values()) == funded, "the leaves sum to what was funded"
            shares = rules.fold(lifetimes, amounts)
            lifetimes |= {share.account: share.lifetime_minor for share in shares}
            self._last = Tree(rules.leaves(lifetimes, self.token))
            root = self._last.root
        cycle = CycleRewards(
            cycle_id=cycle_id,
            asset=self.asset,
            number=number + 1,
            root=root,
            total_minor=total,
            funded_minor=int64(funded + total, "all rewards"),
        )
        return cycle, shares

    def _sheet(self, unit: Connection, cycle: CycleRewards | None) -> RewardSheet:
        if cycle is None:
            return RewardSheet(root=NO_ROOT, leaves=())
        lifetimes = store.lifetimes(unit, self.asset, through=cycle.number)
        return RewardSheet(root=cycle.root, leaves=rules.leaves(lifetimes, self.token))

    def _published(self, unit: Connection, root: bytes | None) -> CycleRewards | None:
        if root is None:
            return store.newest(unit, self.asset, with_root=True)
        if root == NO_ROOT:
            return None
        return store.by_root(unit, self.asset, root)

    def _tree(self, unit: Connection, cycle: CycleRewards) -> Tree:
        if self._last is None or self._last.root != cycle.root:
            lifetimes = store.lifetimes(unit, self.asset, through=cycle.number)
            self._last = Tree(rules.leaves(lifetimes, self.token))
        assert self._last.root == cycle.root, "the stored shares make the stored root"
        return self._last
