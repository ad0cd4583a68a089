"""The inputs of a version 2 charge as canonical octets, and a rating again from those alone."""

from __future__ import annotations

from typing import Final

from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import Value, encode
from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.agreements.documents import (
    QOS,
    SERVICES,
    read_asset,
    read_currency,
    read_exchange_rate,
    read_line,
    read_party,
)
from opencarrier.rating.agreements.heads import HEAD_FIELDS, head_fields, read_hashed_head
from opencarrier.rating.agreements.model import ExchangeRate, Line, RoamingHead
from opencarrier.rating.agreements.reading import Cursor, words_of
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.v2.charges import (
    FreeTerms,
    LineTerms,
    Terms,
    WholesaleInputs,
    rate,
)
from opencarrier.spine.access import Offered, Quote
from opencarrier.spine.money import Kind
from opencarrier.spine.records import RcoiClass
from opencarrier.spine.usage import Counters

_RCOI: Final = words_of(RcoiClass)
_SHARED: Final = ("kind", "offered", "tariff_at_us", "host", "counters_from", "counters_to")
_LINE: Final = (*HEAD_FIELDS, "line", "exchange")
_FREE: Final = ("home", "visited", "asset")
_OFFERED: Final = ("service", "qos", "rcoi", "quote")


def encode_inputs(inputs: WholesaleInputs) -> bytes:
    """Write inputs in the one canonical way; their SHA-256 is part of the charge's id."""
    terms = inputs.terms
    return encode(
        {
            "kind": int(Kind.WHOLESALE),
            **(_line_fields(terms) if isinstance(terms, LineTerms) else _free_fields(terms)),
            "offered": _offered_fields(terms.offered),
            "tariff_at_us": inputs.tariff_at_us,
            "host": inputs.host,
            "counters_from": _list(inputs.counters_from),
            "counters_to": _list(inputs.counters_to),
        }
    )


def decode_inputs(data: bytes) -> WholesaleInputs:
    """Read inputs back; `PeerError` for anything `encode_inputs` would not have written.

    The octets may come from anybody's receipt: unknown keys, values out of bounds, a line or a
    rate that is not the agreement's, was not in force or is for other use are all refused.
    """
    document = Cursor(decode(data))
    is_free = "line" not in document.mapping()
    fields = document.keys(*_SHARED, *(_FREE if is_free else _LINE))
    offered = _offered(fields["offered"])
    terms: Terms = _free(fields, offered) if is_free else _line(fields, offered)
    tariff_at_us = fields["tariff_at_us"].integer(0, INT64_MAX)
    if not terms.window.holds(tariff_at_us):
        raise _wrong("the line was not in force")
    before, after = _counters(fields["counters_from"]), _counters(fields["counters_to"])
    if any(b > a for b, a in zip(_list(before), _list(after), strict=True)):
        raise _wrong("counters fall")
    inputs = WholesaleInputs(
        terms=terms,
        tariff_at_us=tariff_at_us,
        host=read_party(fields["host"]),
        counters_from=before,
        counters_to=after,
    )
    if encode_inputs(inputs) != data:
        raise _wrong("not the form rating writes")
    return inputs


def rerate(data: bytes) -> v1.Priced:
    """Price again from the octets a charge carries; `PeerError` where they are not inputs."""
    inputs = decode_inputs(data)
    if not inputs.terms.fits(inputs.counters_to):
        raise PeerError("inputs", "the quantity is beyond the guards of the formula")
    return rate(inputs)


def _line_fields(terms: LineTerms) -> dict[str, Value]:
    exchange = terms.exchange
    return {
        **head_fields(terms.head),
        "line": terms.line.terms(),
        "exchange": None if exchange is None else exchange.terms(),
    }


def _free_fields(terms: FreeTerms) -> dict[str, Value]:
    return {name: getattr(terms, name) for name in _FREE}


def _offered_fields(offered: Offered) -> dict[str, Value]:
    quote = offered.quote
    return {
        "service": offered.service.name.lower(),
        "qos": offered.qos.name.lower(),
        "rcoi": offered.rcoi.name.lower(),
        "quote": None if quote is None else [quote.currency, quote.nano_per_kib],
    }


def _offered(item: Cursor) -> Offered:
    fields = item.keys(*_OFFERED)
    quote = None
    if fields["quote"].value is not None:
        currency, nano = fields["quote"].items(2, 2)
        quote = Quote(read_currency(currency), nano.integer(0, INT64_MAX))
    return Offered(
        service=SERVICES[fields["service"].one_of(tuple(SERVICES))],
        qos=QOS[fields["qos"].one_of(tuple(QOS))],
        rcoi=_RCOI[fields["rcoi"].one_of(tuple(_RCOI))],
        quote=quote,
    )


def _free(fields: dict[str, Cursor], offered: Offered) -> FreeTerms:
    if offered.rcoi is not RcoiClass.SETTLEMENT_FREE:
        raise _wrong("no line, though the service is not settlement-free")
    return FreeTerms(
        home=read_party(fields["home"]),
        visited=read_party(fields["visited"]),
        asset=read_asset(fields["asset"]),
        offered=offered,
    )


def _line(fields: dict[str, Cursor], offered: Offered) -> LineTerms:
    head, line = read_hashed_head(fields), read_line(fields["line"])
    exchange = None
    if fields["exchange"].value is not None:
        exchange = read_exchange_rate(fields["exchange"])
    _check_signed(head, line, exchange)
    for name, those in (("service", line.services), ("qos", line.qos), ("rcoi", line.rcoi)):
        if getattr(offered, name) not in those:
            raise _wrong(f"the line is for another {name}")
    return LineTerms(head=head, line=line, exchange=exchange, offered=offered)


def _check_signed(head: RoamingHead, line: Line, exchange: ExchangeRate | None) -> None:
    """Check that line and rate are the agreement's and belong together."""
    parties = {item.party for item in head.parties}
    if line.hash not in head.line_hashes or not {line.home, line.visited} <= parties:
        raise _wrong("the line is not the agreement's")
    if line.host_ppm + head.protocol_ppm > PPM:
        raise _wrong("host and protocol take more than the whole price")
    if (line.currency == head.currency) != (exchange is None):
        raise _wrong("an exchange rate is missing, or one too many")
    if exchange is None:
        return
    if exchange.hash not in head.rate_hashes or exchange.currency != line.currency:
        raise _wrong("the exchange rate is not the agreement's, or another currency's")
    if not exchange.window.overlaps(line.window):
        raise _wrong("line and exchange rate were never in force together")


def _list(counters: Counters) -> list[int]:
    return [counters.session_time_s, counters.octets_in, counters.octets_out]


def _counters(item: Cursor) -> Counters:
    time_s, octets_in, octets_out = (one.integer(0, INT64_MAX) for one in item.items(3, 3))
    return Counters(session_time_s=time_s, octets_in=octets_in, octets_out=octets_out)


def _wrong(what: str) -> PeerError:
    return PeerError("inputs", what)
