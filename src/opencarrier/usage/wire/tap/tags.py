"""The tags of transferred accounts that we read or write: number, kind, and what holds what.

Our own table: numbers and names of fields, no module. All tags are of class application; what is
not here is passed over. Order within a group is the order on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire.ber import DEPTH_MAX, application, elements

INTEGER_OCTETS_MAX = 8
DIGITS_FILLER = "f"


class Kind(Enum):
    """How an element's content is written."""

    INTEGER = "integer"
    TEXT = "text"
    DIGITS = "digits"
    HEX = "hex"
    GROUP = "group"
    LIST = "list"


class Tag(NamedTuple):
    """An element: its name and number, its kind, and what a group or a list may hold."""

    name: str
    number: int
    kind: Kind
    holds: tuple[str, ...] = ()


_INTEGERS: Final = """
specificationVersionNumber 201, releaseVersionNumber 189, exchangeRateCode 105,
numberOfDecimalPlaces 159, exchangeRate 104, tapDecimalPlaces 244, taxCode 212, discountCode 91,
fixedDiscountValue 411, discountRate 92, utcTimeOffsetCode 232, recEntityCode 184,
recEntityType 186, totalCallEventDuration 223, causeForTerm 58, chargingId 72, locationArea 136,
cellId 59, dataVolumeIncoming 250, dataVolumeOutgoing 251, charge 62, chargeableUnits 65,
chargedUnits 68, taxValue 397, taxableAmount 398, discount 412, discountableAmount 423,
callTypeLevel1 259, callTypeLevel2 255, callTypeLevel3 256, camelInvocationFee 422,
supplServiceActionCode 208, messageStatus 144, messageType 145, totalCharge 415,
totalChargeRefund 355, totalTaxRefund 353, totalTaxValue 226, totalDiscountValue 225,
totalDiscountRefund 354, callEventDetailsCount 43, chargeRefundIndicator 344,
messagingEventService 439, mobileSessionService 440, absoluteAmount 241, discountValue 93
"""
_TEXTS: Final = """
sender 196, recipient 182, fileSequenceNumber 109, rapFileSequenceNumber 181,
fileTypeIndicator 110, localTimeStamp 16, utcTimeOffset 231, localCurrency 135, tapCurrency 210,
taxType 217, taxRate 215, taxIndicator 432, recEntityId 400, min 146, mdn 253,
partialTypeIndicator 166, accessPointNameNI 261, accessPointNameOI 262, chargedItem 66,
chargeType 71, dialledDigits 279, sMSDestinationNumber 419, sMSOriginator 425,
servingNetwork 195, simToolkitIndicator 200, eventReference 435, pdpAddress 167,
nonChargedNumber 402, chargingPoint 73
"""
_DIGITS: Final = "imsi 129, msisdn 152, imei 128, calledNumber 407, callingNumber 405"
_HEX: Final = "callReference 45, teleServiceCode 218, bearerServiceCode 40, supplServiceCode 209"

_TIMES: Final = """
callEventStartTimeStamp 44, chargingTimeStamp 74, depositTimeStamp 88, completionTimeStamp 76,
serviceStartTimestamp 447, orderPlacedTimeStamp 300, chargeDetailTimeStamp 410,
pDPContextStartTimestamp 260
"""
_LONG_TIMES: Final = """
fileCreationTimeStamp 108, transferCutOffTimeStamp 227, fileAvailableTimeStamp 107,
earliestCallTimeStamp 101, latestCallTimeStamp 133
"""

