"""Who acts at the venue: a key that is held here, or one that comes in a file and is forgotten.

Each action has a name made of what it does. Its transaction is kept under that name before it is
sent, so a command that is run again waits for the same one and begins no second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opencarrier.app.bootstrap import Onchain
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.model import Call
from opencarrier.chain.ports import Beside
from opencarrier.chain.rules import Transaction, TransactionState
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import Id, derive, to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address, KeySigner

ATTEMPTS_MAX = 256
"""How often one action may be done at one venue: again, or after it came to nothing."""

GAS_MARGIN = 2
"""A key held here is given twice what its transaction may cost: fees move meanwhile."""

_DONE = (TransactionState.MINED, TransactionState.FINAL)

HINTS = {
    "veto: too late": "that root pays already; lower the cap and look who settles",
    "change: not ready": "wait for `ready_at_s`: opencarrier chain rewards show",
    "change: not requested": "ask for the change first",
    "claim: over cap": "claim less, or wait until the claims under way have ended",
    "claim: not open": "see: opencarrier chain corridor show DEBTOR CREDITOR",
    "claim: posted before": "one claim for each cycle and pair; the rest goes into another cycle",
    "claim: window over": "silence accepted it: opencarrier chain corridor finish CLAIM",
    "claim: time over": "it returns to the debtor: opencarrier chain corridor finish CLAIM",
    "claim: not due": "wait for `deadline_s`: opencarrier chain corridor show CLAIM",
    "claim: not disputed": "only a disputed claim is decided or agreed",
    "balance: short": "the debtor has less collateral: opencarrier operator deposit",
    "corridor: not member": "both are operators with collateral: opencarrier operator deposit",
}
"""What to do where a contract says no, by its own words."""


class ActionRefusal(Reason):
    """Why nobody acts."""

    NO_KEY = 1
    OTHER_KEY = 2
    TOO_OFTEN = 3


class ContractRefusedError(RevertedError):
    """A contract would refuse the call; `hint` says what to do about its reason."""

    def __init__(self, error: RevertedError) -> None:
        super().__init__(error.data)
        self.hint = HINTS.get(error.reason or "", "")


class Actor:
    """One key's actions; the hub pays the gas of a key that is held here."""

    def __init__(self, place: Onchain, signer: KeySigner, *, is_held: bool) -> None:
        self._place = place
        self._is_held = is_held
        self._work = place.work_of(signer)
        self.address = Address(signer.address)

    def once(
        self, name: Sequence[Value], call: Call, *, beside: Beside | None = None
    ) -> str | Refusal:
        """Do what is done once; return its transaction, the same again however often asked.

        `beside` writes in the database transaction in which it is first kept.
        """
        for intent, record in self._attempts(name):
            if record is None or not record.is_terminal:
                return self._do(intent, call, beside)
            if record.state in _DONE:
                return _hash(record)
        return Refusal(ActionRefusal.TOO_OFTEN, f"{ATTEMPTS_MAX} attempts came to nothing")

    def again(
        self, name: Sequence[Value], call: Call, *, beside: Beside | None = None
    ) -> str | Refusal:
        """Do what may be wished for again; the caller has seen that it is not so already.

        `beside` writes in the database transaction in which it is first kept.
        """
        for intent, record in self._attempts(name):
            if record is None or not (record.is_terminal or record.state in _DONE):
                return self._do(intent, call, beside)
        return Refusal(ActionRefusal.TOO_OFTEN, f"done {ATTEMPTS_MAX} times")

    def _attempts(self, name: Sequence[Value]) -> Iterator[tuple[Id, Transaction | None]]:
        for number in range(ATTEMPTS_MAX):
            intent = derive("action", self.address, list(name), number)
            with self._place.base.store.read() as unit:
                record = self._work.manager.find(unit, intent)
            yield intent, record

    def _do(self, intent: Id, call: Call, beside: Beside | None) -> str:
        with self._place.turn:
            try:
                self._provide_gas(intent, call)
                return _hash(self._work.do(intent, call, beside=beside))
            except RevertedError as error:
                raise ContractRefusedError(error) from None

    def _provide_gas(self, intent: Id, call: Call) -> None:
        """Have the hub give a key held here what its transaction may cost, within its caps."""
        manager, hub = self._work.manager, self._place.work
        if not self._is_held or self.address == hub.manager.sender:
            return
        with self._place.base.store.read() as unit:
            if manager.find(unit, intent) is not None:
                return
        quote = manager.quote(call)
        fees = quote.fees
        fee_wei = 2 * fees.base_fee_per_gas_wei + fees.priority_fee_per_gas_wei
        needed_wei = GAS_MARGIN * quote.gas_limit * fee_wei
        lacking_wei = needed_wei - self._place.client.balance(self.address)
        if lacking_wei > 0:
            hub.do(derive("action/gas", intent), Call(to=self.address, value_wei=lacking_wei))


def actor(place: Onchain, address: Address, key: KeySigner | None) -> Actor | Refusal:
    """Return who acts as an address: whoever brings its key, else the key held here."""
    if key is not None:
        if key.address != address:
            return Refusal(ActionRefusal.OTHER_KEY, f"{address} acts here, not {key.address}")
        return Actor(place, key, is_held=False)
    with place.base.store.read() as unit:
        held = place.base.identity.notary.signer(unit, address)
    if held is None:
        return Refusal(ActionRefusal.NO_KEY, f"{address} acts here, its key is elsewhere")
    return Actor(place, held, is_held=True)


def _hash(record: Transaction) -> str:
    assert record.mined is not None, "what was waited for is mined"
    return to_hex(record.mined.tx_hash)
