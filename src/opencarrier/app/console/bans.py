"""Pages of bans: how a node stands, banning it, appealing, deciding, closing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app.banning import Banning, Begun, Wish, begun
from opencarrier.app.console.ban_words import NOT_DONE, STAGES, WHY
from opencarrier.app.console.host import HostDesk, Party
from opencarrier.app.console.reading import form_of, minor_of
from opencarrier.app.console.refusals import why
from opencarrier.app.console.views.bans import BanViews, case_of
from opencarrier.app.console.views.host import TransactionView
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.venue import ChainWorkError, GasError
from opencarrier.bans.model import CODES, Draft, words_hash
from opencarrier.chain.errors import ChainError
from opencarrier.chain.model import Call
from opencarrier.chain.ports import Beside
from opencarrier.kernel.ids import from_hex, to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import Host

_log = logging.getLogger(__name__)

T = TypeVar("T")

NodeQuery = Annotated[str, Query(alias="node", max_length=64, description="The node's id.")]


class SilentReason(Reason):
    """Why nothing was done, beyond what bans say."""

    CHAIN_SILENT = 1


@dataclass(frozen=True, slots=True)
class Act:
    """Something that is done about a node, with its line in the log and how the line says it went.

    `do` is given what writes the line, for the database transaction that does it.
    """

    what: str
    do: Callable[[Beside], Any]
    outcome: str = "ordered"


class BanDesk:
    """What pages and the API of bans share."""

    def __init__(self, desk: HostDesk, views: BanViews) -> None:
        self.desk = desk
        self.views = views
        self.bans = Banning(desk.place)

    def of(
        self, request: Request, party: str, node_id: str, *, acts: bool = False, owner: bool = False
    ) -> Host:
        """Return the host whose node is asked for, 404 where either is none of the visitor's."""
        host = self.desk.of(request, party, acts=acts)
        if owner and not visitor_of(request).is_owner:
            raise HTTPException(404)
        with self.desk.base.store.read() as unit:
            found = self.desk.base.identity.directory.node_by_id(unit, node_id)
        if found is None or found.host != host.party_id or self.desk.place.bans is None:
            raise HTTPException(404)
        return host

    def draft_of(self, request: Request, party: str, ban_id: str) -> tuple[Host, bytes, str]:
        """Return a draft that is asked for: its host, id and node; 404 where there is none."""
        octets = digest_of(ban_id)
        with self.desk.base.store.read() as unit:
            bans = self.desk.place.bans
            found = None if bans is None else bans.service.draft(unit, octets)
        if found is None:
            self.desk.of(request, party)
            raise HTTPException(404)
        return self.of(request, party, found.node_id, owner=True), octets, found.node_id

    def do(self, request: Request, node_id: str, act: Act) -> Any:
        """Do something about a node, and write down who asked; again is told once.

        The line stands with what is done, before it is sent, or one says why not.
        """
        visitor = visitor_of(request)
        noted = partial(
            self.desk.base.accounts.audit.write,
            what=act.what,
            who=visitor.account,
            about=node_id,
            came_from=visitor.came_from,
        )
        try:
            done = act.do(partial(noted, outcome=act.outcome))
        except (ChainError, ChainWorkError, GasError) as error:
            _log.warning("%s of %s failed: %s", act.what, node_id, error)
            done = Refusal(SilentReason.CHAIN_SILENT, "the chain does not take it now")
        if isinstance(done, Refusal):
            with self.desk.base.store.write() as unit:
                noted(unit, outcome=done.code)
        return done

    def ban(self, request: Request, wish: Wish) -> Begun | Refusal:
        """Prepare a ban, and send it where nothing is missing."""
        prepare = partial(self.bans.prepare, wish, visitor_of(request).account)
        act = Act("node_ban_begun", lambda noted: prepare(beside=noted), outcome="done")
        made: Draft | Refusal = self.do(request, wish.node_id, act)
        if isinstance(made, Refusal):
            return made
        return begun(made, self.send(request, made.ban_id, wish.node_id))

    def sign(
        self, request: Request, ban_id: bytes, node_id: str, signature: bytes
    ) -> Address | Refusal:
        """Keep a guardian's signature of what was prepared."""
        sign = partial(self.bans.sign, ban_id, signature)
        act = Act("node_ban_signed", lambda noted: sign(beside=noted), outcome="done")
        done: Address | Refusal = self.do(request, node_id, act)
        return done

    def drop(self, request: Request, ban_id: bytes, node_id: str) -> None:
        """Forget what was prepared."""
        drop = partial(self.bans.drop, ban_id)
        act = Act("node_ban_dropped", lambda noted: drop(beside=noted), outcome="done")
        self.do(request, node_id, act)

    def send(self, request: Request, ban_id: bytes, node_id: str) -> str | Refusal:
        """Send what was prepared."""
        send = partial(self.bans.send, ban_id, visitor_of(request).account)
        act = Act("node_banned", lambda noted: send(beside=noted))
        done: str | Refusal = self.do(request, node_id, act)
        return done

    def appeal(self, request: Request, node_id: str, grounds: str, ban_id: bytes) -> str | Refusal:
        """Appeal by the key that is held here."""
        appeal = partial(self.bans.appeal, node_id, grounds, ban_id=ban_id)
        act = Act("node_ban_appealed", lambda noted: appeal(beside=noted))
        done: str | Refusal = self.do(request, node_id, act)
        return done

    def decide(
        self, request: Request, node_id: str, ban_id: bytes, *, lifted: bool
    ) -> str | Refusal:
        """Decide an appeal by the arbiter's key that is held here."""
        what = "node_ban_lifted" if lifted else "node_ban_upheld"
        by = visitor_of(request).account
        decide = partial(self.bans.decide, node_id, lifted=lifted, by=by, ban_id=ban_id)
        act = Act(what, lambda noted: decide(beside=noted))
        done: str | Refusal = self.do(request, node_id, act)
        return done

    def close(self, request: Request, node_id: str) -> str | Refusal:
        """Have what silence decided written down."""
        act = Act("node_ban_closed", lambda noted: self.bans.close(node_id, beside=noted))
        done: str | Refusal = self.do(request, node_id, act)
        return done

    def appeal_call(
        self, node_id: str, grounds_hash: bytes, ban_id: bytes
    ) -> TransactionView | Refusal:
        """Return the call by which a node's owner appeals."""
        case = self.asked(lambda: self.bans.appealable(node_id, ban_id))
        if isinstance(case, Refusal):
            return case
        told = {"ban_id": to_hex(case.ban_id), "grounds_hash": to_hex(grounds_hash)}
        return self._told("appeal", self.bans.contract.appeal(case.ban_id, grounds_hash), told)

    def decision_call(
        self, node_id: str, ban_id: bytes, *, lifted: bool
    ) -> TransactionView | Refusal:
        """Return the call by which the arbiter decides."""
        case = self.asked(lambda: self.bans.decidable(node_id, ban_id))
        if isinstance(case, Refusal):
            return case
        told = {"ban_id": to_hex(case.ban_id), "lifted": str(lifted).lower()}
        return self._told("decide", self.bans.contract.decide(case.ban_id, lifted=lifted), told)

    def asked(self, question: Callable[[], T | Refusal]) -> T | Refusal:
        """Ask something of the chain."""
        try:
            return question()
        except ChainError:
            return Refusal(SilentReason.CHAIN_SILENT, "the chain does not answer")

    def _told(self, function: str, call: Call, arguments: dict[str, str]) -> TransactionView:
        assert call.to is not None, "a call of the contract"
        return TransactionView(
            chain_id=self.desk.place.manifest.chain_id,
            to=call.to,
            data=to_hex(call.data),
            function=function,
            arguments=arguments,
        )

    def page(self, request: Request, name: str, host: Host, node_id: str, **more: Any) -> Response:
        """Draw a page about a node's ban, which `ban` may name."""
        view = self.views.standing(host, node_id, drafts=visitor_of(request).is_owner)
        case = case_of(view, name, more.pop("ban", ""))
        told = {"host": host, "node_id": node_id, "standing": view, "case": case}
        shown = {"refused": "", "tx_hash": "", "waits": False, "wish": None, **more}
        return self.desk.page(
            request, name, told, node_id, why=WHY, stages=STAGES, codes=CODES, **shown
        )


