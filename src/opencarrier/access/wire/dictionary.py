"""RADIUS codes and attributes as tables: names, numbers and the kind of value each carries."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class Code(IntEnum):
    """Packet codes (RFC 2865 section 3, RFC 2866 section 3, RFC 5176, RFC 5997)."""

    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11
    STATUS_SERVER = 12
    DISCONNECT_REQUEST = 40
    DISCONNECT_ACK = 41
    DISCONNECT_NAK = 42
    COA_REQUEST = 43
    COA_ACK = 44
    COA_NAK = 45


class Type(IntEnum):
    """Attribute types (RFC 2865, 2866, 2869, 3162, 3579, 4372, 5176, 5580)."""

    USER_NAME = 1
    USER_PASSWORD = 2
    NAS_IP_ADDRESS = 4
    NAS_PORT = 5
    SERVICE_TYPE = 6
    FRAMED_PROTOCOL = 7
    FRAMED_IP_ADDRESS = 8
    FILTER_ID = 11
    FRAMED_MTU = 12
    REPLY_MESSAGE = 18
    STATE = 24
    CLASS = 25
    VENDOR_SPECIFIC = 26
    SESSION_TIMEOUT = 27
    IDLE_TIMEOUT = 28
    TERMINATION_ACTION = 29
    CALLED_STATION_ID = 30
    CALLING_STATION_ID = 31
    NAS_IDENTIFIER = 32
    PROXY_STATE = 33
    ACCT_STATUS_TYPE = 40
    ACCT_DELAY_TIME = 41
    ACCT_INPUT_OCTETS = 42
    ACCT_OUTPUT_OCTETS = 43
    ACCT_SESSION_ID = 44
    ACCT_AUTHENTIC = 45
    ACCT_SESSION_TIME = 46
    ACCT_INPUT_PACKETS = 47
    ACCT_OUTPUT_PACKETS = 48
    ACCT_TERMINATE_CAUSE = 49
    ACCT_MULTI_SESSION_ID = 50
    ACCT_LINK_COUNT = 51
    ACCT_INPUT_GIGAWORDS = 52
    ACCT_OUTPUT_GIGAWORDS = 53
    EVENT_TIMESTAMP = 55
    NAS_PORT_TYPE = 61
    CONNECT_INFO = 77
    EAP_MESSAGE = 79
    MESSAGE_AUTHENTICATOR = 80
    ACCT_INTERIM_INTERVAL = 85
    NAS_PORT_ID = 87
    CHARGEABLE_USER_IDENTITY = 89
    NAS_IPV6_ADDRESS = 95
    FRAMED_INTERFACE_ID = 96
    FRAMED_IPV6_PREFIX = 97
    ERROR_CAUSE = 101
    OPERATOR_NAME = 126
    LOCATION_INFORMATION = 127
    LOCATION_DATA = 128
    FRAMED_IPV6_ADDRESS = 168


class AcctStatus(IntEnum):
    """What an Accounting-Request reports (RFC 2866 section 5.1)."""

    START = 1
    STOP = 2
    INTERIM_UPDATE = 3
    ACCOUNTING_ON = 7
    ACCOUNTING_OFF = 8


class Kind(IntEnum):
    """How an attribute's octets are read (RFC 2865 section 5, RFC 3162)."""

    TEXT = 1
    STRING = 2
    INTEGER = 3
    TIME = 4
    IPV4 = 5
    IPV6 = 6
    INTERFACE_ID = 7
    IPV6_PREFIX = 8
    VSA = 9


KIND_OCTETS: Final[Mapping[Kind, range]] = {
    Kind.TEXT: range(254),
    Kind.STRING: range(254),
    Kind.INTEGER: range(4, 5),
    Kind.TIME: range(4, 5),
    Kind.IPV4: range(4, 5),
    Kind.IPV6: range(16, 17),
    Kind.INTERFACE_ID: range(8, 9),
    Kind.IPV6_PREFIX: range(2, 19),
    Kind.VSA: range(5, 254),
}

