"""Issue receipts: gather a settled record's facts and disclose the parts its holder may see."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from opencarrier.clearing import tree
from opencarrier.clearing.model import DueProof, RecordProof, SignedPosition
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Signature
from opencarrier.receipts.document import write_receipt
from opencarrier.receipts.due_document import write_due_receipt
from opencarrier.receipts.manifest import Manifest
from opencarrier.receipts.model import (
    PARTS,
    DueReceipt,
    Opened,
    Part,
    Receipt,
    Sealed,
    SettlementPointer,
)

AUDIENCES = {
    "all": frozenset(PARTS),
    "host": frozenset({"usage", "wholesale"}),
    "subscriber": frozenset({"usage", "retail"}),
}
"""Who sees which parts."""


class Proofs(Protocol):
    """Where settled records come from (the clearing room)."""

    def proof(self, unit: Connection, usage_id: Id) -> RecordProof | Refusal:
        """Return a settled record's place under its root."""
        ...

    def due_record(self, unit: Connection, record_id: Id) -> DueProof | Refusal | None:
        """Return the same of an adjustment's record, None where the id is of no such record."""
        ...

    def position(self, unit: Connection, position_id: Id) -> SignedPosition | None:
        """Return a position with its signatures."""
        ...


class Agreements(Protocol):
    """Where agreements come from (the rating room)."""

    def agreement_signatures(self, unit: Connection, agreement_hash: bytes) -> Sequence[Signature]:
        """Return the signatures under an agreement."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How a cycle was settled, as the settlement room knows it."""

    sequence: int
    cycle_id: Id
    settlement_id: Id
    tx_hash: bytes


class Settlements(Protocol):
    """Where settlements come from (the settlement room)."""

    def settled(self, unit: Connection, cycle_id: Id) -> Settled | None:
        """Return how a cycle was settled, None before it is final."""
        ...


class Issuer:
    """Issues receipts of one venue's settled records."""

    def __init__(
        self,
        manifest: Manifest,
        *,
        proofs: Proofs,
        agreements: Agreements,
        settlements: Settlements,
    ) -> None:
        self._manifest = manifest
        self._proofs = proofs
        self._agreements = agreements
        self._settlements = settlements

    def issue(
        self, unit: Connection, usage_id: Id, *, parts: Collection[str] = PARTS
    ) -> str | Refusal:
        """Write the receipt of a settled record, disclosing the named parts and sealing the rest.

        The retail part of an erased subscriber stays sealed, whoever asks.
        Refused as clearing refuses: a usage without record, a record that is not final. An
        adjustment's record is named by its own id and shown whole.
        """
        due = self._proofs.due_record(unit, usage_id)
        if due is not None:
            return due if isinstance(due, Refusal) else self._issue_due(unit, due)
        proof = self._proofs.proof(unit, usage_id)
        if isinstance(proof, Refusal):
            return proof
        rated = proof.rated
        statement, settled = self._settled(unit, proof)
        discloses_keys = "wholesale" in parts
        agreement = self._agreements.agreement_signatures(unit, rated.wholesale.agreement_hash)
        return write_receipt(
            Receipt(
                usage_id=usage_id,
                usage=self._part("usage", proof, parts),
                wholesale=self._part("wholesale", proof, parts),
                retail=self._part("retail", proof, parts),
                path=proof.path,
                agreement_signatures=_once(agreement) if discloses_keys else (),
                statement_signatures=_once(statement) if discloses_keys else (),
                settlement=settled,
            )
        )

    def _issue_due(self, unit: Connection, proof: DueProof) -> str:
        statement, settled = self._settled(unit, proof)
        agreement_hash = proof.part["agreement_hash"]
        assert isinstance(agreement_hash, bytes)
        agreement = _once(self._agreements.agreement_signatures(unit, agreement_hash))
        operators = {signature.kid for signature in agreement}
        return write_due_receipt(
            DueReceipt(
                record_id=proof.record_id,
                adjustment=Opened(salt=proof.salt, content=proof.part),
                path=proof.path,
                agreement_signatures=agreement,
                statement_signatures=_once([s for s in statement if s.kid in operators]),
                settlement=settled,
            )
        )

    def _settled(
        self, unit: Connection, proof: RecordProof | DueProof
    ) -> tuple[list[Signature], SettlementPointer]:
        """Return who signed a settled record's position, and where that was settled."""
        signed = self._proofs.position(unit, proof.position_id)
        settled = self._settlements.settled(unit, proof.settled_in)
        assert signed is not None, "a settled record is in a position"
        assert settled is not None, "a settled record's cycle is final"
        return [signature for _, signature in signed.signatures], self._pointer(settled)

    def _pointer(self, settled: Settled) -> SettlementPointer:
        return SettlementPointer(
            chain_id=self._manifest.chain_id,
            clearing_house=self._manifest.clearing_house,
            sequence=settled.sequence,
            cycle_id=settled.cycle_id,
            settlement_id=settled.settlement_id,
            tx_hash=settled.tx_hash,
        )

    def _part(self, name: str, proof: RecordProof, parts: Collection[str]) -> Part:
        commitment: bytes | None = getattr(proof.commitments, name)
        if commitment is None:
            return None
        salt = proof.salts.get(name)
        if name not in parts or salt is None:
            return Sealed(commitment=commitment)
        rated = proof.rated
        if name == tree.USAGE:
            return Opened(salt=salt, content=tree.usage_part(rated))
        charge = rated.wholesale if name == tree.WHOLESALE else rated.retail
        assert charge is not None
        return Opened(salt=salt, content=tree.charge_part(charge))


def _once(signatures: Sequence[Signature]) -> tuple[Signature, ...]:
    """Keep one signature per key, in the order of the keys."""
    return tuple(sorted({s.kid: s for s in signatures}.values(), key=lambda s: s.kid))
