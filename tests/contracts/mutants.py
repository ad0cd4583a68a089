"""Small wrong changes to the contracts, each of which some test must notice.

    python tests/contracts/mutants.py            try all, name the survivors
    python tests/contracts/mutants.py 7 21       try some

Each `mutants_*.py` beside this lists a contract's. A mutant is compiled in a copy of the
sources; the tests then run on its bytecode through `OPENCARRIER_TEST_ARTEFACTS`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mutant import Mutant

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONTRACTS = ROOT / "contracts"
COMMON = ("test_authority.py", "test_bindings.py", "test_stateful.py")


def _lists() -> list[ModuleType]:
    return [import_module(path.stem) for path in sorted(HERE.glob("mutants_*.py"))]


LISTS = _lists()
MUTANTS: list[Mutant] = [mutant for found in LISTS for mutant in found.MUTANTS]
SUITE = {name: files for found in LISTS for name, files in found.SUITE.items()}


def mutate(mutant: Mutant, folder: Path) -> Path:
    """Compile a mutant into `folder` and return where the artefacts are."""
    sources, artefacts = folder / "contracts", folder / "artefacts"
    shutil.copytree(CONTRACTS, sources)
    path = sources / mutant.source
    text = path.read_text()
    assert mutant.old in text, f"no such text: {mutant}"
    path.write_text(text.replace(mutant.old, mutant.new, 1))
    build = _build()
    shutil.copytree(build.ARTEFACTS, artefacts)
    for name in mutant.affects:
        (artefacts / f"{name}.json").write_text(build.artefact_text(name, sources))
    return artefacts


def killed(mutant: Mutant) -> bool:
    """Say whether the suite notices a mutant."""
    tests = [file for name in mutant.affects for file in SUITE[name]]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "OPENCARRIER_TEST_ARTEFACTS": str(mutate(mutant, Path(folder))),
        }
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["-n0", "-m", "not deep", *(str(HERE / file) for file in (*tests, *COMMON))]
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert ran.returncode in (0, 1), ran.stdout.decode() + ran.stderr.decode()
    return ran.returncode == 1


def _build():
    spec = importlib.util.spec_from_file_location("contracts_build", CONTRACTS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(numbers: list[str]) -> int:
    """Try mutants; print each survivor; return 1 if there is one."""
    survivors = 0
    for number in [int(n) for n in numbers] or range(len(MUTANTS)):
        if not killed(MUTANTS[number]):
            survivors += 1
            print(f"{number} survives: {MUTANTS[number]}", flush=True)
    print(f"{survivors} of {len(numbers) or len(MUTANTS)} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
