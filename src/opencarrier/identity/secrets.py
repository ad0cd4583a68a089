"""The installation's own secrets by name, such as the key of the RADIUS Class; sealed at rest."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

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
        sealed = self._sealed(unit, name)
        if sealed is not None:
            secret = self._vault.open(unit, _place(name), sealed)
            assert len(secret) == size, "a secret keeps its size"
            return secret
        secret = self._entropy.octets(f"secret/{name}", size)
        self.keep(unit, name, secret)
        return secret

    def keep(self, unit: Connection, name: str, secret: bytes) -> None:
        """Keep a secret that was made elsewhere under a name that is free."""
        sealed = self._vault.seal(unit, _place(name), secret)
        unit.execute(insert(store.secrets).values(name=name, secret_sealed=sealed))

    def read(self, unit: Connection, name: str) -> bytes:
        """Return a secret that is there."""
        sealed = self._sealed(unit, name)
        assert sealed is not None, "a secret of this name was made"
        return self._vault.open(unit, _place(name), sealed)

    def names(self, unit: Connection, prefix: str) -> Sequence[str]:
        """Return the names that begin with a prefix, ascending."""
        name = store.secrets.c.name
        chosen = select(name).where(name.startswith(prefix, autoescape=True)).order_by(name)
        return list(unit.execute(chosen).scalars())

    def forget(self, unit: Connection, name: str) -> None:
        """Destroy a secret."""
        unit.execute(delete(store.secrets).where(store.secrets.c.name == name))

    def _sealed(self, unit: Connection, name: str) -> bytes | None:
        column = store.secrets.c.secret_sealed
        return unit.execute(select(column).where(store.secrets.c.name == name)).scalar()


def _place(name: str) -> Place:
    return Place(store.secrets.name, "secret_sealed", name)
