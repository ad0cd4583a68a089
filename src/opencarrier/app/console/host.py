"""Pages and routes of a host: what its nodes earned and why, and taking it out."""

from __future__ import annotations

import logging
from functools import partial
from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app.api import LIMIT, After, Limit, Page, operation
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.ban_words import STAGES as BAN_STAGES
from opencarrier.app.console.ban_words import WHY
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.refusals import why
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.views.bars import picture
from opencarrier.app.console.views.host import (
    DAYS,
    DAYS_MAX,
    EarningsView,
    HostLine,
    HostView,
    HostViews,
    NodeLine,
    NodeView,
    TransactionView,
    WithdrawnView,
)
from opencarrier.app.console.visitor import Visitor, visitor_of
from opencarrier.app.console.whose import acts_at, host_of
from opencarrier.app.errands import Errands
from opencarrier.app.forms import hosts as examples
from opencarrier.app.problems import problem
from opencarrier.app.venue import ChainWorkError, GasError
from opencarrier.chain.errors import ChainError
from opencarrier.chain.ports import Beside
from opencarrier.identity.accounts.model import Grant, Role
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.spine.parties import Host, PartyId

_log = logging.getLogger(__name__)

TAG: Final = "hosts"
Party = Annotated[str, Path(max_length=80, description="The host's id.")]
NodeId = Annotated[str, Path(max_length=80, description="The node's id.")]
Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="How many days up to today (UTC).")]

REASONS: Final = {
    "guests": N_("guests of other networks"),
    "own": N_("subscribers of the node's own network"),
    "deal": N_("deals between networks"),
    "correction": N_("corrections"),
    "other": N_("something else"),
}
"""How a reason is called."""

STATES: Final = {
    "in_use": ("good", N_("in use")),
    "alive": ("good", N_("alive")),
    "silent": ("wait", N_("silent")),
}
"""How a node's state is coloured and called."""


class WithdrawReason(Reason):
    """Why nothing was withdrawn, beyond what rewards say."""

    CHAIN_SILENT = 1


NOT_WITHDRAWN: Final = {
    "unknown_account": N_("Nothing was earned yet."),
    "nothing_due": N_("Everything that can be withdrawn was withdrawn already."),
    "not_ready": N_("What was earned is paid a little later: it may still be checked."),
    "chain_silent": N_("The chain does not take it just now. Nothing is lost: try later."),
}


class HostDesk:
    """What the routes of hosts share."""

    def __init__(self, shell: Shell, views: HostViews) -> None:
        self.shell = shell
        self.views = views
        self.place: Onchain = views.place
        self.base = views.place.base

    @property
    def distributor(self) -> str:
        """The contract that pays hosts."""
        return self.place.manifest.distributor

    def of(self, request: Request, party: str, *, acts: bool = False) -> Host:
        """Return the host that is asked for, 404 where it is none of the visitor's."""
        return host_of(self.base, request, PartyId(party), acts=acts)

    def hosts(self, visitor: Visitor, cursor: str, limit: int) -> Page[HostLine]:
        """Return the hosts somebody may see: all, or those it has a grant at."""
        if visitor.is_owner or Grant(Role.AUDITOR) in visitor.grants:
            return self.views.hosts(cursor, limit)
        mine = (party for party in visitor.at(Role.HOST, Role.AUDITOR) if is_host(party))
        return self.views.some_hosts(mine)

    def page(self, request: Request, name: str, view: object, title: str, **more: Any) -> Response:
        """Draw a page of the section."""
        return self.shell.page(
            request,
            f"host/{name}.html",
            view,
            title=title,
            section="host",
            reasons=REASONS,
            states=STATES,
            bars=picture,
            **more,
        )

    def withdraw(self, host: Host, visitor: Visitor) -> WithdrawnView | Refusal:
        """Have the distributor pay a host, and write down who asked; again pays nothing twice.

        The line `ordered` stands with the transaction before it is sent, or one says why not.
        """
        noted = partial(
            self.base.accounts.audit.write,
            what="withdrawn",
            who=visitor.account,
            about=host.party_id,
            came_from=visitor.came_from,
        )
        done = self._withdrawn(host, partial(noted, outcome="ordered"))
        self.views.forget(host)
        if isinstance(done, Refusal):
            with self.base.store.write() as unit:
                noted(unit, outcome=done.code)
        return done

    def _withdrawn(self, host: Host, beside: Beside) -> WithdrawnView | Refusal:
        try:
            done = Errands(self.place).withdraw(host, beside=beside)
        except (ChainError, ChainWorkError, GasError) as error:
            _log.warning("a withdrawal of %s failed: %s", host.party_id, error)
            return Refusal(WithdrawReason.CHAIN_SILENT, "the chain does not take it now")
        if isinstance(done, Refusal):
            return done
        return WithdrawnView(
            amount_minor=done.amount_minor,
            lifetime_minor=done.lifetime_minor,
            tx_hash=to_hex(done.tx_hash),
        )


