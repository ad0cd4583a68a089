"""Why the room says no, in order: of several reasons that apply, the first listed is given."""

from __future__ import annotations

from opencarrier.kernel.refusals import Reason


class OpenReason(Reason):
    """Why a channel is not opened, nor a session put on one."""

    NOT_THE_SELLER = 1
    NOT_THE_TOKEN = 2
    NO_AUTHORIZER = 3
    DELAY_TOO_SHORT = 4
    DEPOSIT_OUT_OF_BOUNDS = 5
    DEPOSIT_SIGNATURE = 6
    TOO_MANY_CHANNELS = 7
    TOO_MANY_OPENING = 8
    EXISTS_WITH_DIFFERENT_OWNER = 9
    PREPAID = 10


class LeaseReason(Reason):
    """Why a node gets no lease."""

    UNKNOWN_CHANNEL = 1
    CHANNEL_ENDED = 2
    LEASED_ELSEWHERE = 3
    NOTHING_DEPOSITED = 4
    NO_KEY = 5


class PaymentReason(Reason):
    """Why a payment is not taken; whatever it is, the session falls to the free tier."""

    UNKNOWN_SESSION = 1
    OTHER_SESSION = 2
    OTHER_CHANNEL = 3
    OTHER_TARIFF = 4
    SESSION_ENDED = 5
    CHANNEL_ENDED = 6
    NO_LEASE = 7
    LEASE_EXPIRED = 8
    VOUCHER_STALE = 9
    VOUCHER_BELOW_FLOOR = 10
    VOUCHER_ABOVE_CEILING = 11
    VOUCHER_ABOVE_DEPOSIT = 12
    ACK_STALE = 13
    ACK_FALLS = 14
    ACK_BEYOND_RANGE = 15
    ACK_MISPRICED = 16
    ACK_UNCOVERED = 17
    VOUCHER_SIGNATURE = 18
    ACK_SIGNATURE = 19


class PurchaseReason(Reason):
    """Why a voucher buys nothing, or a channel is not given back."""

    UNKNOWN_CHANNEL = 1
    FOREIGN_CHANNEL = 2
    CHANNEL_ENDED = 3
    VOUCHER_SIGNATURE = 4
    CUMULATIVE_MISMATCH = 5
    ABOVE_DEPOSIT = 6


class KeyReason(Reason):
    """Why a request is not heard."""

    UNKNOWN_KEY = 1
    TOO_OFTEN = 2
