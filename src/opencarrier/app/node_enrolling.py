"""A node's agent enters itself by a link: its node, its key, its place, and how it reaches us.

What the agent shows is signed by the key it made: nobody enters a key that is another's. It reaches
us over UDP from the address it asked from, with a secret of its own. Where it ended before that
was written down it asks again with the same key, and is told the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.identity.model import IdentityReason
from opencarrier.identity.node_enrolment import NodeEnrolment, NodeEnrolmentReason
from opencarrier.identity.places.rules import read_place
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address, Signature, verify
from opencarrier.spine.nodes import join_digest

SECRET_OCTETS = 24


class JoinReason(Reason):
    """Why an agent is not entered, in order of precedence."""

    SIGNATURE = 1
    ADDRESS_TAKEN = 2
    KEY_TAKEN = 3


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Joined:
    """What an agent is told; `secret` is told once and kept sealed."""

    node_id: str
    nas_identifier: str
    auth_port: int
    acct_port: int
    secret: str


class _RefusedError(Exception):
    """Rolls the unit back: a link that did not lead to a node stays as it was."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def join(
    base: Installation, token: str, signature: Signature, *, source: str, ports: tuple[int, int]
) -> Joined | Refusal:
    """Enter the node that a link is for; whatever stands in the way leaves the link unused.

    Within the link's time the key that it entered is told the same once more.

    `ports` are those of RADIUS here: authentication, accounting.
    """
    if not verify(join_digest(token, signature.kid), signature):
        return Refusal(JoinReason.SIGNATURE)
    try:
        with base.store.write() as unit:
            found = base.identity.node_enrolments.use(unit, token, signature.kid)
            if isinstance(found, Refusal):
                return found
            tell = _entered if found.used_by is None else _told
            secret = tell(base, unit, found, signature.kid, source)
    except _RefusedError as error:
        return error.refusal
    return Joined(
        node_id=found.node_id,
        nas_identifier=found.node_id,
        auth_port=ports[0],
        acct_port=ports[1],
        secret=secret,
    )


def _told(
    base: Installation, unit: Connection, found: NodeEnrolment, kid: Address, source: str
) -> str:
    """Return the secret of an agent that was entered before, from the address it was entered at."""
    client = base.identity.directory.client(unit, source)
    if client is None or client.client_id != _client_id(kid):
        raise _RefusedError(Refusal(NodeEnrolmentReason.UNKNOWN_TOKEN))
    return client.secret.decode()


def _client_id(kid: Address) -> str:
    return f"agent {kid}"


def _entered(
    base: Installation, unit: Connection, found: NodeEnrolment, kid: Address, source: str
) -> str:
    """Enter node, key, place and client; return the client's secret."""
    identity = base.identity
    node = identity.register.add_node(
        unit, node_id=found.node_id, operator=found.operator, host=found.host
    )
    if isinstance(node, Refusal):
        raise _RefusedError(Refusal(NodeEnrolmentReason.NODE_TAKEN))
    taken = base.meters.add_key(unit, node.node_id, kid, at_us=base.clock.now_us())
    if taken is not None:
        raise _RefusedError(Refusal(JoinReason.KEY_TAKEN))
    if found.place:
        place = read_place(found.place, found.operator)
        assert not isinstance(place, Refusal), "a place was read when the link was made"
        unplaced = identity.places.put(unit, node.node_id, place)
        assert unplaced is None, unplaced
    secret = base.entropy.octets("node-secret", SECRET_OCTETS).hex()
    client = identity.clients.add(
        unit,
        prefix=source,
        operator=found.operator,
        secret=secret.encode(),
        client_id=_client_id(kid),
    )
    if isinstance(client, Refusal):
        assert client.reason is IdentityReason.PREFIX_TAKEN, client
        raise _RefusedError(Refusal(JoinReason.ADDRESS_TAKEN))
    return secret
