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

# Siblings in a proof; a tree of 2**40 leaves is never reached.
PROOF_MAX: constant(uint256) = 40

# Claims in a batch; as many stay below the gas limit of one transaction (EIP-7825).
CLAIMS_MAX: constant(uint256) = 100

# No delay is longer: ninety days.
DELAY_MAX_S: constant(uint256) = 90 * 86400

# Words are packed so that a later claim writes three of them: amounts have 96 bits, times 64.
AMOUNT_BITS: constant(uint256) = 96
AMOUNT_MAX: constant(uint256) = 2**96 - 1
TIME_BITS: constant(uint256) = 64
TIME_MAX: constant(uint256) = 2**64 - 1
VETO: constant(uint256) = 2**255

clearing_house: public(immutable(address))
delay_s: public(immutable(uint256))

guardian: public(address)
guardian_change: public(IRewardDistributor.AddressChange)
cap_of: public(HashMap[address, uint256])
cap_raise_of: public(HashMap[address, IRewardDistributor.AmountChange])
payout_change_of: public(HashMap[address, HashMap[address, IRewardDistributor.AddressChange]])

# By token and root, from the top: vetoed (1), what the root may still pay (191), ready at (64).
_publications: HashMap[address, HashMap[bytes32, uint256]]

# By token: funded (160), claimed (96).
_totals: HashMap[address, uint256]

# By account and token: payout address (160), claimed (96).
_accounts: HashMap[address, HashMap[address, uint256]]


@deploy
def __init__(clearing_house_: address, owner_: address, guardian_: address, delay_s_: uint256):
    """
    @param clearing_house_ The only publisher.
    @param owner_ The first owner.
    @param guardian_ Who may veto a root before it is ready.
    @param delay_s_ Seconds from a root's publication to its first payment, and from the
           request of a change to its effect.
    """
    assert clearing_house_ != empty(address) and guardian_ != empty(address), "address: zero"
    assert delay_s_ <= DELAY_MAX_S, "delay: too long"
    clearing_house = clearing_house_
    delay_s = delay_s_
    ownable.__init__(owner_)
    self._set_guardian(guardian_)


# The clearing house's part


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
    assert self._publications[token][root] == 0, "publish: known root"
    cap: uint256 = self.cap_of[token]
    assert cap == 0 or amount <= cap, "publish: over cap"
    totals: uint256 = self._totals[token]
    claimed: uint256 = totals & AMOUNT_MAX
    funded: uint256 = (totals >> AMOUNT_BITS) + amount
    assert funded <= AMOUNT_MAX, "publish: out of range"
    unclaimed: uint256 = funded - claimed
    assert staticcall IERC20(token).balanceOf(self) >= unclaimed, "publish: not funded"
    ready_at: uint256 = block.timestamp + delay_s
    self._totals[token] = (funded << AMOUNT_BITS) | claimed
    self._publications[token][root] = (unclaimed << TIME_BITS) | ready_at
    log IRewardDistributor.RewardsPublished(
        token=token, cycle_id=cycle_id, root=root, amount=amount, funded=funded, ready_at=ready_at
    )


# The guardian's part


@external
def veto(token: address, root: bytes32):
    """
    @notice Keeps a root from ever paying; the guardian only, before it is ready.
    @param token The token of the publication.
    @param root The root.
    """
    assert msg.sender == self.guardian, "veto: not guardian"
    publication: uint256 = self._publications[token][root]
    assert block.timestamp < publication & TIME_MAX, "veto: too late"
    assert publication & VETO == 0, "veto: already vetoed"
    self._publications[token][root] = publication | VETO
    log IRewardDistributor.RootVetoed(token=token, root=root)


# The owner's part


@external
def set_cap(token: address, cap: uint256):
    """
    @notice Bounds what one publication may add; the owner only. Lowering takes effect at
            once and drops a raise that waits; raising waits for the delay.
    @param token The token of the publications.
    @param cap The most each may add, not zero; a token without a cap is not bounded.
    """
    ownable._check_owner()
    assert cap != 0, "cap: zero"
    now: uint256 = self.cap_of[token]
    if now != 0 and cap > now:
        ready_at: uint256 = block.timestamp + delay_s
        self.cap_raise_of[token] = IRewardDistributor.AmountChange(amount=cap, ready_at=ready_at)
        log IRewardDistributor.CapRaiseRequested(token=token, cap=cap, ready_at=ready_at)
    else:
        self._set_cap(token, cap)


