"""Accounts, transfers and the ordered reasons for which a transfer is refused.

The model is TigerBeetle's: two immutable record types, amounts in integers, limits as flags,
client-made ids, two-phase holds and linked chains. An account is (asset, name); a transfer moves
money of one asset between two of that asset's accounts, so no transfer can cross books.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import lru_cache
from typing import Final

from opencarrier.kernel.ids import ID_OCTETS, Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Reason

BATCH_MAX: Final = 8_192
"""Transfers in one `apply`, and accounts in one opening."""

AT_US_MAX: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999, the last one calendars know."""

CODE_MAX: Final = 64
NAME_MAX: Final = 128
_SEGMENT = r"[a-z0-9]+(?:[_-][a-z0-9]+)*"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")


class AccountFlags(IntFlag):
    """Limits of an account; `NONE` may stand in debit or in credit."""

    NONE = 0
    DEBITS_MUST_NOT_EXCEED_CREDITS = 1
    """Holds and debits together never exceed what was credited."""
    CREDITS_MUST_NOT_EXCEED_DEBITS = 2
    """The same, for an account that stands in debit."""


class TransferFlags(IntFlag):
    """What a transfer does; `NONE` moves money at once."""

    NONE = 0
    LINKED = 1
    """This transfer and the next are booked together or not at all."""
    PENDING = 2
    """Open a hold: reserve the amount on both sides until it is posted, voided or expires."""
    POST_PENDING = 4
    """Post a hold for up to its amount; the rest of it is released."""
    VOID_PENDING = 8
    """Release a hold whole."""
    EXPIRE_PENDING = 16
    """Release a hold whole because its time is over."""
    BALANCING_DEBIT = 32
    """Move at most what the debit account has free, down to nothing."""


class AccountReason(Reason):
    """Why an account is not opened. Of several that apply, the first listed is given."""

    EXISTS_WITH_DIFFERENT_FLAGS = 1
    EXISTS = 2


class TransferReason(Reason):
    """Why a transfer is not booked. Of several that apply, the first listed is given.

    Existence comes before everything else, so the answer to a retry never depends on what has
    happened since. `EXISTS` means the ledger holds this very transfer: `apply` reports it as
    booked.
    """

    LINKED_EVENT_FAILED = 1
    LINKED_CHAIN_OPEN = 2

    EXISTS_WITH_DIFFERENT_FLAGS = 10
    EXISTS_WITH_DIFFERENT_HOLD_ID = 11
    EXISTS_WITH_DIFFERENT_EXPIRES_US = 12
    EXISTS_WITH_DIFFERENT_ASSET = 13
    EXISTS_WITH_DIFFERENT_DEBIT = 14
    EXISTS_WITH_DIFFERENT_CREDIT = 15
    EXISTS_WITH_DIFFERENT_AMOUNT_MINOR = 16
    EXISTS_WITH_DIFFERENT_CODE = 17
    EXISTS_WITH_DIFFERENT_REFERENCE = 18
    EXISTS = 19

    FLAGS_ARE_MUTUALLY_EXCLUSIVE = 20
    AMOUNT_OUT_OF_RANGE = 21
    AMOUNT_MUST_BE_ZERO = 22
    EXPIRES_US_RESERVED_FOR_HOLDS = 23
    EXPIRES_US_OUT_OF_RANGE = 24
    HOLD_ID_MISSING = 25
    HOLD_ID_RESERVED_FOR_RESOLUTION = 26
    ACCOUNTS_MUST_DIFFER = 27

    DEBIT_ACCOUNT_NOT_FOUND = 30
    CREDIT_ACCOUNT_NOT_FOUND = 31

    HOLD_NOT_FOUND = 40
    HOLD_HAS_DIFFERENT_DEBIT = 41
    HOLD_HAS_DIFFERENT_CREDIT = 42
    EXCEEDS_HOLD = 43
    HOLD_ALREADY_POSTED = 44
    HOLD_ALREADY_VOIDED = 45
    HOLD_EXPIRED = 46
    HOLD_NOT_YET_EXPIRED = 47
    EXPIRES_US_HAS_PASSED = 48

    OVERFLOWS_DEBITS = 50
    OVERFLOWS_CREDITS = 51
    EXCEEDS_CREDITS = 52
    EXCEEDS_DEBITS = 53


class HoldState(IntEnum):
    """Where a hold stands; it leaves `PENDING` once."""

    PENDING = 1
    POSTED = 2
    VOIDED = 3
    EXPIRED = 4


