# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Double of the stable token
@license Apache-2.0
@notice Makes and moves tokens for anybody, without allowances, pause or freeze, for tests of
        whoever holds tokens.
"""

from ethereum.ercs import IERC20

balanceOf: public(HashMap[address, uint256])
totalSupply: public(uint256)


@external
def mint(account: address, amount: uint256):
    """
    @notice Makes tokens.
    @param account For whom.
    @param amount How many.
    """
    self.balanceOf[account] += amount
    self.totalSupply += amount
    log IERC20.Transfer(sender=empty(address), receiver=account, value=amount)


@external
def transfer(receiver: address, amount: uint256) -> bool:
    """
    @notice Moves the caller's tokens.
    @param receiver Who gets them.
    @param amount How many.
    @return bool Always true.
    """
    self._move(msg.sender, receiver, amount)
    return True


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    """
    @notice Moves anybody's tokens.
    @param sender Whose.
    @param receiver Who gets them.
    @param amount How many.
    @return bool Always true.
    """
    self._move(sender, receiver, amount)
    return True


@internal
def _move(sender: address, receiver: address, amount: uint256):
    """
    @dev As many as there are.
    """
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log IERC20.Transfer(sender=sender, receiver=receiver, value=amount)
