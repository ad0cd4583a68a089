"""Compile a contract for mutation: the compiler's own code, a third of its time.

Vyper 0.4.3 optimises a piece of its intermediate code again for each change around it, and the
whole once more for an output nobody asked for. Pieces are not changed in place, so what became of
one is remembered on it. `check` shows that what comes out is what the compiler makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from vyper.compiler.input_bundle import FilesystemInputBundle
from vyper.compiler.phases import CompilerData
from vyper.ir import optimizer
from vyper.ir.compile_ir import RuntimeHeader, assembly_to_evm

from opencarrier.chain.abi import Artefact
from opencarrier.kernel.keccak import keccak

_afresh = optimizer._optimize


def _remembered(node, parent):
    """`optimizer._optimize`, which depends on a node and on what its parent does."""
    around = None if parent is None else parent.value
    known = node.__dict__.setdefault("became", {})
    if around not in known:
        changed, result = _afresh(node, parent)
        known[around] = changed, result
        result.__dict__.setdefault("became", {})[around] = False, result
    return known[around]


optimizer._optimize = _remembered


@dataclass(frozen=True)
class Compiled:
    """A contract as the compiler left it."""

    data: CompilerData

    @cached_property
    def creation(self) -> bytes:
        """The creation code without its last octets, which tell sources apart, not code."""
        code: bytes = self.data.bytecode
        return code[: -int.from_bytes(code[-2:], "big")]

    @cached_property
    def runtime(self) -> bytes:
        """The deployed code before its immutables."""
        return self._runtime[0]

    def artefact(self, original: Artefact) -> Artefact:
        """Put this code in the place of the original's; the operators leave the ABI as it is."""
        return replace(
            original,
            bytecode=self.data.bytecode,
            runtime_length=len(self.runtime),
            runtime_keccak=keccak(self.runtime),
        )

    @cached_property
    def lines(self) -> tuple[Mapping[int, tuple[str, int]], Mapping[int, tuple[str, int]]]:
        """Say which source and line each place of the creation and of the runtime code is from."""
        _, creation = assembly_to_evm(self.data.assembly, compiler_metadata=b"")
        return dict(_lines(creation)), dict(_lines(self._runtime[1]))

    @cached_property
    def _runtime(self) -> tuple[bytes, dict]:
        (nested,) = (part for part in self.data.assembly if isinstance(part, list))
        assert isinstance(nested[0], RuntimeHeader)
        return assembly_to_evm(nested[1:])


def _lines(maps: dict) -> Iterator[tuple[int, tuple[str, int]]]:
    for place, node in maps["pc_raw_ast_map"].items():
        yield place, (Path(node.module_node.path).name, node.lineno)


def compiled(name: str, folder: Path) -> Compiled:
    """Compile a contract of a folder as it is."""
    found = Compiled(data_of(name, FilesystemInputBundle([folder])))
    assert found.creation, "an interface is not compiled"
    return found


def data_of(name: str, bundle: FilesystemInputBundle) -> CompilerData:
    return CompilerData(bundle.load_file(Path(f"{name}.vy")), input_bundle=bundle)


def check(found: Compiled, original: Artefact) -> None:
    """A contract without a mutant compiles to what ships."""
    assert found.data.bytecode == original.bytecode, original.name
    assert keccak(found.runtime) == original.runtime_keccak, original.name
