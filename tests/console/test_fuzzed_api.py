"""Every operation of the document, asked at random as everybody: it answers as it says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import openapi
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.console.asking import WHO, World, world
from tests.console.people import ORIGIN

from opencarrier.app.openapi import rights
from opencarrier.app.problems import TYPES, problem_types

pytestmark = [pytest.mark.peer, pytest.mark.timeout(1_800)]

CHECKS = (
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
EXAMPLES = [2, pytest.param(40, marks=pytest.mark.deep)]


@schemathesis.serializer("application/cbor")
def sealed(_: object, value: object) -> bytes:
    """Whatever is made: the route reads octets."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture
def found(tmp_path_factory):
    with world(tmp_path_factory.mktemp("fuzzed")) as made:
        yield made


def operations(found: World) -> Iterator[schemathesis.APIOperation]:
    app = found.home.app
    schema = openapi.from_dict(json.loads(json.dumps(app.openapi())))
    schema.app = app
    schema.config.update(base_url=ORIGIN)
    for result in schema.get_all_operations():
        yield result.ok()


def fuzzed(made: st.SearchStrategy, examples: int, ask: Callable[[schemathesis.Case], None]):
    """Ask what is made at random, so many times."""
    settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )(given(case=made)(lambda case: ask(case)))()


@st.composite
def cases(draw, operation, ids: Mapping[str, list[str]]) -> schemathesis.Case:
    """A case whose path has ids that there are, every other time."""
    case = draw(operation.as_strategy())
    if draw(st.booleans()):
        known = {name: draw(st.sampled_from(ids[name])) for name in names(operation) & set(ids)}
        case.path_parameters = {**case.path_parameters, **known}
    return case


def names(operation) -> set[str]:
    return set(re.findall(r"{(\w+)}", operation.path))


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("who", WHO)
def test_each_operation_answers_everybody_as_the_document_says(found, who, examples):
    wrong: list[str] = []

    def ask(case: schemathesis.Case) -> None:
        answer = case.call(headers=headers)
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as error:
            wrong.append(f"{case.operation.label} {case.path_parameters}: {error.exceptions}")
        if answer.headers.get("content-type") == ["application/problem+json"]:
            kind = answer.json()["type"]
            if kind.removeprefix(TYPES) not in problem_types():
                wrong.append(f"{case.operation.label}: {kind} leads nowhere")

    for operation in operations(found):
        headers = found.headers(who)
        fuzzed(cases(operation, found.ids), examples, ask)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("examples", [1, pytest.param(8, marks=pytest.mark.deep)])
@pytest.mark.parametrize("who", [who for who in WHO if who != "installation"])
def test_ids_of_others_look_like_absent_ones(found, who, examples):
    """The same status, headers and octets, whatever else is asked."""
    wrong: list[str] = []

    def ask(case: schemathesis.Case) -> None:
        order, own = sorted(names(case.operation)), found.own(who, case.operation.path)
        for ids in product(*(found.ids[name] for name in order)):
            theirs = dict(zip(order, ids, strict=True))
            none = {name: one if one in own else absent(one) for name, one in theirs.items()}
            if none != theirs and told(case, none) != told(case, theirs):
                wrong.append(f"{case.operation.label} {theirs}: {told(case, theirs)[::2]}")

    def told(case: schemathesis.Case, ids: Mapping[str, str]):
        case.path_parameters = {**case.path_parameters, **ids}
        case.headers = {name: v for name, v in case.headers.items() if name != "Idempotency-Key"}
        answer = case.call(headers=headers)
        return answer.status_code, dict(answer.headers), answer.content

    for operation in operations(found):
        headers = found.headers(who)
        if names(operation) and names(operation) <= set(found.ids) and not is_open(operation):
            fuzzed(operation.as_strategy(), examples, ask)
    assert not wrong, "\n".join(wrong)


def is_open(operation) -> bool:
    return rights()[f"{operation.method.upper()} {operation.path}"].anybody


def absent(one: str) -> str:
    """An id of the same form that nothing has."""
    return one[:-1] + ("0" if one[-1] != "0" else "1")
