from __future__ import annotations

import shutil

import pytest
from tests.forking import begun


@pytest.fixture(scope="session", autouse=True)
def shim():
    """The library that kills at the N-th fsync; all that is forked has it, where there is one."""
    return begun()


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
