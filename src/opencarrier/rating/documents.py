"""Agreements and plans as JSON: exact integers, every key known, every key there.

The JSON form shows the very fields the hash is made of, under the same names.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.money import PPM
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, Address, Signature
from opencarrier.rating.model import TARIFFS_MAX, Agreement, RetailPlan, Tariff, overlap
from opencarrier.rating.terms import (
    HEAD_KEYS,
    PLAN_KEYS,
    Document,
    DocumentError,
    keys,
    read_head,
    read_plan_terms,
    read_tariff,
    text,
)

AGREEMENT: Final = "opencarrier/agreement/v1"
RETAIL_PLAN: Final = "opencarrier/retail-plan/v1"
DOCUMENT_OCTETS_MAX: Final = 1 << 20
SIGNATURES_MAX: Final = 2
BRACKETS_MAX: Final = TARIFFS_MAX + 16
"""Objects and lists in a document. More is refused before parsing: where a library has raised the
recursion limit, deep nesting exhausts the parser's stack and ends the process."""

_AGREEMENT_KEYS = HEAD_KEYS | {"document", "tariffs", "signatures"}
_SIGNATURE_KEYS = frozenset(("kid", "octets"))


def read_agreement(source: str) -> tuple[Agreement, tuple[Signature, ...]]:
    """Read an agreement and the signatures it carries (none to two); `DocumentError` otherwise.

    The signatures are not judged here: whose they must be is for the service to say.
    """
    document = keys(_document(source, AGREEMENT), _AGREEMENT_KEYS, "agreement")
    items = _list(document, "tariffs", TARIFFS_MAX)
    if not items:
        raise DocumentError("tariffs is empty", "give at least one dated tariff")
    tariffs = tuple(read_tariff(item, f"tariffs[{place}]") for place, item in enumerate(items))
    head = read_head({name: document[name] for name in HEAD_KEYS})
    _check_tariffs(tariffs, head["protocol_ppm"])
    signatures = _list(document, "signatures", SIGNATURES_MAX)
    return Agreement(tariffs=tariffs, **head), tuple(_signature(item) for item in signatures)


def read_plan(source: str) -> RetailPlan:
    """Read a retail plan; `DocumentError` for anything but exactly its fields."""
    document = keys(_document(source, RETAIL_PLAN), PLAN_KEYS | {"document"}, "plan")
    return read_plan_terms({name: document[name] for name in PLAN_KEYS})


def write_agreement(agreement: Agreement, signatures: tuple[Signature, ...] = ()) -> str:
    """Write an agreement as JSON that `read_agreement` reads back equal."""
    document = {
        "document": AGREEMENT,
        **agreement.head.terms(),
        "tariffs": [tariff.terms() for tariff in agreement.tariffs],
        "signatures": [
            {"kid": signature.kid, "octets": to_hex(signature.octets)} for signature in signatures
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def write_plan(plan: RetailPlan) -> str:
    """Write a retail plan as JSON that `read_plan` reads back equal."""
    return json.dumps({"document": RETAIL_PLAN, **plan.terms()}, indent=2) + "\n"


def _document(source: str, kind: str) -> Document:
    if len(source) > DOCUMENT_OCTETS_MAX:
        raise DocumentError(
            "it is too long", f"a document has at most {DOCUMENT_OCTETS_MAX} octets"
        )
    if source.count("[") + source.count("{") > BRACKETS_MAX:
        raise DocumentError(
            "it has too many lists and objects", f"give at most {TARIFFS_MAX} tariffs"
        )
    try:
        value = json.loads(
            source, object_pairs_hook=_once, parse_float=_no_float, parse_constant=_no_float
        )
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"it is not JSON ({error})", "check it with a JSON tool") from None
    if not isinstance(value, dict) or value.get("document") != kind:
        found = value.get("document") if isinstance(value, dict) else type(value).__name__
        raise DocumentError(f"it is {found!r}, not {kind!r}", 'check its "document" field')
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DocumentError(f"{twice[0]!r} stands twice", "leave one of them")
    return out


def _no_float(number: str) -> NoReturn:
    raise DocumentError(f"{number} is not a whole number", "money and quantities are integers")


def _list(document: Document, name: str, most: int) -> list[Any]:
    value = document[name]
    if not isinstance(value, list) or len(value) > most:
        raise DocumentError(f"{name} is not a list of at most {most}", "see the example documents")
    return value


def _check_tariffs(tariffs: tuple[Tariff, ...], protocol_ppm: int) -> None:
    clash = overlap(tariffs)
    if clash is not None:
        first, second = clash
        raise DocumentError(
            f"tariffs[{first}] ({tariffs[first]}) and tariffs[{second}] ({tariffs[second]}) "
            "are in force at once",
            "end one window where the other starts",
            ("tariffs", first),
            ("tariffs", second),
        )
    for place, tariff in enumerate(tariffs):
        if tariff.host_ppm + protocol_ppm > PPM:
            raise DocumentError(
                f"tariffs[{place}].host_ppm and protocol_ppm take more than the whole price",
                f"keep their sum at most {PPM}",
                ("tariffs", place),
            )


def _signature(value: Any) -> Signature:
    document = keys(value, _SIGNATURE_KEYS, "signature")
    kid, octets = text(document, "kid", "signature"), text(document, "octets", "signature")
    hint = "kid is an address, octets are 65 (r, s, v), both 0x and lower-case hex digits"
    if not _hex(kid, 20) or not _hex(octets, SIGNATURE_OCTETS):
        raise DocumentError("a signature is not well formed", hint)
    return Signature(Address(kid), bytes.fromhex(octets[2:]))


def _hex(value: str, octets: int) -> bool:
    digits = value.removeprefix("0x")
    return len(digits) == 2 * octets == len(value) - 2 and set(digits) <= set("0123456789abcdef")
