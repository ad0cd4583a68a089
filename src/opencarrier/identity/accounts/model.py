"""Accounts of people, the keys they sign in with, and what they may do at which party."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import NewType

from opencarrier.kernel.refusals import Reason
from opencarrier.spine.parties import PartyId

AccountId = NewType("AccountId", str)
"""Opaque: `acct_` and 32 hex digits; nobody's once the account is gone."""

NOBODY = AccountId("")
"""Whoever has not signed in, and the installation itself with its token."""

BY_LINK = "link"
"""What stands for the key of a session that a link began."""

NAME_MAX = 64
KEYS_MAX = 16
GRANTS_MAX = 64
SESSIONS_MAX = 16
LINKS_MAX = 4
ACCOUNTS_MAX = 100_000

SESSION_IDLE_S = 12 * 3_600
SESSION_S = 7 * 86_400
SEEN_EVERY_S = 60
"""How exactly it is kept when a session was last used: a write a minute at most."""

OWNER_LINK_S = 900
INVITATION_S = 3 * 86_400
CHALLENGE_S = 300
APPROVAL_S_MAX = 30 * 86_400


@unique
class Role(StrEnum):
    """What an account may do; all but the first hold at a party."""

    OWNER = "owner"
    OPERATOR = "operator"
    HOST = "host"
    SUBSCRIBER = "subscriber"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """A role at a party; an owner's and a general auditor's is of the whole installation."""

    role: Role
    party: PartyId | None = None


@unique
class KeyKind(StrEnum):
    """What a person signs in with."""

    PASSKEY = "passkey"
    WALLET = "wallet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person as the console knows it."""

    account: AccountId
    name: str
    made_us: int
    grants: frozenset[Grant] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInKey:
    """A key of an account: a passkey's credential or a wallet's address, under a person's name.

    `credential` is the passkey's id or the address in ASCII; `public_key` is a passkey's, as its
    authenticator attested it (WebAuthn section 6.5.2).
    """

    key: str
    account: AccountId
    kind: KeyKind
    name: str
    credential: bytes
    public_key: bytes
    sign_count: int
    made_us: int
    used_us: int | None

    def __repr__(self) -> str:
        """Name the key; which device or address it is, is its person's."""
        return f"SignInKey({self.key}, {self.kind})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in browser; its token is kept nowhere."""

    session: str
    account: AccountId
    key: str
    made_us: int
    seen_us: int
    came_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A question to several people: of what kind, about what, who said yes, and until when.

    `subject` is an id that carries all that is approved, so other content is another question.
    """

    approval: bytes
    kind: str
    subject: bytes
    detail: str
    needed: int
    asked_us: int
    expires_us: int
    by: tuple[AccountId, ...]

    @property
    def granted(self) -> bool:
        """Whether as many distinct people as are needed said yes."""
        return len(self.by) >= self.needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the audit log: who did what, about what, from where, when, and how it ended."""

    sequence: int
    at_us: int
    who: AccountId
    what: str
    about: str
    outcome: str
    came_from: str


@unique
class AccountReason(Reason):
    """Why nobody is let in or nothing is changed; of several, the lowest is the one given."""

    INVALID_NAME = 1
    INVALID_GRANT = 2
    INVALID_KEY = 3
    INVALID_TERMS = 4
    UNKNOWN_ACCOUNT = 10
    UNKNOWN_KEY = 11
    UNKNOWN_SESSION = 12
    UNKNOWN_LINK = 13
    UNKNOWN_APPROVAL = 14
    NOT_SIGNED_IN = 20
    NOT_GRANTED = 21
    KEY_TAKEN = 31
    LAST_KEY = 32
    LAST_OWNER = 33
    TOO_MANY = 40
    EXPIRED = 41