_GROUPS: Final = """
transferBatch 1: batchControlInfo accountingInfo networkInfo callEventDetails auditControlInfo
notification 2: sender recipient fileSequenceNumber rapFileSequenceNumber fileCreationTimeStamp
  fileAvailableTimeStamp transferCutOffTimeStamp specificationVersionNumber releaseVersionNumber
  fileTypeIndicator
batchControlInfo 4: sender recipient fileSequenceNumber fileCreationTimeStamp
  transferCutOffTimeStamp fileAvailableTimeStamp specificationVersionNumber releaseVersionNumber
  fileTypeIndicator rapFileSequenceNumber
accountingInfo 5: taxationList discountingList localCurrency tapCurrency currencyConversionList
  tapDecimalPlaces
taxation 216: taxCode taxType taxRate chargeType taxIndicator
discounting 94: discountCode discountApplied
discountApplied 428: fixedDiscountValue discountRate
currencyConversion 106: exchangeRateCode numberOfDecimalPlaces exchangeRate
networkInfo 6: utcTimeOffsetInfoList recEntityInfoList
utcTimeOffsetInfo 233: utcTimeOffsetCode utcTimeOffset
recEntityInformation 183: recEntityCode recEntityType recEntityId
auditControlInfo 15: earliestCallTimeStamp latestCallTimeStamp totalCharge totalChargeRefund
  totalChargeValueList totalTaxRefund totalTaxValue totalDiscountValue totalDiscountRefund
  callEventDetailsCount
totalChargeValue 222: chargeType absoluteAmount totalChargeRefund
mobileOriginatedCall 9: moBasicCallInformation locationInformation basicServiceUsedList
  supplServiceCode camelServiceUsed
mobileTerminatedCall 10: mtBasicCallInformation locationInformation basicServiceUsedList
  camelServiceUsed
supplServiceEvent 11: chargeableSubscriber rapFileSequenceNumber locationInformation
  supplServiceUsed
serviceCentreUsage 12: scuBasicInformation rapFileSequenceNumber servingNetwork recEntityCode
  chargeInformation scuChargeType scuTimeStamps
gprsCall 14: gprsBasicCallInformation gprsLocationInformation gprsServiceUsed camelServiceUsed
contentTransaction 17: contentTransactionBasicInfo contentServiceUsedList
locationService 297: rapFileSequenceNumber recEntityCode callReference locationServiceUsage
messagingEvent 433: messagingEventService chargedParty rapFileSequenceNumber geographicalLocation
  eventReference recEntityCodeList locationArea cellId serviceStartTimestamp exchangeRateCode
  callTypeGroup charge taxInformationList
mobileSession 434: mobileSessionService chargedParty rapFileSequenceNumber geographicalLocation
  locationArea cellId eventReference recEntityCodeList serviceStartTimestamp causeForTerm
  totalCallEventDuration sessionChargeInfoList
moBasicCallInformation 147: chargeableSubscriber rapFileSequenceNumber destination
  callEventStartTimeStamp totalCallEventDuration simToolkitIndicator causeForTerm
mtBasicCallInformation 153: chargeableSubscriber rapFileSequenceNumber callOriginator
  callEventStartTimeStamp totalCallEventDuration simToolkitIndicator causeForTerm
gprsBasicCallInformation 114: gprsChargeableSubscriber rapFileSequenceNumber gprsDestination
  callEventStartTimeStamp totalCallEventDuration causeForTerm partialTypeIndicator
  pDPContextStartTimestamp chargingId
scuBasicInformation 191: scuChargeableSubscriber nonChargedNumber
chargeableSubscriber 427: simChargeableSubscriber minChargeableSubscriber
simChargeableSubscriber 199: imsi msisdn
gsmChargeableSubscriber 286: imsi msisdn
minChargeableSubscriber 254: min mdn
scuChargeableSubscriber 430: gsmChargeableSubscriber minChargeableSubscriber
gprsChargeableSubscriber 115: chargeableSubscriber pdpAddress
chargedParty 436: imsi msisdn
destination 89: calledNumber dialledDigits sMSDestinationNumber
callOriginator 41: callingNumber sMSOriginator
gprsDestination 116: accessPointNameNI accessPointNameOI
locationInformation 138: networkLocation geographicalLocation
networkLocation 156: recEntityCode callReference locationArea cellId
gprsLocationInformation 117: gprsNetworkLocation geographicalLocation
gprsNetworkLocation 118: recEntityCodeList locationArea cellId
geographicalLocation 113: servingNetwork
basicServiceUsed 39: basicService chargingTimeStamp chargeInformationList
basicService 36: basicServiceCode
basicServiceCode 426: teleServiceCode bearerServiceCode
supplServiceUsed 206: supplServiceCode supplServiceActionCode chargingTimeStamp chargeInformation
scuChargeType 192: messageStatus messageType
scuTimeStamps 193: depositTimeStamp completionTimeStamp chargingPoint
gprsServiceUsed 121: gprsServiceUsageList dataVolumeIncoming dataVolumeOutgoing
  chargingTimeStamp chargeInformationList
gprsServiceUsage 119: dataVolumeIncoming dataVolumeOutgoing
contentTransactionBasicInfo 304: rapFileSequenceNumber orderPlacedTimeStamp
contentServiceUsed 352: dataVolumeIncoming dataVolumeOutgoing chargeRefundIndicator
  chargeInformationList
locationServiceUsage 382: chargingTimeStamp chargeInformationList
camelServiceUsed 57: exchangeRateCode taxInformationList discountInformation camelInvocationFee
chargeInformation 69: chargedItem exchangeRateCode callTypeGroup chargeDetailList
  taxInformationList discountInformation
sessionChargeInformation 449: chargedItem exchangeRateCode callTypeGroup chargeDetailList
  taxInformationList
callTypeGroup 258: callTypeLevel1 callTypeLevel2 callTypeLevel3
chargeDetail 63: chargeType charge chargeableUnits chargedUnits chargeDetailTimeStamp
taxInformation 213: taxCode taxValue taxableAmount
discountInformation 96: discountCode discount discountValue discountableAmount
"""
_LISTS: Final = """
callEventDetails 3: mobileOriginatedCall mobileTerminatedCall supplServiceEvent
  serviceCentreUsage gprsCall contentTransaction locationService messagingEvent mobileSession
taxationList 211: taxation
discountingList 95: discounting
currencyConversionList 80: currencyConversion
utcTimeOffsetInfoList 234: utcTimeOffsetInfo
recEntityInfoList 188: recEntityInformation
recEntityCodeList 185: recEntityCode
basicServiceUsedList 38: basicServiceUsed
gprsServiceUsageList 120: gprsServiceUsage
contentServiceUsedList 285: contentServiceUsed
sessionChargeInfoList 448: sessionChargeInformation
chargeInformationList 70: chargeInformation
chargeDetailList 64: chargeDetail
taxInformationList 214: taxInformation
totalChargeValueList 224: totalChargeValue
"""


