"""The OpenAPI document: what routes say of themselves, and what all of them have in common.

Who may ask, by what proof, and how that fails follows from the table of rights; what a number is
counted in follows from its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from fastapi.routing import APIRoute

from opencarrier import __version__
from opencarrier.app.api import EXAMPLE, refused, schema_of
from opencarrier.app.console.rights import RIGHTS, Proof, Right, needs_key
from opencarrier.app.forms.parameters import example_of
from opencarrier.app.http_once import KEY_MAX
from opencarrier.app.problems import Invalid, Problem

PATH: Final = "/openapi.json"
SUMMARY: Final = "A telecom network as a value-exchange network."
DESCRIPTION: Final = """
Amounts are whole minor units of the asset named beside them, instants microseconds since 1970 UTC,
use octets. Lists go on by an opaque `cursor`; every refusal is a problem (RFC 9457) whose `type`
never changes. What one may not see answers as what is not there.
"""
TAGS: Final[Mapping[str, str]] = {
    "network": "What the network is and does, for everybody.",
    "people": "Who may sign in, what each may do, what was done.",
    "settlement": "Cycles, receipts and where money stands.",
    "operators": "An operator's positions, statements, disputes and agreements.",
    "hosts": "A host's nodes, what they earned, and claims.",
    "subscribers": "A subscriber's sessions, bills, balance and consent.",
    "chain": "Blocks, transactions and contracts of the chain.",
    "trace": "Where the money of anything stands.",
    "webhooks": "What happens, sent to addresses of yours.",
    "channels": "Pay as you use, through a payment channel.",
    "paid": "What is sold over HTTP 402 (x402).",
    "relay": "Signed calls, sent at the hub's expense.",
    "exchange": "Another installation's door: signed messages in, ours out.",
    "routing": "Adverts: what access costs where.",
    "Nchf_ConvergedCharging": "Converged charging for 5G cores (TS 32.291).",
    "installation": "How the process is doing.",
}
UNITS: Final = (
    ("_minor", "Minor units of the asset."),
    ("_us", "Microseconds; an instant counts from 1970 UTC."),
    ("_s", "Seconds; an instant counts from 1970 UTC."),
    ("_nano", "1e-9 of the currency a step of 1024 octets."),
    ("_ppm", "Millionths."),
    ("_udeg", "1e-6 degrees."),
    ("_wei", "wei."),
    ("octets", "Octets."),
    ("octets_in", "Octets, from the device."),
    ("octets_out", "Octets, to the device."),
    ("chain_id", "The chain's number (EIP-155)."),
)
KEY_PATTERN: Final = "^[A-Za-z0-9._~-]*$"
"""What needs no quoting; `http_once` takes any printable text."""

COUNT: Final = "A number without a unit."

_SIGN_IN: Final = "Nobody asks: sign in, or show the installation's token."
_ABSENT: Final = "It is not there, or not for whoever asks: both answer alike."
_ANOTHER_SITE: Final = "A signed-in browser sent it from another site, or without its token."
_NOT_WHOLE: Final = "What came could not be read."
_TOO_LONG: Final = "The body is longer than any that is taken here."
_RUNS: Final = "The same request runs, or its outcome is unknown (Idempotency-Key)."
_OTHERS_KEY: Final = "The key was used for a request that said something else."
_KEYS: Final = "Too many keys within a day."
_TOO_OFTEN: Final = "Too many attempts; `Retry-After` says when to come again."


def document_of(app: FastAPI, *, cookie: str) -> dict[str, Any]:
    """Return the whole document of an app; `cookie` is what signed-in browsers show."""
    told = get_openapi(
        title=app.title,
        version=__version__,
        summary=SUMMARY,
        description=DESCRIPTION.strip(),
        routes=app.routes,
        tags=[{"name": name, "description": words} for name, words in TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = told.setdefault("components", {}).setdefault("schemas", {})
    for form in (Problem, Invalid):
        schemas[form.__name__] = _hoisted(schema_of(form), schemas)
    for name, operation in operations(told):
        _complete(name, operation, rights().get(name, Right()))
        _unfold(operation, schemas)
    for left in ("HTTPValidationError", "ValidationError"):
        schemas.pop(left, None)
    for schema in schemas.values():
        _say_units(schema)
    told["components"]["securitySchemes"] = _schemes(cookie)
    return told


def openapi_route(app: FastAPI, *, cookie: str) -> None:
    """Serve the document; it is made when it is first asked for."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document_of(app, cookie=cookie)
        return app.openapi_schema

    app.openapi = made  # type: ignore[method-assign] # how FastAPI has it extended

    @app.get(PATH, include_in_schema=False)
    def document(_: Request) -> Response:
        octets = json.dumps(made(), ensure_ascii=False, separators=(",", ":"))
        return Response(octets, media_type="application/json")


