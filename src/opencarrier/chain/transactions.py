"""The transaction manager: persisted before it is sent, sent until it is final, never twice.

    quote = manager.quote(call)                       # network, no database
    with engine.begin() as connection:                # the caller's unit of work
        record = manager.prepare(connection, intent_id, quote, now_us=...)
    report = manager.drive(engine.begin, now_us=...)  # as often as one likes; after a restart too

`drive` is the whole recovery: it looks, applies `rules`, persists, and sends what is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from opencarrier.chain import rules, spending, store
from opencarrier.chain.errors import (
    ChainError,
    ChainMismatchError,
    ChainUnavailableError,
    QuorumBrokenError,
)
from opencarrier.chain.keys import DynamicFeeTransaction
from opencarrier.chain.model import LATEST, Call, Fees, Receipt
from opencarrier.chain.ports import Chain, TransactionSigner, UnitOfWork
from opencarrier.chain.rules import (
    BlockPoint,
    Bump,
    Effect,
    Observation,
    Policy,
    SendOutcome,
    Transaction,
    TransactionRefusal,
    TransactionState,
    Variant,
)
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address

GAS_MARGIN_NUMERATOR = 5
"""State may move between estimate and mining: a quarter more gas than estimated is offered."""
GAS_MARGIN_DENOMINATOR = 4

FILLER_GAS = 21_000
"""Gas of an empty transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What the network said before a transaction was signed; stale quotes are harmless."""

    call: Call
    gas_limit: int
    fees: Fees
    nonce: int
    genesis_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveReport:
    """What one pass found: every transaction it moved or looked at, and what a person must see.

    `alarms`: `chain_behind` (the chain lost transactions that were final; no retry mends it),
    `quorum` (two endpoints differ on what is final; no retry mends it), `unavailable` (no answer;
    the next pass tries again).
    """

    transactions: tuple[Transaction, ...] = ()
    sent: int = 0
    alarms: tuple[str, ...] = ()

    @property
    def settled(self) -> tuple[Transaction, ...]:
        """Those that became terminal in this pass."""
        return tuple(t for t in self.transactions if t.is_terminal)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """What one pass reads once, in this order, before any receipt."""

    nonce: int
    head: BlockPoint
    final_number: int | None


@dataclass(slots=True)
class _Pass:
    """The running notes of one `drive`."""

    now_us: int
    seen: list[Transaction] = field(default_factory=list)
    sent: int = 0
    alarms: list[str] = field(default_factory=list)
    blocked: bool = False

    def report(self) -> DriveReport:
        return DriveReport(transactions=tuple(self.seen), sent=self.sent, alarms=tuple(self.alarms))


class TransactionManager:
    """Sends one account's transactions on one chain; two processes with one key are survived.

    A nonce used by somebody else leaves its transaction `replaced`: whether the wish behind it
    still stands is read from the contract by its owner, who then prepares a new intent or not.
    """

    def __init__(
        self, chain: Chain, signer: TransactionSigner, policy: Policy | None = None
    ) -> None:
        self._chain = chain
        self._signer = signer
        self._policy = policy or Policy()

    @property
    def sender(self) -> Address:
        """The account whose transactions these are."""
        return self._signer.address

    @property
    def chain_id(self) -> int:
        """The chain they are sent on."""
        return self._chain.chain_id

    def quote(self, call: Call, *, gas_limit: int | None = None) -> Quote:
        """Ask the network what a call costs now; `RevertedError` where it would revert.

        With `gas_limit` no estimate is made (a call that may revert until it is mined).
        """
        asked = replace(call, sender=self.sender)
        if gas_limit is None:
            estimate = self._chain.estimate_gas(asked)
            gas_limit = estimate * GAS_MARGIN_NUMERATOR // GAS_MARGIN_DENOMINATOR
        return Quote(
            call=replace(call, sender=None, gas_limit=None),
            gas_limit=min(gas_limit, self._policy.gas_limit_max),
            fees=self._chain.fees(),
            nonce=self._chain.nonce(self.sender),
            genesis_hash=self._chain.genesis_hash(),
        )

    def cost_wei(self, quote: Quote) -> int | None:
        """Return the most a quoted call may cost, None where the network asks more than the cap."""
        fees = rules.first_fees(
            quote.fees.base_fee_per_gas_wei, quote.fees.priority_fee_per_gas_wei, self._policy
        )
        if fees is None:
            return None
        return spending.most_wei(quote.gas_limit, fees[0], quote.call.value_wei)

    def prepare(
        self,
        connection: Connection,
        intent_id: bytes,
        quote: Quote,
        *,
        now_us: int,
        purpose: str = "",
        asked: bytes = b"",
    ) -> Transaction | Refusal:
        """Allocate a nonce, sign and keep a transaction, all in the caller's transaction.

        The same intent with the same call is the same transaction, whatever the quote; with
        `asked`, a digest of the wish behind the call, with the same wish. No network. A refusal
        leaves nothing behind: of a fee or a cap, the same intent may be prepared later.
        `purpose` names the cap it counts against besides the day's. Raises `ChainMismatchError`
        where the account belongs to another chain's history.
        """
        known = store.find(connection, intent_id)
        if known is not None:
            return self._same(known, quote, asked)
        self._check_genesis(connection, quote)
        if self._count_open(connection) >= self._policy.open_max:
            return Refusal(TransactionRefusal.TOO_MANY_OPEN, f"{self._policy.open_max} are open")
        fees = rules.first_fees(
            quote.fees.base_fee_per_gas_wei, quote.fees.priority_fee_per_gas_wei, self._policy
        )
        if fees is None:
            return Refusal(TransactionRefusal.FEE_ABOVE_CAP, "the network asks more than the cap")
        cost_wei = spending.most_wei(quote.gas_limit, fees[0], quote.call.value_wei)
        too_much = self._too_much(connection, cost_wei, purpose, now_us)
        if too_much is not None:
            return too_much
        first = self._first(connection, intent_id, quote, fees, now_us)
        record = replace(first, purpose=purpose, asked=asked)
        store.add(connection, record)
        return record

    def find(self, connection: Connection, intent_id: bytes) -> Transaction | None:
        """Return what is known of an intent."""
        return store.find(connection, intent_id)

    def named_alone(
        self, connection: Connection, to: Address, selector: bytes, purposes: Sequence[str]
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield intent and data of calls to a function that are kept without `asked`."""
        return store.named_alone(connection, to, selector, purposes)

    def pending(self, connection: Connection) -> list[Transaction]:
        """Return what is not terminal yet, lowest nonce first."""
        return store.open_of(
            connection, self._chain.chain_id, self.sender, limit=self._policy.open_max
        )

    def drive(self, unit_of_work: UnitOfWork, *, now_us: int) -> DriveReport:
        """Look at every open transaction once and do what is due; safe to repeat and to kill.

        The network is never asked inside a database transaction. A chain that does not answer
        ends the pass with the alarm `unavailable`; nothing is lost by it.
        """
        with unit_of_work() as connection:
            pending = self.pending(connection)
            next_nonce = store.next_nonce(connection, self._chain.chain_id, self.sender)
        notes = _Pass(now_us=now_us)
        try:
            snapshot = self._snapshot()
            lowest = pending[0].nonce if pending else next_nonce
            if lowest is not None and snapshot.nonce < lowest:
                pending = self._mend_gap(unit_of_work, pending, snapshot, notes)
            for record in pending:
                self._step(unit_of_work, record, snapshot, notes)
        except QuorumBrokenError as error:
            notes.alarms.append(f"quorum: {error}")
        except ChainError as error:
            notes.alarms.append(f"unavailable: {error}")
        return notes.report()

    def drive_until_terminal(
        self,
        unit_of_work: UnitOfWork,
        intent_id: bytes,
        *,
        now_us: Callable[[], int],
        pause: Callable[[], None],
        passes_max: int,
    ) -> Transaction:
        """Drive until one intent is terminal, pausing between passes; then or at the end return it.

        The caller looks at `state`: passes may run out before the chain is final.
        """
        for left in range(passes_max - 1, -1, -1):
            self.drive(unit_of_work, now_us=now_us())
            with unit_of_work() as connection:
                record = store.find(connection, intent_id)
            assert record is not None, "drive what was prepared"
            if record.is_terminal or left == 0:
                return record
            pause()
        raise AssertionError("look once at least")

    def _same(self, known: Transaction, quote: Quote, asked: bytes) -> Transaction | Refusal:
        if known.sender != self.sender or known.chain_id != self._chain.chain_id:
            return Refusal(TransactionRefusal.EXISTS_WITH_DIFFERENT_SENDER, known.sender)
        if known.asked != asked:
            return Refusal(TransactionRefusal.EXISTS_WITH_DIFFERENT_WISH, known.state.value)
        if not asked and known.call != quote.call:
            return Refusal(TransactionRefusal.EXISTS_WITH_DIFFERENT_CALL, known.state.value)
        return known

    def _check_genesis(self, connection: Connection, quote: Quote) -> None:
        known = store.genesis_of(connection, self._chain.chain_id, self.sender)
        if known is not None and known != quote.genesis_hash:
            raise ChainMismatchError(
                f"chain {self._chain.chain_id} has another genesis block than before"
            )

    def _too_much(
        self,
        connection: Connection,
        cost_wei: int,
        purpose: str,
        now_us: int,
        *,
        but: bytes = b"",
    ) -> Refusal | None:
        """Say which of the owner's caps a cost would pass, beside what the day cost so far."""
        so_far = spending.spent(
            connection,
            self._chain.chain_id,
            self.sender,
            purpose=purpose,
            now_us=now_us,
            but=but,
        )
        return spending.refusal(cost_wei, so_far, purpose, self._policy)

    def _count_open(self, connection: Connection) -> int:
        return store.count_open(connection, self._chain.chain_id, self.sender)

    def _first(
        self,
        connection: Connection,
        intent_id: bytes,
        quote: Quote,
        fees: tuple[int, int],
        now_us: int,
    ) -> Transaction:
        nonce = store.take_nonce(
            connection,
            self._chain.chain_id,
            self.sender,
            at_least=quote.nonce,
            genesis_hash=quote.genesis_hash,
        )
        return self._signed(intent_id, quote.call, quote.gas_limit, nonce, fees, now_us)

    def _signed(
        self,
        intent_id: bytes,
        call: Call,
        gas_limit: int,
        nonce: int,
        fees: tuple[int, int],
        now_us: int,
    ) -> Transaction:
        unsigned = self._unsigned(call, nonce, gas_limit, fees)
        return Transaction(
            intent_id=intent_id,
            chain_id=self._chain.chain_id,
            sender=self.sender,
            nonce=nonce,
            call=call,
            gas_limit=gas_limit,
            state=TransactionState.PREPARED,
            variants=(self._sign(unsigned, now_us),),
            prepared_at_us=now_us,
        )

    def _unsigned(
        self, call: Call, nonce: int, gas_limit: int, fees: tuple[int, int]
    ) -> DynamicFeeTransaction:
        return DynamicFeeTransaction(
            chain_id=self._chain.chain_id,
            nonce=nonce,
            max_fee_per_gas_wei=fees[0],
            max_priority_fee_per_gas_wei=fees[1],
            gas_limit=gas_limit,
            to=call.to,
            value_wei=call.value_wei,
            data=call.data,
        )

    def _sign(self, unsigned: DynamicFeeTransaction, now_us: int) -> Variant:
        signed = self._signer.sign_transaction(unsigned)
        return Variant(
            tx_hash=signed.tx_hash,
            raw=signed.raw,
            max_fee_per_gas_wei=unsigned.max_fee_per_gas_wei,
            max_priority_fee_per_gas_wei=unsigned.max_priority_fee_per_gas_wei,
            signed_at_us=now_us,
        )

    def _snapshot(self) -> _Snapshot:
        """Read the nonce before the head and both before receipts.

        So a nonce that is used was used at that head, and our own use of it shows as a receipt.
        """
        nonce = self._chain.nonce(self.sender)
        head = self._chain.block(LATEST)
        if head is None:
            raise ChainUnavailableError("the chain has no head", outcome_unknown=False)
        return _Snapshot(
            nonce=nonce,
            head=BlockPoint(number=head.number, hash=head.hash),
            final_number=self._chain.final_block_number(),
        )

    def _mend_gap(
        self,
        unit_of_work: UnitOfWork,
        pending: list[Transaction],
        snapshot: _Snapshot,
        notes: _Pass,
    ) -> list[Transaction]:
        """The chain's next nonce lies below all we work on: find out why.

        Was it ours, a final transaction is lost: stop. Was it somebody else's, a reorg took it:
        give it time to come back, then fill the nonce with an empty transaction to ourselves.
        """
        nonce = snapshot.nonce
        with unit_of_work() as connection:
            owner = store.find_nonce(connection, self._chain.chain_id, self.sender, nonce)
        if owner is not None:
            notes.blocked = True
            notes.alarms.append(f"chain_behind: nonce {nonce} is free again, it was final")
            return pending
        if not pending or not rules.bump_due(pending[0], notes.now_us, self._policy):
            return pending
        filler = self._filler(nonce, notes.now_us)
        if filler is None:
            return pending
        with unit_of_work() as connection:
            store.add(connection, filler)
        return [filler, *pending]

    def _filler(self, nonce: int, now_us: int) -> Transaction | None:
        fees = self._chain.fees()
        offer = rules.first_fees(
            fees.base_fee_per_gas_wei, fees.priority_fee_per_gas_wei, self._policy
        )
        if offer is None:
            return None
        intent_id = derive("chain-filler", self._chain.chain_id, self.sender, nonce)
        call = Call(to=self.sender)
        return self._signed(intent_id, call, FILLER_GAS, nonce, offer, now_us)

    def _step(
        self, unit_of_work: UnitOfWork, record: Transaction, snapshot: _Snapshot, notes: _Pass
    ) -> None:
        """Observe one transaction, keep what changed, then do what is due."""
        seen = self._observe(record, snapshot, notes.now_us)
        moved, effects = rules.observe(record, seen, self._policy)
        if moved != record:
            self._save(unit_of_work, moved)
        for effect in effects:
            if not notes.blocked:
                moved = self._perform(unit_of_work, moved, effect, notes)
        notes.seen.append(moved)

    def _observe(self, record: Transaction, snapshot: _Snapshot, now_us: int) -> Observation:
        foreign = record.foreign_since
        return Observation(
            now_us=now_us,
            nonce=snapshot.nonce,
            head=snapshot.head,
            final_number=snapshot.final_number,
            foreign_canonical=foreign is not None and self._stands(foreign),
            receipts=self._receipts(record),
        )

    def _stands(self, point: BlockPoint) -> bool:
        block = self._chain.block(point.number)
        return block is not None and block.hash == point.hash

    def _receipts(self, record: Transaction) -> dict[bytes, Receipt]:
        found: dict[bytes, Receipt] = {}
        for variant in reversed(record.variants):
            receipt = self._chain.receipt(variant.tx_hash)
            if receipt is not None:
                found[variant.tx_hash] = receipt
        return found

    def _perform(
        self, unit_of_work: UnitOfWork, record: Transaction, effect: Effect, notes: _Pass
    ) -> Transaction:
        if isinstance(effect, Bump):
            bumped = self._bump(unit_of_work, record, notes.now_us)
            if bumped is None and not rules.resend_due(record, notes.now_us, self._policy):
                return record
            record = bumped or record
        return self._send(unit_of_work, record, notes)

    def _bump(
        self, unit_of_work: UnitOfWork, record: Transaction, now_us: int
    ) -> Transaction | None:
        """Sign a dearer variant of the same nonce and keep it before anybody sees it.

        None where the owner's caps forbid it: the offer stands, and the spike is waited out.
        """
        fees = self._chain.fees()
        offer = rules.bumped_fees(
            record, fees.base_fee_per_gas_wei, fees.priority_fee_per_gas_wei, self._policy
        )
        if offer is None:
            return None
        cost_wei = spending.most_wei(record.gas_limit, offer[0], record.call.value_wei)
        with unit_of_work() as connection:
            too_much = self._too_much(
                connection, cost_wei, record.purpose, now_us, but=record.intent_id
            )
        if too_much is not None:
            return None
        unsigned = self._unsigned(record.call, record.nonce, record.gas_limit, offer)
        bumped = replace(record, variants=(*record.variants, self._sign(unsigned, now_us)))
        self._save(unit_of_work, bumped)
        return bumped

    def _send(self, unit_of_work: UnitOfWork, record: Transaction, notes: _Pass) -> Transaction:
        """Hand the newest variant over, then note that we did; a kill between is a resend."""
        variant = record.newest
        crashpoint("chain.tx.before_send")
        outcome, detail = self._hand_over(variant)
        crashpoint("chain.tx.after_send")
        sent = rules.after_send(record, variant, outcome, detail, notes.now_us)
        self._save(unit_of_work, sent)
        notes.sent += 1
        notes.blocked = outcome is SendOutcome.REJECTED
        return sent

    def _hand_over(self, variant: Variant) -> tuple[SendOutcome, str]:
        try:
            tx_hash = self._chain.send_raw(variant.raw)
        except ChainUnavailableError as error:
            outcome = SendOutcome.UNKNOWN if error.outcome_unknown else SendOutcome.REJECTED
            return outcome, str(error)
        except ChainError as error:
            return rules.outcome_of(str(error)), str(error)
        if tx_hash != variant.tx_hash:
            return SendOutcome.UNKNOWN, "the endpoint answered with another hash"
        return SendOutcome.ACCEPTED, ""

    def _save(self, unit_of_work: UnitOfWork, record: Transaction) -> None:
        crashpoint("chain.tx.before_save")
        with unit_of_work() as connection:
            store.save(connection, record)
