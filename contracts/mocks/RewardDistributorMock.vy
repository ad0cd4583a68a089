# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Double of the distributor of host entitlements
@license Apache-2.0
@notice Takes every root and keeps the last, for tests of whoever publishes. It pays nobody.
"""

clearing_house: public(address)
root: public(bytes32)
cycle_id: public(bytes32)
funded: public(HashMap[address, uint256])


@deploy
def __init__(clearing_house_: address):
    """
    @param clearing_house_ Who it says may publish; anybody may.
    """
    self.clearing_house = clearing_house_


@external
def publish(token: address, cycle_id: bytes32, root: bytes32, amount: uint256):
    """
    @notice Keeps what was published.
    @param token Which token.
    @param cycle_id The cycle.
    @param root The root.
    @param amount What came with it.
    """
    self.cycle_id = cycle_id
    self.root = root
    self.funded[token] += amount
