# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Ownership of numbered things (ERC-721)
@license Apache-2.0
@notice One owner for each token; the owner, whom it approved for the token, or whom it
        approved for all its tokens may move it. Nothing is enumerated.
@dev While a receiver is asked whether it takes a token, every function of the contract
     is shut, reading ones included.
"""

from ethereum.ercs import IERC165


interface IReceiver:
    def onERC721Received(
        operator: address, sender: address, token_id: uint256, data: Bytes[DATA_OCTETS_MAX]
    ) -> bytes4: nonpayable


event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    token_id: indexed(uint256)


event Approval:
    owner: indexed(address)
    approved: indexed(address)
    token_id: indexed(uint256)


event ApprovalForAll:
    owner: indexed(address)
    operator: indexed(address)
    approved: bool


implements: IERC165

# What a sender may tell a receiver.
DATA_OCTETS_MAX: constant(uint256) = 1024

INTERFACE_ERC165: constant(bytes4) = 0x01ffc9a7
INTERFACE_ERC721: constant(bytes4) = 0x80ac58cd
RECEIVED: constant(bytes4) = method_id("onERC721Received(address,address,uint256,bytes)", output_type=bytes4)

owners: HashMap[uint256, address]
balances: HashMap[address, uint256]
approvals: HashMap[uint256, address]
isApprovedForAll: public(HashMap[address, HashMap[address, bool]])


@deploy
def __init__():
    """
    @dev Nothing is owned at first.
    """
    pass


@external
@view
def supportsInterface(interface_id: bytes4) -> bool:
    """
    @notice Says which interfaces the contract has (ERC-165).
    @param interface_id The interface.
    @return bool Whether it has it.
    """
    return interface_id in [INTERFACE_ERC165, INTERFACE_ERC721]


@external
@view
def balanceOf(owner: address) -> uint256:
    """
    @notice Counts the tokens of an owner.
    @param owner Not the zero address.
    @return uint256 How many.
    """
    assert owner != empty(address), "erc721: zero address"
    return self.balances[owner]


@external
@view
def ownerOf(token_id: uint256) -> address:
    """
    @notice Names the owner of a token.
    @param token_id The token.
    @return address Its owner.
    """
    return self._owner_of(token_id)


@external
@view
def getApproved(token_id: uint256) -> address:
    """
    @notice Names who is approved for a token.
    @param token_id The token.
    @return address Who may move it beside its owner, zero for nobody.
    """
    self._owner_of(token_id)
    return self.approvals[token_id]


@external
def approve(approved: address, token_id: uint256):
    """
    @notice Lets somebody move one token until it has moved; its owner, or whom that one
            approved for all its tokens.
    @param approved Who may, zero for nobody.
    @param token_id The token.
    """
    owner: address = self._owner_of(token_id)
    assert msg.sender == owner or self.isApprovedForAll[owner][msg.sender], "erc721: not allowed"
    self.approvals[token_id] = approved
    log Approval(owner=owner, approved=approved, token_id=token_id)


@external
def setApprovalForAll(operator: address, approved: bool):
    """
    @notice Lets somebody move all tokens of the caller, or no longer.
    @param operator Who.
    @param approved Whether it may.
    """
    assert operator != empty(address), "erc721: zero address"
    self.isApprovedForAll[msg.sender][operator] = approved
    log ApprovalForAll(owner=msg.sender, operator=operator, approved=approved)


@external
def transferFrom(sender: address, receiver: address, token_id: uint256):
    """
    @notice Moves a token without asking the receiver.
    @param sender Its owner.
    @param receiver Its next owner.
    @param token_id The token.
    """
    self._transfer(sender, receiver, token_id)


@external
def safeTransferFrom(
    sender: address, receiver: address, token_id: uint256, data: Bytes[DATA_OCTETS_MAX] = b""
):
    """
    @notice Moves a token; a receiver that is a contract must say that it takes it.
    @param sender Its owner.
    @param receiver Its next owner.
    @param token_id The token.
    @param data Handed to the receiver as it is.
    """
    self._transfer(sender, receiver, token_id)
    if receiver.is_contract:
        taken: bytes4 = extcall IReceiver(receiver).onERC721Received(
            msg.sender, sender, token_id, data
        )
        assert taken == RECEIVED, "erc721: not taken"


@internal
def _mint(owner: address, token_id: uint256):
    """
    @dev The caller sees to it that the token is nobody's yet.
    """
    assert owner != empty(address), "erc721: zero address"
    self.balances[owner] += 1
    self.owners[token_id] = owner
    log Transfer(sender=empty(address), receiver=owner, token_id=token_id)


@internal
def _transfer(sender: address, receiver: address, token_id: uint256):
    """
    @dev The approval of the token ends with its move.
    """
    owner: address = self._owner_of(token_id)
    assert sender == owner, "erc721: not owner"
    assert receiver != empty(address), "erc721: zero address"
    assert (
        msg.sender == owner
        or self.isApprovedForAll[owner][msg.sender]
        or self.approvals[token_id] == msg.sender
    ), "erc721: not allowed"
    self.approvals[token_id] = empty(address)
    self.balances[sender] -= 1
    self.balances[receiver] += 1
    self.owners[token_id] = receiver
    log Transfer(sender=sender, receiver=receiver, token_id=token_id)


@internal
@view
def _owner_of(token_id: uint256) -> address:
    """
    @dev Refuses a token that is nobody's.
    """
    owner: address = self.owners[token_id]
    assert owner != empty(address), "erc721: no such token"
    return owner
