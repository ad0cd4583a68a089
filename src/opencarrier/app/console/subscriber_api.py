"""A subscriber's account over the API: the views of the pages, and what they have done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from opencarrier.app.api import INT64_MAX, LIMIT, After, Body, Limit, Page, operation
from opencarrier.app.console.reading import json_of
from opencarrier.app.console.subscriber import (
    RECEIPTS,
    AnyMonth,
    Month,
    SubscriberDesk,
    month_asked,
    receipt_key,
)
from opencarrier.app.console.subscriber_acts import Acts
from opencarrier.app.console.views.receipts_file import MonthFile
from opencarrier.app.console.views.subscriber import (
    CapLine,
    SubscriberView,
    Where,
    subscriber_view,
)
from opencarrier.app.console.views.subscriber_bill import BillLine, BillView, MonthLine
from opencarrier.app.console.views.subscriber_devices import (
    DeviceLine,
    DevicesView,
    LinkView,
    LostView,
)
from opencarrier.app.console.views.subscriber_money import (
    MoneyView,
    Priced,
    PriceView,
    money_view,
    price_view,
)
from opencarrier.app.console.views.subscriber_sessions import (
    PartLine,
    ReceiptLine,
    SessionLine,
    SessionView,
)
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.problems import problem
from opencarrier.kernel.refusals import Refusal

TAG: Final = "subscribers"
KEY_MAX: Final = 255
OCTETS_MAX: Final = 10**15
SECONDS_MAX: Final = 10**7

_PARTY: Final = "sub_" + "7" * 32
_SESSION: Final = "a1" * 16
_USAGE: Final = "0x" + "5b" * 32
_AT_US: Final = 1_767_603_600_000_000
_ASSET: Final = "eip155:31337/erc20:0x" + "ab" * 20
_WHERE: Final = Where(venue="Café Lumière", operator="Lumen Mobile", country="FR")
_CAP: Final = CapLine(
    cap_minor=10_000_000, spent_minor=1_300_000, held_minor=500_000, left_minor=8_200_000
)
_VIEW: Final = SubscriberView(
    party=_PARTY,
    name="Ada",
    home="Lumen Mobile",
    country="FR",
    plan="prepaid",
    asset=_ASSET,
    as_of_us=_AT_US,
    month="2026-01",
    free_minor=4_200_000,
    held_minor=500_000,
    asked_back_minor=0,
    spent_minor=1_300_000,
    octets=220_000_000,
    cap=_CAP,
    notices=(),
    running=(),
)
_LINE: Final = SessionLine(
    session=_SESSION,
    granted_us=_AT_US,
    where=_WHERE,
    service=1,
    began_us=_AT_US,
    ended_us=_AT_US + 600_000_000,
    octets=52_000_000,
    duration_s=600,
    price_minor=316_875,
    paid_minor=316_875,
    parts=1,
    state="paid",
)
_PART: Final = PartLine(
    usage_id=_USAGE,
    start_us=_AT_US,
    end_us=_AT_US + 600_000_000,
    octets=52_000_000,
    duration_s=600,
    price_minor=316_875,
    tax_minor=52_813,
    discount_minor=0,
    borne_minor=0,
)
_ONE: Final = SessionView(
    line=_LINE,
    plan_price_nano=5_200,
    plan_step=1024,
    plan_unit="octets_total",
    plan_tax_included=False,
    tax_minor=52_813,
    discount_minor=0,
    discount_ppm=0,
    parts=(_PART,),
    left_out=0,
)
_RECEIPT: Final = ReceiptLine(
    usage_id=_USAGE,
    session=_SESSION,
    where=_WHERE,
    used_us=_AT_US + 600_000_000,
    octets=52_000_000,
    asset=_ASSET,
    price_minor=316_875,
    tax_minor=52_813,
    borne_minor=0,
)
_BILL_LINE: Final = BillLine(
    service="wifi",
    operator="Lumen Mobile",
    country="FR",
    asset=_ASSET,
    charges=1,
    octets=52_000_000,
    duration_s=600,
    net_minor=264_062,
    tax_minor=52_813,
    price_minor=316_875,
    discount_minor=0,
    borne_minor=0,
    paid_minor=316_875,
)
_BILL: Final = BillView(
    party=_PARTY,
    home="Lumen Mobile",
    month="2026-01",
    begins_us=1_767_225_600_000_000,
    ends_us=1_769_904_000_000_000,
    is_over=False,
    asset=_ASSET,
    lines=(_BILL_LINE,),
    charges=1,
    octets=52_000_000,
    net_minor=264_062,
    tax_minor=52_813,
    price_minor=316_875,
    discount_minor=0,
    borne_minor=0,
    paid_minor=316_875,
    months=(MonthLine(month="2026-01", begins_us=1_767_225_600_000_000),),
)
_PRICE: Final = PriceView(
    plan="prepaid",
    unit="octets_total",
    step=1024,
    price_nano=5_200,
    minimum_minor=0,
    tax_ppm=200_000,
    tax_included=False,
    discount_ppm=0,
    until_us=_AT_US,
    examples=(
        Priced(octets=100_000_000, duration_s=3_600, price_minor=609_378, tax_minor=101_563),
    ),
)
_MONEY: Final = MoneyView(
    party=_PARTY,
    home="Lumen Mobile",
    asset=_ASSET,
    free_minor=4_200_000,
    held_minor=500_000,
    asked_back_minor=0,
    cap=_CAP,
    price=_PRICE,
    channels=(),
    stake=None,
)
_DEVICES: Final = DevicesView(
    party=_PARTY,
    home="Lumen Mobile",
    devices=(DeviceLine(kind="sim", ends="0001", expires_us=None, holds=True),),
    missing="",
)
_LINK: Final = LinkView(
    url="https://example.org/enrol/" + "k" * 43, expires_us=_AT_US + 3_600_000_000, uses=1
)
_LOST: Final = LostView(sessions_ended=1, unreachable=0, revoked=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapBody:
    """A cap in minor units of the asset; null lifts it."""

    cap_minor: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountBody:
    """An amount in minor units, and one's own name for the request."""

    amount_minor: int
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseBody:
    """The subscriber's id once more, and whether money that is left is given up."""

    confirm: str
    waive: bool