@external
def apply_cap(token: address):
    """
    @notice Raises a cap as the owner asked, once the delay has passed; anybody may call.
    @param token The token of the publications.
    """
    change: IRewardDistributor.AmountChange = self.cap_raise_of[token]
    self._check_due(change.ready_at)
    self._set_cap(token, change.amount)


@external
def request_guardian(guardian: address):
    """
    @notice Asks for another guardian after the delay, the former's veto included; the
            owner only. A new request replaces the one that waits.
    @param guardian Who shall be the guardian.
    """
    ownable._check_owner()
    assert guardian != empty(address), "address: zero"
    ready_at: uint256 = block.timestamp + delay_s
    self.guardian_change = IRewardDistributor.AddressChange(account=guardian, ready_at=ready_at)
    log IRewardDistributor.GuardianRequested(guardian=guardian, ready_at=ready_at)


@external
def apply_guardian():
    """
    @notice Changes the guardian as the owner asked, once the delay has passed; anybody
            may call.
    """
    change: IRewardDistributor.AddressChange = self.guardian_change
    self._check_due(change.ready_at)
    self._set_guardian(change.account)


# An account's part


@external
def request_payout(token: address, payout: address):
    """
    @notice Asks that the caller's claims be paid elsewhere after the delay. A new request
            replaces the one that waits.
    @param token The token of the claims.
    @param payout Where they shall be paid; zero for the account itself.
    """
    assert payout != self, "payout: bad address"
    ready_at: uint256 = block.timestamp + delay_s
    self.payout_change_of[msg.sender][token] = IRewardDistributor.AddressChange(
        account=payout, ready_at=ready_at
    )
    log IRewardDistributor.PayoutRequested(
        account=msg.sender, token=token, payout=payout, ready_at=ready_at
    )


@external
def cancel_payout(token: address):
    """
    @notice Takes the caller's request back.
    @param token The token of the claims.
    """
    assert self.payout_change_of[msg.sender][token].ready_at != 0, "change: not requested"
    self.payout_change_of[msg.sender][token] = empty(IRewardDistributor.AddressChange)
    log IRewardDistributor.PayoutCancelled(account=msg.sender, token=token)


@external
def apply_payout(account: address, token: address):
    """
    @notice Changes where an account's claims are paid as it asked, once the delay has
            passed; anybody may call.
    @param account Whose claims.
    @param token The token of the claims.
    """
    change: IRewardDistributor.AddressChange = self.payout_change_of[account][token]
    self._check_due(change.ready_at)
    payout: uint256 = convert(change.account, uint256)
    claimed: uint256 = self._accounts[account][token] & AMOUNT_MAX
    self._accounts[account][token] = (payout << AMOUNT_BITS) | claimed
    self.payout_change_of[account][token] = empty(IRewardDistributor.AddressChange)
    log IRewardDistributor.PayoutSet(account=account, token=token, payout=change.account)


# Anybody's part


@external
def claim(
    account: address,
    token: address,
    lifetime_amount: uint256,
    proof: DynArray[bytes32, PROOF_MAX],
) -> uint256:
    """
    @notice Pays an account what it earned and has not been paid; anybody may call, the
            money goes where the account has it paid.
    @param account Who has earned it.
    @param token The token it is paid in.
    @param lifetime_amount What the account has earned since the beginning.
    @param proof The leaf's siblings, from the leaf up.
    @return uint256 What was paid.
    """
    # Here and not in a function of its own: arrays are passed by value.
    root: bytes32 = keccak256(keccak256(abi_encode(account, token, lifetime_amount)))
    for sibling: bytes32 in proof:
        if convert(root, uint256) < convert(sibling, uint256):
            root = keccak256(abi_encode(root, sibling))
        else:
            root = keccak256(abi_encode(sibling, root))
    publication: uint256 = self._publications[token][root]
    assert publication != 0, "claim: bad proof"
    assert publication & VETO == 0, "claim: vetoed"
    assert block.timestamp >= publication & TIME_MAX, "claim: not ready"
    record: uint256 = self._accounts[account][token]
    assert lifetime_amount > record & AMOUNT_MAX, "claim: nothing due"
    amount: uint256 = lifetime_amount - (record & AMOUNT_MAX)
    assert amount <= publication >> TIME_BITS, "claim: over root"
    totals: uint256 = self._totals[token]
    assert amount <= (totals >> AMOUNT_BITS) - (totals & AMOUNT_MAX), "claim: over funded"
    self._publications[token][root] = publication - (amount << TIME_BITS)
    self._accounts[account][token] = record + amount
    self._totals[token] = totals + amount
    log IRewardDistributor.Claimed(
        account=account, token=token, amount=amount, lifetime_amount=lifetime_amount
    )
    payout: address = self._payout(account, record)
    assert extcall IERC20(token).transfer(payout, amount, default_return_value=True), "token: refused"
    return amount


