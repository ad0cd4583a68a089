# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Values of the past, by time
@license Apache-2.0
@notice Each key has a history that only grows: what its value was in a finished second
        never changes. The last value pushed in a second is that second's.
@dev One word holds a time (48 bits) above a value (208 bits).
"""

VALUE_BITS: constant(uint256) = 208
VALUE_END: constant(uint256) = 1 << 208

# A search halves what is left; no chain has room for 2**64 entries.
SEARCH_STEPS: constant(uint256) = 64

# What was set, and when; zeros before anything was.
struct Checkpoint:
    at: uint256
    content: uint256


counts: HashMap[bytes32, uint256]
words: HashMap[bytes32, HashMap[uint256, uint256]]


@internal
def _push(key: bytes32, new_value: uint256):
    """
    @dev Sets the value from now on; the caller keeps it below 2**208.
    """
    count: uint256 = self.counts[key]
    if count == 0 or self.words[key][count - 1] >> VALUE_BITS != block.timestamp:
        self.counts[key] = count + 1
        count += 1
    self.words[key][count - 1] = (block.timestamp << VALUE_BITS) | new_value


@internal
@view
def _count(key: bytes32) -> uint256:
    """
    @dev How many checkpoints a key has; a second has one at most.
    """
    return self.counts[key]


@internal
@view
def _latest(key: bytes32) -> Checkpoint:
    """
    @dev The last checkpoint.
    """
    return self._before(key, self.counts[key])


@internal
@view
def _in_past(key: bytes32, timepoint: uint256) -> Checkpoint:
    """
    @dev The last checkpoint at or before a finished second.
    """
    assert timepoint < block.timestamp, "timepoint: not past"
    low: uint256 = 0
    high: uint256 = self.counts[key]
    for _: uint256 in range(SEARCH_STEPS):
        if low == high:
            break
        middle: uint256 = (low + high) // 2
        if self.words[key][middle] >> VALUE_BITS > timepoint:
            high = middle
        else:
            low = middle + 1
    return self._before(key, low)


@internal
@view
def _before(key: bytes32, place: uint256) -> Checkpoint:
    """
    @dev The checkpoint in front of a place.
    """
    if place == 0:
        return empty(Checkpoint)
    word: uint256 = self.words[key][place - 1]
    return Checkpoint(at=word >> VALUE_BITS, content=word & (VALUE_END - 1))
