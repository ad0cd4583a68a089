"""Signing in and looking after accounts: the one door to this part of `identity`.

Every refusal of a sign-in says the same: who guesses learns neither which account nor which key
there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from opencarrier.identity.accounts import siwe
from opencarrier.identity.accounts.approvals import Approvals
from opencarrier.identity.accounts.attempts import (
    ACTS_PER_ACCOUNT,
    ACTS_WINDOW_S,
    PER_ADDRESS,
    PER_CREDENTIAL,
    Attempts,
)
from opencarrier.identity.accounts.audit import AuditLog
from opencarrier.identity.accounts.book import AccountBook
from opencarrier.identity.accounts.challenges import CHALLENGE_OCTETS, Challenges
from opencarrier.identity.accounts.model import (
    BY_LINK,
    CHALLENGE_S,
    NOBODY,
    OWNER_LINK_S,
    Account,
    AccountId,
    AccountReason,
    Grant,
    KeyKind,
    Role,
    SignInKey,
)
from opencarrier.identity.accounts.people import AccountPeople
from opencarrier.identity.accounts.sessions import Links, Sessions
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import Address

if TYPE_CHECKING:
    from opencarrier.identity.accounts.passkeys import RelyingParty

SIGN_IN = "sign-in"
STATEMENT_SIGN_IN = "Sign in to the console."
STATEMENT_ADD = "Let this wallet sign in to your account."
OWNER_NAME = "Owner"

ByContract = Callable[[Address, bytes, bytes], bool]
"""Says whether the contract at an address takes a signature over a digest (EIP-1271)."""

_REFUSED = Refusal(AccountReason.NOT_SIGNED_IN, "this key does not sign in here")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a browser meets us: scheme, host and port, and the chain wallets are on."""

    scheme: str
    domain: str
    chain_id: int

    @property
    def rp_id(self) -> str:
        """The host's name without its port (WebAuthn section 5.1.2)."""
        return self.domain.rpartition(":")[0] if ":" in self.domain else self.domain

    def __str__(self) -> str:
        return f"{self.scheme}://{self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Who signed in, and the token of the new session."""

    account: AccountId
    token: str