Octets = Annotated[int, Query(ge=0, le=OCTETS_MAX, description="Octets in both directions.")]
Seconds = Annotated[int, Query(ge=0, le=SECONDS_MAX, description="Seconds.")]


def subscriber_api(app: FastAPI, desk: SubscriberDesk, acts: Acts) -> None:
    """Add the routes."""
    _told(app, desk)
    _use(app, desk)
    _receipts(app, desk)
    _changed(app, acts)
    _data(app, acts)


def _told(app: FastAPI, desk: SubscriberDesk) -> None:
    @app.get("/v1/subscribers/{party}", **operation(TAG, "A subscriber now", example=_VIEW))
    def now(request: Request, party: str) -> SubscriberView:
        """Say what a subscriber has left, what this month cost and what runs now (minor units)."""
        return desk.read(request, party, lambda unit, who: subscriber_view(desk.place, unit, who))

    @app.get(
        "/v1/subscribers/{party}/money", **operation(TAG, "A subscriber's money", example=_MONEY)
    )
    def money(request: Request, party: str) -> MoneyView:
        """Tell balance, holds, cap, price, channels and stake; amounts in minor units."""
        return desk.read(request, party, lambda unit, who: money_view(desk.place, unit, who))

    @app.get(
        "/v1/subscribers/{party}/price",
        **operation(
            TAG,
            "The price before use",
            example=_PRICE,
            refuses={409: "The subscriber's plan is not in force."},
        ),
    )
    def price(
        request: Request, party: str, octets: Octets = 100_000_000, seconds: Seconds = 3_600
    ) -> PriceView:
        """Tell what so much use in one session would cost now, tax and discount counted."""
        found = desk.read(
            request,
            party,
            lambda unit, who: price_view(desk.place, unit, who, (octets, seconds)),
        )
        if found is None:
            raise HTTPException(409, "no plan is in force")
        return found

    @app.get(
        "/v1/subscribers/{party}/devices",
        **operation(TAG, "What lets its devices on", example=_DEVICES),
    )
    def devices(request: Request, party: str) -> DevicesView:
        """List SIMs, certificates and passwords by their last four digits, what holds first."""
        return desk.devices(request, party)


