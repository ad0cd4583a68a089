"""All small wrong changes to a Vyper source that a fixed list of operators makes.

docs/reference/mutation.md describes the operators. Text is replaced where the syntax tree says a
piece of code stands, so a mutant differs from its source in that piece alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from vyper.ast import nodes as vy
from vyper.ast import parse_to_ast
from vyper.ast.pre_parser import PreParser

# Of the seven replacements of a comparison these three are noticed by no test that misses one of
# the others: x < y -> x <= y, x != y, False, and so on.
RELATIONS = {
    "Lt": ("<=", "!=", None),
    "LtE": ("<", "==", None),
    "Gt": (">=", "!=", None),
    "GtE": (">", "==", None),
    "Eq": ("<=", ">=", None),
    "NotEq": ("<", ">", None),
    "In": ("not in",),
    "NotIn": ("in",),
}
ZERO = re.compile(r"0|empty\((address|bytes32|uint\d+)\)")
BELOW_ZERO = (("Eq", "<="), ("NotEq", ">"), ("Gt", "!="))
"""Next to zero these differ below it only, where nothing of ours is."""
CONSTANT = {"Lt": "False", "LtE": "True", "Gt": "False", "GtE": "True", "Eq": "False"}
SYMBOL = r"(<=|>=|==|!=|<<|>>|\*\*|//|[-+*%<>|&^]|\bnot\s+in\b|\bin\b)"


_prepare = PreParser.parse


class _Moved(dict[tuple[int, int], int]):
    """By line and column, how far `extcall` and `staticcall` moved what stands there.

    The parser knows this of the first column of a token; a node may end before a space.
    """

    def get(self, place: tuple[int, int], default: int = 0) -> int:
        line, column = place
        known = ((line, before) for before in range(column, -1, -1))
        return next((self[start] for start in known if start in self), default)


def _prepared(parser: PreParser, code: str) -> None:
    _prepare(parser, code)
    parser.adjustments = _Moved(parser.adjustments)


PreParser.parse = _prepared


@dataclass(frozen=True, slots=True)
class Edit:
    """A piece of a source, by its offsets, and what an operator puts in its place."""

    operator: str
    function: str
    start: int
    end: int
    new: str

    def apply(self, text: str) -> str:
        """Return the mutant's source."""
        return text[: self.start] + self.new + text[self.end :]

    def lines(self, text: str) -> tuple[str, str]:
        """Return the changed lines before and after, in single spaces."""
        first = text.rfind("\n", 0, self.start) + 1
        last = text.find("\n", self.end)
        last = len(text) if last < 0 else last
        after = text[first : self.start] + self.new + text[self.end : last]
        return _spaced(text[first:last]), _spaced(after)


def edits(text: str) -> list[Edit]:
    """List every mutant of a source, in the order of their places; no two are the same text."""
    assert text.isascii(), "offsets count octets"
    found = {edit.apply(text): edit for edit in _Finder(text).all()}
    return sorted(found.values(), key=lambda e: (e.start, e.end, e.operator, e.new))


def mistakes(text: str, pairs: Iterable[tuple[str, str]]) -> list[Edit]:
    """List mistakes written by hand: a text and what stands in its place."""
    found = []
    for old, new in pairs:
        assert old in text, f"no such text: {old}"
        start = text.index(old)
        found.append(Edit("HND", "", start, start + len(old), new))
    return found


def statements(text: str) -> list[range]:
    """Return the lines of every statement, of `if` and `for` those before the body."""
    found = []
    for function in parse_to_ast(text).get_children(vy.FunctionDef):
        for node in function.get_descendants(vy.Stmt):
            body = getattr(node, "body", None)
            found.append(range(node.lineno, body[0].lineno if body else node.end_lineno + 1))
    return found


def _spaced(text: str) -> str:
    return " ".join(text.split())


