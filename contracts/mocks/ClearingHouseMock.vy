# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Double of the clearing house
@license Apache-2.0
@notice Funds and publishes whatever it is told to, for tests of distributors.
"""

from ethereum.ercs import IERC20


interface IDistributor:
    def publish(token: address, cycle_id: bytes32, root: bytes32, amount: uint256): nonpayable


balances: HashMap[address, HashMap[address, uint256]]


@external
def set_balance(token: address, member: address, amount: uint256):
    """
    @notice Has a balance from now on.
    @param token In which token.
    @param member Whose.
    @param amount In the token's unit; nothing backs it.
    """
    self.balances[token][member] = amount


@external
@view
def balance_of(token: address, member: address) -> uint256:
    """
    @notice Tells a member's balance.
    @param token In which token.
    @param member Whose.
    @return uint256 The amount.
    """
    return self.balances[token][member]


@external
def fund(
    distributor: address, token: address, cycle_id: bytes32, root: bytes32, amount: uint256
):
    """
    @notice Sends tokens it holds to a distributor and publishes a root there.
    @param distributor Which distributor.
    @param token Which token.
    @param cycle_id The cycle.
    @param root The root.
    @param amount How many.
    """
    assert extcall IERC20(token).transfer(distributor, amount), "token: refused"
    extcall IDistributor(distributor).publish(token, cycle_id, root, amount)
