"""Pages and routes of an operator: who owes whom, its cycles, settling, statements to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, Final, TypeVar

from fastapi import FastAPI, Path, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app.api import LIMIT, After, Limit, Page, operation
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.closing import close_and_settle
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.refusals import why
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.views.flow import picture
from opencarrier.app.console.views.network import STATES
from opencarrier.app.console.views.operator import (
    CycleRow,
    CycleView,
    OperatorLine,
    OperatorView,
    cycle_view,
    cycles_view,
    figures_of,
    operator_view,
    operators_view,
    settle_view,
)
from opencarrier.app.console.views.statements import csv_statement, json_statement
from opencarrier.app.console.visitor import Visitor, visitor_of
from opencarrier.app.console.whose import operator_of
from opencarrier.app.forms.operators import CYCLE, CYCLE_ROW, OPERATOR, OPERATORS
from opencarrier.app.forms.statements import CSV_STATEMENT, STATEMENT, StatementForm
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.sentences import Sentence, sentence
from opencarrier.settlement.model import Alarm, CloseRefusal
from opencarrier.spine.parties import Operator, PartyId

T = TypeVar("T")
Party = Annotated[str, Path(max_length=80, description="The operator's id.")]
Sequence = Annotated[int, Path(ge=1, le=2**62, description="The cycle's number.")]

PASSES_MAX = 12
"""How long a page waits for a settlement: what is not final by then the daemon drives on."""

PICTURES = ((860, 200), (340, 136))
"""Widths of the flow picture, with the room for words at each side: a desk's, a phone's."""

PARTNERS_MAX: Final = 10
"""For how many a cycle's page writes out the command that makes a TAP file."""

ALARMS: Final = {
    Alarm.SETTLED_OTHERWISE.value: N_("the contract has settled a cycle otherwise than here"),
    Alarm.DEEP_REORG.value: N_("the chain took back what was final"),
    Alarm.ENDPOINTS_DIFFER.value: N_("two nodes of the chain say different things"),
    Alarm.SEQUENCE.value: N_("the contract is at another cycle than is kept here"),
    Alarm.UNEXPLAINED.value: N_("the chain did something that nothing here explains"),
    Alarm.ATTEMPTS_EXHAUSTED.value: N_("it was tried as often as may be, and was not taken"),
}
"""Why settling has stopped, as the end of a sentence."""

NOT_CLOSED = {
    CloseRefusal.HALTED: N_("Settling has stopped until somebody looked at why."),
    CloseRefusal.CUT_BEFORE_LAST: N_("The clock here is behind the last cycle's end."),
    CloseRefusal.TOO_MANY_MEMBERS: N_("There are more members than one settlement takes."),
    CloseRefusal.VENUE_UNAVAILABLE: N_(
        "The chain does not answer just now. Try again in a moment."
    ),
    CloseRefusal.NOT_PREPARED: N_("The settlement could not be prepared."),
}


class OperatorDesk:
    """What the routes of operators share."""

    def __init__(self, shell: Shell, place: Onchain) -> None:
        self.shell = shell
        self.place = place
        self.base = place.base

    def read(self, work: Callable[[Connection], T]) -> T:
        """Look at something."""
        with self.base.store.read() as unit:
            return work(unit)

    def of(self, request: Request, party: str, *, acts: bool = False) -> Operator:
        """Return the operator that is asked for, 404 where it is none of the visitor's."""
        return operator_of(self.base, request, PartyId(party), acts=acts)

    def page(
        self, request: Request, name: str, view: object, title: str | Sentence, **more: Any
    ) -> Response:
        """Draw a page of the section."""
        return self.shell.page(
            request,
            f"operator/{name}.html",
            view,
            title=title,
            section="operator",
            states=STATES,
            pictures=pictures,
            alarms=ALARMS,
            partners_max=PARTNERS_MAX,
            **more,
        )


def pictures(flow: Any) -> Iterator[tuple[str, Any]]:
    """Draw a flow for a desk and for a phone."""
    for name, (width, words) in zip(("wide", "slim"), PICTURES, strict=True):
        yield name, picture(flow, width=width, words=words)


