"""Commands about disputes over a co-signed statement: open, answer, show, settle."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    digest_of,
    group,
    installation,
    taken,
)
from opencarrier.app.output import CommandError, Exit, emit

if TYPE_CHECKING:
    from opencarrier.clearing.disputes.rules import MoveKind

dispute = group("dispute", "Disputes: a difference that a co-signed statement leaves open.")

Exchange = Annotated[str, typer.Argument(help="The exchange, as 0x and 64 hex digits.")]
Usage = Annotated[str, typer.Argument(help="The usage, as 0x and 64 hex digits.")]
Url = Annotated[str, typer.Option("--url", help="The other installation over HTTP.")]


class Answer(Enum):
    """What the debtor answers, or both sides propose."""

    ACCEPT = "accept"
    CONTEST = "contest"
    AGREE = "agree"
    EVIDENCE = "evidence"


@dispute.command("open")
def dispute_open(
    exchange: Exchange, usage: Usage, url: Url, data: Data = DEFAULT_DATA, as_json: AsJson = False
) -> None:
    """Claim a disputed difference as its creditor; a twentieth of it is held as bond.

    Example: opencarrier dispute open 0x5ac1... 0x77d0... --url https://lumen.example
    """
    from opencarrier.clearing.disputes.rules import MoveKind

    _move(exchange, usage, url, MoveKind.OPEN, data=data, as_json=as_json)


@dispute.command("answer")
def dispute_answer(
    exchange: Exchange,
    usage: Usage,
    answer: Annotated[Answer, typer.Argument(help="What to say.")],
    url: Url,
    amount_minor: Annotated[
        int, typer.Option("--amount-minor", min=0, help="What to agree on, with `agree`.")
    ] = 0,
    evidence: Annotated[
        str, typer.Option("--evidence", help="SHA-256 of a document, with `evidence`.")
    ] = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Accept or contest a claim, name evidence, or agree on an amount; silence accepts.

    Example: opencarrier dispute answer 0x5ac1... 0x77d0... contest --url https://borea.example
    """
    from opencarrier.clearing.disputes.rules import MoveKind

    kind = MoveKind[answer.name]
    digest = digest_of(evidence, "evidence") if evidence else b""
    if bool(digest) is not (kind is MoveKind.EVIDENCE):
        raise CommandError(Exit.USAGE, "--evidence and `evidence` go together", "give both or none")
    _move(
        exchange,
        usage,
        url,
        kind,
        amount_minor=amount_minor,
        digest=digest,
        data=data,
        as_json=as_json,
    )


@dispute.command("show")
def dispute_show(
    exchange: Exchange, usage: Usage, data: Data = DEFAULT_DATA, as_json: AsJson = False
) -> None:
    """Show where a dispute stands, and until when it waits.

    Example: opencarrier dispute show 0x5ac1... 0x77d0... --json
    """
    from opencarrier.app import disputing
    from opencarrier.kernel.ids import Id

    with installation(data) as base:
        ids = Id(digest_of(exchange, "exchange")), Id(digest_of(usage, "usage"))
        told = taken(disputing.show(base, *ids))
    emit(told, as_json=as_json)


@dispute.command("settle")
def dispute_settle(
    exchange: Exchange,
    usage: Usage,
    out: Annotated[Path, typer.Option("--out", help="Where its corrections are written.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Release what was held for a dispute that is over; its corrections enter the next exchange.

    Example: opencarrier dispute settle 0x5ac1... 0x77d0... --out corrections.jsonl
    """
    from opencarrier.app import disputing
    from opencarrier.kernel.ids import Id

    with installation(data) as base:
        ids = Id(digest_of(exchange, "exchange")), Id(digest_of(usage, "usage"))
        told, lines = taken(disputing.settle(base, *ids))
    out.write_text(lines)
    emit(told, as_json=as_json)


def _move(
    exchange: str,
    usage: str,
    url: str,
    kind: MoveKind,
    *,
    amount_minor: int = 0,
    digest: bytes = b"",
    data: Path,
    as_json: bool,
) -> None:
    """Make a move and deliver it; the same again delivers it again."""
    from opencarrier.app import disputing
    from opencarrier.app.exchanging import PeerUnavailableError
    from opencarrier.kernel.ids import Id

    with installation(data) as base:
        ids = Id(digest_of(exchange, "exchange")), Id(digest_of(usage, "usage"))
        try:
            told = taken(
                disputing.deliver(base, url, *ids, kind, amount_minor=amount_minor, digest=digest)
            )
        except PeerUnavailableError as error:
            raise CommandError(Exit.UNKNOWN, str(error), "make the move again") from None
    emit(told, as_json=as_json)
