"""Who signed a ban: read from the transaction that brought it, and checked again here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opencarrier.chain.contracts import NodeRegistry
from opencarrier.chain.typed_data import BanStatement, SigningDomain, ban_digest
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address, recover


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A ban's statement, and whose signatures it carries."""

    statement: BanStatement
    signers: tuple[Address, ...]


def signed(data: bytes, ban_id: bytes, domain: SigningDomain) -> Signed | None:
    """Return who signed a ban by the call that brought it.

    None for another call (a contract in between may have brought it), for another ban, and where a
    signature is none.
    """
    artefact = NodeRegistry.artefact()
    if data[:4] != artefact.selector("ban"):
        return None
    try:
        told = artefact.read_call("ban", data)
    except PeerError:
        return None
    statement = _statement(told["statement"])
    if statement.ban_id != ban_id:
        return None
    digest = ban_digest(domain, statement)
    signers = [recover(digest, one) for one in told["signatures"]]
    found = tuple(one for one in signers if one is not None)
    return Signed(statement=statement, signers=found) if len(found) == len(signers) else None


def _statement(told: Mapping[str, Any]) -> BanStatement:
    return BanStatement(
        node_id=told["node_id"],
        reason_hash=told["reason_hash"],
        evidence_root=told["evidence_root"],
        starts_at_s=told["starts_at"],
        ends_at_s=told["ends_at"],
        slash_minor=told["slash_amount"],
    )
