# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Stable token
@license Apache-2.0
@notice An ERC-20 of 6 decimals with ERC-2612 permits and ERC-3009 authorisations. It
        freezes and pauses as regulated stable coins do, so that everything written
        against it has met both. StableToken.md names the roles and the invariants.
@dev A signature is 65 bytes of one key, whole or as `v`, `r`, `s`; contract accounts
     (ERC-1271) use `approve`.
"""

from ethereum.ercs import IERC20
from ethereum.ercs import IERC20Detailed

# @dev The calls `__default__` answers.
from .interfaces import ISplitAuthorizations
from .interfaces import IStableToken

# @dev One accepted form of a signature.
from .modules import ecdsa

# @dev The signing domain and its EIP-5267 description.
from .modules import eip712

# @dev The two-step owner.
from .modules import ownable

implements: IERC20
implements: IERC20Detailed
implements: IStableToken

initializes: eip712
initializes: ownable

exports: (
    eip712.DOMAIN_SEPARATOR,
    eip712.eip712Domain,
    ownable.owner,
    ownable.pending_owner,
    ownable.transfer_ownership,
    ownable.accept_ownership,
)


# What is moved by authorisation, as it is signed.
struct Grant:
    sender: address
    receiver: address
    amount: uint256
    valid_after: uint256
    valid_before: uint256
    nonce: bytes32


# The arguments of the split forms as they lie in the call data.
struct SplitGrant:
    grant: Grant
    v: uint8
    r: bytes32
    s: bytes32


struct SplitCancel:
    authorizer: address
    nonce: bytes32
    v: uint8
    r: bytes32
    s: bytes32


decimals: public(constant(uint8)) = 6

PERMIT_TYPE_HASH: constant(bytes32) = keccak256(
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
TRANSFER_TYPE_HASH: constant(bytes32) = keccak256(
    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
RECEIVE_TYPE_HASH: constant(bytes32) = keccak256(
    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
CANCEL_TYPE_HASH: constant(bytes32) = keccak256(
    "CancelAuthorization(address authorizer,bytes32 nonce)"
)

TRANSFER_SPLIT: constant(Bytes[4]) = method_id(
    "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
)
RECEIVE_SPLIT: constant(Bytes[4]) = method_id(
    "receiveWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
)
CANCEL_SPLIT: constant(Bytes[4]) = method_id(
    "cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)"
)
SPLIT_GRANT_SIZE: constant(uint256) = 9 * 32
SPLIT_CANCEL_SIZE: constant(uint256) = 5 * 32

# The highest bit of an account's word; a balance is below it, as all tokens together are.
FROZEN: constant(uint256) = 2**255
SUPPLY_MAX: constant(uint256) = FROZEN - 1

symbol: public(immutable(String[8]))

totalSupply: public(uint256)
allowance: public(HashMap[address, HashMap[address, uint256]])
nonces: public(HashMap[address, uint256])
authorizationState: public(HashMap[address, HashMap[bytes32, bool]])
is_minter: public(HashMap[address, bool])
is_paused: public(bool)

# Frozen (1) and balance (255): a transfer reads and writes one word of each account.
_accounts: HashMap[address, uint256]


@deploy
def __init__(name_: String[32], symbol_: String[8], version_: String[8], owner_: address):
    """
    @param name_ The token's name and the name of its signing domain.
    @param symbol_ The token's symbol.
    @param version_ The version of the signing domain.
    @param owner_ The first owner; it names minters, freezes and pauses.
    """
    symbol = symbol_
    eip712.__init__(name_, version_)
    ownable.__init__(owner_)


@external
@view
def name() -> String[32]:
    """
    @notice The token's name, also that of its signing domain.
    @return String The name.
    """
    return eip712.NAME


@external
@view
def version() -> String[8]:
    """
    @notice The version of the signing domain.
    @return String The version.
    """
    return eip712.VERSION


@external
@view
def balanceOf(account: address) -> uint256:
    """
    @notice What an account holds, frozen or not.
    @param account Whose tokens.
    @return uint256 The amount, in millionths.
    """
    return self._accounts[account] & SUPPLY_MAX


@external
@view
def is_frozen(account: address) -> bool:
    """
    @notice Whether an account is stopped from sending, receiving and spending.
    @param account Which account.
    @return bool Whether it is frozen.
    """
    return self._accounts[account] >= FROZEN


@external
def transfer(receiver: address, amount: uint256) -> bool:
    """
    @notice Moves the caller's tokens.
    @param receiver Who gets them.
    @param amount How many, in millionths.
    @return bool Always true; a failure reverts.
    """
    self._move(msg.sender, receiver, amount)
    return True


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    """
    @notice Moves tokens within the caller's allowance; the largest allowance is not used up.
    @param sender Whose tokens.
    @param receiver Who gets them.
    @param amount How many, in millionths.
    @return bool Always true; a failure reverts.
    """
    self._check_free(msg.sender)
    allowed: uint256 = self.allowance[sender][msg.sender]
    assert allowed >= amount, "token: short allowance"
    if allowed != max_value(uint256):
        self._approve(sender, msg.sender, allowed - amount)
    self._move(sender, receiver, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Sets what a spender may move of the caller's tokens.
    @param spender Who may move them.
    @param amount How many, in millionths; replaces the former allowance.
    @return bool Always true; a failure reverts.
    """
    self._check_running()
    self._approve(msg.sender, spender, amount)
    return True


