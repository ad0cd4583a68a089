"""The repository's own lint finds what it is there for, and lets the rest be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tools import links, tidy


@pytest.mark.parametrize(
    "source",
    [
        "x = 1.5",
        "x = float(y)",
        "def f(x: float) -> None: ...",
        "x = a / b",
        "x /= 2",
        "x = total / len(rows)",
        "import math",
        "from math import floor",
        "from decimal import Decimal",
        "import numpy as np",
        "x = round(y)",
        "x = 10**-6",
        "from sqlalchemy import Float",
        "x = sqlalchemy.Numeric()",
        "x = 1j",
    ],
)
def test_whatever_makes_a_float_is_found(source: str) -> None:
    assert list(tidy.floats(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "x = a // b",
        "x = 10**6",
        "x = folder / 'file'",
        "x = Path(name) / name",
        "x = self.root / name",
        "from math import gcd, isqrt",
        "import hashlib",
        "x = '1.5'",
        "x = 'a/b'",
    ],
)
def test_what_makes_none_is_let_be(source: str) -> None:
    assert not list(tidy.floats(ast.parse(source)))


@pytest.mark.parametrize(("lines", "count"), [(70, 0), (71, 1)])
def test_functions_have_a_limit(lines: int, count: int) -> None:
    text = "def f():\n" + "    pass\n" * (lines - 1)
    assert len(list(tidy.lengths(ast.parse(text), text, is_test=False))) == count


@pytest.mark.parametrize(
    ("lines", "is_test", "count"),
    [(600, False, 0), (601, False, 1), (601, True, 0), (751, True, 1)],
)
def test_modules_have_a_limit(lines: int, is_test: bool, count: int) -> None:
    text = "x = 1\n" * lines
    assert len(list(tidy.lengths(ast.parse(text), text, is_test=is_test))) == count


def test_an_undeclared_import_is_found() -> None:
    tree = ast.parse("import os\nimport sqlalchemy.orm\nimport numpy\nfrom eth import vm\n")
    found = list(tidy.undeclared(tree, {"sqlalchemy", "py-evm"}))
    assert found == [(3, "numpy: not a dependency in pyproject.toml")]


def test_links_that_lead_nowhere_are_found(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(links, "ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# A `b` heading, twice\n\n# A b heading, twice\n")
    document = tmp_path / "doc.md"
    document.write_text(
        "[good](there.md) [good](there.md#a-b-heading-twice-1) [far](https://example.org)\n"
        "```\n[in code](gone.md)\n```\n"
        "[no file](gone.md)\n"
        "[no heading](there.md#other)\n"
        "[out](../..)\n"
        "`src/gone.py` `src/gone`\n"
    )
    assert [line for line, _ in links.check(document)] == [5, 6, 7, 8]
