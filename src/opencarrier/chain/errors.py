"""What a chain may answer instead of a result, as few exceptions as callers need to tell apart."""

from __future__ import annotations

from opencarrier.kernel.keccak import keccak

ERROR_SELECTOR = bytes.fromhex("08c379a0")
PANIC_SELECTOR = bytes.fromhex("4e487b71")

X402_ERRORS = (
    "InvalidChannel()",
    "ZeroDeposit()",
    "DepositOverflow()",
    "InvalidSignature()",
    "NotReceiverAuthorizer()",
    "NotAuthorizedToClaim()",
    "NotAuthorizedToRefund()",
    "ClaimExceedsCeiling()",
    "ClaimExceedsBalance()",
    "WithdrawalAlreadyPending()",
    "WithdrawalNotPending()",
    "NotAuthorizedToFinalizeWithdraw()",
    "WithdrawDelayNotElapsed()",
    "NothingToWithdraw()",
    "WithdrawAmountExceedsAvailable()",
    "WithdrawDelayOutOfRange()",
    "EmptyBatch()",
    "DepositCollectionFailed()",
    "InvalidCollector()",
    "InvalidRefundNonce()",
    "ZeroRefund()",
    "ECDSAInvalidSignature()",
    "ECDSAInvalidSignatureLength(uint256)",
    "ECDSAInvalidSignatureS(bytes32)",
    "SafeERC20FailedOperation(address)",
    "OnlyX402BatchSettlement()",
    "InvalidX402BatchSettlementAddress()",
)
"""Custom errors of x402's contracts and so of their twins, as the selectors are made of them."""

_NAMED = {keccak(error.encode())[:4]: error.partition("(")[0] for error in X402_ERRORS}


class ChainError(Exception):
    """Base of everything the chain room raises."""


class ChainUnavailableError(ChainError):
    """The endpoint did not answer in time or in form.

    `outcome_unknown` is true where a transaction may have been accepted all the same: sending
    the same octets again is safe, forgetting them is not.
    """

    def __init__(self, detail: str, *, outcome_unknown: bool) -> None:
        super().__init__(detail)
        self.outcome_unknown = outcome_unknown


class ChainRefusedError(ChainError):
    """The endpoint answered with a JSON-RPC error: its code, message and data (hex), if any."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code
        self.message = message
        self.data = data


class RevertedError(ChainError):
    """The EVM reverted a call: the returned `data`, and `reason` where the data spells one."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reason = revert_reason(data)
        super().__init__(self.reason or (f"reverted with 0x{data.hex()}" if data else "reverted"))


class ChainMismatchError(ChainError):
    """The endpoint is another chain than the configured or remembered one."""


class QuorumBrokenError(ChainError):
    """Two endpoints of one chain differ on what is final: one of them lies, a person must look."""


class NodeLockedError(ChainError):
    """Another process has the embedded chain's file open; one writer only."""


class NodeCorruptError(ChainError):
    """The embedded chain's file does not hold what its head needs; restore a backup."""


def revert_reason(data: bytes) -> str | None:
    """Return the text of `Error(string)`, the code of `Panic(uint256)` or an x402 error's name.

    Source: Solidity ABI specification, "Error handling". Other and malformed data is None.
    """
    if data[:4] == PANIC_SELECTOR and len(data) == 36:
        return f"panic 0x{int.from_bytes(data[4:], 'big'):02x}"
    if data[:4] != ERROR_SELECTOR or len(data) < 68:
        return _NAMED.get(data[:4])
    offset = int.from_bytes(data[4:36], "big")
    length = int.from_bytes(data[36:68], "big")
    if offset != 32 or length > len(data) - 68:
        return None
    return data[68 : 68 + length].decode("utf-8", "replace")