@external
@reentrant
def claim_many(claims: DynArray[IRewardDistributor.Claim, CLAIMS_MAX]) -> uint256:
    """
    @notice Makes many claims, each by itself: one that fails is told and changes nothing,
            so neither a frozen account nor whoever claims first stops the others.
    @param claims What `claim` takes.
    @return uint256 How many were paid.
    """
    # Each is a call from outside, which the lock of `claim` guards.
    paid: uint256 = 0
    for each: IRewardDistributor.Claim in claims:
        done: bool = raw_call(
            self,
            abi_encode(
                each.account,
                each.token,
                each.lifetime_amount,
                each.proof,
                method_id=method_id("claim(address,address,uint256,bytes32[])"),
            ),
            revert_on_failure=False,
        )
        if done:
            paid += 1
        else:
            log IRewardDistributor.ClaimSkipped(
                account=each.account, token=each.token, lifetime_amount=each.lifetime_amount
            )
    return paid


# What anybody may read


@external
@view
def ready_at(token: address, root: bytes32) -> uint256:
    """
    @notice From which second a root pays; zero for one that was not published.
    @param token The token of the publication.
    @param root The root.
    @return uint256 Seconds since 1970.
    """
    return self._publications[token][root] & TIME_MAX


@external
@view
def is_vetoed(token: address, root: bytes32) -> bool:
    """
    @notice Whether a root never pays.
    @param token The token of the publication.
    @param root The root.
    @return bool Whether it was vetoed.
    """
    return self._publications[token][root] & VETO != 0


@external
@view
def left_of(token: address, root: bytes32) -> uint256:
    """
    @notice What a root may still pay in all: what lay unclaimed here when it was
            published, less what was paid under it.
    @param token The token of the publication.
    @param root The root.
    @return uint256 The amount, in the token's unit.
    """
    return (self._publications[token][root] >> TIME_BITS) & AMOUNT_MAX


@external
@view
def funded(token: address) -> uint256:
    """
    @notice All money that ever arrived for hosts.
    @param token The token.
    @return uint256 The amount, in the token's unit.
    """
    return self._totals[token] >> AMOUNT_BITS


@external
@view
def total_claimed(token: address) -> uint256:
    """
    @notice All money that was ever paid to hosts.
    @param token The token.
    @return uint256 The amount, in the token's unit.
    """
    return self._totals[token] & AMOUNT_MAX


@external
@view
def claimed(account: address, token: address) -> uint256:
    """
    @notice What an account was ever paid.
    @param account Whose claims.
    @param token The token.
    @return uint256 The amount, in the token's unit.
    """
    return self._accounts[account][token] & AMOUNT_MAX


@external
@view
def payout_of(account: address, token: address) -> address:
    """
    @notice Where an account's claims are paid.
    @param account Whose claims.
    @param token The token of the claims.
    @return address The account itself, unless it has set another.
    """
    return self._payout(account, self._accounts[account][token])


# Inside


@internal
@pure
def _payout(account: address, record: uint256) -> address:
    """
    @dev Where an account is paid, from its packed word.
    """
    payout: uint256 = record >> AMOUNT_BITS
    return account if payout == 0 else convert(payout, address)


@internal
@view
def _check_due(ready_at: uint256):
    """
    @dev A change was asked for, and its delay has passed.
    """
    assert ready_at != 0, "change: not requested"
    assert block.timestamp >= ready_at, "change: not ready"


@internal
def _set_cap(token: address, cap: uint256):
    """
    @dev A cap takes effect; no raise waits any more.
    """
    self.cap_of[token] = cap
    self.cap_raise_of[token] = empty(IRewardDistributor.AmountChange)
    log IRewardDistributor.CapSet(token=token, cap=cap)


@internal
def _set_guardian(guardian: address):
    """
    @dev A guardian takes office; no change waits any more.
    """
    self.guardian = guardian
    self.guardian_change = empty(IRewardDistributor.AddressChange)
    log IRewardDistributor.GuardianSet(guardian=guardian)
