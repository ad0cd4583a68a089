"""Bans of nodes: prepare, sign and send one, appeal, decide, and have silence written down.

What is done on the chain has a name made of what it does, so it is done once however often asked.
A ban is a draft first: it waits there for its guardians' signatures, and for the people who have to
approve it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from opencarrier.app import asking
from opencarrier.app.acting import actor
from opencarrier.app.bootstrap import Bans, Onchain
from opencarrier.app.errands import Errands
from opencarrier.bans.model import BanReason, Case, Draft, reason_hash
from opencarrier.chain.contracts import NodeRegistry, Stage
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.model import Call
from opencarrier.chain.ports import Beside
from opencarrier.chain.typed_data import BanStatement, ban_digest
from opencarrier.identity.accounts.model import NOBODY, AccountId
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import derive, to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.spine.nodes import chain_node_id

DAY_S = 86_400

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A ban that somebody wants: why by code, for how long, what it takes of the bond, on what."""

    node_id: str
    code: str
    days: int
    slash_minor: int
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Who may do what about bans at the venue, and for how long a ban may last."""

    guardians: tuple[Address, ...]
    threshold: int
    arbiter: Address
    ban_s_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A ban that was wanted: sent by `tx_hash`, or kept as a draft and why (`waits`)."""

    draft: Draft
    tx_hash: str = ""
    waits: Refusal | None = None


def begun(draft: Draft, sent: str | Refusal) -> Begun:
    """Return what came of a draft that was to be sent."""
    if isinstance(sent, Refusal):
        return Begun(draft=draft, waits=sent)
    return Begun(draft=draft, tx_hash=sent)


def by_contract(
    act: Callable[Concatenate[Banning, P], T | Refusal],
) -> Callable[Concatenate[Banning, P], T | Refusal]:
    """Tell the contract's no as a refusal with its own words."""

    def tried(self: Banning, /, *arguments: P.args, **words: P.kwargs) -> T | Refusal:
        try:
            return act(self, *arguments, **words)
        except RevertedError as error:
            return Refusal(BanReason.REFUSED, error.reason or "")

    return tried


