"""What attempts need of their home, answered for all that came together, in one unit.

All of a kind are read together, and grants are asked for together, as of one instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

from opencarrier.access.agreeing import TermsDesk
from opencarrier.access.model import AccessKeys
from opencarrier.access.openroaming.obligations import FederationTerms, request_objection
from opencarrier.access.orders.attaching import attach_of
from opencarrier.access.server import Need
from opencarrier.access.session_key import session_key
from opencarrier.access.wire import eap
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.access import AuthorisationRequest, Credential, CredentialKind, Grant
from opencarrier.spine.parties import Subscriber

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from opencarrier.access.service import AccessPorts

Decided: TypeAlias = tuple[Need, eap.Answer]
_People: TypeAlias = Mapping[Credential, Subscriber]


@dataclass(frozen=True, slots=True)
class Home:
    """Answers over the ports; each call stands in the caller's unit."""

    ports: AccessPorts
    keys: AccessKeys
    federation: FederationTerms
    terms: TermsDesk

    def answers(self, unit: Connection, needs: Sequence[Need]) -> list[Decided]:
        """Answer what is needed; grants are asked for together, as of one instant."""
        at_us = self.ports.clock.now_us()
        found = self._found(unit, needs, at_us)
        asked = [request for request in found if isinstance(request, AuthorisationRequest)]
        granted = iter(self.ports.policy.authorise_all(unit, asked) if asked else ())
        answered = [
            (
                need,
                self._told(unit, next(granted))
                if isinstance(answer, AuthorisationRequest)
                else answer,
            )
            for need, answer in zip(needs, found, strict=True)
        ]
        self._keep_keys(unit, answered)
        self._keep_places(unit, answered)
        return answered

    def _found(
        self, unit: Connection, needs: Sequence[Need], at_us: int
    ) -> list[eap.Answer | AuthorisationRequest]:
        """Answer what the home's register can; all of a kind are read together."""
        people = self.ports.directory.subscribers_by(unit, _credentials(needs))
        passwords = iter(self._passwords(unit, needs))
        found: list[eap.Answer | AuthorisationRequest] = []
        for need in needs:
            if isinstance(need.need, eap.NeedPassword):
                found.append(next(passwords))
            else:
                found.append(self._answer(unit, need, people, at_us))
        return found

    def _passwords(self, unit: Connection, needs: Sequence[Need]) -> list[eap.Answer]:
        asked = [
            (one.need.username, one.need.realm)
            for one in needs
            if isinstance(one.need, eap.NeedPassword)
        ]
        if not asked:
            return []
        assert self.ports.passwords is not None
        secrets = self.ports.passwords.passwords(unit, asked)
        return [_secret(octets) for octets in secrets]

    def _told(self, unit: Connection, granted: Grant | Refusal) -> eap.Answer:
        if isinstance(granted, Refusal):
            return eap.Refused(granted.code, public=True)
        return self.terms.signed(unit, granted)

    def _keep_keys(self, unit: Connection, answered: Sequence[Decided]) -> None:
        if self.ports.session_keys is None:
            return
        digests = {
            answer.authorisation_id: sha256(session_key(need.need.emsk)).digest()
            for need, answer in answered
            if isinstance(answer, Grant) and isinstance(need.need, eap.Authorise)
        }
        self.ports.session_keys.keep(unit, digests)

    def _keep_places(self, unit: Connection, answered: Sequence[Decided]) -> None:
        """Remember where those let in are served, so that a session can be ended there."""
        orders = self.ports.orders
        places = [
            attach_of(need.ticket, answer, self.keys.cui_key)
            for need, answer in answered
            if isinstance(answer, Grant)
        ]
        if orders is not None and places:
            orders.attached(unit, places)

    def _answer(
        self, unit: Connection, need: Need, people: _People, at_us: int
    ) -> eap.Answer | AuthorisationRequest:
        match need.need:
            case eap.NeedVector(imsi, realm, network_name):
                subscriber = self._subscriber(unit, people.get(_sim(imsi)), realm)
                if isinstance(subscriber, eap.Refused):
                    return subscriber
                return _answer_of(self.ports.vectors.vector(unit, imsi, network_name))
            case eap.NeedResync(imsi, _, network_name, rand, auts):
                vectors = self.ports.vectors
                refusal = vectors.resynchronise(unit, imsi, rand=rand, auts=auts)
                return _answer_of(refusal or vectors.vector(unit, imsi, network_name))
            case eap.Authorise(credential, realm):
                subscriber = self._subscriber(unit, people.get(credential), realm)
                if isinstance(subscriber, eap.Refused):
                    return subscriber
                return self._asked(need, subscriber, at_us)
        raise AssertionError("passwords are answered together")

    def _subscriber(
        self, unit: Connection, found: Subscriber | None, realm: str
    ) -> Subscriber | eap.Refused:
        home = self.ports.directory.home_of(unit, realm)
        if home is None:
            return eap.Refused("realm_unknown", permanent=True, public=True)
        if found is None or found.home != home.party_id:
            return eap.Refused("subscriber_unknown", permanent=True)
        return found

    def _asked(
        self, need: Need, subscriber: Subscriber, at_us: int
    ) -> AuthorisationRequest | eap.Refused:
        offer, federation = need.offer, self.federation
        objection = request_objection(offer.said, offer.offered.rcoi, offer.location, federation)
        if objection is not None:
            return eap.Refused(objection.code, public=True)
        return AuthorisationRequest(
            subscriber=subscriber,
            visited=need.node.operator,
            node=need.node,
            at_us=at_us,
            offered=offer.offered,
            rates=offer.rates,
        )


def _credentials(needs: Sequence[Need]) -> set[Credential]:
    """Return the credentials whose holders are asked for."""
    found = set()
    for one in needs:
        match one.need:
            case eap.NeedVector(imsi):
                found.add(_sim(imsi))
            case eap.Authorise(credential):
                found.add(credential)
    return found


def _sim(imsi: str) -> Credential:
    return Credential(CredentialKind.SIM, imsi)


def _secret(octets: bytes | None) -> eap.Answer:
    if octets is None:
        return eap.Refused("subscriber_unknown", permanent=True)
    return eap.Secret(octets)


def _answer_of(answer: eap.Answer | Refusal) -> eap.Answer:
    return eap.Refused(answer.code) if isinstance(answer, Refusal) else answer
