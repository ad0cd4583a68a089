"""Which root a claim is proven against: the newest that pays now, or when the next one does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from opencarrier.chain.contracts import RewardClaim, RewardDistributor
from opencarrier.chain.contracts.base import Reader
from opencarrier.chain.model import Call
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.rewards.model import NO_ROOT, RewardReason
from opencarrier.rewards.service import RewardService

ROOTS_MAX = 100
"""How far back a root is looked for: a hundred cycles may wait or be vetoed in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What an account can be paid now, the root that pays it, and what to show the contract."""

    root: bytes
    amount_minor: int
    claim: RewardClaim


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an account stands at the distributor, minor units.

    `root` pays `payable_minor`; `waiting_minor` more is published and paid later, the first of it
    from `waits_until_s` on (zero where nothing waits).
    """

    root: bytes
    paid_minor: int
    payable_minor: int
    waiting_minor: int
    waits_until_s: int


class Claims:
    """Claims of one asset at one distributor."""

    __slots__ = ("_book", "_distributor")

    def __init__(self, book: RewardService, distributor: RewardDistributor) -> None:
        self._book = book
        self._distributor = distributor

    def standing(
        self, unit: Connection, account: Address, *, chain: Reader, now_s: int
    ) -> Standing:
        """Say what an account can be paid at `now_s` and what waits; no proof is made."""
        paid = self._distributor.claimed(account, self._book.token).ask(chain)
        newest, ready_root, ready_minor, waits_until_s = 0, NO_ROOT, paid, 0
        for root in self._book.roots(unit, limit=ROOTS_MAX):
            lifetime = self._book.lifetime(unit, account, root=root)
            if lifetime <= paid:
                break  # older roots say no more
            ready_at_s = self._ready_at_s(root, chain)
            newest = max(newest, lifetime if ready_at_s else 0)
            if 0 < ready_at_s <= now_s:
                ready_root, ready_minor = root, lifetime
                break
            waits_until_s = ready_at_s or waits_until_s
        return Standing(
            root=ready_root,
            paid_minor=paid,
            payable_minor=ready_minor - paid,
            waiting_minor=max(newest - ready_minor, 0),
            waits_until_s=waits_until_s,
        )

    def due(
        self, unit: Connection, account: Address, *, chain: Reader, now_s: int
    ) -> Due | Refusal:
        """Return what the newest root that pays at `now_s` owes an account.

        Refused: an account that has earned nothing or was paid all of it, and one whose money
        waits, with the second from which it is paid.
        """
        if self._book.lifetime(unit, account) == 0:
            return Refusal(RewardReason.UNKNOWN_ACCOUNT, f"{account} has earned nothing")
        found = self.standing(unit, account, chain=chain, now_s=now_s)
        if found.payable_minor:
            return self._due(unit, account, found.root, found.paid_minor)
        if found.waits_until_s:
            when = datetime.fromtimestamp(found.waits_until_s, UTC).isoformat()
            return Refusal(RewardReason.NOT_READY, f"its root may be vetoed until {when}")
        return Refusal(RewardReason.NOTHING_DUE, f"{found.paid_minor} were paid already")

    def call(self, due: Due) -> Call:
        """Return the call that pays what is due."""
        claim = due.claim
        return self._distributor.claim(
            claim.account, claim.token, claim.lifetime_amount, claim.proof
        )

    def _ready_at_s(self, root: bytes, chain: Reader) -> int:
        """From when a root pays; zero if it was not published or never will."""
        token = self._book.token
        if self._distributor.is_vetoed(token, root).ask(chain):
            return 0
        return self._distributor.ready_at(token, root).ask(chain)

    def _due(self, unit: Connection, account: Address, root: bytes, paid: int) -> Due:
        proof = self._book.proof(unit, account, root=root)
        assert not isinstance(proof, Refusal), "a root of ours proves what it holds"
        lifetime = proof.leaf.lifetime_minor
        claim = RewardClaim(
            account=account,
            token=self._book.token,
            lifetime_amount=lifetime,
            proof=proof.siblings,
        )
        return Due(root=root, amount_minor=lifetime - paid, claim=claim)
