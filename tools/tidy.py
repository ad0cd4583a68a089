"""The repository's own lint: no float where money is, nothing too long, no undeclared dependency.

Usage: python tools/tidy.py [FILE...]; without files, everything. Exit code 1 with findings.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "opencarrier"

EXACT_ROOMS = (
    "kernel", "spine", "usage", "rating", "ledger", "clearing", "settlement", "rewards", "channels",
)  # fmt: skip
FLOAT_MODULES = {"cmath", "decimal", "math", "numpy", "statistics"}
INTEGER_FUNCTIONS = {"ceil", "comb", "factorial", "gcd", "isqrt", "lcm"}
PATH_WORDS = re.compile(r"(?i)(path|root|folder|dir|directory|file|base|parent|here)$")

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 600
TEST_MODULE_LINES_MAX = 750
GENERATED = ("src/opencarrier/app/migrations/versions/",)

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

IMPORT_NAMES = {
    "Crypto": "pycryptodome",
    "OpenSSL": "pyopenssl",
    "eth": "py-evm",
    "dns": "dnspython",
    "sha3": "safe-pysha3",
}
"""Where a module's name is not its distribution's."""

COMES_WITH = {
    "eth_abi": "web3",
    "eth_bloom": "py-evm",
    "eth_keys": "py-evm",
    "eth_utils": "web3",
    "markupsafe": "jinja2",
    "pydantic": "fastapi",
    "opentelemetry": "opentelemetry-sdk",
    "requests": "web3",
    "rlp": "py-evm",
    "starlette": "fastapi",
    "urllib3": "web3",
}
"""Modules we import that a declared dependency brings as part of its own interface."""

Finding = tuple[int, str]


def main(arguments: list[str]) -> int:
    """Check files; print findings as `path:line: message`."""
    paths = [Path(name).resolve() for name in arguments] or sorted(_all_files())
    declared = _declared()
    count = 0
    for path in paths:
        for line, message in sorted(check(path, declared)):
            print(f"{path.relative_to(ROOT)}:{line}: {message}")
            count += 1
    print(f"tidy: {len(paths)} files, {count} findings", file=sys.stderr)
    return 1 if count else 0


def check(path: Path, declared: set[str]) -> Iterator[Finding]:
    """Yield what is wrong with one file."""
    text = path.read_text()
    tree = ast.parse(text, str(path))
    place = path.relative_to(ROOT).as_posix()
    if not place.startswith(GENERATED):
        yield from lengths(tree, text, is_test=place.startswith("tests/"))
    for number, line in enumerate(text.splitlines(), start=1):
        if UNFINISHED.search(line) and path != Path(__file__).resolve():
            yield number, "unfinished work is not committed"
    if place.startswith(tuple(f"src/opencarrier/{room}/" for room in EXACT_ROOMS)):
        yield from floats(tree)
    if place.startswith("src/"):
        yield from undeclared(tree, declared)


def lengths(tree: ast.Module, text: str, *, is_test: bool) -> Iterator[Finding]:
    """Yield functions and modules beyond their limits; tables of test cases do not count."""
    lines = text.count("\n")
    limit = TEST_MODULE_LINES_MAX if is_test else MODULE_LINES_MAX
    if lines > limit:
        yield 1, f"module of {lines} lines, at most {limit}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name}: {size} lines, at most {FUNCTION_LINES_MAX}"


def floats(tree: ast.Module) -> Iterator[Finding]:
    """Yield whatever makes or may make a float where amounts must be exact."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield line, f"float literal {node.value!r}"
        elif isinstance(node, ast.Name) and node.id in ("float", "complex"):
            yield line, f"{node.id} in a room of exact amounts"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            if not _joins_paths(node):
                yield line, "true division makes a float: use // and book the remainder"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Pow):
            if _negative(node.right if isinstance(node, ast.BinOp) else node.value):
                yield line, "a negative power makes a float"
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "round":
            yield line, "round(): rounding has a named mode in kernel.money"
        elif isinstance(node, ast.Attribute) and node.attr in ("truediv", "Float", "Numeric"):
            yield line, f"{node.attr} in a room of exact amounts"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _float_imports(node)


def _float_imports(node: ast.Import | ast.ImportFrom) -> Iterator[Finding]:
    if isinstance(node, ast.Import):
        modules = [alias.name.partition(".")[0] for alias in node.names]
        yield from ((node.lineno, f"import {name}") for name in modules if name in FLOAT_MODULES)
        return
    if (node.module or "").partition(".")[0] in FLOAT_MODULES:
        for alias in node.names:
            if not (node.module == "math" and alias.name in INTEGER_FUNCTIONS):
                yield node.lineno, f"from {node.module} import {alias.name}"
    for alias in node.names:
        if node.module == "sqlalchemy" and alias.name in ("Float", "Numeric", "Double", "REAL"):
            yield node.lineno, f"a {alias.name} column in a room of exact amounts"


def _joins_paths(node: ast.BinOp | ast.AugAssign) -> bool:
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
    for side in sides:
        if isinstance(side, ast.JoinedStr):
            return True
        if isinstance(side, ast.Constant) and isinstance(side.value, str):
            return True
        if isinstance(side, ast.Call) and getattr(side.func, "id", "") == "Path":
            return True
        name = getattr(side, "id", getattr(side, "attr", ""))
        if PATH_WORDS.search(name):
            return True
    return False


def _negative(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def undeclared(tree: ast.Module, declared: set[str]) -> Iterator[Finding]:
    """Yield imports that no declared run-time dependency accounts for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top == "opencarrier":
                continue
            distribution = COMES_WITH.get(top) or IMPORT_NAMES.get(top, top)
            if _normal(distribution) not in declared:
                yield node.lineno, f"{top}: not a dependency in pyproject.toml"


def _declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    entries = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    return {_normal(re.split(r"[^A-Za-z0-9_.-]", entry)[0]) for entry in entries}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _all_files() -> Iterator[Path]:
    for folder in ("src", "tests", "tools", "contracts"):
        yield from (ROOT / folder).rglob("*.py")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
