"""A network in which everything has an id, and who of it may know which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.app.scene import taken
from tests.console.people import COOKIE, ORIGIN, TOKEN, Installation, installation
from tests.console.test_disputes import USAGES, disputed

from opencarrier.app.console.guard import csrf_of
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.kernel.ids import to_hex

WHO = ("nobody", "installation", "operator", "host", "subscriber", "auditor")


@dataclass
class World:
    """An installation and the ids in it, by the name of the parameter that asks for them."""

    home: Installation
    other: str
    ids: dict[str, list[str]] = field(default_factory=dict)

    def headers(self, who: str) -> Mapping[str, str]:
        """What somebody shows: nothing, the token, or a browser's cookie with what goes with it."""
        if who == "nobody":
            return {}
        if who == "installation":
            return {"Authorization": f"Bearer {TOKEN}"}
        with self.home.base.store.write() as unit:
            token, _ = self.home.accounts.sessions.begin(
                unit, self.home.who[who], key="k", came_from=""
            )
        return {
            "Cookie": f"{COOKIE}={token}",
            "Origin": ORIGIN,
            "X-CSRF-Token": csrf_of(token),
        }

    def own(self, who: str, path: str) -> set[str]:
        """Ids that are somebody's to ask a path for; all others are as if absent."""
        made, ids = self.home.made, {name: set(found) for name, found in self.ids.items()}
        money = ids["agreement"] | ids["exchange"] | ids["usage"]
        hosts = {made.node.host, self.home.host.party_id, made.node.node_id}
        of_role = {
            "nobody": set[str](),
            "operator": {made.home.party_id, *money, *ids["usage_id"], *ids["approval"]},
            "host": {self.home.host.party_id},
            "subscriber": {made.subscriber.party_id, *ids["usage_id"], *ids["session"]},
            "auditor": {made.home.party_id, made.visited.party_id, *hosts, *money},
        }
        if who == "operator" and path.startswith("/v1/trace/"):
            of_role["operator"] |= {made.subscriber.party_id, self.other, *ids["session"]}
        return of_role[who] | self.people(who) | ids["sequence"]

    def people(self, who: str) -> set[str]:
        """Accounts that somebody sees with its own, and its own key."""
        seen = {"operator": ["operator", "onlooker"], "nobody": []}.get(who, [who])
        keys = dict(zip(self.home.who, self.ids["key"], strict=False))
        return {self.home.who[name] for name in seen} | {keys[name] for name in seen if name == who}


@contextmanager
def world(root: Path) -> Iterator[World]:
    """A settled cycle, a dispute, two hosts, two subscribers, people of every role, a webhook."""
    with installation(root) as home:
        made, base = home.made, home.base
        made.use("one", octets=5_000_000, grant=made.authorise())
        made.settle()
        case = disputed(home)
        with base.store.write() as unit:
            other = taken(
                base.identity.subscriptions.add(
                    unit, name="Bob", home=made.home.party_id, plan_id="prepaid"
                )
            )
            keys = [base.accounts.book.keys(unit, who)[0].key for who in home.who.values()]
        home.add("bob", Grant(Role.SUBSCRIBER, other.party_id))
        found = World(home, other.party_id)
        found.ids = {
            "party": [
                made.home.party_id, made.visited.party_id, made.node.host, home.host.party_id,
                made.subscriber.party_id, other.party_id,
            ],
            "account": list(home.who.values()),
            "key": keys,
            "sequence": ["1"],
            "node_id": [made.node.node_id],
            "exchange": [to_hex(case.terms.exchange_id)],
            "usage": [to_hex(one) for one in USAGES],
        }  # fmt: skip
        _asked_for(found)
        home.web.events.close()
        home.web.ready = True
        yield found


def _asked_for(found: World) -> None:
    """Add the ids that only answers tell."""
    owner, made = found.home.browser("owner"), found.home.made
    mine = f"/v1/subscribers/{made.subscriber.party_id}"

    def listed(path: str, name: str) -> list[str]:
        return [str(one[name]) for one in owner.ask(path).json()["items"]]

    agreements = f"/v1/operators/{made.home.party_id}/agreements"
    found.ids["agreement"] = listed(agreements, "agreement")
    found.ids["usage_id"] = listed(f"{mine}/receipts", "usage_id")
    found.ids["session"] = [owner.session.session, *listed(f"{mine}/sessions", "session")]
    asked = {"party": made.visited.party_id, "url": "https://example.com/hook"}
    hook = found.home.browser("visited").script("/v1/webhooks", asked).json()["endpoint"]
    found.ids["endpoint"] = [hook["endpoint"]]
    with found.home.base.store.write() as unit:
        question = found.home.accounts.approvals.ask(
            unit, kind="settlement", subject=b"q" * 32, detail="7", needed=2, ttl_s=60
        )
    found.ids["approval"] = [f"0x{question.approval.hex()}"]
    found.ids["identifier"] = sorted({one for ids in found.ids.values() for one in ids})
