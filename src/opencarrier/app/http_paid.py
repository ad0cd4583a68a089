"""The paid routes: 402 until a payment comes, then what was bought, the same again if asked again.

402  pay, or why the payment does not pay; the offers in PAYMENT-REQUIRED
200  bought; PAYMENT-RESPONSE names the transaction, or where the channel stands
503  the payment is under way or the chain is away: the same request is safe, and the way on
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from opencarrier.app.api import operation
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.forms import market as forms
from opencarrier.app.problems import problem
from opencarrier.app.selling import Desk, Sell
from opencarrier.app.selling_by_channel import ChannelDesk, UnderWayError
from opencarrier.chain.errors import ChainError
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.paywall import rules
from opencarrier.paywall.by_channel import Bought
from opencarrier.paywall.model import (
    ChannelPayment,
    Kept,
    Offer,
    Payment,
    PaymentReason,
    Required,
    Sale,
    Settled,
    Way,
)
from opencarrier.paywall.service import RESOURCE_CHARACTERS_MAX
from opencarrier.paywall.wire.exchange import (
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    required_object,
    write_required,
    write_settled,
)
from opencarrier.paywall.wire.fields import HEADER_CHARACTERS_MAX
from opencarrier.paywall.wire.vouchers import read_any_payment
from opencarrier.spine.channels import ChannelStanding
from opencarrier.spine.usage import Counters

DIGITS_MAX = 15
RETRY_S = "2"

_STATUS = {
    "not_sold": 404,
    "unknown_subscriber": 404,
    "unknown_operator": 404,
    "too_often": 429,
    "too_many_open": 429,
    "cannot_settle": 503,
}
"""What is no fault of a payment has a status of its own; one that does not pay gets 402."""

MISMATCH = "cumulative_mismatch"
ENDED = '{"message":"the channel takes no more vouchers, what is left of it is given back"}'

_X402 = "invalid_batch_settlement_evm_"
X402_ERRORS = {
    MISMATCH: f"{_X402}cumulative_amount_mismatch",
    "unknown_channel": f"{_X402}channel_not_found",
    "other_terms": f"{_X402}channel_id_mismatch",
    "voucher_signature": f"{_X402}voucher_signature",
    "above_deposit": f"{_X402}cumulative_exceeds_balance",
    "would_revert": f"{_X402}deposit_simulation_failed",
    "refund_in_part": f"{_X402}refund_amount_invalid",
}
"""The standard's words for why a voucher buys nothing; its clients act on the first."""


def paid_routes(app: FastAPI, place: Onchain) -> None:
    """Add the paid routes."""
    desk = Desk(place)
    counter = Counter(desk)

    @app.post(
        "/v1/topup/{subscriber}",
        **_sold("Buy prepaid money", forms.SOLD, "The subscriber is nobody's here."),
    )
    def top_up(request: Request, subscriber: str, amount: str = "") -> Response:
        """Give a subscriber prepaid money, paid over HTTP 402."""
        sell = partial(desk.top_up, subscriber=subscriber, amount_minor=_number(amount) or 0)
        return counter.serve(request, sell)

    @app.get("/v1/quote", **_sold("Buy a signed price", forms.QUOTED, "Nothing is sold so."))
    def quote(request: Request, home: str = "", plan: str = "") -> Response:
        """Tell what use costs on a plan, signed, paid over HTTP 402."""
        counters = _counters(request)
        if counters is None:
            return problem(422, "bad_counters", f"whole numbers of at most {DIGITS_MAX} digits")
        return counter.serve(request, partial(desk.quote, home=home, plan=plan, counters=counters))


def _sold(summary: str, example: object, absent: str) -> dict[str, Any]:
    """Declare a route that is paid for."""
    told = operation(
        "paid",
        summary,
        example=example,
        model=type(example),
        refuses={
            404: absent,
            414: f"The address has over {RESOURCE_CHARACTERS_MAX} characters.",
            422: "What is asked for is not sold in this amount.",
            429: "Too many payments a second, or open at once.",
            431: f"The payment has over {HEADER_CHARACTERS_MAX} characters.",
            503: "The payment is under way, or the chain is away: the same request again is safe.",
        },
    )
    told["responses"][402] = forms.ASKS_TO_PAY
    return told


