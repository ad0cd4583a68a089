# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title EIP-712 domain of one contract
@license Apache-2.0
@notice The separator is kept from deployment and computed anew as soon as the chain id
        or the address is another one, so no signature survives a fork or a copy.
"""

DOMAIN_TYPE_HASH: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)

NAME: immutable(String[32])
VERSION: immutable(String[8])
FIRST_CHAIN_ID: immutable(uint256)
FIRST_ADDRESS: immutable(address)
FIRST_SEPARATOR: immutable(bytes32)


@deploy
def __init__(name_: String[32], version_: String[8]):
    """
    @param name_ The signing domain's name, shown by wallets.
    @param version_ The signing domain's version.
    """
    NAME = name_
    VERSION = version_
    FIRST_CHAIN_ID = chain.id
    FIRST_ADDRESS = self
    FIRST_SEPARATOR = keccak256(
        abi_encode(DOMAIN_TYPE_HASH, keccak256(name_), keccak256(version_), chain.id, self)
    )


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    """
    @notice The separator of this contract on this chain (EIP-712, ERC-2612).
    @return bytes32 The separator.
    """
    return self._domain_separator()


@external
@view
def eip712Domain() -> (
    bytes1, String[32], String[8], uint256, address, bytes32, DynArray[uint256, 1]
):
    """
    @notice The fields of the signing domain (EIP-5267).
    @return bytes1 Which fields are used: name, version, chain id and contract.
    @return String The name.
    @return String The version.
    @return uint256 The chain id.
    @return address The verifying contract.
    @return bytes32 The salt, unused.
    @return DynArray The extensions, none.
    """
    return (0x0f, NAME, VERSION, chain.id, self, empty(bytes32), [])


@internal
@view
def _domain_separator() -> bytes32:
    """
    @dev The separator, from deployment while nothing moved, else computed.
    """
    if chain.id == FIRST_CHAIN_ID and self == FIRST_ADDRESS:
        return FIRST_SEPARATOR
    return keccak256(
        abi_encode(DOMAIN_TYPE_HASH, keccak256(NAME), keccak256(VERSION), chain.id, self)
    )


@internal
@view
def _digest(struct_hash: bytes32) -> bytes32:
    """
    @dev What is signed for a struct in this domain.
    """
    return keccak256(concat(x"1901", self._domain_separator(), struct_hash))
