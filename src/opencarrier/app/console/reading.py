"""Bodies that browsers send: read once, of bounded length; amounts as people write them."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qsl

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from opencarrier.app.console.locales import DECIMALS

T = TypeVar("T")

BODY_OCTETS_MAX = 16_384
FIELDS_MAX = 20
WHOLE_DIGITS_MAX: Final = 12
"""Digits before the point of an amount: in minor units it fits 64 bits."""

_AMOUNT: Final = re.compile(rf"([0-9]{{0,{WHOLE_DIGITS_MAX}}})(?:[.,]([0-9]{{0,{DECIMALS}}}))?")
_ZERO: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


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
        if "\x00" in text or "%00" in text:
            raise ValueError("no text has a zero octet, and PostgreSQL takes none")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        raise HTTPException(400, "not a form") from None


async def json_of(request: Request) -> Mapping[str, Any]:
    """Return an object in JSON; 400 for anything else."""
    try:
        found = json.loads(await body_of(request))
        _check_texts(found)
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


def minor_of(text: str) -> int:
    """Read an amount as people write it, `5`, `5.20` or `5,20`, in minor units; 422 for others."""
    match = _AMOUNT.fullmatch(text.strip())
    whole, rest = match.groups("") if match else ("", "")
    if not whole + rest:
        raise HTTPException(422, f"an amount has digits and at most {DECIMALS} decimals")
    return int(whole + rest.ljust(DECIMALS, "0"))


def _check_texts(found: object) -> None:
    """Raise `ValueError` where a text has half a character or a zero: no database takes them."""
    written = json.dumps(found, ensure_ascii=False)
    written.encode()
    if _ZERO.search(written):
        raise ValueError("a text has a zero")


@cache
def _adapter(form: Any) -> TypeAdapter[Any]:
    return TypeAdapter(form)
