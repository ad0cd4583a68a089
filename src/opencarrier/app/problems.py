"""How an HTTP request is refused: a problem (RFC 9457)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from opencarrier.spine.spans import current

TYPES = "/problems/"
ERRORS_MAX = 20
"""Fields that a refusal names at once."""

_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}
"""As RFC 9110 has them; versions of Python call these otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a request is refused. Programs match on `type`, which stays as it is; people read the
    rest. `trace_id` is there where the request is recorded for the operator's engineers: tell it.
    """

    type: str
    title: str
    status: int
    detail: str
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A part of a request that is not as it has to be, such as `query.limit`."""

    where: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid(Problem):
    """A problem that names what is wrong, where it is known by parts."""

    errors: Sequence[Wrong] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemType:
    """What a type of a problem means, and what to do about it."""

    type: str
    means: str
    do: str


@cache
def problem_types() -> Mapping[str, ProblemType]:
    """Return every type of a problem by its code, in alphabetical order."""
    text = files("opencarrier.app").joinpath("problems.toml").read_text()
    return {
        code: ProblemType(type=TYPES + code, **words)
        for code, words in sorted(tomllib.loads(text).items())
    }


def title_of(status: int) -> str:
    """Return what a problem is called that is known by its status alone."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def problem(
    status: int,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """Answer with a problem (RFC 9457); its type follows from its title, which never varies."""
    told = {"type": type_of(title), "title": title, "status": status, "detail": detail, **more}
    span = current.get()
    if span is not None:
        told["trace_id"] = span.trace_id
    return JSONResponse(
        told, status_code=status, headers=headers, media_type="application/problem+json"
    )


def type_of(title: str) -> str:
    """Return what programs match on: `no key` and `NO_KEY` are `/problems/no_key`."""
    return TYPES + re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")


def invalid(error: RequestValidationError) -> JSONResponse:
    """Answer 422 with what is wrong where; nothing of what was sent comes back."""
    errors = [_wrong(one) for one in error.errors()[:ERRORS_MAX]]
    detail = "; ".join(f"{one.where}: {one.says}" for one in errors)
    return problem(422, "invalid request", detail, errors=[asdict(one) for one in errors])


def _wrong(one: Mapping[str, Any]) -> Wrong:
    return Wrong(where=".".join(str(part) for part in one["loc"]), says=str(one["msg"]))
