"""The operators make what docs/reference/mutation.md says; no mutant of a contract lives."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import mutation_book as book
import pytest
from mutation_book import CONTRACTS, EQUIVALENTS, HERE, targets
from mutation_compiler import check, compiled
from mutation_increments import Kept
from mutation_mistakes import MISTAKES
from mutation_operators import Edit, edits, mistakes
from mutation_tests import Copy

from opencarrier.chain.abi import load

ROOT = HERE.parents[1]
TARGETS = targets()
PAGE = (ROOT / "docs/reference/mutation.md").read_text()
OUTCOMES = {
    name: [int(count) for count in re.findall(r"\d+", counts)]
    for name, counts in re.findall(r"^\| ([\w/]+) \|((?: \d+ \|){5}) \d{4}-", PAGE, re.M)
}
"""What the page says: all mutants of a source, no mistake, killed, equivalent, survived."""

SOURCE = '''
# pragma version 0.4.3
# pragma nonreentrancy on
LIMIT: constant(uint256) = 7
total: public(uint256)
owned: HashMap[address, HashMap[address, uint256]]
seen: bytes32

event Moved:
    sender: address
    amount: uint256

@external
def move(amount: uint256, loud: bool) -> uint256:
    """
    @notice Moves 5 > 3.
    """
    assert amount < LIMIT and not loud, "move: no"
    if amount == 0:
        return min(amount, 9)
    self.total += amount % 2
    self.total = staticcall Other(self).total() + LIMIT
    self.seen = keccak256(abi_encode(amount, loud))
    log Moved(sender=msg.sender, amount=amount)
    return self.owned[msg.sender][self]
'''

EXPECTED = {
    "LCK": {"# pragma nonreentrancy off"},
    "CRP": {
        "LIMIT: constant(uint256) = 8",
        "LIMIT: constant(uint256) = 6",
        "if amount == 1:",
        "return min(amount, 10)",
        "return min(amount, 8)",
        "self.total += amount % 3",
        "self.total += amount % 1",
    },
    "ROR": {
        'assert amount <= LIMIT and not loud, "move: no"',
        'assert amount != LIMIT and not loud, "move: no"',
        'assert False and not loud, "move: no"',
        "if amount >= 0:",
        "if False:",
    },
    "COR": {
        'assert ((amount < LIMIT) or (not loud)), "move: no"',
        'assert ((amount < LIMIT)), "move: no"',
        'assert ((not loud)), "move: no"',
    },
    "UOD": {'assert amount < LIMIT and loud, "move: no"'},
    "CND": {"if True:"},
    "MMX": {"return max(amount, 9)", "return amount", "return 9"},
    "SDL": {"pass"},
    "ODL": {
        "self.total = amount % 2",
        "self.total += (amount)",
        "self.total += (2)",
        "self.total = (staticcall Other(self).total())",
        "self.total = (LIMIT)",
    },
    "ENC": {"self.seen = keccak256(abi_encode(loud))", "self.seen = keccak256(abi_encode(amount))"},
    "ARG": {
        "self.seen = keccak256(abi_encode(loud, amount))",
        "log Moved(sender=amount, amount=msg.sender)",
    },
    "RET": {"return empty(uint256)"},
    "IDX": {"return self.owned[self][msg.sender]"},
}


def test_the_operators():
    """Every operator on one small source, to the letter; types and descriptions stay."""
    made: dict[str, set[str]] = {}
    found = edits(SOURCE)
    for edit in found:
        made.setdefault(edit.operator, set()).add(edit.lines(SOURCE)[1])
    assert made == EXPECTED
    assert sum(edit.operator == "SDL" for edit in found) == 5
    assert len({edit.apply(SOURCE) for edit in found}) == len(found)


def test_every_operator_is_described():
    """The page's table and the operators of the tool are one list."""
    described = set(re.findall(r"^\| ([A-Z]{3}) \|", PAGE, re.M))
    source = (HERE / "mutation_operators.py").read_text()
    assert described == set(re.findall(r'"([A-Z]{3})"', source))


@pytest.mark.parametrize("name", TARGETS)
def test_there_is_something_to_try(name: str):
    """Each source has mutants and tests, mistakes and equivalents are of them; the page counts."""
    target, text = TARGETS[name], TARGETS[name].text
    found = [*edits(text), *mistakes(text, MISTAKES.get(target.source, ()))]
    assert found
    assert target.tests
    assert len({edit.apply(text) for edit in found}) == len(found)
    places = {(edit.function, *edit.lines(text)) for edit in found}
    named = [one for one in book.equivalents() if one["source"] == target.source]
    for one in named:
        assert (one.get("function", ""), one["old"], one["new"]) in places, one
        assert one["reason"]
    mutants, unfit, killed, equivalent, survived = OUTCOMES[name]
    assert (mutants, equivalent, survived) == (len(found), len(named), 0)
    assert mutants == unfit + killed + equivalent


def test_equivalents_and_mistakes_have_a_source():
    sources = {target.source for target in TARGETS.values()}
    assert {one["source"] for one in book.equivalents()} <= sources
    assert sources >= MISTAKES.keys()
    assert EQUIVALENTS.exists()