def operator_routes(app: FastAPI, desk: OperatorDesk) -> None:
    """Add the pages, the same as JSON, and what the settle button does."""
    _overview(app, desk)
    _cycles(app, desk)
    _settling(app, desk)
    _statements(app, desk)


def _overview(app: FastAPI, desk: OperatorDesk) -> None:
    @app.get("/operator", include_in_schema=False)
    def choice(request: Request) -> Response:
        found = desk.read(lambda unit: operators_view(desk.place, unit, visitor_of(request)))
        if len(found) == 1:
            return RedirectResponse(f"/operator/{found[0].party}", status_code=303)
        return desk.page(request, "choice", found, "Operators")

    @app.get("/operator/{party}", include_in_schema=False)
    def page(request: Request, party: Party) -> Response:
        return desk.page(request, "page", overview(request, party), "Operator")

    @app.get("/operator/{party}/now", include_in_schema=False)
    def now(request: Request, party: Party) -> Response:
        view = overview(request, party)
        return desk.shell.fragment(
            request, "operator/now.html", view, states=STATES, pictures=pictures, alarms=ALARMS
        )

    def overview(request: Request, party: str) -> OperatorView:
        found, visitor = desk.of(request, party), visitor_of(request)
        return desk.read(lambda unit: operator_view(desk.place, unit, visitor, found))

    @app.get("/v1/operators", **operation("operators", "Operators", example=OPERATORS))
    def operators(request: Request) -> Page[OperatorLine]:
        """List the operators that the visitor may look at, by name."""
        found = desk.read(lambda unit: operators_view(desk.place, unit, visitor_of(request)))
        return Page(items=found, next=None)

    @app.get(
        "/v1/operators/{party}",
        **operation("operators", "What an operator is owed and owes", example=OPERATOR),
    )
    def told(request: Request, party: Party) -> OperatorView:
        """Say who owes an operator what, what it owes, and how its newest cycles stand.

        Amounts are minor units of `asset`. `open` sums what is not settled for good; both of its
        sides are equal, the row `net` is what is paid once all is set off. Where nothing is open,
        `last` is the newest cycle that had something for it.
        """
        return overview(request, party)


def _cycles(app: FastAPI, desk: OperatorDesk) -> None:
    def listed(request: Request, party: str, cursor: str, limit: int) -> Page[CycleRow]:
        found = desk.of(request, party).party_id
        return desk.read(
            lambda unit: cycles_view(desk.place, unit, found, cursor=cursor, limit=limit)
        )

    def one(request: Request, party: str, sequence: int) -> CycleView:
        found, visitor = desk.of(request, party), visitor_of(request)
        view = desk.read(lambda unit: cycle_view(desk.place, unit, visitor, found, sequence))
        if view is None:
            raise HTTPException(404)
        return view

    @app.get("/operator/{party}/cycles", include_in_schema=False)
    def pages(request: Request, party: Party, cursor: After = "") -> Response:
        found = listed(request, party, cursor, LIMIT)
        return desk.page(request, "cycles", found, "Cycles", operator=desk.of(request, party))

    @app.get("/operator/{party}/cycles/{sequence}", include_in_schema=False)
    def page(request: Request, party: Party, sequence: Sequence) -> Response:
        title = sentence("Cycle %(number)s", number=sequence)
        return desk.page(request, "cycle", one(request, party, sequence), title)

    @app.get("/operator/{party}/cycles/{sequence}/now", include_in_schema=False)
    def now(request: Request, party: Party, sequence: Sequence) -> Response:
        return desk.shell.fragment(
            request,
            "operator/cycle-now.html",
            one(request, party, sequence),
            states=STATES,
            pictures=pictures,
            partners_max=PARTNERS_MAX,
        )

    @app.get(
        "/v1/operators/{party}/cycles",
        **operation(
            "operators", "Cycles of an operator", example=Page(items=[CYCLE_ROW], next=None)
        ),
    )
    def cycles(
        request: Request, party: Party, cursor: After = "", limit: Limit = LIMIT
    ) -> Page[CycleRow]:
        """List the cycles that were ordered, newest first; amounts in minor units of `asset`."""
        return listed(request, party, cursor, limit)

    @app.get(
        "/v1/operators/{party}/cycles/{sequence}",
        **operation("operators", "One cycle of an operator", example=CYCLE),
    )
    def told(request: Request, party: Party, sequence: Sequence) -> CycleView:
        """Say what a cycle came to: owed, set off, paid, by whom to whom, and who must agree.

        `nets` are of all members, as they stand on the chain; `flow` is the operator's own.
        """
        return one(request, party, sequence)


