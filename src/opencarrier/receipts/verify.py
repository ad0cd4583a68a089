"""Verify a receipt with a pinned manifest and any node of the chain, and nothing of ours besides.

Each step raises `PeerError` with its name as the reason: `form`, `usage`, `record`, `rating`,
`stake`, `choice`, `signature`, `settlement`, `chain`, `code`. What survives them is a `Verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import ClearingHouse, StakeDiscount
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.events import Settled
from opencarrier.chain.model import FinalityKind
from opencarrier.clearing.dues import PART
from opencarrier.clearing.model import Commitments
from opencarrier.clearing.rules import statement_digest
from opencarrier.clearing.tree import (
    commit,
    leaf_data,
    position_of_record,
    root_of_record,
    stake_reading,
)
from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import EncodingError, Value, encode
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address
from opencarrier.rating.rules.v1 import Priced
from opencarrier.rating.rules.versions import rerate, signers, wholesale_inputs
from opencarrier.receipts.document import read_receipt
from opencarrier.receipts.due_document import is_due_receipt, read_due_receipt
from opencarrier.receipts.manifest import Manifest, check_venue
from opencarrier.receipts.model import (
    PARTS,
    ChoiceRead,
    DiscountRead,
    Opened,
    Part,
    Receipt,
    Sealed,
    SettlementPointer,
    Verdict,
)
from opencarrier.receipts.signing import signers_of
from opencarrier.receipts.verify_due import check_due, check_due_signatures, root_of_due
from opencarrier.routing.model import Verdict as CandidateVerdict
from opencarrier.routing.rules import ranked, read_choice, verdict_of
from opencarrier.spine import ids
from opencarrier.spine.money import Kind, StakeReading
from opencarrier.spine.usage import Counters, Rung

KINDS: Final = {"wholesale": Kind.WHOLESALE, "retail": Kind.RETAIL}
CYCLES_REMEMBERED_MAX: Final = 1_024

_USAGE_KEYS: Final = frozenset(
    (
        "usage_id",
        "session_id",
        "home",
        "visited",
        "host",
        "node_id",
        "counters_from",
        "counters_to",
        "start_us",
        "end_us",
        "weak",
        "closed_by",
        "rung",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnChain:
    records_root: bytes
    block_number: int


class Verifier:
    """Checks receipts against one venue; what it read of a cycle on the chain it remembers."""

    def __init__(self, manifest: Manifest, client: ChainClient) -> None:
        check_venue(manifest, client)
        self._manifest = manifest
        self._client = client
        self._house = ClearingHouse(manifest.clearing_house)
        self._cycles: dict[SettlementPointer, _OnChain] = {}

    def verify(self, text: str) -> Verdict:
        """Check a receipt's text through every step; `PeerError` names the step that broke."""
        try:
            return self._verify_due(text) if is_due_receipt(text) else self._verify_usage(text)
        except EncodingError as error:
            raise PeerError("form", f"nothing that was committed to: {error}") from None

    def _verify_usage(self, text: str) -> Verdict:
        receipt = read_receipt(text)
        usage = _check_usage(receipt)
        root = _check_record(receipt)
        rated = tuple(name for name in KINDS if _check_rating(receipt, name, usage))
        discount = self._discount(receipt.retail)
        signed_by = _check_signatures(receipt)
        final, words = self._placed(receipt.settlement, root)
        return Verdict(
            kind="usage",
            record_id=receipt.usage_id,
            included=True,
            rated_right=rated,
            discount=discount,
            choice=_check_choice(usage),
            signed_by=signed_by,
            finality=words,
            final=final,
            amount_minor=_amount(receipt.wholesale),
            records_root=root,
        )

    def _verify_due(self, text: str) -> Verdict:
        receipt = read_due_receipt(text)
        root = root_of_due(receipt)
        head = check_due(receipt)
        signed_by = check_due_signatures(receipt, head)
        final, words = self._placed(receipt.settlement, root)
        return Verdict(
            kind=PART,
            record_id=receipt.record_id,
            included=True,
            rated_right=(PART,),
            discount=None,
            choice=None,
            signed_by=signed_by,
            finality=words,
            final=final,
            amount_minor=receipt.path.amount_minor,
            records_root=root,
        )

    def _placed(self, pointer: SettlementPointer, root: bytes) -> tuple[bool, str]:
        """Check that the chain settled a cycle with that root, and say how final it is."""
        on_chain = self._settlement(pointer)
        if on_chain.records_root != root:
            raise PeerError("record", "the record is not under the root the chain holds")
        return self._finality(on_chain.block_number)

    def _discount(self, retail: Part) -> DiscountRead | None:
        """Check that the contract tells the discount a retail charge was rated with."""
        if not isinstance(retail, Opened):
            return None
        rated_ppm, reading = _rated_discount(retail.content)
        if reading is None:
            if rated_ppm:
                raise PeerError("stake", "a discount without the stake it comes from")
            return None
        if reading.contract != self._manifest.at(StakeDiscount):
            raise PeerError("stake", "the stake is in another contract than the pinned one")
        asked = StakeDiscount(reading.contract).discount_ppm_at(
            reading.account, reading.timepoint_s
        )
        try:
            told_ppm = asked.ask(self._client)
        except RevertedError as error:
            raise PeerError("stake", error.reason or "the contract does not answer") from None
        if told_ppm != rated_ppm:
            raise PeerError("stake", f"rated with {rated_ppm} ppm, the chain tells {told_ppm}")
        return DiscountRead(ppm=told_ppm, reading=reading)

    def _settlement(self, pointer: SettlementPointer) -> _OnChain:
        known = self._cycles.get(pointer)
        if known is None:
            known = self._read_settlement(pointer)
            if len(self._cycles) >= CYCLES_REMEMBERED_MAX:
                self._cycles.clear()
            self._cycles[pointer] = known
        return known

    def _read_settlement(self, pointer: SettlementPointer) -> _OnChain:
        manifest = self._manifest
        if (pointer.chain_id, pointer.clearing_house) != (
            manifest.chain_id,
            manifest.clearing_house,
        ):
            raise PeerError("settlement", "it names another chain or clearing house")
        expected = ids.cycle_id(manifest.domain, manifest.asset, pointer.sequence)
        if pointer.cycle_id != expected:
            raise PeerError("settlement", "the cycle is not this domain's of that sequence")
        if self._house.settled(pointer.cycle_id).ask(self._client) != pointer.settlement_id:
            raise PeerError("settlement", "the contract settled the cycle otherwise, or not yet")
        return self._check_transaction(pointer)

    def _check_transaction(self, pointer: SettlementPointer) -> _OnChain:
        """Recompute the settlement's id from what its transaction told; it commits to the root."""
        found = self._client.receipt(pointer.tx_hash)
        if found is None or not found.succeeded:
            raise PeerError("settlement", "its transaction is not in the chain")
        events = [self._house.event(log) for log in found.logs]
        settled = [e for e in events if isinstance(e, Settled) and e.cycle_id == pointer.cycle_id]
        if len(settled) != 1 or settled[0].sequence != pointer.sequence:
            raise PeerError("settlement", "its transaction did not settle that cycle")
        told = settled[0]
        computed = ids.settlement_id(
            pointer.cycle_id,
            token=self._manifest.token,
            records_root=told.records_root,
            netting_mode=told.netting_mode,
            nets=[ids.net_of_word(word) for word in told.nets],
            rewards_root=told.rewards_root,
            rewards_minor=told.rewards_amount,
        )
        if computed != pointer.settlement_id:
            raise PeerError("settlement", "its transaction moved something else")
        return _OnChain(records_root=told.records_root, block_number=found.block_number)

    def _finality(self, block_number: int) -> tuple[bool, str]:
        final = self._client.final_block_number()
        is_final = final is not None and block_number <= final
        kind = self._client.finality.kind
        profile = str(self._client.finality)
        if kind is FinalityKind.SINGLE_OPERATOR:
            profile = "single_operator: as final as the operator of this chain is honest"
        depth = self._client.block_number() - block_number + 1
        return is_final, f"{'final' if is_final else 'not yet final'} ({profile}; depth {depth})"


