"""The room's door: endpoints and their secrets, notices kept as messages, deliveries."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from sqlalchemy import Connection

from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.notices import Notice
from opencarrier.spine.parties import PartyId
from opencarrier.webhooks import rules, store
from opencarrier.webhooks.addresses import read_url
from opencarrier.webhooks.model import (
    EVENTS,
    INSTALLATION,
    KEPT_S,
    OVERLAP_S,
    PING,
    REPLAYED_MAX,
    SECRET_OCTETS,
    WAITING_MAX,
    Audience,
    Delivery,
    DeliveryState,
    Endpoint,
    HookReason,
    Message,
    Obstacle,
    Off,
    Outcome,
)

SWEPT_MAX: Final = 1_000
COUNTED_MAX: Final = 1_000
"""Endpoints that are looked at to say how all of them stand."""

ID_OCTETS: Final = 16


class Secrets(Protocol):
    """Who keeps secrets sealed, by name."""

    def octets(self, unit: Connection, name: str, size: int) -> bytes:
        """Return the secret of a name; it is made where there is none."""
        ...

    def read(self, unit: Connection, name: str) -> bytes:
        """Return a secret that is there."""
        ...

    def forget(self, unit: Connection, name: str) -> None:
        """Destroy a secret."""
        ...


class Shown(NamedTuple):
    """An endpoint, and its secret: shown this once."""

    endpoint: Endpoint
    secret: str


class Standing(NamedTuple):
    """How many endpoints hear, do not answer, and are turned off."""

    hearing: int
    failing: int
    off: int

    @property
    def is_all(self) -> bool:
        """Whether there are no more than were looked at."""
        return sum(self) <= COUNTED_MAX


class Attempt(NamedTuple):
    """What is to be sent: to which endpoint, which delivery, what, and signed by what."""

    endpoint: Endpoint
    delivery: Delivery
    message: Message
    secrets: tuple[bytes, ...]


class Webhooks:
    """All of one installation; each call stands in the caller's unit. Answers `Announcer`."""

    def __init__(self, secrets: Secrets, *, clock: Clock, entropy: Entropy) -> None:
        self._secrets = secrets
        self._clock = clock
        self._entropy = entropy

    # endpoints

    def add(
        self,
        unit: Connection,
        party: PartyId,
        url: str,
        kinds: Sequence[str],
        *,
        plain: bool,
    ) -> Shown | Refusal:
        """Register an endpoint; `plain` takes http too, where networks of ours may be reached.

        A subscriber's is always at a public address, and over TLS.
        """
        audience = Audience.of(party)
        target = read_url(url)
        if isinstance(target, Refusal):
            return target
        if not target.tls and not (plain and audience is not Audience.SUBSCRIBER):
            return Refusal(HookReason.NOT_HTTPS, "begin with https://")
        refusal = rules.check_kinds(kinds, audience)
        if refusal is not None:
            return refusal
        most = rules.endpoints_max(audience)
        if len(store.endpoints_of(unit, party)) >= most:
            return Refusal(HookReason.TOO_MANY, f"a party has {most} at most")
        made = Endpoint(
            endpoint="hook_" + self._entropy.octets("webhook", ID_OCTETS).hex(),
            party=party,
            url=url,
            kinds=tuple(sorted(set(kinds))),
            made_us=self._clock.now_us(),
            secret=1,
            former_until_us=0,
            off=Off.ON,
            failures=0,
            rests_until_us=0,
        )
        store.put_endpoint(unit, made)
        return Shown(made, self._shown(unit, made))

    def endpoints(
        self,
        unit: Connection,
        parties: Collection[PartyId] | None,
        *,
        after: tuple[PartyId, int, str] | None = None,
        limit: int,
    ) -> Sequence[Endpoint]:
        """Return endpoints of parties, or everybody's: by party, oldest first, those after one."""
        return store.endpoints_after(unit, parties, after, limit)

    def standing(self, unit: Connection, parties: Collection[PartyId] | None) -> Standing:
        """Return how endpoints of parties, or everybody's, stand; `COUNTED_MAX` are looked at."""
        told = store.standings(unit, parties, COUNTED_MAX + 1)
        on = {failing: many for (off, failing), many in told.items() if not off}
        rest = sum(many for (off, _), many in told.items() if off)
        return Standing(hearing=on.get(False, 0), failing=on.get(True, 0), off=rest)

    def find(
        self, unit: Connection, name: str, parties: Collection[PartyId] | None
    ) -> Endpoint | Refusal:
        """Return an endpoint of one of these parties, or of anybody; others' are unknown."""
        found = store.endpoint(unit, name)
        if found is None or (parties is not None and found.party not in parties):
            return Refusal(HookReason.UNKNOWN_ENDPOINT)
        return found

    def rotate(self, unit: Connection, endpoint: Endpoint) -> Shown:
        """Give an endpoint a fresh secret; the former one signs beside it for a day more."""
        if endpoint.secret > 1:
            self._secrets.forget(unit, _secret_of(endpoint, endpoint.secret - 1))
        until_us = self._clock.now_us() + OVERLAP_S * SECOND_US
        fresh = replace(endpoint, secret=endpoint.secret + 1, former_until_us=until_us)
        store.put_endpoint(unit, fresh)
        return Shown(fresh, self._shown(unit, fresh))

    def resume(self, unit: Connection, endpoint: Endpoint) -> Endpoint:
        """Send to an endpoint again, now."""
        awake = replace(endpoint, off=Off.ON, failures=0, rests_until_us=0)
        store.put_endpoint(unit, awake)
        return awake

    def pause(self, unit: Connection, endpoint: Endpoint) -> Endpoint:
        """Send nothing to an endpoint, and keep nothing for it, until it is resumed."""
        paused = replace(endpoint, off=Off.ASKED)
        store.put_endpoint(unit, paused)
        return paused

    def remove(self, unit: Connection, endpoint: Endpoint) -> None:
        """Forget an endpoint, its secrets and what was sent there."""
        store.remove_endpoint(unit, endpoint.endpoint)
        for number in range(max(endpoint.secret - 1, 1), endpoint.secret + 1):
            self._secrets.forget(unit, _secret_of(endpoint, number))

    # what happened

    def tell(self, unit: Connection, notices: Iterable[Notice]) -> None:
        """Keep a message for each party that hears of it, and a delivery to each endpoint."""
        for notice in notices:
            others = () if notice.personal else (INSTALLATION,)
            for party in sorted({*others, *notice.parties}):
                self._tell(unit, notice, party)

    def _tell(self, unit: Connection, notice: Notice, party: PartyId) -> None:
        may = Audience.of(party) in EVENTS[notice.kind]
        known = store.endpoints_of(unit, party) if may else ()
        hears = [one for one in known if not one.off and one.wants(notice.kind)]
        if hears:
            made = _message(notice.kind, party, notice.about, notice.at_us)
            if store.put_message(unit, made):
                for one in hears:
                    self._deliver(unit, one, made)

    def ping(self, unit: Connection, endpoint: Endpoint) -> Message:
        """Send something to an endpoint, to see whether it hears."""
        now_us = self._clock.now_us()
        about: dict[str, str | int] = {"endpoint": endpoint.endpoint, "at_us": now_us}
        made = _message(PING, endpoint.party, about, now_us)
        if store.put_message(unit, made):
            self._deliver(unit, endpoint, made)
        return made

    def _deliver(self, unit: Connection, endpoint: Endpoint, message: Message) -> None:
        crowded = store.is_crowded(unit, endpoint.endpoint, WAITING_MAX)
        store.put_delivery(
            unit,
            Delivery(
                number=store.next_number(unit),
                endpoint=endpoint.endpoint,
                message=message.message,
                kind=message.kind,
                at_us=message.at_us,
                state=DeliveryState.PARKED if crowded else DeliveryState.WAITING,
                attempts=0,
                next_us=self._clock.now_us(),
                tried_us=0,
                status=0,
                answer=f"{Obstacle.CROWDED}:" if crowded else "",
            ),
        )

    def listeners(
        self, unit: Connection, audience: Audience, *, after: PartyId, limit: int
    ) -> Sequence[PartyId]:
        """Return parties of a kind that have endpoints, ascending, those after one."""
        return store.listeners(unit, audience.prefix, after, limit)

    def is_wanted(self, unit: Connection, kinds: Sequence[str]) -> bool:
        """Say whether anybody but subscribers wants to hear of one of these kinds."""
        return store.is_wanted(unit, kinds)

    # deliveries

    def due(self, unit: Connection) -> Sequence[str]:
        """Return the endpoints that something is due at."""
        return store.endpoints_due(unit, self._clock.now_us())

    def next(self, unit: Connection, name: str) -> Attempt | None:
        """Return what is due at an endpoint, oldest first; nothing while it rests."""
        now_us = self._clock.now_us()
        endpoint = store.endpoint(unit, name)
        if endpoint is None or endpoint.off or endpoint.rests_until_us > now_us:
            return None
        delivery = store.due(unit, name, now_us)
        if delivery is None:
            return None
        message = store.message(unit, delivery.message)
        assert message is not None, "a delivery is of a message"
        return Attempt(endpoint, delivery, message, self._signing(unit, endpoint, now_us))

    def tried(self, unit: Connection, attempt: Attempt, outcome: Outcome) -> None:
        """Note what came of an attempt; nothing where the endpoint was removed meanwhile."""
        now_us = self._clock.now_us()
        endpoint = store.endpoint(unit, attempt.endpoint.endpoint)
        delivery = store.delivery(unit, attempt.endpoint.endpoint, attempt.message.message)
        if endpoint is None or delivery is None:
            return
        done = rules.after(delivery, outcome, now_us)
        store.put_delivery(unit, done)
        store.put_endpoint(unit, rules.rested(endpoint, outcome, now_us))
        if rules.is_last(done):
            self.remove(unit, endpoint)

    def deliveries(
        self, unit: Connection, endpoint: Endpoint, *, before: int | None, limit: int
    ) -> Sequence[Delivery]:
        """Return an endpoint's deliveries, newest first."""
        return store.deliveries_before(unit, endpoint.endpoint, before, limit)

    def replay(self, unit: Connection, endpoint: Endpoint, message: str) -> Delivery | Refusal:
        """Send a message once more, under the same id."""
        found = store.delivery(unit, endpoint.endpoint, message)
        if found is None:
            return Refusal(HookReason.UNKNOWN_MESSAGE)
        again = replace(
            found,
            state=DeliveryState.WAITING,
            attempts=0,
            next_us=self._clock.now_us(),
            status=0,
            answer="",
        )
        store.put_delivery(unit, again)
        return again

    def replay_since(self, unit: Connection, endpoint: Endpoint, since_us: int) -> int:
        """Send once more what happened since an instant, `REPLAYED_MAX` at a time; say how many."""
        now_us = self._clock.now_us()
        return store.replay(unit, endpoint.endpoint, since_us, now_us, REPLAYED_MAX)

    def sweep(self, unit: Connection) -> int:
        """Forget what happened a month ago, some at a time."""
        before_us = self._clock.now_us() - KEPT_S * SECOND_US
        return store.sweep(unit, before_us, SWEPT_MAX)

    # secrets

    def _shown(self, unit: Connection, endpoint: Endpoint) -> str:
        name = _secret_of(endpoint, endpoint.secret)
        return rules.write_secret(self._secrets.octets(unit, name, SECRET_OCTETS))

    def _signing(self, unit: Connection, endpoint: Endpoint, now_us: int) -> tuple[bytes, ...]:
        numbers = [endpoint.secret]
        if now_us < endpoint.former_until_us:
            numbers.append(endpoint.secret - 1)
        return tuple(self._secrets.read(unit, _secret_of(endpoint, number)) for number in numbers)


def _secret_of(endpoint: Endpoint, number: int) -> str:
    return f"webhook/{endpoint.endpoint}/{number}"


def _message(kind: str, party: PartyId, about: Mapping[str, str | int], at_us: int) -> Message:
    """Make the message of a fact for a party: by its id the same whenever it is made."""
    items = [str(item) for pair in sorted(about.items()) for item in pair]
    at = datetime.fromtimestamp(at_us // SECOND_US, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    told = {
        "type": kind,
        "timestamp": f"{at}.{at_us % SECOND_US:06d}Z",
        "data": {"party": party or None, **about},
    }
    return Message(
        message="msg_" + derive("webhook", kind, party, *items).hex(),
        kind=kind,
        body=json.dumps(told, separators=(",", ":")).encode(),
        at_us=at_us,
    )
