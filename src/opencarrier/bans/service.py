"""Bans that people here prepare: drafts, the guardians' signatures, and words by their hash."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection

from opencarrier.bans import store
from opencarrier.bans.model import (
    APPEALS_MAX,
    CASES_MAX,
    CODES,
    DRAFTS_MAX,
    FORGOTTEN_MAX,
    PROPOSED_MAX,
    BanReason,
    Case,
    Draft,
    is_sayable,
    words_hash,
)
from opencarrier.chain.typed_data import SigningDomain, ban_digest
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, recover


class BanService:
    """What is kept of the bans of one registry."""

    def __init__(self, domain: SigningDomain) -> None:
        self.domain = domain

    def hashed(self, words: str) -> bytes | Refusal:
        """Return the hash that stands for words, zero for none."""
        if not is_sayable(words):
            return Refusal(BanReason.BAD_WORDS, "2,000 octets at most")
        return words_hash(words)

    def say(self, unit: Connection, words: str, *, at_us: int) -> None:
        """Keep words under their hash, until `forget` finds them old and of no ban any more."""
        assert is_sayable(words), "they were hashed before"
        if words:
            store.put_words(unit, words_hash(words), words, at_us=at_us)

    def forget(self, unit: Connection, *, before_us: int) -> bool:
        """Forget drafts and words of bans that were over before an instant, some at a time.

        Say whether there may be more. What the chain has stays: cases, steps, and the hashes.
        """
        rows = store.forget(unit, before_us // SECOND_US, limit=FORGOTTEN_MAX)
        return rows >= FORGOTTEN_MAX

    def propose(
        self, unit: Connection, node_key: bytes, words: str, *, at_us: int
    ) -> bytes | Refusal:
        """Keep grounds until a wallet elsewhere sends their hash; return it.

        `PROPOSED_MAX` of a node at most, the oldest go.
        """
        digest = self.hashed(words)
        if words and not isinstance(digest, Refusal):
            store.put_proposed(unit, node_key, digest, words, at_us=at_us, limit=PROPOSED_MAX)
        return digest

    def words(self, unit: Connection, digests: Collection[bytes]) -> dict[bytes, str]:
        """Return the words that are known of some hashes."""
        return store.words_of(unit, digests)

    def cases(self, unit: Connection, node_key: bytes) -> Sequence[Case]:
        """Return a node's cases, the newest first, `CASES_MAX` at most."""
        return store.cases_of(unit, node_key, limit=CASES_MAX)

    def last(self, unit: Connection, node_key: bytes) -> Case | None:
        """Return a node's newest case, which alone can be in force."""
        return next(iter(store.cases_of(unit, node_key, limit=1)), None)

    def undecided(self, unit: Connection, node_key: bytes) -> Sequence[Case]:
        """Return a node's cases that can still be lifted or upheld, first what silence ends first.

        A short ban is over before its appeal is: then the next may begin, and both are undecided.
        """
        found = store.undecided_of(unit, node_key, limit=CASES_MAX)
        return sorted(found, key=lambda case: case.due_s)

    def all_undecided(
        self, unit: Connection, *, after: tuple[int, bytes] | None, limit: int
    ) -> Sequence[Case]:
        """Return everybody's cases that can still be lifted or upheld, first what ends first."""
        return store.undecided(unit, after, limit=limit)

    def appeals(self, unit: Connection, now_s: int) -> int:
        """Return how many appeals wait for a decision, `APPEALS_MAX` at most."""
        return store.appeals(unit, now_s, limit=APPEALS_MAX)

    def named(self, unit: Connection, ban_ids: Collection[bytes]) -> Mapping[bytes, str]:
        """Return of which nodes bans are: the chain knows hashes, and what is prepared names."""
        return store.named(unit, ban_ids)

    def banned(self, unit: Connection, node_keys: Collection[bytes], now_s: int) -> set[bytes]:
        """Return the nodes among some that are banned at a second."""
        return store.in_force(unit, node_keys, now_s)

    def prepare(
        self, unit: Connection, draft: Draft, *, now_s: int, ban_s_max: int
    ) -> Draft | Refusal:
        """Keep a ban that waits for signatures or people; the same again is the same."""
        told = draft.statement
        if draft.code not in CODES:
            return Refusal(BanReason.UNKNOWN_REASON, draft.code)
        if not 0 < told.ends_at_s - told.starts_at_s <= ban_s_max or told.starts_at_s > now_s:
            return Refusal(BanReason.BAD_TIMES, f"from now on, for at most {ban_s_max} s")
        if not 0 <= told.slash_minor <= INT64_MAX:
            return Refusal(BanReason.BAD_AMOUNT, "from nothing to what 64 bits hold")
        waiting = self.drafts(unit, told.node_id, now_s)
        known = draft.ban_id in {one.ban_id for one in waiting}
        if len(waiting) >= DRAFTS_MAX and not known:
            return Refusal(BanReason.TOO_MANY_DRAFTS, f"{DRAFTS_MAX} wait: send or drop one")
        store.put_draft(unit, draft)
        kept = store.draft(unit, draft.ban_id)
        assert kept is not None, "it was kept above"
        return kept

    def draft(self, unit: Connection, ban_id: bytes) -> Draft | None:
        """Return a ban that was prepared."""
        return store.draft(unit, ban_id)

    def drafts(self, unit: Connection, node_key: bytes, now_s: int) -> Sequence[Draft]:
        """Return what is prepared for a node, not sent and not over, the newest first."""
        return store.drafts_of(unit, node_key, now_s, limit=DRAFTS_MAX)

    def drop(self, unit: Connection, ban_id: bytes) -> None:
        """Forget what was prepared."""
        store.drop_draft(unit, ban_id)

    def sign(
        self, unit: Connection, draft: Draft, signature: bytes, guardians: Collection[Address]
    ) -> Address | Refusal:
        """Keep a guardian's signature of a draft; return whose it is.

        Refused is what no guardian signed, or signed over another statement, contract or chain:
        the signer of that is somebody else.
        """
        signer = recover(ban_digest(self.domain, draft.statement), signature)
        if signer is None or signer not in guardians:
            return Refusal(BanReason.NOT_GUARDIAN, f"signed by {signer or 'nobody'}")
        store.put_signature(unit, draft.ban_id, signer, signature)
        return signer
