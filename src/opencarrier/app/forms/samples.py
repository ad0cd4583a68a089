"""Ids, addresses and signatures for examples: of the right form, of nothing."""

from __future__ import annotations

from typing import Final

from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.signatures import Address

ASSET: Final = "eip155:31337/erc20:0x0248740b33015cbd79c92a7d5eaa9296a3ed1b88"
ADDRESS: Final = Address("0xb3ba46d69794ca029e0fe53efe8a88f83d56d7d2")
OPERATOR: Final = "op_0b47eb58c152fd8c18eea67007e7858d"
HOME: Final = "op_41cd4c6b2aeb3dc800e9f7dfa2a1e9d8"
HOST: Final = "host_942b712910d7730f72d427dbf1ac218b"
SUBSCRIBER: Final = "sub_6f1c1d0c3b0a4c5e9d8f7a6b5c4d3e2f"
ACCOUNT: Final = "acct_3f2a9c4e5b6d7081a2b3c4d5e6f70819"
SIGNATURE: Final = "0x" + "1b" * 65
AT_US: Final = 1_767_603_600_000_000
"""5 January 2026, 09:00 UTC."""

ID_PATTERN: Final = "^0x[0-9a-f]{64}$"


def hex_id(number: int) -> str:
    """Return an id of 32 octets in hex."""
    return to_hex(Id(bytes([number]) * 32))
