"""The database and the books in it, read without changing anything."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from opencarrier.app import schema
from opencarrier.app.config import Settings
from opencarrier.app.doctor.machine import MIB
from opencarrier.app.doctor.model import Finding, Findings, broken, doubtful, good
from opencarrier.app.folder import Folder
from opencarrier.app.store import POOL_SIZE, Store, StoreError
from opencarrier.ledger import service as ledger

READ_THROUGH_OCTETS_MAX = 512 * MIB
PART = "database"
_RESTORE = "stop the process, keep the folder as it is, and restore the newest backup elsewhere"


def database_findings(folder: Folder, settings: Settings) -> Findings:
    """Whether the database answers, is whole, of this program's version, and its books balance."""
    try:
        store = Store(settings.database or folder.database)
        try:
            with store.read() as unit:
                yield from _looked_at(unit, folder, settings, embedded=store.embedded)
        finally:
            store.close()
    except StoreError as error:
        yield broken(PART, str(error), error.hint)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip()
        yield broken(PART, reason, _RESTORE if not settings.database else "see that it runs")


def _looked_at(
    unit: Connection, folder: Folder, settings: Settings, *, embedded: bool
) -> Iterator[Finding]:
    yield from _file(unit, folder) if embedded else _server(unit, settings)
    found = schema.version(unit)
    if found != schema.HEAD:
        yield doubtful(
            "schema",
            f"the data has schema {found}, this program {schema.HEAD}",
            _upgrade(folder, found, embedded=embedded),
        )
        return
    yield good("schema", f"{found}, as this program's")
    off = {str(asset): total for asset, total in ledger.sum_minor(unit).items() if total}
    if off:
        yield broken("books", f"do not sum to zero: {off}", _RESTORE)
    else:
        yield good("books", "every asset sums to zero")


def _upgrade(folder: Folder, found: str | None, *, embedded: bool) -> str:
    """What brings data and program together; nothing that a copy does not come before."""
    if found is not None and found > schema.HEAD:
        return "use the program that wrote the data, or a newer one"
    if not embedded:
        return "copy the database (pg_dump); then the next start of opencarrier up brings it up"
    here, before = shlex.quote(str(folder.root)), shlex.quote(f"{folder.root}-before")
    return f"cp -a {here} {before} && opencarrier up --data {here}"


def _file(unit: Connection, folder: Folder) -> Findings:
    size = folder.database.stat().st_size
    if size > READ_THROUGH_OCTETS_MAX:
        yield good(PART, f"{size // MIB:,} MiB, too large to read through here: backup does")
        return
    told = unit.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if told == "ok":
        yield good(PART, f"{size // MIB:,} MiB, whole")
    else:
        yield broken(PART, f"{folder.database}: {told}", _RESTORE)


def _server(unit: Connection, settings: Settings) -> Findings:
    def shown(name: str) -> str:
        return str(unit.exec_driver_sql(f"SHOW {name}").scalar())

    unsafe = [name for name in ("fsync", "full_page_writes") if shown(name) != "on"]
    if unsafe:
        words = " and ".join(unsafe)
        yield broken(PART, f"the server runs without {words}", f"set {words} = on, and restart it")
        return
    wanted, most = POOL_SIZE * (settings.workers + 1), int(shown("max_connections"))
    found = f"the server allows {most} connections, {wanted} may be wanted"
    if wanted > most:
        yield doubtful(PART, found, f"set max_connections to {2 * wanted} and restart it")
    else:
        yield good(PART, found)
