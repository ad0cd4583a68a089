"""How a transaction lives: pure rules, `record, observation -> record, effects`.

A transaction keeps its nonce for life. Every signed variant of it (a fee bump is a variant) is
kept, because any of them may be the mined one. Nothing is terminal before the chain's finality
profile says so; a reorg above that only moves a transaction back to `sent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from opencarrier.chain.model import Call, Receipt
from opencarrier.kernel.refusals import Reason
from opencarrier.kernel.signatures import Address

SECOND_US = 1_000_000
REPLACEMENT_NUMERATOR = 1125
"""A replacement offers 12.5 % more at least: above the 10 % every known mempool asks for."""
REPLACEMENT_DENOMINATOR = 1000


PURPOSE_LENGTH_MAX = 16


class TransactionState(Enum):
    """Where a transaction stands; the last three are terminal."""

    PREPARED = "prepared"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    REVERTED = "reverted"
    REPLACED = "replaced"


TERMINAL = frozenset({TransactionState.FINAL, TransactionState.REVERTED, TransactionState.REPLACED})


class TransactionRefusal(Reason):
    """Why a transaction is not prepared; the first that applies is given."""

    EXISTS_WITH_DIFFERENT_CALL = 1
    EXISTS_WITH_DIFFERENT_SENDER = 2
    EXISTS_WITH_DIFFERENT_WISH = 3
    TOO_MANY_OPEN = 4
    FEE_ABOVE_CAP = 5
    ABOVE_TRANSACTION_CAP = 6
    ABOVE_PURPOSE_CAP = 7
    ABOVE_DAY_CAP = 8


class SendOutcome(Enum):
    """What an endpoint said to a transaction; only `REJECTED` means it surely has it not."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    NONCE_USED = "nonce_used"
    UNDERPRICED = "underpriced"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the owner of the key allows; times in seconds, fees in wei per gas, caps in wei.

    A cap counts gas and value together; a purpose without one has the day's only.
    """

    resend_after_s: int = 15
    bump_after_s: int = 60
    bumps_max: int = 5
    fee_cap_per_gas_wei: int = 500 * 10**9
    open_max: int = 256
    gas_limit_max: int = 16_777_216
    transaction_max_wei: int = 10**18
    day_max_wei: int = 10**19
    purposes_day_max_wei: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert 0 < self.resend_after_s <= self.bump_after_s, "send again before paying more"
        assert 0 <= self.bumps_max <= 16, "bumps are few"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One signed form of a transaction; `sent_count` is 0 until it was handed over once."""

    tx_hash: bytes
    raw: bytes
    max_fee_per_gas_wei: int
    max_priority_fee_per_gas_wei: int
    signed_at_us: int
    sent_count: int = 0
    sent_at_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPoint:
    """A block by number and hash: equal only while the chain has not reorganised it."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """Where a transaction was last seen mined, and by which variant."""

    tx_hash: bytes
    block: BlockPoint
    succeeded: bool
    gas_used: int
    effective_gas_price_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transaction's whole record; `intent_id`, `purpose` and `asked` are its owner's.

    `asked` is a digest of the wish behind the call, where that is not the call itself: it may
    have times and signatures in it that differ each time.
    """

    intent_id: bytes
    chain_id: int
    sender: Address
    nonce: int
    call: Call
    gas_limit: int
    state: TransactionState
    variants: tuple[Variant, ...]
    mined: Mined | None = None
    foreign_since: BlockPoint | None = None
    last_error: str = ""
    prepared_at_us: int
    purpose: str = ""
    asked: bytes = b""

    def __post_init__(self) -> None:
        assert len(self.intent_id) == 32, "an intent id has 32 octets"
        assert len(self.asked) in (0, 32), "what was asked is a digest, or nothing"
        assert self.variants, "a transaction is signed before it exists"
        assert len(self.purpose) <= PURPOSE_LENGTH_MAX, "a purpose is a short name"

    @property
    def newest(self) -> Variant:
        """The variant that offers most, the one to send."""
        return self.variants[-1]

    @property
    def tx_hash(self) -> bytes:
        """The hash to show: the mined variant's, else the newest's."""
        return self.newest.tx_hash if self.mined is None else self.mined.tx_hash

    @property
    def is_terminal(self) -> bool:
        """Say whether nothing will ever change here any more."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the chain looked like, read in this order: nonce, head, final, foreign, receipts.

    `nonce` is the sender's at the head; `foreign_canonical` says whether the block of
    `foreign_since` still stands; `receipts` holds the mined variants by hash.
    """

    now_us: int
    nonce: int
    head: BlockPoint
    final_number: int | None
    foreign_canonical: bool
    receipts: Mapping[bytes, Receipt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Effect: hand the newest variant to the chain (the same octets each time)."""

    variant: Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Bump:
    """Effect: sign a variant that pays more, keep it, then send it."""


Effect = Send | Bump


def observe(
    record: Transaction, seen: Observation, policy: Policy
) -> tuple[Transaction, tuple[Effect, ...]]:
    """Move a transaction to where the chain says it is and tell what is to be done."""
    if record.is_terminal:
        return record, ()
    mined = [v.tx_hash for v in record.variants if v.tx_hash in seen.receipts]
    if len(mined) > 1:  # read across a reorg: one nonce is never used twice, so look again
        return record, ()
    if mined:
        return _mined(record, seen.receipts[mined[0]], seen.final_number), ()
    if seen.nonce > record.nonce:
        return _taken(record, seen), ()
    return _due(replace(record, mined=None, foreign_since=None), seen.now_us, policy)


def after_send(
    record: Transaction, variant: Variant, outcome: SendOutcome, detail: str, now_us: int
) -> Transaction:
    """Note that a variant was handed over; the outcome is a hint, the chain decides."""
    sent = replace(variant, sent_count=variant.sent_count + 1, sent_at_us=now_us)
    variants = tuple(sent if v.tx_hash == variant.tx_hash else v for v in record.variants)
    error = "" if outcome in (SendOutcome.ACCEPTED, SendOutcome.KNOWN) else detail[:200]
    state = record.state
    if state is TransactionState.PREPARED and outcome is not SendOutcome.REJECTED:
        state = TransactionState.SENT
    return replace(record, variants=variants, state=state, last_error=error)


def bumped_fees(
    record: Transaction, base_fee_wei: int, tip_wei: int, policy: Policy
) -> tuple[int, int] | None:
    """Return the next variant's (max fee, tip) per gas: room for the base fee to double, within
    the owner's cap; None where that forbids it, or allows only what no block would take now.
    """
    newest, cap = record.newest, policy.fee_cap_per_gas_wei
    tip = max(_raise(newest.max_priority_fee_per_gas_wei), tip_wei)
    fee = max(_raise(newest.max_fee_per_gas_wei), min(2 * base_fee_wei + tip, cap))
    return (fee, tip) if base_fee_wei + tip <= fee <= cap else None


def first_fees(base_fee_wei: int, tip_wei: int, policy: Policy) -> tuple[int, int] | None:
    """Return the first (max fee, tip) per gas: room for the base fee to double, within the cap."""
    fee = min(2 * base_fee_wei + tip_wei, policy.fee_cap_per_gas_wei)
    if fee < base_fee_wei + tip_wei:
        return None
    return fee, tip_wei


def resend_due(record: Transaction, now_us: int, policy: Policy) -> bool:
    """Say whether the newest variant was last handed over long enough ago."""
    return _elapsed(record.newest.sent_at_us, now_us, policy.resend_after_s)


def bump_due(record: Transaction, now_us: int, policy: Policy) -> bool:
    """Say whether the newest variant has waited long enough for a dearer one."""
    return _elapsed(record.newest.signed_at_us, now_us, policy.bump_after_s)


def outcome_of(message: str) -> SendOutcome:
    """Read a refusal's words; endpoints agree on words better than on codes."""
    text = message.lower()
    for words, outcome in _WORDS:
        if words in text:
            return outcome
    return SendOutcome.REJECTED


_WORDS = (
    ("already known", SendOutcome.KNOWN),
    ("already imported", SendOutcome.KNOWN),
    ("known transaction", SendOutcome.KNOWN),
    ("nonce too low", SendOutcome.NONCE_USED),
    ("underpriced", SendOutcome.UNDERPRICED),
)


def _mined(record: Transaction, receipt: Receipt, final_number: int | None) -> Transaction:
    state = TransactionState.MINED
    if final_number is not None and receipt.block_number <= final_number:
        final = TransactionState.FINAL if receipt.succeeded else TransactionState.REVERTED
        state = final
    mined = Mined(
        tx_hash=receipt.tx_hash,
        block=BlockPoint(number=receipt.block_number, hash=receipt.block_hash),
        succeeded=receipt.succeeded,
        gas_used=receipt.gas_used,
        effective_gas_price_wei=receipt.effective_gas_price_wei,
    )
    return replace(record, state=state, mined=mined, foreign_since=None, last_error="")


def _taken(record: Transaction, seen: Observation) -> Transaction:
    """The nonce is used and not by us: believe it once the block that showed it is final."""
    since = record.foreign_since
    if since is None or not seen.foreign_canonical:
        return replace(_unmined(record), foreign_since=seen.head)
    if seen.final_number is not None and since.number <= seen.final_number:
        return replace(record, state=TransactionState.REPLACED, mined=None)
    return _unmined(record)


def _unmined(record: Transaction) -> Transaction:
    """A receipt that vanished takes a mined transaction back to `sent`."""
    if record.state is TransactionState.MINED:
        return replace(record, state=TransactionState.SENT, mined=None)
    return record


def _due(
    record: Transaction, now_us: int, policy: Policy
) -> tuple[Transaction, tuple[Effect, ...]]:
    """The nonce is free: send what was never sent, what a reorg lost, what nobody mined."""
    newest = record.newest
    if record.state is TransactionState.MINED:
        return _unmined(record), (Send(variant=newest),)
    if newest.sent_count == 0:
        return record, (Send(variant=newest),)
    bumps = len(record.variants) - 1
    if bumps < policy.bumps_max and bump_due(record, now_us, policy):
        return record, (Bump(),)
    if resend_due(record, now_us, policy):
        return record, (Send(variant=newest),)
    return record, ()


def _elapsed(since_us: int, now_us: int, span_s: int) -> bool:
    return now_us - since_us >= span_s * SECOND_US


def _raise(fee_wei: int) -> int:
    return -(-fee_wei * REPLACEMENT_NUMERATOR // REPLACEMENT_DENOMINATOR)
