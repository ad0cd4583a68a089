"""A ban's case as data. Times are in seconds since 1970 UTC, amounts in the bond's least unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opencarrier.chain.contracts import Stage
from opencarrier.chain.typed_data import BanStatement
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.refusals import Reason
from opencarrier.kernel.signatures import Address

WORDS_OCTETS_MAX: Final = 2_000
DRAFTS_MAX: Final = 20
"""Bans of one node that wait at a time."""

PROPOSED_MAX: Final = 5
"""Grounds of one node that wait for a wallet elsewhere to send their hash."""

CASES_MAX: Final = 20
"""How many of a node's cases are told, the newest first."""

FORGOTTEN_MAX: Final = 100
"""How many drafts, and how many words, are forgotten in one transaction."""

APPEALS_MAX: Final = 100
"""How many appeals are counted that wait for a decision."""

CODES: Final = ("false_use", "false_place", "altered_traffic", "unlawful", "lost_key", "other")
"""Why a node is banned, as it is hashed into the statement."""


class BanReason(Reason):
    """Why nothing is done about a ban; of several that apply, the lowest is given."""

    NO_REGISTRY = 1
    UNKNOWN_REASON = 2
    BAD_WORDS = 3
    BAD_TIMES = 4
    BAD_AMOUNT = 5
    NOT_A_TOKEN = 6
    ALREADY_BANNED = 7
    UNKNOWN_BAN = 8
    NO_GUARDIANS = 9
    NOT_GUARDIAN = 10
    SIGNATURES_MISSING = 11
    TOO_MANY_DRAFTS = 12
    OVER = 13
    NOT_OPEN = 14
    LATE = 15
    NOT_APPEALED = 16
    EARLY = 17
    REFUSED = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A ban that the registry took; `due_s` is when silence decides, `grounds_hash` the appeal's.

    `tx_hash` brought the ban.
    """

    ban_id: bytes
    node_key: bytes
    reason_hash: bytes
    evidence_root: bytes
    starts_s: int
    ends_s: int
    escrow_minor: int
    due_s: int
    stage: Stage
    grounds_hash: bytes
    tx_hash: bytes

    @property
    def is_undecided(self) -> bool:
        """Whether it still can be lifted or upheld."""
        return self.stage in (Stage.OPEN, Stage.APPEALED)

    def is_in_force(self, now_s: int) -> bool:
        """Say whether the node is banned by it."""
        return now_s < self.ends_s and self.stage is not Stage.LIFTED

    def may_be_appealed(self, now_s: int) -> bool:
        """Say whether the node's owner may appeal."""
        return self.stage is Stage.OPEN and now_s < self.due_s

    def may_be_decided(self, now_s: int) -> bool:
        """Say whether the arbiter may decide."""
        return self.stage is Stage.APPEALED and now_s < self.due_s

    def may_be_closed(self, now_s: int) -> bool:
        """Say whether silence has decided, and anybody may have it written down."""
        return self.is_undecided and now_s >= self.due_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A ban that people here prepared: its statement, and which guardians signed it so far."""

    node_id: str
    code: str
    statement: BanStatement
    by: str
    made_us: int
    signatures: tuple[tuple[Address, bytes], ...] = ()

    @property
    def ban_id(self) -> bytes:
        """The ban's id: the hash of its statement."""
        return self.statement.ban_id


def reason_hash(code: str) -> bytes:
    """Return the hash by which a reason stands on the chain."""
    return keccak(f"opencarrier ban: {code}".encode())


def code_of(digest: bytes) -> str:
    """Return the reason that is hashed, empty where it is none of `CODES`."""
    return next((code for code in CODES if reason_hash(code) == digest), "")


def words_hash(words: str) -> bytes:
    """Return what stands on the chain for words: their Keccak-256, zero for none."""
    return keccak(words.encode()) if words else bytes(32)


def is_sayable(words: str) -> bool:
    """Say whether words can be kept: of bounded length, and text that a database takes."""
    try:
        return len(words.encode()) <= WORDS_OCTETS_MAX and "\x00" not in words
    except UnicodeEncodeError:
        return False