def is_host(party: PartyId) -> bool:
    """Say whether an id is of a host's kind."""
    return party.startswith("host_")


def host_routes(app: FastAPI, desk: HostDesk) -> None:
    """Add the pages, the same as JSON, and what the withdraw button does."""
    _pages(app, desk)
    _withdrawing(app, desk)
    _api(app, desk)
    _money_api(app, desk)


def _pages(app: FastAPI, desk: HostDesk) -> None:
    @app.get("/host", include_in_schema=False)
    def choice(request: Request, cursor: After = "") -> Response:
        found = desk.hosts(visitor_of(request), cursor, LIMIT)
        if len(found.items) == 1 and not cursor:
            return RedirectResponse(f"/host/{found.items[0].party}", status_code=303)
        return desk.page(request, "choice", found, "Hosts", cursor=cursor)

    @app.get("/host/{party}", include_in_schema=False)
    def page(request: Request, party: Party, cursor: After = "") -> Response:
        view = desk.views.host(desk.of(request, party), cursor, LIMIT)
        return desk.page(request, "page", view, view.name, cursor=cursor, may=_may(request, view))

    @app.get("/host/{party}/now", include_in_schema=False)
    def now(request: Request, party: Party, cursor: After = "") -> Response:
        view = desk.views.host(desk.of(request, party), cursor, LIMIT)
        return desk.shell.fragment(
            request,
            "host/now.html",
            view,
            reasons=REASONS,
            states=STATES,
            bars=picture,
            cursor=cursor,
            may=_may(request, view),
        )

    @app.get("/host/{party}/nodes/{node_id:path}", include_in_schema=False)
    def node(request: Request, party: Party, node_id: NodeId) -> Response:
        host = desk.of(request, party)
        view = desk.views.node(host, node_id)
        if view is None:
            raise HTTPException(404)
        visitor = visitor_of(request)
        return desk.page(
            request,
            "node",
            view,
            view.node.node_id,
            standing=desk.views.bans.standing(host, node_id, drafts=visitor.is_owner),
            may=acts_at(visitor, Role.HOST, host.party_id),
            why=WHY,
            stages=BAN_STAGES,
        )


def _withdrawing(app: FastAPI, desk: HostDesk) -> None:
    @app.get("/host/{party}/withdraw", include_in_schema=False)
    def ask(request: Request, party: Party) -> Response:
        return _asked(desk, request, desk.of(request, party, acts=True))

    @app.post("/host/{party}/withdraw", include_in_schema=False)
    async def withdraw(request: Request, party: Party) -> Response:
        host = await run_in_threadpool(desk.of, request, party, acts=True)
        done = await run_in_threadpool(desk.withdraw, host, visitor_of(request))
        return await run_in_threadpool(_asked, desk, request, host, done)


