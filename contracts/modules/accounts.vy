# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title What a clearing house keeps of a member and of a token, one storage word each
@license Apache-2.0
@notice A settlement reads and writes one slot for each member, the largest part of its
        gas; so balance, mandate and membership stand in one word, packed here by hand.
@dev A member's word in one token, from the lowest bit:
         balance 104 | cap_per_cycle 96 | valid_until 32 | rulebook epoch 16 | 7 unused | member 1
     A token's word:
         total 128 | last sequence 64 | mandates used at 48 | 15 unused | listed 1
     Balance and total stand lowest and are guarded, so adding to the word adds to them alone.
"""

from ..interfaces import IClearingHouse

BALANCE_MAX: constant(uint256) = 2**104 - 1
CAP_MAX: constant(uint256) = 2**96 - 1
VALID_UNTIL_MAX: constant(uint256) = 2**32 - 1
EPOCH_MAX: constant(uint256) = 2**16 - 1
CAP_AT: constant(uint256) = 104
VALID_UNTIL_AT: constant(uint256) = 200
EPOCH_AT: constant(uint256) = 232
# The highest bit: a word is a member's, or a token's that is listed, if it is not below this.
PRESENT: constant(uint256) = 2**255
# The part of a member's word that `set_mandate` replaces.
MANDATE_MASK: constant(uint256) = (2**144 - 1) << CAP_AT

TOTAL_MAX: constant(uint256) = 2**128 - 1
SEQUENCE_MAX: constant(uint256) = 2**64 - 1
MANDATES_AT_MAX: constant(uint256) = 2**48 - 1
SEQUENCE_AT: constant(uint256) = 128
MANDATES_AT_AT: constant(uint256) = 192

# A row of a settlement: the member's address above, the amount below as an int96.
MEMBER_AT: constant(uint256) = 96
AMOUNT_MASK: constant(uint256) = 2**96 - 1
AMOUNT_SIGN: constant(uint256) = 2**95

words: HashMap[address, HashMap[address, uint256]]
tokens: HashMap[address, uint256]


@external
@view
def is_member(token: address, account: address) -> bool:
    """
    @notice Whether an account may be deposited for and settled with in a token.
    @param token The token.
    @param account Whose membership.
    @return bool Whether it is registered.
    """
    return self._is_member(token, account)


@external
@view
def balance_of(token: address, member: address) -> uint256:
    """
    @notice What a member holds here.
    @param token The token.
    @param member Whose balance.
    @return uint256 The amount, in the token's unit.
    """
    return self._balance(token, member)


@external
@view
def mandate_of(token: address, member: address) -> IClearingHouse.Mandate:
    """
    @notice What the settler may debit a member without a signature.
    @param token The token.
    @param member Whose mandate.
    @return Mandate Cap, end, and the rulebook's epoch it was given under.
    """
    word: uint256 = self.words[token][member]
    return IClearingHouse.Mandate(
        cap_per_cycle=(word >> CAP_AT) & CAP_MAX,
        valid_until=(word >> VALID_UNTIL_AT) & VALID_UNTIL_MAX,
        rulebook_epoch=(word >> EPOCH_AT) & EPOCH_MAX,
    )


@external
@view
def is_listed(token: address) -> bool:
    """
    @notice Whether a token may be held and settled here.
    @param token The token.
    @return bool Whether it is listed.
    """
    return self.tokens[token] >= PRESENT


@external
@view
def total_of(token: address) -> uint256:
    """
    @notice What is owed in a token: all balances, escrows and bonds.
    @param token The token.
    @return uint256 The amount, in the token's unit.
    """
    return self._total(token)


@external
@view
def last_sequence(token: address) -> uint256:
    """
    @notice The sequence of the last settlement in a token.
    @param token The token.
    @return uint256 The sequence; the next settlement has the one after it.
    """
    return (self.tokens[token] >> SEQUENCE_AT) & SEQUENCE_MAX


@external
@view
def mandates_used_at(token: address) -> uint256:
    """
    @notice When a settlement last debited somebody under a mandate.
    @param token The token.
    @return uint256 Seconds since 1970 UTC, zero for never.
    """
    return (self.tokens[token] >> MANDATES_AT_AT) & MANDATES_AT_MAX


@internal
@view
def _is_member(token: address, account: address) -> bool:
    """
    @dev Whether the word is a member's.
    """
    return self.words[token][account] >= PRESENT


@internal
@view
def _balance(token: address, member: address) -> uint256:
    """
    @dev The lowest part of a member's word.
    """
    return self.words[token][member] & BALANCE_MAX


@internal
@view
def _total(token: address) -> uint256:
    """
    @dev The lowest part of a token's word.
    """
    return self.tokens[token] & TOTAL_MAX


@internal
def _credit(token: address, member: address, amount: uint256) -> uint256:
    """
    @dev Adds to a balance and returns it.
    """
    word: uint256 = self.words[token][member]
    balance: uint256 = (word & BALANCE_MAX) + amount
    assert balance <= BALANCE_MAX, "balance: too large"
    self.words[token][member] = word + amount
    return balance


@internal
def _debit(token: address, member: address, amount: uint256) -> uint256:
    """
    @dev Takes from a balance and returns what is left.
    """
    word: uint256 = self.words[token][member]
    balance: uint256 = word & BALANCE_MAX
    assert balance >= amount, "balance: short"
    self.words[token][member] = word - amount
    return balance - amount


@internal
def _add_total(token: address, amount: uint256):
    """
    @dev What is owed grows, by a deposit.
    """
    word: uint256 = self.tokens[token]
    assert amount <= TOTAL_MAX - (word & TOTAL_MAX), "balance: too large"
    self.tokens[token] = word + amount


@internal
def _list(token: address, last_sequence: uint256):
    """
    @dev A token's first word.
    """
    self.tokens[token] = PRESENT | (last_sequence << SEQUENCE_AT)


@internal
def _set_member(token: address, member: address, registered: bool):
    """
    @dev Sets the highest bit; balance and mandate stay.
    """
    word: uint256 = self.words[token][member] & (PRESENT - 1)
    self.words[token][member] = word | PRESENT if registered else word


@internal
def _set_mandate(
    token: address, member: address, cap_per_cycle: uint256, valid_until: uint256, epoch: uint256
):
    """
    @dev Replaces the mandate; balance and membership stay.
    """
    assert cap_per_cycle <= CAP_MAX and valid_until <= VALID_UNTIL_MAX, "mandate: too large"
    word: uint256 = self.words[token][member]
    mandate: uint256 = cap_per_cycle << CAP_AT | valid_until << VALID_UNTIL_AT | epoch << EPOCH_AT
    self.words[token][member] = word & ~MANDATE_MASK | mandate


@internal
@view
def _check_mandate(word: uint256, amount: uint256, epoch: uint256):
    """
    @dev The mandate in a member's word covers a debit now.
    """
    assert block.timestamp <= (word >> VALID_UNTIL_AT) & VALID_UNTIL_MAX, "mandate: expired"
    assert epoch == (word >> EPOCH_AT) & EPOCH_MAX, "mandate: other rulebook"
    assert amount <= (word >> CAP_AT) & CAP_MAX, "mandate: over cap"
