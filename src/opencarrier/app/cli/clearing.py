"""Commands about the clearing of a rated month."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import AsJson
from opencarrier.app.output import CommandError, Exit, emit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opencarrier.spine.money import Due

MODES = ("bilateral", "circular", "ccp")


Adjustments = Annotated[
    list[Path] | None,
    typer.Option("--adjustments", help="A file `adjust` made, for this cycle alone."),
]
Agreements = Annotated[
    Path | None, typer.Option("--agreements", help="With adjustments: the agreements of them.")
]
Invoiced = Annotated[
    Path | None,
    typer.Option("--invoiced", help="The cleared month that adjustments correct; else this."),
]
Corrects = Annotated[
    Path | None,
    typer.Option("--corrects", help="The month cleared before: only what differs is owed."),
]
SecretFile = Annotated[
    Path,
    typer.Option(
        "--secret-file", help="64 hex digits that hide this cycle's leaves; made if missing."
    ),
]
Pledges = Annotated[Path | None, typer.Option("--pledges", help="CSV: asset, party, amount_minor.")]
Parties = Annotated[Path | None, typer.Option("--parties", help="CSV: party, jurisdiction.")]
Matched = Annotated[
    Path | None, typer.Option("--matched", help="What `match` made of the usage records.")
]
Usage = Annotated[Path | None, typer.Option("--usage", help="With --matched: those usage records.")]


def clear(
    rated: Annotated[Path, typer.Option("--rated", help="The folder `rate` made.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the results.")],
    secret_file: SecretFile,
    mode: Annotated[str, typer.Option("--mode", help="bilateral, circular or ccp.")] = "circular",
    counterparty: Annotated[
        str, typer.Option("--counterparty", help="With ccp: who takes every obligation over.")
    ] = "",
    pledges: Pledges = None,
    parties: Parties = None,
    domain: Annotated[str, typer.Option("--domain", help="The clearing domain.")] = "opencarrier",
    sequence: Annotated[int, typer.Option("--sequence", help="The cycle's number.")] = 0,
    ledger: Annotated[
        bool, typer.Option("--ledger/--no-ledger", help="Book the positions as holds.")
    ] = True,
    statements: Annotated[
        str, typer.Option("--statements", help="none, csv, or pdf: CSV and invoices as PDF.")
    ] = "csv",
    adjustments: Adjustments = None,
    agreements: Agreements = None,
    invoiced: Invoiced = None,
    corrects: Corrects = None,
    matched: Matched = None,
    usage: Usage = None,
    as_json: AsJson = False,
) -> None:
    """Clear a rated month: positions with a root over every record, netted, a folder a party.

    Example: opencarrier clear --rated rated --out cleared --secret-file june.secret --sequence 6
    """
    from opencarrier.app.system import SystemClock
    from opencarrier.clearing import month
    from opencarrier.clearing.netting import NettingMode
    from opencarrier.kernel.refusals import PeerError

    _check_words(mode, statements, month.STATEMENTS)
    _check_apart(corrects, adjustments, matched)
    _check_there(
        *(rated, pledges, parties, agreements, invoiced, corrects, matched, usage),
        *(adjustments or ()),
    )
    order: dict[str, Any] = {
        "pledges": _pledges(pledges) if pledges else {},
        "jurisdictions": _jurisdictions(parties) if parties else {},
        "counterparty": counterparty or None,
        "statements": statements,
        "corrects": corrects,
        "invoiced": invoiced,
        "post_at_us": SystemClock().now_us() if ledger else None,
        **_outcomes(matched, usage),
        "dues": _dues(adjustments, agreements) if adjustments else (),
    }
    try:
        cleared = month.clear(
            month.Order(
                rated=rated,
                out=out,
                domain=domain,
                sequence=sequence,
                mode=NettingMode[mode.upper()],
                secret=_secret(secret_file),
                **order,
            )
        )
    except PeerError as error:
        raise CommandError(Exit.REFUSED, str(error), "see: opencarrier clear --help") from None
    emit(cleared.as_mapping(), as_json=as_json)


def _check_words(mode: str, statements: str, known: tuple[str, ...]) -> None:
    if mode not in MODES:
        raise CommandError(Exit.USAGE, f"there is no mode {mode!r}", f"one of {', '.join(MODES)}")
    if statements not in known:
        hint = f"one of {', '.join(known)}"
        raise CommandError(Exit.USAGE, f"no statements as {statements!r}", hint)


def _check_apart(
    corrects: Path | None, adjustments: list[Path] | None, matched: Path | None
) -> None:
    if corrects is not None and adjustments:
        raise CommandError(Exit.USAGE, "--corrects or --adjustments", "clear one after the other")
    if corrects is not None and matched is not None:
        raise CommandError(Exit.USAGE, "--corrects or --matched", "what was corrected has no rung")


def _check_there(*given: Path | None) -> None:
    for path in given:
        if path is not None and not path.exists():
            raise CommandError(Exit.ENVIRONMENT, f"{path} is not there", "name what exists")


def _outcomes(matched: Path | None, usage: Path | None) -> dict[str, Path | None]:
    if (matched is None) != (usage is None):
        raise CommandError(Exit.USAGE, "--matched goes with --usage", "name both, or neither")
    return {"matched": matched, "usage": usage}


def _dues(adjustments: list[Path], agreements: Path | None) -> list[Due]:
    """Read adjustments, each made again from its inputs, and exchange them to their assets."""
    from opencarrier.kernel.refusals import PeerError
    from opencarrier.rating.agreements.book import read_book
    from opencarrier.rating.engine.deals import dues_of, read_adjustments
    from opencarrier.rating.terms import DocumentError

    if agreements is None:
        raise CommandError(Exit.USAGE, "--agreements is missing", "adjustments are of agreements")
    try:
        book = read_book(agreements.read_text(), str(agreements))
        made = [one for path in adjustments for one in read_adjustments(path.read_text())]
        return dues_of(book, made)
    except DocumentError as error:
        raise CommandError(Exit.REFUSED, error.what, error.hint) from None
    except PeerError as error:
        raise CommandError(Exit.REFUSED, str(error), "see: opencarrier adjust --help") from None


def _secret(path: Path) -> bytes:
    """Read a cycle's secret; one that is missing is made, readable for its owner alone."""
    from opencarrier.app.system import SystemEntropy

    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(SystemEntropy().octets("clearing/secret", 32).hex() + "\n")
    try:
        secret = bytes.fromhex(path.read_text().strip())
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise CommandError(Exit.USAGE, f"{path} holds no secret", "64 hex digits")
    return secret


def _pledges(path: Path) -> dict[str, dict[str, int]]:
    told: dict[str, dict[str, int]] = {}
    for number, row in _rows(path, ("asset", "party", "amount_minor")):
        amount = row["amount_minor"]
        of_asset = told.setdefault(row["asset"], {})
        if not amount.isascii() or not amount.isdigit() or row["party"] in of_asset:
            raise CommandError(
                Exit.USAGE, f"{path} line {number}: no pledge", "one amount in digits a party"
            )
        of_asset[row["party"]] = int(amount)
    return told


def _jurisdictions(path: Path) -> dict[str, str]:
    return {row["party"]: row["jurisdiction"] for _, row in _rows(path, ("party", "jurisdiction"))}


def _rows(path: Path, names: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if not set(names) <= set(reader.fieldnames or ()):
            raise CommandError(Exit.USAGE, f"{path} has no such columns", ", ".join(names))
        for row in reader:
            if any(not row[name] for name in names):
                line = f"{path} line {reader.line_num}"
                raise CommandError(Exit.USAGE, f"{line}: a field is empty", ", ".join(names))
            yield reader.line_num, row
