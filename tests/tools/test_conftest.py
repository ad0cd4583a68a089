"""A peer that is missing is counted aloud, and is a failure where peers are required."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SUITE = """
import pytest

@pytest.mark.peer
def test_program():
    pytest.skip("eapol_test is not installed")

@pytest.mark.peer
@pytest.mark.skipif(True, reason="radclient is not installed")
def test_other_program():
    raise AssertionError

def test_capture():
    pytest.skip("no captures here")

@pytest.mark.xfail(reason="known")
@pytest.mark.peer
def test_known():
    assert False

def test_good():
    pass
"""

MODULE = 'import pytest\npytest.skip("hostapd is not installed", allow_module_level=True)\n'


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "tests" / "peers").mkdir(parents=True)
    (tmp_path / "tools" / "guard").mkdir(parents=True)
    for name in ("conftest.py", "scheduling.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    shutil.copy(ROOT / "tools" / "guard" / "sitecustomize.py", tmp_path / "tools" / "guard")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  peer: foreign\n")
    (tmp_path / "tests" / "peers" / "test_one.py").write_text(SUITE)
    (tmp_path / "tests" / "peers" / "test_two.py").write_text(MODULE)
    return tmp_path


def run(suite: Path, required: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "OPENCARRIER_REQUIRE_PEERS": required,
        "CI": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    return subprocess.run(command, cwd=suite, env=environment, text=True, capture_output=True)


def test_missing_peers_are_counted_by_reason(suite: Path) -> None:
    done = run(suite, "")
    assert done.returncode == 0
    for line in (
        "   1 skipped  peer: eapol_test is not installed",
        "   1 skipped  peer: hostapd is not installed",
        "   1 skipped  peer: radclient is not installed",
        "   1 skipped  data: no captures here",
    ):
        assert line in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1].startswith("1 passed, 4 skipped, 1 xfailed in")


def test_missing_peers_fail_where_they_are_required(suite: Path) -> None:
    done = run(suite, "1")
    assert done.returncode == 2, "a module that cannot be collected ends the run"
    assert "hostapd is not installed" in done.stdout
    (suite / "tests" / "peers" / "test_two.py").unlink()
    done = run(suite, "1")
    assert done.returncode == 1
    closing = done.stdout.splitlines()[-1]
    assert closing.startswith("1 failed, 1 passed, 1 skipped, 1 xfailed, 1 error in")
    assert "a peer is required here: radclient is not installed" in done.stdout
