"""How a route of the API is declared: what it is about, gives and may refuse; lists by cursor.

What every route has in common (who may ask, what a body or a parameter may get wrong) is not said
here but added by `openapi`, from the table of rights and the route's own signature.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Query
from fastapi.encoders import jsonable_encoder
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException

T = TypeVar("T")
Key = tuple[int | str, ...]

LIMIT_MAX: Final = 100
LIMIT: Final = 25
CURSOR_CHARACTERS_MAX: Final = 3_000
TEXT_CHARACTERS_MAX: Final = 80
INT64_MAX: Final = 2**63 - 1
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
EXAMPLE: Final = "x-example"
"""Where an example travels to `openapi`, written: FastAPI drops what is null in one."""

SCHEMAS: Final = "#/components/schemas/"

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most.")]
After = Annotated[
    str,
    Query(
        alias="cursor",
        max_length=CURSOR_CHARACTERS_MAX,
        description="`next` of the page before; empty for the first.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list: `next` is the cursor of the part after it, null on the last."""

    items: Sequence[T]
    next: str | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list of a kind goes on: the key of the last row, opaque to who asks.

    It gives no right: a list shows what its visitor may see, wherever it begins.
    """

    kind: str
    types: tuple[type[int] | type[str], ...]

    def write(self, key: Key) -> str:
        """Return the cursor after a row's key."""
        assert self._fits(key), "a key has the types of its list"
        text = json.dumps([self.kind, *key], separators=(",", ":"))
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def read(self, text: str) -> Key | None:
        """Return the key to go on after, None for the first page; 422 for what is none of ours."""
        if not text:
            return None
        try:
            found = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (ValueError, RecursionError):
            found = None
        key = tuple(found[1:]) if isinstance(found, list) and found[:1] == [self.kind] else None
        if key is None or not self._fits(key) or self.write(key) != text:
            raise HTTPException(422, "the cursor is none of this list")
        return key

    def page(self, rows: Sequence[T], limit: int, key: Callable[[T], Key]) -> Page[T]:
        """Return the page of up to `limit` rows, where `limit + 1` were asked for."""
        shown = rows[:limit]
        return Page(items=shown, next=self.write(key(shown[-1])) if len(rows) > limit else None)

    def _fits(self, key: Key) -> bool:
        return len(key) == len(self.types) and all(map(_is_of, key, self.types))


def _is_of(value: object, kind: type[int] | type[str]) -> bool:
    if type(value) is not kind:
        return False
    if isinstance(value, int):
        return -INT64_MAX <= value <= INT64_MAX
    return isinstance(value, str) and _fits_a_column(value)


def _fits_a_column(text: str) -> bool:
    """Say whether databases take a text: of bounded length, without zero or half a character."""
    halves = any("\ud800" <= character <= "\udfff" for character in text)
    return len(text) <= TEXT_CHARACTERS_MAX and "\x00" not in text and not halves


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a route takes that reads its body itself: a dataclass, or a schema of JSON; one such."""

    form: Any
    example: object
    media: str = JSON

    def told(self) -> dict[str, Any]:
        """Return it in OpenAPI's terms."""
        shown = {"schema": schema_of(self.form), EXAMPLE: _written(self.example)}
        return {"required": True, "content": {self.media: shown}}


def operation(
    tag: str,
    summary: str,
    *,
    example: object,
    refuses: Mapping[int, str] | None = None,
    model: Any = None,
    body: Body | None = None,
    status: int = 200,
    media: str = JSON,
) -> dict[str, Any]:
    """Return what FastAPI is told of a route: `@app.get("/v1/...", **operation(...))`.

    `example` is an answer: an instance of the view that the route is annotated with, or of `model`
    (a dataclass, or a schema) where it returns a `Response`; None where the answer is empty.
    `refuses` says by status why it is refused, beyond what `openapi` adds to every route alike.
    """
    responses = {code: refused(why) for code, why in (refuses or {}).items()}
    responses[status] = {"description": HTTPStatus(status).phrase}
    if example is not None:
        responses[status]["content"] = {media: {EXAMPLE: _written(example)}}
    told: dict[str, Any] = {
        "tags": [tag],
        "summary": summary,
        "status_code": status,
        "responses": responses,
    }
    if isinstance(model, Mapping):
        responses[status]["content"][media]["schema"] = model
    elif model is not None:
        told["response_model"] = model
    if body is not None:
        told["openapi_extra"] = {"requestBody": body.told()}
    return told


def schema_of(form: Any) -> Mapping[str, Any]:
    """Return the schema of a dataclass; one that is a schema already stays as it is."""
    if isinstance(form, Mapping):
        return form
    return TypeAdapter(form).json_schema(ref_template=f"{SCHEMAS}{{model}}")


def _written(example: object) -> str:
    return json.dumps(jsonable_encoder(example))


def refused(why: str, *, form: str = "Problem") -> dict[str, Any]:
    """Return the answer that is a problem (RFC 9457), with the sentence of when it comes."""
    return {"description": why, "content": {PROBLEM: {"schema": {"$ref": f"{SCHEMAS}{form}"}}}}
