# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Claims that one side signed, paid after a window
@license Apache-2.0
@notice A debtor opens a corridor to a creditor. The creditor's claim takes its amount out
        of the debtor's balance into escrow at once. Accepted, it is paid at once; unanswered,
        after the corridor's window; disputed, the undisputed part at once and the rest as
        the arbiter or both parties say, or back to the debtor when nobody says anything.
@dev No token moves here: escrows and bonds stay in the token's total. Nothing can be paused.
"""

from ..interfaces import IClearingHouse

# @dev Balances and totals.
from . import accounts

# @dev The notice, which closing a corridor takes too.
from . import collateral

# @dev The two-step owner.
from . import ownable

uses: accounts
uses: collateral
uses: ownable

WINDOW_MAX_S: constant(uint256) = 30 * 86400
ARBITRATION_MAX_S: constant(uint256) = 90 * 86400
MILLION: constant(uint256) = 1_000_000

# A claim's state.
OPEN: constant(uint8) = 1
DISPUTED: constant(uint8) = 2
ENDED: constant(uint8) = 3

bond_ppm: public(immutable(uint256))
arbitration_s: public(immutable(uint256))

arbiter: public(address)
# token, debtor, creditor
corridor_of: public(
    HashMap[address, HashMap[address, HashMap[address, IClearingHouse.Corridor]]]
)
claim_of: public(HashMap[bytes32, IClearingHouse.Claim])
# What a party would have the creditor get, plus one.
offers: HashMap[bytes32, HashMap[address, uint256]]


@deploy
def __init__(bond_ppm_: uint256, arbitration_s_: uint256):
    """
    @param bond_ppm_ The bond of a dispute, in millionths of the difference.
    @param arbitration_s_ Seconds in which a dispute is decided, else the debtor has its money back.
    """
    assert bond_ppm_ <= MILLION, "terms: bond"
    assert arbitration_s_ <= ARBITRATION_MAX_S, "terms: too long"
    bond_ppm = bond_ppm_
    arbitration_s = arbitration_s_


@external
def set_arbiter(arbiter: address):
    """
    @notice Names who decides disputes, those under way included; owner only.
    @param arbiter The only caller of `decide_claim`.
    """
    ownable._check_owner()
    self.arbiter = arbiter
    log IClearingHouse.ArbiterSet(arbiter=arbiter)


@external
def open_corridor(token: address, creditor: address, window_s: uint256, cap: uint256):
    """
    @notice Lets a creditor claim from the caller's balance without its signature.
    @param token The token.
    @param creditor Who may claim.
    @param window_s Seconds in which the caller may dispute a claim; silence accepts it.
    @param cap The most that claims hold in escrow at a time.
    """
    assert accounts._is_member(token, msg.sender), "corridor: not member"
    assert accounts._is_member(token, creditor), "corridor: not member"
    assert creditor != msg.sender, "corridor: with oneself"
    assert window_s != 0 and window_s <= WINDOW_MAX_S, "corridor: window"
    corridor: IClearingHouse.Corridor = self.corridor_of[token][msg.sender][creditor]
    assert block.timestamp >= corridor.closes_at, "corridor: open"
    corridor.window_s = window_s
    corridor.cap = cap
    corridor.closes_at = max_value(uint256)
    self.corridor_of[token][msg.sender][creditor] = corridor
    log IClearingHouse.CorridorOpened(
        token=token, debtor=msg.sender, creditor=creditor, window_s=window_s, cap=cap
    )


@external
def close_corridor(token: address, creditor: address):
    """
    @notice Ends new claims once the notice has passed, as a withdrawal is paid after it: what
            was used until now can still be claimed.
    @param token The token.
    @param creditor Who could claim.
    """
    closes_at: uint256 = self.corridor_of[token][msg.sender][creditor].closes_at
    assert closes_at == max_value(uint256), "corridor: not open"
    closes_at = block.timestamp + collateral.notice_s
    self.corridor_of[token][msg.sender][creditor].closes_at = closes_at
    log IClearingHouse.CorridorClosed(
        token=token, debtor=msg.sender, creditor=creditor, closes_at=closes_at
    )


@external
def post_claim(
    token: address, debtor: address, cycle_id: bytes32, records_root: bytes32, amount: uint256
) -> bytes32:
    """
    @notice Claims what a debtor owes the caller for a cycle; once for each cycle and pair.
    @param token The token.
    @param debtor Who owes.
    @param cycle_id The cycle.
    @param records_root The root over the pair's rated records, for debtor and arbiter.
    @param amount What is owed, in the token's unit.
    @return bytes32 The claim's id.
    """
    corridor: IClearingHouse.Corridor = self.corridor_of[token][debtor][msg.sender]
    assert block.timestamp < corridor.closes_at, "corridor: not open"
    assert amount != 0, "amount: zero"
    assert corridor.escrowed + amount <= corridor.cap, "claim: over cap"
    claim_id: bytes32 = keccak256(abi_encode(token, cycle_id, debtor, msg.sender))
    assert self.claim_of[claim_id].state == 0, "claim: posted before"
    deadline: uint256 = block.timestamp + corridor.window_s
    accounts._debit(token, debtor, amount)
    self.corridor_of[token][debtor][msg.sender].escrowed += amount
    self.claim_of[claim_id] = IClearingHouse.Claim(
        token=token,
        debtor=debtor,
        creditor=msg.sender,
        amount=amount,
        bond=0,
        deadline=deadline,
        state=OPEN,
    )
    log IClearingHouse.ClaimPosted(
        claim_id=claim_id,
        debtor=debtor,
        creditor=msg.sender,
        token=token,
        cycle_id=cycle_id,
        records_root=records_root,
        amount=amount,
        deadline=deadline,
    )
    return claim_id


@external
def accept_claim(claim_id: bytes32):
    """
    @notice Pays a claim at once; its debtor only.
    @param claim_id The claim.
    """
    claim: IClearingHouse.Claim = self.claim_of[claim_id]
    assert claim.state == OPEN, "claim: not open"
    assert msg.sender == claim.debtor, "claim: not debtor"
    self._end(claim_id, claim, claim.amount, 0, 0)


@external
def dispute_claim(claim_id: bytes32, undisputed: uint256):
    """
    @notice Pays the undisputed part at once and keeps the difference in escrow until it is
            decided; its debtor only, within the window, against a bond from its balance.
    @param claim_id The claim.
    @param undisputed What the debtor owns up to.
    """
    claim: IClearingHouse.Claim = self.claim_of[claim_id]
    assert claim.state == OPEN, "claim: not open"
    assert msg.sender == claim.debtor, "claim: not debtor"
    assert block.timestamp < claim.deadline, "claim: window over"
    assert undisputed < claim.amount, "dispute: nothing disputed"
    claim.amount -= undisputed
    claim.bond = (claim.amount * bond_ppm + MILLION - 1) // MILLION
    claim.deadline = block.timestamp + arbitration_s
    claim.state = DISPUTED
    self.claim_of[claim_id] = claim
    accounts._debit(claim.token, claim.debtor, claim.bond)
    self._release(claim, undisputed)
    accounts._credit(claim.token, claim.creditor, undisputed)
    log IClearingHouse.ClaimDisputed(
        claim_id=claim_id,
        debtor=claim.debtor,
        creditor=claim.creditor,
        token=claim.token,
        undisputed=undisputed,
        bond=claim.bond,
        deadline=claim.deadline,
    )


@external
def decide_claim(claim_id: bytes32, to_creditor: uint256):
    """
    @notice Decides a dispute; the arbiter only, in time. Whoever gets the smaller part has
            lost: the debtor its bond, the creditor as much, as far as its balance reaches.
    @param claim_id The claim.
    @param to_creditor What the creditor gets of the difference; the debtor gets the rest.
    """
    claim: IClearingHouse.Claim = self.claim_of[claim_id]
    assert msg.sender == self.arbiter, "decide: not arbiter"
    assert claim.state == DISPUTED, "claim: not disputed"
    assert block.timestamp < claim.deadline, "claim: time over"
    assert to_creditor <= claim.amount, "claim: over amount"
    if 2 * to_creditor > claim.amount:
        self._end(claim_id, claim, to_creditor + claim.bond, claim.amount - to_creditor, 0)
        return
    balance: uint256 = accounts._balance(claim.token, claim.creditor) + to_creditor
    to_debtor: uint256 = claim.amount - to_creditor + claim.bond
    self._end(claim_id, claim, to_creditor, to_debtor, min(claim.bond, balance))


@external
def agree_claim(claim_id: bytes32, to_creditor: uint256):
    """
    @notice Ends a dispute as both parties say, once both say the same; the bond goes back.
    @param claim_id The claim.
    @param to_creditor What the creditor gets of the difference; the debtor gets the rest.
    """
    claim: IClearingHouse.Claim = self.claim_of[claim_id]
    assert claim.state == DISPUTED, "claim: not disputed"
    assert msg.sender == claim.debtor or msg.sender == claim.creditor, "claim: not party"
    assert to_creditor <= claim.amount, "claim: over amount"
    other: address = claim.creditor if msg.sender == claim.debtor else claim.debtor
    if self.offers[claim_id][other] == to_creditor + 1:
        self._end(claim_id, claim, to_creditor, claim.amount - to_creditor + claim.bond, 0)
        return
    self.offers[claim_id][msg.sender] = to_creditor + 1
    log IClearingHouse.ClaimOffered(
        claim_id=claim_id, party=msg.sender, to_creditor=to_creditor
    )


@external
def finish_claim(claim_id: bytes32):
    """
    @notice Ends what time has decided: a claim nobody disputed is paid, a dispute nobody
            decided goes back to the debtor; anybody may call.
    @param claim_id The claim.
    """
    claim: IClearingHouse.Claim = self.claim_of[claim_id]
    assert claim.state == OPEN or claim.state == DISPUTED, "claim: not open"
    assert block.timestamp >= claim.deadline, "claim: not due"
    if claim.state == OPEN:
        self._end(claim_id, claim, claim.amount, 0, 0)
    else:
        self._end(claim_id, claim, 0, claim.amount + claim.bond, 0)


@internal
def _end(
    claim_id: bytes32,
    claim: IClearingHouse.Claim,
    to_creditor: uint256,
    to_debtor: uint256,
    penalty: uint256,
):
    """
    @dev Pays out escrow and bond, and a penalty from the creditor's balance to the debtor.
    """
    self.claim_of[claim_id].state = ENDED
    self._release(claim, claim.amount)
    accounts._credit(claim.token, claim.creditor, to_creditor)
    accounts._debit(claim.token, claim.creditor, penalty)
    accounts._credit(claim.token, claim.debtor, to_debtor + penalty)
    log IClearingHouse.ClaimEnded(
        claim_id=claim_id,
        debtor=claim.debtor,
        creditor=claim.creditor,
        token=claim.token,
        to_creditor=to_creditor,
        to_debtor=to_debtor,
        penalty=penalty,
    )


@internal
def _release(claim: IClearingHouse.Claim, amount: uint256):
    """
    @dev What left escrow can be claimed anew.
    """
    self.corridor_of[claim.token][claim.debtor][claim.creditor].escrowed -= amount
