"""Commands about the till, where payments over HTTP 402 go: what it holds, paying out of it."""

from __future__ import annotations

from typing import Annotated

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    fresh_reference,
    group,
    operator_address,
    taken,
    venue,
)
from opencarrier.app.cli.people import Amount, Reference
from opencarrier.app.output import emit

till = group("till", "The till: what payments over HTTP 402 brought, and paying out of it.")


@till.command("status")
def till_status(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Say what the till holds in final blocks, and what of it is no payment's.

    Example: opencarrier chain till status --json
    """
    from opencarrier.app.errands import Errands
    from opencarrier.app.till import till_status as status

    with venue(data) as place:
        Errands(place).see_payments_through()
        with place.base.store.read() as unit:
            told = status(place, unit)
    emit(told, as_json=as_json)


@till.command("pay-out")
def till_pay_out(
    who: Annotated[str, typer.Argument(help="An operator's name or party id.")],
    amount_minor: Amount,
    reference: Reference = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Pay an operator at its address out of the till; the hub pays the gas.

    Example: opencarrier chain till pay-out "Lumen Mobile" 5000000 --reference november
    """
    from opencarrier.app.till import TillDesk

    with venue(data) as place:
        receiver = operator_address(place.base, who)
        name = reference or fresh_reference(place.base)
        told = taken(
            TillDesk(place).pay_out(receiver, amount_minor, reference=name),
            "see: opencarrier chain till status",
        )
    emit(told, as_json=as_json)
