# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Clearing house of one token
@license Apache-2.0
@notice Members deposit; a cycle's net amounts move between them all at once or not at
        all, once per cycle, each debit under its member's signature or standing mandate;
        what hosts earned leaves for the distributor together with its root; members
        leave by request, notice and withdrawal. ClearingHouse.md names the roles and the
        invariants.
@dev The token must move exactly what it is told to: no fee on transfer, no rebasing.
"""

from ethereum.ercs import IERC20

from .interfaces import IClearingHouse
from .interfaces import IRewardDistributor

# @dev One accepted form of a signature.
from .modules import ecdsa

# @dev The signing domain and its EIP-5267 description.
from .modules import eip712

# @dev The two-step owner.
from .modules import ownable

implements: IClearingHouse

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

# Members in one settlement. Four hundred stay below the gas limit of one transaction (EIP-7825).
NETS_MAX: constant(uint256) = 400

SETTLEMENT_TYPE_HASH: constant(bytes32) = keccak256(
    "Settlement(bytes32 cycle_id,bytes32 records_root,uint8 netting_mode,bytes32 nets_hash,bytes32 rewards_root,uint256 rewards_amount)"
)
DEBIT_TYPE_HASH: constant(bytes32) = keccak256(
    "Debit(bytes32 cycle_id,bytes32 records_root,bytes32 rulebook_hash,address member,uint256 amount)"
)
MANDATE_TYPE_HASH: constant(bytes32) = keccak256(
    "Mandate(address member,uint256 cap_per_cycle,uint256 valid_until,bytes32 rulebook_hash,uint256 nonce)"
)

token: public(immutable(address))
notice_s: public(immutable(uint256))

settler: public(address)
distributor: public(address)
rulebook_hash: public(bytes32)
settle_paused: public(bool)

is_member: public(HashMap[address, bool])
balance_of: public(HashMap[address, uint256])
total_balance: public(uint256)
mandate_of: public(HashMap[address, IClearingHouse.Mandate])
mandate_nonce: public(HashMap[address, uint256])
withdrawal_of: public(HashMap[address, IClearingHouse.Withdrawal])

last_sequence: public(uint256)
settled: public(HashMap[bytes32, bytes32])
records_root_of: public(HashMap[bytes32, bytes32])
settled_at: public(HashMap[bytes32, uint256])


@deploy
def __init__(
    token_: address,
    owner_: address,
    settler_: address,
    notice_s_: uint256,
    rulebook_hash_: bytes32,
    last_sequence_: uint256,
):
    """
    @param token_ The only token held and moved here.
    @param owner_ The first owner; it registers members and names the settler.
    @param settler_ Who may settle.
    @param notice_s_ Seconds between the request of a withdrawal and its payment.
    @param rulebook_hash_ The rules that debits and mandates are signed under.
    @param last_sequence_ The last cycle settled elsewhere, zero for a new domain.
    """
    assert token_ != empty(address), "address: zero"
    token = token_
    notice_s = notice_s_
    eip712.__init__("opencarrier ClearingHouse", "1")
    ownable.__init__(owner_)
    self.settler = settler_
    self.rulebook_hash = rulebook_hash_
    self.last_sequence = last_sequence_
    log IClearingHouse.SettlerSet(settler=settler_)
    log IClearingHouse.RulebookSet(rulebook_hash=rulebook_hash_)


# The owner's part


@external
def set_member(member: address, registered: bool):
    """
    @notice Registers a member or ends its membership; its money stays its own, owner only.
    @param member Whose membership.
    @param registered Whether it may be deposited for and settled with.
    """
    ownable._check_owner()
    assert member != empty(address) and member != self, "member: bad address"
    self.is_member[member] = registered
    log IClearingHouse.MemberSet(member=member, registered=registered)


@external
def set_settler(settler: address):
    """
    @notice Names who may settle; owner only.
    @param settler The only caller of `settle`.
    """
    ownable._check_owner()
    self.settler = settler
    log IClearingHouse.SettlerSet(settler=settler)


@external
def set_distributor(distributor: address):
    """
    @notice Names the distributor of host entitlements, once; owner only.
    @param distributor A distributor that listens to this contract.
    """
    ownable._check_owner()
    assert self.distributor == empty(address), "distributor: already set"
    publisher: address = staticcall IRewardDistributor(distributor).clearing_house()
    assert publisher == self, "distributor: other clearing house"
    self.distributor = distributor
    log IClearingHouse.DistributorSet(distributor=distributor)


@external
def set_rulebook(rulebook_hash: bytes32):
    """
    @notice Changes the rules; debits signed and mandates given under others lapse; owner only.
    @param rulebook_hash The hash of the rulebook that is in force from now on.
    """
    ownable._check_owner()
    self.rulebook_hash = rulebook_hash
    log IClearingHouse.RulebookSet(rulebook_hash=rulebook_hash)


@external
def set_settle_paused(paused: bool):
    """
    @notice Stops or resumes new settlements, and nothing else; owner only.
    @param paused Whether they are stopped.
    """
    ownable._check_owner()
    self.settle_paused = paused
    log IClearingHouse.SettlePausedSet(paused=paused)


# A member's part


@external
def deposit(member: address, amount: uint256):
    """
    @notice Adds collateral to a member's balance from the caller's tokens.
    @param member Whose balance grows.
    @param amount How much, in the token's unit; approved to this contract before.
    """
    assert self.is_member[member], "deposit: not member"
    assert amount != 0, "amount: zero"
    balance: uint256 = self.balance_of[member] + amount
    self.balance_of[member] = balance
    self.total_balance += amount
    log IClearingHouse.Deposited(
        member=member, payer=msg.sender, amount=amount, balance=balance
    )
    held: uint256 = staticcall IERC20(token).balanceOf(self)
    assert extcall IERC20(token).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "token: refused"
    assert staticcall IERC20(token).balanceOf(self) == held + amount, "deposit: other amount"


@external
def set_mandate(cap_per_cycle: uint256, valid_until: uint256):
    """
    @notice Lets the settler debit the caller without a signature, up to a cap in each
            cycle; zero revokes. Every mandate signed before and not yet submitted lapses.
    @param cap_per_cycle The most a cycle may debit.
    @param valid_until The last second of validity.
    """
    self.mandate_nonce[msg.sender] += 1
    self._set_mandate(msg.sender, cap_per_cycle, valid_until)


@external
def set_mandate_by_signature(
    member: address, cap_per_cycle: uint256, valid_until: uint256, signature: Bytes[65]
):
    """
    @notice As `set_mandate`, by the member's signature; anybody may submit it.
    @param member Whose mandate, and who signed.
    @param cap_per_cycle The most a cycle may debit.
    @param valid_until The last second of validity.
    @param signature 65 bytes over `Mandate` with the member's current nonce, low s.
    """
    nonce: uint256 = self.mandate_nonce[member]
    digest: bytes32 = eip712._digest(
        keccak256(
            abi_encode(
                MANDATE_TYPE_HASH, member, cap_per_cycle, valid_until, self.rulebook_hash, nonce
            )
        )
    )
    self._check_signature(member, digest, signature, "mandate: bad signature")
    self.mandate_nonce[member] = nonce + 1
    self._set_mandate(member, cap_per_cycle, valid_until)


@external
def request_withdrawal(amount: uint256):
    """
    @notice Gives notice of a withdrawal. Until it is paid the amount can still be debited,
            but it is no longer collateral for new credit (`free_balance`).
    @param amount How much; the payment is the smaller of this and the balance then.
    """
    assert amount != 0, "amount: zero"
    assert self.withdrawal_of[msg.sender].amount == 0, "withdrawal: already requested"
    ready_at: uint256 = block.timestamp + notice_s
    self.withdrawal_of[msg.sender] = IClearingHouse.Withdrawal(amount=amount, ready_at=ready_at)
    log IClearingHouse.WithdrawalRequested(
        member=msg.sender, amount=amount, ready_at=ready_at
    )


@external
def cancel_withdrawal():
    """
    @notice Takes the caller's request back.
    """
    assert self.withdrawal_of[msg.sender].amount != 0, "withdrawal: not requested"
    self.withdrawal_of[msg.sender] = empty(IClearingHouse.Withdrawal)
    log IClearingHouse.WithdrawalCancelled(member=msg.sender)


@external
def withdraw() -> uint256:
    """
    @notice Pays the caller's request once its notice has passed; no pause stops it.
    @return uint256 What was paid.
    """
    request: IClearingHouse.Withdrawal = self.withdrawal_of[msg.sender]
    assert request.amount != 0, "withdrawal: not requested"
    assert block.timestamp >= request.ready_at, "withdrawal: notice"
    amount: uint256 = min(request.amount, self.balance_of[msg.sender])
    balance: uint256 = self.balance_of[msg.sender] - amount
    self.withdrawal_of[msg.sender] = empty(IClearingHouse.Withdrawal)
    self.balance_of[msg.sender] = balance
    self.total_balance -= amount
    log IClearingHouse.Withdrawn(member=msg.sender, amount=amount, balance=balance)
    self._pay(msg.sender, amount)
    return amount


# The settler's part


@external
def settle(
    sequence: uint256,
    cycle_id: bytes32,
    records_root: bytes32,
    netting_mode: uint8,
    nets: DynArray[IClearingHouse.Net, NETS_MAX],
    debit_signatures: DynArray[Bytes[65], NETS_MAX],
    rewards_root: bytes32,
    rewards_amount: uint256,
) -> bytes32:
    """
    @notice Moves a cycle's net amounts, all or none. The same content again changes
            nothing and returns the same id; other content for a settled cycle reverts.
    @param sequence The last settled sequence plus one.
    @param cycle_id The cycle.
    @param records_root The root over the cycle's rated records.
    @param netting_mode How the nets were made; part of the id, not interpreted.
    @param nets Who gets and who pays, ascending by member, never zero.
    @param debit_signatures One for each paying member in the order of `nets`: 65 bytes
           over `Debit`, or empty to use its standing mandate.
    @param rewards_root The root of the host entitlements, empty if nothing was earned.
    @param rewards_amount What hosts earned in this cycle; the nets sum to its negative.
    @return bytes32 The settlement's id.
    """
    assert msg.sender == self.settler, "settle: not settler"
    settlement_id: bytes32 = keccak256(
        abi_encode(
            SETTLEMENT_TYPE_HASH,
            cycle_id,
            records_root,
            netting_mode,
            keccak256(abi_encode(nets)),
            rewards_root,
            rewards_amount,
        )
    )
    before: bytes32 = self.settled[cycle_id]
    if before != empty(bytes32):
        assert before == settlement_id, "settled: other content"
        return settlement_id
    assert not self.settle_paused, "settle: paused"
    assert sequence == self.last_sequence + 1, "settle: sequence"
    self.last_sequence = sequence
    self.settled[cycle_id] = settlement_id
    self.records_root_of[cycle_id] = records_root
    self.settled_at[cycle_id] = block.timestamp
    log IClearingHouse.Settled(
        cycle_id=cycle_id,
        settlement_id=settlement_id,
        sequence=sequence,
        records_root=records_root,
        netting_mode=netting_mode,
        nets_count=len(nets),
        rewards_root=rewards_root,
        rewards_amount=rewards_amount,
    )
    # Here and not in a function of its own: arrays are passed by value, twice the memory to pay.
    previous: uint160 = 0
    sum: int256 = 0
    debits: uint256 = 0
    for net: IClearingHouse.Net in nets:
        assert convert(net.member, uint160) > previous, "nets: order"
        assert net.amount != 0, "nets: zero"
        assert self.is_member[net.member], "nets: not member"
        previous = convert(net.member, uint160)
        sum += net.amount
        if net.amount < 0:
            assert debits < len(debit_signatures), "debit: signatures missing"
            amount: uint256 = convert(-net.amount, uint256)
            self._check_debit(
                cycle_id, records_root, net.member, amount, debit_signatures[debits]
            )
            debits += 1
        self._apply_net(cycle_id, net.member, net.amount)
    assert debits == len(debit_signatures), "debit: signatures left"
    assert sum + convert(rewards_amount, int256) == 0, "nets: sum"
    self._fund_rewards(cycle_id, rewards_root, rewards_amount)
    assert staticcall IERC20(token).balanceOf(self) >= self.total_balance, "settle: insolvent"
    return settlement_id


# What anybody may read


@external
@view
def free_balance(member: address) -> uint256:
    """
    @notice What still backs new credit: the balance less a requested withdrawal.
    @param member Whose balance.
    @return uint256 The amount, in the token's unit.
    """
    balance: uint256 = self.balance_of[member]
    return balance - min(self.withdrawal_of[member].amount, balance)


@external
@view
def debit_digest(
    cycle_id: bytes32, records_root: bytes32, member: address, amount: uint256
) -> bytes32:
    """
    @notice What a member signs to be debited in a cycle under the rulebook in force.
    @param cycle_id The cycle.
    @param records_root The root over the cycle's rated records.
    @param member Who pays.
    @param amount What it pays, in the token's unit.
    @return bytes32 The EIP-712 digest.
    """
    return self._debit_digest(cycle_id, records_root, member, amount)


# Inside


@internal
def _apply_net(cycle_id: bytes32, member: address, amount: int256):
    """
    @dev One member's row; no balance falls below zero.
    """
    balance: uint256 = self.balance_of[member]
    if amount < 0:
        debit: uint256 = convert(-amount, uint256)
        assert balance >= debit, "debit: short of collateral"
        balance -= debit
    else:
        balance += convert(amount, uint256)
    self.balance_of[member] = balance
    log IClearingHouse.NetApplied(
        cycle_id=cycle_id, member=member, amount=amount, balance=balance
    )


@internal
@view
def _check_debit(
    cycle_id: bytes32,
    records_root: bytes32,
    member: address,
    amount: uint256,
    signature: Bytes[65],
):
    """
    @dev A member pays under its signature over exactly this, or under its mandate.
    """
    if len(signature) == 0:
        mandate: IClearingHouse.Mandate = self.mandate_of[member]
        assert block.timestamp <= mandate.valid_until, "mandate: expired"
        assert mandate.rulebook_hash == self.rulebook_hash, "mandate: other rulebook"
        assert amount <= mandate.cap_per_cycle, "mandate: over cap"
        return
    digest: bytes32 = self._debit_digest(cycle_id, records_root, member, amount)
    self._check_signature(member, digest, signature, "debit: bad signature")


@internal
@view
def _debit_digest(
    cycle_id: bytes32, records_root: bytes32, member: address, amount: uint256
) -> bytes32:
    """
    @dev What a member signs to be debited.
    """
    return eip712._digest(
        keccak256(
            abi_encode(
                DEBIT_TYPE_HASH, cycle_id, records_root, self.rulebook_hash, member, amount
            )
        )
    )


@internal
@pure
def _check_signature(
    signer: address, digest: bytes32, signature: Bytes[65], refusal: String[32]
):
    """
    @dev The zero address signs nothing.
    """
    assert signer != empty(address), refusal
    assert ecdsa._recover(digest, signature) == signer, refusal


@internal
def _set_mandate(member: address, cap_per_cycle: uint256, valid_until: uint256):
    """
    @dev A mandate is given under the rulebook in force.
    """
    rulebook_hash: bytes32 = self.rulebook_hash
    self.mandate_of[member] = IClearingHouse.Mandate(
        cap_per_cycle=cap_per_cycle, valid_until=valid_until, rulebook_hash=rulebook_hash
    )
    log IClearingHouse.MandateSet(
        member=member,
        cap_per_cycle=cap_per_cycle,
        valid_until=valid_until,
        rulebook_hash=rulebook_hash,
    )


@internal
def _fund_rewards(cycle_id: bytes32, rewards_root: bytes32, rewards_amount: uint256):
    """
    @dev Money and root go together or not at all: no root without new money for it.
    """
    if rewards_amount == 0:
        assert rewards_root == empty(bytes32), "rewards: root without money"
        return
    assert rewards_root != empty(bytes32), "rewards: money without root"
    assert self.distributor != empty(address), "rewards: no distributor"
    self.total_balance -= rewards_amount
    self._pay(self.distributor, rewards_amount)
    extcall IRewardDistributor(self.distributor).publish(
        token, cycle_id, rewards_root, rewards_amount
    )


@internal
def _pay(receiver: address, amount: uint256):
    """
    @dev Tokens leave; nothing is asked of the token where nothing is due.
    """
    if amount != 0:
        assert extcall IERC20(token).transfer(
            receiver, amount, default_return_value=True
        ), "token: refused"
