"""Pages and routes of an operator's agreements: what is agreed, other prices tried on a month."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

from fastapi import FastAPI, Path, Query, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from opencarrier.app.api import LIMIT, After, Limit, Page, operation
from opencarrier.app.console.operator import OperatorDesk, Party
from opencarrier.app.console.views.agreements import (
    PLAIN,
    AgreementRow,
    AgreementView,
    agreement_of,
    agreement_view,
    agreements_view,
    terms_at,
)
from opencarrier.app.console.views.tariff_tries import TryView, try_view
from opencarrier.app.forms.operators import AGREEMENT, AGREEMENT_ROW, TRIED
from opencarrier.kernel.calendar import month_named
from opencarrier.kernel.money import NANO, PPM
from opencarrier.rating.agreements.rows import AnyAgreement
from opencarrier.rating.model import Agreement
from opencarrier.rating.rules.v2 import Terms
from opencarrier.spine.parties import PartyId

PRICE_MAX_NANO: Final = 10**15
PRICES_MAX: Final = 100
DIGITS_MAX: Final = 20
_TRIED: Final = re.compile(r"([0-9]{1,4}):([0-9]{1,16})")

Hash = Annotated[
    str, Path(pattern=r"^0x[0-9a-f]{64}$", description="The agreement's hash, 0x and 64 digits.")
]
Month = Annotated[
    str, Query(max_length=7, description="As `2026-10`; the last whole one if empty.")
]
Prices = Annotated[
    list[str],
    Query(
        max_length=PRICES_MAX,
        description="`place:price_nano`: a line by its place, nano-units of its currency a step.",
    ),
]
Discount = Annotated[int, Query(ge=0, le=PPM, description="Off what is charged without tax.")]


def agreement_routes(app: FastAPI, desk: OperatorDesk) -> None:
    """Add the pages, and the same as JSON."""
    _agreed(app, desk)
    _tried(app, desk)


def _agreed(app: FastAPI, desk: OperatorDesk) -> None:
    def listed(request: Request, party: str, cursor: str, limit: int) -> Page[AgreementRow]:
        found = desk.of(request, party).party_id
        return desk.read(
            lambda unit: agreements_view(desk.base, unit, found, cursor=cursor, limit=limit)
        )

    def one(request: Request, party: str, agreement: str) -> AgreementView:
        operator, found = _found(desk, request, party, agreement)
        return desk.read(lambda unit: agreement_view(desk.base, unit, operator, found))

    @app.get("/operator/{party}/agreements", include_in_schema=False)
    def pages(request: Request, party: Party, cursor: After = "") -> Response:
        found = listed(request, party, cursor, LIMIT)
        return desk.page(
            request, "agreements", found, "Agreements", operator=desk.of(request, party)
        )

    @app.get("/operator/{party}/agreements/{agreement}", include_in_schema=False)
    def page(request: Request, party: Party, agreement: Hash) -> Response:
        return desk.page(request, "agreement", one(request, party, agreement), "Agreement")

    @app.get(
        "/v1/operators/{party}/agreements",
        **operation(
            "operators", "Agreements of an operator", example=Page(items=[AGREEMENT_ROW], next=None)
        ),
    )
    def agreements(
        request: Request, party: Party, cursor: After = "", limit: Limit = LIMIT
    ) -> Page[AgreementRow]:
        """List the agreements that an operator is a side of, by hash."""
        return listed(request, party, cursor, limit)

    @app.get(
        "/v1/operators/{party}/agreements/{agreement}",
        **operation("operators", "One agreement of an operator", example=AGREEMENT),
    )
    def told(request: Request, party: Party, agreement: Hash) -> AgreementView:
        """Say what an agreement says: its lines with their prices, its deals, when it holds.

        `price_nano` are 1e-9 of the currency for `next_step` of `unit`; `plain_minor` is the same
        for `plain_per`, in 1e-6 of the currency to the nearest.
        """
        return one(request, party, agreement)


def _tried(app: FastAPI, desk: OperatorDesk) -> None:
    @app.get("/operator/{party}/agreements/{agreement}/what-if", include_in_schema=False)
    def page(request: Request, party: Party, agreement: Hash, month: Month = "") -> Response:
        operator, found = _found(desk, request, party, agreement)
        asked = request.query_params
        prices = {
            place: price
            for place in range(_lines(found))
            if (price := _price_nano(terms_at(found, place), asked.get(f"price-{place}", "")))
            is not None
        }
        discount_ppm = _share_ppm(asked.get("discount", ""))
        _check_month(month)
        view = desk.read(
            lambda unit: try_view(
                desk.base,
                unit,
                operator,
                found,
                month=month,
                prices=prices,
                discount_ppm=discount_ppm,
            )
        )
        typed = {name: text for name, text in asked.items() if name.startswith("price-")}
        typed["discount"] = asked.get("discount", "")
        return desk.page(request, "what-if", view, "What if", typed=typed)

    @app.get(
        "/v1/operators/{party}/agreements/{agreement}/what-if",
        **operation("operators", "Other prices tried on a month", example=TRIED),
    )
    def told(
        request: Request,
        party: Party,
        agreement: Hash,
        month: Month = "",
        price: Prices = [],  # noqa: B006 - FastAPI copies it
        discount_ppm: Discount = 0,
    ) -> TryView:
        """Say what a month's traffic would have cost at other prices, from sums by line and day.

        Nothing is changed. Amounts are 1e-6 of each line's currency, tax included; where the sums
        do not tell to the unit, `least_minor` and `most_minor` are bounds and `why` says of what.
        """
        operator, found = _found(desk, request, party, agreement)
        _check_month(month)
        prices = dict(_read(one, _lines(found)) for one in price)
        return desk.read(
            lambda unit: try_view(
                desk.base,
                unit,
                operator,
                found,
                month=month,
                prices=prices,
                discount_ppm=discount_ppm,
            )
        )


def _found(
    desk: OperatorDesk, request: Request, party: str, agreement: str
) -> tuple[PartyId, AnyAgreement]:
    operator = desk.of(request, party).party_id
    found = desk.read(lambda unit: agreement_of(desk.base, unit, operator, agreement))
    if found is None:
        raise HTTPException(404)
    return operator, found


def _lines(found: AnyAgreement) -> int:
    return len(found.tariffs if isinstance(found, Agreement) else found.lines)


def _check_month(month: str) -> None:
    if month and month_named(month) is None:
        raise HTTPException(422, "a month is written as 2026-10")


def _read(text: str, lines: int) -> tuple[int, int]:
    """Read `place:price_nano`; 422 for what is none, or of a line that is not there."""
    match = _TRIED.fullmatch(text)
    place, price = (int(match[1]), int(match[2])) if match else (lines, 0)
    if place >= lines or price > PRICE_MAX_NANO:
        raise HTTPException(422, "a price is place:price_nano, of a line of the agreement")
    return place, price


def _price_nano(terms: Terms, text: str) -> int | None:
    """Read a price as people write it, for the plain unit; nothing is no change, 422 for no price.

    It is rounded half up to a nano-unit a step: what is tried is a price that can be agreed.
    """
    value = _decimal(text)
    if value is None:
        return None
    size = PLAIN[terms.unit][1]
    whole = int(value * NANO * 10) * terms.next_step
    nano = (whole + 5 * size) // (10 * size)
    if not 0 <= nano <= PRICE_MAX_NANO:
        raise HTTPException(422, "not a price")
    return nano


def _share_ppm(text: str) -> int:
    """Read a percentage from 0 to 100; 422 for anything else."""
    value = _decimal(text)
    ppm = 0 if value is None else int(value * 10_000)
    if not 0 <= ppm <= PPM:
        raise HTTPException(422, "not a share")
    return ppm


def _decimal(text: str) -> Decimal | None:
    if not text.strip():
        return None
    try:
        value = Decimal(text.strip().replace(",", ".")) if len(text) <= DIGITS_MAX else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite() or not 0 <= value <= 10**9:
        raise HTTPException(422, "not a number")
    return value
