"""What people do about webhooks: pages, API and the command line do the same here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from sqlalchemy import Connection

from opencarrier.app.api import Cursor, Page
from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.views.webhooks import (
    DeliveryLine,
    EndpointLine,
    EndpointMade,
    WebhooksView,
    WebhookView,
    delivery_line,
    endpoint_line,
    events_for,
    may_register,
    owners,
    parties_of,
)
from opencarrier.app.console.visitor import Visitor
from opencarrier.app.courier import networks_of
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId
from opencarrier.webhooks.model import Endpoint, HookReason
from opencarrier.webhooks.service import Shown, Standing

T = TypeVar("T")

ENDPOINTS: Final = Cursor("webhooks", (str, int, str))
DELIVERIES: Final = Cursor("webhook deliveries", (int,))


class WebhookDesk:
    """Each act in a unit of its own, with its line in the log; others' endpoints are unknown."""

    def __init__(self, base: Installation) -> None:
        self.base = base
        self._hooks = base.webhooks

    # looking

    def view(self, visitor: Visitor, cursor: str, limit: int) -> WebhooksView:
        """Return a visitor's endpoints, what they can hear, and whom more may be for."""
        with self.base.store.read() as unit:
            return WebhooksView(
                endpoints=self._endpoints(unit, visitor, cursor, limit),
                events=events_for(visitor),
                owners=owners(self.base, unit, visitor),
            )

    def standing(self, visitor: Visitor) -> Standing:
        """Return how many of the endpoints that a visitor sees hear, do not answer, are off."""
        with self.base.store.read() as unit:
            return self._hooks.standing(unit, parties_of(visitor))

    def endpoints(self, visitor: Visitor, cursor: str, limit: int) -> Page[EndpointLine]:
        """Return the endpoints that a visitor sees."""
        with self.base.store.read() as unit:
            return self._endpoints(unit, visitor, cursor, limit)

    def endpoint(self, visitor: Visitor, name: str) -> EndpointLine | Refusal:
        """Return an endpoint of the visitor's."""
        with self.base.store.read() as unit:
            found = self._found(unit, visitor, name)
            return found if isinstance(found, Refusal) else self._line(unit, found)

    def deliveries(
        self, visitor: Visitor, name: str, cursor: str, limit: int
    ) -> WebhookView | Refusal:
        """Return an endpoint of the visitor's with its deliveries, newest first."""
        key = DELIVERIES.read(cursor)
        before = None if key is None else int(key[0])
        with self.base.store.read() as unit:
            found = self._found(unit, visitor, name)
            if isinstance(found, Refusal):
                return found
            rows = self._hooks.deliveries(unit, found, before=before, limit=limit + 1)
            lines = [delivery_line(row) for row in rows]
            return WebhookView(
                endpoint=self._line(unit, found),
                deliveries=DELIVERIES.page(lines, limit, lambda one: (one.number,)),
            )

    # doing

    def add(
        self, visitor: Visitor, party: str, url: str, kinds: Sequence[str]
    ) -> EndpointMade | Refusal:
        """Register an endpoint for a party of the visitor's."""
        owner = PartyId(party)
        if not may_register(visitor, owner):
            return Refusal(HookReason.UNKNOWN_ENDPOINT)
        plain = owner in networks_of(self.base.settings)
        with self.base.store.write() as unit:
            made = self._hooks.add(unit, owner, url, kinds, plain=plain)
            if isinstance(made, Refusal):
                return made
            self._note(unit, visitor, "webhook_added", made.endpoint)
            return self._shown(unit, made)

    def rotate(self, visitor: Visitor, name: str) -> EndpointMade | Refusal:
        """Give an endpoint a fresh secret."""

        def rotate(unit: Connection, found: Endpoint) -> EndpointMade:
            return self._shown(unit, self._hooks.rotate(unit, found))

        return self._change(visitor, name, "webhook_rotated", rotate)

    def resume(self, visitor: Visitor, name: str) -> EndpointLine | Refusal:
        """Send to an endpoint again."""

        def resume(unit: Connection, found: Endpoint) -> EndpointLine:
            return self._line(unit, self._hooks.resume(unit, found))

        return self._change(visitor, name, "webhook_resumed", resume)

    def pause(self, visitor: Visitor, name: str) -> EndpointLine | Refusal:
        """Send nothing to an endpoint for now."""

        def pause(unit: Connection, found: Endpoint) -> EndpointLine:
            return self._line(unit, self._hooks.pause(unit, found))

        return self._change(visitor, name, "webhook_paused", pause)

    def remove(self, visitor: Visitor, name: str) -> Refusal | None:
        """Forget an endpoint."""
        return self._change(visitor, name, "webhook_removed", self._hooks.remove)

    def ping(self, visitor: Visitor, name: str) -> DeliveryLine | Refusal:
        """Send something to an endpoint, to see whether it hears."""

        def sent(unit: Connection, found: Endpoint) -> DeliveryLine:
            self._hooks.ping(unit, found)
            (newest,) = self._hooks.deliveries(unit, found, before=None, limit=1)
            return delivery_line(newest)

        return self._change(visitor, name, "webhook_pinged", sent)

    def replay(
        self, visitor: Visitor, name: str, *, message: str = "", since_us: int | None = None
    ) -> int | Refusal:
        """Send one message, or all since an instant, once more; return how many."""

        def again(unit: Connection, found: Endpoint) -> int | Refusal:
            if message:
                one = self._hooks.replay(unit, found, message)
                return one if isinstance(one, Refusal) else 1
            return self._hooks.replay_since(unit, found, since_us or 0)

        return self._change(visitor, name, "webhook_replayed", again)

    def _change(
        self, visitor: Visitor, name: str, what: str, act: Callable[[Connection, Endpoint], T]
    ) -> T | Refusal:
        with self.base.store.write() as unit:
            found = self._found(unit, visitor, name)
            if isinstance(found, Refusal):
                return found
            done = act(unit, found)
            if not isinstance(done, Refusal):
                self._note(unit, visitor, what, found)
            return done

    def _note(self, unit: Connection, visitor: Visitor, what: str, about: Endpoint) -> None:
        self.base.accounts.audit.write(
            unit,
            what,
            who=visitor.account,
            about=about.endpoint,
            came_from=visitor.came_from,
        )

    def _endpoints(
        self, unit: Connection, visitor: Visitor, cursor: str, limit: int
    ) -> Page[EndpointLine]:
        key = ENDPOINTS.read(cursor)
        after = None if key is None else (PartyId(str(key[0])), int(key[1]), str(key[2]))
        found = self._hooks.endpoints(unit, parties_of(visitor), after=after, limit=limit + 1)
        lines = [self._line(unit, one) for one in found]
        return ENDPOINTS.page(lines, limit, lambda one: (one.party, one.made_us, one.endpoint))

    def _found(self, unit: Connection, visitor: Visitor, name: str) -> Endpoint | Refusal:
        return self._hooks.find(unit, name, parties_of(visitor))

    def _line(self, unit: Connection, found: Endpoint) -> EndpointLine:
        return endpoint_line(self.base, unit, found)

    def _shown(self, unit: Connection, made: Shown) -> EndpointMade:
        return EndpointMade(endpoint=self._line(unit, made.endpoint), secret=made.secret)