@cache
def rights() -> Mapping[str, Right]:
    """Return the table of rights by paths as the document writes them, without their kinds."""
    return {re.sub(r":\w+}", "}", name): right for name, right in RIGHTS.items()}


def name_of(route: APIRoute) -> str:
    """Return a route's operationId: its method and path, so it stays while they do."""
    words = f"{min(route.methods or ()).lower()}{route.path_format}"
    return re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_")


def operations(told: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each operation with its line in the table of rights."""
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def _complete(name: str, operation: dict[str, Any], right: Right) -> None:
    """Add what follows from a route's line: its proof, its key, and how asking fails."""
    answers = operation["responses"]
    if _takes_key(name):
        operation.setdefault("parameters", []).append(_key(needed=needs_key(name)))
    for status, why in _failures(name, operation, right).items():
        answers.setdefault(str(status), refused(why))
    if "422" in answers:
        shown = answers["422"].get("content", {}).get("application/json", {})
        if shown.get("schema", {}).get("$ref", "").endswith("HTTPValidationError"):
            answers["422"] = refused("A parameter is not as it has to be.", form="Invalid")
    operation["responses"] = dict(sorted(answers.items()))
    operation["security"] = _security(right)
    if right.proof is not None:
        words = operation.get("description", "").rstrip()
        operation["description"] = f"{words}\n\nProof: {right.proof.words}".lstrip()
    for parameter in operation.get("parameters", ()):
        example = example_of(name.partition(" ")[2], parameter["name"])
        if example is not None:
            parameter.setdefault("example", example)
        _say_unit(parameter["name"], parameter, parameter.get("schema", {}))


def _failures(name: str, operation: Mapping[str, Any], right: Right) -> Mapping[int, str]:
    found = {400: _NOT_WHOLE}
    if not right.anybody:
        found |= {401: _SIGN_IN, 404: _ABSENT}
    if not name.startswith("GET "):
        found[403] = _ANOTHER_SITE
    if "requestBody" in operation:
        found[413] = _TOO_LONG
    if right.tried:
        found[429] = _TOO_OFTEN
    if _takes_key(name):
        found |= {409: _RUNS, 413: _TOO_LONG, 422: _OTHERS_KEY, 429: _KEYS}
    return found


def _takes_key(name: str) -> bool:
    return name.startswith("POST /v1/")


def _key(*, needed: bool) -> dict[str, Any]:
    """Return the header by which a request sent again is done once (http_once)."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": needed,
        "description": "The same key gives the same answer for a day.",
        "schema": {"type": "string", "minLength": 1, "maxLength": KEY_MAX, "pattern": KEY_PATTERN},
        "example": "0b7a2f5e-4f5b-4a53-9f8e-6f6f4a3f7f10",
    }


def _security(right: Right) -> list[dict[str, list[str]]]:
    """Return what has to be shown: one of these; nothing where anybody may ask."""
    if right.proof is not None:
        return [{right.proof.scheme: []}] if right.proof.scheme else []
    if right.anybody:
        return []
    if right.people:
        return [{"session": []}]
    return [{"token": []}] if right.installation else [{"session": []}, {"token": []}]


def _schemes(cookie: str) -> dict[str, Any]:
    return {
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": "A signed-in browser; what it changes also has our Origin and, in "
            "`X-CSRF-Token` or the form, its session's token.",
        },
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "The installation's own token, from `http.token` in its data folder.",
        },
        Proof.SESSION_KEY.scheme: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "64 octets in hex",
            "description": "The key that device and home derived when the device was let on.",
        },
        Proof.PAYMENT.scheme: {
            "type": "apiKey",
            "in": "header",
            "name": "PAYMENT-SIGNATURE",
            "description": "A signed payment (x402); without one, 402 says what to pay.",
        },
    }


def _unfold(operation: Mapping[str, Any], schemas: dict[str, Any]) -> None:
    """Put examples where they are looked for, and inner schemas beside all others."""
    for part in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in part.get("content", {}).values():
            if EXAMPLE in content:
                content["example"] = json.loads(content.pop(EXAMPLE))
            if "schema" in content:
                content["schema"] = _hoisted(content["schema"], schemas)


def _hoisted(schema: Mapping[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without what it defines for itself, which goes to the others."""
    for name, one in schema.get("$defs", {}).items():
        schemas.setdefault(name, one)
    return {name: one for name, one in schema.items() if name != "$defs"}


def _say_units(schema: Mapping[str, Any]) -> None:
    for name, one in schema.get("properties", {}).items():
        _say_unit(name, one, one)


def _say_unit(name: str, told: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Add what a number is counted in, where nothing says it yet."""
    kinds = {schema.get("type"), *(one.get("type") for one in schema.get("anyOf", ()))}
    if "description" in told or not kinds & {"integer", "number"}:
        return
    found = [words for ending, words in UNITS if name.endswith(ending)]
    told["description"] = found[-1] if found else COUNT
