# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Double of the payment channels
@license Apache-2.0
@notice Asks a collector for a deposit as the channels do, for tests of collectors. It keeps
        no channel and looks at nothing.
"""


interface IDepositCollector:
    def collect(
        payer: address,
        token: address,
        amount: uint256,
        channelId: bytes32,
        collectorData: Bytes[2048],
    ): nonpayable


@external
def ask(
    collector: address,
    payer: address,
    token: address,
    amount: uint256,
    channel_id: bytes32,
    collector_data: Bytes[2048],
):
    """
    @notice Has a collector fetch a payer's tokens.
    @param collector Which collector.
    @param payer Whose tokens.
    @param token Which token.
    @param amount How many.
    @param channel_id For which channel.
    @param collector_data What the collector needs.
    """
    extcall IDepositCollector(collector).collect(payer, token, amount, channel_id, collector_data)
