"""What is signed beside x402's vouchers: a device's acknowledgement of use, a receiver's lease.

EIP-712 in a signing domain of our own, so that no voucher is ever an ack and no ack money.
"""

from __future__ import annotations

from functools import lru_cache

from opencarrier.chain.typed_data import ChannelConfig, SigningDomain, channel_id
from opencarrier.chain.typed_data.base import struct_hash
from opencarrier.channels.model import ChannelVenue, Lease, UsageAck
from opencarrier.kernel.ids import Id
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

NAME = "opencarrier Channels"
VERSION = "1"

USAGE_ACK_TYPE_HASH = keccak(
    b"UsageAck(bytes32 session_id,uint64 sequence,uint64 octets_in,uint64 octets_out,"
    b"uint64 duration_s,bytes32 tariff_hash,bytes32 channel_id,uint128 cumulative)"
)
LEASE_TYPE_HASH = keccak(
    b"Lease(bytes32 channel_id,uint64 number,string node,uint128 floor,uint128 ceiling,"
    b"uint64 expires)"
)


@lru_cache(maxsize=64)
def acks_domain(venue: ChannelVenue) -> SigningDomain:
    """Return where acks and leases count: beside the channels of one contract on one chain."""
    return acks_domain_at(venue.chain_id, venue.contract)


def acks_domain_at(chain_id: int, contract: Address) -> SigningDomain:
    """Return where acks and leases count beside one contract."""
    return SigningDomain(name=NAME, version=VERSION, chain_id=chain_id, contract=contract)


def channel_id_of(venue: ChannelVenue, config: ChannelConfig) -> Id:
    """Return the id of a channel of the venue."""
    return Id(channel_id(venue.domain, config))


def ack_digest(domain: SigningDomain, ack: UsageAck) -> bytes:
    """Return what a device signs to acknowledge use."""
    return domain.digest(
        struct_hash(
            USAGE_ACK_TYPE_HASH,
            ack.session_id,
            ack.sequence,
            ack.octets_in,
            ack.octets_out,
            ack.duration_s,
            ack.tariff_hash,
            ack.channel_id,
            ack.cumulative_minor,
        )
    )


def lease_digest(domain: SigningDomain, lease: Lease) -> bytes:
    """Return what a channel's receiver signs to let one node take its vouchers."""
    return domain.digest(
        struct_hash(
            LEASE_TYPE_HASH,
            lease.channel_id,
            lease.number,
            keccak(lease.node_id.encode()),
            lease.floor_minor,
            lease.ceiling_minor,
            lease.expires_s,
        )
    )