@pytest.mark.parametrize("name", ["StableToken", "RewardDistributor"])
def test_the_faster_compiler_makes_what_ships(name: str):
    check(compiled(name, CONTRACTS), load(name))


@pytest.mark.deep
@pytest.mark.parametrize("name", TARGETS)
def test_what_is_taken_over_makes_the_same_mutants(name: str, tmp_path: Path):
    """Some mutants of each source: compiled in part, octet by octet what the compiler makes."""
    target, text = TARGETS[name], TARGETS[name].text
    contract = target.affects[0]
    kept = Kept(contract, CONTRACTS)
    shutil.copytree(CONTRACTS, tmp_path, dirs_exist_ok=True)

    def in_part(edit: Edit) -> list[str | None]:
        path = CONTRACTS / target.source
        found = kept.compiled_with(path, edit.function, edit.apply(text))
        return [found and found.data.bytecode.hex()]

    def whole(edit: Edit) -> str | None:
        (tmp_path / target.source).write_text(edit.apply(text))
        command = [sys.executable, "-m", "vyper.cli.vyper_compile", f"{contract}.vy"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return ran.stdout.strip().removeprefix("0x") if ran.returncode == 0 else None

    for edit in random.Random(7).sample(edits(text), 5):
        assert Copy(partial(in_part, edit)).answer() == [whole(edit)], edit


SMALL = """
# pragma version 0.4.3
@external
def twice(a: uint256) -> uint256:
    assert a < 10
    return a + a
"""

HALF = """
from contract_evm import GENESIS_S, ZERO, Evm, refused
from opencarrier.chain.contracts import Contract
from opencarrier.chain.model import Call

class Small(Contract):
    NAME = "Small"
    EVENTS = {}

def twice(a):
    evm = Evm()
    small = Small(evm.deploy(ZERO, Call(to=None, data=Small.artefact().bytecode)))
    return small._query("twice", a).ask(evm)

def test_some():
    assert twice(3) == 6
"""

WHOLE = """
def test_the_edge():
    assert twice(9) == 18
    for a in (10, 11):
        with refused(None):
            twice(a)
"""

DRIVER = """
import sys
from functools import partial
from pathlib import Path

folder = Path(sys.argv[1])
sys.path.insert(0, sys.argv[2])
import mutation
import mutation_book as book
from opencarrier.chain.abi import parse
from opencarrier.chain.contracts import base

base.load = book.load = mutation.load = lambda name: parse((folder / f"{name}.json").read_text())
book.CONTRACTS = book.HERE = folder
book.RESULTS = folder / "results"
book.SHARED_TESTS = ()
book.SUITE.clear()
book.SUITE["Small"] = ("test_small.py",)
target = book.Target("Small.vy", ("Small",))
chosen = mutation.chosen_of(target, None, 0)
unwanted = getattr(mutation, sys.argv[3])
sys.exit(mutation.hunt_all({"Small": (target, chosen)}, jobs=2, unwanted=unwanted))
"""


@pytest.mark.deep
def test_survivors_are_told_kept_and_tried_again(tmp_path: Path):
    """Half a test lets five of seven live, a second run knows it, better tests notice all.

    A test that is gone notices nothing any more.
    Were all named equivalent, the two that are noticed and the one that is no contract are told.
    """
    (tmp_path / "Small.vy").write_text(SMALL)
    built = book.build().artefact_text("Small", tmp_path)
    (tmp_path / "Small.json").write_text(built)
    (tmp_path / "driver.py").write_text(DRIVER)
    tests = tmp_path / "test_small.py"

    def hunted(unwanted: str = "UNNOTICED") -> tuple[int, str]:
        command = [sys.executable, str(tmp_path / "driver.py"), str(tmp_path), str(HERE), unwanted]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    tests.write_text(HALF)
    survivors, said = hunted()
    assert survivors == 5, said
    assert "Small: 2 killed, 5 survived, 0 endless; 1 stillborn, 0 the same" in said
    assert "Small.vy:5 ROR twice\n  - assert a < 10\n  + assert a <= 10" in said
    kept = (tmp_path / "results" / "Small.vy.jsonl").read_text()
    assert hunted() == (survivors, said)
    assert (tmp_path / "results" / "Small.vy.jsonl").read_text() == kept
    unfit, said = hunted("NO_EQUIVALENT")
    assert unfit == 3, said
    assert said.count("killed: Small.vy") == 2, said
    tests.write_text(HALF + WHOLE)
    survivors, said = hunted()
    assert survivors == 0, said
    assert "Small: 7 killed, 0 survived" in said
    tests.write_text(HALF)
    survivors, said = hunted()
    assert survivors == 5, said


@pytest.mark.deep
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("name", TARGETS)
def test_no_mutant_survives(name: str):
    """Whatever is not equivalent is noticed; a stopped run goes on where it was."""
    command = [sys.executable, str(HERE / "mutation.py"), "--contract", name]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.deep
@pytest.mark.timeout(3600)
def test_every_equivalent_survives():
    """What a test notices, and what is no mistake, has no place in the list."""
    command = [sys.executable, str(HERE / "mutation.py"), "--equivalents"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
