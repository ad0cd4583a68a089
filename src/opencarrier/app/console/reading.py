"""Bodies that browsers send: read once, of bounded length."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

T = TypeVar("T")

BODY_OCTETS_MAX = 16_384
FIELDS_MAX = 20


async def body_of(request: Request) -> bytes:
    """Return a request's body; 413 where it is longer than any of ours."""
    known = getattr(request.state, "body", None)
    if isinstance(known, bytes):
        return known
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_OCTETS_MAX:
            raise HTTPException(413, "too large")
    request.state.body = bytes(body)
    return bytes(body)


async def form_of(request: Request) -> Mapping[str, str]:
    """Return a form's fields; 400 for what is none."""
    try:
        text = (await body_of(request)).decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        raise HTTPException(400, "not a form") from None


async def json_of(request: Request) -> Mapping[str, Any]:
    """Return an object in JSON; 400 for anything else."""
    try:
        found = json.loads(await body_of(request))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise HTTPException(400, "not an object in JSON")
    return found


async def asked(request: Request, form: type[T]) -> T:
    """Return an object in JSON as a dataclass; 422 with what is wrong where it is none."""
    found = await json_of(request)
    try:
        read: T = _adapter(cast(Hashable, form)).validate_python(found)
    except ValidationError as error:
        wrong = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(wrong) from None
    return read


@cache
def _adapter(form: Any) -> TypeAdapter[Any]:
    return TypeAdapter(form)
