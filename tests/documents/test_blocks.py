"""Every code block of our documents says what it is, and holds to it as far as reading goes."""

from __future__ import annotations

import json
import re
import tomllib
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections import Counter
from configparser import ConfigParser

import pytest
from tests.documents.blocks import LANGUAGES, ROOT, Block, blocks, commands, pages
from tests.documents.parsing import parse, typed

from opencarrier.app.config import load
from opencarrier.app.node_folder import NodeFolder
from opencarrier.usage.wire.csv_mapping import parse_mapping

NOT_RUN_MAX = 10
"""Blocks that cannot run here; whoever adds one says why, and raises this."""

FORMS_MAX = 31
"""Blocks whose commands are parsed only."""

PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks(page)]
INDENTED = re.compile(r"\n\n {4}(?! *[-*|\d]).*\S")
FENCED = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
COMMANDS = ("opencarrier ", "./dev ", "$ ", "pip ", "python ")


def named(block: Block) -> str:
    return block.place


def test_every_block_says_what_it_is():
    wrong = [block.place for block in BLOCKS if block.language not in {*LANGUAGES, "meanwhile"}]
    assert not wrong, f"a fence begins with one of {sorted(LANGUAGES)}"
    for page in PAGES:
        prose = FENCED.sub("", (ROOT / page).read_text())
        assert not INDENTED.search(prose), f"{page}: a block without a fence"


def test_what_a_person_would_type_is_no_text():
    for block in BLOCKS:
        if block.language == "text":
            for line in block.text.splitlines():
                assert not line.startswith(COMMANDS), f"{block.place}: {line}"


def test_what_does_not_run_is_counted_aloud(capsys):
    """A block that cannot run here says why; there are few of them."""
    modes = Counter(block.mode for block in BLOCKS if block.mode)
    with capsys.disabled():
        told = [f"{block.place} ({block.reason})" for block in BLOCKS if block.mode == "not-run"]
        print(f"\n{modes['not-run']} blocks of documents do not run here: {'; '.join(told)}")
    assert modes["not-run"] <= NOT_RUN_MAX
    assert modes["form"] <= FORMS_MAX


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in ("sh", "console")], ids=named)
def test_its_commands_are_as_the_program_parses_them(block):
    for line in commands(block.text):
        if block.language == "console" and not line.startswith("$ "):
            continue
        for words in typed(line.removeprefix("$ ")):
            parse(words)


def test_settings_load(tmp_path):
    """All that a page says of a file is one file."""
    written = Counter[tuple[str, str]]()
    for number, (page, file) in enumerate(_files()):
        text = "".join(b.text for b in BLOCKS if (b.page, b.file) == (page, file))
        place = tmp_path / str(number) / file
        place.parent.mkdir()
        place.write_text(text)
        written[page, file] += 1
        if file == "config.toml":
            load(file=place, environ={}, flags={})
        elif file == "node.toml":
            for one in tomllib.loads(text)["access_point"]:
                (place.parent / one["secret_file"]).write_text("a secret of sixteen or more\n")
            NodeFolder(place.parent).load()
        elif file in ("mapping.toml", "statement.toml"):
            parse_mapping(text)
        else:
            raise AssertionError(f"{page}: nothing here reads {file}")
    assert written


def _files() -> set[tuple[str, str]]:
    return {(block.page, block.file) for block in BLOCKS if block.language == "toml"}


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "json"], ids=named)
def test_documents_are_json(block):
    json.loads(block.text)


def test_units_can_be_read():
    for block in BLOCKS:
        if block.language == "ini":
            read = ConfigParser(strict=False, interpolation=None)
            read.read_string(block.text)
            assert read.sections(), block.place


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=named)
def test_outlines_import_what_there_is(block):
    """A block that only shows names is held to them."""
    if not block.mode:
        compile(block.text, block.place, "exec", flags=PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for line in block.text.splitlines():
        if line.startswith(("from ", "import ")):
            exec(line, {})


def test_every_page_is_led_to_from_the_first():
    folder = ROOT / "docs"
    first = (folder / "README.md").read_text()
    told = [*folder.glob("*.md"), *folder.glob("guides/*.md"), *folder.glob("reference/*.md")]
    names = {str(path.relative_to(folder)) for path in told} - {"README.md"}
    assert {name for name in names if f"({name}" not in first} == set()
