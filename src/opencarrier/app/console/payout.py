"""Where a host is paid: asked for, taken back, and changed once the contract's delay has passed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app.api import Body, operation
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.host import TAG, HostDesk, Party
from opencarrier.app.console.reading import asked, form_of
from opencarrier.app.console.refusals import why
from opencarrier.app.console.views.host import TransactionView
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.forms.hosts import ASSET, NOW_US, PAYOUT
from opencarrier.app.forms.samples import ADDRESS
from opencarrier.app.problems import problem
from opencarrier.app.rewarding import Distribution
from opencarrier.app.venue import ChainWorkError, GasError
from opencarrier.chain.contracts import RewardDistributor
from opencarrier.chain.errors import ChainError, RevertedError
from opencarrier.chain.model import Call
from opencarrier.chain.ports import Beside
from opencarrier.identity.rules import read_address
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address, checksummed
from opencarrier.spine.parties import Host

T = TypeVar("T")

_log = logging.getLogger(__name__)

ACTS: Final = {"ask": "payout_asked", "cancel": "payout_cancelled", "apply": "payout_changed"}
"""What may be done, and how the log calls it."""

ActName = Annotated[str, Query(pattern="^(ask|cancel|apply)$", description="What the call does.")]
Wanted = Annotated[str, Query(max_length=42, description="The address to be paid, to ask for.")]

NOT_CHANGED: Final = {
    "bad_address": N_("That is no address: 0x and 40 digits, with its letters as they were."),
    "same_address": N_("It is paid there already."),
    "not_asked": N_("No change is asked for."),
    "not_ready": N_("The delay has not passed yet."),
    "refused": N_("The contract refuses it."),
    "no_key": N_("The key that may do this is not held here. Send it from that wallet."),
    "other_key": N_("Another key may do this."),
    "too_often": N_("It was tried too often."),
    "chain_silent": N_("The chain does not take it just now. Nothing is lost: try later."),
}


class PayoutReason(Reason):
    """Why nothing was changed, beyond what the distribution says."""

    BAD_ADDRESS = 1
    NOT_ASKED = 2
    NOT_READY = 3
    REFUSED = 4
    CHAIN_SILENT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutView:
    """Where an account is paid, in `asset`, and where it is to be from `ready_us` on.

    A change is asked for by the account and takes effect when somebody has it applied, `delay_s`
    after it was asked for at the earliest; until then the former address is paid.
    """

    asset: str
    account: str
    payout: str
    wanted: str | None
    ready_us: int | None
    is_ready: bool
    delay_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutAsked:
    """The address that shall be paid."""

    payout: str


_VIEW: Final = PayoutView(
    asset=ASSET,
    account=PAYOUT,
    payout=PAYOUT,
    wanted=ADDRESS,
    ready_us=NOW_US,
    is_ready=False,
    delay_s=86_400,
)
_CALL: Final = TransactionView(
    chain_id=31_337,
    to="0xcf7ed3acca5a467e9e704c703e8d87f634fb0fc9",
    data="0x0b8f7f30",
    function="request_payout",
    arguments={"token": PAYOUT, "payout": ADDRESS},
)


class PayoutDesk:
    """What the routes of payout addresses share."""

    def __init__(self, desk: HostDesk) -> None:
        self.desk = desk
        self.place = desk.place
        self._pool = RewardDistributor(desk.place.manifest.distributor)
        self._distribution = Distribution(desk.place)

    def view(self, host: Host) -> PayoutView | Refusal:
        """Ask the chain where a host is paid."""
        return self._tried(lambda: self._view(host))

    def _view(self, host: Host) -> PayoutView:
        client, manifest = self.place.client, self.place.manifest
        told = self._distribution.payout(host.payout)
        change = told["change"]
        ready_s = 0 if change is None else change["ready_at_s"]
        return PayoutView(
            asset=manifest.asset,
            account=host.payout,
            payout=told["payout"],
            wanted=None if change is None else change["account"],
            ready_us=ready_s * SECOND_US or None,
            is_ready=0 < ready_s <= self.place.chain_now_s(),
            delay_s=self._pool.delay_s().ask(client),
        )

    def act(
        self, request: Request, host: Host, what: str, payout: str = ""
    ) -> PayoutView | Refusal:
        """Ask for a change, take it back or apply it, and write down who did.

        The line `ordered` stands with the transaction before it is sent, or one says why not.
        """
        visitor, base = visitor_of(request), self.place.base
        noted = partial(
            base.accounts.audit.write,
            what=ACTS[what],
            who=visitor.account,
            about=f"{host.party_id} {payout}" if is_address(payout) else host.party_id,
            came_from=visitor.came_from,
        )
        ordered = partial(noted, outcome="ordered")
        done = self._tried(lambda: self._done(host, what, payout, ordered))
        self.desk.views.forget(host)
        if isinstance(done, Refusal):
            with base.store.write() as unit:
                noted(unit, outcome=done.code)
        return done

    def _done(self, host: Host, what: str, payout: str, beside: Beside) -> PayoutView | Refusal:
        refusal = self._objection(host, what, payout)
        if refusal is not None:
            return refusal
        if what == "ask":
            wanted = Address(payout.lower())
            told = self._distribution.request_payout(host.payout, wanted, beside=beside)
        elif what == "cancel":
            told = self._distribution.cancel_payout(host.payout, beside=beside)
        else:
            told = self._distribution.apply_payout(host.payout, beside=beside)
        return told if isinstance(told, Refusal) else self._view(host)

    def _objection(self, host: Host, what: str, payout: str) -> Refusal | None:
        if what == "ask":
            return None if is_address(payout) else Refusal(PayoutReason.BAD_ADDRESS, payout)
        known = self._view(host)
        if known.wanted is None:
            return Refusal(PayoutReason.NOT_ASKED, host.payout)
        if what == "apply" and not known.is_ready:
            return Refusal(PayoutReason.NOT_READY, f"from {known.ready_us} us on")
        return None

    def call(self, host: Host, what: str, payout: str) -> TransactionView | Refusal:
        """Return the call that does it, for the account's own wallet to send."""
        refusal: Refusal | None = self._tried(lambda: self._objection(host, what, payout))
        if refusal is not None:
            return refusal
        token, account = self.place.manifest.token, host.payout
        told = {"token": str(token)}
        if what == "ask":
            told |= {"payout": payout.lower()}
            return self._told(
                "request_payout", self._pool.request_payout(token, Address(payout.lower())), told
            )
        if what == "cancel":
            return self._told("cancel_payout", self._pool.cancel_payout(token), told)
        told = {"account": str(account), **told}
        return self._told("apply_payout", self._pool.apply_payout(account, token), told)

    def _told(self, function: str, call: Call, arguments: dict[str, str]) -> TransactionView:
        return TransactionView(
            chain_id=self.place.manifest.chain_id,
            to=self.desk.distributor,
            data=to_hex(call.data),
            function=function,
            arguments=arguments,
        )

    def _tried(self, work: Callable[[], T | Refusal]) -> T | Refusal:
        try:
            return work()
        except RevertedError as error:
            return Refusal(PayoutReason.REFUSED, error.reason or "")
        except (ChainError, ChainWorkError, GasError) as error:
            _log.warning("a payout address was not changed: %s", error)
            return Refusal(PayoutReason.CHAIN_SILENT, "the chain does not take it now")

    def page(self, request: Request, host: Host, **more: Any) -> Response:
        """Draw where a host is paid."""
        found = self.view(host)
        view = None if isinstance(found, Refusal) else found
        shown = {"refused": "", "done": "", "wanted": "", "act": "", **more}
        told = {"host": host, "payout": view}
        return self.desk.page(request, "payout", told, "Where it is paid", **shown)


