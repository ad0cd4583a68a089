"""The life of a use as its own people may see it, and in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.views.parties import parties_of
from opencarrier.app.console.visitor import Visitor
from opencarrier.app.timelines import LIMIT, begin, unknown
from opencarrier.app.tracing import Tracing
from opencarrier.identity.accounts.model import Role
from opencarrier.kernel.ids import from_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.receipts.issue import AUDIENCES
from opencarrier.spine.parties import PartyId

STAGES: Final[Mapping[str, str]] = {
    "received": N_("Heard of"),
    "duplicate": N_("Heard again"),
    "refused": N_("Not taken"),
    "matched": N_("Made sure of"),
    "replaced": N_("Replaced"),
    "rated": N_("Priced"),
    "suspended": N_("Not priced yet"),
    "adjusted": N_("Adjusted by a deal"),
    "waiting": N_("Waiting to be paid"),
    "netted": N_("Set off"),
    "in_root": N_("Written into the cycle's fingerprint"),
    "settled": N_("Settled"),
    "claimable": N_("The host's share"),
    "claimed": N_("Paid to the host"),
}
"""What each stage is called, in the order in which they are reached."""

REASONS: Final[Mapping[str, str]] = {
    "reported": N_("The node reported what was used."),
    "not_cut": N_("It goes on, or no cycle has ended since."),
    "seen_before": N_("The same report came again; it counts once."),
    "one_sided": N_("The node's side alone says so; the other may object within its time."),
    "co_signed": N_("The home let the device in and got its own token back: both sides say so."),
    "by_correction": N_("A later record counts in its place."),
    "by_void": N_("A later record says that it never counted."),
    "wholesale": N_("What one operator owes the other for it."),
    "retail": N_("What the subscriber pays for it."),
    "settlement_free": N_("Nobody owes anything for it: it is free by its kind."),
    "due_next_cycle": N_("The next cycle takes it."),
    "taken_by_cycle": N_("A cycle took it; it is being paid."),
    "paid_by_cycle": N_("A cycle set it off against what was owed the other way, and paid it."),
    "leaf_of_cycle": N_("From here its receipt leads to the chain."),
    "booked": N_("The books have it; the chain does not yet."),
    "ordered": N_("The settlement is made and goes to the chain next."),
    "sent": N_("The settlement is on its way into the chain."),
    "final": N_("The chain holds it, and it can no longer be undone."),
    "lost": N_("The chain settled the cycle otherwise. Somebody has to look at this."),
    "owed_to_host": N_("The host can withdraw it now."),
    "root_not_ready": N_("It can be withdrawn after the time in which it may be vetoed."),
    "root_vetoed": N_("The guardian vetoed it. Somebody has to look at this."),
    "paid_to_host": N_("It is at the host's address."),
    "no_home": N_("No operator here is the device's home."),
    "authorisation_mismatch": N_("The session was let in for somebody or somewhere else."),
    "no_agreement": N_("The two operators have no agreement."),
    "no_tariff_in_force": N_("No tariff of the agreement was in force then."),
    "no_node": N_("The node is not registered, so nobody knows whose it is."),
    "beyond_range": N_("The counters are beyond what a session can use."),
    "other_asset": N_("It is owed in another currency than this house settles in."),
    "not_member": N_("A party is no member of the clearing house yet."),
    "no_payout": N_("The host has no address to be paid at."),
    "unclaimed": N_("Who is owed it has not claimed it yet."),
    "window_open": N_("The other side may still object."),
    "over_cap": N_("More than may be paid at once on one side's word."),
    "excluded": N_("A party was left out of the cycle."),
    "short_of_collateral": N_("A party has not deposited enough to pay."),
    "replaced": N_("Another position was agreed on in its place."),
    "open": N_("The deal's period goes on."),
    "met": N_("The deal's commitment is met."),
    "missed": N_("The deal's commitment is missed."),
    "no_deal": N_("Nothing came of the deal in this period."),
    "shortfall": N_("The shortfall is paid as the deal says."),
}
"""What each reason means for people."""

WAITS: Final = frozenset(
    {"not_cut", "booked", "ordered", "sent", "root_not_ready", "taken_by_cycle", "open"}
)
ACTS: Final = frozenset({"lost", "root_vetoed", "missed"})
_STATES: Final = {"refused": "act", "suspended": "act", "waiting": "wait"}

KINDS: Final[Mapping[str, str]] = {
    "usage": N_("A use"),
    "session": N_("A session"),
    "cycle": N_("A cycle"),
    "subscriber": N_("A subscriber"),
    "host": N_("A host"),
    "node": N_("A node"),
    "file": N_("A file"),
    "adjustment": N_("An adjustment by a deal"),
    "record": N_("A record of a file"),
}
"""What an id can mean."""

LINKED: Final[Mapping[str, str]] = {
    "session_id": "/trace/",
    "cycle_id": "/trace/",
    "cut_in": "/trace/",
    "adjustment_id": "/trace/",
    "node": "/trace/",
}
_BETWEEN_OPERATORS: Final = frozenset(
    {"position_minor", "debtor", "creditor", "gross_minor", "net_minor", "amount_minor"}
)
_PRICED: Final = frozenset({"rated", "suspended"})
_HOSTS: Final = frozenset({"claimable", "claimed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStep:
    """A stage and its reason by their codes; `state` is good, wait or act (a person is needed)."""

    stage: str
    reason: str
    state: str
    at_us: int | None
    facts: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What the stage is called."""
        return STAGES[self.stage]

    @property
    def says(self) -> str:
        """What the reason means; empty where it is a reader's own."""
        return REASONS.get(self.reason, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceItem:
    """A thing and its life, oldest stage first."""

    kind: str
    id: str | None
    steps: Sequence[TraceStep]

    @property
    def octets(self) -> int | None:
        """What was used, in and out."""
        first = self.steps[0].facts if self.steps else {}
        if "octets_in" not in first:
            return None
        return int(first["octets_in"]) + int(first["octets_out"])

    @property
    def standing(self) -> TraceStep:
        """How far it got, for those between whom it is; a host's share comes after."""
        return [step for step in self.steps if step.stage not in _HOSTS][-1]

    @property
    def has_receipt(self) -> bool:
        """Whether a receipt of it can be written."""
        return self.kind != "cycle" and any(step.reason == "final" for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceView:
    """A page of what an id means; `next` is the cursor of the next."""

    id: str
    kind: str
    is_partial: bool
    items: Sequence[TraceItem]
    next: str | None


class Traces:
    """Traces for whoever may see them: what is another's is as unknown as what does not exist."""

    def __init__(self, place: Onchain) -> None:
        self._place = place
        self._tracing = Tracing(place)

    def told(
        self, visitor: Visitor, text: str, *, after: str = "", limit: int = LIMIT
    ) -> dict[str, Any] | Refusal:
        """Tell a page of an id's timelines as `Tracing.trace` does, less what is another's."""
        if visitor.is_owner:
            return self._tracing.trace(text, after=after, limit=limit)
        cursor = begin(after, limit)
        if isinstance(cursor, Refusal):
            return cursor
        answer = self._tracing.trace(text, after=after, limit=limit)
        with self._place.base.store.read() as unit:
            if isinstance(answer, Refusal) or not self._may(unit, visitor, text, answer):
                return unknown(text)
            items = [
                kept
                for item in answer["items"]
                if (kept := self._kept(unit, visitor, item)) is not None
            ]
        return {**answer, "items": items}

    def _may(
        self, unit: Connection, visitor: Visitor, text: str, answer: Mapping[str, Any]
    ) -> bool:
        """Say whether an id is the visitor's to ask for; a cycle, a file, a pseudonym are not."""
        directory, base = self._place.base.identity.directory, self._place.base
        operators, kind = visitor.at(Role.OPERATOR), answer["kind"]
        if kind == "subscriber":
            found = directory.subscriber(unit, PartyId(text))
            theirs = found is not None and found.home in operators
            return theirs or PartyId(text) in visitor.at(Role.SUBSCRIBER)
        if kind == "host":
            return PartyId(text) in visitor.at(Role.HOST)
        if kind == "node":
            node = directory.node_by_id(unit, text)
            return node is not None and (
                node.operator in operators or node.host in visitor.at(Role.HOST)
            )
        if kind == "usage":
            usage = base.usage.usage(unit, from_hex(text))
            return usage is not None and bool(parties_of(base, unit, usage).parts_for(visitor))
        if kind == "session":
            cut = base.usage.usages_of(unit, from_hex(text))
            return bool(cut) and bool(parties_of(base, unit, cut[0]).parts_for(visitor))
        return kind == "adjustment" and bool(_pair(answer) & operators)

    def _kept(
        self, unit: Connection, visitor: Visitor, item: dict[str, Any]
    ) -> dict[str, Any] | None:
        if item["kind"] != "usage":
            return item
        usage = self._place.base.usage.usage(unit, from_hex(item["id"]))
        assert usage is not None, "a usage that was traced is there"
        parts = parties_of(self._place.base, unit, usage).parts_for(visitor)
        if not parts:
            return None
        steps = [kept for step in item["steps"] if (kept := _step_for(step, parts)) is not None]
        return {**item, "steps": steps}


def _pair(answer: Mapping[str, Any]) -> set[PartyId]:
    """Return whom a deal's adjustment is between."""
    steps = [step for item in answer["items"] for step in item["steps"]]
    return {PartyId(step[name]) for step in steps for name in ("payer", "seller") if name in step}


def _step_for(step: dict[str, Any], parts: frozenset[str]) -> dict[str, Any] | None:
    """Return what those who see these parts may see of a step."""
    if parts == AUDIENCES["all"]:
        return step
    contract = step.get("contract", step["reason"])
    if step["stage"] in _PRICED and contract in AUDIENCES["all"] - parts:
        return None
    if "wholesale" in parts:
        return step
    if step["stage"] in _HOSTS:
        return None
    hidden = frozenset() if step["stage"] in _PRICED else _BETWEEN_OPERATORS
    return {name: value for name, value in step.items() if name not in hidden}


def trace_view(told: Mapping[str, Any]) -> TraceView:
    """Return what a page shows of an answer."""
    return TraceView(
        id=told["id"],
        kind=told["kind"],
        is_partial=told["is_partial"],
        items=[
            TraceItem(kind=item["kind"], id=item["id"], steps=[_step(one) for one in item["steps"]])
            for item in told["items"]
        ],
        next=told["next"],
    )


def _step(step: Mapping[str, Any]) -> TraceStep:
    stage, reason = step["stage"], step["reason"]
    state = "wait" if reason in WAITS else "act" if reason in ACTS else _STATES.get(stage, "good")
    if stage == "suspended" and step.get("rated_us"):
        state = "good"
    skipped = ("stage", "reason", "at_us")
    return TraceStep(
        stage=stage,
        reason=reason,
        state=state,
        at_us=step["at_us"],
        facts={k: v for k, v in step.items() if k not in skipped and v is not None},
    )