def _check_usage(receipt: Receipt) -> Mapping[str, Value] | None:
    """Derive the usage's id from its content again; return the content where it is disclosed."""
    part = receipt.usage
    if not isinstance(part, Opened):
        return None
    content = part.content
    if set(content) - {"choice"} != _USAGE_KEYS:
        raise PeerError("usage", "the usage part has an unknown or a missing key")
    session = content["session_id"]
    if not isinstance(session, bytes):
        raise PeerError("usage", "session_id is not octets")
    before = _counters(content["counters_from"], "usage")
    after = _counters(content["counters_to"], "usage")
    derived = ids.usage_id(Id(session), before, after)
    if not derived == content["usage_id"] == receipt.usage_id:
        raise PeerError("usage", "the usage id does not follow from session and counters")
    if (content["home"], content["visited"]) != (receipt.path.debtor, receipt.path.creditor):
        raise PeerError("usage", "home and visited are not the position's parties")
    rung = content["rung"]
    if type(rung) is not int or rung < receipt.path.rung:
        raise PeerError("usage", "the position stands on a higher rung than its evidence")
    return content


def _check_choice(usage: Mapping[str, Value] | None) -> ChoiceRead | None:
    """Choose again of whom could serve; None where the session was not chosen from anything.

    `PeerError` where the visited operator is not the one taken, or might not have served at all.
    """
    if usage is None or "choice" not in usage:
        return None
    choice = read_choice(usage["choice"])
    taken = next(item for item in choice.candidates if item.seller == choice.taken)
    if choice.taken != usage["visited"]:
        raise PeerError("choice", "another than the visited operator was taken")
    if verdict_of(taken, choice.demand) in (
        CandidateVerdict.ABOVE_CEILING,
        CandidateVerdict.BELOW_FLOOR,
    ):
        raise PeerError("choice", "who was taken might not have served")
    order = ranked(choice.candidates, choice.demand)
    return ChoiceRead(choice=choice, best=order[0].seller if order else None)


