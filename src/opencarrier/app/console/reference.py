"""The pages of the API: its operations, from the OpenAPI document, and types of problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from opencarrier.app.api import operation
from opencarrier.app.console.errors import wants_page
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.views.reference import Group, OperationView, reference
from opencarrier.app.console.visitor import Visitor, visitor_of
from opencarrier.app.openapi import openapi_route, rights
from opencarrier.app.problems import ProblemType, problem_types
from opencarrier.identity.accounts.model import Role

EXAMPLE = problem_types()["last_key"]


def reference_routes(app: FastAPI, shell: Shell, *, cookie: str) -> None:
    """Add the document, the list of all operations, and a page of each."""
    openapi_route(app, cookie=cookie)

    @cache
    def groups() -> Sequence[Group]:
        return reference(app.openapi(), rights())

    _problems(app, shell)

    @app.get("/docs", include_in_schema=False)
    def page(request: Request) -> Response:
        return shell.page(request, "reference/page.html", groups(), title="API", section="docs")

    @app.get("/docs/{key}", include_in_schema=False)
    def one(request: Request, key: str) -> Response:
        found = _by_key(groups()).get(key)
        if found is None:
            raise HTTPException(404)
        return shell.page(
            request,
            "reference/operation.html",
            found,
            title=found.summary,
            section="docs",
            own=_own(visitor_of(request), found.path),
            command=found.curl(f"{request.url.scheme}://{request.headers.get('host', '')}"),
        )


def _problems(app: FastAPI, shell: Shell) -> None:
    @app.get("/problems", include_in_schema=False)
    def all_types(request: Request) -> Response:
        return _problem_page(request, shell, problem_types())

    @app.get(
        "/problems/{code}",
        **operation(
            "installation",
            "What a problem means",
            example=EXAMPLE,
            model=ProblemType,
            refuses={404: "No problem has this type."},
        ),
    )
    def one_type(request: Request, code: str) -> Response:
        """Say what a type of a problem means and what to do about it: to a browser as a page."""
        found = problem_types().get(code)
        if found is None:
            raise HTTPException(404)
        if not wants_page(request):
            return JSONResponse(asdict(found))
        shown = {code: found}
        return _problem_page(request, shell, shown)


def _problem_page(request: Request, shell: Shell, shown: Mapping[str, ProblemType]) -> Response:
    return shell.page(request, "reference/problems.html", shown, title="Problems", section="docs")


def _own(visitor: Visitor, path: str) -> Mapping[str, str]:
    """Return whose id a visitor asks about, where it is of one party of the kind a path names."""
    role = next((role for role in Role if path.startswith(f"/v1/{role}s/")), None)
    mine = visitor.at(role) if role is not None else frozenset()
    return {"party": min(mine)} if len(mine) == 1 else {}


def _by_key(groups: Sequence[Group]) -> Mapping[str, OperationView]:
    return {one.key: one for group in groups for one in group.operations}