class _Finder:
    """Walks one source; each `_<kind>` yields (operator, first node or offsets, new text)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0]
        for line in text.split("\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.function = ""
        self.returns = ""

    def all(self) -> Iterator[Edit]:
        pragma = re.search(r"^# pragma nonreentrancy on$", self.text, re.M)
        if pragma:
            yield Edit("LCK", "", pragma.end() - 2, pragma.end(), "off")
        for node in parse_to_ast(self.text).body:
            if isinstance(node, vy.FunctionDef):
                self.function = node.name
                self.returns = self._text(node.returns) if node.returns else ""
                yield from self._walk(node.body)
            elif isinstance(node, vy.VariableDecl) and node.value is not None:
                self.function = ""
                yield from self._walk([node.value])

    def _walk(self, nodes: list) -> Iterator[Edit]:
        for node in nodes:
            for operator, (start, end), new in self._of(node):
                if self.text[start:end] != new:
                    yield Edit(operator, self.function, start, end, new)
            yield from self._walk(self._children(node))

    def _children(self, node: vy.VyperNode) -> list:
        """The parts of a node that are code: no types, names or descriptions."""
        match node:
            case vy.AnnAssign():
                return [node.value]
            case vy.For():
                return [node.iter, *node.body]
            case vy.Call():
                return [*node.args, *(k.value for k in node.keywords)]
            case vy.Assert():
                return [node.test]
            case vy.Attribute():
                return [node.value]
            case vy.Subscript():
                return [node.value, node.slice]
        return list(node._children) if not isinstance(node, vy.DocStr) else []

    def _of(self, node: vy.VyperNode) -> Iterator[tuple[str, tuple[int, int], str]]:
        kind = type(node).__name__
        rule = getattr(self, f"_{kind.lower()}", None)
        if rule is not None:
            yield from rule(node)

    def _span(self, node: vy.VyperNode) -> tuple[int, int]:
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _text(self, node: vy.VyperNode) -> str:
        start, end = self._span(node)
        return self.text[start:end]

    def _symbol(self, left: vy.VyperNode, right: vy.VyperNode) -> tuple[int, int]:
        """Where the operator between two operands stands, parentheses and line ends skipped."""
        start, end = self._span(left)[1], self._span(right)[0]
        found = re.search(SYMBOL, self.text[start:end])
        assert found, self.text[start:end]
        return start + found.start(), start + found.end()

    # Expressions

    def _compare(self, node):
        name = type(node.op).__name__
        zero = ZERO.fullmatch(self._text(node.right)) is not None
        for new in RELATIONS[name]:
            if zero and (name, new) in BELOW_ZERO:
                continue
            if new is None:
                yield "ROR", self._span(node), CONSTANT.get(name, "True")
            else:
                yield "ROR", self._symbol(node.left, node.right), new

    def _binop(self, node):
        for operand in (node.left, node.right):
            yield "ODL", self._span(node), f"({self._text(operand)})"

    def _boolop(self, node):
        values = [f"({self._text(value)})" for value in node.values]
        word = "or" if type(node.op).__name__ == "And" else "and"
        yield "COR", self._span(node), f"({f' {word} '.join(values)})"
        for i in range(len(values)):
            rest = values[:i] + values[i + 1 :]
            joined = f" {'and' if word == 'or' else 'or'} ".join(rest)
            yield "COR", self._span(node), f"({joined})"

    def _unaryop(self, node):
        if type(node.op).__name__ in ("Not", "USub"):
            yield "UOD", self._span(node), self._text(node.operand)

    def _ifexp(self, node):
        for value in ("True", "False"):
            yield "CND", self._span(node.test), value

    def _int(self, node):
        for value in (node.value + 1, node.value - 1):
            if value >= 0:
                yield "CRP", self._span(node), str(value)

    def _hex(self, node):
        text = self._text(node)
        yield "CRP", self._span(node), text[:-1] + ("0" if text[-1] != "0" else "1")

    def _hexbytes(self, node):
        text = self._text(node)
        yield "CRP", self._span(node), text[:-2] + ("0" if text[-2] != "0" else "1") + text[-1]

    def _nameconstant(self, node):
        if node.value in (True, False):
            yield "CRP", self._span(node), str(not node.value)

    def _str(self, node):
        if len(node.value) > 40:
            # What a type hash is made of; reasons and names are checked elsewhere.
            yield "CRP", self._span(node), f'"{node.value[:-1]}"'

    def _call(self, node):
        name = self._text(node.func)
        if name in ("min", "max"):
            yield "MMX", self._span(node.func), "max" if name == "min" else "min"
            for argument in node.args:
                yield "MMX", self._span(node), self._text(argument)
        else:
            yield from self._swaps([*node.args, *(k.value for k in node.keywords)])
        if name in ("abi_encode", "concat"):
            yield from self._shorter(node.args)
        for keyword in node.keywords:
            if keyword.arg in ("default_return_value", "revert_on_failure"):
                start, end = self._span(keyword)
                before = self.text[:start].rstrip().removesuffix(",")
                yield "KWD", (len(before), end), ""

    def _swaps(self, values: list) -> Iterator[tuple[str, tuple[int, int], str]]:
        for one, other in pairwise(values):
            (start, one_end), (other_start, end) = self._span(one), self._span(other)
            between = self.text[one_end:other_start]
            other_name = re.search(r"\w+\s*=\s*$", between)
            assert other_name is None or "," in between
            yield "ARG", (start, end), self._text(other) + between + self._text(one)

    def _shorter(self, values: list) -> Iterator[tuple[str, tuple[int, int], str]]:
        spans = [self._span(value) for value in values]
        for (start, _), (following, _) in pairwise(spans):
            yield "ENC", (start, following), ""
        for (_, before), (_, end) in list(pairwise(spans))[-1:]:
            yield "ENC", (before, end), ""

    def _subscript(self, node):
        if isinstance(node.value, vy.Subscript):
            inner, outer = self._text(node.value.slice), self._text(node.slice)
            whole = self._text(node.value.value)
            yield "IDX", self._span(node), f"{whole}[{outer}][{inner}]"

    # Statements

    def _if(self, node):
        for value in ("True", "False"):
            yield "CND", self._span(node.test), value

    def _deleted(self, node):
        yield "SDL", self._span(node), "pass"

    _assert = _assign = _log = _break = _continue = _deleted

    def _expr(self, node):
        if not isinstance(node.value, vy.Str | vy.DocStr):
            yield "SDL", self._span(node), "pass"

    def _augassign(self, node):
        yield "SDL", self._span(node), "pass"
        yield "ODL", self._symbol(node.target, node.value), ""

    def _annassign(self, node):
        yield "DEF", self._span(node.value), f"empty({self._text(node.annotation)})"

    def _return(self, node):
        if node.value is not None and self.returns:
            yield "RET", self._span(node.value), f"empty({self.returns})"