def ban_routes(app: FastAPI, desk: BanDesk) -> None:
    """Add the pages and what their forms do."""
    _banning(app, desk)
    _drafts(app, desk)
    _appealing(app, desk)
    _deciding(app, desk)


def _banning(app: FastAPI, desk: BanDesk) -> None:
    @app.get("/host/{party}/ban", include_in_schema=False)
    def form(request: Request, party: Party, node_id: NodeQuery = "") -> Response:
        return desk.page(
            request, "ban", desk.of(request, party, node_id, owner=True), node_id, sure=False
        )

    @app.post("/host/{party}/ban", include_in_schema=False)
    async def ban(request: Request, party: Party) -> Response:
        told = await form_of(request)
        node_id = told.get("node", "")[:64]
        host = await run_in_threadpool(desk.of, request, party, node_id, owner=True)
        wish = _wish(node_id, told)
        if "sure" not in told:
            return await run_in_threadpool(
                desk.page, request, "ban", host, node_id, wish=wish, sure=True
            )
        done = await run_in_threadpool(desk.ban, request, wish)
        shown = _shown(done.waits or done.tx_hash if isinstance(done, Begun) else done)
        return await run_in_threadpool(desk.page, request, "ban", host, node_id, wish=wish, **shown)


def _drafts(app: FastAPI, desk: BanDesk) -> None:
    @app.post("/host/{party}/ban/draft", include_in_schema=False)
    async def draft(request: Request, party: Party) -> Response:
        told = await form_of(request)
        host, ban_id, node_id = await run_in_threadpool(
            desk.draft_of, request, party, told.get("ban", "")
        )
        shown: dict[str, Any] = {"sure": False}
        if "drop" in told:
            await run_in_threadpool(desk.drop, request, ban_id, node_id)
        else:
            shown = _shown(await run_in_threadpool(desk.send, request, ban_id, node_id))
        return await run_in_threadpool(desk.page, request, "ban", host, node_id, **shown)


