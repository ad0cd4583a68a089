"""Exchanges with another installation: its entries from a file, its peer over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.clearing.agreed import AgreedDesk, Ports
from opencarrier.clearing.exchange.live import LiveRecords
from opencarrier.clearing.exchange.model import Entry, Terms
from opencarrier.clearing.exchange.party import Party
from opencarrier.clearing.exchange.service import ExchangeService
from opencarrier.clearing.exchange.statement import Difference
from opencarrier.clearing.exchange.wire import OCTETS_MAX, read_entry
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, from_hex, to_hex
from opencarrier.kernel.refusals import PeerError, Reason, Refusal
from opencarrier.receipts.form import check_nesting
from opencarrier.spine.notices import Notice, NoticeKind
from opencarrier.spine.spans import current

PATH = "/v1/exchange"
MEDIA = "application/cbor"
LINE_MAX = 4_096
TIMEOUT_S = 10
ROUNDS_MAX = 10_000

_FIELDS = (
    "usage_id",
    "debtor",
    "end_us",
    "octets_in",
    "octets_out",
    "duration_s",
    "amount_minor",
    "corrects",
)
_IDS = ("usage_id", "corrects", "terms")


class PeerReason(Reason):
    """Why an exchange cannot be gone on with."""

    ANOTHER_EXCHANGE = 1
    UNKNOWN_PARTNER = 2


class PeerUnavailableError(Exception):
    """The peer cannot be reached, or refuses: try again later."""


class _Names:
    """Tells sessions by what their access point called them."""

    def __init__(self, base: Installation) -> None:
        self._base = base

    def name_of(self, unit: Connection, session_id: Id) -> tuple[str, str] | None:
        """Return the access point's key and its Acct-Session-Id, None where it was erased."""
        session = self._base.usage.session(unit, session_id)
        if session is None:
            return None
        return session.stream.nas_key, session.stream.acct_session_id


def live_records(base: Installation) -> LiveRecords:
    """Return the installation's own records, as its partners are told of them."""
    carried_us = base.settings.one_sided_window_s * SECOND_US
    return LiveRecords(base.rating, _Names(base), carried_us=carried_us)


def agreed_desk(base: Installation) -> AgreedDesk:
    """Return what acts on a co-signed statement in the live cycle."""
    directory = base.identity.directory
    return AgreedDesk(
        Ports(
            rater=base.rating,
            directory=directory,
            members=directory,
            notary=base.identity.notary,
        )
    )


def exchanges(base: Installation) -> ExchangeService:
    """Return the exchanges of an installation's operators."""

    def concluded(unit: Connection, party: Party) -> None:
        sessions = live_records(base).conclude(unit, party)
        identifier, now_us = party.terms.exchange_id, base.clock.now_us()
        agreed_desk(base).apply(unit, sessions, by=identifier, at_us=now_us)
        base.webhooks.tell(unit, [_agreed(base, unit, party)])

    return ExchangeService(base.identity.notary, concluded)


def _agreed(base: Installation, unit: Connection, party: Party) -> Notice:
    """Return what an operator of ours is told when a statement bears both signatures."""
    assert party.statement is not None, "what both signed is a statement"
    known = base.identity.directory.operators(unit)
    return Notice(
        kind=NoticeKind.STATEMENT_READY,
        parties=frozenset(item.party_id for item in known if item.address == party.own),
        about={
            "exchange_id": to_hex(party.terms.exchange_id),
            "statement": to_hex(party.statement.digest),
            "sequence": party.terms.sequence,
        },
        at_us=base.clock.now_us(),
    )


def read_entries(path: Path) -> Iterator[Entry]:
    """Read entries, a JSON object a line; `PeerError` names the line that is none."""
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(LINE_MAX + 1):
            number += 1
            try:
                yield _entry(line)
            except (ValueError, PeerError) as error:
                raise PeerError("not_an_entry", f"line {number}: {error}") from None


def month_entries(base: Installation, rated: Path, terms: Terms) -> list[Entry] | Refusal:
    """Return what a rated month says between two operators known here, in one currency or asset."""
    from opencarrier.clearing.exchange.month import read_month

    with base.store.read() as unit:
        known = base.identity.directory.operators(unit)
    parties = {item.party_id: item.address for item in known}
    between = {party: a for party, a in parties.items() if a in (terms.first, terms.second)}
    if len(between) != 2:
        missing = {terms.first, terms.second} - set(between.values())
        return Refusal(PeerReason.UNKNOWN_PARTNER, min(missing))
    return list(read_month(rated, between, terms.asset))


