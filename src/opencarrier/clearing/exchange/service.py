"""Exchanges that outlive the process: what was opened, and each message that told something new.

A side's state is its entries and the messages it took, played again. `unit` is the caller's open
transaction: a message is kept before it is answered, so no side forgets what it was told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Connection

from opencarrier.clearing.exchange import partners, store, wire
from opencarrier.clearing.exchange.model import ENTRIES_MAX, Entry, Terms
from opencarrier.clearing.exchange.party import Party
from opencarrier.clearing.exchange.store import Opened
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import PeerError, Reason, Refusal
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.spine.ports import Notary


class ExchangeRefusal(Reason):
    """Why an exchange is not opened or not there; of several, the first is given."""

    UNKNOWN_EXCHANGE = 1
    NOT_OUR_KEY = 2
    TOO_MANY_ENTRIES = 3
    ENTRY_TWICE = 4
    FOREIGN_DEBTOR = 5
    EXISTS_WITH_DIFFERENT_CUT = 6
    EXISTS_WITH_DIFFERENT_ENTRIES = 7


Concluded = Callable[[Connection, Party], None]
"""What is done, once, in the unit in which both signatures have come together."""


class ExchangeService:
    """The exchanges of this installation's operators."""

    def __init__(self, notary: Notary, concluded: Concluded | None = None) -> None:
        self._notary, self._concluded = notary, concluded

    def open(
        self, unit: Connection, terms: Terms, own: Address, entries: Iterable[Entry], *, cut_us: int
    ) -> Party | Refusal:
        """Stand by entries and a cut; the same again changes nothing, another is refused."""
        given = sorted(entries, key=lambda entry: entry.usage_id)
        opened = Opened(terms=terms, own=own, cut_us=cut_us)
        refusal = self._objection(unit, opened, given)
        if refusal is not None:
            return refusal
        if store.find(unit, terms.exchange_id) is None:
            store.add(unit, opened, given)
        return self._party(unit, opened)

    def find(self, unit: Connection, identifier: Id) -> Party | Refusal:
        """Return where our side of an exchange stands."""
        opened = store.find(unit, identifier)
        if opened is None:
            return Refusal(ExchangeRefusal.UNKNOWN_EXCHANGE, identifier.hex())
        return self._party(unit, opened)

    def known(self, unit: Connection) -> Sequence[Id]:
        """Return every exchange opened here."""
        return store.all_ids(unit)

    def answer(self, unit: Connection, octets: bytes) -> bytes | Refusal:
        """Take a peer's message and return ours; `PeerError` for what it must not have sent.

        To whoever is no peer of it an exchange is as one that is not there.
        """
        identifier = wire.exchange_of(octets)
        opened = store.find(unit, identifier)
        if opened is None or wire.signer_of(octets) != opened.peer:
            return Refusal(ExchangeRefusal.UNKNOWN_EXCHANGE, identifier.hex())
        party = self._party(unit, opened)
        if party.receive(octets):
            store.keep(unit, party.terms.exchange_id, octets)
            self._heard(unit, party)
        return party.say()

    def newest(self, unit: Connection, terms: Terms) -> Opened | None:
        """Return the newest exchange of two operators in an asset of a domain, by sequence."""
        return store.newest(unit, terms)

    def _heard(self, unit: Connection, party: Party) -> None:
        """Note that the peer is there, and act on a statement that is complete now."""
        partners.answered(unit, party.own, party.peer, party.terms.asset)
        if party.complete and store.conclude(unit, party.terms.exchange_id) and self._concluded:
            self._concluded(unit, party)

    def _party(self, unit: Connection, opened: Opened) -> Party:
        identifier = opened.terms.exchange_id

        def sign(digest: bytes) -> Signature:
            signature = self._notary.sign(unit, opened.own, digest)
            if signature is None:
                raise PeerError("no_key", f"{opened.own} cannot sign now")
            return signature

        entries = store.entries_of(unit, identifier)
        party = Party(opened.terms, opened.own, entries, cut_us=opened.cut_us, sign=sign)
        for octets in store.kept(unit, identifier):
            party.receive(octets)
        return party

    def _objection(
        self, unit: Connection, opened: Opened, given: Sequence[Entry]
    ) -> Refusal | None:
        terms = opened.terms
        if self._notary.sign(unit, opened.own, bytes(32)) is None:
            return Refusal(ExchangeRefusal.NOT_OUR_KEY, opened.own)
        if len(given) > ENTRIES_MAX:
            return Refusal(ExchangeRefusal.TOO_MANY_ENTRIES, str(len(given)))
        if len({entry.usage_id for entry in given}) < len(given):
            return Refusal(ExchangeRefusal.ENTRY_TWICE)
        foreign = [e.debtor for e in given if e.debtor not in (terms.first, terms.second)]
        if foreign:
            return Refusal(ExchangeRefusal.FOREIGN_DEBTOR, foreign[0])
        known = store.find(unit, terms.exchange_id)
        if known is not None and known.cut_us != opened.cut_us:
            return Refusal(ExchangeRefusal.EXISTS_WITH_DIFFERENT_CUT, str(known.cut_us))
        if known is not None and list(store.entries_of(unit, terms.exchange_id)) != list(given):
            return Refusal(ExchangeRefusal.EXISTS_WITH_DIFFERENT_ENTRIES)
        return None
