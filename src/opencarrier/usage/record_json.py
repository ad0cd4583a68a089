"""A usage record as one JSON object, and the schema both sides of an exchange can check it with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.records import Evidence, Qos, Rat, RcoiClass, RecordKind, Service, Side
from opencarrier.usage.record import FIELDS, Field, UsageRecord, check

SCHEMA_ID: Final = "opencarrier/usage-record/v1"

CODES: Final[dict[str, Any]] = {
    "kind": RecordKind,
    "side": Side,
    "service": Service,
    "rat": Rat,
    "rcoi": RcoiClass,
    "qos": Qos,
    "evidence": Evidence,
}
_PATTERNS: Final = {
    "party": "^[a-z0-9]+([_-][a-z0-9]+)*$",
    "text": "^[!-~]([ -~]*[!-~])?$",
    "letters": "^[A-Z]+$",
}


def as_json(record: UsageRecord) -> dict[str, Any]:
    """Write a record with every field, octets as `0x` and hex, numbers as integers."""
    return {field.name: _plain(getattr(record, field.name)) for field in FIELDS}


def of_json(document: Mapping[str, Any]) -> UsageRecord:
    """Read a record; `PeerError` naming the field for anything but exactly a good record's."""
    unknown = sorted(set(document) - {field.name for field in FIELDS})
    if unknown:
        raise PeerError("unknown_field", unknown[0])
    record = UsageRecord(**{field.name: _value(field, document) for field in FIELDS})
    refusal = check(record)
    if refusal is not None:
        raise PeerError(refusal.code, refusal.detail)
    return record


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a record, made from its fields."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in FIELDS],
        "properties": {field.name: _property(field) for field in FIELDS},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return to_hex(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _value(field: Field, document: Mapping[str, Any]) -> Any:
    if field.name not in document:
        raise PeerError("missing", field.name)
    value = document[field.name]
    if value is None:
        return None
    try:
        if field.type == "binary":
            return _octets(value)
        return CODES[field.name](value) if field.name in CODES else value
    except (ValueError, TypeError):
        raise PeerError("not_well_formed", field.name) from None


def _octets(value: Any) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x") or value != value.lower():
        raise ValueError("octets are written 0x and lower-case hex")
    octets = bytes.fromhex(value[2:])
    if len(value) != 2 + 2 * len(octets):
        raise ValueError("white space among hex digits")
    return octets


def _property(field: Field) -> dict[str, Any]:
    if field.type == "binary":
        rule: dict[str, Any] = {
            "type": "string",
            "pattern": f"^0x[0-9a-f]{{{2 * field.least}}}$",
        }
    elif field.type in _PATTERNS:
        rule = {
            "type": "string",
            "minLength": field.least,
            "maxLength": field.greatest,
            "pattern": _PATTERNS[field.type],
        }
    elif field.type == "bool":
        rule = {"type": "boolean"}
    else:
        rule = {"type": "integer", "minimum": field.least, "maximum": field.greatest}
    if field.nullable:
        rule["type"] = [rule["type"], "null"]
    return {**rule, "description": field.meaning}