def _entry(line: bytes) -> Entry:
    if len(line) > LINE_MAX:
        raise ValueError(f"longer than {LINE_MAX} octets")
    text = line.decode()
    check_nesting(text)
    document = json.loads(text)
    if not isinstance(document, dict) or set(document) - {"terms"} != set(_FIELDS):
        raise ValueError(f"an entry has the fields {', '.join(_FIELDS)}, and terms if any")
    named = (*_FIELDS, "terms") if document.get("terms") else _FIELDS
    return read_entry([_value(name, document[name]) for name in named])


def _value(name: str, value: Any) -> Any:
    return from_hex(value) if name in _IDS and isinstance(value, str) else value


def line_of(entry: Entry) -> str:
    """Write an entry as `read_entries` reads it."""
    values = dict(zip((*_FIELDS, "terms"), entry.fields(), strict=False))
    return json.dumps(
        {n: to_hex(v) if n in _IDS and isinstance(v, bytes) else v for n, v in values.items()}
    )


def run(base: Installation, identifier: Id, url: str) -> Party | Refusal:
    """Speak with the peer until both hold both signatures, or neither has anything to add.

    `PeerUnavailableError` where it does not answer; to be run again, nothing is doubled.
    """
    return speak(base, identifier, lambda octets: post(url, octets), rounds=ROUNDS_MAX)


def speak(
    base: Installation, identifier: Id, send: Callable[[bytes], bytes], *, rounds: int
) -> Party | Refusal:
    """Say what is to be said and take the answers, so many rounds at most."""
    with base.store.read() as unit:
        party = exchanges(base).find(unit, identifier)
        if isinstance(party, Refusal):
            return party
        octets = party.say()
    for _ in range(rounds):
        if party.is_over:
            break
        reply = send(octets)
        with base.store.write() as unit:
            answer = exchanges(base).answer(unit, reply)
            party = exchanges(base).find(unit, identifier)
        if isinstance(answer, Refusal) or isinstance(party, Refusal):
            return Refusal(PeerReason.ANOTHER_EXCHANGE, identifier.hex())
        if answer == octets:
            break
        octets = answer
    return party


def post(url: str, octets: bytes, path: str = PATH) -> bytes:
    """Send a message to a peer and return its answer; `PeerUnavailableError` if there is none."""
    if not url.startswith(("http://", "https://")):
        raise PeerUnavailableError(f"{url} is no address over http or https")
    span = current.get()
    traced = {} if span is None else {"traceparent": span.traceparent}
    request = Request(  # noqa: S310 - http or https, seen above
        url.rstrip("/") + path,
        method="POST",
        data=octets,
        headers={"Content-Type": MEDIA, **traced},
    )
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            reply: bytes = answer.read(OCTETS_MAX + 1)
            return reply
    except HTTPError as error:
        raise PeerUnavailableError(f"{url} answers {error.code}: {_reason(error)}") from None
    except (URLError, TimeoutError, OSError) as error:
        raise PeerUnavailableError(f"{url} does not answer: {error}") from None


def _reason(error: HTTPError) -> str:
    return error.read(1_000).decode(errors="replace").strip()


def told(party: Party) -> dict[str, Any]:
    """Put where an exchange stands in JSON's terms."""
    statement = party.statement
    terms = party.terms
    values: dict[str, Any] = {
        "exchange_id": to_hex(terms.exchange_id),
        "first": terms.first,
        "second": terms.second,
        "asset": terms.asset,
        "sequence": terms.sequence,
        "own": party.own,
        "state": state_of(party),
    }
    if statement is not None:
        values |= {
            "cut_us": statement.cut_us,
            "statement": to_hex(statement.digest),
            "agreed": statement.agreed.count,
            "agreed_root": to_hex(statement.agreed.digest),
            "first_owes_minor": statement.first_owes_minor,
            "second_owes_minor": statement.second_owes_minor,
            "differences": [_difference(item) for item in statement.differences],
        }
    if party.complete:
        values |= {"signature": to_hex(party.signature)}
        values |= {"peer_signature": to_hex(party.peer_signature)}
    if party.proof is not None:
        values["proof"] = [to_hex(octets) for octets in party.proof]
    return values


def state_of(party: Party) -> str:
    """Say in a word where an exchange stands."""
    if party.proof is not None:
        return "lied"
    if party.too_many:
        return "too_many_differences"
    return "co_signed" if party.complete else "signed" if party.signature else "open"


def _difference(item: Difference) -> dict[str, Any]:
    return {
        "usage_id": to_hex(item.usage_id),
        "standing": item.standing.name.lower(),
        "cause": item.cause.value,
        "first_minor": item.first and item.first.amount_minor,
        "second_minor": item.second and item.second.amount_minor,
        "agreed_minor": item.agreed and item.agreed.amount_minor,
        "disputed_minor": item.disputed_minor,
    }