def _receipts(app: FastAPI, desk: SubscriberDesk) -> None:
    @app.get(
        "/v1/subscribers/{party}/receipts",
        **operation(TAG, "Charges that have receipts", example=Page(items=[_RECEIPT], next=None)),
    )
    def receipts(
        request: Request,
        party: str,
        cursor: After = "",
        limit: Limit = LIMIT,
        month: AnyMonth = "",
    ) -> Page[ReceiptLine]:
        """List charges by session, the newest first; amounts in minor units, tax included.

        A page may have fewer than `limit` where many sessions used nothing; `next` goes on. With
        `month`, only of use that ended in it, as the bill counts it.
        """
        return desk.receipts(request, party, cursor=cursor, limit=limit, month=month)

    @app.get(
        "/v1/subscribers/{party}/receipts.zip",
        response_class=StreamingResponse,
        **operation(
            TAG,
            "The receipts of a month as one file",
            example="PK…",
            model={"type": "string", "format": "binary", "title": "Receipts (ZIP)"},
            media="application/zip",
        ),
    )
    def receipts_file(
        request: Request, party: str, month: AnyMonth, cursor: After = ""
    ) -> StreamingResponse:
        """Give the receipts of a month's settled use as a ZIP that `opencarrier verify` takes.

        It holds 1,000 at most, each as its subscriber sees it; where there are more, `more.txt` in
        it has the address of the next file.
        """
        window, after = month_asked(month), receipt_key(cursor)
        found = desk.read(request, party, lambda _, who: who.party_id)
        more = f"/v1/subscribers/{found}/receipts.zip?month={month}"
        file = MonthFile(desk.place, visitor_of(request), found, window, more)
        name = f"receipts-{month}.zip"
        return StreamingResponse(
            file.octets(after, RECEIPTS.write),
            media_type="application/zip",
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "no-store",
            },
        )


def _use(app: FastAPI, desk: SubscriberDesk) -> None:
    @app.get(
        "/v1/subscribers/{party}/sessions",
        **operation(TAG, "Sessions", example=Page(items=[_LINE], next=None)),
    )
    def sessions(
        request: Request, party: str, cursor: After = "", limit: Limit = LIMIT
    ) -> Page[SessionLine]:
        """List sessions, the newest first: octets, seconds, price and paid in minor units."""
        return desk.sessions(request, party, cursor=cursor, limit=limit)

    @app.get(
        "/v1/subscribers/{party}/sessions/{session}",
        **operation(TAG, "A session with its parts", example=_ONE),
    )
    def session(request: Request, party: str, session: str) -> SessionView:
        """Tell one session with the charges it is made of, the newest 200 first (minor units)."""
        return desk.session(request, party, session)

    @app.get("/v1/subscribers/{party}/bill", **operation(TAG, "The bill of a month", example=_BILL))
    def bill(request: Request, party: str, month: Month = "") -> BillView:
        """Tell a month's charges by service and place with tax; amounts in minor units.

        Use counts in the month (UTC) in which it ended. Lines sum to the totals to the unit.
        """
        return desk.bill(request, party, month)


