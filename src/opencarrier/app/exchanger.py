"""Exchanges that go on by themselves: each cycle one with every partner, through a line that fails.

Exchanges with a partner follow each other. One is opened when a cycle was cut and the last is over,
on each side by its own clock; who has not opened it yet answers that it does not know it, and is
asked again later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection

from opencarrier.app import exchanging
from opencarrier.app.bootstrap import Installation
from opencarrier.app.exchanging import PeerUnavailableError, exchanges, live_records, state_of
from opencarrier.clearing.exchange import partners, told
from opencarrier.clearing.exchange.partners import Partner
from opencarrier.clearing.exchange.party import Party
from opencarrier.clearing.exchange.store import Opened
from opencarrier.clearing.exchange.told import Sides
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import Operator, PartyId
from opencarrier.spine.spans import Kind, duty

_log = logging.getLogger(__name__)

ROUNDS_MAX: Final = 64
"""Messages to one partner at a time; the others are waiting."""

Send = Callable[[str, bytes], bytes]


class Exchanger:
    """Visits each partner that is due; `send` posts a message to an address for its answer.

    `_over` remembers which exchanges nothing more is said in, and whether both have signed.
    """

    def __init__(self, base: Installation, send: Send | None = None) -> None:
        self._base = base
        self._send = send or self._post
        self._over: dict[Id, bool] = {}

    def tick(self) -> None:
        """Visit the partners; what goes wrong is logged, and tried again at the next tick."""
        try:
            with self._base.store.read() as unit:
                known = partners.every(unit)
            for partner in known:
                if partner.next_us <= self._base.clock.now_us():
                    self._visit(partner)
        except Exception:
            _log.exception("the exchanges go on after an error")

    def _visit(self, partner: Partner) -> None:
        try:
            note = self._go_on(partner)
        except (PeerUnavailableError, PeerError) as error:
            note = str(error)
        if not note:
            self._answered(partner)
            return
        if note != partner.note:
            _log.info("exchange with %s: %s", partner.peer, note)
        with self._base.store.write() as unit:
            now = partners.find(unit, partner.own, partner.peer, partner.asset)
            if now is not None:
                partners.failed(unit, now, note, self._base.clock.now_us())

    def _post(self, url: str, octets: bytes) -> bytes:
        with duty(self._base.spans, "POST exchange", Kind.CLIENT):
            return exchanging.post(url, octets)

    def _answered(self, partner: Partner) -> None:
        if partner.failures:
            with self._base.store.write() as unit:
                partners.answered(unit, partner.own, partner.peer, partner.asset)

    def _go_on(self, partner: Partner) -> str:
        """Open the next exchange where it is time, and speak; return what holds it up, if anything.

        An exchange that cannot be signed stays the last one: a person must look.
        """
        opened = self._open(partner)
        if opened is None or opened.terms.exchange_id in self._over:
            return ""
        identifier = opened.terms.exchange_id
        party = exchanging.speak(
            self._base,
            identifier,
            lambda octets: self._send(partner.url, octets),
            rounds=ROUNDS_MAX,
        )
        if isinstance(party, Refusal):
            return str(party)
        if not party.is_over:
            return f"exchange {opened.terms.sequence} is {state_of(party)}"
        self._over[identifier] = party.complete
        return "" if party.complete else state_of(party)

    def _open(self, partner: Partner) -> Opened | None:
        """Return the exchange to go on with, opening the next where a cycle was cut since."""
        base = self._base
        with base.store.read() as unit:
            newest = exchanges(base).newest(unit, partner.terms(0))
            cut_us = base.usage.last_cut_us(unit)
        if not self._is_time(newest, cut_us):
            return newest
        sequence = 0 if newest is None else newest.terms.sequence + 1
        with base.store.write() as unit:
            sides = sides_of(base, unit, partner)
            if isinstance(sides, Refusal):
                raise PeerError("partner", str(sides))
            assert cut_us is not None, "a cycle was cut"
            refusal = open_live(base, unit, partner, sides, sequence=sequence, cut_us=cut_us)
            if refusal is not None:
                raise PeerError("partner", str(refusal))
            return exchanges(base).newest(unit, partner.terms(0))

    def _is_time(self, newest: Opened | None, cut_us: int | None) -> bool:
        """Say whether a cycle was cut since the newest exchange, and both have signed that one."""
        if cut_us is None or newest is None:
            return cut_us is not None
        return cut_us > newest.cut_us and self._over.get(newest.terms.exchange_id, False)


def open_live(
    base: Installation,
    unit: Connection,
    partner: Partner,
    sides: Sides,
    *,
    sequence: int,
    cut_us: int,
) -> Refusal | None:
    """Stand by what our own records say up to a cut."""
    entries, cut_us = live_records(base).take(unit, sides, cut_us=cut_us)
    terms = partner.terms(sequence)
    party = exchanges(base).open(unit, terms, partner.own, entries, cut_us=cut_us)
    if isinstance(party, Refusal):
        return party
    told.tell(unit, [entry.usage_id for entry in entries], terms.exchange_id)
    return None


def sides_of(base: Installation, unit: Connection, partner: Partner) -> Sides | Refusal:
    """Return both operators of a partnership by party id."""
    addresses: dict[PartyId, Address] = {}
    for address in (partner.own, partner.peer):
        operator = _operator(base, unit, address)
        if operator is None:
            return Refusal(exchanging.PeerReason.UNKNOWN_PARTNER, address)
        addresses[operator.party_id] = address
    return Sides(asset=partner.asset, addresses=addresses)


def exchange_lines(base: Installation, unit: Connection) -> list[dict[str, Any]]:
    """Return where the newest exchange with each partner stands, for the status."""
    return [_line(base, unit, partner) for partner in partners.every(unit)]


def _line(base: Installation, unit: Connection, partner: Partner) -> dict[str, Any]:
    line: dict[str, Any] = {
        "own": partner.own,
        "peer": partner.peer,
        "asset": str(partner.asset),
        "url": partner.url,
        "state": "none",
        "failures": partner.failures,
        "note": partner.note,
    }
    newest = exchanges(base).newest(unit, partner.terms(0))
    if newest is None:
        return line
    party = exchanges(base).find(unit, newest.terms.exchange_id)
    assert not isinstance(party, Refusal), "the newest exchange is there"
    return line | _standing(party)


def _standing(party: Party) -> dict[str, Any]:
    statement = party.statement
    return {
        "exchange_id": to_hex(party.terms.exchange_id),
        "sequence": party.terms.sequence,
        "state": state_of(party),
        "entries": len(party.counted),
        "differences": 0 if statement is None else len(statement.differences),
        "disputed": 0 if statement is None else len(statement.disputed),
    }


def _operator(base: Installation, unit: Connection, address: Address) -> Operator | None:
    found = base.identity.directory.operators(unit)
    return next((item for item in found if item.address == address), None)
