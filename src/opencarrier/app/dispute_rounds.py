"""Disputes of the live cycle that go on by themselves: contested, delivered, acted on in time.

To open one is a person's decision, for it costs a bond. A debtor's own records contradict what is
disputed, so its side contests at once; to accept or to agree on an amount is a person's again.
"""

from __future__ import annotations

import logging
from typing import Final

from opencarrier.app import disputing, exchanging
from opencarrier.app.bootstrap import Installation
from opencarrier.app.exchanger import Send
from opencarrier.app.exchanging import PeerUnavailableError
from opencarrier.clearing.disputes.rules import Case, MoveKind, Outcome, Stage
from opencarrier.clearing.exchange import partners
from opencarrier.clearing.exchange.live import DOMAIN
from opencarrier.clearing.exchange.party import Party
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Refusal

_log = logging.getLogger(__name__)

PAUSE_US: Final = 10 * SECOND_US
"""How often the disputes are looked through."""


def _post(url: str, octets: bytes) -> bytes:
    return exchanging.post(url, octets, disputing.PATH)


class DisputeRounds:
    """Looks through the disputes that go on; `send` posts a move to an address."""

    def __init__(self, base: Installation, send: Send | None = None) -> None:
        self._base, self._send = base, send or _post
        self._next_us = 0
        self._delivered: set[bytes] = set()

    def tick(self) -> None:
        """Look, if it is time; what goes wrong is logged, and tried again the next time."""
        now_us = self._base.clock.now_us()
        if now_us < self._next_us:
            return
        self._next_us = now_us + PAUSE_US
        try:
            with self._base.store.read() as unit:
                known = disputing.disputes(self._base).going_on(unit)
            for exchange, usage in known:
                self._look(exchange, usage)
        except Exception:
            _log.exception("the disputes go on after an error")

    def _look(self, exchange: Id, usage: Id) -> None:
        base, service = self._base, disputing.disputes(self._base)
        with base.store.read() as unit:
            place = service.case(unit, exchange, usage)
            assert not isinstance(place, Refusal), "a move is taken for a case"
            outcome = service.outcome(unit, place[1], now_us=base.clock.now_us())
        party, case = place
        if party.terms.domain != DOMAIN:
            return
        if _is_ours_to_contest(party, case, outcome):
            made = disputing.make(base, exchange, usage, MoveKind.CONTEST)
            if isinstance(made, Refusal):
                _log.warning("a dispute is not contested: %s", made)
        if outcome.stage is Stage.SETTLED:
            disputing.settle(base, exchange, usage)
        self._deliver(place)

    def _deliver(self, place: tuple[Party, Case]) -> None:
        """Send our moves until each was taken; a copy changes nothing at the other side."""
        base, party = self._base, place[0]
        with base.store.read() as unit:
            own = disputing.disputes(base).own_moves(unit, place)
            partner = partners.find(unit, party.own, party.peer, party.terms.asset)
        for _, octets in own:
            if partner is None or octets in self._delivered:
                continue
            try:
                self._send(partner.url, octets)
            except PeerUnavailableError as error:
                _log.info("a move is not delivered: %s", error)
                return
            self._delivered.add(octets)


def _is_ours_to_contest(party: Party, case: Case, outcome: Outcome) -> bool:
    return outcome.stage is Stage.OPEN and party.own == case.debtor
