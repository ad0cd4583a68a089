# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Double of a collector of deposits
@license Apache-2.0
@notice Takes what the payer has allowed it to, whatever the channel, for tests of channels.
"""

from ethereum.ercs import IERC20


@external
def collect(
    payer: address, token: address, amount: uint256, channelId: bytes32, collectorData: Bytes[32]
):
    """
    @notice Moves a payer's tokens to the caller.
    @param payer Whose tokens.
    @param token Which token.
    @param amount How many.
    @param channelId The channel; not looked at.
    @param collectorData Not looked at.
    """
    assert extcall IERC20(token).transferFrom(payer, msg.sender, amount), "token: refused"
