"""Every command, setting, route and metric stands in the reference under its own heading."""

from __future__ import annotations

import runpy
from dataclasses import fields
from pathlib import Path

import pytest
from tests.app.scene import scene
from tests.documents.parsing import PROGRAM, parse, typed

from opencarrier.app.config import Settings

ROOT = Path(__file__).parents[2]
MADE = runpy.run_path(str(ROOT / "tools" / "reference.py"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[Path, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPENCARRIER_DATA", raising=False)
        with scene(tmp_path_factory.mktemp("reference") / "data") as made:
            return MADE["pages"](*MADE["told_by"](made.place))


def test_the_pages_are_as_the_program_is(pages):
    for path, text in pages.items():
        assert path.read_text() == text, "run: python tools/reference.py"


def test_nothing_is_left_out(pages):
    """Counted apart from what wrote the pages."""
    text = {path.stem: text for path, text in pages.items()}
    for one in fields(Settings):
        assert f"\n## {one.name}\n" in text["settings"]
    for name in ("operator add", "demo", "doctor", "chain stake add"):
        assert f"\n## opencarrier {name}\n" in text["commands"]
    for route in ("GET /healthz", "POST /v1/cycles/close", "GET /v1/receipts/{usage_id}"):
        assert f"\n## {route}\n" in text["routes"]
    for metric in ("radius_accepts_total", "upstream_requests_total", "cycle_final"):
        assert f"\n## opencarrier_{metric}\n" in text["metrics"]


COMMANDS = dict(MADE["_commands"](PROGRAM, ()))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_says_what_it_takes_and_how_it_is_called(path):
    """Each argument and option has its meaning, and the example in the help is one of it."""
    command = COMMANDS[path]
    unsaid = [one.name for one in command.params if not getattr(one, "help", "")]
    assert not unsaid
    _, found, example = (command.help or "").partition("Example: ")
    assert found, "no example"
    for words in typed(" ".join(example.split())):
        assert tuple(words[: len(path)]) == path
        parse(words)
