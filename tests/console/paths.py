"""What may be asked of an installation by GET: every route of it, with ids of what there is."""

from __future__ import annotations

import re

from tests.console.people import Browser, Installation, routes

from opencarrier.kernel.ids import to_hex

NAME = re.compile(r"{(\w+)(?::path)?}")
NOTHING = "0x" + "0" * 64


def paths(home: Installation) -> list[str]:
    """Return the path of every GET route but those of static files, of a scene that settled."""
    named = _ids(home)
    found = []
    for method, _, path in (key.partition(" ") for key in sorted(routes(home.app))):
        if method == "GET" and not path.startswith("/static/"):
            known = {**named, "party": _party(home, path)}
            found.append(NAME.sub(lambda name, known=known: known.get(name[1], "0"), path))
    return found


def _party(home: Installation, path: str) -> str:
    made = home.made
    parties = {
        "operator": made.home.party_id,
        "host": made.node.host,
        "subscriber": made.subscriber.party_id,
    }
    return parties.get(path.removeprefix("/v1").split("/")[1].removesuffix("s"), "")


def _ids(home: Installation) -> dict[str, str]:
    made, owner = home.made, home.browser("owner")
    assert made.closed is not None
    with made.place.base.store.read() as unit:
        used = to_hex(min(made.place.clearing.usages(unit, made.closed.cycle.cycle_id)))
    subscriber, operator = made.subscriber.party_id, made.home.party_id
    return {
        "sequence": "1",
        "number": "1",
        "identifier": used,
        "usage_id": used,
        "name": _linked(owner, "/chain", "/chain/contract/"),
        "tx_hash": _linked(owner, "/chain", "/chain/tx/"),
        "session": _linked(owner, f"/subscriber/{subscriber}/sessions", "/sessions/"),
        "node_id": made.node.node_id,
        "endpoint": _endpoint(owner),
        "key": "get_v1_network",
        "code": "last_key",
        "exchange": NOTHING,
        "usage": NOTHING,
        "agreement": _linked(owner, f"/operator/{operator}/agreements", "/agreements/"),
    }


def _endpoint(owner: Browser) -> str:
    """Return a place that was told of something."""
    made = owner.script("/v1/webhooks", {"url": "https://a.example"}).json()
    endpoint: str = made["endpoint"]["endpoint"]
    owner.script(f"/v1/webhooks/{endpoint}/ping", {})
    return endpoint


def _linked(browser: Browser, page: str, before: str) -> str:
    """Return the first id that a page's links name behind some words."""
    found = re.search(before + r"([\w-]+)", browser.get(page).text)
    return found[1] if found else "0"
