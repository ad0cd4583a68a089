"""The words of a usage record, as every room reads its numbers; `usage/record.py` is the record."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class RecordKind(IntEnum):
    """What a record says: use, what replaces an earlier record, or that one never counted."""

    USAGE = 1
    CORRECTION = 2
    VOID = 3


class Side(IntEnum):
    """Whose meter a record tells of."""

    VISITED = 1
    HOME = 2
    DEVICE = 3


class Service(IntEnum):
    """What was used; a tariff is for one of these."""

    WIFI = 1
    DATA = 2
    VOICE = 3
    MESSAGE = 4
    EVENT = 5
    IOT = 6


class Rat(IntEnum):
    """The radio, by its number in 3GPP-RAT-Type (TS 29.061 section 16.4.7.2); 0 is not known."""

    UNKNOWN = 0
    UTRAN = 1
    GERAN = 2
    WLAN = 3
    GAN = 4
    HSPA_EVOLUTION = 5
    EUTRAN = 6
    VIRTUAL = 7
    NB_IOT = 8
    LTE_M = 9
    NR = 10


class RcoiClass(IntEnum):
    """Whether a roaming consortium's service is paid for (WBA OpenRoaming: BAA2D0, 5A03BA).

    OWN is paid roaming under an OUI that operators agreed on without the federation.
    """

    NONE = 0
    SETTLED = 1
    SETTLEMENT_FREE = 2
    OWN = 3


class Qos(IntEnum):
    """The quality that was offered (WBA-Offered-Service); 0 is not said."""

    NONE = 0
    BRONZE = 1
    SILVER = 2
    GOLD = 3


class Evidence(IntFlag):
    """What stands behind a record besides its reporter's word."""

    NONE = 0
    PEER_AUTHENTICATED = 1
    OWN_CLASS = 2
    CO_SIGNED = 4
    ACKNOWLEDGED = 8
    NODE_SIGNED = 16
