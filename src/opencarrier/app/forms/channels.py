"""Pay as you use: requests and answers as `channels.wire` reads and writes them.

Amounts are decimal digits in a string, as they may exceed what JSON numbers carry safely; octets
are `0x` and hex.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from opencarrier.app.api import Body
from opencarrier.app.forms.samples import ADDRESS, ID_PATTERN, SIGNATURE, hex_id

Digits = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,18})$")]
Hex32 = Annotated[str, Field(pattern=ID_PATTERN)]
HexAddress = Annotated[str, Field(pattern=r"^0x[0-9a-f]{40}$")]
HexSignature = Annotated[str, Field(pattern=r"^0x[0-9a-f]{130}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigForm:
    """The terms of a channel (batch-settlement of x402)."""

    payer: HexAddress
    payer_authorizer: HexAddress
    receiver: HexAddress
    receiver_authorizer: HexAddress
    token: HexAddress
    withdraw_delay_s: int
    salt: Hex32


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositForm:
    """A gasless deposit: a signed ERC-3009 authorisation over `amount_minor`."""

    amount_minor: Digits
    valid_after_s: int
    valid_before_s: int
    salt: Hex32
    signature: HexSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """A channel and its deposit."""

    mode: Literal["home", "direct"]
    channel_id: Hex32
    config: ConfigForm
    deposit: DepositForm


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAnswer:
    """A channel that stands: what it holds and what of it is owed."""

    channel_id: Hex32
    deposited_minor: Digits
    due_minor: Digits
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginRequest:
    """The caller's session by its Acct-Session-Id (RFC 2866), and the channel it is paid from."""

    channel_id: Hex32
    acct_session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """A session of the caller's."""

    session_id: Hex32


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRequest:
    """A channel of the caller's."""

    channel_id: Hex32


@dataclass(frozen=True, slots=True, kw_only=True)
class AckForm:
    """What a device says it used so far, which it signed (EIP-712)."""

    session_id: Hex32
    sequence: int
    octets_in: int
    octets_out: int
    duration_s: int
    tariff_hash: Hex32
    channel_id: Hex32
    cumulative_minor: Digits


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRequest:
    """A voucher over what may be claimed at most, and the acknowledgement it pays for."""

    max_claimable_minor: Digits
    voucher_signature: HexSignature
    ack: AckForm
    ack_signature: HexSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseForm:
    """What a node may let be used before it asks again, signed by the home."""

    number: int
    node: str
    floor_minor: Digits
    ceiling_minor: Digits
    expires_s: int
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NextForm:
    """What the next voucher buys."""

    voucher_minor: Digits
    octets: int
    duration_s: int
    paid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingAnswer:
    """Where a session stands; `next` is null where nothing more is sold to it."""

    session_id: Hex32
    channel_id: Hex32
    tariff_hash: Hex32
    base_minor: Digits
    sequence: int
    cumulative_minor: Digits
    voucher_minor: Digits
    ended: bool
    lease: LeaseForm
    next: NextForm | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedAnswer:
    """A channel that takes no more: what is due is claimed, the rest given back."""

    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsAnswer:
    """Where channels are, who would be paid, by which tariff, and what a slice of use is."""

    chain_id: int
    contract: HexAddress
    collector: HexAddress
    token: HexAddress
    receivers: Mapping[str, HexAddress]
    withdraw_delay_s: int
    tariff_hash: Hex32
    slice_octets: int
    slice_s: int


CONFIG = ConfigForm(
    payer=ADDRESS,
    payer_authorizer=ADDRESS,
    receiver=ADDRESS,
    receiver_authorizer=ADDRESS,
    token=ADDRESS,
    withdraw_delay_s=86_400,
    salt=hex_id(1),
)
OPEN = OpenRequest(
    mode="home",
    channel_id=hex_id(2),
    config=CONFIG,
    deposit=DepositForm(
        amount_minor="5000000",
        valid_after_s=0,
        valid_before_s=1_767_607_200,
        salt=hex_id(3),
        signature=SIGNATURE,
    ),
)
OPENED = OpenAnswer(channel_id=hex_id(2), deposited_minor="5000000", due_minor="0", closed=False)
BEGIN = BeginRequest(channel_id=hex_id(2), acct_session_id="5F2A-11")
PAYMENT = PaymentRequest(
    max_claimable_minor="12044",
    voucher_signature=SIGNATURE,
    ack=AckForm(
        session_id=hex_id(4),
        sequence=1,
        octets_in=500_000,
        octets_out=5_000_000,
        duration_s=600,
        tariff_hash=hex_id(5),
        channel_id=hex_id(2),
        cumulative_minor="12044",
    ),
    ack_signature=SIGNATURE,
)
STANDING = StandingAnswer(
    session_id=hex_id(4),
    channel_id=hex_id(2),
    tariff_hash=hex_id(5),
    base_minor="0",
    sequence=1,
    cumulative_minor="12044",
    voucher_minor="12044",
    ended=False,
    lease=LeaseForm(
        number=1,
        node="node-1",
        floor_minor="0",
        ceiling_minor="5000000",
        expires_s=1_767_607_200,
        signature=SIGNATURE,
    ),
    next=NextForm(voucher_minor="24088", octets=10_485_760, duration_s=600, paid=True),
)
TERMS = TermsAnswer(
    chain_id=31_337,
    contract=ADDRESS,
    collector=ADDRESS,
    token=ADDRESS,
    receivers={"home": ADDRESS, "direct": ADDRESS},
    withdraw_delay_s=86_400,
    tariff_hash=hex_id(5),
    slice_octets=10_485_760,
    slice_s=600,
)
BODIES = {
    "open": Body(form=OpenRequest, example=OPEN),
    "session": Body(form=BeginRequest, example=BEGIN),
    "payment": Body(form=PaymentRequest, example=PAYMENT),
    "end": Body(form=SessionRequest, example=SessionRequest(session_id=hex_id(4))),
    "close": Body(form=ChannelRequest, example=ChannelRequest(channel_id=hex_id(2))),
}
ANSWERS: Mapping[str, object] = {
    "open": OPENED,
    "session": STANDING,
    "payment": STANDING,
    "end": STANDING,
    "close": ClosedAnswer(closed=True),
}
