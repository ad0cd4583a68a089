"""The installation's own secrets by name, such as the key of the RADIUS Class; sealed at rest."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from opencarrier.identity import store
from opencarrier.identity.sealing import Place
from opencarrier.identity.vault import Vault
from opencarrier.kernel.entropy import Entropy


class Secrets:
    """Makes a secret the first time it is asked for and returns the same one ever after."""

    def __init__(self, vault: Vault, entropy: Entropy) -> None:
        self._vault = vault
        self._entropy = entropy

    def octets(self, unit: Connection, name: str, size: int) -> bytes:
        """Return the secret of a name; it is made in the caller's unit where there is none."""
        place = Place(store.secrets.name, "secret_sealed", name)
        column = store.secrets.c.secret_sealed
        sealed = unit.execute(select(column).where(store.secrets.c.name == name)).scalar()
        if sealed is not None:
            secret = self._vault.open(unit, place, sealed)
            assert len(secret) == size, "a secret keeps its size"
            return secret
        secret = self._entropy.octets(f"secret/{name}", size)
        sealed = self._vault.seal(unit, place, secret)
        unit.execute(insert(store.secrets).values(name=name, secret_sealed=sealed))
        return secret
