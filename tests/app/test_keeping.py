"""A copy of a folder and who its subscribers are: kept apart, put together again."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.app.scene import IMSI, OPC, K, scene, taken
from tests.app.test_erasing import erase, octets, subscribe

from opencarrier.app import backup_proof
from opencarrier.app.bootstrap import open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder, FolderError
from opencarrier.app.keeping import PEOPLE, back_up, restore_from
from opencarrier.app.store import Store
from opencarrier.identity import apart
from opencarrier.identity.model import SimKeys
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import PeerError

NAME, OTHER = "Grace Hopper-Kept", "208930000009999"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A copy of before, somebody erased, a copy of after: one file of people, the newest.

    The first makes the folder that both lie in.
    """
    root = tmp_path_factory.mktemp("keeping") / "safe"
    people = root / PEOPLE
    with scene(root.parent / "data") as made:
        base = made.place.base
        gone = subscribe(made, NAME, OTHER)
        back_up(base.folder, root / "before", base.settings, people)
        inside = back_up(base.folder, root / "inside", base.settings)
        before = people.read_text()
        taken(erase(made, NAME))
        back_up(base.folder, root / "after", base.settings, people)
        with base.store.read() as unit:
            ada = base.identity.directory.subscriber_by_imsi(unit, IMSI)
    return root, people, before, ada, gone, inside


def test_a_copy_names_nobody_and_the_people_are_apart(kept):
    """No octet of a name or an IMSI is in either copy; the file is its owner's only."""
    root, people, before, _, _, inside = kept
    for folder in ("before", "after"):
        held = octets(root / folder)
        assert not any(word.encode() in held for word in (NAME, OTHER, IMSI))
    assert NAME in before
    assert OTHER not in people.read_text()
    assert IMSI in people.read_text()
    assert people.stat().st_mode & 0o077 == 0
    assert inside["people"] == str(root / "inside" / PEOPLE)


def test_an_old_copy_with_the_newest_people_does_not_bring_back_who_was_erased(kept):
    """Who stayed is whole, SIM keys included; who was erased is an id, told to be erased again."""
    root, people, _, ada, gone, _ = kept
    told = restore_from(root / "before", Folder(root / "old"), people)
    assert (told["people"], told["nobody"], told["nobody_count"]) == (1, [gone.party_id], 1)
    base = open_installation(Folder(root / "old"), Settings(), entropy=SeededEntropy(2))
    with base.store.write() as unit:
        directory, subscriptions = base.identity.directory, base.identity.subscriptions
        assert directory.subscriber_by_imsi(unit, IMSI) == ada
        keys = SimKeys(K, OPC)
        same = subscriptions.add_credential(unit, subscriber=ada.party_id, imsi=IMSI, keys=keys)
        assert taken(same).imsi == IMSI
        assert directory.subscriber_by_imsi(unit, OTHER) is None
        assert directory.party(unit, gone.party_id).name == gone.party_id
    base.close()


def test_a_copy_with_its_people_inside_is_whole(kept):
    root, *_ = kept
    told = restore_from(root / "inside", Folder(root / "whole"))
    assert (told["people"], told["nobody"]) == (2, [])
    assert NAME.encode() in octets(root / "whole")
    assert not (root / "whole" / PEOPLE).exists()


def test_without_its_people_a_copy_is_ids_and_books(kept):
    """So is one whose file was deleted: both are nobody, the books agree."""
    root, *_ = kept
    told = restore_from(root / "after", Folder(root / "bare"))
    assert (told["people"], told["nobody_count"], told["books_agree"]) == (0, 1, True)


def test_people_never_go_over_another_file_nor_come_from_one(kept):
    root, *_ = kept
    other = root / "letter"
    for text in ("dear all\n", "[]\n", '{"form": "opencarrier/people/2"}\n'):
        other.write_text(text)
        with pytest.raises(FolderError, match="holds no people"):
            back_up(Folder(root.parent / "data"), root / "new", Settings(), other)
        with pytest.raises(FolderError, match="holds no people"):
            restore_from(root / "after", Folder(root / "new"), other)
        assert other.read_text() == text
    with pytest.raises(FolderError, match="holds no people"):
        restore_from(root / "after", Folder(root / "new"), root / "absent")
    assert not (root / "new").exists()