def _check_record(receipt: Receipt) -> bytes:
    """Walk from the three commitments to the records root."""
    root = root_of_record(_leaf(receipt), receipt.path)
    if root is None:
        raise PeerError("record", "the path has an impossible shape")
    return root


def _leaf(receipt: Receipt) -> bytes:
    hashes = {name: _commitment(name, getattr(receipt, name)) for name in PARTS}
    usage, wholesale = hashes["usage"], hashes["wholesale"]
    if usage is None or wholesale is None:
        raise PeerError("record", "a record has a usage and a wholesale part")
    parts = Commitments(usage=usage, wholesale=wholesale, retail=hashes["retail"])
    return leaf_data(receipt.usage_id, parts)


def _commitment(name: str, part: Part) -> bytes | None:
    match part:
        case None:
            return None
        case Sealed():
            return part.commitment
        case Opened():
            return commit(name, part.salt, part.content)


def _check_rating(receipt: Receipt, name: str, usage: Mapping[str, Value] | None) -> bool:
    """Rate a disclosed charge again; False where it is not disclosed."""
    part: Part = getattr(receipt, name)
    if not isinstance(part, Opened):
        return False
    content = dict(part.content)
    if name == "retail":
        content.pop("stake", None)
    inputs, version = content.get("inputs"), content.get("rule_version")
    if not isinstance(inputs, bytes) or not isinstance(version, str):
        raise PeerError("rating", f"{name} lacks what it was rated from")
    try:
        priced = rerate(version, inputs)
    except PeerError as error:
        raise PeerError("rating", f"{name}: {error}") from None
    charge = ids.charge_id(
        receipt.usage_id,
        KINDS[name],
        inputs_hash=sha256(inputs).digest(),
        rule_version=version,
        amount_minor=priced.amount_minor,
    )
    expected: dict[str, Value] = {
        "charge_id": charge,
        "usage_id": receipt.usage_id,
        "kind": int(KINDS[name]),
        "payer": priced.payer,
        "seller": priced.seller,
        "asset": priced.asset,
        "amount_minor": priced.amount_minor,
        "discount_minor": priced.discount_minor,
        "tariff_hash": priced.tariff_hash,
        "agreement_hash": priced.agreement_hash,
        "rule_version": version,
        "inputs": inputs,
        "allocations": [
            [int(leg.role), leg.party, leg.account, leg.amount_minor] for leg in priced.allocations
        ],
    }
    if priced.kind is not KINDS[name] or encode(content) != encode(expected):
        raise PeerError("rating", f"rating again does not give the {name} charge")
    _check_inputs(receipt, name, priced, inputs, usage)
    return True


