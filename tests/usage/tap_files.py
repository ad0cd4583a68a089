"""Transfer files made for tests: a small world of one sender, events of every kind, any fault."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from opencarrier.usage.wire.records import Refused
from opencarrier.usage.wire.tap.event import EventDecoder
from opencarrier.usage.wire.tap.reader import TapItem, TapReader
from opencarrier.usage.wire.tap.writer import encode, transfer_batch

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
IMSI = "208930000000001"

CONTROL: dict[str, Any] = {
    "sender": "FRA93",
    "recipient": "SENBA",
    "fileSequenceNumber": "00017",
    "fileCreationTimeStamp": {"localTimeStamp": "20260105020000", "utcTimeOffset": "+0100"},
    "transferCutOffTimeStamp": {"localTimeStamp": "20260105000000", "utcTimeOffset": "+0100"},
    "fileAvailableTimeStamp": {"localTimeStamp": "20260105030000", "utcTimeOffset": "+0100"},
    "specificationVersionNumber": 3,
    "releaseVersionNumber": 12,
}
ACCOUNTING: dict[str, Any] = {
    "taxationList": [{"taxCode": 1, "taxType": "13", "taxRate": "2000000"}],
    "discountingList": [{"discountCode": 4, "discountApplied": {"discountRate": 1000}}],
    "localCurrency": "EUR",
    "currencyConversionList": [
        {"exchangeRateCode": 1, "numberOfDecimalPlaces": 5, "exchangeRate": 121734}
    ],
    "tapDecimalPlaces": 3,
}
NETWORK: dict[str, Any] = {
    "utcTimeOffsetInfoList": [{"utcTimeOffsetCode": 0, "utcTimeOffset": "+0100"}],
    "recEntityInfoList": [
        {"recEntityCode": 1, "recEntityType": 1, "recEntityId": "33689000001"},
        {"recEntityCode": 2, "recEntityType": 3, "recEntityId": "10.0.0.1"},
    ],
}


def at(local: str = "20260104120000") -> dict[str, Any]:
    return {"localTimeStamp": local, "utcTimeOffsetCode": 0}


def charge(item: str, amount: int, units: int, tax: int | None = None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "chargedItem": item,
        "exchangeRateCode": 1,
        "callTypeGroup": {"callTypeLevel1": 10, "callTypeLevel2": 0, "callTypeLevel3": 0},
        "chargeDetailList": [
            {"chargeType": "00", "charge": amount, "chargeableUnits": units, "chargedUnits": units}
        ],
    }
    if tax is not None:
        told["taxInformationList"] = [{"taxCode": 1, "taxValue": tax, "taxableAmount": amount}]
    return told


def gprs(
    *,
    start: str = "20260104120000",
    charging_id: int = 7001,
    volumes: tuple[int, int] = (1_200_000, 45_000_000),
    amount: int = 2_300,
    tax: int | None = 460,
    imsi: str = IMSI,
) -> dict[str, Any]:
    return {
        "gprsBasicCallInformation": {
            "gprsChargeableSubscriber": {
                "chargeableSubscriber": {
                    "simChargeableSubscriber": {"imsi": imsi, "msisdn": "33612345678"}
                },
                "pdpAddress": "10.1.2.3",
            },
            "gprsDestination": {"accessPointNameNI": "internet"},
            "callEventStartTimeStamp": at(start),
            "totalCallEventDuration": 3_600,
            "causeForTerm": 0,
            "chargingId": charging_id,
        },
        "gprsLocationInformation": {
            "gprsNetworkLocation": {
                "recEntityCodeList": [2, 1],
                "locationArea": 4_711,
                "cellId": 60_001,
            }
        },
        "gprsServiceUsed": {
            "dataVolumeIncoming": volumes[0],
            "dataVolumeOutgoing": volumes[1],
            "chargeInformationList": [charge("X", amount, sum(volumes), tax)],
        },
    }


def call(kind: str = "mo", amount: int = 1_500, duration_s: int = 75) -> dict[str, Any]:
    number = (
        {"destination": {"calledNumber": "221771234567", "dialledDigits": "771234567"}}
        if kind == "mo"
        else {"callOriginator": {"callingNumber": "221771234567"}}
    )
    return {
        f"{kind}BasicCallInformation": {
            "chargeableSubscriber": {"simChargeableSubscriber": {"imsi": IMSI}},
            **number,
            "callEventStartTimeStamp": at("20260104130000"),
            "totalCallEventDuration": duration_s,
            "causeForTerm": 0,
        },
        "locationInformation": {
            "networkLocation": {
                "recEntityCode": 1,
                "callReference": "0a0b0c",
                "locationArea": 4_711,
                "cellId": 60_001,
            }
        },
        "basicServiceUsedList": [
            {
                "basicService": {"basicServiceCode": {"teleServiceCode": "11"}},
                "chargeInformationList": [charge("D", amount, duration_s)],
            }
        ],
    }


def message() -> dict[str, Any]:
    told = call(amount=60, duration_s=0)
    told["moBasicCallInformation"]["callEventStartTimeStamp"] = at("20260104130500")
    service = told["basicServiceUsedList"][0]
    service["basicService"]["basicServiceCode"]["teleServiceCode"] = "22"
    service["chargeInformationList"] = [charge("E", 60, 1)]
    return told


def supplementary() -> dict[str, Any]:
    return {
        "chargeableSubscriber": {"simChargeableSubscriber": {"imsi": IMSI}},
        "locationInformation": {"networkLocation": {"recEntityCode": 1}},
        "supplServiceUsed": {
            "supplServiceCode": "21",
            "supplServiceActionCode": 0,
            "chargingTimeStamp": at("20260104140000"),
        },
    }


def centre() -> dict[str, Any]:
    return {
        "scuBasicInformation": {
            "scuChargeableSubscriber": {"gsmChargeableSubscriber": {"imsi": IMSI}},
            "nonChargedNumber": "221771234567",
        },
        "recEntityCode": 1,
        "chargeInformation": charge("E", 40, 1),
        "scuChargeType": {"messageStatus": 0, "messageType": 1},
        "scuTimeStamps": {"depositTimeStamp": at("20260104150000"), "chargingPoint": "C"},
    }


def messaging() -> dict[str, Any]:
    return {
        "messagingEventService": 1,
        "chargedParty": {"imsi": IMSI},
        "eventReference": "m-1",
        "recEntityCodeList": [1],
        "serviceStartTimestamp": at("20260104160000"),
        "exchangeRateCode": 1,
        "charge": 30,
        "taxInformationList": [{"taxCode": 1, "taxValue": 6}],
    }


def session() -> dict[str, Any]:
    return {
        "mobileSessionService": 1,
        "chargedParty": {"imsi": IMSI},
        "eventReference": "s-1",
        "recEntityCodeList": [1],
        "serviceStartTimestamp": at("20260104170000"),
        "causeForTerm": 0,
        "totalCallEventDuration": 61,
        "sessionChargeInfoList": [charge("D", 900, 61)],
    }


def every_kind() -> list[tuple[str, dict[str, Any]]]:
    return [
        ("gprsCall", gprs()),
        ("mobileOriginatedCall", call()),
        ("mobileTerminatedCall", call("mt", amount=0)),
        ("mobileOriginatedCall", message()),
        ("supplServiceEvent", supplementary()),
        ("serviceCentreUsage", centre()),
        ("messagingEvent", messaging()),
        ("mobileSession", session()),
    ]


TOTAL_CHARGE, TOTAL_TAX = 2_300 + 1_500 + 60 + 40 + 30 + 900, 466


def audit(count: int = 8, charge: int = TOTAL_CHARGE, tax: int = TOTAL_TAX) -> dict[str, Any]:
    return {
        "earliestCallTimeStamp": {"localTimeStamp": "20260104120000", "utcTimeOffset": "+0100"},
        "latestCallTimeStamp": {"localTimeStamp": "20260104170000", "utcTimeOffset": "+0100"},
        "totalCharge": charge,
        "totalTaxValue": tax,
        "totalDiscountValue": 0,
        "callEventDetailsCount": count,
    }


def file(
    events: list[tuple[str, dict[str, Any]]] | None = None,
    *,
    control: dict[str, Any] | None = None,
    accounting: dict[str, Any] | None = None,
    network: dict[str, Any] | None = None,
    audits: list[dict[str, Any]] | None = None,
    definite: bool = True,
) -> bytes:
    """Write a file; parts given are laid over the good ones, a value of None takes a field out."""
    told = every_kind() if events is None else events
    return b"".join(
        transfer_batch(
            _laid(CONTROL, control),
            _laid(ACCOUNTING, accounting),
            _laid(NETWORK, network),
            (encode(name, event) for name, event in told),
            [audit()] if audits is None else audits,
            definite=definite,
        )
    )


def _laid(under: dict[str, Any], over: dict[str, Any] | None) -> dict[str, Any]:
    both = deepcopy(under) | (over or {})
    return {name: value for name, value in both.items() if value is not None}


def read(
    octets: bytes, size: int | None = None, decoder: EventDecoder | None = None
) -> list[TapItem | Refused]:
    reader, found = TapReader(decoder), []
    for start in range(0, len(octets), size or max(1, len(octets))):
        found += reader.feed(octets[start : start + (size or len(octets))])
    return [*found, *reader.finish()]


def faults(octets: bytes) -> list[Refused]:
    return [item for item in read(octets) if isinstance(item, Refused)]
