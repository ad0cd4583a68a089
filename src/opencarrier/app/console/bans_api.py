"""What pages of bans show and do, as JSON: the same views and the same acts."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app.api import Body, operation
from opencarrier.app.banning import Begun, Wish
from opencarrier.app.console.ban_words import NOT_DONE
from opencarrier.app.console.bans import BanDesk, NodeQuery, ban_of, digest_of
from opencarrier.app.console.host import TAG, Party
from opencarrier.app.console.reading import asked
from opencarrier.app.console.refusals import why
from opencarrier.app.console.views.bans import DraftView, StandingView
from opencarrier.app.console.views.host import TransactionView
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.forms import bans as examples
from opencarrier.app.forms.bans import (
    AppealAsked,
    BanAsked,
    BegunView,
    DecisionAsked,
    DoneView,
    DraftAsked,
    NodeAsked,
    SignatureAsked,
)
from opencarrier.app.problems import problem
from opencarrier.bans.model import BanReason
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import SIGNATURE_OCTETS

Digest = Annotated[str, Query(max_length=66, description="Keccak-256 of the grounds, in hex.")]
BanQuery = Annotated[
    str, Query(alias="ban", max_length=66, description="Which ban; else what is due first.")
]
Lifted = Annotated[bool, Query(description="Whether the ban ends.")]


def bans_api(app: FastAPI, desk: BanDesk) -> None:
    """Add the routes."""
    _standing(app, desk)
    _drafts(app, desk)
    _appeals(app, desk)
    _decisions(app, desk)


def _standing(app: FastAPI, desk: BanDesk) -> None:
    @app.get(
        "/v1/hosts/{party}/bans",
        **operation(TAG, "How a node stands", example=examples.STANDING),
    )
    def standing(request: Request, party: Party, node_id: NodeQuery) -> StandingView:
        """Say whether a node is banned, by whom and why, and how far an appeal is.

        The newest 20 bans; what is held of its bond is in minor units of `asset`. Drafts are told
        to the owner of the installation.
        """
        host = desk.of(request, party, node_id)
        return desk.views.standing(host, node_id, drafts=visitor_of(request).is_owner)

    @app.post(
        "/v1/hosts/{party}/bans",
        **operation(
            TAG,
            "Ban a node",
            example=examples.BEGUN,
            refuses={409: "Why it is not banned."},
            model=BegunView,
            body=Body(form=BanAsked, example=examples.BAN),
        ),
    )
    async def ban(request: Request, party: Party) -> Any:
        """Prepare a ban and send it where guardians held here suffice and nobody has to approve.

        Otherwise `waits` says what is missing and the draft is kept. Days are of 86,400 s, the
        amount is in minor units of the bond's asset.
        """
        told = await asked(request, BanAsked)
        await run_in_threadpool(desk.of, request, party, told.node_id, owner=True)
        wish = Wish(
            node_id=told.node_id,
            code=told.reason,
            days=told.days,
            slash_minor=told.slash_minor,
            evidence=told.evidence,
        )
        done = await run_in_threadpool(desk.ban, request, wish)
        return _refused(done) if isinstance(done, Refusal) else _begun(done)


def _drafts(app: FastAPI, desk: BanDesk) -> None:
    @app.post(
        "/v1/hosts/{party}/bans/signatures",
        **operation(
            TAG,
            "Hand in a guardian's signature of a ban",
            example=examples.DRAFT,
            refuses={409: "No guardian signed exactly this."},
            model=DraftView,
            body=Body(form=SignatureAsked, example=examples.SIGNATURE),
        ),
    )
    async def sign(request: Request, party: Party) -> Any:
        """Keep a guardian's signature over a draft's `digest`: 65 octets in hex, low s."""
        told = await asked(request, SignatureAsked)
        signature = octets_of(told.signature, SIGNATURE_OCTETS)
        host, ban_id, node_id = await run_in_threadpool(desk.draft_of, request, party, told.ban_id)
        done = await run_in_threadpool(desk.sign, request, ban_id, node_id, signature)
        if isinstance(done, Refusal):
            return _refused(done)
        view = await run_in_threadpool(lambda: desk.views.standing(host, node_id, drafts=True))
        return next(one for one in view.drafts if one.ban_id == to_hex(ban_id))

    @app.post(
        "/v1/hosts/{party}/bans/send",
        **operation(
            TAG,
            "Send a ban that was prepared",
            example=examples.DONE,
            refuses={409: "What is missing."},
            model=DoneView,
            body=Body(form=DraftAsked, example=examples.SEND),
        ),
    )
    async def send(request: Request, party: Party) -> Any:
        """Send a ban once people approved it and enough guardians signed; the hub pays the gas."""
        told = await asked(request, DraftAsked)
        _, ban_id, node_id = await run_in_threadpool(desk.draft_of, request, party, told.ban_id)
        return _answer(await run_in_threadpool(desk.send, request, ban_id, node_id))


def _appeals(app: FastAPI, desk: BanDesk) -> None:
    why = {409: "Why nothing is done."}

    @app.get(
        "/v1/hosts/{party}/appeal",
        **operation(
            TAG,
            "The transaction that appeals",
            example=examples.APPEAL_CALL,
            refuses=why,
            model=TransactionView,
        ),
    )
    def call(
        request: Request,
        party: Party,
        node_id: NodeQuery,
        grounds_hash: Digest = "",
        ban_id: BanQuery = "",
    ) -> Any:
        """Return the call by which a node's owner appeals, for its own wallet to send."""
        digest = digest_of(grounds_hash) if grounds_hash else bytes(32)
        desk.of(request, party, node_id, acts=True)
        return _answer(desk.appeal_call(node_id, digest, ban_of(ban_id)))

    @app.post(
        "/v1/hosts/{party}/appeals",
        **operation(
            TAG,
            "Appeal against a ban",
            example=examples.DONE,
            refuses=why,
            model=DoneView,
            body=Body(form=AppealAsked, example=examples.APPEAL),
        ),
    )
    async def appeal(request: Request, party: Party) -> Any:
        """Appeal by the key held here; the words stay here, their Keccak-256 goes there.

        Against the ban that is named, else the one whose time to appeal is over first.
        """
        told = await asked(request, AppealAsked)
        named = ban_of(told.ban_id)
        await run_in_threadpool(desk.of, request, party, told.node_id, acts=True)
        done = await run_in_threadpool(desk.appeal, request, told.node_id, told.grounds, named)
        return _answer(done)

    @app.post(
        "/v1/hosts/{party}/closings",
        **operation(
            TAG,
            "Have silence decide",
            example=examples.DONE,
            refuses=why,
            model=DoneView,
            body=Body(form=NodeAsked, example=examples.CLOSE),
        ),
    )
    async def close(request: Request, party: Party) -> Any:
        """Have it written down that a ban was upheld or an appeal granted, by nobody's word."""
        told = await asked(request, NodeAsked)
        await run_in_threadpool(desk.of, request, party, told.node_id, acts=True)
        return _answer(await run_in_threadpool(desk.close, request, told.node_id))


