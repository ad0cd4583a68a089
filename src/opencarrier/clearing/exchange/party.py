"""One side of an exchange, without any IO: messages in, messages out.

Each message says all that its sender stands by, asks for branches of the peer's tree that differ
from its own, and tells those it was asked for. What is lost is said again, what comes late or
twice changes nothing, and what contradicts an earlier message of the same sender proves a lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opencarrier.clearing.exchange import wire
from opencarrier.clearing.exchange.model import (
    DIFFERENCES_MAX,
    ENTRIES_MAX,
    Branch,
    Entry,
    Message,
    Summary,
    Terms,
)
from opencarrier.clearing.exchange.statement import Statement, conclude
from opencarrier.clearing.exchange.tree import BUCKET, DIGITS, EntryTree, is_bucket, summary_of
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address, Signature, verify


class Party:
    """One side; `entries` and `cut_us` are what it stands by and must be the same after a restart.

    `proof` holds two messages that the peer signed and that cannot both be true; from then on
    nothing is signed or believed. `too_many` says that more differs than is told one by one.
    """

    def __init__(
        self,
        terms: Terms,
        own: Address,
        entries: Iterable[Entry],
        *,
        cut_us: int,
        sign: wire.Sign,
    ) -> None:
        self.terms, self.own, self.peer = terms, own, terms.other(own)
        self.own_cut_us = cut_us
        self._all = tuple(entries)
        assert len(self._all) <= ENTRIES_MAX, "a larger cycle is exchanged in parts"
        self._sign = sign
        self._tree: EntryTree | None = None
        self._compared = self.too_many = False
        self._said: dict[str, tuple[object, bytes]] = {}
        self._owed: tuple[str, ...] = ()
        self._wanted: dict[str, Summary] = {}
        self._regions: dict[str, tuple[Entry, ...]] = {}
        self.cut_us: int | None = None
        self.statement: Statement | None = None
        self.signature = b""
        self.peer_signature = b""
        self.peer_complete = False
        self.proof: tuple[bytes, bytes] | None = None

    @property
    def complete(self) -> bool:
        """Whether both signatures over one statement are here."""
        return bool(self.signature and self.peer_signature)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be said: both hold both signatures, or there will be none."""
        signed = self.complete and self.peer_complete
        return signed or self.too_many or self.proof is not None

    @property
    def counted(self) -> Sequence[Entry]:
        """Our entries up to the agreed cut, none before there is one."""
        return () if self._tree is None else self._tree.entries

    def say(self) -> bytes:
        """Return the message to send now, as often as one likes."""
        told = [] if self._tree is None else [self._tree.branch(prefix) for prefix in self._owed]
        message = Message(
            exchange_id=self.terms.exchange_id,
            sender=self.own,
            cut_us=self.own_cut_us,
            head=None if self._tree is None else self._tree.head,
            statement=None if self.statement is None else self.statement.digest,
            signature=self.signature,
            complete=self.complete,
            ask=tuple(sorted(self._wanted)[: wire.ASK_MAX]),
            tell=tuple(told),
        )
        return wire.seal(message, self._sign)

    def receive(self, octets: bytes) -> bool:
        """Take a message of the peer; say whether it told anything new that must be kept.

        `PeerError`, and nothing has changed, for what is too long, not the peer's, of another
        exchange, or does not hash to what it said before.
        """
        message = wire.unseal(octets, self.peer)
        if message.exchange_id != self.terms.exchange_id:
            raise PeerError("other_exchange", message.exchange_id.hex())
        if self.proof is not None:
            return False
        fresh = self._told(message)
        if self._binds(message, octets):
            return True
        self._owed = message.ask
        return self._take(message, fresh) | self._note(message)

    def _note(self, message: Message) -> bool:
        """Take the peer's signature over the same statement, and that it has ours."""
        self._conclude()
        before = (self.peer_signature, self.peer_complete)
        statement = self.statement
        if statement is not None and message.statement == statement.digest:
            signature = Signature(self.peer, message.signature)
            if message.signature and verify(statement.digest, signature):
                self.peer_signature = message.signature
            self.peer_complete |= message.complete
        return before != (self.peer_signature, self.peer_complete)

    def _binds(self, message: Message, octets: bytes) -> bool:
        """Hold the peer to what it stands by; keep both messages where it says another thing."""
        for name in ("cut_us", "head", "statement"):
            value = getattr(message, name)
            if value is None:
                continue
            before, evidence = self._said.setdefault(name, (value, octets))
            if before != value:
                self.proof = (evidence, octets)
                return True
        return False

    def _take(self, message: Message, fresh: list[Branch]) -> bool:
        """Move on by the peer's cut, head and branches."""
        moved = bool(fresh)
        if self._tree is None:
            self.cut_us = min(self.own_cut_us, message.cut_us)
            self._tree = EntryTree(entry for entry in self._all if entry.end_us <= self.cut_us)
            moved = True
        if message.head is not None and not self._compared:
            self._compared = True
            self._compare("", message.head)
            moved = True
        for branch in fresh:
            self._descend(branch)
        return moved

    def _told(self, message: Message) -> list[Branch]:
        """Return the branches that were wanted and are what their parent said."""
        fresh = {branch.prefix: branch for branch in message.tell if branch.prefix in self._wanted}
        for prefix, branch in fresh.items():
            if summary_of(branch) != self._wanted[prefix]:
                raise PeerError("wrong_branch", prefix)
            self._check(branch)
        return list(fresh.values())

    def _check(self, branch: Branch) -> None:
        names = [entry.usage_id.hex() for entry in branch.entries]
        if names != sorted(set(names)) or not all(n.startswith(branch.prefix) for n in names):
            raise PeerError("wrong_branch", "entries ascend and belong to it")
        count = sum(child.count for child in branch.children)
        if branch.children and is_bucket(branch.prefix, count):
            raise PeerError("wrong_branch", "it has few entries and does not tell them")
        assert self.cut_us is not None, "branches are asked for once the cut is agreed"
        for entry in branch.entries:
            if entry.debtor not in (self.own, self.peer) or entry.end_us > self.cut_us:
                raise PeerError("wrong_entry", entry.usage_id.hex())

    def _descend(self, branch: Branch) -> None:
        if self._wanted.pop(branch.prefix, None) is None:
            return
        if not branch.children:
            self._regions[branch.prefix] = branch.entries
            self._bound()
            return
        for digit, child in zip(DIGITS, branch.children, strict=True):
            self._compare(branch.prefix + digit, child)

    def _bound(self) -> None:
        """Stop asking a peer whose tree has next to nothing in common with ours."""
        if sum(map(len, self._regions.values())) > DIFFERENCES_MAX * BUCKET:
            self.too_many = True
            self._wanted.clear()

    def _compare(self, prefix: str, theirs: Summary) -> None:
        """Ask for a branch that differs; one the peer has nothing in needs no asking."""
        assert self._tree is not None, "compared once the cut is agreed"
        if theirs == self._tree.summary(prefix):
            return
        if theirs.count:
            self._wanted[prefix] = theirs
        else:
            self._regions[prefix] = ()

    def _conclude(self) -> None:
        """Make and sign the statement once every difference is known."""
        if self.statement is not None or self.too_many or not self._compared or self._wanted:
            return
        differing = self._differing()
        self.too_many = len(differing) > DIFFERENCES_MAX
        if self.too_many:
            return
        assert self._tree is not None
        assert self.cut_us is not None
        self.statement = conclude(self.terms, self.cut_us, self._tree.entries, differing)
        self.signature = self._sign(self.statement.digest).octets

    def _differing(self) -> dict[Id, tuple[Entry | None, Entry | None]]:
        """Return the entries that differ, the first's and the second's."""
        assert self._tree is not None
        found: dict[Id, tuple[Entry | None, Entry | None]] = {}
        for prefix, entries in self._regions.items():
            ours = {entry.usage_id: entry for entry in self._tree.under(prefix)}
            theirs = {entry.usage_id: entry for entry in entries}
            for usage in ours.keys() | theirs.keys():
                mine, their = ours.get(usage), theirs.get(usage)
                if mine != their:
                    found[usage] = (mine, their) if self.own == self.terms.first else (their, mine)
        return found
