"""What the paywall speaks of: offers, payments, and where each payment stands. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from opencarrier.chain.typed_data import Authorization, ChannelConfig
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Reason
from opencarrier.kernel.signatures import Address
from opencarrier.spine.channels import ChannelStanding, GaslessDeposit
from opencarrier.spine.parties import PartyId

EXACT = "exact"
"""The scheme in which exactly the asked amount moves, by one ERC-3009 authorisation."""

BATCH_SETTLEMENT = "batch-settlement"
"""The scheme in which a channel is opened once and each request costs a voucher."""


class Profile(Enum):
    """How sure a payment is before its resource is given."""

    MINED = "mined"
    FINAL = "final"


class PaymentState(Enum):
    """Where a payment stands; the last two are terminal.

    `kept`: persisted with its transaction. `mined`: its transfer was seen in a block. `booked`:
    that block is final and the ledger has the money. `dead`: it can never pay any more.
    """

    KEPT = "kept"
    MINED = "mined"
    BOOKED = "booked"
    DEAD = "dead"


class PaymentReason(Reason):
    """Why a payment does not pay for a resource; the first that applies is given."""

    OTHER_SCHEME = 1
    OTHER_NETWORK = 2
    OTHER_ASSET = 3
    OTHER_RECEIVER = 4
    OTHER_AMOUNT = 5
    NOT_YET_VALID = 6
    EXPIRED = 7
    VALID_TOO_LONG = 8
    BAD_SIGNATURE = 9
    REUSED = 10
    DEAD = 11
    NONCE_USED = 12
    SHORT_OF_TOKENS = 13
    WOULD_REVERT = 14
    TOO_MANY_OPEN = 15
    CANNOT_SETTLE = 16
    OTHER_TERMS = 17
    REFUND_IN_PART = 18


class OfferReason(Reason):
    """Why none of a server's offers is taken."""

    NOTHING_KNOWN = 1
    ASSET_NOT_ALLOWED = 2
    RECEIVER_NOT_ALLOWED = 3
    ABOVE_LIMIT = 4
    UNFINISHED = 5
    REFUSED = 6
    TAKEN = 7
    NOTHING_LEFT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTerms:
    """What a channel must be to pay an offer; `deposit_minor` is what it should hold at least.

    `standing` is where the payer's channel stands, told to a payer that has lost its count.
    """

    receiver_authorizer: Address
    withdraw_delay_s: int
    deposit_minor: int = 0
    standing: ChannelStanding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One way to pay: `network` is a CAIP-2 id, `name` and `version` the token's signing domain.

    `channel` is there where the scheme is `batch-settlement`, and only there. `source` is the JSON
    a server wrote it as; a payment gives it back whole, for servers compare.
    """

    scheme: str
    network: str
    token: Address
    receiver: Address
    amount_minor: int
    timeout_s: int
    name: str
    version: str
    channel: ChannelTerms | None = None
    source: str = field(default="", compare=False)

    @property
    def asset(self) -> AssetId:
        """The token as a CAIP-19 id."""
        return AssetId(f"{self.network}/erc20:{self.token}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """What a 402 says: the resource, how it can be paid, and what was wrong with a payment."""

    url: str
    description: str
    offers: tuple[Offer, ...]
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What a client sends: the offer it takes and the authorisation that pays it."""

    offer: Offer
    authorization: Authorization
    signature: bytes


class Way(Enum):
    """What a client does with its channel: deposit and pay, pay, have the rest given back."""

    DEPOSIT = "deposit"
    VOUCHER = "voucher"
    REFUND = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPayment:
    """A payment through a channel: its terms, the voucher, and a deposit where it needs one."""

    offer: Offer
    way: Way
    config: ChannelConfig
    channel_id: Id
    voucher_minor: int
    signature: bytes = field(repr=False)
    deposit: GaslessDeposit | None = None
    refund_minor: int | None = None

    def __post_init__(self) -> None:
        assert (self.deposit is not None) == (self.way is Way.DEPOSIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSale:
    """What a channel's last voucher bought; the voucher shown again gets this again."""

    channel_id: Id
    voucher_minor: int
    amount_minor: int
    resource: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of a payment, as its client is told; no transaction before there is one.

    `standing` is where its channel stands, of a payment through one; `charged_minor` what it cost.
    """

    success: bool
    network: str
    payer: Address
    amount_minor: int
    tx_hash: bytes = b""
    error: str = ""
    charged_minor: int = 0
    standing: ChannelStanding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A resource as it is sold now.

    `resource` names it with everything that decides what is given, `answer` is what is given:
    it is made before the money is taken, so a payment never buys a refusal. `account` is credited.
    """

    resource: str
    description: str
    amount_minor: int
    account: str
    code: str
    profile: Profile
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the chain a payment's transfer stands."""

    tx_hash: bytes
    block_number: int
    block_hash: bytes
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A payment as it is kept; everything but `state`, `reason` and `place` never changes."""

    payment_id: Id
    authorization: Authorization
    signature: bytes
    sale: Sale
    kept_us: int
    from_block: int
    state: PaymentState
    reason: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Till:
    """Where payments go: an account of one token on one chain; no log of its lies before
    `from_block`. `owner` is whose it is.
    """

    asset: AssetId
    chain_id: int
    token: Address
    address: Address
    from_block: int
    owner: PartyId

    @property
    def network(self) -> str:
        """The chain as a CAIP-2 id."""
        return f"eip155:{self.chain_id}"
