"""What rewards know of where money stands: claimable at an address, or claimed there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection

from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.signatures import Address
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.rewards import store
from opencarrier.rewards.model import CycleRewards, Share
from opencarrier.rewards.service import RewardService
from opencarrier.spine.parties import PartyId
from opencarrier.spine.stages import Stage, StageReason, Step


class RewardStages:
    """Answers the port `Stages` for cycles: a step for each of some accounts that earned in one.

    An account is paid lifetime amounts, the oldest first: a cycle's share is claimed once what was
    paid reaches the lifetime amount as of that cycle.
    """

    def __init__(self, book: RewardService, accounts: Collection[Address]) -> None:
        self._book = book
        self._accounts = accounts

    def steps(self, unit: Connection, about: Sequence[Id]) -> Sequence[Step]:
        """Return what the accounts can claim of cycles, or have claimed."""
        return [step for cycle_id in about for step in self._cycle(unit, cycle_id)]

    def _cycle(self, unit: Connection, cycle_id: Id) -> Iterator[Step]:
        cycle = self._book.cycle(unit, cycle_id=cycle_id)
        if cycle is None:
            return
        shares = store.shares_of(unit, cycle.asset, cycle.number, accounts=self._accounts)
        for share in shares:
            yield _step(cycle, share, self._paid_minor(unit, share.account))

    def _paid_minor(self, unit: Connection, account: Address) -> int:
        prefix = chart.entitled(account, PartyId(""))
        found = ledger.accounts(unit, self._book.asset, prefix=prefix)
        return sum(item.balance.debits_posted for item in found)


def _step(cycle: CycleRewards, share: Share, paid_minor: int) -> Step:
    claimed = paid_minor >= share.lifetime_minor
    owed_minor = min(share.amount_minor, max(0, share.lifetime_minor - paid_minor))
    return Step(
        stage=Stage.CLAIMED if claimed else Stage.CLAIMABLE,
        reason=(StageReason.PAID_TO_HOST if claimed else StageReason.OWED_TO_HOST).name.lower(),
        about=cycle.cycle_id,
        facts={
            "account": share.account,
            "amount_minor": share.amount_minor,
            "unclaimed_minor": owed_minor,
            "rewards_root": to_hex(cycle.root),
        },
    )
