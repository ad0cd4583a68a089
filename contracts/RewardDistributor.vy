# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Distributor of host entitlements
@license Apache-2.0
@notice Hosts are paid what they have earned since the beginning, less what they were
        paid: one Merkle root holds everybody's lifetime amount, so a cycle that was
        skipped, claimed late or claimed twice costs and loses nothing.
        RewardDistributor.md names the roles and the invariants.
@dev A leaf is keccak256(keccak256(abi.encode(account, lifetime_amount))), pairs are
     hashed in ascending order: the layout of OpenZeppelin's StandardMerkleTree. Double
     hashing keeps a 64-byte inner node from being read as a leaf.
"""

from ethereum.ercs import IERC20

from .interfaces import IRewardDistributor

implements: IRewardDistributor

token: public(immutable(address))
clearing_house: public(immutable(address))

root: public(bytes32)
root_cycle_id: public(bytes32)
funded: public(uint256)
total_claimed: public(uint256)
claimed: public(HashMap[address, uint256])


@deploy
def __init__(token_: address, clearing_house_: address):
    """
    @param token_ The token that is paid out.
    @param clearing_house_ The only publisher.
    """
    assert token_ != empty(address) and clearing_house_ != empty(address), "address: zero"
    token = token_
    clearing_house = clearing_house_


@external
def publish(cycle_id: bytes32, root: bytes32, amount: uint256):
    """
    @notice Replaces the root after its money has arrived; the clearing house only.
    @param cycle_id The cycle that is settled.
    @param root The root over every account's lifetime amount.
    @param amount What this cycle adds, already transferred here.
    """
    assert msg.sender == clearing_house, "publish: not clearing house"
    funded: uint256 = self.funded + amount
    held: uint256 = staticcall IERC20(token).balanceOf(self)
    assert held >= funded - self.total_claimed, "publish: not funded"
    self.funded = funded
    self.root = root
    self.root_cycle_id = cycle_id
    log IRewardDistributor.RewardsPublished(
        cycle_id=cycle_id, root=root, amount=amount, funded=funded
    )


@external
def claim(
    account: address, lifetime_amount: uint256, proof: DynArray[bytes32, 40]
) -> uint256:
    """
    @notice Pays an account what it earned and has not been paid; anybody may call, the
            money goes to the account alone.
    @param account Who is paid.
    @param lifetime_amount What the account has earned since the beginning.
    @param proof The leaf's siblings, from the leaf up.
    @return uint256 What was paid.
    """
    assert self._root_from(account, lifetime_amount, proof) == self.root, "claim: bad proof"
    paid: uint256 = self.claimed[account]
    assert lifetime_amount > paid, "claim: nothing due"
    amount: uint256 = lifetime_amount - paid
    total_claimed: uint256 = self.total_claimed + amount
    assert total_claimed <= self.funded, "claim: over funded"
    self.claimed[account] = lifetime_amount
    self.total_claimed = total_claimed
    log IRewardDistributor.Claimed(
        account=account, amount=amount, lifetime_amount=lifetime_amount
    )
    assert extcall IERC20(token).transfer(account, amount, default_return_value=True), "token: refused"
    return amount


@internal
@pure
def _root_from(
    account: address, lifetime_amount: uint256, proof: DynArray[bytes32, 40]
) -> bytes32:
    """
    @dev The root that this leaf and these siblings lead to.
    """
    node: bytes32 = keccak256(keccak256(abi_encode(account, lifetime_amount)))
    for sibling: bytes32 in proof:
        if convert(node, uint256) < convert(sibling, uint256):
            node = keccak256(concat(node, sibling))
        else:
            node = keccak256(concat(sibling, node))
    return node