def is_address(text: str) -> bool:
    """Say whether a text is an address; with letters of both cases, they have to fit (EIP-55)."""
    found = read_address(text)
    if isinstance(found, Refusal):
        return False
    digits = text.removeprefix("0x")
    return digits in (digits.lower(), digits.upper()) or text == checksummed(found)


def payout_routes(app: FastAPI, desk: PayoutDesk) -> None:
    """Add the page, what its forms do, and the same as JSON."""
    _page(app, desk)
    _api(app, desk)
    _changes(app, desk)


def _page(app: FastAPI, desk: PayoutDesk) -> None:
    @app.get("/host/{party}/payout", include_in_schema=False)
    def form(request: Request, party: Party) -> Response:
        return desk.page(request, desk.desk.of(request, party, acts=True))

    @app.post("/host/{party}/payout", include_in_schema=False)
    async def change(request: Request, party: Party) -> Response:
        told = await form_of(request)
        host = await run_in_threadpool(lambda: desk.desk.of(request, party, acts=True))
        what, wanted = told.get("act", ""), told.get("payout", "").strip()[:64]
        if what not in ACTS:
            raise HTTPException(422, "ask, cancel or apply")
        shown: dict[str, Any] = {"act": what, "wanted": wanted}
        if "sure" in told:
            done = await run_in_threadpool(desk.act, request, host, what, wanted)
            if isinstance(done, Refusal):
                shown = {"refused": why(done, NOT_CHANGED), "wanted": wanted}
            else:
                shown = {"done": what}
        else:
            no = await run_in_threadpool(desk.call, host, what, wanted)
            shown |= {"refused": why(no, NOT_CHANGED), "act": ""} if isinstance(no, Refusal) else {}
        return await run_in_threadpool(lambda: desk.page(request, host, **shown))


