"""All bans that are not decided, for the owner: one list for pages and programs."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import Response

from opencarrier.app.api import LIMIT, After, Limit, Page, operation
from opencarrier.app.console.ban_words import STAGES, WHY
from opencarrier.app.console.bans import BanDesk
from opencarrier.app.console.host import TAG
from opencarrier.app.console.views.bans import UndecidedLine
from opencarrier.app.console.visitor import Visitor
from opencarrier.app.forms import bans as examples

PATH: Final = "/bans"


def undecided_routes(app: FastAPI, desk: BanDesk) -> None:
    """Add the page and the list."""

    @app.get(PATH, include_in_schema=False)
    def page(request: Request, cursor: After = "") -> Response:
        return desk.desk.shell.page(
            request,
            "people/bans.html",
            desk.views.undecided(cursor, LIMIT),
            title="Bans of nodes",
            section="approvals",
            cursor=cursor,
            appeals=waiting(desk, None),
            why=WHY,
            stages=STAGES,
        )

    @app.get("/v1/bans", **operation(TAG, "Bans that are not decided", example=examples.UNDECIDED))
    def undecided(cursor: After = "", limit: Limit = LIMIT) -> Page[UndecidedLine]:
        """List bans that still can be lifted or upheld, first what silence ends first."""
        return desk.views.undecided(cursor, limit)


def waiting(desk: BanDesk, visitor: Visitor | None) -> int:
    """Return how many appeals wait for an owner's decision, at most `APPEALS_MAX`."""
    if visitor is not None and not visitor.is_owner:
        return 0
    with desk.desk.base.store.read() as unit:
        return desk.views.appeals(unit)
