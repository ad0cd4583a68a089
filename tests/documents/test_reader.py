"""The reader notices what does not work: it is itself held to pages made to fail."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.documents.blocks import Block
from tests.documents.reader import Desk, assert_told, do

SCENES = str(Path(__file__).with_name("scenes.sh"))


@pytest.fixture
def bare(tmp_path: Path) -> Desk:
    """A desk without our program: pages here use the shell and Python alone."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {"PATH": path, "SCENES": SCENES, "OPENCARRIER_HTTP_PORT": "8412"}
    return Desk(tmp_path, tmp_path, environ)


def block(language: str, text: str, *, line: int = 1, file: str = "", mode: str = "") -> Block:
    return Block("page.md", line, language, file, mode, "a reason" if mode else "", text)


def test_a_page_is_one_shell_in_one_folder(bare: Desk, tmp_path: Path):
    page = [
        block("sh", "export NAME=here; mkdir opencarrier-data && cd opencarrier-data\n"),
        block("toml", "workers = 2\n", file="mapping.toml"),
        block("toml", "more = 3\n", file="mapping.toml"),
        block("sh", "false\n", mode="not-run"),
        block("meanwhile", "echo late >> mapping.toml"),
        block("console", "$ cat mapping.toml; echo $NAME\nworkers = …\n…\nlate\nhere\n"),
        block("python", "from pathlib import Path\nPath('made').touch()\n"),
        block("sh", "test -e made && echo http://127.0.0.1:8400/ 192.0.2.7 > said\n"),
    ]
    do(bare, tmp_path / "reader", page)
    said = (tmp_path / "reader" / "opencarrier-data" / "said").read_text()
    assert said == "http://127.0.0.1:8412/ 127.0.0.1\n"


@pytest.mark.parametrize(
    "broken",
    [
        block("sh", "nosuchcommand\n", line=7),
        block("sh", "false\necho went on\n", line=7),
        block("sh", "false | true\n", line=7),
        block("python", "import nosuchmodule\n", line=7),
        block("console", "$ echo one\ntwo\n", line=7),
        block("console", "$ echo one; echo two\none\n", line=7),
    ],
)
def test_what_does_not_work_is_named(bare: Desk, tmp_path: Path, broken: Block):
    with pytest.raises(AssertionError, match=r"page\.md:7") as failed:
        do(bare, tmp_path / "reader", [block("sh", "true\n"), broken])
    assert "went on" not in str(failed.value)


@pytest.mark.parametrize(
    ("expected", "told", "same"),
    [
        ("a  b", "a b\n", True),
        ("root 0x…, tx 0x…", "root 0x12, tx 0x34", True),
        ("root 0x…, tx", "root 0x12\n, tx", False),
        ("…\nlast", "one\ntwo\nlast", True),
        ("…\nlast", "one\nlast\nmore", False),
        ("first\n…", "first", True),
        ("a.c", "abc", False),
    ],
)
def test_output_is_compared_loosely_and_no_more(expected: str, told: str, same: bool):
    one = block("console", f"$ command\n{expected}\n")
    if same:
        assert_told(one, told)
    else:
        with pytest.raises(AssertionError):
            assert_told(one, told)
