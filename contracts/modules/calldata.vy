# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Call data read where it lies
@license Apache-2.0
@notice A typed argument is copied into memory, and the room for its largest form is paid
        as soon as anything above it is touched. What is read here costs what is there.
        A position outside the call data reverts.
"""

# The longest sequence of bytes read, in bytes and in words.
LENGTH_MAX: constant(uint256) = 1024
WORDS_MAX: constant(uint256) = LENGTH_MAX // 32


@internal
@view
def _word(position: uint256) -> uint256:
    """
    @dev The 32 bytes at a position, as a number.
    """
    return extract32(slice(msg.data, position, 32), 0, output_type=uint256)


@internal
@view
def _bytes(position: uint256) -> Bytes[LENGTH_MAX]:
    """
    @dev The ABI's `bytes` at a position: a length, then words with the rest padded.
    """
    length: uint256 = self._word(position)
    words: bytes32[WORDS_MAX] = empty(bytes32[WORDS_MAX])
    for i: uint256 in range((length + 31) // 32, bound=WORDS_MAX):
        words[i] = convert(self._word(position + 32 + 32 * i), bytes32)
    return slice(abi_encode(words), 0, length)
