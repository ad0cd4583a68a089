"""The agent's own small file: sessions, the spool, statements, holders, the log of requests.

SQLite with a write-ahead log, synced at each commit; what is deleted is overwritten. One process
writes, one transaction at a time.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from opencarrier.access.agent import stored
from opencarrier.access.agent.holders import PORT_MAX, Entry, Held, covers, written_forms
from opencarrier.access.agent.payments import Carried, State
from opencarrier.access.agent.sessions import Accepted, Session
from opencarrier.access.agent.statement import BEGINNING, Signed
from opencarrier.access.wire.dictionary import AcctStatus, Code
from opencarrier.access.wire.radius import AUTHENTICATOR_OCTETS, Attribute, encode, parse
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import Id

VERSION = 2
CANDIDATES_MAX = 512
"""Rows of the spool that are looked at for what may be sent next."""

CHANNELS_PER_SESSION_MAX = 4
"""Channels whose newest payment is kept in one session; a device has one."""

ANSWERS_MAX = 1_000
BUSY_MS = 5_000
"""How long a transaction waits for that of another process."""

STOPPED, SILENT = 1, 2
"""How a session that is not open ended; one that fell silent goes on where it is heard of again."""

_SCHEMA = """
CREATE TABLE accepted (
  access_point TEXT, station TEXT, at_us INTEGER NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (access_point, station)) WITHOUT ROWID;
CREATE TABLE session (
  id INTEGER PRIMARY KEY AUTOINCREMENT, access_point TEXT NOT NULL, station TEXT NOT NULL,
  heard_us INTEGER NOT NULL, closed INTEGER NOT NULL, value BLOB NOT NULL);
CREATE INDEX session_open ON session (closed, access_point, station);
CREATE TABLE alias (
  access_point TEXT, acct_session_id TEXT, session INTEGER NOT NULL,
  PRIMARY KEY (access_point, acct_session_id)) WITHOUT ROWID;
CREATE INDEX alias_session ON alias (session);
CREATE TABLE spool (
  number INTEGER PRIMARY KEY AUTOINCREMENT, access_point TEXT NOT NULL, session INTEGER,
  status INTEGER NOT NULL, received_us INTEGER NOT NULL, delay_s INTEGER NOT NULL,
  packet BLOB NOT NULL);
CREATE INDEX spool_session ON spool (session, number);
CREATE TABLE statement (
  session INTEGER, sequence INTEGER, at_us INTEGER NOT NULL, acct_session_id TEXT NOT NULL,
  value BLOB NOT NULL, PRIMARY KEY (session, sequence)) WITHOUT ROWID;
CREATE INDEX statement_at ON statement (at_us);
CREATE TABLE holder (
  address TEXT, port_from INTEGER, port_to INTEGER, session INTEGER, access_point TEXT NOT NULL,
  station TEXT NOT NULL, user_name BLOB NOT NULL, cui BLOB NOT NULL,
  acct_session_id TEXT NOT NULL, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL,
  PRIMARY KEY (address, port_from, port_to, session)) WITHOUT ROWID;
CREATE INDEX holder_to ON holder (to_us);
CREATE TABLE who_log (number INTEGER PRIMARY KEY, value BLOB NOT NULL);
"""
_SECOND = """
CREATE TABLE payment (
  session INTEGER, channel BLOB, number INTEGER NOT NULL UNIQUE, state TEXT NOT NULL,
  reason TEXT NOT NULL, voucher BLOB NOT NULL, ack BLOB NOT NULL,
  PRIMARY KEY (session, channel)) WITHOUT ROWID;
CREATE INDEX session_station ON session (station, closed);
CREATE INDEX payment_waiting ON payment (state, number);
"""
"""The newest payment of each channel in each session; `number` rises with each that is kept."""

_STEPS = (_SCHEMA, _SECOND)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A report in the spool; `session` is None for an Accounting-On or -Off."""

    number: int
    access_point: str
    session: int | None
    received_us: int
    delay_s: int
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Who held an address: the station, the home's names for it, and from when to when."""

    held: Held
    access_point: str
    station: str
    user_name: bytes
    cui: bytes
    acct_session_id: str
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Brought:
    """A channel's newest payment in a session, and where it stands."""

    channel: bytes
    state: State
    reason: str
    carried: Carried


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """How much the file holds."""

    waiting: int
    waiting_octets: int
    oldest_us: int | None
    sessions_open: int
    statements: int
    payments_waiting: int


