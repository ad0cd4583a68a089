"""What members do with the clearing house's corridors: open, claim, answer a claim, end it.

Each errand looks first: what the contract already has is told and nothing is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opencarrier.app.acting import Actor, actor
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.errands import AMOUNT_MAX, ErrandRefusal, Errands
from opencarrier.chain.contracts import ClearingHouse
from opencarrier.chain.contracts.clearing_house import Claim, ClaimState, claim_id
from opencarrier.chain.model import Call
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address, KeySigner

OPEN_FOR_EVER_S = (1 << 256) - 1
"""What a corridor that nobody closes has as its end."""

Told = dict[str, Any] | Refusal


class CorridorRefusal(Reason):
    """Why nothing is done about a corridor or a claim."""

    NO_CORRIDOR = 1
    OPEN_OTHERWISE = 2
    UNKNOWN_CLAIM = 3
    CLAIMED_OTHERWISE = 4
    NOT_A_PARTY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Who may be claimed from and who may claim."""

    debtor: Address
    creditor: Address


class Corridors:
    """Errands about corridors; `key` is the actor's, where it is not held here."""

    def __init__(self, place: Onchain, key: KeySigner | None = None) -> None:
        self._place = place
        self._key = key
        self._house = ClearingHouse(place.manifest.clearing_house)
        self._token = place.manifest.token

    def open(self, pair: Pair, *, window_s: int, cap_minor: int) -> Told:
        """Let the creditor claim up to a cap without a signature, each claim for a window."""
        if not 0 < cap_minor <= AMOUNT_MAX:
            return Refusal(ErrandRefusal.BAD_AMOUNT, f"cap it at 1 to {AMOUNT_MAX} minor units")
        found = self._corridor(pair)
        if found["open"]:
            if (found["window_s"], found["cap_minor"]) == (window_s, cap_minor):
                return found
            detail = f"window {found['window_s']} s, cap {found['cap_minor']}"
            return Refusal(CorridorRefusal.OPEN_OTHERWISE, detail)
        with self._place.turn:
            self._place.enrol()
        call = self._house.open_corridor(
            self._token, pair.creditor, window_s=window_s, cap=cap_minor
        )
        name: list[Value] = ["corridor/open", pair.creditor, window_s, cap_minor]
        return self._act(pair.debtor, name, call, again=True) or self._corridor(pair)

    def close(self, pair: Pair) -> Told:
        """End new claims of the creditor once the notice has passed."""
        found = self._corridor(pair)
        if found["closes_at_s"] is not None:
            return found
        if not found["open"]:
            return Refusal(CorridorRefusal.NO_CORRIDOR, f"{pair.debtor} to {pair.creditor}")
        call = self._house.close_corridor(self._token, pair.creditor)
        name: list[Value] = ["corridor/close", pair.creditor]
        return self._act(pair.debtor, name, call, again=True) or self._corridor(pair)

    def claim(self, pair: Pair, *, cycle_id: bytes, records_root: bytes, amount_minor: int) -> Told:
        """Claim what the debtor owes for a cycle; one claim for each cycle and pair."""
        if not 0 < amount_minor <= AMOUNT_MAX:
            return Refusal(ErrandRefusal.BAD_AMOUNT, f"claim 1 to {AMOUNT_MAX} minor units")
        key = claim_id(self._token, cycle_id, debtor=pair.debtor, creditor=pair.creditor)
        call = self._house.post_claim(
            self._token,
            pair.debtor,
            cycle_id=cycle_id,
            records_root=records_root,
            amount=amount_minor,
        )
        content: list[Value] = ["corridor/claim", key, records_root, amount_minor]
        return self._act(pair.creditor, content, call) or self.show(key)

    def accept(self, key: bytes) -> Told:
        """Pay a claim at once."""
        return self._answer(key, ["accept"], self._house.accept_claim(key))

    def dispute(self, key: bytes, undisputed_minor: int) -> Told:
        """Pay the undisputed part of a claim and have the rest decided, against a bond."""
        if undisputed_minor < 0:
            return Refusal(ErrandRefusal.BAD_AMOUNT, "what is undisputed is not negative")
        call = self._house.dispute_claim(key, undisputed_minor)
        return self._answer(key, ["dispute", undisputed_minor], call)

    def decide(self, key: bytes, to_creditor_minor: int) -> Told:
        """Decide a dispute, as its arbiter."""
        found = self._claim(key)
        if isinstance(found, Refusal):
            return found
        arbiter = self._house.arbiter().ask(self._place.client)
        call = self._house.decide_claim(key, to_creditor_minor)
        return self._end(key, arbiter, ["decide", to_creditor_minor], call)

    def agree(
        self, key: bytes, to_creditor_minor: int, *, party: Address, reference: str = ""
    ) -> Told:
        """Say as one party how to end a dispute; it ends once the other says the same.

        Whoever comes back to what it said before names that by another reference.
        """
        found = self._claim(key)
        if isinstance(found, Refusal):
            return found
        if party not in (found.debtor, found.creditor):
            return Refusal(CorridorRefusal.NOT_A_PARTY, party)
        call = self._house.agree_claim(key, to_creditor_minor)
        return self._end(key, party, ["agree", to_creditor_minor, reference], call)

    def finish(self, key: bytes) -> Told:
        """End a claim or dispute whose time is over: anybody may, and here the hub does."""
        found = self._claim(key)
        if isinstance(found, Refusal):
            return found
        if found.state is ClaimState.ENDED:
            return self.show(key)
        name: list[Value] = ["corridor/finish", key, found.deadline]
        call = self._house.finish_claim(key)
        return self._act(self._place.manager.sender, name, call) or self.show(key)

    def show(self, key: bytes) -> Told:
        """Say where a claim stands."""
        found = self._claim(key)
        if isinstance(found, Refusal):
            return found
        return {
            "claim_id": to_hex(key),
            "debtor": found.debtor,
            "creditor": found.creditor,
            "amount_minor": found.amount,
            "bond_minor": found.bond,
            "deadline_s": found.deadline,
            "state": found.state.name.lower(),
        }

    def corridor(self, pair: Pair) -> dict[str, Any]:
        """Say what a creditor may claim from a debtor."""
        return self._corridor(pair)

    def _corridor(self, pair: Pair) -> dict[str, Any]:
        query = self._house.corridor_of(self._token, pair.debtor, pair.creditor)
        found = query.ask(self._place.client)
        ends = 0 < found.closes_at < OPEN_FOR_EVER_S
        return {
            "debtor": pair.debtor,
            "creditor": pair.creditor,
            "open": found.closes_at == OPEN_FOR_EVER_S,
            "window_s": found.window_s,
            "cap_minor": found.cap,
            "escrowed_minor": found.escrowed,
            "closes_at_s": found.closes_at if ends else None,
        }

    def _claim(self, key: bytes) -> Claim | Refusal:
        found = self._house.claim_of(key).ask(self._place.client)
        if found.state is ClaimState.NONE:
            return Refusal(CorridorRefusal.UNKNOWN_CLAIM, to_hex(key))
        return found

    def _answer(self, key: bytes, name: list[Value], call: Call) -> Told:
        found = self._claim(key)
        return found if isinstance(found, Refusal) else self._end(key, found.debtor, name, call)

    def _end(self, key: bytes, who: Address, name: list[Value], call: Call) -> Told:
        return self._act(who, ["corridor", key, *name], call) or self.show(key)

    def _act(
        self, who: Address, name: list[Value], call: Call, *, again: bool = False
    ) -> Refusal | None:
        """Have a member do something at the house, and book what came of it."""
        made = actor(self._place, who, self._key)
        if isinstance(made, Refusal):
            return made
        done = _do(made, name, call, again=again)
        Errands(self._place).follow()
        return done if isinstance(done, Refusal) else None


def _do(who: Actor, name: list[Value], call: Call, *, again: bool) -> str | Refusal:
    return who.again(name, call) if again else who.once(name, call)
