"""What is done at the distributor beside single claims: many at once, veto, caps, payout addresses.

A change that waits for its delay is asked for once; the same again is told and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from opencarrier.app.acting import actor
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.errands import AMOUNT_MAX, ErrandRefusal, Errands
from opencarrier.chain import events
from opencarrier.chain.contracts import RewardDistributor
from opencarrier.chain.contracts.reward_distributor import CLAIMS_MAX
from opencarrier.chain.model import Call
from opencarrier.chain.ports import Beside
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import from_hex, to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.rewards.claims import Claims, Due

ROOTS_SHOWN_MAX = 20

Told = dict[str, Any] | Refusal


class DistributionRefusal(Reason):
    """Why nothing is done at the distributor."""

    UNKNOWN_ROOT = 1
    TOO_MANY_ACCOUNTS = 2
    NOTHING_DUE = 3
    SAME_ADDRESS = 4


class Distribution:
    """Errands at a venue's distributor; `key` is the actor's, where it is not held here.

    `beside` writes who asked in the database transaction that orders something.
    """

    def __init__(self, place: Onchain, key: KeySigner | None = None) -> None:
        self._place = place
        self._key = key
        self._pool = RewardDistributor(place.manifest.distributor)
        self._token = place.manifest.token
        self._claims = Claims(place.rewards, self._pool)

    def status(self) -> dict[str, Any]:
        """Say what was funded and paid, what bounds the next root, which roots may be vetoed."""
        client, pool, token = self._place.client, self._pool, self._token
        return {
            "funded_minor": pool.funded(token).ask(client),
            "claimed_minor": pool.total_claimed(token).ask(client),
            "delay_s": pool.delay_s().ask(client),
            "guardian": pool.guardian().ask(client),
            "guardian_change": _change(asdict(pool.guardian_change().ask(client))),
            "owner": pool.owner().ask(client),
            "cap_minor": pool.cap_of(token).ask(client) or None,
            "cap_raise": _change(asdict(pool.cap_raise_of(token).ask(client))),
            "roots": self._roots(),
        }

    def veto(self, root: bytes) -> Told:
        """Keep a root that is not ready from ever paying, as the guardian."""
        client, pool, token = self._place.client, self._pool, self._token
        told = {"root": to_hex(root), "vetoed": True}
        if not pool.ready_at(token, root).ask(client):
            return Refusal(DistributionRefusal.UNKNOWN_ROOT, to_hex(root))
        if pool.is_vetoed(token, root).ask(client):
            return told
        guardian = pool.guardian().ask(client)
        done = self._act(guardian, ["rewards/veto", root], pool.veto(token, root))
        return _then(done, lambda: told)

    def set_cap(self, cap_minor: int) -> Told:
        """Bound what a cycle may add, as the owner: lower at once, higher after the delay."""
        if not 0 < cap_minor <= AMOUNT_MAX:
            return Refusal(ErrandRefusal.BAD_AMOUNT, f"cap it at 1 to {AMOUNT_MAX} minor units")
        client, pool, token = self._place.client, self._pool, self._token
        waiting = pool.cap_raise_of(token).ask(client)
        if cap_minor == waiting.amount:
            return self.caps()
        if cap_minor == pool.cap_of(token).ask(client) and not waiting.amount:
            return self.caps()
        owner = pool.owner().ask(client)
        call = pool.set_cap(token, cap_minor)
        return _then(self._act(owner, ["rewards/cap", cap_minor], call, again=True), self.caps)

    def apply_cap(self) -> Told:
        """Raise the cap as was asked, once the delay has passed."""
        waiting = self._pool.cap_raise_of(self._token).ask(self._place.client)
        name: list[Value] = ["rewards/apply-cap", waiting.amount, waiting.ready_at]
        return _then(self._act(self._hub, name, self._pool.apply_cap(self._token)), self.caps)

    def caps(self) -> dict[str, Any]:
        """Say which cap is in force and which waits."""
        told = self.status()
        return {name: told[name] for name in ("cap_minor", "cap_raise")}

    def request_guardian(self, guardian: Address) -> Told:
        """Ask for another guardian, as the owner."""
        client, pool = self._place.client, self._pool
        if pool.guardian_change().ask(client).account == guardian:
            return self.guardians()
        if pool.guardian().ask(client) == guardian:
            return Refusal(DistributionRefusal.SAME_ADDRESS, guardian)
        owner, call = pool.owner().ask(client), pool.request_guardian(guardian)
        name: list[Value] = ["rewards/guardian", guardian]
        return _then(self._act(owner, name, call, again=True), self.guardians)

    def apply_guardian(self) -> Told:
        """Change the guardian once the delay has passed."""
        waiting = self._pool.guardian_change().ask(self._place.client)
        name: list[Value] = ["rewards/apply-guardian", waiting.account, waiting.ready_at]
        return _then(self._act(self._hub, name, self._pool.apply_guardian()), self.guardians)

    def guardians(self) -> dict[str, Any]:
        """Say who is guardian and who is to be."""
        told = self.status()
        return {name: told[name] for name in ("guardian", "guardian_change")}

    def request_payout(
        self, account: Address, payout: Address, *, beside: Beside | None = None
    ) -> Told:
        """Ask, as an account, to be paid elsewhere once the delay has passed."""
        client, pool, token = self._place.client, self._pool, self._token
        if pool.payout_change_of(account, token).ask(client).account == payout:
            return self.payout(account)
        if pool.payout_of(account, token).ask(client) == payout:
            return Refusal(DistributionRefusal.SAME_ADDRESS, payout)
        name: list[Value] = ["rewards/payout", payout]
        call = pool.request_payout(token, payout)
        done = self._act(account, name, call, again=True, beside=beside)
        return _then(done, lambda: self.payout(account))

    def cancel_payout(self, account: Address, *, beside: Beside | None = None) -> Told:
        """Take an account's request back."""
        if self.payout(account)["change"] is None:
            return self.payout(account)
        call = self._pool.cancel_payout(self._token)
        done = self._act(account, ["rewards/cancel-payout"], call, again=True, beside=beside)
        return _then(done, lambda: self.payout(account))

    def apply_payout(self, account: Address, *, beside: Beside | None = None) -> Told:
        """Change where an account is paid once the delay has passed: anybody may."""
        waiting = self._pool.payout_change_of(account, self._token).ask(self._place.client)
        name: list[Value] = ["rewards/apply-payout", account, waiting.account, waiting.ready_at]
        call = self._pool.apply_payout(account, self._token)
        done = self._act(self._hub, name, call, beside=beside)
        return _then(done, lambda: self.payout(account))

    def payout(self, account: Address) -> dict[str, Any]:
        """Say where an account is paid, and where it is to be."""
        client, token = self._place.client, self._token
        change = self._pool.payout_change_of(account, token).ask(client)
        return {
            "account": account,
            "payout": self._pool.payout_of(account, token).ask(client),
            "change": _change(asdict(change)),
        }

    def claim_many(self, accounts: Sequence[Address]) -> Told:
        """Push many accounts' claims in one transaction; what is not due is told, not sent."""
        wanted = sorted(set(accounts))
        if len(wanted) > CLAIMS_MAX:
            return Refusal(DistributionRefusal.TOO_MANY_ACCOUNTS, f"{CLAIMS_MAX} at most")
        with self._place.turn:
            Errands(self._place).follow()
            due, skipped = self._due(wanted)
            if not due:
                words = "; ".join(f"{who}: {why}" for who, why in skipped.items())
                return Refusal(DistributionRefusal.NOTHING_DUE, words[:400])
            content: list[Value] = [[d.claim.account, d.claim.lifetime_amount] for d in due]
            call = self._pool.claim_many([d.claim for d in due])
            done = self._act(self._hub, ["rewards/claim-many", content], call)
        return done if isinstance(done, Refusal) else self._paid(done, skipped)

    @property
    def _hub(self) -> Address:
        return self._place.manager.sender

    def _due(self, accounts: Sequence[Address]) -> tuple[list[Due], dict[Address, str]]:
        """Return what can be paid now, and why the others cannot."""
        due: list[Due] = []
        skipped: dict[Address, str] = {}
        now_s = self._place.chain_now_s()
        with self._place.base.store.read() as unit:
            for account in accounts:
                found = self._claims.due(unit, account, chain=self._place.client, now_s=now_s)
                if isinstance(found, Refusal):
                    skipped[account] = str(found)
                else:
                    due.append(found)
        return due, skipped

    def _paid(self, tx_hash: str, skipped: dict[Address, str]) -> dict[str, Any]:
        """Tell what a transaction paid and what it had to leave out, by its own events."""
        receipt = self._place.client.receipt(from_hex(tx_hash))
        assert receipt is not None, "what was waited for has its receipt"
        told = [event for log in receipt.logs if (event := self._pool.event(log)) is not None]
        paid = {e.account: e.amount for e in told if isinstance(e, events.Claimed)}
        left = {e.account: "skipped" for e in told if isinstance(e, events.ClaimSkipped)}
        return {
            "paid_minor": paid,
            "amount_minor": sum(paid.values()),
            "skipped": {**skipped, **left},
            "tx_hash": tx_hash,
        }

    def _roots(self) -> list[dict[str, Any]]:
        with self._place.base.store.read() as unit:
            roots = self._place.rewards.roots(unit, limit=ROOTS_SHOWN_MAX)
        now_s = self._place.chain_now_s()
        told = [self._root(root, now_s) for root in roots]
        return [item for item in told if item["ready_at_s"]]

    def _root(self, root: bytes, now_s: int) -> dict[str, Any]:
        client, token = self._place.client, self._token
        ready_at_s = self._pool.ready_at(token, root).ask(client)
        return {
            "root": to_hex(root),
            "ready_at_s": ready_at_s,
            "pays": ready_at_s <= now_s,
            "vetoed": self._pool.is_vetoed(token, root).ask(client),
            "left_minor": self._pool.left_of(token, root).ask(client),
        }

    def _act(
        self,
        who: Address,
        name: list[Value],
        call: Call,
        *,
        again: bool = False,
        beside: Beside | None = None,
    ) -> str | Refusal:
        """Have somebody do something at the distributor, and book what came of it."""
        made = actor(self._place, who, None if who == self._hub else self._key)
        if isinstance(made, Refusal):
            return made
        do = made.again if again else made.once
        done = do(name, call, beside=beside)
        Errands(self._place).follow()
        return done


def _then(done: str | Refusal, tell: Callable[[], dict[str, Any]]) -> Told:
    """Tell how it stands once something was done."""
    return done if isinstance(done, Refusal) else tell()


def _change(told: dict[str, Any]) -> dict[str, Any] | None:
    """Return a change that waits in JSON's terms, None where none does."""
    ready_at_s = told.pop("ready_at")
    return {**told, "ready_at_s": ready_at_s} if ready_at_s else None
