"""How each id of the spine is derived from its parent and from all that decides its content."""

from __future__ import annotations

from collections.abc import Sequence

from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.money import AssetId
from opencarrier.spine.money import Kind, Net
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Counters, Rung, Status

SETTLEMENT_TYPEHASH = keccak(
    b"Settlement(bytes32 cycle_id,bytes32 records_root,uint8 netting_mode,bytes32 nets_hash,"
    b"bytes32 rewards_root,uint256 rewards_amount)"
)


def session_id(authorisation_id: bytes, nas_key: str, acct_session_id: str) -> Id:
    """Name a session that the home authorised."""
    return derive("session", authorisation_id, nas_key, acct_session_id)


def weak_session_id(
    home: PartyId | None,
    visited: PartyId,
    nas_key: str,
    acct_session_id: str,
    *,
    epoch_us: int,
) -> Id:
    """Name a session whose Class was dropped: the access point's restart before it stands in."""
    return derive("session/weak", home, visited, nas_key, acct_session_id, epoch_us)


def observation_id(
    session_key: Id, reporter: PartyId, status: Status, counters: Counters | None
) -> Id:
    """Name an observation: copies of one packet are one observation, whatever way they came."""
    return derive("observation", session_key, reporter, int(status), _counters(counters))


def usage_id(session: Id, counters_from: Counters, counters_to: Counters) -> Id:
    """Name what a session used between two cuts."""
    return derive("usage", session, _counters(counters_from), _counters(counters_to))


def charge_id(
    usage: Id, kind: Kind, *, inputs_hash: bytes, rule_version: str, amount_minor: int
) -> Id:
    """Name a rated usage by everything rating read and what came out."""
    return derive("charge", usage, int(kind), inputs_hash, rule_version, amount_minor)


def cycle_id(domain: str, asset: AssetId, sequence: int) -> Id:
    """Name a cycle of a clearing domain; it carries no content, so two closings of it collide."""
    return derive("cycle", domain, asset, sequence)


def cut_id(cycle: Id, number: int) -> Id:
    """Name a cut of a cycle, counted from zero: the first is the cycle's own."""
    return derive("cut", cycle, number) if number else cycle


def position_id(
    cycle: Id,
    debtor: PartyId,
    creditor: PartyId,
    asset: AssetId,
    *,
    rung: Rung,
    pair_root: bytes,
    amount_minor: int,
) -> Id:
    """Name a position before netting, so that the netting mode never changes it."""
    return derive("position", cycle, debtor, creditor, asset, int(rung), pair_root, amount_minor)


def nets_hash(nets: Sequence[Net]) -> bytes:
    """Return keccak256(abi.encode((address,int256)[])) as the contract computes it."""
    words = [(32).to_bytes(32, "big"), len(nets).to_bytes(32, "big")]
    for net in nets:
        words.append(bytes(12) + bytes.fromhex(net.address[2:]))
        words.append(net.amount_minor.to_bytes(32, "big", signed=True))
    return keccak(b"".join(words))


def settlement_id(
    cycle: Id,
    *,
    records_root: bytes,
    netting_mode: int,
    nets: Sequence[Net],
    rewards_root: bytes,
    rewards_minor: int,
) -> Id:
    """Name a settlement by its content alone, as the contract does: no chain, no address."""
    words = (
        SETTLEMENT_TYPEHASH,
        cycle,
        records_root,
        netting_mode.to_bytes(32, "big"),
        nets_hash(nets),
        rewards_root,
        rewards_minor.to_bytes(32, "big"),
    )
    return Id(keccak(b"".join(words)))


def _counters(counters: Counters | None) -> list[int] | None:
    if counters is None:
        return None
    return [counters.session_time_s, counters.octets_in, counters.octets_out]
