"""Sealed values open in their place, under their key, unchanged; otherwise they do not."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, select, update
from sqlalchemy.pool import StaticPool

from opencarrier.identity import store
from opencarrier.identity.authentication import open_sim_keys
from opencarrier.identity.model import SimKeys
from opencarrier.identity.sealing import (
    DataKey,
    FileSealingKey,
    Place,
    SealError,
    key_number,
)
from opencarrier.identity.service import Identity
from opencarrier.identity.vault import Vault
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.spine.access import AkaVector
from opencarrier.spine.parties import Operator, Subscriber

KEYS = SimKeys(bytes.fromhex("465b5ce8b199b49faa5f0a2ee238a6bc"), bytes(range(16)))
IMSI, OTHER = "208930000000001", "208930000000002"
PLACE = Place("table", "column", "row")


def add_sim(unit: Connection, identity: Identity, home: Operator, imsi: str) -> None:
    made = identity.subscriptions.add(unit, name=imsi, home=home.party_id, plan_id="plan")
    assert isinstance(made, Subscriber)
    identity.subscriptions.add_credential(unit, subscriber=made.party_id, imsi=imsi, keys=KEYS)


@given(st.binary(min_size=1, max_size=64))
def test_what_is_sealed_opens(secret: bytes) -> None:
    key = DataKey(1, bytes(64))
    sealed = key.seal(PLACE, secret)
    assert key.open(PLACE, sealed) == secret
    assert key_number(sealed) == 1
    assert len(secret) < 4 or secret not in sealed


@given(st.binary(min_size=1, max_size=32), st.data())
def test_any_flipped_bit_is_found(secret: bytes, data: st.DataObject) -> None:
    key = DataKey(1, bytes(64))
    sealed = bytearray(key.seal(PLACE, secret))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        key.open(PLACE, bytes(sealed))


@pytest.mark.parametrize("length", range(22))
def test_a_cut_value_does_not_open(length: int) -> None:
    key = DataKey(1, bytes(64))
    with pytest.raises(SealError):
        key.open(PLACE, key.seal(PLACE, b"s")[:length])
    with pytest.raises(SealError):
        key_number(key.seal(PLACE, b"s")[: min(length, 21)])


@pytest.mark.parametrize(
    "place",
    [
        Place("table", "column", "other"),
        Place("table", "other", "row"),
        Place("other", "column", "row"),
        Place("tablecolumn", "", "row"),
        Place("table", "columnr", "ow"),
    ],
)
def test_a_value_opens_in_its_place_only(place: Place) -> None:
    key = DataKey(1, bytes(64))
    with pytest.raises(SealError):
        key.open(place, key.seal(PLACE, b"secret"))


def test_another_data_key_does_not_open() -> None:
    sealed = DataKey(1, bytes(64)).seal(PLACE, b"secret")
    with pytest.raises(SealError):
        DataKey(1, bytes(63) + b"\x01").open(PLACE, sealed)
    with pytest.raises(SealError):
        DataKey(2, bytes(64)).open(PLACE, sealed[:4] + b"\x02" + sealed[5:])


def test_the_database_holds_no_secret_in_the_clear(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    add_sim(unit, identity, lumen, IMSI)
    identity.clients.add(
        unit, prefix="127.0.0.1", secret=b"a long shared secret", operator=lumen.party_id
    )
    stored = b"".join(
        value if isinstance(value, bytes) else str(value).encode()
        for table in store.metadata.sorted_tables
        for row in unit.execute(select(table))
        for value in row
    )
    for secret in (KEYS.k, KEYS.opc, b"a long shared secret"):
        assert secret not in stored
        assert secret.hex().encode() not in stored


@pytest.mark.parametrize("swap", ["rows", "columns"])
def test_swapped_values_are_refused_at_use(
    unit: Connection, identity: Identity, lumen: Operator, swap: str
) -> None:
    add_sim(unit, identity, lumen, IMSI)
    add_sim(unit, identity, lumen, OTHER)
    source = store.credential_row(unit, OTHER if swap == "rows" else IMSI)
    assert source is not None
    moved = source.k_sealed if swap == "rows" else source.opc_sealed
    change = update(store.credentials).where(store.credentials.c.imsi == IMSI)
    unit.execute(change.values(k_sealed=moved))
    with pytest.raises(SealError, match="k_sealed"):
        identity.authentication.vector(unit, IMSI, b"WLAN")


def test_a_wrong_sealing_key_is_told_by_name(unit: Connection, world, lumen: Operator) -> None:
    stranger = Vault(FileSealingKey(bytes(64)), SeededEntropy(2))
    with pytest.raises(SealError, match=r"sealed under file:[0-9a-f]{16}, not file:"):
        stranger.check(unit)
    world.another().vault.check(unit)


def test_rotation_seals_everything_anew(
    unit: Connection, world, identity: Identity, lumen: Operator
) -> None:
    add_sim(unit, identity, lumen, IMSI)
    identity.clients.add(unit, prefix="127.0.0.1", secret=b"testing123", operator=lumen.party_id)
    before = store.credential_row(unit, IMSI)
    assert identity.vault.rotate(unit) == 4, "K, OPc, a shared secret, the operator's key"
    after = store.credential_row(unit, IMSI)
    assert before is not None
    assert after is not None
    assert key_number(after.k_sealed) == key_number(before.k_sealed) + 1
    for served in (identity, world.another()):
        assert open_sim_keys(served.vault, unit, after) == KEYS
        assert isinstance(served.authentication.vector(unit, IMSI, b"WLAN"), AkaVector)
        assert served.notary.sign(unit, lumen.address, bytes(32)) is not None
    with pytest.raises(SealError, match="is gone"):
        world.another().vault.open(unit, Place("t", "c", "r"), before.k_sealed)


def test_another_sealing_key_takes_over(
    unit: Connection, world, identity: Identity, lumen: Operator
) -> None:
    add_sim(unit, identity, lumen, IMSI)
    new_key = FileSealingKey(b"\x07" * 64)
    assert identity.vault.rewrap(unit, new_key) == 1
    row = store.credential_row(unit, IMSI)
    assert row is not None
    assert open_sim_keys(Vault(new_key, SeededEntropy(3)), unit, row) == KEYS
    with pytest.raises(SealError, match="not file:"):
        world.another().vault.check(unit)


def test_a_rolled_back_data_key_is_not_trusted(engine, world) -> None:
    """A unit that made data key 1 rolls back; another process makes its own number 1."""
    vault = world.identity.vault
    with engine.connect() as unit:
        vault.seal(unit, PLACE, b"lost")
        unit.rollback()
    with engine.begin() as unit:
        sealed = Vault(world.sealing_key, SeededEntropy(9)).seal(unit, PLACE, b"kept")
    with engine.begin() as unit:
        assert vault.open(unit, PLACE, sealed) == b"kept"
        assert (
            Vault(world.sealing_key, SeededEntropy(9)).open(
                unit, PLACE, vault.seal(unit, PLACE, b"too")
            )
            == b"too"
        )


def test_the_sealing_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "seal.key"
    made = FileSealingKey.make(path, SeededEntropy(1))
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["seal.key"], "nothing half written is left"
    loaded = FileSealingKey.load(path)
    assert loaded.name == made.name
    assert loaded.unwrap(made.wrap(b"key", b"context"), b"context") == b"key"
    with pytest.raises(SealError):
        loaded.unwrap(made.wrap(b"key", b"context"), b"other")
    with pytest.raises(SealError, match="exists"):
        FileSealingKey.make(path, SeededEntropy(2))
    assert FileSealingKey.load(path).name == made.name
    path.chmod(0o640)
    with pytest.raises(SealError, match="others may read it") as caught:
        FileSealingKey.load(path)
    assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", "opencarrier sealing key 1 abcd", "opencarrier sealing key 1 " + "zz" * 64],
)
def test_a_damaged_sealing_key_file_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "seal.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(SealError, match="not a sealing key"):
        FileSealingKey.load(path)


def test_a_missing_sealing_key_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SealError, match="FileNotFoundError"):
        FileSealingKey.load(tmp_path / "seal.key")


def test_no_secret_shows_in_words_or_logs(world, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")
    identity, secret = world.identity, b"a long shared secret"
    engine = create_engine("sqlite://", poolclass=StaticPool)
    store.metadata.create_all(engine)
    with engine.begin() as unit:
        lumen = identity.register.add_operator(
            unit, name="Lumen Mobile", jurisdiction="FR", plmns=["20893"]
        )
        add_sim(unit, identity, lumen, IMSI)
        client = identity.clients.add(
            unit, prefix="10.0.0.0/8", secret=secret, operator=lumen.party_id
        )
        vector = identity.authentication.vector(unit, IMSI, b"WLAN")
        assert isinstance(vector, AkaVector)
        signer = identity.notary.signer(unit, lumen.address)
    things = [
        client,
        vector,
        signer,
        KEYS,
        world.sealing_key,
        identity.vault,
        DataKey(1, bytes(64)),
    ]
    shown = caplog.text + repr(things) + " ".join(map(str, things))
    assert IMSI in shown, "the log does hold what was done"
    for hidden in (KEYS.k, KEYS.opc, secret, vector.xres, vector.ck, vector.ik):
        assert repr(hidden)[2:-1] not in shown
        assert hidden.hex() not in shown
