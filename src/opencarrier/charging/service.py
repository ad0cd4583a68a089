"""The room's door: create, update and release a charging session (TS 32.290 clause 5.3).

A quota is held before it is granted; what was used goes to `usage` as observations with cumulative
counters, and a cycle posts it from the hold as it does any other use. So nothing is charged twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from opencarrier.charging import rules, store
from opencarrier.charging.model import (
    Answer,
    ChargingReason,
    ChargingRequest,
    ChargingSession,
    ChargingSettings,
)
from opencarrier.charging.wire import write_response
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine import ids
from opencarrier.spine.access import AuthorisationRequest, Grant, Offered
from opencarrier.spine.parties import Node, PartyId, Subscriber
from opencarrier.spine.ports import AccessPolicy, Credit, Directory, UsageSink
from opencarrier.spine.records import Service
from opencarrier.spine.usage import ZERO, Observation, Status

REFERENCE_OCTETS = 16
_IMSI = "imsi-"
_MONEY = ("insufficient_balance", "spend_cap_reached")
_DATA = Offered(service=Service.DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What charging asks of others; `pseudonym` names a subscriber to a visited operator."""

    directory: Directory
    policy: AccessPolicy
    credit: Credit
    sink: UsageSink
    entropy: Entropy
    pseudonym: Callable[[PartyId, PartyId], str]


