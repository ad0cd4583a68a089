"""The authentication centre: vectors for SIMs whose keys stay sealed (TS 33.102 section 6.3)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from opencarrier.identity import sequence, store
from opencarrier.identity.milenage import AMF_PLAIN, AMF_SEPARATION_BIT, AUTS_OCTETS, Milenage
from opencarrier.identity.model import IdentityReason, SimKeys
from opencarrier.identity.sealing import Place
from opencarrier.identity.vault import Vault
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.access import AkaVector

RAND_OCTETS = 16


class AuthenticationCentre:
    """Answers `spine.ports.VectorSource`; the sequence number moves in the caller's unit."""

    def __init__(self, vault: Vault, entropy: Entropy) -> None:
        self._vault = vault
        self._entropy = entropy

    def vector(
        self, unit: Connection, imsi: str, network_name: bytes | None
    ) -> AkaVector | Refusal:
        """Make the next vector of a SIM: for EAP-AKA' bound to the access network's name.

        The separation bit of AMF is set for EAP-AKA' alone: a vector made for one method serves
        no other (RFC 9048 section 3.3, TS 33.402 section 6.2).
        """
        row = store.credential_row(unit, imsi)
        if row is None:
            return Refusal(IdentityReason.UNKNOWN_IMSI)
        if row.barred:
            return Refusal(IdentityReason.BARRED)
        if network_name is not None and not _named(network_name):
            return Refusal(IdentityReason.NETWORK_NAME_INVALID, f"{len(network_name)} octets")
        sqn = sequence.following(row.sqn)
        if sqn is None:
            return Refusal(IdentityReason.SEQUENCE_EXHAUSTED)
        store.move_sqn(unit, imsi, before=row.sqn, after=sqn)
        rand = self._entropy.octets(f"rand/{row.subscriber}", RAND_OCTETS)
        amf = AMF_PLAIN if network_name is None else AMF_SEPARATION_BIT
        made = self._milenage(unit, row).vector(rand, sqn, amf)
        ck, ik = made.ck, made.ik
        if network_name is not None:
            ck, ik = sequence.prime_keys(ck, ik, network_name=network_name, autn=made.autn)
        return AkaVector(rand=rand, autn=made.autn, xres=made.xres, ck=ck, ik=ik)

    def resynchronise(
        self, unit: Connection, imsi: str, *, rand: bytes, auts: bytes
    ) -> Refusal | None:
        """Move the sequence number to what the SIM proved with AUTS (TS 33.102 section 6.3.5)."""
        row = store.credential_row(unit, imsi)
        if row is None:
            return Refusal(IdentityReason.UNKNOWN_IMSI)
        if row.barred:
            return Refusal(IdentityReason.BARRED)
        if len(rand) != RAND_OCTETS or len(auts) != AUTS_OCTETS:
            return Refusal(IdentityReason.AUTS_INVALID, "wrong length")
        sqn_ms = self._milenage(unit, row).open_auts(rand, auts)
        if sqn_ms is None:
            return Refusal(IdentityReason.AUTS_INVALID, "MAC-S does not match")
        moved = sequence.resynchronised(row.sqn, sqn_ms)
        if moved != row.sqn:
            store.move_sqn(unit, imsi, before=row.sqn, after=moved)
        return None

    def _milenage(self, unit: Connection, row: Row[Any]) -> Milenage:
        keys = open_sim_keys(self._vault, unit, row)
        return Milenage(keys.k, keys.opc)


def _named(network_name: bytes) -> bool:
    return 0 < len(network_name) <= sequence.NETWORK_NAME_OCTETS_MAX


def open_sim_keys(vault: Vault, unit: Connection, row: Row[Any]) -> SimKeys:
    """Unseal K and OPc of a SIM."""
    return SimKeys(
        k=vault.open(unit, _place("k_sealed", row.imsi), row.k_sealed),
        opc=vault.open(unit, _place("opc_sealed", row.imsi), row.opc_sealed),
    )


def seal_sim_keys(vault: Vault, unit: Connection, imsi: str, keys: SimKeys) -> tuple[bytes, bytes]:
    """Seal K and OPc of a SIM for its row."""
    return (
        vault.seal(unit, _place("k_sealed", imsi), keys.k),
        vault.seal(unit, _place("opc_sealed", imsi), keys.opc),
    )


def _place(column: str, imsi: str) -> Place:
    return Place(store.credentials.name, column, imsi)
