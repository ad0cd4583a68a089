"""Who may ask for what: every route has its line here, or nobody gets through to it.

What one may not see answers exactly as what does not exist. A route whose line says `AT_PARTY`
judges besides whose thing is asked for, by `Visitor.at`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from opencarrier.app.console.visitor import Visitor
from opencarrier.identity.accounts.model import NOBODY, Grant, Role


class Proof(Enum):
    """What a route judges by itself: the name of a security scheme, if any, and words for it."""

    SIGNATURE = ("", "the signature in the body is what entitles; no token is asked.")
    PAYMENT = ("payment", "a payment in PAYMENT-SIGNATURE; without one, 402 says what to pay.")
    SESSION_KEY = ("session_key", "the session's key that device and home derived, as Bearer.")
    CONSUMER = ("token", "the installation's token, as 3GPP consumers show it.")
    KNOWING = ("", "none: whoever knows the name in the path may ask.")

    @property
    def scheme(self) -> str:
        """The security scheme of OpenAPI, empty where it has none for it."""
        return self.value[0]

    @property
    def words(self) -> str:
        """What to show, in a sentence."""
        return self.value[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Who may ask for a route.

    `anybody`: no sign-in. `people`: whoever is signed in. `installation`: its token alone.
    `whole`: roles over the whole installation. `at_party`: roles at some party. `browser`: only our
    own pages may send it. `tried`: attempts are counted, for it guesses at secrets. `proof`: what
    the route itself asks for.
    """

    anybody: bool = False
    people: bool = False
    installation: bool = False
    whole: frozenset[Role] = frozenset()
    at_party: frozenset[Role] = frozenset()
    browser: bool = False
    tried: bool = False
    repeatable: bool = False
    proof: Proof | None = None

    def allows(self, visitor: Visitor) -> bool:
        """Say whether somebody may ask."""
        if self.anybody or (self.people and visitor.is_signed_in):
            return True
        if self.installation and visitor.is_owner and visitor.account == NOBODY:
            return True
        if any(Grant(role) in visitor.grants for role in self.whole):
            return True
        return bool(self.at_party and visitor.at(*self.at_party))


ANYBODY: Final = Right(anybody=True)
ITS_OWN: Final = Right(anybody=True, proof=Proof.KNOWING, repeatable=True)
"""The route judges by itself: a secret in its path, or whatever it is handed."""

SIGNED: Final = Right(anybody=True, proof=Proof.SIGNATURE, repeatable=True)
PAID: Final = Right(anybody=True, proof=Proof.PAYMENT, repeatable=True)
KEYED: Final = Right(anybody=True, proof=Proof.SESSION_KEY, repeatable=True)
CONSUMER: Final = Right(anybody=True, proof=Proof.CONSUMER, repeatable=True)

PEOPLE: Final = Right(people=True, browser=True)
KNOCKING: Final = Right(anybody=True, browser=True, tried=True)
OWNER: Final = Right(whole=frozenset({Role.OWNER}))
INSTALLATION: Final = Right(installation=True)
BOOKS: Final = Right(whole=frozenset({Role.OWNER, Role.AUDITOR}))
SETTLING: Final = Right(whole=frozenset({Role.OWNER}), at_party=frozenset({Role.OPERATOR}))
AT_OPERATOR: Final = Right(
    whole=frozenset({Role.OWNER, Role.AUDITOR}), at_party=frozenset({Role.OPERATOR, Role.AUDITOR})
)
"""Reads what is an operator's; the route judges whose."""
HOLDING: Final = Right(
    whole=frozenset({Role.OWNER}),
    at_party=frozenset({Role.OPERATOR, Role.HOST, Role.SUBSCRIBER}),
)
"""The route shows what is its visitor's own."""

INVITING: Final = Right(
    whole=frozenset({Role.OWNER}), at_party=frozenset({Role.OPERATOR, Role.HOST})
)
HOSTING: Final = Right(
    whole=frozenset({Role.OWNER, Role.AUDITOR}), at_party=frozenset({Role.HOST, Role.AUDITOR})
)
HOSTS_ACTS: Final = Right(whole=frozenset({Role.OWNER}), at_party=frozenset({Role.HOST}))
HOOKING: Final = HOLDING
"""Whose machine is told: its own party's, each."""

