"""Commands for what use costs: agreements between operators, retail plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    asset_of,
    group,
    installation,
    taken,
)
from opencarrier.app.output import CommandError, Exit, emit, refused
from opencarrier.kernel.ids import to_hex

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from opencarrier.app.bootstrap import Installation
    from opencarrier.rating.agreements.rows import AnyAgreement

agreement = group("agreement", "Agreements: what one operator owes another for use.")
tariff = group("tariff", "Retail plans: what a subscriber pays its home operator.")

DOCUMENT_OCTETS_MAX = 1 << 20

File = Annotated[Path | None, typer.Argument(help="A document; see docs/guides/examples.")]
PriceNano = Annotated[
    int | None,
    typer.Option("--price-nano", min=0, help="Price of a step in billionths of the currency unit."),
]
Step = Annotated[int, typer.Option("--step", help="How much of the unit a step is.")]
Unit = Annotated[
    str,
    typer.Option("--unit", help="octets_total, octets_in, octets_out, duration_s or sessions."),
]
TaxPpm = Annotated[int, typer.Option("--tax-ppm", help="Tax in millionths of the price, on top.")]
MinimumMinor = Annotated[
    int, typer.Option("--minimum-minor", help="Least price of a session, minor units.")
]


@agreement.command("add")
def agreement_add(
    file: File = None,
    home: Annotated[str, typer.Option("--home", help="The home operator.")] = "",
    visited: Annotated[str, typer.Option("--visited", help="The visited operator.")] = "",
    price_nano: PriceNano = None,
    unit: Unit = "octets_total",
    step: Step = 1024,
    minimum_minor: MinimumMinor = 0,
    host_ppm: Annotated[int, typer.Option("--host-ppm", help="The host's share.")] = 600_000,
    protocol_ppm: Annotated[int, typer.Option("--protocol-ppm", help="The domain's share.")] = 0,
    tax_ppm: TaxPpm = 0,
    draft: Annotated[
        Path | None,
        typer.Option("--draft", help="Only write it here; the other installation signs it too."),
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Add an agreement that both operators signed, or make one that both can sign here.

    Example: opencarrier agreement add --home "Lumen Mobile" --visited "Baobab Telecom"
    --price-nano 1200 --step 1024 --host-ppm 600000
    """
    from opencarrier.app.terms import Terms, draft_agreement
    from opencarrier.rating.agreements.book import read_any
    from opencarrier.rating.cli import described

    with installation(data) as base:
        asset = asset_of(base)
        with base.store.write() as connection:
            if file is not None:
                made, signatures = read_any(_read(file))
                signed = {signature.kid for signature in signatures}
                ours = _sign(base, connection, made)
                signatures += tuple(s for s in ours if s.kid not in signed)
            else:
                _need(home=home, visited=visited, price_nano=price_nano)
                assert price_nano is not None
                terms = Terms(
                    unit=unit,
                    step=step,
                    price_nano=price_nano,
                    minimum_minor=minimum_minor,
                    tax_ppm=tax_ppm,
                )
                made = taken(
                    draft_agreement(
                        base,
                        connection,
                        asset,
                        home=home,
                        visited=visited,
                        terms=terms,
                        host_ppm=host_ppm,
                        protocol_ppm=protocol_ppm,
                    )
                )
                signatures = tuple(_sign(base, connection, made))
            _add(base, connection, made, signatures, draft)
    emit({**described(made), "asset": made.asset, "signatures": len(signatures)}, as_json=as_json)


