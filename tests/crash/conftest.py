from __future__ import annotations

import shutil
import subprocess
import sys
from multiprocessing import forkserver
from pathlib import Path

import pytest

SHIM = Path(__file__).with_name("fsync_kill.c")


@pytest.fixture(scope="session", autouse=True)
def shim(tmp_path_factory):
    """The library that kills at the N-th fsync; all that is forked has it, where there is one."""
    compiler = shutil.which("cc")
    library = tmp_path_factory.mktemp("shim") / "fsync_kill.so"
    if compiler is None or sys.platform != "linux":
        forkserver.ensure_running()
        return None
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"], check=True
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(library))
        forkserver.ensure_running()
    return library


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder that every crash starts from."""
    from tests.crash.driver import prepare

    root = tmp_path_factory.mktemp("prepared") / "data"
    prepare(root)
    return root


@pytest.fixture
def data(prepared, tmp_path):
    """A fresh copy of it."""
    root = tmp_path / "data"
    shutil.copytree(prepared, root)
    return root