class Banning:
    """Errands about bans at one venue; `key` is the actor's, where it is not held here.

    Whoever calls has checked that the caller may ask for them. `by` is who asks, for the people who
    approve; `beside` writes who did in the database transaction that keeps or orders something.
    """

    def __init__(self, place: Onchain, key: KeySigner | None = None) -> None:
        self._place = place
        self._base = place.base
        self._key = key

    @property
    def contract(self) -> NodeRegistry:
        """The venue's registry of nodes."""
        return self._bans.follower.contract

    @property
    def _bans(self) -> Bans:
        assert self._place.bans is not None, "the venue has a registry"
        return self._place.bans

    def roles(self) -> Roles:
        """Ask the chain who may do what."""
        client, contract = self._place.client, self.contract
        return Roles(
            guardians=contract.guardians().ask(client),
            threshold=contract.threshold().ask(client),
            arbiter=contract.arbiter().ask(client),
            ban_s_max=contract.ban_s_max().ask(client),
        )

    def owner_of(self, node_id: str) -> Address | None:
        """Ask the chain whose token a node is, None while it is none."""
        token_id = int.from_bytes(chain_node_id(node_id), "big")
        try:
            return self.contract.owner_of(token_id).ask(self._place.client)
        except RevertedError:
            return None

    def holds(self, address: Address) -> bool:
        """Say whether an address's key is held here."""
        with self._base.store.read() as unit:
            return self._base.identity.notary.signer(unit, address) is not None

    def begin(self, wish: Wish, by: AccountId = NOBODY) -> Begun | Refusal:
        """Prepare a ban and send it, or keep it until its signatures and approvals are there."""
        made = self.prepare(wish, by)
        return made if isinstance(made, Refusal) else begun(made, self.send(made.ban_id, by))

    @by_contract
    def prepare(
        self, wish: Wish, by: AccountId = NOBODY, *, beside: Beside | None = None
    ) -> Draft | Refusal:
        """Keep a ban as a draft; a node that is no token yet is refused: nobody could appeal."""
        now_s, roles = self._place.chain_now_s(), self.roles()
        if not roles.guardians:
            return Refusal(BanReason.NO_GUARDIANS, "nobody signs bans at this venue")
        if self.owner_of(wish.node_id) is None:
            return Refusal(BanReason.NOT_A_TOKEN, wish.node_id)
        with self._base.store.write() as unit:
            made = self._prepared(unit, wish, by, now_s, roles)
            if beside is not None and not isinstance(made, Refusal):
                beside(unit)
        return made

    def _prepared(
        self, unit: Connection, wish: Wish, by: AccountId, now_s: int, roles: Roles
    ) -> Draft | Refusal:
        service, node_key = self._bans.service, chain_node_id(wish.node_id)
        last = service.last(unit, node_key)
        if last is not None and last.is_in_force(now_s):
            return Refusal(BanReason.ALREADY_BANNED, wish.node_id)
        evidence = service.hashed(wish.evidence)
        if isinstance(evidence, Refusal):
            return evidence
        statement = BanStatement(
            node_id=node_key,
            reason_hash=reason_hash(wish.code),
            evidence_root=evidence,
            starts_at_s=now_s,
            ends_at_s=now_s + wish.days * DAY_S,
            slash_minor=wish.slash_minor,
        )
        draft = Draft(
            node_id=wish.node_id,
            code=wish.code,
            statement=statement,
            by=by,
            made_us=self._base.clock.now_us(),
        )
        made = service.prepare(unit, draft, now_s=now_s, ban_s_max=roles.ban_s_max)
        if not isinstance(made, Refusal):
            service.say(unit, wish.evidence, at_us=draft.made_us)
        return made

    def draft(self, ban_id: bytes) -> Draft | None:
        """Return a ban that was prepared."""
        with self._base.store.read() as unit:
            return self._bans.service.draft(unit, ban_id)

    def digest(self, draft: Draft) -> bytes:
        """Return what guardians sign."""
        return ban_digest(self._bans.service.domain, draft.statement)

    def sign(
        self, ban_id: bytes, signature: bytes, *, beside: Beside | None = None
    ) -> Address | Refusal:
        """Keep a guardian's signature of a draft; return whose it is."""
        guardians = self.contract.guardians().ask(self._place.client)
        with self._base.store.write() as unit:
            draft = self._bans.service.draft(unit, ban_id)
            if draft is None:
                return Refusal(BanReason.UNKNOWN_BAN, to_hex(ban_id))
            signer = self._bans.service.sign(unit, draft, signature, guardians)
            if beside is not None and not isinstance(signer, Refusal):
                beside(unit)
        return signer

    @by_contract
    def send(
        self, ban_id: bytes, by: AccountId = NOBODY, *, beside: Beside | None = None
    ) -> str | Refusal:
        """Send a draft once people approved it and enough guardians signed; the hub pays the gas.

        Guardians whose keys are held here sign now.
        """
        with self._base.store.write() as unit:
            draft = self._bans.service.draft(unit, ban_id)
            if draft is None:
                return Refusal(BanReason.UNKNOWN_BAN, to_hex(ban_id))
            refusal = self._unapproved(unit, asking.BAN, draft, by)
        if refusal is not None:
            return refusal
        if self._place.chain_now_s() >= draft.statement.ends_at_s:
            return Refusal(BanReason.OVER, "its time has passed: prepare another")
        signatures = self._signatures(draft)
        if isinstance(signatures, Refusal):
            return signatures
        call = self.contract.ban(draft.statement, signatures)
        intent = derive("errand/ban", self.contract.address, ban_id)
        with self._place.turn:
            done = self._place.work.do(intent, call, beside=beside)
        assert done.mined is not None, "what was waited for is mined"
        self._follow()
        return to_hex(done.mined.tx_hash)

    def _unapproved(
        self, unit: Connection, kind: str, draft: Draft, by: AccountId
    ) -> Refusal | None:
        return asking.objection(
            self._base,
            unit,
            kind,
            draft.ban_id,
            amount_minor=draft.statement.slash_minor,
            about=draft.node_id,
            by=by,
        )

    def _signatures(self, draft: Draft) -> Sequence[bytes] | Refusal:
        """Return the guardians' signatures, ascending by signer."""
        roles, digest = self.roles(), self.digest(draft)
        found = {who: one for who, one in draft.signatures if who in roles.guardians}
        with self._base.store.read() as unit:
            for guardian in roles.guardians:
                signer = self._base.identity.notary.signer(unit, guardian)
                if signer is not None:
                    found[guardian] = signer.sign(digest).octets
        if len(found) < roles.threshold:
            told = f"{len(found)} of {roles.threshold} guardians signed"
            return Refusal(BanReason.SIGNATURES_MISSING, told)
        return [found[who] for who in sorted(found)]

    def drop(self, ban_id: bytes, *, beside: Beside | None = None) -> None:
        """Forget a draft."""
        with self._base.store.write() as unit:
            self._bans.service.drop(unit, ban_id)
            if beside is not None:
                beside(unit)

    def propose(self, node_id: str, grounds: str) -> bytes | Refusal:
        """Keep the grounds of an appeal that a wallet elsewhere may send the hash of; return it."""
        at_us = self._base.clock.now_us()
        with self._base.store.write() as unit:
            return self._bans.service.propose(unit, chain_node_id(node_id), grounds, at_us=at_us)

    @by_contract
    def appeal(
        self, node_id: str, grounds: str, *, ban_id: bytes = b"", beside: Beside | None = None
    ) -> str | Refusal:
        """Appeal against a node's ban as its owner; return the transaction.

        The grounds are kept in the database transaction that orders it.
        """
        open_case = self.appealable(node_id, ban_id)
        if isinstance(open_case, Refusal):
            return open_case
        owner = self.owner_of(node_id)
        if owner is None:
            return Refusal(BanReason.NOT_A_TOKEN, node_id)
        digest = self._bans.service.hashed(grounds)
        if isinstance(digest, Refusal):
            return digest
        said = partial(self._say, grounds, beside)
        call = self.contract.appeal(open_case.ban_id, digest)
        return self._act(owner, ["bans/appeal", open_case.ban_id], call, beside=said)

    def _say(self, words: str, beside: Beside | None, unit: Connection) -> None:
        self._bans.service.say(unit, words, at_us=self._base.clock.now_us())
        if beside is not None:
            beside(unit)

    def appealable(self, node_id: str, ban_id: bytes = b"") -> Case | Refusal:
        """Return the ban that can be appealed against now, or why there is none.

        It is the one that is named, else the one whose time is over first.
        """
        cases = self._undecided(node_id, ban_id)
        found = self._first(cases, Case.may_be_appealed)
        if found is None:
            is_late = any(case.stage is Stage.OPEN for case in cases)
            return Refusal(BanReason.LATE if is_late else BanReason.NOT_OPEN, node_id)
        return found

    @by_contract
    def decide(
        self,
        node_id: str,
        *,
        lifted: bool,
        by: AccountId = NOBODY,
        ban_id: bytes = b"",
        beside: Beside | None = None,
    ) -> str | Refusal:
        """Decide an appeal as the arbiter, once people approved it; return the transaction."""
        case = self.decidable(node_id, ban_id)
        if isinstance(case, Refusal):
            return case
        kind = asking.LIFT if lifted else asking.UPHOLD
        with self._base.store.write() as unit:
            refusal = asking.objection(
                self._base,
                unit,
                kind,
                case.ban_id,
                amount_minor=case.escrow_minor,
                about=node_id,
                by=by,
            )
        if refusal is not None:
            return refusal
        call = self.contract.decide(case.ban_id, lifted=lifted)
        arbiter = self.contract.arbiter().ask(self._place.client)
        return self._act(arbiter, ["bans/decide", case.ban_id, lifted], call, beside=beside)

    def decidable(self, node_id: str, ban_id: bytes = b"") -> Case | Refusal:
        """Return the appeal that can be decided now, or why there is none; which, as `appealable`.

        Whoever decides names what was read: what is decided cannot be undone.
        """
        cases = self._undecided(node_id, ban_id)
        found = self._first(cases, Case.may_be_decided)
        if found is None:
            is_late = any(case.stage is Stage.APPEALED for case in cases)
            return Refusal(BanReason.LATE if is_late else BanReason.NOT_APPEALED, node_id)
        return found

    @by_contract
    def close(self, node_id: str, *, beside: Beside | None = None) -> str | Refusal:
        """Have what silence decided written down; anybody may, the hub pays the gas."""
        cases = self._undecided(node_id)
        case = self._first(cases, Case.may_be_closed)
        if case is None:
            return Refusal(BanReason.EARLY if cases else BanReason.NOT_OPEN, node_id)
        hub = self._place.manager.sender
        name: list[Value] = ["bans/close", case.ban_id, case.due_s]
        return self._act(hub, name, self.contract.close(case.ban_id), beside=beside)

    @by_contract
    def appoint(
        self,
        *,
        guardians: Sequence[Address],
        threshold: int,
        arbiter: Address | None,
        beneficiary: Address | None,
    ) -> str | Refusal:
        """Name who signs bans, decides appeals and gets what bans cost, as the registry's owner."""
        contract = self.contract
        owner = contract.owner().ask(self._place.client)
        calls: list[tuple[list[Value], Call]] = []
        if guardians:
            named: list[Value] = [*sorted(guardians), threshold]
            calls.append((["bans/guardians", *named], contract.set_guardians(guardians, threshold)))
        if arbiter is not None:
            calls.append((["bans/arbiter", arbiter], contract.set_arbiter(arbiter)))
        if beneficiary is not None:
            calls.append((["bans/beneficiary", beneficiary], contract.set_beneficiary(beneficiary)))
        done: str | Refusal = ""
        for name, call in calls:
            done = self._act(owner, name, call, again=True)
            if isinstance(done, Refusal):
                return done
        return done

    def _undecided(self, node_id: str, ban_id: bytes = b"") -> Sequence[Case]:
        """Return a node's undecided cases, or the one named, as the chain tells them now."""
        self._follow()
        with self._base.store.read() as unit:
            found = self._bans.service.undecided(unit, chain_node_id(node_id))
        return [case for case in found if ban_id in (b"", case.ban_id)]

    def _first(self, cases: Sequence[Case], may: Callable[[Case, int], bool]) -> Case | None:
        now_s = self._place.chain_now_s()
        return next((case for case in cases if may(case, now_s)), None)

    def _follow(self) -> None:
        Errands(self._place).follow_bans()

    def _act(
        self,
        who: Address,
        name: list[Value],
        call: Call,
        *,
        again: bool = False,
        beside: Beside | None = None,
    ) -> str | Refusal:
        made = actor(self._place, who, None if who == self._place.manager.sender else self._key)
        if isinstance(made, Refusal):
            return made
        do = made.again if again else made.once
        done = do(name, call, beside=beside)
        self._follow()
        return done
