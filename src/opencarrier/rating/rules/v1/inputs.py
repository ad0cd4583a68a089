"""The inputs of a charge as canonical octets, and a rating again from those octets alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import Value, encode
from opencarrier.kernel.ids import ID_OCTETS, Id
from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.model import TARIFFS_MAX, AgreementHead
from opencarrier.rating.rules.v1.charges import (
    Priced,
    RetailInputs,
    WholesaleInputs,
    ratable,
    rate,
)
from opencarrier.rating.terms import (
    Document,
    keys,
    party,
    read_head,
    read_plan_terms,
    read_tariff,
)
from opencarrier.spine.money import Kind
from opencarrier.spine.usage import Counters

_COUNTER_KEYS: Final = frozenset(("counters_from", "counters_to"))
_WHOLESALE_KEYS: Final = _COUNTER_KEYS | {
    "kind",
    "agreement",
    "tariff_hashes",
    "tariff",
    "tariff_at_us",
    "host",
}
_RETAIL_KEYS: Final = _COUNTER_KEYS | {
    "kind",
    "plan",
    "plan_at_us",
    "subscriber",
    "discount_ppm",
}


def encode_inputs(inputs: WholesaleInputs | RetailInputs) -> bytes:
    """Write inputs in the one canonical way; their SHA-256 is part of the charge's id."""
    counters: dict[str, Value] = {
        "counters_from": _list(inputs.counters_from),
        "counters_to": _list(inputs.counters_to),
    }
    if isinstance(inputs, WholesaleInputs):
        return encode(
            {
                "kind": int(Kind.WHOLESALE),
                "agreement": inputs.head.terms(),
                "tariff_hashes": list(inputs.head.tariff_hashes),
                "tariff": inputs.tariff.terms(),
                "tariff_at_us": inputs.tariff_at_us,
                "host": inputs.host,
                **counters,
            }
        )
    return encode(
        {
            "kind": int(Kind.RETAIL),
            "plan": inputs.plan.terms(),
            "plan_at_us": inputs.plan_at_us,
            "subscriber": inputs.subscriber,
            "discount_ppm": inputs.discount_ppm,
            **counters,
        }
    )


def decode_inputs(data: bytes) -> WholesaleInputs | RetailInputs:
    """Read inputs back; `PeerError` for anything `encode_inputs` would not have written.

    The octets may come from anybody's receipt: unknown keys, values out of bounds, a tariff
    that is not the agreement's or was not in force are all refused.
    """
    value = decode(data)
    kind = value.get("kind") if isinstance(value, Mapping) else None
    inputs: WholesaleInputs | RetailInputs
    if kind == Kind.WHOLESALE:
        inputs = _wholesale(keys(value, _WHOLESALE_KEYS, "inputs"))
    elif kind == Kind.RETAIL:
        inputs = _retail(keys(value, _RETAIL_KEYS, "inputs"))
    else:
        raise _wrong("neither wholesale nor retail inputs")
    if encode_inputs(inputs) != data:
        raise _wrong("not the form rating writes")
    return inputs


def rerate(data: bytes) -> Priced:
    """Price again from the octets a charge carries; `PeerError` where they are not inputs.

    With the usage's id and `spine.ids.charge_id` the result leads to the charge's id.
    """
    inputs = decode_inputs(data)
    if not ratable(inputs):
        raise PeerError("inputs", "the quantity is beyond the guards of the formula")
    return rate(inputs)


def _wholesale(document: Document) -> WholesaleInputs:
    tariff = read_tariff(document["tariff"], "tariff")
    head = _head(document)
    tariff_at_us = _integer(document["tariff_at_us"])
    if tariff.hash not in head.tariff_hashes:
        raise _wrong("the tariff is not the agreement's")
    if not tariff.window.holds(tariff_at_us):
        raise _wrong("the tariff was not in force")
    if tariff.host_ppm + head.protocol_ppm > PPM:
        raise _wrong("host and protocol take more than the whole price")
    return WholesaleInputs(
        head=head,
        tariff=tariff,
        tariff_at_us=tariff_at_us,
        host=party(document, "host"),
        **_both_counters(document),
    )


def _retail(document: Document) -> RetailInputs:
    plan = read_plan_terms(document["plan"])
    plan_at_us = _integer(document["plan_at_us"])
    if not plan.price.window.holds(plan_at_us):
        raise _wrong("the plan was not in force")
    return RetailInputs(
        plan=plan,
        plan_at_us=plan_at_us,
        subscriber=party(document, "subscriber"),
        discount_ppm=_integer(document["discount_ppm"], PPM),
        **_both_counters(document),
    )


def _head(document: Document) -> AgreementHead:
    hashes = document["tariff_hashes"]
    if not isinstance(hashes, list) or not 0 < len(hashes) <= TARIFFS_MAX:
        raise _wrong("tariff_hashes is no list, empty or too long")
    if any(not isinstance(item, bytes) or len(item) != ID_OCTETS for item in hashes):
        raise _wrong("tariff_hashes are not hashes")
    names = tuple(Id(item) for item in hashes)
    return AgreementHead(**read_head(document["agreement"]), tariff_hashes=names)


def _both_counters(document: Document) -> dict[str, Counters]:
    before = _counters(document["counters_from"])
    after = _counters(document["counters_to"])
    if any(b > a for b, a in zip(_list(before), _list(after), strict=True)):
        raise _wrong("counters fall")
    return {"counters_from": before, "counters_to": after}


def _list(counters: Counters) -> list[int]:
    return [counters.session_time_s, counters.octets_in, counters.octets_out]


def _counters(value: Any) -> Counters:
    if not isinstance(value, list) or len(value) != 3:
        raise _wrong("counters are three integers")
    session_time_s, octets_in, octets_out = (_integer(item) for item in value)
    return Counters(session_time_s=session_time_s, octets_in=octets_in, octets_out=octets_out)


def _integer(value: Any, most: int = INT64_MAX) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _wrong(f"{value!r} is not an integer from 0 to {most}")
    return value


def _wrong(what: str) -> PeerError:
    return PeerError("inputs", what)
