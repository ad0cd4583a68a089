"""Compile a contract with one function changed: what the change does not reach is taken over.

`Kept` compiles a contract once, up to its intermediate code, and keeps the modules it imports and
the code of each function. `compiled_with` runs in a copy of this process and uses them up: modules
that do not import the changed one, and functions that do not call the changed one. A function's
code depends on nothing else: operators change no declaration, and a change outside of functions
takes over no code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mutation_book import reached_from
from mutation_compiler import Compiled, data_of
from vyper.codegen import core
from vyper.codegen import module as generator
from vyper.codegen.function_definitions.common import ExternalFuncIR
from vyper.compiler.input_bundle import FilesystemInputBundle
from vyper.semantics.analysis import imports
from vyper.semantics.analysis.module import analyze_module

FIRST_NAME = 1_000_000
"""Names in code that is made again are counted from here: those taken over stay unique."""

Function = tuple[str, str]
"""The name of its source, and its own."""


@dataclass
class Kept:
    """What is known of a contract before a change."""

    name: str
    folder: Path
    modules: dict[Path, Any] = field(default_factory=dict)
    functions: dict[tuple, tuple[Any, Any]] = field(default_factory=dict)
    identifiers: dict[Function, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Compile the contract twice: what is analysed is not yet laid out, what is laid out is."""
        bundle = FilesystemInputBundle([self.folder])
        module, resolved, _ = data_of(self.name, bundle)._resolve_imports
        analyze_module(module)
        self.modules = {file.resolved_path: m for file, m in resolved.compiler_inputs.items()}
        with _Generation(self, lambda function: False):
            _ = data_of(self.name, FilesystemInputBundle([self.folder])).ir_nodes

    def compiled_with(self, edited: Path, function: str, text: str) -> Compiled | None:
        """Compile with another text of a function's source; None where that is no contract."""
        edited = edited.resolve()
        for path, module in self.modules.items():
            if edited not in reached_from(path, self.folder):
                _lent[path] = module
        changed = (edited.name, function)

        def may_keep(type_: Any) -> bool:
            reached = {_named(t) for t in (type_, *type_.reachable_internal_functions)}
            return bool(function) and changed not in reached

        found = Compiled(data_of(self.name, _Edited(self.folder, edited, text)))
        core._label, core.reset_names = FIRST_NAME, lambda: None
        with _Generation(self, may_keep):
            try:
                return found if found.creation else None
            except Exception:  # The compiler has no word for some of what is no contract.
                return None


_lent: dict[Path, Any] = {}
_parse = imports._parse_ast
imports._parse_ast = lambda file: _lent.get(file.resolved_path) or _parse(file)


class _Edited(FilesystemInputBundle):
    """The sources of a folder, one of which has another text."""

    def __init__(self, folder: Path, edited: Path, text: str) -> None:
        super().__init__([folder])
        self.edited, self.text = edited, text

    def _load_from_path(self, resolved_path, original_path):
        found = super()._load_from_path(resolved_path, original_path)
        return replace(found, contents=self.text) if resolved_path == self.edited else found


class _Generation:
    """While it is entered, code is taken over from what is kept, where it may be, or kept."""

    def __init__(self, kept: Kept, may_keep: Callable[[Any], bool]) -> None:
        self.kept, self.may_keep = kept, may_keep
        self.internal = generator.generate_ir_for_internal_function
        self.external = generator.generate_ir_for_external_function
        self.identify = generator.IDGenerator.ensure_id

    def __enter__(self) -> None:
        generator.generate_ir_for_internal_function = self._internal
        generator.generate_ir_for_external_function = self._external
        generator.IDGenerator.ensure_id = self._identify

    def __exit__(self, *_: object) -> None:
        generator.generate_ir_for_internal_function = self.internal
        generator.generate_ir_for_external_function = self.external
        generator.IDGenerator.ensure_id = self.identify

    def _identify(self, type_: Any) -> None:
        known = self.kept.identifiers
        type_._function_id = known.setdefault(_named(type_), len(known))

    def _internal(self, code: Any, module: Any, is_ctor_context: bool) -> Any:
        return self._made(self.internal, code, module, is_ctor_context)

    def _external(self, code: Any, module: Any) -> ExternalFuncIR:
        made: ExternalFuncIR = self._made(self.external, code, module)
        # The caller of this writes into the entries.
        entries = {sign: replace(entry) for sign, entry in made.entry_points.items()}
        return ExternalFuncIR(entries, made.common_ir)

    def _made(self, generate: Callable, code: Any, module: Any, *context: bool) -> Any:
        type_ = code._metadata["func_type"]
        key = (_named(type_), *context)
        if key in self.kept.functions and self.may_keep(type_):
            made, type_._ir_info = self.kept.functions[key]
        else:
            made = generate(code, module, *context)
            self.kept.functions.setdefault(key, (made, type_._ir_info))
        return made


def _named(type_: Any) -> Function:
    return Path(type_.ast_def.module_node.path).name, type_.name
