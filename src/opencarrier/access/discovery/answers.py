"""DNS messages by dnspython, so wrapped that any octets give a value or `PeerError`. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass

from opencarrier.access.discovery.model import Answer, Kind, Naptr, Question, Srv
from opencarrier.kernel.refusals import PeerError

RECORDS_MAX: Final = 32
"""More records of one name than any federation has are refused, not cut."""

CNAMES_MAX: Final = 8
PAYLOAD_OCTETS: Final = 1232
"""What a UDP answer may take without being fragmented on the way."""


_REFUSED: Final = {dns.rcode.SERVFAIL: "dns_servfail", dns.rcode.REFUSED: "dns_refused"}


class Cut(Enum):
    """An answer that did not fit a datagram: ask over TCP."""

    SHORT = "short"


def write(question: Question, identifier: int) -> bytes:
    """Write a query that asks a recursive server."""
    query = dns.message.make_query(
        question.name + ".", question.kind.name, id=identifier, use_edns=0, payload=PAYLOAD_OCTETS
    )
    return query.to_wire()


def read(octets: bytes, question: Question, identifier: int) -> Answer | Cut:
    """Read the answer to a question, its CNAMEs followed; `PeerError` for anything else.

    `dns_mismatch` is an answer to another question: wait on, it may be forged.
    """
    try:
        message = dns.message.from_wire(octets, ignore_trailing=True)
    except Exception as error:  # the library's parser meets a stranger's octets
        raise PeerError("dns_malformed", type(error).__name__) from None
    _see_that_it_answers(message, question, identifier)
    if message.flags & dns.flags.TC:
        return Cut.SHORT
    if message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise PeerError(_REFUSED.get(message.rcode(), "dns_failed"))
    return _answer(message, question)


def _see_that_it_answers(message: Any, question: Question, identifier: int) -> None:
    same = (
        isinstance(message, dns.message.QueryMessage)  # other operations are other classes
        and message.id == identifier
        and bool(message.flags & dns.flags.QR)
        and len(message.question) == 1
        and message.question[0].name == dns.name.from_text(question.name + ".")
        and message.question[0].rdclass == dns.rdataclass.IN  # in others, records have no fields
        and int(message.question[0].rdtype) == int(question.kind)
    )
    if not same:
        raise PeerError("dns_mismatch")


def _answer(message: Any, question: Question) -> Answer:
    try:
        chain = message.resolve_chaining()
    except (dns.exception.DNSException, ValueError) as error:
        raise PeerError("dns_chain", type(error).__name__) from None
    if len(chain.cnames) > CNAMES_MAX:
        raise PeerError("dns_chain", f"{len(chain.cnames)} names")
    if chain.answer is None:
        return Answer((), int(chain.minimum_ttl))
    if len(chain.answer) > RECORDS_MAX:
        raise PeerError("dns_records_max", f"{len(chain.answer)} records")
    return Answer(tuple(_records(question.kind, chain.answer)), int(chain.minimum_ttl))


def _records(kind: Kind, rdatas: Iterable[Any]) -> Iterable[Naptr | Srv | str]:
    return [_READ[kind](rdata) for rdata in rdatas]


def _naptr(rdata: Any) -> Naptr:
    return Naptr(
        rdata.order,
        rdata.preference,
        rdata.flags.decode("latin-1").lower(),
        rdata.service.decode("latin-1").lower(),
        rdata.regexp.decode("latin-1"),
        rdata.replacement.to_text(),
    )


def _srv(rdata: Any) -> Srv:
    return Srv(rdata.priority, rdata.weight, rdata.port, rdata.target.to_text())


def _address(rdata: Any) -> str:
    return str(rdata.address)


_READ: Final[dict[Kind, Callable[[Any], Naptr | Srv | str]]] = {
    Kind.A: _address,
    Kind.AAAA: _address,
    Kind.SRV: _srv,
    Kind.NAPTR: _naptr,
}
