"""What stands in each Access reply, besides its Message-Authenticator and Proxy-State."""

from __future__ import annotations

from dataclasses import dataclass, field

from opencarrier.access import terms_token
from opencarrier.access.cui import chargeable_user_identity
from opencarrier.access.model import AccessKeys
from opencarrier.access.openroaming.attributes import Told, attributes_of, bandwidth, filter_id
from opencarrier.access.openroaming.obligations import FederationTerms
from opencarrier.access.openroaming.reasons import reply_message
from opencarrier.access.wire.authenticators import MPPE_SALT_OCTETS, mppe_keys
from opencarrier.access.wire.dictionary import TERMINATION_ACTION_RADIUS_REQUEST, Type
from opencarrier.access.wire.eap import EapCode, encode_eap
from opencarrier.access.wire.radius import Attribute, eap_message, integer, text
from opencarrier.kernel.entropy import Entropy
from opencarrier.spine.access import Grant
from opencarrier.spine.records import RcoiClass

Attributes = list[Attribute]

_CLASS, _STATE = int(Type.CLASS), int(Type.STATE)
_TERMINATION_ACTION = integer(Type.TERMINATION_ACTION, TERMINATION_ACTION_RADIUS_REQUEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The proven session an Access-Accept answers."""

    identifier: int
    realm: str
    request_authenticator: bytes
    msk: bytes = field(repr=False)
    secret: bytes = field(repr=False)


def challenge(octets: bytes, state: bytes) -> Attributes:
    """An EAP-Request for the peer, and the State that brings its response back here."""
    return [*eap_message(octets), (_STATE, state)]


def accept(
    grant: Grant,
    *,
    session: Accepted,
    keys: AccessKeys,
    terms: FederationTerms,
    entropy: Entropy,
) -> Attributes:
    """EAP-Success, link keys, three Class, pseudonyms, the limits of the grant, what it costs.

    User-Name is the pseudonym in the home's realm, so that accounting never carries the IMSI and
    still names the home where an access point drops Class (RFC 2865 section 5.1, RFC 4372). The
    first Class is sealed for us, the others say in clear what was agreed (`terms_token`).
    """
    cui = chargeable_user_identity(keys.cui_key, grant.subscriber, grant.visited)
    first = entropy.octets("access/mppe-salt", MPPE_SALT_OCTETS)
    salts = (first, bytes((first[0], first[1] ^ 1)))
    classes = (keys.ring.seal(grant, cui, entropy), *terms_token.classes(grant))
    return [
        *eap_message(encode_eap(EapCode.SUCCESS, session.identifier)),
        *mppe_keys(session.msk, session.secret, session.request_authenticator, salts),
        text(Type.USER_NAME, f"{cui}@{session.realm}"),
        *[(_CLASS, value) for value in classes],
        text(Type.CHARGEABLE_USER_IDENTITY, cui),
        integer(Type.SESSION_TIMEOUT, grant.session_timeout_s),
        _TERMINATION_ACTION,
        integer(Type.ACCT_INTERIM_INTERVAL, grant.interim_interval_s),
        *_agreed(grant, terms),
    ]


def _agreed(grant: Grant, terms: FederationTerms) -> Attributes:
    """What the access network may count on: service, rate, who clears, how fast."""
    cap = grant.rate_cap_octets_per_s
    settled = grant.offered.rcoi is RcoiClass.SETTLED
    attributes = filter_id(grant.offered.qos)
    if settled or grant.rate is not None or terms.name is not None:
        attributes += attributes_of(
            Told(
                financial_clearing=terms.financial_clearing if settled else None,
                data_clearing=terms.data_clearing if settled else None,
                rates=() if grant.rate is None else (grant.rate,),
                identity_provider=terms.name,
            )
        )
    return attributes if cap is None else attributes + bandwidth(cap)


def reject(reason: str, identifier: int) -> Attributes:
    """EAP-Failure and the reason, in words an operator's log may show and as WBA numbers it."""
    failure = encode_eap(EapCode.FAILURE, identifier)
    return [*eap_message(failure), reply_message(reason)]
