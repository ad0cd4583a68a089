# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Distributor of host entitlements
@license Apache-2.0
@notice Hosts are paid what they have earned since the beginning, less what they were
        paid: one Merkle root holds everybody's lifetime amount, so a cycle that was
        skipped, claimed late or claimed twice costs and loses nothing. A root pays once
        its delay has passed, unless the guardian vetoed it before.
        RewardDistributor.md names the roles and the invariants.
@dev A leaf is keccak256(keccak256(abi.encode(account, token, lifetime_amount))), pairs
     are hashed in ascending order: the layout of OpenZeppelin's StandardMerkleTree.
     Double hashing keeps a 64-byte inner node from being read as a leaf.
"""

from ethereum.ercs import IERC20

from .interfaces import IRewardDistributor

# @dev The two-step owner.
from .modules import ownable

implements: IRewardDistributor

initializes: ownable

exports: (
    ownable.owner,
    ownable.pending_owner,
    ownable.transfer_ownership,
    ownable.accept_ownership,
)

clearing_house: public(immutable(address))
delay_s: public(immutable(uint256))

guardian: public(address)

ready_at: public(HashMap[address, HashMap[bytes32, uint256]])
is_vetoed: public(HashMap[address, HashMap[bytes32, bool]])
funded: public(HashMap[address, uint256])
total_claimed: public(HashMap[address, uint256])
claimed: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__(clearing_house_: address, owner_: address, guardian_: address, delay_s_: uint256):
    """
    @param clearing_house_ The only publisher.
    @param owner_ The first owner.
    @param guardian_ Who may veto a root before it is ready.
    @param delay_s_ Seconds from a root's publication to its first payment.
    """
    assert clearing_house_ != empty(address), "address: zero"
    clearing_house = clearing_house_
    delay_s = delay_s_
    ownable.__init__(owner_)
    self.guardian = guardian_


@external
def publish(token: address, cycle_id: bytes32, root: bytes32, amount: uint256):
    """
    @notice Takes a root after its money has arrived; the clearing house only.
    @param token The token that hosts are paid in.
    @param cycle_id The cycle that is settled.
    @param root The root over every account's lifetime amount.
    @param amount What this cycle adds, already transferred here.
    """
    assert msg.sender == clearing_house, "publish: not clearing house"
    assert self.ready_at[token][root] == 0, "publish: known root"
    funded: uint256 = self.funded[token] + amount
    held: uint256 = staticcall IERC20(token).balanceOf(self)
    assert held >= funded - self.total_claimed[token], "publish: not funded"
    ready_at: uint256 = block.timestamp + delay_s
    self.funded[token] = funded
    self.ready_at[token][root] = ready_at
    log IRewardDistributor.RewardsPublished(
        token=token, cycle_id=cycle_id, root=root, amount=amount, funded=funded, ready_at=ready_at
    )


@external
def veto(token: address, root: bytes32):
    """
    @notice Keeps a root from ever paying; the guardian only, before it is ready.
    @param token The token of the publication.
    @param root The root.
    """
    assert msg.sender == self.guardian, "veto: not guardian"
    assert block.timestamp < self.ready_at[token][root], "veto: too late"
    self.is_vetoed[token][root] = True
    log IRewardDistributor.RootVetoed(token=token, root=root)


@external
def claim(
    account: address, token: address, lifetime_amount: uint256, proof: DynArray[bytes32, 40]
) -> uint256:
    """
    @notice Pays an account what it earned and has not been paid; anybody may call, the
            money goes to the account alone.
    @param account Who is paid.
    @param token The token it is paid in.
    @param lifetime_amount What the account has earned since the beginning.
    @param proof The leaf's siblings, from the leaf up.
    @return uint256 What was paid.
    """
    root: bytes32 = self._root_from(account, token, lifetime_amount, proof)
    ready_at: uint256 = self.ready_at[token][root]
    assert ready_at != 0, "claim: bad proof"
    assert block.timestamp >= ready_at, "claim: not ready"
    assert not self.is_vetoed[token][root], "claim: vetoed"
    paid: uint256 = self.claimed[account][token]
    assert lifetime_amount > paid, "claim: nothing due"
    amount: uint256 = lifetime_amount - paid
    total_claimed: uint256 = self.total_claimed[token] + amount
    assert total_claimed <= self.funded[token], "claim: over funded"
    self.claimed[account][token] = lifetime_amount
    self.total_claimed[token] = total_claimed
    log IRewardDistributor.Claimed(
        account=account, token=token, amount=amount, lifetime_amount=lifetime_amount
    )
    assert extcall IERC20(token).transfer(account, amount, default_return_value=True), "token: refused"
    return amount


@internal
@pure
def _root_from(
    account: address, token: address, lifetime_amount: uint256, proof: DynArray[bytes32, 40]
) -> bytes32:
    """
    @dev The root that this leaf and these siblings lead to.
    """
    node: bytes32 = keccak256(keccak256(abi_encode(account, token, lifetime_amount)))
    for sibling: bytes32 in proof:
        if convert(node, uint256) < convert(sibling, uint256):
            node = keccak256(concat(node, sibling))
        else:
            node = keccak256(concat(sibling, node))
    return node
