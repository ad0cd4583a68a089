"""Any id's whole life: the page, its search, and the same for programs."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from opencarrier.app.api import operation
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.views.trace import KINDS, LINKED, Traces, trace_view
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.forms.settling import TRACED, TraceAnswer
from opencarrier.app.problems import problem
from opencarrier.app.timelines import ID_MAX, LIMIT, TraceReason
from opencarrier.kernel.refusals import Refusal

Sought = Annotated[str, Query(max_length=ID_MAX)]
After = Annotated[str, Query(max_length=ID_MAX)]
ABSENT = "Nobody here knows the id, or it is another's."
"""Without the id, so that both answer with the same octets."""


def trace_routes(app: FastAPI, shell: Shell, place: Onchain) -> None:
    """Add the page and the route."""
    traces = Traces(place)
    _page(app, shell, traces)

    @app.get(
        "/v1/trace/{identifier}",
        **operation(
            "trace",
            "Where the money of something stands",
            example=TRACED,
            model=TraceAnswer,
            refuses={
                404: ABSENT,
                422: "The limit is out of bounds, or the cursor is none of a page.",
            },
        ),
    )
    def trace(request: Request, identifier: str, after: str = "", limit: int = LIMIT) -> Response:
        """Say where the money of a usage, session, party, node, file or cycle stands."""
        told = traces.told(visitor_of(request), identifier, after=after, limit=limit)
        if isinstance(told, Refusal):
            if told.reason is TraceReason.UNKNOWN_ID:
                return problem(404, told.code, ABSENT)
            return problem(422, told.code, told.detail)
        return JSONResponse(told)


def _page(app: FastAPI, shell: Shell, traces: Traces) -> None:
    @app.get("/trace", include_in_schema=False)
    def search(request: Request, sought: Sought = "") -> Response:
        if sought.strip():
            address = f"/trace/{quote(sought.strip(), safe='')}"
            return RedirectResponse(address, status_code=303)
        return shell.page(
            request, "trace/page.html", title="Trace", section="trace", sought="", kinds=KINDS
        )

    @app.get("/trace/{identifier}", include_in_schema=False)
    def page(request: Request, identifier: str, after: After = "") -> Response:
        told = traces.told(visitor_of(request), identifier, after=after)
        absent = isinstance(told, Refusal)
        if isinstance(told, Refusal) and told.reason is not TraceReason.UNKNOWN_ID:
            raise HTTPException(404)
        return shell.page(
            request,
            "trace/page.html",
            None if isinstance(told, Refusal) else trace_view(told),
            title="Trace",
            section="trace",
            status=404 if absent else 200,
            sought=identifier,
            kinds=KINDS,
            linked=LINKED,
        )
