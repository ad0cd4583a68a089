# pragma version 0.4.3
"""
@title A token in the other form of ERC-3009
@license Apache-2.0
@notice What the SDK's facilitator settles in: `transferWithAuthorization` with (v, r, s), as
        tokens on public chains have it. For tests only.
"""

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

event AuthorizationUsed:
    authorizer: indexed(address)
    nonce: indexed(bytes32)

DOMAIN_TYPE_HASH: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
TRANSFER_TYPE_HASH: constant(bytes32) = keccak256(
    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)

name: public(constant(String[16])) = "Foreign Dollar"
version: public(constant(String[1])) = "2"
decimals: public(constant(uint8)) = 6
balanceOf: public(HashMap[address, uint256])
authorizationState: public(HashMap[address, HashMap[bytes32, bool]])


@deploy
def __init__(holder: address, amount: uint256):
    self.balanceOf[holder] = amount


@external
def transferWithAuthorization(
    sender: address,
    receiver: address,
    amount: uint256,
    valid_after: uint256,
    valid_before: uint256,
    nonce: bytes32,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    assert valid_after < block.timestamp and block.timestamp < valid_before, "time"
    assert not self.authorizationState[sender][nonce], "authorization is used"
    domain: bytes32 = keccak256(
        abi_encode(
            DOMAIN_TYPE_HASH, keccak256(name), keccak256(version), chain.id, self
        )
    )
    words: bytes32 = keccak256(
        abi_encode(TRANSFER_TYPE_HASH, sender, receiver, amount, valid_after, valid_before, nonce)
    )
    digest: bytes32 = keccak256(concat(b"\x19\x01", domain, words))
    signer: address = ecrecover(digest, v, r, s)
    assert signer == sender and signer != empty(address), "invalid signature"
    self.authorizationState[sender][nonce] = True
    log AuthorizationUsed(authorizer=sender, nonce=nonce)
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=sender, receiver=receiver, value=amount)
