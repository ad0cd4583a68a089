# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Transfers of tokens that may answer nothing
@license Apache-2.0
@notice A token says true, says nothing, or the transfer did not happen.
"""

from ethereum.ercs import IERC20


@internal
def _pay(token: address, receiver: address, amount: uint256):
    """
    @dev Sends this contract's tokens.
    """
    if not extcall IERC20(token).transfer(receiver, amount, default_return_value=True):
        raw_revert(abi_encode(token, method_id=method_id("SafeERC20FailedOperation(address)")))
