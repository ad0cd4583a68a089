"""Every operation of the document, asked at random by schemathesis: it answers as it says."""

from __future__ import annotations

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import openapi
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.console.people import ORIGIN, TOKEN, installation

pytestmark = pytest.mark.peer

CHECKS = (
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


@schemathesis.serializer("application/cbor")
def sealed(_: object, value: object) -> bytes:
    """Whatever is made: the route reads octets."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("fuzzed")) as found:
        found.made.use("one", octets=5_000_000, grant=found.made.authorise())
        found.made.settle()
        found.web.events.close()
        found.web.ready = True
        yield found


def asked(home, examples: int) -> list[str]:
    """Ask each operation; return what was answered otherwise than it is said."""
    found: list[str] = []
    schema = openapi.from_dict(json.loads(json.dumps(home.app.openapi())))
    schema.app = home.app
    schema.config.update(base_url=ORIGIN)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            answer = case.call(headers=headers)
            try:
                case.validate_response(answer, checks=CHECKS)
            except FailureGroup as error:
                found.append(f"{case.operation.label}: {error.exceptions}")

        ask()
    return found


def test_each_operation_answers_the_installation_as_the_document_says(home):
    assert not asked(home, 5)