def _rated_discount(content: Mapping[str, Value]) -> tuple[int, StakeReading | None]:
    """Return the discount a retail charge was rated with, and where it says the chain tells it."""
    inputs = content["inputs"]
    assert isinstance(inputs, bytes), "rating has read them"
    read = _mapping(decode(inputs))
    ppm = read["discount_ppm"]
    assert isinstance(ppm, int), "rating has read it"
    if "stake" not in content:
        return ppm, None
    terms = content["stake"]
    try:
        return ppm, stake_reading(terms)
    except ValueError:
        raise PeerError("stake", "contract, account and second are out of form") from None


def _check_inputs(
    receipt: Receipt,
    name: str,
    priced: Priced,
    inputs: bytes,
    usage: Mapping[str, Value] | None,
) -> None:
    """Check that the charge was rated from this usage, under this pair's agreement."""
    read = decode(inputs)
    assert isinstance(read, Mapping), "rating has read these inputs"
    if usage is not None:
        shared = ["counters_from", "counters_to"] + (["host"] if name == "wholesale" else [])
        if any(read[key] != usage[key] for key in shared):
            raise PeerError("rating", f"the {name} charge was rated from other use")
    if name == "wholesale":
        path = receipt.path
        if (priced.payer, priced.seller, priced.asset) != (path.debtor, path.creditor, path.asset):
            raise PeerError("rating", "the agreement is another pair's")


def _check_signatures(receipt: Receipt) -> dict[str, tuple[Address, ...]]:
    """Check who signed the agreement and the position's statement; return them by document."""
    part = receipt.wholesale
    if not isinstance(part, Opened):
        if receipt.agreement_signatures or receipt.statement_signatures:
            raise PeerError("signature", "signatures without the agreement that names the keys")
        return {}
    inputs, version = part.content["inputs"], part.content["rule_version"]
    assert isinstance(inputs, bytes), "rating has read them"
    assert isinstance(version, str), "rating has read them"
    home, visited = signers(wholesale_inputs(version, inputs))
    agreement_hash = part.content["agreement_hash"]
    assert isinstance(agreement_hash, bytes)
    position = position_of_record(_leaf(receipt), receipt.path)
    assert position is not None, "the path was walked before"
    statement = statement_digest(position)
    both = tuple(sorted({home, visited}))
    needed = both if receipt.path.rung is Rung.CO_SIGNED else (visited,)
    return {
        "agreement": signers_of(agreement_hash, receipt.agreement_signatures, both, both),
        "statement": signers_of(statement, receipt.statement_signatures, needed, both),
    }


def _counters(value: Value, step: str) -> Counters:
    if (
        not isinstance(value, list)
        or len(value) != 3
        or any(not isinstance(item, int) or isinstance(item, bool) or item < 0 for item in value)
    ):
        raise PeerError(step, "counters are three whole numbers")
    time_s, octets_in, octets_out = value
    return Counters(session_time_s=time_s, octets_in=octets_in, octets_out=octets_out)


def _mapping(value: Value) -> Mapping[str, Value]:
    assert isinstance(value, Mapping), "rating has read it"
    return value


def _amount(part: Part) -> int | None:
    if not isinstance(part, Opened):
        return None
    amount = part.content["amount_minor"]
    assert isinstance(amount, int)
    return amount