def test_a_key_that_was_changed_since_comes_with_the_people(kept):
    """The file brings the data keys its SIMs are sealed under."""
    root, people, *_ = kept
    folder = Folder(root / "changed")
    restore_from(root / "after", folder, people)
    base = open_installation(folder, Settings(), entropy=SeededEntropy(3))
    with base.store.write() as unit:
        assert base.identity.vault.rotate(unit)
    newest = root / "newest.jsonl"
    back_up(folder, root / "rotated", Settings(), newest)
    base.close()
    assert [k["number"] for k in json.loads(newest.read_text().splitlines()[0])["data_keys"]] == [2]
    restore_from(root / "after", Folder(root / "again"), newest)
    base = open_installation(Folder(root / "again"), Settings(), entropy=SeededEntropy(4))
    with base.store.write() as unit:
        found = base.identity.authentication.vector(unit, IMSI, b"WLAN")
        assert taken(found).rand
    base.close()


def test_what_is_put_back_is_equal_table_by_table(kept):
    """Nobody's accounts are in the scene: with its people every table is as it was."""
    root, *_ = kept
    told = restore_from(root / "inside", Folder(root / "equal"))
    assert (told["equal"], told["of_people"]) == (told["tables"], [])
    assert told["rows"] > 100
    assert not [path for path in root.iterdir() if path.name.endswith(".unfinished")]


def copied(root, name):
    shutil.copytree(root / "inside", root / name)
    return root / name


def changed(file):
    """Turn one bit in the middle of a file."""
    octets = bytearray(file.read_bytes())
    octets[len(octets) // 2] ^= 1
    file.write_bytes(octets)


def test_a_damaged_backup_is_refused_by_the_name_of_what_is(kept):
    """Each file in turn, one bit of it or all of it; nothing is put in place."""
    root, *_ = kept
    source = copied(root, "damaged")
    for path in sorted(source.iterdir()):
        whole = path.read_bytes()
        for damage in (changed, Path.unlink):
            damage(path)
            if path.name == PEOPLE and damage is Path.unlink:
                continue  # a copy without its people is one
            with pytest.raises(FolderError, match=path.name.replace(".", r"\.")):
                restore_from(source, Folder(root / "never"))
            path.write_bytes(whole)
    for text in ("", "[]", "{}", "{" * 99, " " * backup_proof.OCTETS_MAX + "{}"):
        (source / backup_proof.NAME).write_text(text)
        with pytest.raises(FolderError, match=r"backup\.json is damaged"):
            restore_from(source, Folder(root / "never"))
    assert not (root / "never").exists()


def test_a_table_that_is_not_as_it_was_is_named(kept):
    """What the copy says of the original decides, and nothing is put in place."""
    root, *_ = kept
    source = copied(root, "other")
    proof = backup_proof.read(source)
    tables = {**proof.tables, "ledger_journal": (1, "00")}
    backup_proof.write(source, replace(proof, tables=tables))
    with pytest.raises(FolderError, match="ledger_journal"):
        restore_from(source, Folder(root / "never"))
    assert not (root / "never").exists()


def test_only_an_empty_folder_is_filled(kept):
    root, *_ = kept
    (root / "full").mkdir()
    (root / "empty").mkdir()
    (root / "full" / "letter").write_text("dear all")
    with pytest.raises(FolderError, match="not empty"):
        restore_from(root / "inside", Folder(root / "full"))
    assert [path.name for path in (root / "full").iterdir()] == ["letter"]
    assert restore_from(root / "inside", Folder(root / "empty"))["books_agree"]


def test_a_disk_that_is_full_leaves_nothing_behind(kept, monkeypatch):
    """Nor does it leave a copy under the name that was asked for."""
    root, *_ = kept
    before = sorted(root.iterdir())

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    for attempt in (
        lambda: back_up(Folder(root.parent / "data"), root / "new", Settings()),
        lambda: restore_from(root / "inside", Folder(root / "new")),
    ):
        with pytest.raises(FolderError, match="No space left") as told:
            attempt()
        assert "room" in told.value.hint
    assert sorted(root.iterdir()) == before


def test_two_at_once_do_not_meet(kept):
    """One that is under way is left alone; what one left behind is cleared away."""
    root, *_ = kept
    under_way = Folder(root / ".twice.unfinished")
    with under_way.lock():
        (under_way.root / "half").write_text("half")
        with pytest.raises(FolderError, match="in use"):
            back_up(Folder(root.parent / "data"), root / "twice", Settings())
        assert (under_way.root / "half").exists()
    back_up(Folder(root.parent / "data"), root / "twice", Settings())
    assert not (root / "twice" / "half").exists()


def test_a_line_that_is_none_is_refused(tmp_path):
    store = Store(tmp_path / "db.sqlite")
    for text in ("", "no", "[]"):
        with pytest.raises(PeerError), store.write() as unit:
            apart.put_back(unit, [text])
    store.close()