_INTEGERS: Final = (
    Type.NAS_PORT,
    Type.SERVICE_TYPE,
    Type.FRAMED_PROTOCOL,
    Type.FRAMED_MTU,
    Type.SESSION_TIMEOUT,
    Type.IDLE_TIMEOUT,
    Type.TERMINATION_ACTION,
    Type.ACCT_STATUS_TYPE,
    Type.ACCT_DELAY_TIME,
    Type.ACCT_INPUT_OCTETS,
    Type.ACCT_OUTPUT_OCTETS,
    Type.ACCT_AUTHENTIC,
    Type.ACCT_SESSION_TIME,
    Type.ACCT_INPUT_PACKETS,
    Type.ACCT_OUTPUT_PACKETS,
    Type.ACCT_TERMINATE_CAUSE,
    Type.ACCT_LINK_COUNT,
    Type.ACCT_INPUT_GIGAWORDS,
    Type.ACCT_OUTPUT_GIGAWORDS,
    Type.NAS_PORT_TYPE,
    Type.ACCT_INTERIM_INTERVAL,
    Type.ERROR_CAUSE,
)

KINDS: Final[Mapping[int, Kind]] = {
    **{int(item): Kind.STRING for item in Type},
    **{int(item): Kind.INTEGER for item in _INTEGERS},
    **{
        int(item): Kind.TEXT
        for item in (
            Type.USER_NAME,
            Type.FILTER_ID,
            Type.REPLY_MESSAGE,
            Type.CALLED_STATION_ID,
            Type.CALLING_STATION_ID,
            Type.NAS_IDENTIFIER,
            Type.ACCT_SESSION_ID,
            Type.ACCT_MULTI_SESSION_ID,
            Type.CONNECT_INFO,
            Type.NAS_PORT_ID,
        )
    },
    int(Type.EVENT_TIMESTAMP): Kind.TIME,
    int(Type.NAS_IP_ADDRESS): Kind.IPV4,
    int(Type.FRAMED_IP_ADDRESS): Kind.IPV4,
    int(Type.NAS_IPV6_ADDRESS): Kind.IPV6,
    int(Type.FRAMED_IPV6_ADDRESS): Kind.IPV6,
    int(Type.FRAMED_INTERFACE_ID): Kind.INTERFACE_ID,
    int(Type.FRAMED_IPV6_PREFIX): Kind.IPV6_PREFIX,
    int(Type.VENDOR_SPECIFIC): Kind.VSA,
}
"""The kind of each attribute of the table; an attribute outside it is an opaque string."""

MICROSOFT: Final = 311
MS_MPPE_SEND_KEY: Final = 16
MS_MPPE_RECV_KEY: Final = 17

WBA: Final = 14122
WISPR_LOCATION_ID: Final = 1
WISPR_LOCATION_NAME: Final = 2
WISPR_BANDWIDTH_MAX_UP: Final = 7
WISPR_BANDWIDTH_MAX_DOWN: Final = 8
WBA_OFFERED_SERVICE: Final = 12
WBA_FINANCIAL_CLEARING_PROVIDER: Final = 13
WBA_DATA_CLEARING_PROVIDER: Final = 14
WBA_LINEAR_VOLUME_RATE: Final = 15
WBA_IDENTITY_PROVIDER: Final = 16
WBA_CUSTOM_SLA: Final = 17
"""Its own section gives 17; the table under it gives 16, which is Identity-Provider's."""

WFA: Final = 40808
WFA_ROAMING_CONSORTIUM: Final = 6

TERMINATION_ACTION_RADIUS_REQUEST: Final = 1


def name_of(attribute_type: int) -> str:
    """The standard's name of an attribute, `Acct-Session-Id`, or `Attr-N` outside the table."""
    try:
        name = Type(attribute_type).name
    except ValueError:
        return f"Attr-{attribute_type}"
    words = {"NAS", "IP", "ID", "EAP", "MTU", "COA"}
    parts = [w if w in words - {"ID"} else w.capitalize() for w in name.split("_")]
    return "-".join(parts).replace("Ipv6", "IPv6")
