"""Links by which a node's agent enters itself: each for one node, once, hashed at rest.

A token has 256 bits, so its plain hash tells nothing of it. A link is the first key's that used it:
until it is over that one may ask again. Unknown, over and another's are one answer.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from opencarrier.identity import store
from opencarrier.identity.places.rules import read_place
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import PartyId

TOKEN_OCTETS = 32
TTL_S = 3_600
OPEN_MAX = 8
"""Of one host's links that are neither used nor over."""

metadata = MetaData()

links = Table(
    "identity_node_enrolment",
    metadata,
    Column("token_sha256", LargeBinary(32), primary_key=True),
    Column("node_id", String(64), nullable=False),
    Column("host", String(48), nullable=False, index=True),
    Column("operator", String(48), nullable=False),
    Column("place", String(32), nullable=False),
    Column("expires_us", BigInteger, nullable=False, index=True),
    Column("used_by", String(42), nullable=True),
)
"""Links by which nodes' agents enter themselves; a token is kept as its hash."""

_NAME = re.compile(r"[\x21-\x7e]{1,63}")
"""What an agent's settings take as a name."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class NodeEnrolmentReason(Reason):
    """Why a link is not made or leads nowhere, in order of precedence."""

    INVALID_NAME = 1
    INVALID_PLACE = 2
    NODE_TAKEN = 3
    TOO_MANY = 4
    UNKNOWN_TOKEN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEnrolment:
    """The node that a link enters: whose it is, whom it serves for, where; `place` may be empty.

    `used_by` is the key it entered already, None before.
    """

    node_id: str
    host: PartyId
    operator: PartyId
    place: str
    expires_us: int
    used_by: Address | None = None


class NodeEnrolments:
    """Makes links and uses them up; each call stands in the caller's unit."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy

    def open(
        self, unit: Connection, *, node_id: str, host: PartyId, operator: PartyId, place: str
    ) -> tuple[str, NodeEnrolment] | Refusal:
        """Return a token and what it enters; the token itself is kept nowhere.

        The caller has seen that the host may have nodes of the operator.
        """
        now_us = self._clock.now_us()
        unit.execute(delete(links).where(links.c.expires_us <= now_us))
        refusal = self._objection(unit, node_id, host, operator, place)
        if refusal is not None:
            return refusal
        token = urlsafe_b64encode(self._entropy.octets("node-enrolment", TOKEN_OCTETS)).decode()[
            :43
        ]
        made = NodeEnrolment(
            node_id=node_id,
            host=host,
            operator=operator,
            place=place,
            expires_us=now_us + TTL_S * SECOND_US,
        )
        unit.execute(
            insert(links).values(
                token_sha256=_digest(token),
                **{name: getattr(made, name) for name in NodeEnrolment.__slots__},
            )
        )
        return token, made

    def use(self, unit: Connection, token: str, kid: Address) -> NodeEnrolment | Refusal:
        """Use a token up by a key and return what it enters, to that key again what it entered.

        Of two keys at once one is refused. The caller has seen that the key signed for it.
        """
        refusal = Refusal(NodeEnrolmentReason.UNKNOWN_TOKEN)
        if not _TOKEN.fullmatch(token):
            return refusal
        mine = links.c.token_sha256 == _digest(token)
        row = unit.execute(select(links).where(mine)).one_or_none()
        if row is None or row.expires_us <= self._clock.now_us():
            return refusal
        if row.used_by not in (None, kid):
            return refusal
        first = update(links).where(mine, links.c.used_by.is_(None)).values(used_by=kid)
        if row.used_by is None and unit.execute(first).rowcount != 1:
            return refusal
        return NodeEnrolment(
            node_id=row.node_id,
            host=PartyId(row.host),
            operator=PartyId(row.operator),
            place=row.place,
            expires_us=row.expires_us,
            used_by=row.used_by,
        )

    def _objection(
        self, unit: Connection, node_id: str, host: PartyId, operator: PartyId, place: str
    ) -> Refusal | None:
        if not _NAME.fullmatch(node_id):
            return Refusal(NodeEnrolmentReason.INVALID_NAME)
        if place and isinstance(read_place(place, operator), Refusal):
            return Refusal(NodeEnrolmentReason.INVALID_PLACE)
        for column in ("node_id", "nas_identifier"):
            if store.node(unit, column=column, value=node_id) is not None:
                return Refusal(NodeEnrolmentReason.NODE_TAKEN)
        mine = select(func.count()).where(links.c.host == host, links.c.used_by.is_(None))
        if (unit.scalar(mine) or 0) >= OPEN_MAX:
            return Refusal(NodeEnrolmentReason.TOO_MANY, f"{OPEN_MAX} links are open")
        return None


def _digest(token: str) -> bytes:
    return sha256(b"opencarrier node enrolment " + token.encode()).digest()
