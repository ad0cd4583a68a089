"""A month's records of an erased subscriber: not an octet moves, and they are nobody's."""

from __future__ import annotations

import json
from hashlib import sha256

from tests.app.test_erasing import octets
from tests.app.test_usage_import import MAPPING

from opencarrier.app.bootstrap import open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.app.importing import _pseudonym
from opencarrier.usage.dataset import read_records

OWN, STRANGER = "208930000000001", "208930000000002"
ROWS = f"imsi,start,down\n{OWN},1767524400,7\n{OWN},1767524500,8\n{STRANGER},1767524400,9\n"
MORE = f"{OWN},1767524600,10\n"


def test_the_records_stay_and_their_subject_is_nobody(here, oc, tmp_path):
    """Before: what was made with the SIM. After: the same octets, which stand nowhere else."""
    here("operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893")
    (tmp_path / "key").write_text("00" * 16)
    keys = ("--ki-file", str(tmp_path / "key"), "--opc-file", str(tmp_path / "key"))
    here("subscriber", "add", "--operator", "Lumen", "--plan", "none", "--imsi", OWN, *keys)
    (tmp_path / "mapping.toml").write_text(MAPPING)
    dataset = tmp_path / "records"

    def take(rows: str) -> tuple[int, int]:
        (tmp_path / "rows.csv").write_text(rows)
        mapped = ("--mapping", str(tmp_path / "mapping.toml"), "--visited", "Lumen")
        words = ("usage", "import", str(tmp_path / "rows.csv"), "--out", str(dataset), *mapped)
        (file,) = json.loads(here(*words, "--home", "Lumen", "--json"))["files"]
        return file["records"], file["duplicates"]

    assert take(ROWS) == (3, 0)
    files = {path: sha256(path.read_bytes()).digest() for path in dataset.rglob("*.parquet")}
    subjects = {record.octets_out: record.subject for record in read_records(dataset)}
    assert subjects[7] == subjects[8] != subjects[9]
    base = open_installation(Folder(oc.data), Settings())
    key = base.access_keys().cui_key
    with base.store.read() as unit:
        assert base.identity.directory.pseudonym(unit, OWN) == subjects[7]
        assert base.identity.directory.pseudonym(unit, STRANGER) is None
    base.close()
    assert subjects[9] == _pseudonym(key, STRANGER)
    assert subjects[7] != _pseudonym(key, OWN)
    assert subjects[7] in octets(oc.data)

    done = json.loads(here("subscriber", "erase", OWN, "--json"))
    assert done["files_clean"]
    kept = octets(oc.data)
    assert subjects[7] not in kept
    assert OWN.encode() not in kept
    assert take(ROWS) == (0, 3)
    assert {p: sha256(p.read_bytes()).digest() for p in dataset.rglob("*.parquet")} == files
    assert take("imsi,start,down\n" + MORE) == (1, 0)
    later = [r.subject for r in read_records(dataset) if r.octets_out == 10]
    assert later == [_pseudonym(key, OWN)]