def _tags() -> Iterator[Tag]:
    leaves = {
        Kind.INTEGER: _INTEGERS,
        Kind.TEXT: _TEXTS,
        Kind.DIGITS: _DIGITS,
        Kind.HEX: _HEX,
    }
    for kind, text in leaves.items():
        yield from (Tag(name, number, kind) for name, number in _pairs(text))
    for times, inside in ((_TIMES, "utcTimeOffsetCode"), (_LONG_TIMES, "utcTimeOffset")):
        for name, number in _pairs(times):
            yield Tag(name, number, Kind.GROUP, ("localTimeStamp", inside))
    for kind, holders in ((Kind.GROUP, _GROUPS), (Kind.LIST, _LISTS)):
        for line in holders.strip().replace("\n  ", " ").splitlines():
            head, holds = line.split(":")
            name, digits = head.split()
            yield Tag(name, int(digits), kind, tuple(holds.split()))


def _pairs(leaves: str) -> Iterator[tuple[str, int]]:
    for pair in leaves.strip().split(","):
        name, number = pair.split()
        yield name, int(number)


BY_NAME: Final[Mapping[str, Tag]] = {tag.name: tag for tag in _tags()}
BY_IDENTIFIER: Final[Mapping[int, Tag]] = {application(tag.number): tag for tag in BY_NAME.values()}
"""Tags by what `ber` calls them."""

assert len(BY_IDENTIFIER) == len(BY_NAME), "a number names one field"
assert all(name in BY_NAME for tag in BY_NAME.values() for name in tag.holds)


def integer(octets: bytes) -> int:
    """Read a signed INTEGER of 1 to 8 octets."""
    if not 0 < len(octets) <= INTEGER_OCTETS_MAX:
        raise PeerError("integer")
    return int.from_bytes(octets, "big", signed=True)


def text(octets: bytes) -> str:
    """Read ASCII."""
    try:
        return octets.decode("ascii")
    except UnicodeDecodeError as error:
        raise PeerError("text") from error


def digits(octets: bytes) -> str:
    """Read decimal digits, two an octet, high nibble first, the last perhaps a filler."""
    told = octets.hex()
    if told.endswith(DIGITS_FILLER):
        told = told[:-1]
    if told and not told.isdecimal():
        raise PeerError("digits")
    return told


CONVERT: Final[Mapping[Kind, Callable[[bytes], Any]]] = {
    Kind.INTEGER: integer,
    Kind.TEXT: text,
    Kind.DIGITS: digits,
    Kind.HEX: bytes.hex,
}


def tree(octets: bytes, *, known: Mapping[int, Tag] = BY_IDENTIFIER) -> tuple[str, Any]:
    """Read one element as name and value: groups are dicts, lists lists, unknown parts left out.

    Raises `PeerError` as `ber.elements` does, `form` (a group where a value belongs, or the
    reverse), `twice` (a field of a group), and the reasons of values.
    """
    for found in elements(octets, 0, len(octets)):
        tag = known.get(found.tag)
        if tag is None:
            raise PeerError("tag_unknown", str(found.tag))
        return tag.name, _value(octets, tag, found.constructed, (found.start, found.end), known, 1)
    raise PeerError("cut")


def _value(
    octets: bytes,
    tag: Tag,
    constructed: bool,
    place: tuple[int, int],
    known: Mapping[int, Tag],
    depth: int,
) -> Any:
    if constructed is not (tag.kind in (Kind.GROUP, Kind.LIST)):
        raise PeerError("form", tag.name)
    if not constructed:
        return CONVERT[tag.kind](octets[place[0] : place[1]])
    if depth > DEPTH_MAX:
        raise PeerError("depth")
    values: list[tuple[str, Any]] = []
    for inside in elements(octets, *place):
        held = known.get(inside.tag)
        if held is not None and held.name not in tag.holds:
            if tag.kind is Kind.LIST:
                raise PeerError("form", tag.name)
            continue
        if held is not None:
            where = inside.start, inside.end
            value = _value(octets, held, inside.constructed, where, known, depth + 1)
            values.append((held.name, value))
    if tag.kind is Kind.LIST:
        return [value for _, value in values]
    if len(dict(values)) < len(values):
        raise PeerError("twice", tag.name)
    return dict(values)