def _decisions(app: FastAPI, desk: BanDesk) -> None:
    why = {409: "Why nothing is decided."}

    @app.get(
        "/v1/hosts/{party}/decision",
        **operation(
            TAG,
            "The transaction that decides an appeal",
            example=examples.DECISION_CALL,
            refuses=why,
            model=TransactionView,
        ),
    )
    def call(
        request: Request, party: Party, node_id: NodeQuery, lifted: Lifted, ban_id: BanQuery = ""
    ) -> Any:
        """Return the call by which the arbiter decides, for its own wallet to send."""
        desk.of(request, party, node_id, owner=True)
        return _answer(desk.decision_call(node_id, ban_of(ban_id), lifted=lifted))

    @app.post(
        "/v1/hosts/{party}/decisions",
        **operation(
            TAG,
            "Decide an appeal",
            example=examples.DONE,
            refuses=why,
            model=DoneView,
            body=Body(form=DecisionAsked, example=examples.DECISION),
        ),
    )
    async def decide(request: Request, party: Party) -> Any:
        """Lift a ban or uphold it, by the arbiter's key held here, once people approved it.

        It is the ban that is named, else the one whose time to decide is over first.
        """
        told = await asked(request, DecisionAsked)
        named = ban_of(told.ban_id)
        await run_in_threadpool(desk.of, request, party, told.node_id, owner=True)
        decide = partial(desk.decide, request, told.node_id, named, lifted=told.lifted)
        return _answer(await run_in_threadpool(decide))


def octets_of(text: str, number: int) -> bytes:
    """Read so many octets in hex; 422 for what is none."""
    try:
        octets = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        octets = b""
    if len(octets) != number:
        raise HTTPException(422, f"{number} octets in hex")
    return octets


def _begun(done: Begun) -> BegunView:
    waits = "" if done.waits is None else done.waits.code
    return BegunView(ban_id=to_hex(done.draft.ban_id), tx_hash=done.tx_hash, waits=waits)


def _answer(done: str | TransactionView | Refusal) -> Any:
    if isinstance(done, Refusal):
        return _refused(done)
    return DoneView(tx_hash=done) if isinstance(done, str) else done


def _refused(refusal: Refusal) -> JSONResponse:
    contract = refusal.reason is BanReason.REFUSED
    detail = refusal.detail if contract and refusal.detail else str(why(refusal, NOT_DONE))
    return problem(409, refusal.code, detail)