OWN: Final = Right(whole=frozenset({Role.OWNER}), at_party=frozenset({Role.SUBSCRIBER}))
"""The route judges whose account it is."""

OWN_ACT: Final = replace(OWN, browser=True)

RIGHTS: Final[Mapping[str, Right]] = {
    # what the network shows to everybody, and to machines
    "GET /": ANYBODY,
    "GET /network/now": ANYBODY,
    "GET /words": ANYBODY,
    "POST /language": ANYBODY,
    "GET /receipt": ANYBODY,
    "GET /chain": ANYBODY,
    "GET /chain/block/{number}": ANYBODY,
    "GET /chain/tx/{tx_hash}": ANYBODY,
    "GET /chain/contract/{name}": ANYBODY,
    "GET /v1/chain/blocks": ANYBODY,
    "GET /v1/chain/blocks/{number}": ANYBODY,
    "GET /v1/chain/transactions/{tx_hash}": ANYBODY,
    "GET /v1/chain/contracts/{name}": ANYBODY,
    "GET /v1/events": ANYBODY,
    "GET /v1/network": ANYBODY,
    "GET /v1/network/cells": ANYBODY,
    "GET /v1/network/live": ANYBODY,
    "GET /healthz": ANYBODY,
    "GET /readyz": ANYBODY,
    "GET /metrics": ANYBODY,
    "GET /openapi.json": ANYBODY,
    "GET /docs": ANYBODY,
    "GET /docs/{key}": ANYBODY,
    "GET /problems": ANYBODY,
    "GET /problems/{code}": ANYBODY,
    "GET /v1/manifest": ANYBODY,
    # what carries its own proof
    "POST /v1/adverts": SIGNED,
    "GET /v1/adverts/{place}": ITS_OWN,
    "POST /v1/exchange": SIGNED,
    "POST /v1/disputes": SIGNED,
    "POST /v1/relay": SIGNED,
    "GET /v1/relay/{relay_id}": ITS_OWN,
    "GET /v1/quote": PAID,
    "POST /v1/topup/{subscriber}": PAID,
    "POST /v1/channels/open": KEYED,
    "POST /v1/channels/session": KEYED,
    "POST /v1/channels/payment": KEYED,
    "POST /v1/channels/end": KEYED,
    "POST /v1/channels/close": KEYED,
    "GET /v1/channels/terms": KEYED,
    "GET /v1/channels/session/{session_id}": KEYED,
    "POST /nchf-convergedcharging/v3/chargingdata": CONSUMER,
    "POST /nchf-convergedcharging/v3/chargingdata/{reference}/update": CONSUMER,
    "POST /nchf-convergedcharging/v3/chargingdata/{reference}/release": CONSUMER,
    "GET /enrol/{token}": ITS_OWN,
    "GET /enrol/{token}/{platform}/{kind}": ITS_OWN,
    "POST /enrol/{token}/certificate": ITS_OWN,
    # the installation's own
    "GET /v1/status": BOOKS,
    "GET /v1/radsec": BOOKS,
    "GET /v1/receipts/{usage_id}": HOLDING,
    "GET /receipt/{usage_id}": HOLDING,
    "GET /v1/trace/{identifier}": HOLDING,
    "GET /trace": HOLDING,
    "GET /trace/{identifier}": HOLDING,
    "POST /v1/cycles/close": SETTLING,
    "POST /v1/triggers/{name}": OWNER,
    "POST /v1/owner-link": INSTALLATION,
    # what machines are told of what happens
    "GET /v1/webhooks": HOOKING,
    "POST /v1/webhooks": HOOKING,
    "GET /v1/webhooks/events": HOOKING,
    "GET /v1/webhooks/{endpoint}": HOOKING,
    "POST /v1/webhooks/{endpoint}/pause": HOOKING,
    "GET /v1/webhooks/{endpoint}/deliveries": HOOKING,
    "POST /v1/webhooks/{endpoint}/ping": HOOKING,
    "POST /v1/webhooks/{endpoint}/remove": HOOKING,
    "POST /v1/webhooks/{endpoint}/replay": HOOKING,
    "POST /v1/webhooks/{endpoint}/resume": HOOKING,
    "POST /v1/webhooks/{endpoint}/rotate": HOOKING,
    "GET /webhooks": HOOKING,
    "GET /webhooks/{endpoint}": HOOKING,
    "GET /webhooks/{endpoint}/now": HOOKING,
    "POST /webhooks": HOOKING,
    "POST /webhooks/{endpoint}/pause": HOOKING,
    "POST /webhooks/{endpoint}/ping": HOOKING,
    "POST /webhooks/{endpoint}/remove": HOOKING,
    "POST /webhooks/{endpoint}/replay": HOOKING,
    "POST /webhooks/{endpoint}/resume": HOOKING,
    "POST /webhooks/{endpoint}/rotate": HOOKING,
    # the door
    "GET /sign-in": ANYBODY,
    "POST /sign-in/passkey/options": KNOCKING,
    "POST /sign-in/passkey": KNOCKING,
    "POST /sign-in/wallet/message": KNOCKING,
    "POST /sign-in/wallet": KNOCKING,
    "POST /sign-in/as": KNOCKING,
    "GET /welcome/{token}": Right(anybody=True, tried=True),
    "POST /welcome/{token}": KNOCKING,
    "POST /sign-out": PEOPLE,
    # one's own keys and sessions
    "GET /me": PEOPLE,
    "GET /v1/me": PEOPLE,
    "POST /v1/me/name": PEOPLE,
    "POST /v1/me/keys/passkey/options": PEOPLE,
    "POST /v1/me/keys/passkey": PEOPLE,
    "POST /v1/me/keys/wallet/message": PEOPLE,
    "POST /v1/me/keys/wallet": PEOPLE,
    "POST /v1/me/keys/{key}/name": PEOPLE,
    "POST /v1/me/keys/{key}/remove": PEOPLE,
    "POST /v1/me/sessions/{session}/end": PEOPLE,
    "POST /me/name": PEOPLE,
    "POST /me/keys/passkey/options": PEOPLE,
    "POST /me/keys/passkey": PEOPLE,
    "POST /me/keys/wallet/message": PEOPLE,
    "POST /me/keys/wallet": PEOPLE,
    "POST /me/keys/{key}/name": PEOPLE,
    "POST /me/keys/{key}/remove": PEOPLE,
    "POST /me/sessions/{session}/end": PEOPLE,
    # an operator's money
    "GET /operator": AT_OPERATOR,
    "GET /operator/{party}": AT_OPERATOR,
    "GET /operator/{party}/now": AT_OPERATOR,
    "GET /operator/{party}/cycles": AT_OPERATOR,
    "GET /operator/{party}/cycles/{sequence}": AT_OPERATOR,
    "GET /operator/{party}/cycles/{sequence}/now": AT_OPERATOR,
    "GET /operator/{party}/settle": SETTLING,
    "POST /operator/{party}/settle": SETTLING,
    "GET /operator/{party}/agreements": AT_OPERATOR,
    "GET /operator/{party}/agreements/{agreement}": AT_OPERATOR,
    "GET /operator/{party}/agreements/{agreement}/what-if": AT_OPERATOR,
    "GET /v1/operators/{party}/agreements": AT_OPERATOR,
    "GET /v1/operators/{party}/agreements/{agreement}": AT_OPERATOR,
    "GET /v1/operators/{party}/agreements/{agreement}/what-if": AT_OPERATOR,
    "GET /operator/{party}/disputes": AT_OPERATOR,
    "GET /operator/{party}/disputes/{exchange}/{usage}": AT_OPERATOR,
    "POST /operator/{party}/disputes/{exchange}/{usage}": SETTLING,
    "GET /v1/operators/{party}/disputes": AT_OPERATOR,
    "GET /v1/operators/{party}/disputes/{exchange}/{usage}": AT_OPERATOR,
    "POST /v1/operators/{party}/disputes/{exchange}/{usage}/moves": SETTLING,
    "GET /v1/operators": AT_OPERATOR,
    "GET /v1/operators/{party}": AT_OPERATOR,
    "GET /v1/operators/{party}/cycles": AT_OPERATOR,
    "GET /v1/operators/{party}/cycles/{sequence}": AT_OPERATOR,
    "GET /v1/operators/{party}/cycles/{sequence}/statement.csv": AT_OPERATOR,
    "GET /v1/operators/{party}/cycles/{sequence}/statement.json": AT_OPERATOR,
    # a host's own
    "GET /host": HOSTING,
    "GET /host/{party}": HOSTING,
    "GET /host/{party}/now": HOSTING,
    "GET /host/{party}/nodes/{node_id:path}": HOSTING,
    "GET /host/{party}/withdraw": HOSTS_ACTS,
    "POST /host/{party}/withdraw": HOSTS_ACTS,
    "GET /host/{party}/add-node": HOSTS_ACTS,
    "POST /host/{party}/add-node": HOSTS_ACTS,
    "GET /host/{party}/ban": OWNER,
    "POST /host/{party}/ban": OWNER,
    "POST /host/{party}/ban/draft": OWNER,
    "GET /host/{party}/payout": HOSTS_ACTS,
    "POST /host/{party}/payout": HOSTS_ACTS,
    "GET /host/{party}/appeal": HOSTS_ACTS,
    "POST /host/{party}/appeal": HOSTS_ACTS,
    "POST /host/{party}/close-ban": HOSTS_ACTS,
    "GET /host/{party}/decide": OWNER,
    "POST /host/{party}/decide": OWNER,
    "GET /v1/hosts": HOSTING,
    "GET /v1/hosts/{party}": HOSTING,
    "GET /v1/hosts/{party}/nodes": HOSTING,
    "GET /v1/hosts/{party}/nodes/{node_id:path}": HOSTING,
    "GET /v1/hosts/{party}/earnings": HOSTING,
    "GET /v1/hosts/{party}/claim": HOSTS_ACTS,
    "POST /v1/hosts/{party}/withdrawals": HOSTS_ACTS,
    "POST /v1/hosts/{party}/enrolments": HOSTS_ACTS,
    "GET /v1/hosts/{party}/bans": HOSTING,
    "POST /v1/hosts/{party}/bans": OWNER,
    "POST /v1/hosts/{party}/bans/signatures": OWNER,
    "POST /v1/hosts/{party}/bans/send": OWNER,
    "GET /v1/hosts/{party}/payout": HOSTS_ACTS,
    "GET /v1/hosts/{party}/payout/call": HOSTS_ACTS,
    "POST /v1/hosts/{party}/payout": HOSTS_ACTS,
    "POST /v1/hosts/{party}/payout/cancel": HOSTS_ACTS,
    "POST /v1/hosts/{party}/payout/apply": HOSTS_ACTS,
    "GET /v1/hosts/{party}/appeal": HOSTS_ACTS,
    "POST /v1/hosts/{party}/appeals": HOSTS_ACTS,
    "POST /v1/hosts/{party}/closings": HOSTS_ACTS,
    "GET /v1/hosts/{party}/decision": OWNER,
    "POST /v1/hosts/{party}/decisions": OWNER,
    "POST /v1/nodes/join": Right(anybody=True, tried=True),
    # people
    "GET /people": INVITING,
    "GET /v1/people": INVITING,
    "GET /v1/people/roles": INVITING,
    "POST /v1/people": INVITING,
    "POST /v1/people/{account}/link": INVITING,
    "POST /v1/people/{account}/give": INVITING,
    "POST /v1/people/{account}/take": INVITING,
    "POST /v1/people/{account}/remove": OWNER,
    "POST /people": INVITING,
    "POST /people/{account}/link": INVITING,
    "POST /people/{account}/give": INVITING,
    "POST /people/{account}/take": INVITING,
    "POST /people/{account}/remove": OWNER,
    "GET /audit": BOOKS,
    "GET /v1/audit": BOOKS,
    "GET /bans": OWNER,
    "GET /v1/bans": OWNER,
    "GET /approvals": SETTLING,
    "GET /v1/approvals": SETTLING,
    "POST /v1/approvals/{approval}/yes": SETTLING,
    "POST /approvals/{approval}/yes": SETTLING,
    # all subscribers, for whoever owns the installation
    "GET /subscribers": OWNER,
    "GET /subscribers/refunds": OWNER,
    "GET /subscribers/refund": OWNER,
    "POST /subscribers/refund": OWNER,
    "GET /v1/subscribers": OWNER,
    "GET /v1/refunds": OWNER,
    "POST /v1/subscribers/{party}/refunds/settle": OWNER,
    # one's own account
    "GET /subscriber": OWN,
    "GET /subscriber/{party}": OWN,
    "GET /subscriber/{party}/now": OWN,
    "GET /subscriber/{party}/sessions": OWN,
    "GET /subscriber/{party}/sessions/{session}": OWN,
    "GET /subscriber/{party}/receipts": OWN,
    "GET /subscriber/{party}/bill": OWN,
    "GET /subscriber/{party}/connect": OWN,
    "GET /subscriber/{party}/money": OWN,
    "GET /subscriber/{party}/safety": OWN,
    "POST /subscriber/{party}/cap": OWN_ACT,
    "POST /subscriber/{party}/refund": OWN_ACT,
    "POST /subscriber/{party}/connect": OWN_ACT,
    "POST /subscriber/{party}/lost": OWN_ACT,
    "POST /subscriber/{party}/export": OWN_ACT,
    "POST /subscriber/{party}/erase": OWN_ACT,
    "GET /v1/subscribers/{party}": OWN,
    "GET /v1/subscribers/{party}/money": OWN,
    "GET /v1/subscribers/{party}/price": OWN,
    "GET /v1/subscribers/{party}/devices": OWN,
    "GET /v1/subscribers/{party}/sessions": OWN,
    "GET /v1/subscribers/{party}/sessions/{session}": OWN,
    "GET /v1/subscribers/{party}/receipts": OWN,
    "GET /v1/subscribers/{party}/receipts.zip": OWN,
    "GET /v1/subscribers/{party}/bill": OWN,
    "POST /v1/subscribers/{party}/cap": OWN,
    "POST /v1/subscribers/{party}/refunds": OWN,
    "POST /v1/subscribers/{party}/links": OWN,
    "POST /v1/subscribers/{party}/lost": OWN,
    "POST /v1/subscribers/{party}/export": OWN,
    "POST /v1/subscribers/{party}/erase": OWN,
}
"""The table: method and path of a route, and who may."""

SHARED: Final = frozenset(
    f"POST {path}"
    for path in (
        "/subscriber/{party}/lost",
        "/subscriber/{party}/erase",
        "/v1/subscribers/{party}/lost",
        "/v1/subscribers/{party}/erase",
        *(
            f"{api}/people{act}"
            for api in ("", "/v1")
            for act in ("", "/{account}/link", "/{account}/give", "/{account}/take")
        ),
    )
)
"""What no visitor of a demo may do: all the others look at what it would take away for good."""

NEEDING_A_KEY: Final = frozenset(
    {"POST /v1/cycles/close"} | {name for name in RIGHTS if name.startswith("POST /v1/channels/")}
)
"""Routes that nobody may ask without an Idempotency-Key."""


def is_repeatable(name: str) -> bool:
    """Say whether a route may be asked the same again: what it says decides what it is."""
    return RIGHTS[name].repeatable


def needs_key(name: str) -> bool:
    """Say whether a route is asked with an Idempotency-Key only."""
    return name in NEEDING_A_KEY
