"""What is kept of a person whose own machines hear: where they are, and what they were told."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from opencarrier.spine.notices import NoticeKind
from opencarrier.spine.people import Held, Person
from opencarrier.webhooks import store
from opencarrier.webhooks.service import Webhooks


class WebhookPeople:
    """Answers the port `PersonalData`."""

    def __init__(self, hooks: Webhooks) -> None:
        self._hooks = hooks

    def held(self, unit: Connection, person: Person) -> Held:
        """Return the person's endpoints, and what was sent to each, without secrets."""
        return store.held(unit, person.party_id)

    def erase(self, unit: Connection, person: Person) -> None:
        """Forget endpoints, secrets and messages.

        Where a machine asked to hear that it is done, its address stays until it has heard so, or
        is tried no more: nothing else is sent there.
        """
        told = NoticeKind.ERASURE_DONE
        for endpoint in store.endpoints_of(unit, person.party_id):
            if endpoint.off or not endpoint.wants(told):
                self._hooks.remove(unit, endpoint)
            else:
                store.put_endpoint(unit, replace(endpoint, kinds=(told.value,)))
        store.forget_messages(unit, person.party_id)
