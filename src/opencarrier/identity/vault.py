"""Seals and opens secrets in the database: data keys wrapped there, unwrapped in memory only."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection, delete, func, insert, select, update

from opencarrier.identity.sealing import (
    DATA_KEY_OCTETS,
    DataKey,
    Place,
    SealError,
    SealingKey,
    key_number,
)
from opencarrier.identity.store import SEALED, data_keys
from opencarrier.kernel.entropy import Entropy

KEYS_UNWRAPPED_MAX = 64


class Vault:
    """Whoever may open what is sealed in one database."""

    def __init__(self, sealing_key: SealingKey, entropy: Entropy) -> None:
        self._sealing_key = sealing_key
        self._entropy = entropy
        self._unwrapped: dict[int, DataKey] = {}

    def __repr__(self) -> str:
        """Name the sealing key, never a secret."""
        return f"Vault({self._sealing_key.name})"

    def seal(self, unit: Connection, place: Place, secret: bytes) -> bytes:
        """Seal a secret for its place under the newest data key; the first one is made here."""
        number = unit.execute(select(func.max(data_keys.c.number))).scalar_one()
        key = self._new_key(unit, 1) if number is None else self._load(unit, number)
        return key.seal(place, secret)

    def open(self, unit: Connection, place: Place, sealed: bytes) -> bytes:
        """Open a sealed value; `SealError` where it was moved, changed or is another key's."""
        number = key_number(sealed)
        known = self._unwrapped.get(number)
        if known is not None:
            with suppress(SealError):  # a unit that was rolled back may have left another key
                return known.open(place, sealed)
        return self._load(unit, number).open(place, sealed)

    def check(self, unit: Connection) -> None:
        """Unwrap every data key; `SealError` where this is not the sealing key of the database."""
        for number in unit.execute(select(data_keys.c.number)).scalars():
            self._load(unit, number)

    def rotate(self, unit: Connection) -> int:
        """Seal everything anew under a new data key, drop the old ones; return how many values."""
        newest = unit.execute(select(func.max(data_keys.c.number))).scalar_one() or 0
        fresh = self._new_key(unit, newest + 1)
        count = 0
        for table, row_column, column in SEALED:
            filled = select(table.c[row_column], table.c[column]).where(
                table.c[column].is_not(None)
            )
            for row, sealed in unit.execute(filled).all():
                place = Place(table.name, column, row)
                renewed = fresh.seal(place, self.open(unit, place, sealed))
                unit.execute(
                    update(table).where(table.c[row_column] == row).values({column: renewed})
                )
                count += 1
        unit.execute(delete(data_keys).where(data_keys.c.number < fresh.number))
        return count

    def rewrap(self, unit: Connection, sealing_key: SealingKey) -> int:
        """Wrap the data keys under another sealing key; return how many.

        The vault keeps opening with the old one until a new vault is made: the unit may roll back.
        """
        rows = unit.execute(select(data_keys)).all()
        for row in rows:
            secret = self._unwrap(row.number, row.wrapped, row.sealing_key)
            unit.execute(
                update(data_keys)
                .where(data_keys.c.number == row.number)
                .values(
                    wrapped=sealing_key.wrap(secret, _context(row.number)),
                    sealing_key=sealing_key.name,
                )
            )
        return len(rows)

    def _new_key(self, unit: Connection, number: int) -> DataKey:
        secret = self._entropy.octets("data-key", DATA_KEY_OCTETS)
        wrapped = self._sealing_key.wrap(secret, _context(number))
        unit.execute(
            insert(data_keys).values(
                number=number, wrapped=wrapped, sealing_key=self._sealing_key.name
            )
        )
        return self._load(unit, number)

    def _load(self, unit: Connection, number: int) -> DataKey:
        chosen = select(data_keys).where(data_keys.c.number == number)
        row = unit.execute(chosen).one_or_none()
        if row is None:
            raise SealError(f"data key {number} is gone", "the database is damaged: restore it")
        key = DataKey(number, self._unwrap(number, row.wrapped, row.sealing_key))
        if len(self._unwrapped) >= KEYS_UNWRAPPED_MAX:
            self._unwrapped.clear()
        self._unwrapped[number] = key
        return key

    def _unwrap(self, number: int, wrapped: bytes, sealing_key: str) -> bytes:
        if sealing_key != self._sealing_key.name:
            raise SealError(
                f"the secrets here are sealed under {sealing_key}, not {self._sealing_key.name}",
                "use the sealing key that belongs to this database",
            )
        return self._sealing_key.unwrap(wrapped, _context(number))


def _context(number: int) -> bytes:
    return f"identity_data_key/{number}".encode()