def _appealing(app: FastAPI, desk: BanDesk) -> None:
    @app.get("/host/{party}/appeal", include_in_schema=False)
    def form(request: Request, party: Party, node_id: NodeQuery = "") -> Response:
        host = desk.of(request, party, node_id, acts=True)
        return desk.page(request, "appeal", host, node_id, grounds="", sure=False)

    @app.post("/host/{party}/appeal", include_in_schema=False)
    async def appeal(request: Request, party: Party) -> Response:
        told = await form_of(request)
        node_id, grounds = told.get("node", "")[:64], told.get("grounds", "").strip()
        host = await run_in_threadpool(desk.of, request, party, node_id, acts=True)
        ban = told.get("ban", "")
        shown: dict[str, Any] = {"sure": True, "digest": to_hex(words_hash(grounds)), "ban": ban}
        if "sure" in told:
            done = await run_in_threadpool(desk.appeal, request, node_id, grounds, ban_of(ban))
            shown |= _shown(done)
        else:
            kept = await run_in_threadpool(desk.bans.propose, node_id, grounds)
            shown |= _shown(kept) if isinstance(kept, Refusal) else {}
        return await run_in_threadpool(
            desk.page, request, "appeal", host, node_id, grounds=grounds, **shown
        )

    @app.post("/host/{party}/close-ban", include_in_schema=False)
    async def close(request: Request, party: Party) -> Response:
        node_id = (await form_of(request)).get("node", "")[:64]
        host = await run_in_threadpool(desk.of, request, party, node_id, acts=True)
        done = await run_in_threadpool(desk.close, request, node_id)
        back = f"/host/{host.party_id}/nodes/{node_id}"
        if isinstance(done, Refusal):
            return desk.desk.shell.refused(request, why(done, NOT_DONE), back, section="host")
        return RedirectResponse(back, status_code=303)


def _deciding(app: FastAPI, desk: BanDesk) -> None:
    @app.get("/host/{party}/decide", include_in_schema=False)
    def form(request: Request, party: Party, node_id: NodeQuery = "") -> Response:
        host = desk.of(request, party, node_id, owner=True)
        return desk.page(request, "decide", host, node_id, sure=False, lifted=False)

    @app.post("/host/{party}/decide", include_in_schema=False)
    async def decide(request: Request, party: Party) -> Response:
        told = await form_of(request)
        node_id, lifted = told.get("node", "")[:64], told.get("lifted") == "yes"
        ban = told.get("ban", "")
        host = await run_in_threadpool(desk.of, request, party, node_id, owner=True)
        shown: dict[str, Any] = {"sure": True}
        if "sure" in told:
            done = await run_in_threadpool(
                lambda: desk.decide(request, node_id, ban_of(ban), lifted=lifted)
            )
            shown = _shown(done)
        return await run_in_threadpool(
            lambda: desk.page(request, "decide", host, node_id, lifted=lifted, ban=ban, **shown)
        )


def digest_of(text: str) -> bytes:
    """Read 32 octets in hex; 422 for what is none."""
    try:
        return from_hex(text)
    except ValueError:
        raise HTTPException(422, "32 octets in hex, as 0x and 64 digits") from None


def ban_of(text: str) -> bytes:
    """Read a ban's id, nothing where none is named; 422 for what is none."""
    return digest_of(text) if text else b""


def _wish(node_id: str, told: Mapping[str, str]) -> Wish:
    days, cost = told.get("days", ""), told.get("cost", "").strip()
    return Wish(
        node_id=node_id,
        code=told.get("reason", ""),
        days=int(days) if days.isascii() and days.isdigit() and len(days) < 6 else 0,
        slash_minor=minor_of(cost) if cost else 0,
        evidence=told.get("evidence", "").strip(),
    )


def _shown(done: str | bytes | Refusal) -> dict[str, Any]:
    """Return what a page shows of what came of something."""
    if isinstance(done, Refusal):
        waits = done.code in ("not_approved", "signatures_missing")
        status = 200 if waits else 409
        return {"refused": why(done, NOT_DONE), "waits": waits, "sure": False, "status": status}
    return {"tx_hash": done, "sure": False}