@agreement.command("list")
def agreement_list(
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the documents here, one a line.")
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """List the agreements in force or that were; `--out` makes the book that `rate` takes.

    Example: opencarrier agreement list --out book.jsonl
    """
    from opencarrier.rating.agreements.book import write_any
    from opencarrier.rating.cli import described

    with installation(data) as base, base.store.read() as connection:
        made = base.rating.agreements(connection)
        documents = [
            write_any(item, tuple(base.rating.agreement_signatures(connection, item.hash)))
            for item in made
        ]
    if out is not None:
        out.write_text("".join(json.dumps(json.loads(text)) + "\n" for text in documents))
    told = {"agreements": [described(item) for item in made]}
    emit(told, as_json=as_json, empty="add one: opencarrier agreement add --help")


@agreement.command("sign")
def agreement_sign(
    file: Annotated[Path, typer.Argument(help="An agreement of either version.")],
    out: Annotated[Path, typer.Option("--out", help="Where the signed document goes.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Sign an agreement with the keys of the operators held here; the other side signs after.

    Example: opencarrier agreement sign agreement.json --out signed.json
    """
    from opencarrier.rating.cli import agreement_sign as sign

    with installation(data) as base, base.store.read() as connection:
        told = sign(base.rating, connection, file=file, notary=base.identity.notary)
    document = told.pop("document")
    if not told["signed_by"]:
        refused("no key of its parties is held here", "name the installation with --data")
    out.write_text(document)
    emit(told, as_json=as_json)


@agreement.command("adjustments")
def agreement_adjustments(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List what deals made of the periods that are over: tiers, commitments, access, credits.

    Example: opencarrier agreement adjustments --json
    """
    from opencarrier.rating.cli import agreement_adjustments as adjustments

    with installation(data) as base, base.store.read() as connection:
        found = adjustments(base.rating, connection)
    emit(found, as_json=as_json, empty="they come at the end of a deal's period")


@agreement.command("check")
def agreement_check(
    file: Annotated[Path, typer.Argument(help="An agreement, or one a line in a .jsonl file.")],
    as_json: AsJson = False,
) -> None:
    """Check agreements without an installation: what contradicts itself is named by its lines.

    Example: opencarrier agreement check docs/guides/examples/roaming-agreement.json --json
    """
    from opencarrier.rating.cli import agreement_check as check

    emit(check(file=file), as_json=as_json)


@tariff.command("add")
def tariff_add(
    file: File = None,
    operator: Annotated[str, typer.Option("--operator", help="The home operator.")] = "",
    plan: Annotated[str, typer.Option("--plan", help="The plan's id.")] = "",
    price_nano: PriceNano = None,
    unit: Unit = "octets_total",
    step: Step = 1024,
    minimum_minor: MinimumMinor = 0,
    tax_ppm: TaxPpm = 0,
    rate_cap: Annotated[
        int, typer.Option("--rate-cap", help="Octets a second a session can use at most.")
    ] = 1_250_000,
    session_s: Annotated[int, typer.Option("--session-s", help="Longest grant.")] = 3_600,
    interim_s: Annotated[
        int, typer.Option("--interim-s", help="Between reports, 60 at least.")
    ] = 300,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Add a retail plan of a home operator, from a document or from its terms.

    Example: opencarrier tariff add --operator "Lumen Mobile" --plan prepaid --price-nano 5200
    """
    from opencarrier.app.terms import Limits, Terms, draft_plan
    from opencarrier.rating.documents import read_plan

    with installation(data) as base:
        asset = asset_of(base)
        with base.store.write() as connection:
            if file is not None:
                made = read_plan(_read(file))
            else:
                _need(operator=operator, plan=plan, price_nano=price_nano)
                assert price_nano is not None
                made = taken(
                    draft_plan(
                        base,
                        connection,
                        asset,
                        operator=operator,
                        plan_id=plan,
                        terms=Terms(
                            unit=unit,
                            step=step,
                            price_nano=price_nano,
                            minimum_minor=minimum_minor,
                            tax_ppm=tax_ppm,
                        ),
                        limits=Limits(
                            rate_cap_octets_per_s=rate_cap,
                            session_s_max=session_s,
                            interim_s=interim_s,
                        ),
                    )
                )
            refusal = base.rating.add_plan(connection, made, at_us=base.clock.now_us())
            taken(refusal or made)
    emit(
        {"plan": made.plan_id, "plan_hash": to_hex(made.hash), "home": made.home},
        as_json=as_json,
    )


def _add(
    base: Installation, unit: Connection, made: AnyAgreement, signatures: Any, draft: Path | None
) -> None:
    """Add an agreement, or only write it where a draft is wanted."""
    from opencarrier.rating.agreements.book import write_any

    if draft is not None:
        draft.write_text(write_any(made, signatures))
        return
    refusal = base.rating.add_agreement(unit, made, signatures, at_us=base.clock.now_us())
    taken(refusal or made, "both operators sign the agreement's hash with their registered keys")


def _sign(base: Installation, unit: Connection, made: AnyAgreement) -> Any:
    return base.rating.sign_agreement(unit, made, base.identity.notary)


def _need(**values: Any) -> None:
    for name, value in values.items():
        if value in ("", None):
            option = "--" + name.replace("_", "-")
            raise CommandError(Exit.USAGE, f"{option} is missing", "name a FILE or give the terms")


def _read(file: Path) -> str:
    try:
        with file.open() as stream:
            return stream.read(DOCUMENT_OCTETS_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(Exit.USAGE, f"{file}: {error}", "name a document to read") from None


GROUPS = (agreement, tariff)
