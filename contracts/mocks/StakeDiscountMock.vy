# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Double of the stake for discount
@license Apache-2.0
@notice Answers what it was told to, for tests of whoever reads discounts or votes.
"""

discounts: HashMap[address, uint256]
votes: HashMap[address, uint256]
supply: uint256


@external
def set_discount(account: address, discount_ppm: uint256):
    """
    @notice Has a discount from now on, at all times.
    @param account Whose.
    @param discount_ppm In millionths of a price; nothing checks it.
    """
    self.discounts[account] = discount_ppm


@external
def set_votes(account: address, amount: uint256):
    """
    @notice Has a weight from now on, at all times; the supply follows.
    @param account Whose.
    @param amount In the token's unit.
    """
    self.supply = self.supply + amount - self.votes[account]
    self.votes[account] = amount


@external
@view
def discount_ppm_at(account: address, timepoint: uint256) -> uint256:
    """
    @notice Tells an account's discount.
    @param account Whose.
    @param timepoint When; not looked at.
    @return uint256 The discount in millionths.
    """
    return self.discounts[account]


@external
@view
def getPastVotes(account: address, timepoint: uint256) -> uint256:
    """
    @notice Tells an account's weight.
    @param account Whose.
    @param timepoint When; not looked at.
    @return uint256 The weight.
    """
    return self.votes[account]


@external
@view
def getPastTotalSupply(timepoint: uint256) -> uint256:
    """
    @notice Tells the sum of all weights.
    @param timepoint When; not looked at.
    @return uint256 The sum.
    """
    return self.supply


@external
@view
def clock() -> uint48:
    """
    @notice Tells the block's time.
    @return uint48 In seconds.
    """
    return convert(block.timestamp, uint48)


@external
@pure
def CLOCK_MODE() -> String[14]:
    """
    @notice Tells how time is counted.
    @return String In seconds.
    """
    return "mode=timestamp"