class Counter:
    """Answers requests for what the desk sells."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._place = desk.place
        sales = desk.place.channel_sales
        self._channels = None if sales is None else ChannelDesk(desk, sales)

    def serve(self, request: Request, sell: Sell) -> Response:
        """Ask for a payment, or take the one that came and give what it bought."""
        resource = f"{request.method} {request.url.path}?{request.url.query}"
        if len(resource) > RESOURCE_CHARACTERS_MAX:
            return problem(414, "too_long", f"{RESOURCE_CHARACTERS_MAX} characters at most")
        try:
            payment: Payment | ChannelPayment | None = _read(
                request.headers.getlist(PAYMENT_SIGNATURE)
            )
        except PeerError as error:
            status = 431 if error.reason == "header_too_long" else 400
            return problem(status, error.reason, error.detail)
        try:
            if isinstance(payment, ChannelPayment):
                return self._serve_by_channel(request, resource, sell, payment)
            return self._serve(request, resource, sell, payment)
        except UnderWayError:
            return _under_way("the deposit is not final yet")
        except (ChainError, PeerError) as error:
            return _under_way(f"the chain does not answer: {error}")

    def _serve(
        self, request: Request, resource: str, sell: Sell, payment: Payment | None
    ) -> Response:
        refusal: Refusal | None = None
        if payment is not None:
            bought = self._desk.buy(resource, payment, sell)
            if isinstance(bought, Kept):
                return self._given(payment, bought)
            refusal = bought
            if not isinstance(refusal.reason, PaymentReason) or refusal.code in _STATUS:
                return _problem_of(refusal)
        sale = self._desk.sale(resource, sell)
        if isinstance(sale, Refusal):
            return _problem_of(sale)
        return self._ask(request, sale, payment, refusal)

    def _serve_by_channel(
        self, request: Request, resource: str, sell: Sell, payment: ChannelPayment
    ) -> Response:
        """Give what a voucher bought, or end a channel; else ask again, with where it stands."""
        if self._channels is None:
            return problem(400, "scheme", "payments through channels are not taken here")
        if payment.way is Way.REFUND:
            outcome: Bought | ChannelStanding | Refusal = self._channels.give_back(
                resource, payment, sell
            )
        else:
            outcome = self._channels.buy(resource, payment, sell)
        if isinstance(outcome, Bought):
            settled = self._settled_by(payment, outcome.standing, outcome.sale.amount_minor)
            return _paid(outcome.sale.answer, settled)
        if isinstance(outcome, ChannelStanding):
            return _paid(ENDED, self._settled_by(payment, outcome, 0))
        if outcome.code in _STATUS:
            return _problem_of(outcome)
        sale = self._desk.sale(resource, sell)
        if isinstance(sale, Refusal):
            return _problem_of(sale)
        told = payment if outcome.code == MISMATCH else None
        offers = (self._place.paywall.offer(sale), self._channels.offer(sale, told))
        return self._required(request, sale, offers, X402_ERRORS.get(outcome.code, str(outcome)))

    def _settled_by(
        self, payment: ChannelPayment, standing: ChannelStanding, charged_minor: int
    ) -> Settled:
        return Settled(
            success=True,
            network=self._place.paywall.till.network,
            payer=payment.config.payer,
            amount_minor=charged_minor,
            charged_minor=charged_minor,
            standing=standing,
        )

    def _given(self, payment: Payment, bought: Kept) -> Response:
        """Give what was bought, or say that the payment is not through yet."""
        if not rules.is_answered(bought):
            return _under_way("the payment is not through yet")
        assert bought.place is not None, "a payment that is through has its place"
        return _paid(bought.sale.answer, self._settled(payment, tx_hash=bought.place.tx_hash))

    def _ask(
        self,
        request: Request,
        sale: Sale,
        payment: Payment | None,
        refusal: Refusal | None,
    ) -> Response:
        """Answer 402: what to pay, and what was wrong with the payment that came."""
        offers = [self._place.paywall.offer(sale)]
        if self._channels is not None:
            offers.append(self._channels.offer(sale))
        answer = self._required(request, sale, offers, "" if refusal is None else str(refusal))
        if payment is not None and refusal is not None:
            settled = self._settled(payment, error=refusal.code)
            answer.headers[PAYMENT_RESPONSE] = write_settled(settled)
        return answer

    def _required(
        self, request: Request, sale: Sale, offers: Sequence[Offer], error: str
    ) -> Response:
        required = Required(
            url=str(request.url), description=sale.description, offers=tuple(offers), error=error
        )
        headers = {PAYMENT_REQUIRED: write_required(required), "Cache-Control": "no-store"}
        return JSONResponse(required_object(required), status_code=402, headers=headers)

    def _settled(self, payment: Payment, *, tx_hash: bytes = b"", error: str = "") -> Settled:
        return Settled(
            success=not error,
            network=self._place.paywall.till.network,
            payer=Address(payment.authorization.sender),
            amount_minor=payment.authorization.amount_minor,
            tx_hash=tx_hash,
            error=error,
        )


def _paid(answer: str, settled: Settled) -> Response:
    headers = {PAYMENT_RESPONSE: write_settled(settled), "Cache-Control": "no-store"}
    return Response(answer, media_type="application/json", headers=headers)


def _read(headers: list[str]) -> Payment | ChannelPayment | None:
    """Read the payment of a request, None where there is none."""
    if not headers:
        return None
    if len(headers) > 1:
        raise PeerError("header_form", "one payment a request")
    if len(headers[0]) > HEADER_CHARACTERS_MAX:
        raise PeerError("header_too_long", f"{HEADER_CHARACTERS_MAX} characters at most")
    return read_any_payment(headers[0])


def _problem_of(refusal: Refusal) -> Response:
    status = _STATUS.get(refusal.code, 422)
    retry = {"Retry-After": RETRY_S} if status in (429, 503) else None
    return problem(status, refusal.code, refusal.detail, retry)


def _under_way(detail: str) -> Response:
    """Answer that the outcome is not known yet: the same request again is safe."""
    words = f"{detail}; send the same request with the same payment again"
    return problem(503, "payment_under_way", words, {"Retry-After": RETRY_S})


def _counters(request: Request) -> Counters | None:
    query = request.query_params
    numbers = [_number(query.get(name, "0")) for name in ("seconds", "octets_in", "octets_out")]
    if any(number is None for number in numbers):
        return None
    seconds, octets_in, octets_out = (number or 0 for number in numbers)
    return Counters(session_time_s=seconds, octets_in=octets_in, octets_out=octets_out)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None
