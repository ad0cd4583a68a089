# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Clearing house
@license Apache-2.0
@notice Members deposit tokens of several kinds; a cycle's net amounts in one of them move
        between them all at once or not at all, once per cycle, each debit under its member's
        signature or standing mandate; what hosts earned leaves for the distributor together
        with its root; what only one side signed is claimed through a corridor; members leave
        by request, notice and withdrawal. ClearingHouse.md names the roles and the invariants.
@dev A token must move exactly what it is told to: no fee on transfer, no rebasing.
"""

from ethereum.ercs import IERC20

from .interfaces import IClearingHouse
from .interfaces import IRewardDistributor

# @dev Balances, mandates and totals, a word each.
from .modules import accounts

# @dev Deposit, notice, withdrawal.
from .modules import collateral

# @dev Claims that one side signed.
from .modules import corridors

# @dev One accepted form of a signature.
from .modules import ecdsa

# @dev The signing domain and its EIP-5267 description.
from .modules import eip712

# @dev The two-step owner.
from .modules import ownable

implements: IClearingHouse

initializes: accounts
initializes: eip712
initializes: ownable
initializes: collateral[accounts := accounts]
initializes: corridors[accounts := accounts, collateral := collateral, ownable := ownable]

exports: (
    accounts.balance_of,
    accounts.is_listed,
    accounts.is_member,
    accounts.last_sequence,
    accounts.mandate_of,
    accounts.mandates_used_at,
    accounts.total_of,
    collateral.cancel_withdrawal,
    collateral.deposit,
    collateral.free_balance,
    collateral.notice_s,
    collateral.request_withdrawal,
    collateral.withdraw,
    collateral.withdrawal_of,
    corridors.accept_claim,
    corridors.agree_claim,
    corridors.arbiter,
    corridors.arbitration_s,
    corridors.bond_ppm,
    corridors.claim_of,
    corridors.close_corridor,
    corridors.corridor_of,
    corridors.decide_claim,
    corridors.dispute_claim,
    corridors.finish_claim,
    corridors.open_corridor,
    corridors.post_claim,
    corridors.set_arbiter,
    eip712.DOMAIN_SEPARATOR,
    eip712.eip712Domain,
    ownable.owner,
    ownable.pending_owner,
    ownable.transfer_ownership,
    ownable.accept_ownership,
)

# Members in one settlement. Four hundred stay below the gas limit of one transaction (EIP-7825).
NETS_MAX: constant(uint256) = 400
SIGNATURE_OCTETS: constant(uint256) = 65
MANDATE_INTERVAL_MAX_S: constant(uint256) = 30 * 86400

SETTLEMENT_TYPE_HASH: constant(bytes32) = keccak256(
    "Settlement(address token,bytes32 cycle_id,bytes32 records_root,uint8 netting_mode,bytes32 nets_hash,bytes32 rewards_root,uint256 rewards_amount)"
)
DEBIT_TYPE_HASH: constant(bytes32) = keccak256(
    "Debit(bytes32 settlement_id,bytes32 rulebook_hash,address token,address member,uint256 amount)"
)
MANDATE_TYPE_HASH: constant(bytes32) = keccak256(
    "Mandate(address token,address member,uint256 cap_per_cycle,uint256 valid_until,bytes32 rulebook_hash,uint256 nonce)"
)

# What every settlement asks, in one word: settler 160 | rulebook epoch 16 | 79 unused | paused 1.
EPOCH_AT: constant(uint256) = 160
SETTLER_MASK: constant(uint256) = 2**160 - 1
PAUSED: constant(uint256) = 2**255

mandate_interval_s: public(immutable(uint256))

gate: uint256
distributor: public(address)
rulebook_hash: public(bytes32)
mandate_nonce: public(HashMap[address, HashMap[address, uint256]])
settled: public(HashMap[bytes32, bytes32])


@deploy
def __init__(
    owner_: address,
    settler_: address,
    rulebook_hash_: bytes32,
    notice_s_: uint256,
    mandate_interval_s_: uint256,
    bond_ppm_: uint256,
    arbitration_s_: uint256,
):
    """
    @param owner_ The first owner; it lists tokens, registers members and names the settler.
    @param settler_ Who may settle.
    @param rulebook_hash_ The rules that debits and mandates are signed under.
    @param notice_s_ Seconds between the request of a withdrawal and its payment.
    @param mandate_interval_s_ Seconds between two settlements of a token that use mandates.
    @param bond_ppm_ The bond of a dispute, in millionths of the difference.
    @param arbitration_s_ Seconds in which a dispute is decided.
    """
    assert mandate_interval_s_ <= MANDATE_INTERVAL_MAX_S, "terms: too long"
    mandate_interval_s = mandate_interval_s_
    eip712.__init__("opencarrier ClearingHouse", "1")
    ownable.__init__(owner_)
    collateral.__init__(notice_s_)
    corridors.__init__(bond_ppm_, arbitration_s_)
    self._set_settler(settler_)
    self._set_rulebook(rulebook_hash_)


# The owner's part


@external
def list_token(token: address, last_sequence: uint256):
    """
    @notice Lets a token be held and settled here, for good; owner only.
    @param token The token.
    @param last_sequence The last cycle settled in it elsewhere, zero for a new domain.
    """
    ownable._check_owner()
    assert token.is_contract, "token: not contract"
    assert accounts.tokens[token] == 0, "token: already listed"
    assert last_sequence < accounts.SEQUENCE_MAX // 2, "token: sequence"
    accounts._list(token, last_sequence)
    log IClearingHouse.TokenListed(token=token, last_sequence=last_sequence)


@external
def set_member(token: address, member: address, registered: bool):
    """
    @notice Registers a member in a token or ends that; its money stays its own, owner only.
    @param token The token.
    @param member Whose membership.
    @param registered Whether it may be deposited for and settled with.
    """
    ownable._check_owner()
    assert accounts.tokens[token] != 0, "token: not listed"
    assert member != empty(address) and member != self, "member: bad address"
    accounts._set_member(token, member, registered)
    log IClearingHouse.MemberSet(token=token, member=member, registered=registered)


@external
def set_settler(settler: address):
    """
    @notice Names who may settle; owner only.
    @param settler The only caller of `settle`.
    """
    ownable._check_owner()
    self._set_settler(settler)


@external
def set_distributor(distributor: address):
    """
    @notice Names the distributor of host entitlements, once; owner only.
    @param distributor A distributor that listens to this contract.
    """
    ownable._check_owner()
    assert self.distributor == empty(address), "distributor: already set"
    listens_to: address = staticcall IRewardDistributor(distributor).clearing_house()
    assert listens_to == self, "distributor: other clearing house"
    self.distributor = distributor
    log IClearingHouse.DistributorSet(distributor=distributor)


@external
def set_rulebook(rulebook_hash: bytes32):
    """
    @notice Changes the rules; debits signed and mandates given before lapse; owner only.
    @param rulebook_hash The hash of the rulebook that is in force from now on.
    """
    ownable._check_owner()
    self._set_rulebook(rulebook_hash)


@external
def set_settle_paused(paused: bool):
    """
    @notice Stops or resumes new settlements, and nothing else; owner only.
    @param paused Whether they are stopped.
    """
    ownable._check_owner()
    self.gate = self.gate | PAUSED if paused else self.gate & ~PAUSED
    log IClearingHouse.SettlePausedSet(paused=paused)


# A member's mandate


@external
def set_mandate(token: address, cap_per_cycle: uint256, valid_until: uint256):
    """
    @notice Lets the settler debit the caller without a signature, up to a cap in each
            cycle; zero revokes. Every mandate signed before and not yet submitted lapses.
    @param token The token.
    @param cap_per_cycle The most a cycle may debit.
    @param valid_until The last second of validity.
    """
    self._set_mandate(token, msg.sender, cap_per_cycle, valid_until)


@external
def set_mandate_by_signature(
    token: address,
    member: address,
    cap_per_cycle: uint256,
    valid_until: uint256,
    signature: Bytes[65],
):
    """
    @notice As `set_mandate`, by the member's signature; anybody may submit it.
    @param token The token.
    @param member Whose mandate, and who signed.
    @param cap_per_cycle The most a cycle may debit.
    @param valid_until The last second of validity.
    @param signature 65 bytes over `Mandate` with the member's current nonce, low s.
    """
    digest: bytes32 = eip712._digest(
        keccak256(
            abi_encode(
                MANDATE_TYPE_HASH,
                token,
                member,
                cap_per_cycle,
                valid_until,
                self.rulebook_hash,
                self.mandate_nonce[token][member],
            )
        )
    )
    assert member != empty(address), "mandate: bad signature"
    assert ecdsa._recover(digest, signature) == member, "mandate: bad signature"
    self._set_mandate(token, member, cap_per_cycle, valid_until)


# The settler's part


@external
def settle(
    token: address,
    sequence: uint256,
    cycle_id: bytes32,
    records_root: bytes32,
    netting_mode: uint8,
    nets: DynArray[uint256, NETS_MAX],
    debit_signatures: Bytes[NETS_MAX * SIGNATURE_OCTETS],
    rewards_root: bytes32,
    rewards_amount: uint256,
) -> bytes32:
    """
    @notice Moves a cycle's net amounts, all or none. The same content again changes
            nothing and returns the same id; other content for a settled cycle reverts.
    @param token The token.
    @param sequence The token's last settled sequence plus one.
    @param cycle_id The cycle.
    @param records_root The root over the cycle's rated records.
    @param netting_mode How the nets were made; part of the id, not interpreted.
    @param nets Who gets and who pays, ascending by member, never zero: each a word of the
           member's address and, in the lowest 96 bits, the amount as an int96.
    @param debit_signatures 65 bytes over `Debit` for each paying member in the order of
           `nets`, or zeros to use its standing mandate; nothing where all use theirs.
    @param rewards_root The root of the host entitlements, empty if nothing was earned.
    @param rewards_amount What hosts earned in this cycle; the nets sum to its negative.
    @return bytes32 The settlement's id.
    """
    gate: uint256 = self.gate
    assert convert(msg.sender, uint256) == gate & SETTLER_MASK, "settle: not settler"
    settlement_id: bytes32 = keccak256(
        abi_encode(
            SETTLEMENT_TYPE_HASH,
            token,
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
    assert gate < PAUSED, "settle: paused"
    asset: uint256 = accounts.tokens[token]
    assert asset != 0, "token: not listed"
    last: uint256 = (asset >> accounts.SEQUENCE_AT) & accounts.SEQUENCE_MAX
    assert sequence == last + 1, "settle: sequence"
    self.settled[cycle_id] = settlement_id
    log IClearingHouse.Settled(
        cycle_id=cycle_id,
        settlement_id=settlement_id,
        token=token,
        sequence=sequence,
        records_root=records_root,
        netting_mode=netting_mode,
        rewards_root=rewards_root,
        rewards_amount=rewards_amount,
        nets=nets,
    )
    # Here and not in a function of its own: arrays are passed by value, twice the memory to pay.
    previous: uint256 = 0
    credits: uint256 = rewards_amount
    debits: uint256 = 0
    at: uint256 = 0
    mandated: bool = False
    for net: uint256 in nets:
        member: uint256 = net >> accounts.MEMBER_AT
        assert member > previous, "nets: order"
        previous = member
        word: uint256 = accounts.words[token][convert(member, address)]
        assert word >= accounts.PRESENT, "nets: not member"
        balance: uint256 = word & accounts.BALANCE_MAX
        amount: uint256 = net & accounts.AMOUNT_MASK
        assert amount != 0, "nets: zero"
        if amount < accounts.AMOUNT_SIGN:
            credits += amount
            assert balance + amount <= accounts.BALANCE_MAX, "balance: too large"
            accounts.words[token][convert(member, address)] = word + amount
            continue
        amount = accounts.AMOUNT_MASK + 1 - amount
        debits += amount
        assert balance >= amount, "debit: short of collateral"
        accounts.words[token][convert(member, address)] = word - amount
        r: bytes32 = empty(bytes32)
        if len(debit_signatures) != 0:
            assert len(debit_signatures) >= at + SIGNATURE_OCTETS, "debit: signatures missing"
            r = extract32(debit_signatures, at)
        if r == empty(bytes32):
            accounts._check_mandate(word, amount, gate >> EPOCH_AT)
            mandated = True
        else:
            s: bytes32 = extract32(debit_signatures, at + 32)
            v: uint8 = convert(slice(debit_signatures, at + 64, 1), uint8)
            signer: address = convert(member, address)
            digest: bytes32 = self._debit_digest(settlement_id, token, signer, amount)
            assert ecdsa._recover_vrs(digest, v, r, s) == signer, "debit: bad signature"
        at += SIGNATURE_OCTETS
    assert len(debit_signatures) == 0 or len(debit_signatures) == at, "debit: signatures left"
    assert credits == debits, "nets: sum"
    # No more than was debited just now, so neither part of the word runs over.
    asset += (1 << accounts.SEQUENCE_AT) - rewards_amount
    accounts.tokens[token] = self._with_mandates(asset) if mandated else asset
    self._fund_rewards(token, cycle_id, rewards_root, rewards_amount)
    held: uint256 = staticcall IERC20(token).balanceOf(self)
    assert held >= asset & accounts.TOTAL_MAX, "settle: insolvent"
    return settlement_id


# What anybody may read


@external
@view
def settler() -> address:
    """
    @notice Who may settle.
    @return address The only caller of `settle`.
    """
    return convert(self.gate & SETTLER_MASK, address)


@external
@view
def settle_paused() -> bool:
    """
    @notice Whether new settlements are stopped.
    @return bool Whether they are.
    """
    return self.gate >= PAUSED


@external
@view
def rulebook_epoch() -> uint256:
    """
    @notice How many rulebooks there were; a mandate of an earlier epoch has lapsed.
    @return uint256 The epoch, one for the first rulebook.
    """
    return (self.gate >> EPOCH_AT) & accounts.EPOCH_MAX


@external
@view
def short_of(token: address, nets: DynArray[uint256, NETS_MAX]) -> address:
    """
    @notice The first member whose balance does not reach for its row now.
    @param token The token.
    @param nets The rows as `settle` takes them.
    @return address The member, zero where nobody is short.
    """
    for net: uint256 in nets:
        amount: uint256 = net & accounts.AMOUNT_MASK
        member: address = convert(net >> accounts.MEMBER_AT, address)
        if amount >= accounts.AMOUNT_SIGN:
            if accounts._balance(token, member) < accounts.AMOUNT_MASK + 1 - amount:
                return member
    return empty(address)


@external
@view
def debit_digest(
    settlement_id: bytes32, token: address, member: address, amount: uint256
) -> bytes32:
    """
    @notice What a member signs to be debited in a settlement under the rulebook in force.
    @param settlement_id The settlement: cycle, records, nets and rewards.
    @param token The token.
    @param member Who pays.
    @param amount What it pays, in the token's unit.
    @return bytes32 The EIP-712 digest.
    """
    return self._debit_digest(settlement_id, token, member, amount)


# Inside


@internal
@view
def _debit_digest(
    settlement_id: bytes32, token: address, member: address, amount: uint256
) -> bytes32:
    """
    @dev What a member signs to be debited.
    """
    return eip712._digest(
        keccak256(
            abi_encode(DEBIT_TYPE_HASH, settlement_id, self.rulebook_hash, token, member, amount)
        )
    )


@internal
@view
def _with_mandates(asset: uint256) -> uint256:
    """
    @dev A token's word after mandates were used now, which the interval must allow.
    """
    used_at: uint256 = (asset >> accounts.MANDATES_AT_AT) & accounts.MANDATES_AT_MAX
    assert block.timestamp >= used_at + mandate_interval_s, "mandate: too soon"
    return asset + ((block.timestamp - used_at) << accounts.MANDATES_AT_AT)


@internal
def _set_settler(settler: address):
    """
    @dev The lowest part of the gate.
    """
    self.gate = self.gate & ~SETTLER_MASK | convert(settler, uint256)
    log IClearingHouse.SettlerSet(settler=settler)


@internal
def _set_rulebook(rulebook_hash: bytes32):
    """
    @dev A new epoch, even for a rulebook that was in force before.
    """
    epoch: uint256 = ((self.gate >> EPOCH_AT) & accounts.EPOCH_MAX) + 1
    assert epoch <= accounts.EPOCH_MAX, "rulebook: too many"
    self.gate += 1 << EPOCH_AT
    self.rulebook_hash = rulebook_hash
    log IClearingHouse.RulebookSet(rulebook_hash=rulebook_hash, epoch=epoch)


@internal
def _set_mandate(
    token: address, member: address, cap_per_cycle: uint256, valid_until: uint256
):
    """
    @dev A mandate is given under the rulebook in force.
    """
    epoch: uint256 = (self.gate >> EPOCH_AT) & accounts.EPOCH_MAX
    self.mandate_nonce[token][member] += 1
    accounts._set_mandate(token, member, cap_per_cycle, valid_until, epoch)
    log IClearingHouse.MandateSet(
        token=token,
        member=member,
        cap_per_cycle=cap_per_cycle,
        valid_until=valid_until,
        rulebook_epoch=epoch,
    )


@internal
def _fund_rewards(
    token: address, cycle_id: bytes32, rewards_root: bytes32, rewards_amount: uint256
):
    """
    @dev Money and root go together or not at all: no root without new money for it.
    """
    if rewards_amount == 0:
        assert rewards_root == empty(bytes32), "rewards: root without money"
        return
    assert rewards_root != empty(bytes32), "rewards: money without root"
    distributor: address = self.distributor
    assert distributor != empty(address), "rewards: no distributor"
    collateral._pay(token, distributor, rewards_amount)
    extcall IRewardDistributor(distributor).publish(
        token, cycle_id, rewards_root, rewards_amount
    )
