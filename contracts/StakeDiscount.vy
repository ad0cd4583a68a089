# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Stake for discount
@license Apache-2.0
@notice Who locks some of the settlement's stable coin for a time pays less for use. What
        an account had locked at any past second can be read for ever, so seller and buyer
        rate with the same number. StakeDiscount.md names the roles and the invariants.
@dev There is no owner. The token must move exactly what it is told to: no fee on transfer,
     no rebasing.
"""

from ethereum.ercs import IERC20

from .interfaces import IStableToken
from .interfaces import IStakeDiscount

# @dev The history of each account's stake, and of their sum.
from .modules import checkpoints

# @dev One accepted form of a signature.
from .modules import ecdsa

# @dev The signing domain and its EIP-5267 description.
from .modules import eip712

implements: IStakeDiscount

initializes: checkpoints
initializes: eip712

exports: (eip712.DOMAIN_SEPARATOR, eip712.eip712Domain)

PPM: constant(uint256) = 1_000_000
TIERS_MAX: constant(uint256) = 16
LOCK_MAX_S: constant(uint256) = 4 * 366 * 86_400
CAP_MAX_PPM: constant(uint256) = 1_000 * PPM

# A checkpoint's value: the lock (48 bits) above the amount (160 bits).
AMOUNT_BITS: constant(uint256) = 160
AMOUNT_END: constant(uint256) = 1 << AMOUNT_BITS

# Whose history is the sum's: no address, which would have twelve zeros in front.
TOTAL: constant(bytes32) = keccak256("total")

STAKE_TYPE_HASH: constant(bytes32) = keccak256(
    "Stake(address account,uint256 amount,uint256 lock_s,uint256 nonce,uint256 deadline)"
)

token: public(immutable(address))
cap_ppm: public(immutable(uint256))

nonces: public(HashMap[address, uint256])
_tiers: DynArray[IStakeDiscount.Tier, TIERS_MAX]


@deploy
def __init__(
    token_: address, tiers_: DynArray[IStakeDiscount.Tier, TIERS_MAX], cap_ppm_: uint256
):
    """
    @param token_ The only token staked here.
    @param tiers_ What is asked for which discount, ascending by discount; for good.
    @param cap_ppm_ Discounted spend that a lock carries, in millionths of its amount.
    """
    assert token_ != empty(address), "address: zero"
    assert len(tiers_) != 0, "tiers: none"
    assert cap_ppm_ <= CAP_MAX_PPM, "cap: too large"
    token = token_
    cap_ppm = cap_ppm_
    eip712.__init__("opencarrier StakeDiscount", "1")
    log IStakeDiscount.SpendCapSet(cap_ppm=cap_ppm_)
    previous_ppm: uint256 = 0
    for tier: IStakeDiscount.Tier in tiers_:
        assert tier.discount_ppm > previous_ppm, "tiers: order"
        assert tier.discount_ppm <= PPM, "tiers: discount"
        assert tier.min_amount != 0 and tier.min_amount < AMOUNT_END, "tiers: amount"
        assert tier.min_lock_s != 0 and tier.min_lock_s <= LOCK_MAX_S, "tiers: lock"
        previous_ppm = tier.discount_ppm
        log IStakeDiscount.TierSet(
            min_amount=tier.min_amount,
            min_lock_s=tier.min_lock_s,
            discount_ppm=tier.discount_ppm,
        )
    self._tiers = tiers_


# An account's part


@external
def stake(amount: uint256, lock_s: uint256):
    """
    @notice Locks the caller's tokens for a time; what is staked already is locked anew
            with them.
    @param amount How many, in the token's unit; approved to this contract before.
    @param lock_s For how long from now; not shorter than the lock that stands.
    """
    assert amount != 0, "amount: zero"
    self._commit(msg.sender, amount, lock_s)
    self._pull(msg.sender, amount)


@external
def stake_with_permit(
    amount: uint256, lock_s: uint256, deadline: uint256, v: uint8, r: bytes32, s: bytes32
):
    """
    @notice As `stake`, with the approval in the same call (ERC-2612).
    @param amount How many, in the token's unit.
    @param lock_s For how long from now; not shorter than the lock that stands.
    @param deadline The permit's last second of validity.
    @param v The permit's recovery identifier.
    @param r The permit's first half.
    @param s The permit's second half.
    """
    assert amount != 0, "amount: zero"
    self._commit(msg.sender, amount, lock_s)
    # Somebody may have submitted this permit before; then the allowance is there already.
    if staticcall IERC20(token).allowance(msg.sender, self) < amount:
        extcall IStableToken(token).permit(msg.sender, self, amount, deadline, v, r, s)
    self._pull(msg.sender, amount)


@external
def stake_with_authorization(
    account: address,
    amount: uint256,
    lock_s: uint256,
    valid_after: uint256,
    valid_before: uint256,
    salt: bytes32,
    signature: Bytes[65],
):
    """
    @notice As `stake`, by the account's signature alone; anybody may submit it (ERC-3009).
            The authorisation's nonce is the hash of lock and salt, so what is signed for
            the token names the lock too.
    @param account Whose tokens and stake, and who signed.
    @param amount How many, in the token's unit.
    @param lock_s For how long from now; not shorter than the lock that stands.
    @param valid_after Valid in the seconds after this one.
    @param valid_before Valid in the seconds before this one.
    @param salt Any value the account has not used with this lock.
    @param signature 65 bytes over the token's `ReceiveWithAuthorization`.
    """
    assert amount != 0, "amount: zero"
    self._commit(account, amount, lock_s)
    nonce: bytes32 = keccak256(abi_encode(lock_s, salt))
    held: uint256 = staticcall IERC20(token).balanceOf(self)
    extcall IStableToken(token).receiveWithAuthorization(
        account, self, amount, valid_after, valid_before, nonce, signature
    )
    self._check_received(held, amount)


@external
def stake_by_signature(
    account: address, amount: uint256, lock_s: uint256, deadline: uint256, signature: Bytes[65]
):
    """
    @notice As `stake`, or with no amount as `extend`, by the account's signature; anybody
            may submit it. The tokens come from the account's approval.
    @param account Whose tokens and stake, and who signed.
    @param amount How many more, in the token's unit; may be zero where there is a stake.
    @param lock_s For how long from now; not shorter than the lock that stands.
    @param deadline The last second of validity.
    @param signature 65 bytes over `Stake` with the account's current nonce, low s.
    """
    assert block.timestamp <= deadline, "signature: expired"
    assert account != empty(address), "signature: bad"
    nonce: uint256 = self.nonces[account]
    digest: bytes32 = eip712._digest(
        keccak256(abi_encode(STAKE_TYPE_HASH, account, amount, lock_s, nonce, deadline))
    )
    assert ecdsa._recover(digest, signature) == account, "signature: bad"
    self.nonces[account] = nonce + 1
    self._commit(account, amount, lock_s)
    if amount != 0:
        self._pull(account, amount)


@external
def increase(amount: uint256):
    """
    @notice Adds to the caller's stake and locks all of it anew for as long as before.
    @param amount How many, in the token's unit; approved to this contract before.
    """
    assert amount != 0, "amount: zero"
    current: IStakeDiscount.Stake = self._stake_of(msg.sender)
    assert current.amount != 0, "stake: none"
    self._commit(msg.sender, amount, current.lock_s)
    self._pull(msg.sender, amount)


@external
def extend(lock_s: uint256):
    """
    @notice Locks the caller's stake anew.
    @param lock_s For how long from now; not shorter than the lock that stands.
    """
    self._commit(msg.sender, 0, lock_s)


@external
def withdraw(account: address) -> uint256:
    """
    @notice Sends a stake home once its lock has ended; anybody may call, the tokens go to
            the account alone, and nothing stops it.
    @param account Whose stake.
    @return uint256 What was paid: all that was staked.
    """
    current: IStakeDiscount.Stake = self._stake_of(account)
    assert current.amount != 0, "stake: none"
    assert block.timestamp >= current.unlock_at, "stake: locked"
    total: uint256 = self._total() - current.amount
    checkpoints._push(convert(account, bytes32), 0)
    checkpoints._push(TOTAL, total)
    log IStakeDiscount.StakeWithdrawn(
        account=account, amount=current.amount, withdrawn_at=block.timestamp, total=total
    )
    assert extcall IERC20(token).transfer(
        account, current.amount, default_return_value=True
    ), "token: refused"
    return current.amount


# What anybody may read


@external
@view
def tiers() -> DynArray[IStakeDiscount.Tier, TIERS_MAX]:
    """
    @notice What is asked for which discount, ascending by discount.
    @return DynArray The tiers.
    """
    return self._tiers


@external
@view
def stake_of(account: address) -> IStakeDiscount.Stake:
    """
    @notice An account's stake as it stands.
    @param account Whose stake.
    @return Stake Its amount, lock and times.
    """
    return self._stake_of(account)


@external
@view
def total_staked() -> uint256:
    """
    @notice The sum of all stakes.
    @return uint256 The sum, in the token's unit.
    """
    return self._total()


@external
@view
def tier_discount_ppm(amount: uint256, lock_s: uint256) -> uint256:
    """
    @notice The discount that an amount locked for a time carries: the best tier it meets.
    @param amount How many tokens, in their unit.
    @param lock_s For how long, from the commitment to its end.
    @return uint256 The discount in millionths of the price, zero where no tier is met.
    """
    return self._tier_discount_ppm(amount, lock_s)


@external
@view
def discount_ppm_at(account: address, timepoint: uint256) -> uint256:
    """
    @notice The discount an account had in a past second; none from the end of its lock on.
    @param account Whose discount.
    @param timepoint The second, before this block's.
    @return uint256 The discount in millionths of the price.
    """
    past: IStakeDiscount.Stake = self._locked_at(account, timepoint)
    return self._tier_discount_ppm(past.amount, past.lock_s)


@external
@view
def spend_cap_at(account: address, timepoint: uint256) -> uint256:
    """
    @notice How much spend at a discount the lock of a past second carries, all in all.
    @param account Whose stake.
    @param timepoint The second, before this block's.
    @return uint256 The cap in the token's unit, rounded down.
    """
    return self._locked_at(account, timepoint).amount * cap_ppm // PPM


@external
@view
def stake_at(account: address, timepoint: uint256) -> IStakeDiscount.Stake:
    """
    @notice An account's stake in a past second, locked or not.
    @param account Whose stake.
    @param timepoint The second, before this block's.
    @return Stake Its amount, lock and times then.
    """
    return self._stake_at(account, timepoint)


@external
@view
def checkpoint_count(account: address) -> uint256:
    """
    @notice How many past values an account's stake has; a second has one at most.
    @param account Whose stake.
    @return uint256 The number; a lookup takes as many steps as it has bits.
    """
    return checkpoints._count(convert(account, bytes32))


@external
@view
def total_at(timepoint: uint256) -> uint256:
    """
    @notice The sum of all stakes in a past second, locked or not.
    @param timepoint The second, before this block's.
    @return uint256 The sum, in the token's unit.
    """
    return self._total_at(timepoint)


@external
@view
def clock() -> uint48:
    """
    @notice Now, as checkpoints count it (ERC-6372).
    @return uint48 The block's time in seconds.
    """
    return convert(block.timestamp, uint48)


@external
@pure
def CLOCK_MODE() -> String[14]:
    """
    @notice How checkpoints count time (ERC-6372).
    @return String Seconds since 1970.
    """
    return "mode=timestamp"


@external
@view
def getVotes(account: address) -> uint256:
    """
    @notice An account's weight now: its stake while it is locked (ERC-5805).
    @param account Whose weight.
    @return uint256 The weight, in the token's unit.
    """
    current: IStakeDiscount.Stake = self._stake_of(account)
    return current.amount if block.timestamp < current.unlock_at else 0


@external
@view
def getPastVotes(account: address, timepoint: uint256) -> uint256:
    """
    @notice An account's weight in a past second: its stake while it was locked (ERC-5805).
    @param account Whose weight.
    @param timepoint The second, before this block's.
    @return uint256 The weight, in the token's unit.
    """
    return self._locked_at(account, timepoint).amount


@external
@view
def getPastTotalSupply(timepoint: uint256) -> uint256:
    """
    @notice As `total_at`, by the name a Governor asks with (ERC-5805).
    @param timepoint The second, before this block's.
    @return uint256 The sum, in the token's unit.
    """
    return self._total_at(timepoint)


# Inside


@internal
def _commit(account: address, added: uint256, lock_s: uint256):
    """
    @dev Every stake begins here: all of it, for the whole lock, from now. A lock is never
         followed by a shorter one, so no commitment lowers a discount.
    """
    current: IStakeDiscount.Stake = self._stake_of(account)
    amount: uint256 = current.amount + added
    assert amount != 0, "stake: none"
    assert lock_s != 0 and lock_s <= LOCK_MAX_S, "lock: out of range"
    assert lock_s >= current.lock_s, "lock: shorter"
    total: uint256 = self._total() + added
    assert total < AMOUNT_END, "amount: too large"
    checkpoints._push(convert(account, bytes32), (lock_s << AMOUNT_BITS) | amount)
    checkpoints._push(TOTAL, total)
    log IStakeDiscount.StakeCommitted(
        account=account,
        added=added,
        amount=amount,
        lock_s=lock_s,
        unlock_at=block.timestamp + lock_s,
        total=total,
    )


@internal
def _pull(account: address, amount: uint256):
    """
    @dev Takes exactly so many tokens from an account that approved them.
    """
    held: uint256 = staticcall IERC20(token).balanceOf(self)
    assert extcall IERC20(token).transferFrom(
        account, self, amount, default_return_value=True
    ), "token: refused"
    self._check_received(held, amount)


@internal
@view
def _check_received(held: uint256, amount: uint256):
    """
    @dev Refuses tokens that arrive in another number than was sent.
    """
    assert staticcall IERC20(token).balanceOf(self) == held + amount, "stake: other amount"


@internal
@view
def _stake_of(account: address) -> IStakeDiscount.Stake:
    """
    @dev The stake as it stands.
    """
    return self._unpacked(checkpoints._latest(convert(account, bytes32)))


@internal
@view
def _stake_at(account: address, timepoint: uint256) -> IStakeDiscount.Stake:
    """
    @dev The stake of a past second, locked or not.
    """
    return self._unpacked(checkpoints._in_past(convert(account, bytes32), timepoint))


@internal
@view
def _locked_at(account: address, timepoint: uint256) -> IStakeDiscount.Stake:
    """
    @dev The stake of a past second if it was locked then.
    """
    past: IStakeDiscount.Stake = self._stake_at(account, timepoint)
    return past if timepoint < past.unlock_at else empty(IStakeDiscount.Stake)


@internal
@pure
def _unpacked(past: checkpoints.Checkpoint) -> IStakeDiscount.Stake:
    """
    @dev A checkpoint as a stake; nothing staked has no times.
    """
    if past.content == 0:
        return empty(IStakeDiscount.Stake)
    lock_s: uint256 = past.content >> AMOUNT_BITS
    return IStakeDiscount.Stake(
        amount=past.content & (AMOUNT_END - 1),
        lock_s=lock_s,
        committed_at=past.at,
        unlock_at=past.at + lock_s,
    )


@internal
@view
def _tier_discount_ppm(amount: uint256, lock_s: uint256) -> uint256:
    """
    @dev Tiers ascend by discount, so the last one met is the best.
    """
    discount_ppm: uint256 = 0
    for tier: IStakeDiscount.Tier in self._tiers:
        if amount >= tier.min_amount and lock_s >= tier.min_lock_s:
            discount_ppm = tier.discount_ppm
    return discount_ppm


@internal
@view
def _total() -> uint256:
    """
    @dev The sum of all stakes now.
    """
    return checkpoints._latest(TOTAL).content


@internal
@view
def _total_at(timepoint: uint256) -> uint256:
    """
    @dev The sum of all stakes in a past second.
    """
    return checkpoints._in_past(TOTAL, timepoint).content
