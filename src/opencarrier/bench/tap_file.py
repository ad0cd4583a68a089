"""A transfer file of any size for benches, made by our own writer, and a module of its table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from opencarrier.kernel.clock import SECOND_US
from opencarrier.usage.wire.local_time import local_text
from opencarrier.usage.wire.tap.tags import BY_NAME, Kind, Tag
from opencarrier.usage.wire.tap.writer import encode, transfer_batch

_START_US = 1_767_225_600 * SECOND_US
_WEEK_S = 7 * 86_400
_TIME = {"localTimeStamp": "20260108000000", "utcTimeOffset": "+0000"}
CONTROL: Mapping[str, Any] = {
    "sender": "FRA93",
    "recipient": "SENBA",
    "fileSequenceNumber": "00001",
    "transferCutOffTimeStamp": _TIME,
    "fileAvailableTimeStamp": _TIME,
    "specificationVersionNumber": 3,
    "releaseVersionNumber": 12,
}
ACCOUNTING: Mapping[str, Any] = {
    "taxationList": [{"taxCode": 1, "taxType": "13", "taxRate": "2000000"}],
    "localCurrency": "EUR",
    "currencyConversionList": [
        {"exchangeRateCode": 1, "numberOfDecimalPlaces": 5, "exchangeRate": 121_734}
    ],
    "tapDecimalPlaces": 3,
}
NETWORK: Mapping[str, Any] = {
    "utcTimeOffsetInfoList": [{"utcTimeOffsetCode": 0, "utcTimeOffset": "+0000"}],
    "recEntityInfoList": [{"recEntityCode": 1, "recEntityType": 3, "recEntityId": "10.0.0.1"}],
}


def write(path: Path, events: int, times: int = 1) -> None:
    """Write a file of data events, each `times` over: volumes spread from octets to gigabytes."""
    total = 0
    with path.open("wb") as stream:
        octets = []
        for number in range(events):
            amount, event = _event(number)
            total += amount
            octets.append(encode("gprsCall", event))
        listed = (event for _ in range(times) for event in octets)
        audit = {
            "totalCharge": total * times,
            "totalTaxValue": 0,
            "totalDiscountValue": 0,
            "callEventDetailsCount": events * times,
        }
        for part in transfer_batch(CONTROL, ACCOUNTING, NETWORK, listed, [audit]):
            stream.write(part)


def _event(number: int) -> tuple[int, dict[str, Any]]:
    dice = blake2b(number.to_bytes(8, "big"), digest_size=32).digest()
    rolls = [int.from_bytes(dice[at : at + 4], "big") for at in range(0, 32, 4)]
    volume_in, volume_out = rolls[0] >> rolls[1] % 30, rolls[2] >> rolls[3] % 30
    amount = (volume_in + volume_out) // 20_000
    start = local_text(_START_US + rolls[4] % _WEEK_S * SECOND_US, 0)
    charged = {
        "chargedItem": "X",
        "exchangeRateCode": 1,
        "chargeDetailList": [
            {
                "chargeType": "00",
                "charge": amount,
                "chargeableUnits": volume_in + volume_out,
                "chargedUnits": volume_in + volume_out,
            }
        ],
    }
    subscriber = {"imsi": f"20893{rolls[5]:010}", "msisdn": f"336{rolls[6] % 10**8:08}"}
    return amount, {
        "gprsBasicCallInformation": {
            "gprsChargeableSubscriber": {
                "chargeableSubscriber": {"simChargeableSubscriber": subscriber}
            },
            "gprsDestination": {"accessPointNameNI": "internet"},
            "callEventStartTimeStamp": {"localTimeStamp": start, "utcTimeOffsetCode": 0},
            "totalCallEventDuration": rolls[7] % 7_200,
            "causeForTerm": 0,
            "chargingId": number,
        },
        "gprsLocationInformation": {
            "gprsNetworkLocation": {
                "recEntityCodeList": [1],
                "locationArea": rolls[5] % 65_535,
                "cellId": rolls[6] % 65_535,
            }
        },
        "gprsServiceUsed": {
            "dataVolumeIncoming": volume_in,
            "dataVolumeOutgoing": volume_out,
            "chargeInformationList": [charged],
        },
    }


def module() -> str:
    """Return our table of tags as an ASN.1 module, for a foreign decoder of our own files."""
    choices = ", ".join(f"{name} {_type(name)}" for name in BY_NAME["callEventDetails"].holds)
    lines = [
        "Table DEFINITIONS IMPLICIT TAGS ::= BEGIN",
        "File ::= CHOICE { transferBatch TransferBatch, notification Notification }",
        f"Event ::= CHOICE {{ {choices} }}",
        *_definitions(),
        "END",
    ]
    return "\n".join(lines)


def _definitions() -> Iterator[str]:
    for tag in BY_NAME.values():
        yield f"{_type(tag.name)} ::= [APPLICATION {tag.number}] {_content(tag)}"


def _content(tag: Tag) -> str:
    if tag.kind is Kind.GROUP:
        fields = ", ".join(f"{name} {_type(name)} OPTIONAL" for name in tag.holds)
        return f"SEQUENCE {{ {fields}, ... }}"
    if tag.kind is Kind.LIST:
        return f"SEQUENCE OF {'Event' if len(tag.holds) > 1 else _type(tag.holds[0])}"
    return "INTEGER" if tag.kind is Kind.INTEGER else "OCTET STRING"


def _type(name: str) -> str:
    return name[0].upper() + name[1:]