@external
def permit(
    owner: address,
    spender: address,
    amount: uint256,
    deadline: uint256,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    """
    @notice Sets an allowance by the owner's signature (ERC-2612).
    @param owner Whose tokens.
    @param spender Who may move them.
    @param amount How many, in millionths.
    @param deadline The last second of validity.
    @param v The recovery identifier, 27 or 28.
    @param r The signature's first half.
    @param s The signature's second half, low.
    """
    self._check_running()
    assert block.timestamp <= deadline, "permit: expired"
    nonce: uint256 = self.nonces[owner]
    self.nonces[owner] = nonce + 1
    digest: bytes32 = eip712._digest(
        keccak256(abi_encode(PERMIT_TYPE_HASH, owner, spender, amount, nonce, deadline))
    )
    signer: address = ecdsa._recover_vrs(digest, v, r, s)
    assert signer != empty(address) and signer == owner, "permit: bad signature"
    self._approve(owner, spender, amount)


@external
def transferWithAuthorization(
    sender: address,
    receiver: address,
    amount: uint256,
    valid_after: uint256,
    valid_before: uint256,
    nonce: bytes32,
    signature: Bytes[65],
):
    """
    @notice Moves tokens by the sender's signature; anybody may submit it (ERC-3009).
    @param sender Whose tokens, and who signed.
    @param receiver Who gets them.
    @param amount How many, in millionths.
    @param valid_after Valid in the seconds after this one.
    @param valid_before Valid in the seconds before this one.
    @param nonce Any value the sender has not used.
    @param signature 65 bytes `r || s || v`, low s.
    """
    grant: Grant = Grant(
        sender=sender,
        receiver=receiver,
        amount=amount,
        valid_after=valid_after,
        valid_before=valid_before,
        nonce=nonce,
    )
    self._transfer_authorized(grant, signature)


@external
def receiveWithAuthorization(
    sender: address,
    receiver: address,
    amount: uint256,
    valid_after: uint256,
    valid_before: uint256,
    nonce: bytes32,
    signature: Bytes[65],
):
    """
    @notice Moves tokens by the sender's signature; only the receiver may submit it, so a
            deposit cannot be taken out of its call (ERC-3009).
    @param sender Whose tokens, and who signed.
    @param receiver Who gets them: the caller.
    @param amount How many, in millionths.
    @param valid_after Valid in the seconds after this one.
    @param valid_before Valid in the seconds before this one.
    @param nonce Any value the sender has not used.
    @param signature 65 bytes `r || s || v`, low s.
    """
    grant: Grant = Grant(
        sender=sender,
        receiver=receiver,
        amount=amount,
        valid_after=valid_after,
        valid_before=valid_before,
        nonce=nonce,
    )
    self._receive_authorized(grant, signature)


@external
def cancelAuthorization(authorizer: address, nonce: bytes32, signature: Bytes[65]):
    """
    @notice Makes an unused authorisation unusable by its author's signature (ERC-3009).
    @param authorizer Who signed it.
    @param nonce The authorisation's nonce.
    @param signature 65 bytes `r || s || v`, low s.
    """
    self._cancel(authorizer, nonce, signature)


@external
def __default__():
    """
    @notice Answers ISplitAuthorizations: transfer, receipt and cancellation by a signature
            as `v`, `r`, `s` (ERC-3009). Each does what its form with `bytes` does.
    @dev Vyper has no overloading; the arguments are decoded as strictly as typed ones.
    """
    method: Bytes[4] = slice(msg.data, 0, 4)
    if method == CANCEL_SPLIT:
        told: SplitCancel = abi_decode(slice(msg.data, 4, SPLIT_CANCEL_SIZE), SplitCancel)
        self._cancel(told.authorizer, told.nonce, ecdsa._joined(told.v, told.r, told.s))
        return
    assert method == TRANSFER_SPLIT or method == RECEIVE_SPLIT
    split: SplitGrant = abi_decode(slice(msg.data, 4, SPLIT_GRANT_SIZE), SplitGrant)
    signature: Bytes[65] = ecdsa._joined(split.v, split.r, split.s)
    if method == TRANSFER_SPLIT:
        self._transfer_authorized(split.grant, signature)
    else:
        self._receive_authorized(split.grant, signature)


@external
def mint(account: address, amount: uint256):
    """
    @notice Makes new tokens; minters only.
    @param account Who gets them.
    @param amount How many, in millionths.
    """
    assert self.is_minter[msg.sender], "token: not minter"
    self._check_running()
    self._check_receiver(account)
    assert amount <= SUPPLY_MAX - self.totalSupply, "token: too many"
    self.totalSupply += amount
    self._accounts[account] = self._free_balance(account) + amount
    log IERC20.Transfer(sender=empty(address), receiver=account, value=amount)


@external
def burn(amount: uint256):
    """
    @notice Destroys tokens of the caller, who must be a minter: money paid back.
    @param amount How many, in millionths.
    """
    assert self.is_minter[msg.sender], "token: not minter"
    self._check_running()
    balance: uint256 = self._free_balance(msg.sender)
    assert balance >= amount, "token: short balance"
    self._accounts[msg.sender] = balance - amount
    self.totalSupply -= amount
    log IERC20.Transfer(sender=msg.sender, receiver=empty(address), value=amount)


@external
def set_minter(account: address, allowed: bool):
    """
    @notice Gives or takes the right to mint; owner only.
    @param account Who may mint.
    @param allowed Whether it may.
    """
    ownable._check_owner()
    self.is_minter[account] = allowed
    log IStableToken.MinterSet(minter=account, allowed=allowed)


@external
def freeze(account: address):
    """
    @notice Stops an account from sending, receiving and spending; owner only.
    @param account Which account.
    """
    ownable._check_owner()
    self._accounts[account] |= FROZEN
    log IStableToken.FrozenSet(account=account, frozen=True)


@external
def unfreeze(account: address):
    """
    @notice Ends a freeze; owner only.
    @param account Which account.
    """
    ownable._check_owner()
    self._accounts[account] &= SUPPLY_MAX
    log IStableToken.FrozenSet(account=account, frozen=False)


@external
def set_paused(paused: bool):
    """
    @notice Stops or resumes every movement, approval and signature; owner only.
    @param paused Whether they are stopped.
    """
    ownable._check_owner()
    self.is_paused = paused
    log IStableToken.PausedSet(paused=paused)


@internal
@view
def _check_running():
    """
    @dev Refuses while paused.
    """
    assert not self.is_paused, "token: paused"


@internal
@view
def _check_receiver(receiver: address):
    """
    @dev Refuses receivers whose tokens would be lost.
    """
    assert receiver != empty(address) and receiver != self, "token: bad receiver"


@internal
@view
def _check_free(account: address):
    """
    @dev Refuses frozen accounts.
    """
    assert self._accounts[account] < FROZEN, "token: frozen"


@internal
@view
def _free_balance(account: address) -> uint256:
    """
    @dev What an account holds, unless it is frozen: then the word would be more.
    """
    word: uint256 = self._accounts[account]
    assert word < FROZEN, "token: frozen"
    return word


@internal
def _move(sender: address, receiver: address, amount: uint256):
    """
    @dev Every change of holder; the supply stays.
    """
    self._check_running()
    self._check_receiver(receiver)
    balance: uint256 = self._free_balance(sender)
    assert balance >= amount, "token: short balance"
    self._accounts[sender] = balance - amount
    self._accounts[receiver] = self._free_balance(receiver) + amount
    log IERC20.Transfer(sender=sender, receiver=receiver, value=amount)


@internal
def _approve(owner: address, spender: address, amount: uint256):
    """
    @dev Every change of an allowance.
    """
    self._check_free(owner)
    self._check_free(spender)
    self.allowance[owner][spender] = amount
    log IERC20.Approval(owner=owner, spender=spender, value=amount)


@internal
def _transfer_authorized(grant: Grant, signature: Bytes[65]):
    """
    @dev By the sender's signature, whoever submits it.
    """
    self._move_authorized(TRANSFER_TYPE_HASH, grant, signature)


@internal
def _receive_authorized(grant: Grant, signature: Bytes[65]):
    """
    @dev By the sender's signature, submitted by the receiver.
    """
    assert msg.sender == grant.receiver, "authorization: not receiver"
    self._move_authorized(RECEIVE_TYPE_HASH, grant, signature)


@internal
def _move_authorized(type_hash: bytes32, grant: Grant, signature: Bytes[65]):
    """
    @dev Checks the time, uses the nonce up, moves. Both bounds are exclusive (ERC-3009).
    """
    assert block.timestamp > grant.valid_after, "authorization: not yet"
    assert block.timestamp < grant.valid_before, "authorization: expired"
    self._consume(grant.sender, grant.nonce, keccak256(abi_encode(type_hash, grant)), signature)
    log IStableToken.AuthorizationUsed(authorizer=grant.sender, nonce=grant.nonce)
    self._move(grant.sender, grant.receiver, grant.amount)


@internal
def _cancel(authorizer: address, nonce: bytes32, signature: Bytes[65]):
    """
    @dev Uses a nonce up and moves nothing.
    """
    self._check_running()
    struct_hash: bytes32 = keccak256(abi_encode(CANCEL_TYPE_HASH, authorizer, nonce))
    self._consume(authorizer, nonce, struct_hash, signature)
    log IStableToken.AuthorizationCanceled(authorizer=authorizer, nonce=nonce)


@internal
def _consume(
    authorizer: address, nonce: bytes32, struct_hash: bytes32, signature: Bytes[65]
):
    """
    @dev One nonce, one use, whatever was signed with it.
    """
    assert not self.authorizationState[authorizer][nonce], "authorization: used"
    signer: address = ecdsa._recover(eip712._digest(struct_hash), signature)
    assert signer != empty(address) and signer == authorizer, "authorization: bad signature"
    self.authorizationState[authorizer][nonce] = True
