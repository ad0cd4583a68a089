"""What is asked for about people, and examples of what is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from opencarrier.app.api import Page
from opencarrier.app.console.views.people import (
    ApprovalLine,
    ApprovalsView,
    EntryLine,
    GrantLine,
    KeyLine,
    MeView,
    PartyLine,
    PersonLine,
    SessionLine,
)
from opencarrier.app.forms.samples import ACCOUNT, ADDRESS, AT_US, HOST, hex_id

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantForm:
    """A role, and at which party; `party` is empty for the whole installation."""

    role: str
    party: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteForm(GrantForm):
    """Whom to invite, as what."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NameForm:
    """A name of 1 to 64 characters on one line."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyForm(NameForm):
    """What a browser made, as `PublicKeyCredential.toJSON()` writes it, and what to call it."""

    response: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletForm:
    """The address of a wallet, 20 octets in hex."""

    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedForm(NameForm):
    """The text that was given to sign, and its signature in hex."""

    message: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletMessage:
    """What a wallet signs."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """An address that signs in to an account once; it is not told again."""

    account: str
    url: str


GRANT = GrantForm(role="host", party=HOST)
INVITE = InviteForm(role="host", party=HOST, name="Amina")
NAME = NameForm(name="Amina")
PASSKEY_OPTIONS: dict[str, Any] = {"publicKey": {"challenge": "AAAA", "user": {"id": "AAAA"}}}
PASSKEY = PasskeyForm(
    name="Phone",
    response={
        "id": "AAAA",
        "rawId": "AAAA",
        "type": "public-key",
        "response": {"clientDataJSON": "AAAA", "attestationObject": "AAAA"},
    },
)
WALLET = WalletForm(address=ADDRESS)
MESSAGE = WalletMessage(message="localhost:8400 wants you to sign in with your Ethereum account: …")
SIGNED = SignedForm(name="Ledger", message=MESSAGE.message, signature="0x" + "11" * 65)
INVITATION = Invitation(account=ACCOUNT, url="http://localhost:8400/welcome/TOKEN")
HELD = GrantLine(role="host", party=HOST, name="Cafe", may_take=True)
PARTY = PartyLine(role="host", party=HOST, name="Cafe")
PERSON = PersonLine(
    account=ACCOUNT, name="Amina", grants=(HELD,), keys=0, may_link=True, may_remove=False
)
ENTRY = EntryLine(
    sequence=7,
    at_us=AT_US,
    who=ACCOUNT,
    name="Amina",
    what="invited",
    about=ACCOUNT,
    outcome="done",
    came_from="198.51.100.0/24",
)
APPROVALS = ApprovalsView(
    waiting=(
        ApprovalLine(
            approval=hex_id(1),
            kind="settlement",
            subject=hex_id(2),
            amount_minor=12_044,
            about="",
            needed=2,
            given=1,
            by=("Amina",),
            others=(),
            said=True,
            asked_us=AT_US,
            expires_us=AT_US + 86_400_000_000,
        ),
    )
)
ME = MeView(
    account=ACCOUNT,
    name="Amina",
    made_us=AT_US,
    grants=(HELD,),
    keys=(
        KeyLine(
            key="key_1", kind="wallet", name="Ledger", shown=ADDRESS, made_us=AT_US, used_us=None
        ),
    ),
    sessions=(
        SessionLine(
            session="sess_5f2a9c4e5b6d7081",
            by="Ledger",
            made_us=AT_US,
            seen_us=AT_US,
            came_from="198.51.100.0/24",
            is_this=True,
        ),
    ),
)


def page(item: T) -> Page[T]:
    """Return a list that has one item and no more."""
    return Page(items=[item], next=None)
