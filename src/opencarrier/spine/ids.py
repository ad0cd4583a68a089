"""How each id of the spine is derived from its parent and from all that decides its content."""

from __future__ import annotations

from collections.abc import Sequence

from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.spine.money import Kind, Net
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Counters, Rung, Status

SETTLEMENT_TYPEHASH = keccak(
    b"Settlement(address token,bytes32 cycle_id,bytes32 records_root,uint8 netting_mode,"
    b"bytes32 nets_hash,bytes32 rewards_root,uint256 rewards_amount)"
)

NET_BITS = 96
"""A net's amount is an int96 below the member's address, both in one word."""


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


def reported_usage_id(source_kind: str, reporter: PartyId, session_key: str, sequence: int) -> Id:
    """Name a usage that a file reports without counters, by its place in the reporter's sequence.

    `session_key` is what the reporter calls the session, `source_kind` the form it wrote (`tap`).
    """
    return derive("usage/reported", source_kind, reporter, session_key, sequence)


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


def net_word(net: Net) -> int:
    """Return a net as the contract takes it: the member's address above, the amount below."""
    assert -(1 << NET_BITS - 1) <= net.amount_minor < 1 << NET_BITS - 1, "an int96"
    return int(net.address, 16) << NET_BITS | net.amount_minor % (1 << NET_BITS)


def net_of_word(word: int) -> Net:
    """Read a net from the contract's word."""
    amount = word % (1 << NET_BITS)
    negative = amount >> NET_BITS - 1
    return Net(
        address=Address(f"0x{word >> NET_BITS:040x}"),
        amount_minor=amount - (negative << NET_BITS),
    )


def nets_hash(nets: Sequence[Net]) -> bytes:
    """Return keccak256(abi.encode(uint256[])) of the nets' words as the contract computes it."""
    words = [32, len(nets), *(net_word(net) for net in nets)]
    return keccak(b"".join(word.to_bytes(32, "big") for word in words))


def settlement_id(
    cycle: Id,
    *,
    token: Address,
    records_root: bytes,
    netting_mode: int,
    nets: Sequence[Net],
    rewards_root: bytes,
    rewards_minor: int,
) -> Id:
    """Name a settlement by its content alone, as the contract does: no chain, no contract."""
    words = (
        SETTLEMENT_TYPEHASH,
        bytes(12) + bytes.fromhex(token[2:]),
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
