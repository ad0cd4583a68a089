"""Commands about running sessions: end one, serve it otherwise, see what became of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import DEFAULT_DATA, AsJson, Data, group, installation
from opencarrier.app.output import CommandError, Exit, emit
from opencarrier.kernel.ids import to_hex

if TYPE_CHECKING:
    from opencarrier.spine.access import Accepted

session = group("session", "Running sessions: Disconnect and CoA to whoever serves them.")

Authorisation = Annotated[
    str, typer.Argument(help="What the session was granted by: 32 hex digits, as `trace` shows.")
]
Reason = Annotated[str, typer.Option("--reason", help="A word for the record.")]
REASON_LENGTH_MAX = 64


@session.command("end")
def session_end(
    authorisation: Authorisation,
    reason: Reason = "operator",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Have a session ended; the running process brings the order there until it is answered.

    Example: opencarrier session end 00112233445566778899aabbccddeeff --reason fraud
    """
    authorisation_id = _authorisation(authorisation, reason)
    with installation(data) as base, base.store.write() as unit:
        at_us = base.clock.now_us()
        known = base.orders.disconnect(unit, authorisation_id, reason=reason, at_us=at_us)
    _placed(authorisation_id, "disconnect", known=known, as_json=as_json)


@session.command("change")
def session_change(
    authorisation: Authorisation,
    filter_id: Annotated[
        str | None, typer.Option(help="A filter the access point knows by this name.")
    ] = None,
    timeout_s: Annotated[int | None, typer.Option(help="Seconds it may go on.", min=1)] = None,
    rate: Annotated[
        int | None, typer.Option(help="Octets a second, in each direction.", min=1)
    ] = None,
    or_end: Annotated[
        bool, typer.Option("--or-end", help="End it where the access point will not.")
    ] = False,
    reason: Reason = "operator",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Have a session served otherwise (CoA).

    Example: opencarrier session change 00112233445566778899aabbccddeeff --rate 16000 --or-end
    """
    from opencarrier.spine.access import Change

    authorisation_id = _authorisation(authorisation, reason)
    change = Change(filter_id=filter_id, session_timeout_s=timeout_s, rate_octets_per_s=rate)
    if change == Change():
        raise CommandError(
            Exit.USAGE, "nothing is to change", "say --filter-id, --timeout-s or --rate"
        )
    with installation(data) as base, base.store.write() as unit:
        known = base.orders.change(
            unit,
            authorisation_id,
            change,
            reason=reason,
            at_us=base.clock.now_us(),
            or_end=or_end,
        )
    _placed(authorisation_id, "change", known=known, as_json=as_json)


@session.command("orders")
def session_orders(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show what was ordered and what became of it, the newest first.

    Example: opencarrier session orders --json
    """
    with installation(data) as base, base.store.read() as unit:
        lines = [asdict(line) for line in base.orders.lines(unit)]
    emit({"orders": lines}, as_json=as_json, empty="give one: opencarrier session end --help")


@session.command("terms")
def session_terms(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show what homes elsewhere agreed to of sessions here, the newest first.

    `digest` is over all of it; `signature` is the home's, the proof of the rate.

    Example: opencarrier session terms --json
    """
    with installation(data) as base, base.store.read() as unit:
        lines = [_terms(item) for item in base.accepted.lines(unit)]
    emit({"terms": lines}, as_json=as_json, empty="a session that is sold in band leaves them here")


def _terms(item: Accepted) -> dict[str, Any]:
    quote = item.offered.quote
    return {
        "authorisation": item.authorisation_id.hex(),
        "home": item.home,
        "visited": item.visited,
        "node": item.nas_identifier,
        "qos": item.offered.qos.name.lower(),
        "consortium": item.offered.rcoi.name.lower(),
        "currency": None if quote is None else quote.currency,
        "nano_per_kib": None if quote is None else quote.nano_per_kib,
        "granted_us": item.granted_us,
        "expires_us": item.expires_us,
        "digest": to_hex(item.digest),
        "signature": to_hex(item.signature) if item.signature else None,
    }


def _authorisation(text: str, reason: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 16:
        raise CommandError(Exit.USAGE, f"{text!r} is no authorisation", "32 hex digits name one")
    if not 0 < len(reason) <= REASON_LENGTH_MAX or not reason.isprintable():
        raise CommandError(Exit.USAGE, "a reason has 1 to 64 printable characters", "say less")
    return found


def _placed(authorisation_id: bytes, kind: str, *, known: bool, as_json: bool) -> None:
    if not known:
        raise CommandError(
            Exit.REFUSED,
            f"where {authorisation_id.hex()} is served is not known",
            "it was let in more than a day ago, elsewhere, or not at all",
        )
    emit({"authorisation": authorisation_id.hex(), "ordered": kind}, as_json=as_json)
