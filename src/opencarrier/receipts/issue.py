"""Issue receipts: gather a settled record's facts and disclose the parts its holder may see."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from opencarrier.clearing import tree
from opencarrier.clearing.model import RecordProof, SignedPosition
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Signature
from opencarrier.receipts.document import write_receipt
from opencarrier.receipts.manifest import Manifest
from opencarrier.receipts.model import PARTS, Opened, Part, Receipt, Sealed, SettlementPointer

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
        Refused as clearing refuses: a usage without record, a record that is not final.
        """
        proof = self._proofs.proof(unit, usage_id)
        if isinstance(proof, Refusal):
            return proof
        rated = proof.rated
        signed = self._proofs.position(unit, proof.position_id)
        settled = self._settlements.settled(unit, proof.settled_in)
        assert signed is not None, "a settled record is in a position"
        assert settled is not None, "a settled record's cycle is final"
        discloses_keys = "wholesale" in parts
        agreement = self._agreements.agreement_signatures(unit, rated.wholesale.agreement_hash)
        statement = [signature for _, signature in signed.signatures]
        return write_receipt(
            Receipt(
                usage_id=usage_id,
                usage=self._part("usage", proof, parts),
                wholesale=self._part("wholesale", proof, parts),
                retail=self._part("retail", proof, parts),
                path=proof.path,
                agreement_signatures=_once(agreement) if discloses_keys else (),
                statement_signatures=_once(statement) if discloses_keys else (),
                settlement=self._pointer(settled),
            )
        )

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