def _settling(app: FastAPI, desk: OperatorDesk) -> None:
    @app.get("/operator/{party}/settle", include_in_schema=False)
    def asked(request: Request, party: Party) -> Response:
        found = desk.of(request, party, acts=True)
        view = desk.read(lambda unit: settle_view(desk.place, unit, found))
        return desk.page(request, "settle", view, "Settle now")

    @app.post("/operator/{party}/settle", include_in_schema=False)
    async def settle(request: Request, party: Party) -> Response:
        found = await run_in_threadpool(partial(desk.of, request, party, acts=True))
        visitor, back = visitor_of(request), f"/operator/{found.party_id}"
        done = await run_in_threadpool(settle_noted, desk.place, visitor, passes_max=PASSES_MAX)
        if isinstance(done, Refusal):
            says = why(done, NOT_CLOSED)
            return desk.shell.refused(
                request, says, back, title="Nothing was settled", section="operator"
            )
        sequence = done.get("sequence")
        where = back if sequence is None else f"{back}/cycles/{sequence}"
        return RedirectResponse(where, status_code=303)


def settle_noted(place: Onchain, visitor: Visitor, *, passes_max: int) -> dict[str, Any] | Refusal:
    """Close the open cycle as a visitor, with a line in the log that it did."""
    noted = partial(
        place.base.accounts.audit.write,
        what="cycle_closed",
        who=visitor.account,
        came_from=visitor.came_from,
    )
    return close_and_settle(place, by=visitor.account, noted=noted, passes_max=passes_max)


def _statements(app: FastAPI, desk: OperatorDesk) -> None:
    @app.get(
        "/v1/operators/{party}/cycles/{sequence}/statement.csv",
        response_class=StreamingResponse,
        **operation(
            "operators",
            "A cycle's statement as CSV",
            example=CSV_STATEMENT,
            model={"type": "string", "title": "Statement (RFC 4180)"},
            media="text/csv",
        ),
    )
    def as_csv(request: Request, party: Party, sequence: Sequence) -> StreamingResponse:
        """Give an operator's positions of a cycle as CSV (RFC 4180), a row for each.

        `direction` is `owed` to the operator or `owes`; amounts are minor units of `asset`.
        """
        found = desk.of(request, party).party_id
        cycle = _ordered(desk, sequence)
        lines = csv_statement(desk.place, cycle.cycle_id, found)
        return _download(lines, "text/csv", f"cycle-{sequence}-{found}.csv")

    @app.get(
        "/v1/operators/{party}/cycles/{sequence}/statement.json",
        **operation(
            "operators",
            "A cycle's statement with signatures",
            example=STATEMENT,
            model=StatementForm,
        ),
    )
    def as_json(request: Request, party: Party, sequence: Sequence) -> StreamingResponse:
        """Give an operator's positions of a cycle with their legs and both sides' signatures."""
        found = desk.of(request, party).party_id
        cycle = _ordered(desk, sequence)
        head = {
            "operator": found,
            "sequence": sequence,
            "state": cycle.state.value,
            "cycle_id": to_hex(cycle.cycle_id),
            "settlement_id": to_hex(cycle.settlement_id),
            "records_root": to_hex(cycle.records_root),
            "own_minor": cycle.own_minor(found),
        }
        lines = json_statement(desk.place, cycle.cycle_id, found, head)
        return _download(lines, "application/json", f"cycle-{sequence}-{found}.json")


def _ordered(desk: OperatorDesk, sequence: int) -> Any:
    found = desk.read(lambda unit: figures_of(desk.place, unit, sequence))
    if found is None:
        raise HTTPException(404)
    return found


def _download(lines: Iterator[str], media_type: str, name: str) -> StreamingResponse:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(lines, media_type=media_type, headers=headers)
