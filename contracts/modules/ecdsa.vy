# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Recovery of secp256k1 signers
@license Apache-2.0
@notice One accepted encoding per signature: 65 bytes `r || s || v` with `v` 27 or 28
        and `s` in the lower half of the curve order, so that a signature cannot be
        turned into a second valid one (EIP-2, appendix F of the Yellow Paper).
"""

# Half of the order of secp256k1, rounded down.
S_MAX: constant(bytes32) = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@internal
@pure
def _recover(digest: bytes32, signature: Bytes[65]) -> address:
    """
    @dev Returns the zero address for anything but one well-formed signature, so a
         caller must compare with a known signer that is not zero.
    """
    if len(signature) != 65:
        return empty(address)
    r: bytes32 = extract32(signature, 0)
    s: bytes32 = extract32(signature, 32)
    v: uint8 = convert(slice(signature, 64, 1), uint8)
    return self._recover_vrs(digest, v, r, s)


@internal
@pure
def _recover_vrs(digest: bytes32, v: uint8, r: bytes32, s: bytes32) -> address:
    """
    @dev As `_recover`, with the parts apart as ERC-2612 hands them over.
    """
    if convert(s, uint256) > convert(S_MAX, uint256) or (v != 27 and v != 28):
        return empty(address)
    return ecrecover(digest, v, r, s)


@internal
@pure
def _joined(v: uint8, r: bytes32, s: bytes32) -> Bytes[65]:
    """
    @dev The one accepted form of a signature that came in parts.
    """
    return concat(r, s, convert(v, bytes1))
