# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Proofs of Merkle trees
@license Apache-2.0
@notice Pairs are hashed in ascending order, so a proof needs no directions: the layout of
        OpenZeppelin's StandardMerkleTree. Whoever makes a leaf hashes it twice, so that the
        64 bytes of an inner node are never read as a leaf.
"""

# Siblings of a leaf in a tree of more leaves than there will be.
PROOF_MAX: constant(uint256) = 40


@internal
@pure
def _root_from(leaf: bytes32, proof: DynArray[bytes32, PROOF_MAX]) -> bytes32:
    """
    @dev The root that this leaf and these siblings, from the leaf up, lead to.
    """
    node: bytes32 = leaf
    for sibling: bytes32 in proof:
        if convert(node, uint256) < convert(sibling, uint256):
            node = keccak256(concat(node, sibling))
        else:
            node = keccak256(concat(sibling, node))
    return node