@lru_cache(maxsize=65_536)
def account_id(asset: AssetId, name: str) -> Id:
    """Name an account by its asset and name."""
    return derive("account", asset, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A request to open an account; the same one again changes nothing."""

    asset: AssetId
    name: str
    flags: AccountFlags = AccountFlags.NONE

    def __post_init__(self) -> None:
        assert self.asset, "an account belongs to an asset's book"
        assert len(self.name) <= NAME_MAX, "an account name is too long"
        assert _NAME.fullmatch(self.name), f"not an account name: {self.name!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What stands on both sides of an account, held (pending) and moved (posted), minor units."""

    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0

    @property
    def posted_minor(self) -> int:
        """Credits less debits, holds left out."""
        return self.credits_posted - self.debits_posted

    @property
    def free_minor(self) -> int:
        """What a debit may still take from a limited account: credits less debits and holds."""
        return self.credits_posted - self.debits_posted - self.debits_pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account of an asset's book and what stands on it."""

    account_id: Id
    asset: AssetId
    name: str
    flags: AccountFlags
    balance: Balance


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """An order to debit one account and credit another, under an id its maker derived.

    `debit` and `credit` are account names in `asset`'s book. A hold (`PENDING`) may carry
    `expires_us`; None never expires. Posting, voiding and expiring name the hold by `hold_id`
    and repeat its accounts; voiding and expiring have amount 0. `code` says what the transfer
    is for, `reference` whose consequence it is (a charge, a settlement).
    """

    transfer_id: Id
    asset: AssetId
    debit: str
    credit: str
    amount_minor: int
    code: str
    flags: TransferFlags = TransferFlags.NONE
    hold_id: Id | None = None
    expires_us: int | None = None
    reference: Id | None = None

    def __post_init__(self) -> None:
        assert len(self.transfer_id) == ID_OCTETS
        assert self.hold_id is None or len(self.hold_id) == ID_OCTETS
        assert self.reference is None or len(self.reference) == ID_OCTETS
        assert 0 < len(self.code) <= CODE_MAX, "a code says what a transfer is for"
        assert self.code.isprintable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A transfer as it stands in the book.

    `moved_minor` is what was moved or, for a hold, reserved: less than the amount only for
    `BALANCING_DEBIT`, and 0 for a void or an expiry. `sequence` counts transfers from 1.
    """

    transfer: Transfer
    moved_minor: int
    at_us: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold and where it stands; `posted_minor` is what was posted of it."""

    booked: Booked
    state: HoldState
    posted_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of an account's statement; amounts are signed, credit positive.

    `held_minor` is the change in what is held on the account, `balance_minor` what is posted on
    it after this line.
    """

    sequence: int
    at_us: int
    transfer_id: Id
    code: str
    counterpart: str
    posted_minor: int
    held_minor: int
    balance_minor: int
    reference: Id | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest journal entry: its number, the newest transfer's (both from 1), its hash."""

    entry: int
    sequence: int
    entry_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What a check of the whole ledger found; no findings means everything agrees."""

    accounts: int
    transfers: int
    entries: int
    findings: tuple[str, ...]


def post_hold(
    hold: Transfer,
    *,
    transfer_id: Id,
    amount_minor: int,
    code: str,
    reference: Id | None = None,
    flags: TransferFlags = TransferFlags.NONE,
) -> Transfer:
    """Make the transfer that posts `amount_minor` of a hold and releases the rest."""
    return Transfer(
        transfer_id=transfer_id,
        asset=hold.asset,
        debit=hold.debit,
        credit=hold.credit,
        amount_minor=amount_minor,
        code=code,
        flags=flags | TransferFlags.POST_PENDING,
        hold_id=hold.transfer_id,
        reference=reference,
    )


def void_hold(
    hold: Transfer,
    *,
    transfer_id: Id,
    code: str,
    reference: Id | None = None,
    flags: TransferFlags = TransferFlags.NONE,
) -> Transfer:
    """Make the transfer that releases a hold whole."""
    return Transfer(
        transfer_id=transfer_id,
        asset=hold.asset,
        debit=hold.debit,
        credit=hold.credit,
        amount_minor=0,
        code=code,
        flags=flags | TransferFlags.VOID_PENDING,
        hold_id=hold.transfer_id,
        reference=reference,
    )


def expire_hold(hold: Transfer) -> Transfer:
    """Make the transfer that ends a hold whose time is over; its id follows from the hold's."""
    return Transfer(
        transfer_id=derive("transfer", hold.transfer_id, "expire"),
        asset=hold.asset,
        debit=hold.debit,
        credit=hold.credit,
        amount_minor=0,
        code="expire",
        flags=TransferFlags.EXPIRE_PENDING,
        hold_id=hold.transfer_id,
    )
