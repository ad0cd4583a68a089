"""Commands about the books: check them, export them."""

from __future__ import annotations

import sys

import typer

from opencarrier.app.cli.common import DEFAULT_DATA, AsJson, Data, group, installation, venue
from opencarrier.app.output import Exit, emit

ledger = group("ledger", "The books: double entry, one per asset, hash-chained.")

FINDINGS_MAX = 1_000


@ledger.command("check")
def ledger_check(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Recompute every balance and hash, and compare the books with the contracts.

    Example: opencarrier ledger check --json
    """
    from opencarrier.ledger import service

    with venue(data) as place:
        indexed = place.index.check(place.base.store.write)
        with place.base.store.read() as unit:
            audit = service.check(unit)
            reconciled = place.settlement.reconcile(unit, charges=True)
            booked_minor, held_minor = place.paywall.books(unit)
            sums = {str(asset): total for asset, total in service.sum_minor(unit).items()}
    findings = [*audit.findings, *(str(item) for item in reconciled.findings)][:FINDINGS_MAX]
    if booked_minor != held_minor:
        findings.append(f"the till has {held_minor}, its books say {booked_minor}")
    findings += [f"events and contract differ: {item}" for item in indexed.differences]
    emit(
        {
            "accounts": audit.accounts,
            "transfers": audit.transfers,
            "journal_entries": audit.entries,
            "sum_minor": sums,
            "agrees_with_contracts": reconciled.agrees and booked_minor == held_minor,
            "numbers_rebuilt_from_events": indexed.numbers,
            "findings": findings[:FINDINGS_MAX],
        },
        as_json=as_json,
    )
    if findings:
        raise typer.Exit(Exit.REFUSED)


@ledger.command("export")
def ledger_export(data: Data = DEFAULT_DATA) -> None:
    """Write the books as beancount text, with a balance assertion for every account.

    Example: opencarrier ledger export > books.beancount
    """
    from opencarrier.ledger import service

    with installation(data) as base, base.store.read() as unit:
        for line in service.export_beancount(unit):
            sys.stdout.write(line if line.endswith("\n") else line + "\n")


GROUPS = (ledger,)
