"""Two workers share the tests by file: a file's world is made once, namespaces have one user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from tests.scheduling import LONGEST, TOGETHER

ROOT = Path(__file__).parents[2]
COPIED = ("tests/conftest.py", "tests/scheduling.py", "tools/guard/sitecustomize.py")
FILES = (*TOGETHER, LONGEST[0], "tests/a/test_one.py", "tests/a/test_two.py")
TESTS = 5

MODULE = f"""
import os
from pathlib import Path

import pytest

@pytest.mark.parametrize("number", range({TESTS}))
def test_number(number):
    with Path(os.environ["TOLD"], os.environ["PYTEST_XDIST_WORKER"]).open("a") as told:
        told.write(Path(__file__).name + " ")
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def told(tmp_path: Path) -> list[list[str]]:
    """Which files' tests each worker ran, in order, under this repository's own conftest."""
    told = tmp_path / "told"
    told.mkdir()
    for name in COPIED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in FILES:
        write(tmp_path / name, MODULE)
    given = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TOLD": str(told)}
    outer = {key: value for key, value in os.environ.items() if "XDIST" not in key}
    words = ("-p", "no:cacheprovider", "-p", "xdist", "-n", "2", "--dist", "loadfile", "tests")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--import-mode=importlib", *words],
        cwd=tmp_path,
        env=outer | given,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [path.read_text().split() for path in told.iterdir()]


def test_one_worker_runs_what_belongs_together(told):
    """Neither a file is run by two workers, nor what two files share; the longest comes first."""
    workers = defaultdict(set)
    for worker, names in enumerate(told):
        for name in names:
            workers[name].add(worker)
    assert len(told) == 2
    assert sum(map(len, told)) == TESTS * len(FILES)
    assert {len(found) for found in workers.values()} == {1}
    for shared in set(TOGETHER.values()):
        files = [Path(file).name for file in TOGETHER if TOGETHER[file] == shared]
        assert len(set.union(*(workers[name] for name in files))) == 1
    assert Path(LONGEST[0]).name in {names[0] for names in told}


@pytest.mark.parametrize("file", [*TOGETHER, *LONGEST])
def test_what_is_named_exists(file):
    """A file that was renamed would silently be scheduled like any other."""
    assert (ROOT / file).is_file()