def _api(app: FastAPI, desk: PayoutDesk) -> None:
    @app.get(
        "/v1/hosts/{party}/payout",
        **operation(
            TAG,
            "Where it is paid",
            example=_VIEW,
            refuses={409: "The chain does not answer."},
            model=PayoutView,
        ),
    )
    def payout(request: Request, party: Party) -> Any:
        """Say at which address a host is paid, and which change waits; the delay is in seconds."""
        return _answer(desk.view(desk.desk.of(request, party, acts=True)))

    @app.get(
        "/v1/hosts/{party}/payout/call",
        **operation(
            TAG,
            "The transaction that changes where it is paid",
            example=_CALL,
            refuses={409: "Why there is none."},
            model=TransactionView,
        ),
    )
    def call(request: Request, party: Party, act: ActName, payout: Wanted = "") -> Any:
        """Return the call that asks for a change, takes it back or applies it.

        The first two count from the account's own wallet only.
        """
        return _answer(desk.call(desk.desk.of(request, party, acts=True), act, payout))


def _changes(app: FastAPI, desk: PayoutDesk) -> None:
    why = {409: "Why nothing was changed."}

    @app.post(
        "/v1/hosts/{party}/payout",
        **operation(
            TAG,
            "Ask to be paid elsewhere",
            example=_VIEW,
            refuses=why,
            model=PayoutView,
            body=Body(form=PayoutAsked, example=PayoutAsked(payout=ADDRESS)),
        ),
    )
    async def ask(request: Request, party: Party) -> Any:
        """Ask, by the account's key held here, to be paid elsewhere once the delay has passed."""
        told = await asked(request, PayoutAsked)
        host = await run_in_threadpool(lambda: desk.desk.of(request, party, acts=True))
        return _answer(await run_in_threadpool(desk.act, request, host, "ask", told.payout))

    @app.post(
        "/v1/hosts/{party}/payout/cancel",
        **operation(TAG, "Take the change back", example=_VIEW, refuses=why, model=PayoutView),
    )
    async def cancel(request: Request, party: Party) -> Any:
        """Take the request to be paid elsewhere back, by the account's key held here."""
        host = await run_in_threadpool(lambda: desk.desk.of(request, party, acts=True))
        return _answer(await run_in_threadpool(desk.act, request, host, "cancel"))

    @app.post(
        "/v1/hosts/{party}/payout/apply",
        **operation(TAG, "Apply the change", example=_VIEW, refuses=why, model=PayoutView),
    )
    async def apply(request: Request, party: Party) -> Any:
        """Have the change take effect once its delay has passed; the hub pays the gas."""
        host = await run_in_threadpool(lambda: desk.desk.of(request, party, acts=True))
        return _answer(await run_in_threadpool(desk.act, request, host, "apply"))


def _answer(found: PayoutView | TransactionView | Refusal) -> Any:
    if not isinstance(found, Refusal):
        return found
    contract = found.reason is PayoutReason.REFUSED and found.detail
    return problem(409, found.code, found.detail if contract else str(why(found, NOT_CHANGED)))
