"""The key that device and home derive from the EMSK, and the access point cannot (RFC 5295)."""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest

from opencarrier.access.session_key import LABEL, session_key

EMSK = bytes(range(64))


def test_it_is_prf_plus_of_the_emsk_over_label_and_length() -> None:
    """RFC 5295 section 3.1.2 with the PRF+ of RFC 4306, written out."""
    seed = LABEL + b"\x00" + b"\x00\x40"
    first = hmac.new(EMSK, seed + b"\x01", sha256).digest()
    second = hmac.new(EMSK, first + seed + b"\x02", sha256).digest()
    assert session_key(EMSK) == first + second


def test_another_emsk_is_another_key_and_an_msk_half_is_none() -> None:
    assert session_key(EMSK) != session_key(EMSK[::-1])
    with pytest.raises(AssertionError, match="64 octets"):
        session_key(EMSK[:32])
