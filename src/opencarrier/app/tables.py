"""Every room's tables, for the migrations; only this module and `bootstrap` name them all.

The metadata of `identity` is that of `identity.store`, filled by `places` too.
"""

from __future__ import annotations

from opencarrier.access.hub import store as access
from opencarrier.access.meters import tables as meters
from opencarrier.access.orders import store as orders
from opencarrier.app import answers
from opencarrier.bans import store as bans
from opencarrier.chain import tables as chain
from opencarrier.channels import store as channels
from opencarrier.charging import store as charging
from opencarrier.clearing import store as clearing
from opencarrier.clearing.disputes import service as disputes
from opencarrier.clearing.exchange import partners, told
from opencarrier.clearing.exchange import store as exchange
from opencarrier.identity import node_enrolment
from opencarrier.identity.accounts import store as accounts
from opencarrier.identity.places import store as identity
from opencarrier.ledger import store as ledger
from opencarrier.paywall import store as paywall
from opencarrier.rating import store as rating
from opencarrier.rewards import store as rewards
from opencarrier.routing import store as routing
from opencarrier.settlement import store as settlement
from opencarrier.staking import store as staking
from opencarrier.usage import tables as usage
from opencarrier.webhooks import store as webhooks

METADATA = [
    room.metadata
    for room in (
        access,
        accounts,
        answers,
        bans,
        chain,
        channels,
        charging,
        clearing,
        disputes,
        exchange,
        identity,
        ledger,
        meters,
        node_enrolment,
        orders,
        partners,
        paywall,
        rating,
        rewards,
        routing,
        settlement,
        staking,
        told,
        usage,
        webhooks,
    )
]
