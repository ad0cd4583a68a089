# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Owner with a two-step hand-over
@license Apache-2.0
@notice A new owner must accept, so ownership cannot be lost to a mistyped address.
        Ownership cannot be renounced.
"""

event OwnershipTransferStarted:
    previous_owner: indexed(address)
    new_owner: indexed(address)


event OwnershipTransferred:
    previous_owner: indexed(address)
    new_owner: indexed(address)


owner: public(address)
pending_owner: public(address)


@deploy
def __init__(owner_: address):
    """
    @param owner_ The first owner.
    """
    assert owner_ != empty(address), "owner: zero"
    self.owner = owner_
    log OwnershipTransferred(previous_owner=empty(address), new_owner=owner_)


@external
def transfer_ownership(new_owner: address):
    """
    @notice Offers ownership; the zero address withdraws an offer.
    @param new_owner Who may accept.
    """
    self._check_owner()
    self.pending_owner = new_owner
    log OwnershipTransferStarted(previous_owner=self.owner, new_owner=new_owner)


@external
def accept_ownership():
    """
    @notice Takes ownership that was offered to the caller.
    """
    assert msg.sender == self.pending_owner, "owner: not offered"
    previous: address = self.owner
    self.owner = msg.sender
    self.pending_owner = empty(address)
    log OwnershipTransferred(previous_owner=previous, new_owner=msg.sender)


@internal
@view
def _check_owner():
    """
    @dev Refuses everybody but the owner.
    """
    assert msg.sender == self.owner, "owner: not caller"
