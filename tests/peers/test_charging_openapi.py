"""What a consumer and we say to each other is what the OpenAPI of TS 32.291 describes.

The specifications (TS32291_Nchf_ConvergedCharging.yaml and what it refers to) are not ours to keep:
OPENCARRIER_5GC_APIS names a folder of them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.app.charging_consumer import MIB, Consumer, asks, charging, used
from tests.app.scene import IMSI

FOLDER = Path(os.environ.get("OPENCARRIER_5GC_APIS", "/nowhere"))
NAME = "TS32291_Nchf_ConvergedCharging.yaml"

# No package brings the specifications, so this is no `peer` that a machine must have.
pytestmark = pytest.mark.skipif(
    not (FOLDER / NAME).exists(), reason="no 3GPP OpenAPI: set OPENCARRIER_5GC_APIS"
)


@pytest.fixture(scope="module")
def validator():
    """Return what checks an object against a schema of TS 32.291, by its name."""
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")
    yaml = pytest.importorskip("yaml")
    draft = referencing.jsonschema.DRAFT4

    def retrieve(uri: str):
        text = (FOLDER / uri).read_text().replace("\t", "  ")
        return referencing.Resource(
            contents=yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)),
            specification=draft,
        )

    registry = referencing.Registry(retrieve=retrieve)

    def check(what: str, told: object, *, document: str = NAME) -> None:
        schema = {"$ref": f"{document}#/components/schemas/{what}"}
        jsonschema.Draft4Validator(schema, registry=registry).validate(told)

    return check


def conversation(root: Path) -> list[tuple[str, str, object]]:
    """Hold a conversation; return what was said, each with its document and schema."""
    said: list[tuple[str, str, object]] = []
    with charging(root) as (made, client):
        consumer = Consumer(client, made, IMSI)

        def post(path: str, body: dict, wanted: int) -> None:
            status, told = consumer.post(path, body)
            assert status == wanted, told
            said.append((NAME, "ChargingDataRequest", body))
            if status < 300:
                said.append((NAME, "ChargingDataResponse", told))
            else:
                said.append(("TS29571_CommonData.yaml", "ProblemDetails", told))

        post("/chargingdata", consumer.body(0, asks(), asks(group=7)), 201)
        path = consumer.answered["location"].partition("/v3")[2]
        for sequence, more in ((1, MIB), (2, 0), (3, 1 << 40)):
            post(f"{path}/update", consumer.body(sequence, used(MIB, MIB, more=more)), 200)
        post(f"{path}/update", consumer.body(4, used(0, 1, group=9)), 400)
        assert consumer.post(f"{path}/release", consumer.body(5)) == (204, {})
    return said


def test_a_session_keeps_to_the_specification(tmp_path, validator):
    """Requests, answers and problems are valid; the validator does refuse what is not."""
    said = conversation(tmp_path)
    assert len(said) == 10
    for document, schema, told in said:
        validator(schema, told, document=document)
    with pytest.raises(Exception, match="is a required property"):
        validator("ChargingDataRequest", {"invocationSequenceNumber": 1})
