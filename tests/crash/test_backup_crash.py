"""kill -9 in a backup and in a restore: there is a whole one or none, and the next makes it."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest
from tests.forking import ran

from opencarrier.kernel.crash import VARIABLE

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]


def command(*words: object, crash_at: str = "") -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    if crash_at:
        environment[VARIABLE] = crash_at
    return ran([*map(str, words), "--json"], environment)


@pytest.mark.parametrize("point", ["copied", "people", "proved"])
def test_a_backup_that_was_killed_has_no_name(data, tmp_path, point):
    kept, people = tmp_path / "kept", tmp_path / "people.jsonl"
    backup = ("backup", kept, "--people", people, "--data", data)
    assert command(*backup, crash_at=f"keeping.{point}").returncode == -signal.SIGKILL
    assert not kept.exists()
    assert command("restore", kept, "--data", tmp_path / "new").returncode == 3
    assert people.exists() is (point != "copied")
    assert json.loads(command(*backup).stdout)["books_agree"]
    told = json.loads(
        command("restore", kept, "--people", people, "--data", tmp_path / "new").stdout
    )
    assert (told["equal"], told["of_people"]) == (told["tables"], [])


@pytest.mark.parametrize("point", ["copied", "compared"])
def test_a_restore_that_was_killed_has_put_nothing_in_place(data, tmp_path, point):
    kept, new = tmp_path / "kept", tmp_path / "new"
    assert command("backup", kept, "--data", data).returncode == 0
    restore = ("restore", kept, "--data", new)
    assert command(*restore, crash_at=f"restoring.{point}").returncode == -signal.SIGKILL
    assert not new.exists()
    told = json.loads(command(*restore).stdout)
    assert told["equal"] == told["tables"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "kept", "new"]
