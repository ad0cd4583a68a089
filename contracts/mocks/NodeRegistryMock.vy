# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Double of the registry of nodes
@license Apache-2.0
@notice Answers what it was told to, for tests of contracts that ask the registry.
"""

ownerOf: public(HashMap[uint256, address])
operators: HashMap[bytes32, address]
free_bond: public(HashMap[bytes32, uint256])
is_banned: public(HashMap[bytes32, bool])


@external
def set_node(node_id: bytes32, owner: address, operator: address, free_bond: uint256):
    """
    @notice Has a node from now on.
    @param node_id The node.
    @param owner Who owns it.
    @param operator Its key, at all times.
    @param free_bond What backs it.
    """
    self.ownerOf[convert(node_id, uint256)] = owner
    self.operators[node_id] = operator
    self.free_bond[node_id] = free_bond


@external
def set_banned(node_id: bytes32, banned: bool):
    """
    @notice Bans a node, or no longer.
    @param node_id The node.
    @param banned Whether it is.
    """
    self.is_banned[node_id] = banned


@external
@view
def operator_at(node_id: bytes32, timestamp: uint256) -> address:
    """
    @notice Names the key of a node.
    @param node_id The node.
    @param timestamp When; not looked at.
    @return address The key.
    """
    return self.operators[node_id]