class ChargingService:
    """Charging sessions; `unit` is the caller's open transaction."""

    def __init__(self, ports: Ports, settings: ChargingSettings | None = None) -> None:
        self._ports = ports
        self._settings = settings or ChargingSettings()

    def create(self, unit: Connection, request: ChargingRequest, *, at_us: int) -> Answer | Refusal:
        """Open a session for a subscriber; the same request again answers as it did first."""
        known = store.created_by(unit, request.digest)
        if known is not None:
            return _repeated(known, request)
        node = self._node(unit, request)
        if node is None:
            return Refusal(ChargingReason.UNKNOWN_CONSUMER, " ".join(request.consumers))
        subscriber = self._subscriber(unit, request.subscriber)
        if subscriber is None:
            return Refusal(ChargingReason.UNKNOWN_USER)
        if rules.reports_what_was_not_granted({}, request.groups):
            return Refusal(ChargingReason.NOT_GRANTED)
        grant = self._authorise(unit, subscriber, node, at_us)
        if isinstance(grant, Refusal):
            return grant
        crashpoint("charging.authorised")
        session = self._session(request, subscriber, node, grant, at_us)
        store.insert(unit, session, request.digest)
        crashpoint("charging.begun")
        return self._take(unit, session, request, Status.START, at_us)

    def update(
        self, unit: Connection, reference: str, request: ChargingRequest, *, at_us: int
    ) -> Answer | Refusal:
        """Take what was used since the last report, and grant what is asked for next."""
        return self._continue(unit, reference, request, Status.INTERIM, at_us)

    def release(
        self, unit: Connection, reference: str, request: ChargingRequest, *, at_us: int
    ) -> Answer | Refusal:
        """Take the last of what was used, and release what is held beyond it."""
        return self._continue(unit, reference, request, Status.STOP, at_us)

    def _continue(
        self,
        unit: Connection,
        reference: str,
        request: ChargingRequest,
        status: Status,
        at_us: int,
    ) -> Answer | Refusal:
        session = store.session(unit, reference)
        if session is None:
            return Refusal(ChargingReason.UNKNOWN_SESSION)
        if request.digest == session.last_digest and session.released == (status is Status.STOP):
            return _repeated(session, request)
        if session.released:
            return Refusal(ChargingReason.UNKNOWN_SESSION)
        if request.sequence <= session.last_sequence:
            detail = f"{request.sequence} after {session.last_sequence}"
            return Refusal(ChargingReason.OUT_OF_SEQUENCE, detail)
        if rules.reports_what_was_not_granted(session.grants, request.groups):
            return Refusal(ChargingReason.NOT_GRANTED)
        return self._take(unit, session, request, status, at_us)

    def _take(
        self,
        unit: Connection,
        session: ChargingSession,
        request: ChargingRequest,
        status: Status,
        at_us: int,
    ) -> Answer | Refusal:
        """Count what is reported, hold what is asked for, observe, and answer."""
        at_us = max(at_us, session.created_us)
        elapsed_s = (at_us - session.created_us) // SECOND_US
        used = rules.added(session.used, request.groups, session_time_s=elapsed_s)
        if used is None:
            return Refusal(ChargingReason.BEYOND_RANGE)
        session = replace(session, used=used, released=status is Status.STOP)
        what = rules.wanted(session.grants, request.groups, self._settings)
        validity_s = 0 if session.released else self._validity_s(session, at_us)
        covered = self._ports.credit.reserve(
            unit,
            session.authorisation_id,
            session.session_id,
            used=used,
            octets=what.octets if validity_s else 0,
            ahead_s=validity_s,
            at_us=at_us,
        )
        if covered is None:
            return Refusal(ChargingReason.BEYOND_RANGE)
        crashpoint("charging.held")
        grants = rules.dealt(what, covered)
        told = rules.unit_answers(
            request.groups, what, grants, validity_s=validity_s, settings=self._settings
        )
        answer = write_response(at_us=at_us, sequence=request.sequence, groups=told)
        session = replace(
            session,
            grants={**dict.fromkeys(session.grants, 0), **grants},
            last_sequence=request.sequence,
            last_digest=request.digest,
            answer=answer,
        )
        store.update(unit, session)
        crashpoint("charging.counted")
        self._ports.sink.record(unit, [self._observation(unit, session, request, status, at_us)])
        crashpoint("charging.observed")
        return Answer(session.reference, answer)

    def _validity_s(self, session: ChargingSession, at_us: int) -> int:
        left_s = max(0, session.expires_us - at_us) // SECOND_US
        return min(self._settings.validity_s, left_s)

    def _authorise(
        self, unit: Connection, subscriber: Subscriber, node: Node, at_us: int
    ) -> Grant | Refusal:
        asked = AuthorisationRequest(
            subscriber=subscriber, visited=node.operator, node=node, at_us=at_us, offered=_DATA
        )
        grant = self._ports.policy.authorise(unit, asked)
        if isinstance(grant, Refusal):
            short = grant.code in _MONEY
            reason = ChargingReason.OUT_OF_MONEY if short else ChargingReason.DENIED
            return Refusal(reason, grant.code)
        if not grant.hold.minor:
            return Refusal(ChargingReason.NOT_PREPAID)
        return grant

    def _session(
        self,
        request: ChargingRequest,
        subscriber: Subscriber,
        node: Node,
        grant: Grant,
        at_us: int,
    ) -> ChargingSession:
        reference = self._ports.entropy.octets("charging", REFERENCE_OCTETS).hex()
        key = grant.authorisation_id
        return ChargingSession(
            reference=reference,
            session_id=ids.session_id(key, node.nas_identifier, reference),
            authorisation_id=key,
            node_id=node.node_id,
            subject=self._ports.pseudonym(subscriber.party_id, node.operator),
            created_us=at_us,
            expires_us=grant.expires_us,
            used=ZERO,
            grants={},
            last_sequence=request.sequence,
            last_digest=request.digest,
            answer="",
            released=False,
        )

    def _observation(
        self,
        unit: Connection,
        session: ChargingSession,
        request: ChargingRequest,
        status: Status,
        at_us: int,
    ) -> Observation:
        grant = self._ports.policy.grant(unit, session.authorisation_id)
        node = self._ports.directory.node_by_id(unit, session.node_id)
        assert grant is not None, "a session's grant is gone"
        assert node is not None, "a session's node is gone"
        return Observation(
            status=status,
            home=grant.home,
            visited=node.operator,
            nas_key=node.nas_identifier,
            node_id=node.node_id,
            authorisation_id=session.authorisation_id,
            acct_session_id=session.reference,
            counters=session.used,
            subject=session.subject,
            event_us=at_us,
            terminate_cause=None,
            reporter=node.operator,
            source=f"nchf:{session.reference}@{request.sequence}",
            packet_digest=request.digest,
        )

    def _node(self, unit: Connection, request: ChargingRequest) -> Node | None:
        """Return the node that a consumer's name is the NAS-Identifier of."""
        found = (self._ports.directory.node(unit, name) for name in request.consumers)
        return next((node for node in found if node is not None), None)

    def _subscriber(self, unit: Connection, supi: str) -> Subscriber | None:
        if not supi.startswith(_IMSI):
            return None
        return self._ports.directory.subscriber_by_imsi(unit, supi.removeprefix(_IMSI))


def _repeated(session: ChargingSession, request: ChargingRequest) -> Answer | Refusal:
    """Answer a retransmission as the first time; one that others followed is too late."""
    if request.digest != session.last_digest:
        return Refusal(ChargingReason.OUT_OF_SEQUENCE, "others followed")
    return Answer(session.reference, session.answer)
