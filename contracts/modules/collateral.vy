# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Money in and out of a clearing house
@license Apache-2.0
@notice Anybody deposits for a member; a member leaves by request, notice and withdrawal.
        Nobody is ever pushed money, and nothing here can be paused.
"""

from ethereum.ercs import IERC20

from ..interfaces import IClearingHouse

# @dev Balances and totals.
from . import accounts

uses: accounts

NOTICE_MAX_S: constant(uint256) = 90 * 86400

notice_s: public(immutable(uint256))

withdrawal_of: public(HashMap[address, HashMap[address, IClearingHouse.Withdrawal]])


@deploy
def __init__(notice_s_: uint256):
    """
    @param notice_s_ Seconds between the request of a withdrawal and its payment.
    """
    assert notice_s_ <= NOTICE_MAX_S, "terms: too long"
    notice_s = notice_s_


@external
def deposit(token: address, member: address, amount: uint256):
    """
    @notice Adds collateral to a member's balance from the caller's tokens.
    @param token The token.
    @param member Whose balance grows.
    @param amount How much, in the token's unit; approved to this contract before.
    """
    assert accounts._is_member(token, member), "deposit: not member"
    assert amount != 0, "amount: zero"
    balance: uint256 = accounts._credit(token, member, amount)
    accounts._add_total(token, amount)
    log IClearingHouse.Deposited(
        token=token, member=member, payer=msg.sender, amount=amount, balance=balance
    )
    held: uint256 = staticcall IERC20(token).balanceOf(self)
    assert extcall IERC20(token).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "token: refused"
    assert staticcall IERC20(token).balanceOf(self) == held + amount, "deposit: other amount"


@external
def request_withdrawal(token: address, amount: uint256):
    """
    @notice Gives notice of a withdrawal. Until it is paid the amount can still be debited,
            but it is no longer collateral for new credit (`free_balance`).
    @param token The token.
    @param amount How much; the payment is the smaller of this and the balance then.
    """
    assert amount != 0, "amount: zero"
    assert self.withdrawal_of[token][msg.sender].amount == 0, "withdrawal: already requested"
    ready_at: uint256 = block.timestamp + notice_s
    self.withdrawal_of[token][msg.sender] = IClearingHouse.Withdrawal(
        amount=amount, ready_at=ready_at
    )
    log IClearingHouse.WithdrawalRequested(
        token=token, member=msg.sender, amount=amount, ready_at=ready_at
    )


@external
def cancel_withdrawal(token: address):
    """
    @notice Takes the caller's request back.
    @param token The token.
    """
    assert self.withdrawal_of[token][msg.sender].amount != 0, "withdrawal: not requested"
    self.withdrawal_of[token][msg.sender] = empty(IClearingHouse.Withdrawal)
    log IClearingHouse.WithdrawalCancelled(token=token, member=msg.sender)


@external
def withdraw(token: address) -> uint256:
    """
    @notice Pays the caller's request once its notice has passed; no pause stops it.
    @param token The token.
    @return uint256 What was paid.
    """
    request: IClearingHouse.Withdrawal = self.withdrawal_of[token][msg.sender]
    assert request.amount != 0, "withdrawal: not requested"
    assert block.timestamp >= request.ready_at, "withdrawal: notice"
    amount: uint256 = min(request.amount, accounts._balance(token, msg.sender))
    self.withdrawal_of[token][msg.sender] = empty(IClearingHouse.Withdrawal)
    balance: uint256 = accounts._debit(token, msg.sender, amount)
    accounts.tokens[token] -= amount
    log IClearingHouse.Withdrawn(
        token=token, member=msg.sender, amount=amount, balance=balance
    )
    self._pay(token, msg.sender, amount)
    return amount


@external
@view
def free_balance(token: address, member: address) -> uint256:
    """
    @notice What still backs new credit: the balance less a requested withdrawal.
    @param token The token.
    @param member Whose balance.
    @return uint256 The amount, in the token's unit.
    """
    balance: uint256 = accounts._balance(token, member)
    return balance - min(self.withdrawal_of[token][member].amount, balance)


@internal
def _pay(token: address, receiver: address, amount: uint256):
    """
    @dev Tokens leave; nothing is asked of the token where nothing is due.
    """
    if amount != 0:
        assert extcall IERC20(token).transfer(
            receiver, amount, default_return_value=True
        ), "token: refused"
