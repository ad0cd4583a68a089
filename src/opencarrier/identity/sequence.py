"""SIM sequence numbers by the array scheme (TS 33.102 annex C) and the keys of EAP-AKA'."""

from __future__ import annotations

import hmac

from opencarrier.identity.milenage import SQN_MAX, SQN_OCTETS

IND_BITS = 5
"""Length of IND: the USIM remembers the last SEQ of each of 32 places (annex C.3.1)."""

PLACES = 1 << IND_BITS
SEQ_MAX = SQN_MAX >> IND_BITS

DELTA = 1 << 28
"""The USIM refuses a SEQ further ahead than this of the highest it took (annex C.2.1, C.3.1)."""

NETWORK_NAME_OCTETS_MAX = 253
"""A bound on the access network identity; AT_KDF_INPUT itself could carry 1016 octets."""

_FC_CK_IK_PRIME = b"\x20"


def following(sqn: int) -> int | None:
    """Return the sequence number after `sqn`: SEQ one up, IND one on; None where SEQ ends.

    IND runs round the places, so up to 32 vectors may be used in any order and all be taken.
    Source: TS 33.102 annex C.1.1.2 and C.1.2.
    """
    assert 0 <= sqn <= SQN_MAX
    seq, ind = sqn >> IND_BITS, sqn % PLACES
    if seq == SEQ_MAX:
        return None
    return (seq + 1) << IND_BITS | (ind + 1) % PLACES


def acceptable(sqn: int, highest_sqn: int) -> bool:
    """Say whether a USIM that took `highest_sqn` last surely takes `sqn`: ahead, not too far."""
    ahead = (sqn >> IND_BITS) - (highest_sqn >> IND_BITS)
    return 0 < ahead <= DELTA


def resynchronised(sqn: int, sqn_ms: int) -> int:
    """Return where the home stands after an AUTS that proved `sqn_ms`.

    The home moves only if the USIM would refuse its next number: an old AUTS that comes again
    moves nothing back. Source: TS 33.102 section 6.3.5, steps (3) to (5).
    """
    upcoming = following(sqn)
    if upcoming is not None and acceptable(upcoming, sqn_ms):
        return sqn
    return sqn_ms


def prime_keys(ck: bytes, ik: bytes, *, network_name: bytes, autn: bytes) -> tuple[bytes, bytes]:
    """Bind CK and IK to the access network's name: return (CK', IK'), 16 octets each.

    HMAC-SHA-256 under CK | IK over FC=0x20 | name | its length | SQN xor AK | 0x0006; SQN xor AK
    is the head of AUTN. Source: TS 33.402 annex A.2, RFC 9048 section 3.3.
    """
    assert len(ck) == len(ik) == 16
    assert len(autn) == 16
    assert 0 < len(network_name) <= NETWORK_NAME_OCTETS_MAX
    concealed_sqn = autn[:SQN_OCTETS]
    message = (
        _FC_CK_IK_PRIME
        + network_name
        + len(network_name).to_bytes(2, "big")
        + concealed_sqn
        + SQN_OCTETS.to_bytes(2, "big")
    )
    digest = hmac.digest(ck + ik, message, "sha256")
    return digest[:16], digest[16:]