def _changed(app: FastAPI, acts: Acts) -> None:
    @app.post(
        "/v1/subscribers/{party}/cap",
        **operation(
            TAG,
            "Set or lift the spend cap",
            example={},
            model=dict[str, Any],
            body=Body(form=CapBody, example={"cap_minor": 10_000_000}),
        ),
    )
    async def cap(request: Request, party: str) -> Response:
        """Cap what prepaid money is used for in each calendar month (UTC), in minor units."""
        cap_minor = (await json_of(request)).get("cap_minor")
        if cap_minor is not None:
            cap_minor = _amount(cap_minor)
        return _done(await acts.cap(request, party, cap_minor))

    @app.post(
        "/v1/subscribers/{party}/refunds",
        **operation(
            TAG,
            "Ask prepaid money back",
            example={},
            model=dict[str, Any],
            refuses={409: "There is not that much free money."},
            body=Body(form=AmountBody, example={"amount_minor": 1_000_000, "reference": "mine-1"}),
        ),
    )
    async def refund(request: Request, party: str) -> Response:
        """Set free prepaid money aside, to be paid out by the home; the same reference once."""
        told = await json_of(request)
        reference = str(told.get("reference", ""))
        if not 0 < len(reference) <= KEY_MAX:
            return problem(422, "invalid request", f"reference has 1 to {KEY_MAX} characters")
        amount_minor = _amount(told.get("amount_minor"))
        return _done(await acts.ask_back(request, party, amount_minor, reference))

    @app.post(
        "/v1/subscribers/{party}/links",
        **operation(
            TAG,
            "Make a link for a device",
            example=_LINK,
            model=LinkView,
            refuses={409: "No profiles are made here, or too many links are open."},
        ),
    )
    async def link(request: Request, party: str) -> Response:
        """Make a link that gives one profile once, for an hour; it is told this once."""
        made = await acts.link(request, party)
        return _done(made) if isinstance(made, Refusal) else JSONResponse(asdict(made))

    @app.post(
        "/v1/subscribers/{party}/lost",
        **operation(TAG, "A phone was lost", example=_LOST),
    )
    async def lost(request: Request, party: str) -> LostView:
        """End its sessions, and let nobody on with its SIMs, certificates, passwords and links."""
        return await acts.lost(request, party)


def _data(app: FastAPI, acts: Acts) -> None:
    @app.post(
        "/v1/subscribers/{party}/export",
        **operation(
            TAG,
            "All that is held of a subscriber",
            example={"subscriber": _PARTY, "tables": {}, "ledger": []},
            model=dict[str, Any],
        ),
    )
    async def export(request: Request, party: str) -> Response:
        """Tell every row that is kept of a subscriber, by table, and its account's statement."""
        return JSONResponse(await acts.export(request, party))

    @app.post(
        "/v1/subscribers/{party}/erase",
        **operation(
            TAG,
            "Erase a subscriber",
            example={"subscriber": _PARTY, "erased_us": _AT_US, "files_clean": True},
            model=dict[str, Any],
            refuses={409: "Something of it is still under way; `title` says what."},
            body=Body(form=EraseBody, example={"confirm": _PARTY, "waive": False}),
        ),
    )
    async def erase(request: Request, party: str) -> Response:
        """Take away who a subscriber was, for good; `confirm` is its id once more."""
        told = await json_of(request)
        acts.desk.read(request, party, lambda unit, who: None)
        if told.get("confirm") != party:
            return problem(422, "invalid request", "confirm: the subscriber's id once more")
        done = await acts.erase(request, party, waive=told.get("waive") is True)
        if isinstance(done, Refusal):
            return _done(done)
        return JSONResponse(
            {
                "subscriber": party,
                "erased_us": done.made.erased_us,
                "files_clean": done.files_clean,
            }
        )


def _amount(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= INT64_MAX:
        raise HTTPException(422, f"an amount is a whole number from 0 to {INT64_MAX}")
    return value


def _done(refusal: Refusal | None) -> Response:
    if refusal is None:
        return JSONResponse({})
    return problem(409, refusal.code, refusal.detail)
