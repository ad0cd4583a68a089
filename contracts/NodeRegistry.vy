# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Registry of nodes
@license Apache-2.0
@notice All nodes stand in one Merkle root; a node becomes a token of its owner (ERC-721)
        when somebody proves it. An owner rotates its node's signing key, backs the node
        with a bond, and may appeal against a ban, which guardians sign, which ends by
        itself, and which is the only way to lose of the bond. NodeRegistry.md names the
        roles and the invariants.
@dev A leaf is keccak256(keccak256(abi.encode(node_id, owner, operator, valid_from))),
     pairs are hashed in ascending order: the layout of OpenZeppelin's StandardMerkleTree.
     The bond's token must move exactly what it is told to: no fee on transfer, no rebasing.
"""

from ethereum.ercs import IERC20

from .interfaces import INodeRegistry

# @dev One accepted form of a signature.
from .modules import ecdsa

# @dev The signing domain and its EIP-5267 description.
from .modules import eip712

# @dev Who owns a node.
from .modules import erc721

# @dev Proofs against the root.
from .modules import merkle

# @dev The two-step owner of the registry.
from .modules import ownable

implements: INodeRegistry

initializes: eip712
initializes: erc721
initializes: ownable

exports: (
    eip712.DOMAIN_SEPARATOR,
    eip712.eip712Domain,
    erc721.__interface__,
    ownable.owner,
    ownable.pending_owner,
    ownable.transfer_ownership,
    ownable.accept_ownership,
)

GUARDIANS_MAX: constant(uint256) = 16
KEYS_MAX: constant(uint256) = 255
# Halvings that find a place among `KEYS_MAX` keys.
KEY_STEPS_MAX: constant(uint256) = 8

BAN_TYPE_HASH: constant(bytes32) = keccak256(
    "Ban(bytes32 node_id,bytes32 reason_hash,bytes32 evidence_root,uint256 starts_at,uint256 ends_at,uint256 slash_amount)"
)

token: public(immutable(address))
notice_s: public(immutable(uint256))
operator_delay_s: public(immutable(uint256))
appeal_s: public(immutable(uint256))
decision_s: public(immutable(uint256))
ban_s_max: public(immutable(uint256))

registrar: public(address)
arbiter: public(address)
beneficiary: public(address)
signers: DynArray[address, GUARDIANS_MAX]
threshold: public(uint256)

epoch: public(uint256)
root: public(bytes32)

keys: HashMap[bytes32, DynArray[INodeRegistry.Key, KEYS_MAX]]
bond_of: public(HashMap[bytes32, uint256])
withdrawal_of: public(HashMap[bytes32, INodeRegistry.Withdrawal])
ban_of: public(HashMap[bytes32, INodeRegistry.Ban])
last_ban: public(HashMap[bytes32, bytes32])
collectable: public(uint256)
total_held: public(uint256)


@deploy
def __init__(
    token_: address,
    owner_: address,
    notice_s_: uint256,
    operator_delay_s_: uint256,
    appeal_s_: uint256,
    decision_s_: uint256,
    ban_s_max_: uint256,
):
    """
    @param token_ The token bonds are posted in.
    @param owner_ The first owner; it names registrar, guardians, arbiter and beneficiary.
    @param notice_s_ Seconds between the request of a bond's withdrawal and its payment.
    @param operator_delay_s_ Seconds until a new key of a node is in force.
    @param appeal_s_ Seconds the owner of a node has to appeal against a ban.
    @param decision_s_ Seconds the arbiter has to decide an appeal.
    @param ban_s_max_ The longest ban, in seconds.
    """
    assert token_ != empty(address), "address: zero"
    assert min(min(appeal_s_, decision_s_), ban_s_max_) != 0, "time: zero"
    token = token_
    notice_s = notice_s_
    operator_delay_s = operator_delay_s_
    appeal_s = appeal_s_
    decision_s = decision_s_
    ban_s_max = ban_s_max_
    eip712.__init__("opencarrier NodeRegistry", "1")
    erc721.__init__()
    ownable.__init__(owner_)
    # Never zero: no ban without a signature.
    self.threshold = 1


# The owner's part


@external
def set_registrar(registrar: address):
    """
    @notice Names who publishes roots; owner only.
    @param registrar The only caller of `publish_root`, zero for nobody.
    """
    ownable._check_owner()
    self.registrar = registrar
    log INodeRegistry.RegistrarSet(registrar=registrar)


@external
def set_arbiter(arbiter: address):
    """
    @notice Names who decides appeals; owner only.
    @param arbiter The only caller of `decide`; while there is none, appeals succeed.
    """
    ownable._check_owner()
    self.arbiter = arbiter
    log INodeRegistry.ArbiterSet(arbiter=arbiter)


@external
def set_beneficiary(beneficiary: address):
    """
    @notice Names who gets what bans cost nodes; owner only.
    @param beneficiary The receiver of `collect`.
    """
    ownable._check_owner()
    assert beneficiary != empty(address) and beneficiary != self, "beneficiary: bad address"
    self.beneficiary = beneficiary
    log INodeRegistry.BeneficiarySet(beneficiary=beneficiary)


@external
def set_guardians(guardians: DynArray[address, GUARDIANS_MAX], threshold: uint256):
    """
    @notice Names all who sign bans, and how many it takes; owner only. Statements that
            were signed and not submitted count by the new rule.
    @param guardians Ascending by address; none means no bans.
    @param threshold How many of them sign a ban.
    """
    ownable._check_owner()
    assert threshold != 0 and threshold <= max(len(guardians), 1), "guardians: threshold"
    previous: uint160 = 0
    for guardian: address in guardians:
        assert convert(guardian, uint160) > previous, "guardians: order"
        previous = convert(guardian, uint160)
    self.signers = guardians
    self.threshold = threshold
    log INodeRegistry.GuardiansSet(guardians=guardians, threshold=threshold)


# The registrar's part


@external
def publish_root(epoch: uint256, root: bytes32):
    """
    @notice Replaces the root by which nodes are proven; registrar only. Nodes that are
            tokens already are their owners', whatever it says.
    @param epoch The last epoch plus one.
    @param root The root over all nodes, zero to stop proving.
    """
    assert msg.sender == self.registrar, "root: not registrar"
    assert epoch == self.epoch + 1, "root: epoch"
    self.epoch = epoch
    self.root = root
    log INodeRegistry.RootPublished(epoch=epoch, root=root)


# A node's owner's part


@external
def mint(
    node_id: bytes32,
    owner: address,
    operator: address,
    valid_from: uint256,
    proof: DynArray[bytes32, merkle.PROOF_MAX],
):
    """
    @notice Makes a node of the root in force a token of its owner, once; anybody may call.
    @param node_id The node; as a number it is the token's id.
    @param owner Whose it is.
    @param operator Its signing key.
    @param valid_from Since when the key is the node's, in seconds since 1970 UTC.
    @param proof The leaf's siblings, from the leaf up.
    """
    leaf: bytes32 = keccak256(keccak256(abi_encode(node_id, owner, operator, valid_from)))
    assert merkle._root_from(leaf, proof) == self.root, "mint: bad proof"
    assert len(self.keys[node_id]) == 0, "mint: minted"
    assert valid_from <= block.timestamp, "mint: not yet"
    erc721._mint(owner, convert(node_id, uint256))
    self._add_key(node_id, operator, valid_from)


@external
def set_operator(node_id: bytes32, operator: address):
    """
    @notice Gives a node another signing key, in force after `operator_delay_s`; its owner
            only. Until then the key before it stands, unless it is revoked.
    @param node_id The node.
    @param operator The key.
    """
    self._check_node_owner(node_id)
    assert len(self.keys[node_id]) < KEYS_MAX, "operator: too many"
    self._add_key(node_id, operator, block.timestamp + operator_delay_s)


@external
def revoke_operator(node_id: bytes32, index: uint256, compromised_from: uint256):
    """
    @notice Says that a key was compromised, at once and once; its owner only. A key that is
            not in force yet is revoked from its beginning.
    @param node_id The node.
    @param index The key's place in the node's history.
    @param compromised_from The first second for which the key signs nothing.
    """
    self._check_node_owner(node_id)
    assert index < len(self.keys[node_id]), "operator: no such key"
    key: INodeRegistry.Key = self.keys[node_id][index]
    assert key.revoked_at == 0, "operator: already revoked"
    assert compromised_from >= key.valid_from, "operator: before key"
    assert compromised_from <= max(block.timestamp, key.valid_from), "operator: in future"
    self.keys[node_id][index].compromised_from = compromised_from
    self.keys[node_id][index].revoked_at = block.timestamp
    log INodeRegistry.OperatorRevoked(
        node_id=node_id, index=index, operator=key.operator, compromised_from=compromised_from
    )


@external
def post_bond(node_id: bytes32, amount: uint256):
    """
    @notice Adds to a node's bond from the caller's tokens; what was added is the node's.
    @param node_id The node.
    @param amount How much, in the token's unit; approved to this contract before.
    """
    erc721._owner_of(convert(node_id, uint256))
    assert amount != 0, "amount: zero"
    bond: uint256 = self.bond_of[node_id] + amount
    self.bond_of[node_id] = bond
    self.total_held += amount
    log INodeRegistry.BondPosted(
        node_id=node_id, payer=msg.sender, amount=amount, bond=bond
    )
    held: uint256 = staticcall IERC20(token).balanceOf(self)
    assert extcall IERC20(token).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "token: refused"
    assert staticcall IERC20(token).balanceOf(self) == held + amount, "bond: other amount"


@external
def request_bond_withdrawal(node_id: bytes32, amount: uint256):
    """
    @notice Gives notice of a withdrawal of a node's bond; its owner only. Until it is paid
            the amount can still be lost to a ban, but it no longer counts (`free_bond`).
    @param node_id The node.
    @param amount How much; the payment is the smaller of this and the bond then.
    """
    self._check_node_owner(node_id)
    assert amount != 0, "amount: zero"
    assert self.withdrawal_of[node_id].amount == 0, "withdrawal: already requested"
    ready_at: uint256 = block.timestamp + notice_s
    self.withdrawal_of[node_id] = INodeRegistry.Withdrawal(amount=amount, ready_at=ready_at)
    log INodeRegistry.BondWithdrawalRequested(
        node_id=node_id, amount=amount, ready_at=ready_at
    )


@external
def cancel_bond_withdrawal(node_id: bytes32):
    """
    @notice Takes a notice back; the node's owner only.
    @param node_id The node.
    """
    self._check_node_owner(node_id)
    assert self.withdrawal_of[node_id].amount != 0, "withdrawal: not requested"
    self.withdrawal_of[node_id] = empty(INodeRegistry.Withdrawal)
    log INodeRegistry.BondWithdrawalCancelled(node_id=node_id)


@external
def withdraw_bond(node_id: bytes32) -> uint256:
    """
    @notice Pays a node's owner what was requested once the notice has passed; no ban
            stops it.
    @param node_id The node.
    @return uint256 What was paid.
    """
    self._check_node_owner(node_id)
    request: INodeRegistry.Withdrawal = self.withdrawal_of[node_id]
    assert request.amount != 0, "withdrawal: not requested"
    assert block.timestamp >= request.ready_at, "withdrawal: notice"
    amount: uint256 = min(request.amount, self.bond_of[node_id])
    bond: uint256 = self.bond_of[node_id] - amount
    self.withdrawal_of[node_id] = empty(INodeRegistry.Withdrawal)
    self.bond_of[node_id] = bond
    log INodeRegistry.BondWithdrawn(
        node_id=node_id, owner=msg.sender, amount=amount, bond=bond
    )
    self._pay(msg.sender, amount)
    return amount


# Bans


@external
def ban(
    statement: INodeRegistry.Statement, signatures: DynArray[Bytes[65], GUARDIANS_MAX]
) -> bytes32:
    """
    @notice Bans a node for a time under the guardians' signatures, once, and puts what it
            costs in escrow: the smaller of the stated amount and the bond. Anybody may
            submit it, while its time runs and no other ban of the node is in force.
    @param statement What the guardians signed.
    @param signatures 65 bytes each over `Ban`, low s, ascending by signer.
    @return bytes32 The ban's id: the hash of the statement.
    """
    assert statement.starts_at <= block.timestamp, "ban: not yet"
    assert block.timestamp < statement.ends_at, "ban: over"
    assert statement.ends_at - statement.starts_at <= ban_s_max, "ban: too long"
    node_id: bytes32 = statement.node_id
    assert not self._is_banned(node_id), "ban: already banned"
    ban_id: bytes32 = self._ban_id(statement)
    assert self.ban_of[ban_id].ends_at == 0, "ban: known"
    self._check_guardians(eip712._digest(ban_id), signatures)
    bond: uint256 = self.bond_of[node_id]
    escrow: uint256 = min(statement.slash_amount, bond)
    due_at: uint256 = block.timestamp + appeal_s
    self.bond_of[node_id] = bond - escrow
    self.last_ban[node_id] = ban_id
    self.ban_of[ban_id] = INodeRegistry.Ban(
        node_id=node_id,
        ends_at=statement.ends_at,
        escrow=escrow,
        due_at=due_at,
        stage=INodeRegistry.Stage.OPEN,
    )
    log INodeRegistry.Banned(
        node_id=node_id,
        ban_id=ban_id,
        reason_hash=statement.reason_hash,
        evidence_root=statement.evidence_root,
        starts_at=statement.starts_at,
        ends_at=statement.ends_at,
        escrow=escrow,
        due_at=due_at,
    )
    return ban_id


@external
def appeal(ban_id: bytes32, grounds_hash: bytes32):
    """
    @notice Brings a ban before the arbiter; the node's owner only, within `appeal_s`.
    @param ban_id The ban.
    @param grounds_hash The hash of what the owner says.
    """
    ban: INodeRegistry.Ban = self.ban_of[ban_id]
    assert ban.stage == INodeRegistry.Stage.OPEN, "appeal: not open"
    assert block.timestamp < ban.due_at, "appeal: late"
    self._check_node_owner(ban.node_id)
    due_at: uint256 = block.timestamp + decision_s
    self.ban_of[ban_id].stage = INodeRegistry.Stage.APPEALED
    self.ban_of[ban_id].due_at = due_at
    log INodeRegistry.BanAppealed(ban_id=ban_id, grounds_hash=grounds_hash, due_at=due_at)


@external
def decide(ban_id: bytes32, lifted: bool):
    """
    @notice Decides an appeal; arbiter only, within `decision_s`.
    @param ban_id The ban.
    @param lifted Whether the ban ends now and the bond is whole again.
    """
    assert msg.sender == self.arbiter, "decide: not arbiter"
    ban: INodeRegistry.Ban = self.ban_of[ban_id]
    assert ban.stage == INodeRegistry.Stage.APPEALED, "decide: not appealed"
    assert block.timestamp < ban.due_at, "decide: late"
    self._end(ban_id, ban, lifted)


@external
def close(ban_id: bytes32):
    """
    @notice Lets silence decide; anybody. Without an appeal the ban is upheld, an appeal
            without a decision lifts it.
    @param ban_id The ban.
    """
    ban: INodeRegistry.Ban = self.ban_of[ban_id]
    assert ban.stage in (
        INodeRegistry.Stage.OPEN | INodeRegistry.Stage.APPEALED
    ), "close: not open"
    assert block.timestamp >= ban.due_at, "close: early"
    self._end(ban_id, ban, ban.stage == INodeRegistry.Stage.APPEALED)


@external
def collect() -> uint256:
    """
    @notice Pays the beneficiary what upheld bans cost; anybody may call.
    @return uint256 What was paid.
    """
    amount: uint256 = self.collectable
    assert amount != 0, "collect: nothing due"
    beneficiary: address = self.beneficiary
    assert beneficiary != empty(address), "collect: no beneficiary"
    self.collectable = 0
    log INodeRegistry.Collected(beneficiary=beneficiary, amount=amount)
    self._pay(beneficiary, amount)
    return amount


# What anybody may read


@external
@view
def guardians() -> DynArray[address, GUARDIANS_MAX]:
    """
    @notice Names all who sign bans.
    @return DynArray Ascending by address.
    """
    return self.signers


@external
@view
def keys_count(node_id: bytes32) -> uint256:
    """
    @notice Counts the keys a node ever had, a pending one included.
    @param node_id The node.
    @return uint256 How many.
    """
    return len(self.keys[node_id])


@external
@view
def key_of(node_id: bytes32, index: uint256) -> INodeRegistry.Key:
    """
    @notice Tells one key of a node's history.
    @param node_id The node.
    @param index Its place, from zero; a place beyond the history reverts.
    @return Key The key and its times.
    """
    return self.keys[node_id][index]


@external
@view
def operator_at(node_id: bytes32, timestamp: uint256) -> address:
    """
    @notice Names the key whose signatures counted at a time, as it is known now.
    @param node_id The node.
    @param timestamp When it was signed, in seconds since 1970 UTC.
    @return address The key, zero where the node had none or it was compromised.
    """
    return self._operator_at(node_id, timestamp, block.timestamp)


@external
@view
def operator_known_at(node_id: bytes32, timestamp: uint256, known_at: uint256) -> address:
    """
    @notice As `operator_at`, blind to what was said after somebody relied on it: a
            revocation that came later does not undo what was accepted before.
    @param node_id The node.
    @param timestamp When it was signed, in seconds since 1970 UTC.
    @param known_at When it was relied on.
    @return address The key, zero where the node had none or it was known as compromised.
    """
    return self._operator_at(node_id, timestamp, known_at)


@external
@view
def free_bond(node_id: bytes32) -> uint256:
    """
    @notice What still backs a node: its bond less a requested withdrawal.
    @param node_id The node.
    @return uint256 The amount, in the token's unit.
    """
    bond: uint256 = self.bond_of[node_id]
    return bond - min(self.withdrawal_of[node_id].amount, bond)


@external
@view
def is_banned(node_id: bytes32) -> bool:
    """
    @notice Says whether a ban of a node is in force.
    @param node_id The node, a token or not.
    @return bool Whether it is.
    """
    return self._is_banned(node_id)


@external
@view
def ban_digest(statement: INodeRegistry.Statement) -> bytes32:
    """
    @notice What guardians sign to ban a node.
    @param statement The ban.
    @return bytes32 The EIP-712 digest.
    """
    return eip712._digest(self._ban_id(statement))


# Inside


@internal
@view
def _check_node_owner(node_id: bytes32):
    """
    @dev Refuses everybody but the owner of the node, whomever it approved included.
    """
    assert msg.sender == erc721._owner_of(convert(node_id, uint256)), "node: not owner"


@internal
def _add_key(node_id: bytes32, operator: address, valid_from: uint256):
    """
    @dev Keys stand in the order of their beginning.
    """
    assert operator != empty(address), "operator: zero"
    index: uint256 = len(self.keys[node_id])
    self.keys[node_id].append(
        INodeRegistry.Key(
            operator=operator, valid_from=valid_from, compromised_from=0, revoked_at=0
        )
    )
    log INodeRegistry.OperatorSet(
        node_id=node_id, index=index, operator=operator, valid_from=valid_from
    )


@internal
@view
def _operator_at(node_id: bytes32, timestamp: uint256, known_at: uint256) -> address:
    """
    @dev The last key that had begun by then, found by halving.
    """
    low: uint256 = 0
    high: uint256 = len(self.keys[node_id])
    for _: uint256 in range(KEY_STEPS_MAX):
        if low == high:
            break
        middle: uint256 = (low + high) // 2
        if self.keys[node_id][middle].valid_from <= timestamp:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        return empty(address)
    key: INodeRegistry.Key = self.keys[node_id][low - 1]
    revoked: bool = key.revoked_at != 0 and key.revoked_at <= known_at
    return empty(address) if revoked and timestamp >= key.compromised_from else key.operator


@internal
@view
def _check_guardians(digest: bytes32, signatures: DynArray[Bytes[65], GUARDIANS_MAX]):
    """
    @dev Ascending signers are distinct, and above the zero address of a bad signature.
    """
    assert len(signatures) >= self.threshold, "ban: signatures missing"
    guardians: DynArray[address, GUARDIANS_MAX] = self.signers
    previous: uint160 = 0
    for signature: Bytes[65] in signatures:
        signer: address = ecdsa._recover(digest, signature)
        assert signer in guardians, "ban: not guardian"
        assert convert(signer, uint160) > previous, "ban: signers order"
        previous = convert(signer, uint160)


@internal
def _end(ban_id: bytes32, ban: INodeRegistry.Ban, lifted: bool):
    """
    @dev The escrow goes back to the node, or it is lost; once.
    """
    if lifted:
        bond: uint256 = self.bond_of[ban.node_id] + ban.escrow
        self.bond_of[ban.node_id] = bond
        self.ban_of[ban_id].stage = INodeRegistry.Stage.LIFTED
        log INodeRegistry.BanLifted(
            ban_id=ban_id, node_id=ban.node_id, amount=ban.escrow, bond=bond
        )
    else:
        self.collectable += ban.escrow
        self.ban_of[ban_id].stage = INodeRegistry.Stage.UPHELD
        log INodeRegistry.BanUpheld(ban_id=ban_id, amount=ban.escrow)
    self.ban_of[ban_id].escrow = 0


@internal
@view
def _is_banned(node_id: bytes32) -> bool:
    """
    @dev A node's last ban is the only one that can be in force.
    """
    ban: INodeRegistry.Ban = self.ban_of[self.last_ban[node_id]]
    return block.timestamp < ban.ends_at and ban.stage != INodeRegistry.Stage.LIFTED


@internal
@pure
def _ban_id(statement: INodeRegistry.Statement) -> bytes32:
    """
    @dev The EIP-712 hash of the statement.
    """
    return keccak256(abi_encode(BAN_TYPE_HASH, statement))


@internal
def _pay(receiver: address, amount: uint256):
    """
    @dev Tokens leave; nothing is asked of the token where nothing is due.
    """
    if amount != 0:
        self.total_held -= amount
        assert extcall IERC20(token).transfer(
            receiver, amount, default_return_value=True
        ), "token: refused"
