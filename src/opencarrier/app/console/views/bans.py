"""How a node stands: whether it is banned, by whom and why, until when one may appeal, and how far
that is; and bans that wait for signatures or people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from opencarrier.app.api import Cursor, Page
from opencarrier.app.asking import BAN
from opencarrier.app.bootstrap import Bans, Onchain
from opencarrier.app.console.views.chain import ChainViews, Party
from opencarrier.bans.model import Case, Draft, code_of
from opencarrier.bans.signed import Signed, signed
from opencarrier.chain.contracts import Stage
from opencarrier.chain.errors import ChainError
from opencarrier.chain.typed_data import ban_digest
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import from_hex, to_hex
from opencarrier.kernel.signatures import Address
from opencarrier.spine.nodes import chain_node_id
from opencarrier.spine.parties import Host

STAGES: Final = {
    Stage.OPEN: "open",
    Stage.APPEALED: "appealed",
    Stage.UPHELD: "upheld",
    Stage.LIFTED: "lifted",
}


MAY: Final[Mapping[str, Callable[[BanView], bool]]] = {
    "appeal": lambda ban: ban.may_appeal,
    "decide": lambda ban: ban.may_decide,
}
"""Whether an act may be done about a ban."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BanView:
    """A ban of a node, as the registry has it; what it holds of the bond is in minor units.

    `reason` is a code, empty for a hash that is none of them. `evidence` and `grounds` are the
    words behind the hashes, empty where they were said elsewhere. `stage` is `open`, `appealed`,
    `upheld` or `lifted`; while it is open one may appeal, and while it is appealed the arbiter
    decides, before `due_us`. `signers` signed it, read from the transaction that brought it and
    checked here; null where that could not be read.
    """

    ban_id: str
    reason: str
    reason_hash: str
    evidence: str
    evidence_root: str
    starts_us: int
    ends_us: int
    in_force: bool
    stage: str
    due_us: int
    may_appeal: bool
    may_decide: bool
    may_close: bool
    held_minor: int
    slash_minor: int | None
    grounds: str
    grounds_hash: str | None
    signers: tuple[Party, ...] | None
    tx_hash: str

    @property
    def is_under_way(self) -> bool:
        """Whether it is in force or still can be lifted or upheld."""
        return self.in_force or self.stage in ("open", "appealed")


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftView:
    """A ban that is prepared and not sent: who signed so far, and the digest guardians sign.

    `said` people of `needed` approved it, both zero where nobody has to.
    """

    ban_id: str
    node_id: str
    reason: str
    evidence: str
    starts_us: int
    ends_us: int
    slash_minor: int
    digest: str
    signers: tuple[str, ...]
    said: int
    needed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingView:
    """How a node stands: `good` or `banned`; its bans and what is prepared, the newest first."""

    as_of_us: int
    party: str
    node_id: str
    asset: str
    standing: str
    bans: tuple[BanView, ...]
    drafts: tuple[DraftView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UndecidedLine:
    """A ban that still can be lifted or upheld: of whose node, how far it is, until when.

    `node_id`, `party` and `host` are empty where it was prepared elsewhere: the chain has the hash
    of a node's id, `node_key`. Before `due_us` the host may appeal, or the arbiter decides; then
    silence has decided, and anybody may have that written down.
    """

    ban_id: str
    node_id: str
    node_key: str
    party: str
    host: str
    reason: str
    stage: str
    starts_us: int
    ends_us: int
    due_us: int
    may_appeal: bool
    may_decide: bool
    may_close: bool


UNDECIDED: Final = Cursor("undecided bans", (int, str))


def case_of(view: StandingView, act: str, ban_id: str) -> BanView | None:
    """Return the ban that an act is of: the one that is named, else what silence ends first."""
    named = (one for one in view.bans if one.ban_id == ban_id)
    open_ones = filter(MAY.get(act, bool), view.bans)
    return next(named, min(open_ones, key=lambda one: one.due_us, default=None))


class BanViews:
    """Makes views of bans from what was followed; the chain is asked who signed."""

    def __init__(self, place: Onchain) -> None:
        self._place = place
        self._chain = ChainViews(place)

    def now_s(self) -> int:
        """Return the second by which bans are judged: the chain's, or ours while it is silent."""
        try:
            return self._place.chain_now_s()
        except ChainError:
            return self._place.base.clock.now_us() // SECOND_US

    def banned(self, unit: Connection, node_ids: Iterable[str]) -> set[str]:
        """Return which of some nodes are banned now."""
        bans = self._place.bans
        keys = {chain_node_id(node_id): node_id for node_id in node_ids}
        if bans is None or not keys:
            return set()
        now_s = self._place.base.clock.now_us() // SECOND_US
        return {keys[key] for key in bans.service.banned(unit, list(keys), now_s)}

    def undecided(self, cursor: str, limit: int) -> Page[UndecidedLine]:
        """Return everybody's bans that are not decided, first what silence ends first."""
        bans, now_s, key = self._place.bans, self.now_s(), UNDECIDED.read(cursor)
        if bans is None:
            return Page(items=[], next=None)
        after = None if key is None else (int(key[0]), _digest(str(key[1])))
        with self._place.base.store.read() as unit:
            cases = bans.service.all_undecided(unit, after=after, limit=limit + 1)
            names = bans.service.named(unit, [case.ban_id for case in cases])
            lines = [self._line(unit, case, names.get(case.ban_id, ""), now_s) for case in cases]
        return UNDECIDED.page(lines, limit, lambda one: (one.due_us // SECOND_US, one.ban_id))

    def appeals(self, unit: Connection) -> int:
        """Return how many appeals wait for a decision."""
        bans = self._place.bans
        now_s = self._place.base.clock.now_us() // SECOND_US
        return 0 if bans is None else bans.service.appeals(unit, now_s)

    def _line(self, unit: Connection, case: Case, node_id: str, now_s: int) -> UndecidedLine:
        directory = self._place.base.identity.directory
        node = directory.node_by_id(unit, node_id) if node_id else None
        host = None if node is None else directory.host(unit, node.host)
        return UndecidedLine(
            ban_id=to_hex(case.ban_id),
            node_id="" if host is None else node_id,
            node_key=to_hex(case.node_key),
            party="" if host is None else host.party_id,
            host="" if host is None else host.name,
            reason=code_of(case.reason_hash),
            stage=STAGES[case.stage],
            starts_us=case.starts_s * SECOND_US,
            ends_us=case.ends_s * SECOND_US,
            due_us=case.due_s * SECOND_US,
            may_appeal=case.may_be_appealed(now_s),
            may_decide=case.may_be_decided(now_s),
            may_close=case.may_be_closed(now_s),
        )

    def standing(self, host: Host, node_id: str, *, drafts: bool = False) -> StandingView:
        """Return how a node stands; what is prepared is for those who prepare it."""
        base, bans, now_s = self._place.base, self._place.bans, self.now_s()
        cases, waiting, words = self._read(bans, node_id, now_s, drafts=drafts)
        told = [self._ban(case, words, now_s) for case in cases]
        return StandingView(
            as_of_us=base.clock.now_us(),
            party=host.party_id,
            node_id=node_id,
            asset=self._place.manifest.asset,
            standing="banned" if any(one.in_force for one in told) else "good",
            bans=tuple(told),
            drafts=waiting,
        )

    def _read(
        self, bans: Bans | None, node_id: str, now_s: int, *, drafts: bool
    ) -> tuple[Sequence[Case], tuple[DraftView, ...], Mapping[bytes, str]]:
        if bans is None:
            return (), (), {}
        key = chain_node_id(node_id)
        with self._place.base.store.read() as unit:
            cases = bans.service.cases(unit, key)
            waiting = bans.service.drafts(unit, key, now_s) if drafts else ()
            hashes = {one.evidence_root for one in cases} | {one.grounds_hash for one in cases}
            hashes |= {one.statement.evidence_root for one in waiting}
            words = bans.service.words(unit, hashes)
            told = tuple(self.draft(unit, one, words) for one in waiting)
        return cases, told, words

    def draft(self, unit: Connection, item: Draft, words: Mapping[bytes, str]) -> DraftView:
        """Return a ban that is prepared."""
        bans, statement = self._place.bans, item.statement
        assert bans is not None, "a draft is of a registry"
        asked = self._place.base.accounts.approvals.about(unit, BAN, item.ban_id)
        needed = self._place.base.settings.approval_people
        return DraftView(
            ban_id=to_hex(item.ban_id),
            node_id=item.node_id,
            reason=item.code,
            evidence=words.get(statement.evidence_root, ""),
            starts_us=statement.starts_at_s * SECOND_US,
            ends_us=statement.ends_at_s * SECOND_US,
            slash_minor=statement.slash_minor,
            digest=to_hex(ban_digest(bans.service.domain, statement)),
            signers=tuple(who for who, _ in item.signatures),
            said=0 if asked is None else len(asked.by),
            needed=needed if asked is None else max(needed, asked.needed),
        )

    def _ban(self, case: Case, words: Mapping[bytes, str], now_s: int) -> BanView:
        found = self._signed(case)
        return BanView(
            ban_id=to_hex(case.ban_id),
            reason=code_of(case.reason_hash),
            reason_hash=to_hex(case.reason_hash),
            evidence=words.get(case.evidence_root, ""),
            evidence_root=to_hex(case.evidence_root),
            starts_us=case.starts_s * SECOND_US,
            ends_us=case.ends_s * SECOND_US,
            in_force=case.is_in_force(now_s),
            stage=STAGES[case.stage],
            due_us=case.due_s * SECOND_US,
            may_appeal=case.may_be_appealed(now_s),
            may_decide=case.may_be_decided(now_s),
            may_close=case.may_be_closed(now_s),
            held_minor=case.escrow_minor if case.is_undecided else 0,
            slash_minor=None if found is None else found.statement.slash_minor,
            grounds=words.get(case.grounds_hash, ""),
            grounds_hash=to_hex(case.grounds_hash) if any(case.grounds_hash) else None,
            signers=None if found is None else tuple(self._party(who) for who in found.signers),
            tx_hash=to_hex(case.tx_hash),
        )

    def _party(self, address: Address) -> Party:
        return Party(address=address, name=self._chain.name_of(address))

    def _signed(self, case: Case) -> Signed | None:
        """Read who signed a ban from its transaction; None where that is silent or not direct."""
        bans = self._place.bans
        assert bans is not None, "a case is of a registry"
        try:
            data = self._chain.input_of(case.tx_hash, bans.follower.contract.address)
        except ChainError:
            return None
        return None if data is None else signed(data, case.ban_id, bans.service.domain)


def _digest(text: str) -> bytes:
    """Read a ban's id in a cursor of ours; one that somebody made up goes on after nothing."""
    try:
        return from_hex(text)
    except ValueError:
        return bytes(32)