def _asked(
    desk: HostDesk, request: Request, host: Host, done: WithdrawnView | Refusal | None = None
) -> Response:
    """Show what can be withdrawn, and what became of it where it was asked for."""
    refused = why(done, NOT_WITHDRAWN) if isinstance(done, Refusal) else None
    view = {"host": host, "money": desk.views.money(host), "distributor": desk.distributor}
    return desk.page(
        request,
        "withdraw",
        view,
        "Withdraw",
        refused=refused,
        done=done if isinstance(done, WithdrawnView) else None,
        status=409 if refused else 200,
    )


def _api(app: FastAPI, desk: HostDesk) -> None:
    @app.get("/v1/hosts", **operation(TAG, "Hosts you may see", example=examples.HOSTS))
    def hosts(request: Request, cursor: After = "", limit: Limit = LIMIT) -> Page[HostLine]:
        """List the hosts that the caller may see, ascending by name."""
        return desk.hosts(visitor_of(request), cursor, limit)

    @app.get("/v1/hosts/{party}", **operation(TAG, "A host", example=examples.HOST))
    def host(request: Request, party: Party, limit: Limit = LIMIT) -> HostView:
        """Say what a host's nodes earned and what can be withdrawn, with the first of its nodes.

        Amounts are minor units of the asset named beside them, days are UTC's.
        """
        return desk.views.host(desk.of(request, party), "", limit)

    @app.get("/v1/hosts/{party}/nodes", **operation(TAG, "Its nodes", example=examples.NODES))
    def nodes(
        request: Request, party: Party, cursor: After = "", limit: Limit = LIMIT
    ) -> Page[NodeLine]:
        """List a host's nodes, ascending by id, each with how it stands and what it earned."""
        return desk.views.nodes(desk.of(request, party), cursor, limit)

    @app.get(
        "/v1/hosts/{party}/nodes/{node_id:path}",
        **operation(TAG, "One of its nodes", example=examples.NODE),
    )
    def node(request: Request, party: Party, node_id: NodeId) -> NodeView:
        """Say how one node stands and what it earned in the last 30 days, by day and reason."""
        view = desk.views.node(desk.of(request, party), node_id)
        if view is None:
            raise HTTPException(404)
        return view

    @app.get(
        "/v1/hosts/{party}/earnings",
        **operation(TAG, "What it earned by day and reason", example=examples.EARNINGS),
    )
    def earned(request: Request, party: Party, days: Days = DAYS) -> EarningsView:
        """Say what a host earned in each of the last days (UTC), by reason, in minor units.

        A day is that of the booking: one that is over never changes.
        """
        return desk.views.earnings(desk.of(request, party), days)


def _money_api(app: FastAPI, desk: HostDesk) -> None:
    why = {409: "Nothing can be withdrawn now, and why."}

    @app.get(
        "/v1/hosts/{party}/claim",
        **operation(
            TAG,
            "The transaction that pays it",
            example=examples.CLAIM,
            refuses=why,
            model=TransactionView,
        ),
    )
    def claim(request: Request, party: Party) -> Any:
        """Return the call that pays a host what it can be paid now, for any wallet to send."""
        found = desk.views.claim(desk.of(request, party, acts=True))
        return _refused(found) if isinstance(found, Refusal) else found

    @app.post(
        "/v1/hosts/{party}/withdrawals",
        **operation(TAG, "Withdraw", example=examples.WITHDRAWN, refuses=why, model=WithdrawnView),
    )
    async def withdraw(request: Request, party: Party) -> Any:
        """Have the distributor pay a host all it can be paid, at its payout address.

        The installation pays the gas. Asked again it pays what came since, never the same twice.
        """
        host = await run_in_threadpool(desk.of, request, party, acts=True)
        done = await run_in_threadpool(desk.withdraw, host, visitor_of(request))
        return _refused(done) if isinstance(done, Refusal) else done


def _refused(refusal: Refusal) -> JSONResponse:
    return problem(409, refusal.code, str(why(refusal, NOT_WITHDRAWN)))


def _may(request: Request, view: HostView) -> bool:
    """Say whether the visitor may do something for a host, beside looking."""
    return acts_at(visitor_of(request), Role.HOST, PartyId(view.party))
