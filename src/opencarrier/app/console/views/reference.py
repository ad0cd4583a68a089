"""The API as people read it: operations by what they are about, from the OpenAPI document alone."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opencarrier.app.console.rights import Right
from opencarrier.identity.accounts.model import Role

DEPTH_MAX: Final = 4
FIELDS_MAX: Final = 200
"""A form is shown so deep, and so many fields of it."""

JSON: Final = "application/json"
STREAM: Final = "text/event-stream"
_BEARERS: Final = {"token": "TOKEN", "session_key": "SESSION_KEY"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A part of a form: its name, its JSON type, whether it has to be there, what it is."""

    name: str
    kind: str
    needed: bool
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(Field):
    """What an address or a header takes; `sample` is something that fits.

    `preset` is what is asked with where nobody says otherwise.
    """

    where: str
    sample: str
    preset: str

    @property
    def stands(self) -> str:
        """What stands for it in a command: its sample, else its name in capitals."""
        return self.sample or self.name.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is sent or answered: its media type, its fields, an example as text."""

    media: str
    fields: Sequence[Field]
    example: str

    @property
    def line(self) -> str:
        """The example as a command sends it; what is no text comes from a file."""
        if self.media != JSON:
            return "@request"
        return json.dumps(json.loads(self.example), separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A status that refuses, and when."""

    status: int
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Who may ask: whoever it is, by a proof, whoever is signed in, or roles."""

    anybody: bool
    proof: bool
    people: bool
    installation: bool
    roles: Sequence[Role]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationLine:
    """An operation in a list."""

    key: str
    method: str
    path: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationView(OperationLine):
    """All of an operation; `bearer` is what stands for the token it is asked with, if by one."""

    tag: str
    says: Sequence[str]
    allowed: Allowed
    parameters: Sequence[Parameter]
    body: Form | None
    status: int
    answer: Form | None
    refusals: Sequence[Refused]
    bearer: str

    @property
    def can_be_tried(self) -> bool:
        """Whether a page may ask for it as whoever looks: nothing changes, and it ends."""
        return self.method == "GET" and (self.answer is None or self.answer.media != STREAM)

    def curl(self, base: str) -> str:
        """Return a command that asks for it, where words in capitals stand for one's own."""
        path = re.sub(r"{(\w+)}", lambda match: match[1].upper(), self.path)
        needed = [one for one in self.parameters if one.needed]
        query = "&".join(f"{one.name}={one.stands}" for one in needed if one.where == "query")
        headers = [f"{one.name}: {one.stands}" for one in needed if one.where == "header"]
        if self.bearer:
            headers.append(f"Authorization: Bearer {self.bearer}")
        parts = [] if self.method == "GET" or self.body is not None else ["-X", self.method]
        if self.body is not None:
            headers.append(f"Content-Type: {self.body.media}")
            parts += ["--data", self.body.line]
        for header in headers:
            parts += ["-H", header]
        return shlex.join(["curl", *parts, f"{base}{path}{'?' if query else ''}{query}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The operations of a tag."""

    tag: str
    says: str
    operations: Sequence[OperationView]

    @property
    def size(self) -> int:
        """How many operations it has."""
        return len(self.operations)


def reference(told: Mapping[str, Any], rights: Mapping[str, Right]) -> Sequence[Group]:
    """Return every operation of a document by its tag, in the document's order of tags."""
    schemas = told["components"]["schemas"]
    made = [
        _operation(schemas, path, method, operation, rights[f"{method.upper()} {path}"])
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
    ]
    groups = [
        Group(
            tag=tag["name"],
            says=tag["description"],
            operations=[one for one in made if one.tag == tag["name"]],
        )
        for tag in told["tags"]
    ]
    return [group for group in groups if group.operations]


def _operation(
    schemas: Mapping[str, Any],
    path: str,
    method: str,
    operation: Mapping[str, Any],
    right: Right,
) -> OperationView:
    status = min(int(code) for code in operation["responses"])
    answer = operation["responses"][str(status)]
    return OperationView(
        key=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        tag=operation["tags"][0],
        says=operation.get("description", "").split("\n\n"),
        allowed=_allowed(right),
        parameters=[_parameter(one) for one in operation.get("parameters", ())],
        body=_form(operation.get("requestBody", {}).get("content", {}), schemas),
        status=status,
        answer=_form(answer.get("content", {}), schemas),
        refusals=[
            Refused(status=int(code), says=one["description"])
            for code, one in operation["responses"].items()
            if int(code) != status
        ],
        bearer=_bearer(operation["security"]),
    )


def _allowed(right: Right) -> Allowed:
    roles = right.whole | right.at_party
    return Allowed(
        anybody=right.anybody,
        proof=right.proof is not None,
        people=right.people,
        installation=right.installation,
        roles=[role for role in Role if role in roles],
    )


def _parameter(one: Mapping[str, Any]) -> Parameter:
    schema = one.get("schema", {})
    preset = _text(schema.get("default"))
    sample = _text(one.get("example")) or preset
    must_be_said = one.get("required", False) and one["in"] == "query"
    return Parameter(
        name=one["name"],
        kind=_kind(schema),
        needed=one.get("required", False),
        says=one.get("description", ""),
        where=one["in"],
        sample=sample,
        preset=sample if must_be_said else preset,
    )


def _text(value: object) -> str:
    """Write a value as an address does."""
    if value is None or value == []:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _form(content: Mapping[str, Any], schemas: Mapping[str, Any]) -> Form | None:
    for media, one in content.items():
        example = one.get("example")
        text = example if isinstance(example, str) else json.dumps(example, indent=2)
        fields = list(_fields(one.get("schema", {}), schemas, "", 0))[:FIELDS_MAX]
        return Form(media=media, fields=fields, example=text)
    return None


def _fields(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], within: str, depth: int
) -> Iterator[Field]:
    """Yield the fields of a form, those inside others by their whole path."""
    found = _resolved(schema, schemas)
    if found.get("type") == "array":
        yield from _fields(found.get("items", {}), schemas, f"{within}[]", depth)
        return
    needed = found.get("required", ())
    for name, one in found.get("properties", {}).items():
        path = f"{within}.{name}" if within else name
        inner = _resolved(one, schemas)
        says = one.get("description", inner.get("description", ""))
        yield Field(name=path, kind=_kind(one), needed=name in needed, says=_first(says))
        if depth < DEPTH_MAX:
            yield from _fields(one, schemas, path, depth + 1)


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reference, or a form that may be null, is."""
    if "$ref" in schema:
        return _resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(choices[0], schemas) if len(choices) == 1 else schema


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return "object"
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return " | ".join(json.dumps(one) for one in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"{_kind(schema.get('items', {}))}[]"
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def _first(text: str) -> str:
    return text.split("\n\n")[0].replace("\n", " ")


def _bearer(security: Sequence[Mapping[str, Any]]) -> str:
    schemes = {name for one in security for name in one}
    return next((words for name, words in _BEARERS.items() if name in schemes), "")