class AgentStore:
    """The open file; `with store.write():` makes what is done in it whole or nothing."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.close(descriptor)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_MS / 1_000)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        self._begin()
        row = self._db.execute("SELECT COALESCE(SUM(LENGTH(packet)), 0) FROM spool").fetchone()
        self.spooled_octets: int = row[0]

    def _begin(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise sqlite3.DatabaseError(f"the file is of version {version}, not {VERSION}")
        if version < VERSION:
            steps = ";".join(_STEPS[version:])
            self._db.executescript(f"BEGIN;{steps};PRAGMA user_version={VERSION};COMMIT;")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Commit what is done inside as a whole; nothing of it where it raises."""
        octets = self.spooled_octets
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            crashpoint("node.before_commit")
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            self.spooled_octets = octets
            raise
        crashpoint("node.committed")

    # What stations were accepted with, and their sessions.

    def accept(self, access_point: str, station: str, accepted: Accepted, at_us: int) -> None:
        """Keep what the newest Access-Accept gave a station."""
        self._db.execute(
            "INSERT OR REPLACE INTO accepted VALUES (?, ?, ?, ?)",
            (access_point, station, at_us, stored.accepted_octets(accepted)),
        )

    def accepted(self, access_point: str, station: str) -> Accepted | None:
        """Return what a station was last accepted with."""
        row = self._db.execute(
            "SELECT value FROM accepted WHERE access_point = ? AND station = ?",
            (access_point, station),
        ).fetchone()
        return stored.read_accepted(row[0]) if row else None

    def session(self, access_point: str, acct_session_id: str) -> tuple[int, Session] | None:
        """Return the session an Acct-Session-Id names."""
        row = self._db.execute(
            "SELECT session.id, value FROM alias JOIN session ON session.id = alias.session"
            " WHERE alias.access_point = ? AND alias.acct_session_id = ?",
            (access_point, acct_session_id),
        ).fetchone()
        return (row[0], stored.read_session(row[1])) if row else None

    def open_sessions(
        self, access_point: str | None = None, station: str | None = None
    ) -> list[tuple[int, Session]]:
        """Return open sessions: all, those of an access point, or of one station there."""
        rows = self._db.execute(
            "SELECT id, value FROM session WHERE closed = 0"
            " AND (?1 IS NULL OR access_point = ?1) AND (?2 IS NULL OR station = ?2) ORDER BY id",
            (access_point, station),
        )
        return [(number, stored.read_session(value)) for number, value in rows]

    def count_open(self) -> int:
        """Count open sessions."""
        return int(self._db.execute("SELECT COUNT(*) FROM session WHERE closed = 0").fetchone()[0])

    def put_session(self, number: int | None, session: Session, alias: str) -> int:
        """Keep a session as it stands now, under one more name; return its number."""
        value = stored.session_octets(session)
        if number is None:
            done = self._db.execute(
                "INSERT INTO session (access_point, station, heard_us, closed, value)"
                " VALUES (?, ?, ?, ?, ?)",
                (session.access_point, session.station, session.heard_us, session.closed, value),
            )
            assert done.lastrowid is not None
            number = done.lastrowid
        else:
            self._db.execute(
                "UPDATE session SET heard_us = ?, closed = ?, value = ? WHERE id = ?",
                (session.heard_us, session.closed, value, number),
            )
        self._db.execute(
            "INSERT OR REPLACE INTO alias VALUES (?, ?, ?)", (session.access_point, alias, number)
        )
        return number

    def go_on(self, number: int, session: Session) -> None:
        """Keep a session as it stands now; one that was closed stays so."""
        self._db.execute(
            "UPDATE session SET value = ? WHERE id = ?", (stored.session_octets(session), number)
        )

    def close_sessions(self, *, access_point: str | None = None, before_us: int) -> int:
        """Close an access point's open sessions, or all, that were last heard before an instant."""
        return self._db.execute(
            "UPDATE session SET closed = ?3 WHERE closed = 0 AND heard_us < ?1"
            " AND (?2 IS NULL OR access_point = ?2)",
            (before_us, access_point, SILENT),
        ).rowcount

    # The spool.

    def spool(
        self,
        access_point: str,
        session: int | None,
        status: int,
        attributes: Sequence[Attribute],
        *,
        received_us: int,
        delay_s: int,
    ) -> None:
        """Keep a report until it is delivered."""
        packet = encode(Code.ACCOUNTING_REQUEST, 0, bytes(AUTHENTICATOR_OCTETS), attributes)
        self._db.execute(
            "INSERT INTO spool (access_point, session, status, received_us, delay_s, packet)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (access_point, session, int(status), received_us, delay_s, packet),
        )
        self.spooled_octets += len(packet)

    def waiting(self) -> list[Waiting]:
        """Return the oldest reports, in the order they came."""
        rows = self._db.execute(
            "SELECT number, access_point, session, received_us, delay_s, packet FROM spool"
            " ORDER BY number LIMIT ?",
            (CANDIDATES_MAX,),
        )
        return [
            Waiting(number, point, session, received_us, delay_s, parse(packet).attributes)
            for number, point, session, received_us, delay_s, packet in rows
        ]

    def remove(self, numbers: Sequence[int]) -> None:
        """Take reports out of the spool: delivered, superseded or too old."""
        for number in numbers:
            row = self._db.execute(
                "DELETE FROM spool WHERE number = ? RETURNING LENGTH(packet)", (number,)
            ).fetchone()
            self.spooled_octets -= row[0] if row else 0

    def superseded(self) -> list[int]:
        """Return the Interim-Updates that a later report of their session says all of."""
        rows = self._db.execute(
            "SELECT number FROM spool AS early WHERE status = ? AND EXISTS (SELECT 1 FROM spool"
            " AS late WHERE late.session = early.session AND late.number > early.number)",
            (int(AcctStatus.INTERIM_UPDATE),),
        )
        return [row[0] for row in rows]

    def older(self, before_us: int) -> list[int]:
        """Return the reports received before an instant."""
        rows = self._db.execute("SELECT number FROM spool WHERE received_us < ?", (before_us,))
        return [row[0] for row in rows]

    # Statements.

    def put_statement(self, session: int, signed: Signed, at_us: int) -> None:
        """Keep a signed statement; its place in the session's chain is taken once."""
        told = signed.statement
        self._db.execute(
            "INSERT INTO statement VALUES (?, ?, ?, ?, ?)",
            (session, told.sequence, at_us, told.acct_session_id, stored.signed_octets(signed)),
        )

    def statements(self, acct_session_id: str | None = None) -> Iterator[Signed]:
        """Yield statements, each session's in their order."""
        rows = self._db.execute(
            "SELECT value FROM statement WHERE ?1 IS NULL OR acct_session_id = ?1"
            " ORDER BY session, sequence",
            (acct_session_id,),
        )
        return (stored.read_signed(row[0]) for row in rows)

    # Who held an address.

    def hold(self, session: int, of: Session, held: Held, at_us: int) -> None:
        """Note that a session has an address at an instant: from the first note to the last."""
        self._db.execute(
            "INSERT INTO holder VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET to_us = MAX(to_us, excluded.to_us),"
            " from_us = MIN(from_us, excluded.from_us)",
            (
                *(held.address, held.port_from, held.port_to, session),
                *(of.access_point, of.station, of.accepted.user_name, of.accepted.cui),
                *(of.acct_session_id, at_us, at_us),
            ),
        )

    def hold_on(self, session: int, since_us: int, at_us: int) -> None:
        """Let a session keep the addresses it had at its last packet, as this one names none."""
        self._db.execute(
            "UPDATE holder SET to_us = MAX(to_us, ?) WHERE session = ? AND to_us >= ?",
            (at_us, session, since_us),
        )

    def holders(self, address: str, port: int | None, at_us: int) -> list[Holding]:
        """Return who held an address, however it is written, perhaps a port, at an instant."""
        asked = str(ip_address(address))
        rows = self._db.execute(
            "SELECT address, port_from, port_to, access_point, station, user_name, cui,"
            " acct_session_id, from_us, to_us FROM holder WHERE from_us <= ?1 AND to_us >= ?1"
            " AND (?2 IS NULL OR port_from <= ?2 AND port_to >= ?2)"
            " AND (address = ?3 OR address LIKE '%/%') ORDER BY from_us",
            (at_us, port, asked),
        )
        found = [
            Holding(
                held=Held(*row[:3]),
                access_point=row[3],
                station=row[4],
                user_name=row[5],
                cui=row[6],
                acct_session_id=row[7],
                from_us=row[8],
                to_us=row[9],
            )
            for row in rows
            if covers(row[0], asked)
        ]
        return found[:ANSWERS_MAX]

    def log(self, entry: Entry) -> None:
        """Add a line to the log of requests."""
        self._db.execute(
            "INSERT INTO who_log VALUES (?, ?)", (entry.number, stored.entry_octets(entry))
        )

    def log_entries(self) -> Iterator[Entry]:
        """Yield the log of requests, the oldest first."""
        rows = self._db.execute("SELECT value FROM who_log ORDER BY number")
        return (stored.read_entry(row[0]) for row in rows)

    def log_end(self) -> tuple[int, Id]:
        """Return the next line's number and what it names as the line before."""
        row = self._db.execute("SELECT value FROM who_log ORDER BY number DESC LIMIT 1").fetchone()
        if row is None:
            return 0, BEGINNING
        last = stored.read_entry(row[0])
        return last.number + 1, last.head

    def session_of(self, station: str) -> tuple[int, Session] | None:
        """Return a station's open session: the one that was heard of last."""
        row = self._db.execute(
            "SELECT id, value FROM session WHERE closed = 0 AND station = ?"
            " ORDER BY heard_us DESC, id DESC LIMIT 1",
            (station,),
        ).fetchone()
        return (row[0], stored.read_session(row[1])) if row else None

    def session_holding(self, address: str) -> tuple[int, Session] | None:
        """Return the open session an address is held by now: the one that came to it last."""
        row = self._db.execute(
            "SELECT session.id, session.value FROM holder JOIN session ON session.id ="
            " holder.session WHERE session.closed = 0 AND port_from = 0 AND port_to = ?"
            " AND address IN (SELECT value FROM json_each(?))"
            " ORDER BY holder.from_us DESC, session.id DESC LIMIT 1",
            (PORT_MAX, json.dumps(written_forms(address))),
        ).fetchone()
        return (row[0], stored.read_session(row[1])) if row else None

    # Payments of devices, on their way to the home.

    def keep_payment(self, session: int, channel: bytes, carried: Carried) -> None:
        """Keep the newest payment of a channel; beyond the limit the one kept longest goes."""
        self._db.execute(
            "INSERT OR REPLACE INTO payment SELECT ?, ?, COALESCE(MAX(number), 0) + 1, ?, '', ?, ?"
            " FROM payment",
            (session, channel, State.WAITING, carried.voucher, carried.ack),
        )
        self._db.execute(
            "DELETE FROM payment WHERE session = ?1 AND number NOT IN (SELECT number FROM payment"
            " WHERE session = ?1 ORDER BY number DESC LIMIT ?2)",
            (session, CHANNELS_PER_SESSION_MAX),
        )

    def payments(self, session: int) -> list[Brought]:
        """Return a session's payments, the newest first."""
        rows = self._db.execute(
            "SELECT channel, state, reason, voucher, ack FROM payment WHERE session = ?"
            " ORDER BY number DESC",
            (session,),
        )
        return [
            Brought(channel, State(state), reason, Carried(voucher, ack))
            for channel, state, reason, voucher, ack in rows
        ]

    def next_payment(self, session: int) -> Carried | None:
        """Return the payment of a session that has waited longest for a report to go with."""
        row = self._db.execute(
            "SELECT voucher, ack FROM payment WHERE session = ? AND state = ?"
            " ORDER BY number LIMIT 1",
            (session, State.WAITING),
        ).fetchone()
        return Carried(*row) if row else None

    def judge_payment(self, session: int, carried: Carried, state: State, reason: str) -> None:
        """Note where a payment went; one that was replaced meanwhile still waits."""
        self._db.execute(
            "UPDATE payment SET state = ?, reason = ?"
            " WHERE session = ? AND voucher = ? AND ack = ?",
            (state, reason, session, carried.voucher, carried.ack),
        )

    def refuse_payments(self, session: int, reason: str) -> None:
        """Give up a session's payments that wait: nothing can be sent for it."""
        self._db.execute(
            "UPDATE payment SET state = ?, reason = ? WHERE session = ? AND state = ?",
            (State.REFUSED, reason, session, State.WAITING),
        )

    def stranded(self) -> list[tuple[int, Session]]:
        """Return the sessions whose payments wait and that have no report to go with."""
        rows = self._db.execute(
            "SELECT DISTINCT session.id, session.value FROM payment JOIN session ON session.id ="
            " payment.session WHERE state = ? AND NOT EXISTS (SELECT 1 FROM spool"
            " WHERE spool.session = payment.session) ORDER BY session.id LIMIT ?",
            (State.WAITING, CANDIDATES_MAX),
        )
        return [(number, stored.read_session(value)) for number, value in rows]

    # Housekeeping.

    def forget_holders(self, before_us: int) -> None:
        """Delete who held an address for the last time before an instant."""
        self._db.execute("DELETE FROM holder WHERE to_us < ?", (before_us,))

    def forget(self, *, statements_us: int, holders_us: int, sessions_us: int) -> None:
        """Delete what was kept long enough: each kind up to an instant.

        A silent session is kept as long as who held its address: were it forgotten and then heard
        of again, its chain would begin a second time.
        """
        self.forget_holders(holders_us)
        self._db.execute(
            "DELETE FROM statement WHERE at_us < ? AND session NOT IN"
            " (SELECT id FROM session WHERE closed = 0)",
            (statements_us,),
        )
        self._db.execute("DELETE FROM accepted WHERE at_us < ?", (sessions_us,))
        self._db.execute(
            "DELETE FROM session WHERE (closed = ?1 AND heard_us < ?2 OR closed = ?3 AND"
            " heard_us < ?4) AND id NOT IN (SELECT session FROM spool WHERE session IS NOT NULL)",
            (STOPPED, sessions_us, SILENT, min(sessions_us, holders_us)),
        )
        self._db.execute("DELETE FROM alias WHERE session NOT IN (SELECT id FROM session)")
        self._db.execute("DELETE FROM payment WHERE session NOT IN (SELECT id FROM session)")

    def wipe(self) -> None:
        """Empty the write-ahead log, where what was deleted still stands as it was written.

        While another process reads, it is left for the next time: nobody waits for a reader.
        """
        self._db.execute("PRAGMA busy_timeout=0")
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._db.execute(f"PRAGMA busy_timeout={BUSY_MS}")

    def stock(self) -> Stock:
        """Count what the file holds."""
        waiting, oldest_us = self._db.execute(
            "SELECT COUNT(*), MIN(received_us) FROM spool"
        ).fetchone()
        (statements,) = self._db.execute("SELECT COUNT(*) FROM statement").fetchone()
        (payments_waiting,) = self._db.execute(
            "SELECT COUNT(*) FROM payment WHERE state = ?", (State.WAITING,)
        ).fetchone()
        return Stock(
            waiting=waiting,
            waiting_octets=self.spooled_octets,
            oldest_us=oldest_us,
            sessions_open=self.count_open(),
            statements=statements,
            payments_waiting=payments_waiting,
        )


def sendable(rows: Sequence[Waiting], in_flight: frozenset[int], most: int) -> list[Waiting]:
    """Return what may be sent now: the order within a session, and around On and Off, is kept.

    One report a session at a time; an On or Off waits for all before it, and all after it wait.
    """
    chosen: list[Waiting] = []
    busy: set[int] = set()
    ahead: dict[str, int] = {}
    barred: set[str] = set()
    for row in rows:
        point, before = row.access_point, ahead.get(row.access_point, 0)
        ahead[point] = before + 1
        if point in barred:
            continue
        if row.session is None:
            barred.add(point)
            free = before == 0
        else:
            free = row.session not in busy
            busy.add(row.session)
        if free and row.number not in in_flight and len(chosen) < most:
            chosen.append(row)
    return chosen
