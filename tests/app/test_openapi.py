"""The OpenAPI document says everything of every route, and its examples are what it says."""

from __future__ import annotations

import json
import re

import pytest
from jsonschema import Draft202012Validator
from tests.app.scene import scene

from opencarrier import __version__
from opencarrier.access.model import Metrics
from opencarrier.app.http import Web, make_app
from opencarrier.app.openapi import TAGS, UNITS, operations, rights

STATUSES = {"400", "401", "402", "403", "404", "409", "413", "414", "415", "422", "429", "431"}
BEGINS = re.compile(r"[A-Z].{4,}")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("openapi")) as made:
        app = make_app(Web(made.place, Metrics, token="the token"))
        yield json.loads(json.dumps(app.openapi()))


@pytest.fixture(scope="module")
def described(told):
    return dict(operations(told))


def checked(told, schema, example, where: str) -> None:
    whole = {**schema, "components": told["components"]}
    errors = list(Draft202012Validator(whole).iter_errors(example))
    assert not errors, (where, errors[0].message, example)


def test_it_says_what_it_is_and_who_asks_how(told):
    assert told["info"]["version"] == __version__
    schemes = told["components"]["securitySchemes"]
    assert {"session", "token", "session_key", "payment"} == set(schemes)
    assert schemes["session"]["name"] == "opencarrier-8400"
    assert {tag["name"] for tag in told["tags"]} == set(TAGS)


def test_every_operation_says_what_it_does(described):
    ids = set()
    for name, operation in described.items():
        assert BEGINS.match(operation["summary"]), name
        assert not operation["summary"].endswith("."), name
        assert BEGINS.match(operation.get("description", "")), name
        assert len(operation["tags"]) == 1, name
        assert operation["tags"][0] in TAGS, name
        ids.add(operation["operationId"])
        assert re.fullmatch(r"(get|post)_[A-Za-z0-9_]+", operation["operationId"]), name
    assert len(ids) == len(described)
    assert "get_v1_network_cells" in ids


def test_every_answer_has_a_form_and_an_example_of_it(told, described):
    for name, operation in described.items():
        good = [code for code in operation["responses"] if code.startswith("2")]
        assert len(good) == 1, name
        if good == ["204"]:
            assert "content" not in operation["responses"]["204"], name
            continue
        ((media, content),) = operation["responses"][good[0]]["content"].items()
        assert content["schema"], name
        assert "example" in content, name
        if media == "application/json":
            checked(told, content["schema"], content["example"], name)


def test_every_body_has_a_form_and_an_example_of_it(told, described):
    for name, operation in described.items():
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            assert "example" in content, name
            if media == "application/json":
                checked(told, content["schema"], content["example"], name)


def test_every_refusal_is_a_problem_and_says_when(described):
    for name, operation in described.items():
        codes = {code for code in operation["responses"] if not code.startswith("2")}
        assert codes <= STATUSES | {"503"}, name
        for code in codes:
            answer = operation["responses"][code]
            assert BEGINS.match(answer["description"]), (name, code)
            if code != "402":
                assert list(answer["content"]) == ["application/problem+json"], (name, code)


def test_every_operation_names_its_proof(described):
    """As the table of rights has it."""
    for name, operation in described.items():
        right = rights()[name]
        shown = [scheme for one in operation["security"] for scheme in one]
        if right.proof is not None:
            assert "\n\nProof: " in f"\n\n{operation['description']}", name
            assert shown == ([right.proof.scheme] if right.proof.scheme else []), name
        elif right.anybody:
            assert not shown, name
        else:
            assert "token" in shown or right.people, name
            assert {"401", "404"} <= set(operation["responses"]), name


def test_every_number_says_what_it_is_counted_in(told):
    for form, schema in told["components"]["schemas"].items():
        for name, one in schema.get("properties", {}).items():
            if one.get("type") in ("integer", "number"):
                assert one["description"], (form, name)
            for ending, words in UNITS:
                if name.endswith(ending) and one.get("type") == "integer":
                    assert one["description"] != "A number without a unit.", (form, name, words)


def test_nothing_is_said_of_what_is_not_there(told):
    """Each reference leads somewhere, and the framework's own errors are ours instead."""
    text = json.dumps(told)
    for name in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert name in told["components"]["schemas"], name
    assert "HTTPValidationError" not in text
    assert "$defs" not in text