class Accounts:
    """People's accounts over one database; every call takes the caller's unit."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self.book = AccountBook(clock, entropy)
        self.sessions = Sessions(clock, entropy)
        self.links = Links(clock, entropy)
        self.approvals = Approvals(clock)
        self.audit = AuditLog(clock)
        self.people = AccountPeople()
        self.challenges = Challenges(clock, entropy)
        self.addresses = Attempts(clock, allowed=PER_ADDRESS)
        self.credentials = Attempts(clock, allowed=PER_CREDENTIAL)
        self.acts = Attempts(clock, allowed=ACTS_PER_ACCOUNT, window_s=ACTS_WINDOW_S)

    # the first owner

    def owner_link(self, unit: Connection) -> str | Refusal:
        """Return a link's token that signs in as the first owner, who is made where there is none.

        Whoever may read the data folder owns the installation already; nobody else may ask.
        """
        owners = self.book.owners(unit)
        if owners:
            return self._owner_link(unit, owners[0])
        made = self.book.add(unit, OWNER_NAME)
        if isinstance(made, Refusal):
            return made
        self.book.give(unit, made.account, Grant(Role.OWNER))
        self.audit.write(unit, "owner_made", who=NOBODY, about=made.account)
        return self._owner_link(unit, made.account)

    def _owner_link(self, unit: Connection, owner: AccountId) -> str | Refusal:
        made = self.links.open(unit, owner, ttl_s=OWNER_LINK_S)
        if isinstance(made, str):
            self.audit.write(unit, "link_made", who=NOBODY, about=owner)
        return made

    def sign_in_by_link(
        self, unit: Connection, token: str, *, came_from: str
    ) -> SignedIn | Refusal:
        """Use a link up and begin a session."""
        account = self.links.use(unit, token)
        if isinstance(account, Refusal):
            return account
        return self._signed_in(unit, account, key=BY_LINK, came_from=came_from)

    # passkeys

    def passkey_request(self, origin: Origin) -> dict[str, Any]:
        """Return what a browser asks for a passkey by; it names no account."""
        return _party(origin).request_options(self.challenges.make(SIGN_IN))

    def sign_in_by_passkey(
        self, unit: Connection, origin: Origin, response: Mapping[str, Any], *, came_from: str
    ) -> SignedIn | Refusal:
        """Begin a session for whoever's passkey answered one of our challenges."""
        from opencarrier.identity.accounts.passkeys import read_assertion

        try:
            asserted = read_assertion(response)
            refusal = self._tried_too_often(asserted.credential)
            if refusal is not None:
                return refusal
            key = self.book.key_of(unit, KeyKind.PASSKEY, asserted.credential)
            if key is None or asserted.user not in (b"", key.account.encode()):
                return _REFUSED
            _party(origin).check(asserted, key.public_key)
        except PeerError:
            return _REFUSED
        if not self.challenges.take(SIGN_IN, asserted.challenge):
            return _REFUSED
        return self._by_key(unit, key, sign_count=asserted.sign_count, came_from=came_from)

    def passkey_creation(
        self, unit: Connection, origin: Origin, account: Account
    ) -> dict[str, Any]:
        """Return what a browser makes a new passkey by, for an account that is signed in."""
        known = [
            key.credential
            for key in self.book.keys(unit, account.account)
            if key.kind is KeyKind.PASSKEY
        ]
        return _party(origin).creation_options(
            user=account.account.encode(),
            name=account.name,
            challenge=self.challenges.make(_adding(account.account)),
            known=known,
        )

    def add_passkey(
        self,
        unit: Connection,
        origin: Origin,
        account: AccountId,
        *,
        name: str,
        response: Mapping[str, Any],
    ) -> SignInKey | Refusal:
        """Let an account sign in by a passkey it just made."""
        from opencarrier.identity.accounts.passkeys import read_challenge

        try:
            challenge = read_challenge(response)
            made = _party(origin).registered(response, challenge)
        except PeerError as error:
            return Refusal(AccountReason.INVALID_KEY, error.reason)
        return self._added(
            lambda: self.book.add_key(
                unit,
                account,
                kind=KeyKind.PASSKEY,
                name=name,
                credential=made.credential,
                public_key=made.public_key,
                sign_count=made.sign_count,
            ),
            account,
            challenge,
        )

    # wallets

    def wallet_message(
        self, origin: Origin, address: Address, *, account: AccountId | None = None
    ) -> str:
        """Return the message a wallet signs to sign in, or to be added to an account."""
        now_us = self._clock.now_us()
        return siwe.write(
            siwe.Message(
                domain=origin.domain,
                address=address,
                uri=str(origin),
                chain_id=origin.chain_id,
                nonce=self.challenges.make(_purpose(account)).hex(),
                issued_us=now_us,
                expires_us=now_us + CHALLENGE_S * SECOND_US,
                statement=STATEMENT_SIGN_IN if account is None else STATEMENT_ADD,
            )
        )

    def sign_in_by_wallet(
        self, unit: Connection, message: siwe.Message | Refusal, *, came_from: str
    ) -> SignedIn | Refusal:
        """Begin a session for whose wallet signed a message of ours, as `proven` found."""
        if isinstance(message, Refusal):
            return _REFUSED
        refusal = self._tried_too_often(message.address.encode())
        if refusal is not None:
            return refusal
        key = self.book.key_of(unit, KeyKind.WALLET, message.address.encode())
        if key is None or not self.challenges.take(SIGN_IN, _nonce(message)):
            return _REFUSED
        return self._by_key(unit, key, sign_count=0, came_from=came_from)

    def add_wallet(
        self,
        unit: Connection,
        account: AccountId,
        message: siwe.Message | Refusal,
        *,
        name: str,
    ) -> SignInKey | Refusal:
        """Let an account sign in by a wallet that signed so, as `proven` found for it."""
        if isinstance(message, Refusal):
            return message
        return self._added(
            lambda: self.book.add_key(
                unit,
                account,
                kind=KeyKind.WALLET,
                name=name,
                credential=message.address.encode(),
            ),
            account,
            _nonce(message),
        )

    def proven(
        self,
        origin: Origin,
        text: str,
        signature: bytes,
        *,
        account: AccountId | None = None,
        by_contract: ByContract | None = None,
    ) -> siwe.Message | Refusal:
        """Return a message that its own address signed, in time, to us; its nonce is not taken.

        What no key signed may be a contract's (EIP-1271): it is asked last, on its chain, so this
        is called outside any unit.
        """
        expected = siwe.Expected(
            scheme=origin.scheme,
            domain=origin.domain,
            chain_id=origin.chain_id,
            statement=STATEMENT_SIGN_IN if account is None else STATEMENT_ADD,
        )
        try:
            message = siwe.read(text)
        except PeerError as error:
            return Refusal(AccountReason.INVALID_KEY, error.reason)
        fault = siwe.objection(message, expected, now_us=self._clock.now_us())
        if not fault and not self.challenges.holds(_purpose(account), _nonce(message)):
            fault = "nonce"
        if not fault and not _signed(message, text, signature, by_contract):
            fault = "signature"
        return message if not fault else Refusal(AccountReason.INVALID_KEY, fault)

    # both

    def _added(
        self,
        add: Callable[[], SignInKey | Refusal],
        account: AccountId,
        challenge: bytes,
    ) -> SignInKey | Refusal:
        if not self.challenges.take(_adding(account), challenge):
            return Refusal(AccountReason.INVALID_KEY, "challenge")
        return add()

    def _tried_too_often(self, credential: bytes) -> Refusal | None:
        """Bound guesses at one key, known or not alike."""
        wait_s = self.credentials.retry_after_s(sha256(credential).hexdigest())
        return Refusal(AccountReason.TOO_MANY, str(wait_s)) if wait_s else None

    def _by_key(
        self, unit: Connection, key: SignInKey, *, sign_count: int, came_from: str
    ) -> SignedIn | Refusal:
        if self.book.used(unit, key, sign_count=sign_count) is not None:
            self.audit.write(
                unit,
                "key_copied",
                who=key.account,
                about=key.key,
                outcome="refused",
                came_from=came_from,
            )
            return _REFUSED
        return self._signed_in(unit, key.account, key=key.key, came_from=came_from)

    def _signed_in(
        self, unit: Connection, account: AccountId, *, key: str, came_from: str
    ) -> SignedIn:
        token, begun = self.sessions.begin(unit, account, key=key, came_from=came_from)
        self.audit.write(unit, "signed_in", who=account, about=begun.session, came_from=came_from)
        return SignedIn(account=account, token=token)


def _signed(
    message: siwe.Message, text: str, signature: bytes, by_contract: ByContract | None
) -> bool:
    """Say whether the address of a message signed it, by its key or as a contract."""
    if siwe.signer(text, signature) == message.address:
        return True
    return by_contract is not None and by_contract(message.address, siwe.digest(text), signature)


def _party(origin: Origin) -> RelyingParty:
    from opencarrier.identity.accounts.passkeys import RelyingParty

    return RelyingParty(origin=str(origin), rp_id=origin.rp_id)


def _adding(account: AccountId) -> str:
    return f"add {account}"


def _purpose(account: AccountId | None) -> str:
    return SIGN_IN if account is None else _adding(account)


def _nonce(message: siwe.Message) -> bytes:
    """Return the challenge that a nonce is; another's is none of ours."""
    try:
        challenge = bytes.fromhex(message.nonce)
    except ValueError:
        return b""
    return challenge if len(challenge) == CHALLENGE_OCTETS else b""
