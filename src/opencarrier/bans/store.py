"""The tables of bans. Amounts are decimal text: the contract's go beyond 64 bits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    CompoundSelect,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    delete,
    func,
    literal,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert

from opencarrier.bans.model import Case, Draft, reason_hash
from opencarrier.chain.contracts import Stage
from opencarrier.chain.typed_data import BanStatement
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.signatures import Address

metadata = MetaData()

cases = Table(
    "bans_case",
    metadata,
    Column("ban_id", LargeBinary(32), primary_key=True),
    Column("node_key", LargeBinary(32), nullable=False),
    Column("reason_hash", LargeBinary(32), nullable=False),
    Column("evidence_root", LargeBinary(32), nullable=False),
    Column("starts_s", BigInteger, nullable=False),
    Column("ends_s", BigInteger, nullable=False),
    Column("escrow_minor", String(78), nullable=False),
    Column("tx_hash", LargeBinary(32), nullable=False),
    Column("block_number", BigInteger, nullable=False, index=True),
    Column("log_index", Integer, nullable=False),
    Index("bans_case_of_node", "node_key", "block_number", "log_index"),
)

steps = Table(
    "bans_step",
    metadata,
    Column("ban_id", LargeBinary(32), primary_key=True),
    Column("stage", Integer, primary_key=True),
    Column("due_s", BigInteger, nullable=False),
    Column("grounds_hash", LargeBinary(32), nullable=False),
    Column("block_number", BigInteger, nullable=False, index=True),
)

undecided_cases = Table(
    "bans_undecided",
    metadata,
    Column("ban_id", LargeBinary(32), primary_key=True),
    Column("stage", Integer, nullable=False),
    Column("due_s", BigInteger, nullable=False),
    Index("bans_undecided_due", "due_s", "ban_id"),
    Index("bans_undecided_stage", "stage", "due_s"),
)
"""The last step of cases that are neither upheld nor lifted: all others are not looked through."""

drafts = Table(
    "bans_draft",
    metadata,
    Column("ban_id", LargeBinary(32), primary_key=True),
    Column("node_id", String(64), nullable=False),
    Column("node_key", LargeBinary(32), nullable=False, index=True),
    Column("code", String(32), nullable=False),
    Column("evidence_root", LargeBinary(32), nullable=False),
    Column("starts_s", BigInteger, nullable=False),
    Column("ends_s", BigInteger, nullable=False),
    Column("slash_minor", BigInteger, nullable=False),
    Column("by", String(48), nullable=False),
    Column("made_us", BigInteger, nullable=False),
)

signatures = Table(
    "bans_signature",
    metadata,
    Column("ban_id", LargeBinary(32), primary_key=True),
    Column("signer", String(42), primary_key=True),
    Column("signature", LargeBinary(65), nullable=False),
)

words = Table(
    "bans_words",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("words", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False, server_default="0"),
)


proposed = Table(
    "bans_proposed",
    metadata,
    Column("node_key", LargeBinary(32), primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),
    Column("words", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)


def add_case(unit: Connection, row: dict[str, Any]) -> None:
    """Keep a ban that the registry took."""
    unit.execute(cases.insert(), row)


def add_step(
    unit: Connection,
    ban_id: bytes,
    stage: Stage,
    *,
    block_number: int,
    due_s: int = 0,
    grounds_hash: bytes = bytes(32),
) -> None:
    """Keep how far a case came."""
    row = {
        "ban_id": ban_id,
        "stage": stage.value,
        "due_s": due_s,
        "grounds_hash": grounds_hash,
        "block_number": block_number,
    }
    unit.execute(steps.insert(), row)
    _note(unit, ban_id)


def rewind(unit: Connection, to_block: int) -> None:
    """Forget what blocks above one said."""
    gone = select(steps.c.ban_id).where(steps.c.block_number > to_block).distinct()
    moved = list(unit.execute(gone).scalars())
    for table in (steps, cases):
        unit.execute(delete(table).where(table.c.block_number > to_block))
    for ban_id in moved:
        _note(unit, ban_id)


def _note(unit: Connection, ban_id: bytes) -> None:
    """Note how far an undecided case is, or that it is none."""
    unit.execute(delete(undecided_cases).where(undecided_cases.c.ban_id == ban_id))
    of_it = select(steps).where(steps.c.ban_id == ban_id)
    last = unit.execute(of_it.order_by(steps.c.stage.desc()).limit(1)).one_or_none()
    if last is not None and last.stage in (Stage.OPEN, Stage.APPEALED):
        row = {"ban_id": ban_id, "stage": last.stage, "due_s": last.due_s}
        unit.execute(undecided_cases.insert(), row)


def case(unit: Connection, ban_id: bytes) -> Case | None:
    """Return a case."""
    found = unit.execute(select(cases).where(cases.c.ban_id == ban_id)).one_or_none()
    return None if found is None else _cases(unit, [found])[0]


def cases_of(unit: Connection, node_key: bytes, *, limit: int) -> list[Case]:
    """Return a node's cases, the newest first."""
    chosen = (
        select(cases)
        .where(cases.c.node_key == node_key)
        .order_by(cases.c.block_number.desc(), cases.c.log_index.desc())
        .limit(limit)
    )
    return _cases(unit, unit.execute(chosen).all())


def undecided_of(unit: Connection, node_key: bytes, *, limit: int) -> list[Case]:
    """Return a node's cases that were neither upheld nor lifted, the oldest first."""
    over = (Stage.UPHELD.value, Stage.LIFTED.value)
    ended = select(steps.c.ban_id).where(steps.c.ban_id == cases.c.ban_id, steps.c.stage.in_(over))
    chosen = (
        select(cases)
        .where(cases.c.node_key == node_key, ~ended.exists())
        .order_by(cases.c.block_number, cases.c.log_index)
        .limit(limit)
    )
    return _cases(unit, unit.execute(chosen).all())


def undecided(unit: Connection, after: tuple[int, bytes] | None, *, limit: int) -> list[Case]:
    """Return cases that were neither upheld nor lifted, first what silence ends first."""
    key = (undecided_cases.c.due_s, undecided_cases.c.ban_id)
    chosen = select(undecided_cases.c.ban_id).order_by(*key).limit(limit)
    if after is not None:
        chosen = chosen.where(tuple_(*key) > tuple_(*map(literal, after)))
    ids = list(unit.execute(chosen).scalars())
    found = unit.execute(select(cases).where(cases.c.ban_id.in_(ids))).all()
    return sorted(_cases(unit, found), key=lambda case: ids.index(case.ban_id))


def appeals(unit: Connection, now_s: int, *, limit: int) -> int:
    """Return how many appeals still can be decided, so many at most."""
    columns = undecided_cases.c
    waits = (columns.stage == Stage.APPEALED.value, columns.due_s > now_s)
    some = select(columns.ban_id).where(*waits).limit(limit).subquery()
    return unit.scalar(select(func.count()).select_from(some)) or 0


def named(unit: Connection, ban_ids: Collection[bytes]) -> dict[bytes, str]:
    """Return of which nodes bans are, as far as they were prepared here."""
    chosen = select(drafts.c.ban_id, drafts.c.node_id).where(drafts.c.ban_id.in_(ban_ids))
    return {row.ban_id: row.node_id for row in unit.execute(chosen)}


def in_force(unit: Connection, node_keys: Collection[bytes], now_s: int) -> set[bytes]:
    """Return the nodes among some that are banned at a second."""
    lifted = select(steps.c.ban_id).where(steps.c.stage == Stage.LIFTED.value)
    chosen = select(cases.c.node_key).where(
        cases.c.node_key.in_(node_keys),
        cases.c.ends_s > now_s,
        cases.c.ban_id.not_in(lifted.where(steps.c.ban_id == cases.c.ban_id)),
    )
    return set(unit.execute(chosen).scalars())


def put_draft(unit: Connection, item: Draft) -> None:
    """Keep a ban that is prepared; the same again stays as it is."""
    told = item.statement
    row = {
        "ban_id": item.ban_id,
        "node_id": item.node_id,
        "node_key": told.node_id,
        "code": item.code,
        "evidence_root": told.evidence_root,
        "starts_s": told.starts_at_s,
        "ends_s": told.ends_at_s,
        "slash_minor": told.slash_minor,
        "by": item.by,
        "made_us": item.made_us,
    }
    unit.execute(insert(drafts).on_conflict_do_nothing(), row)


def draft(unit: Connection, ban_id: bytes) -> Draft | None:
    """Return a ban that was prepared, sent or not."""
    row = unit.execute(select(drafts).where(drafts.c.ban_id == ban_id)).one_or_none()
    return None if row is None else _draft(unit, row)


def drafts_of(unit: Connection, node_key: bytes, now_s: int, *, limit: int) -> list[Draft]:
    """Return what is prepared for a node, not sent and not over, the newest first."""
    sent = select(cases.c.ban_id).where(cases.c.node_key == node_key)
    chosen = (
        select(drafts)
        .where(drafts.c.node_key == node_key, drafts.c.ends_s > now_s, drafts.c.ban_id.not_in(sent))
        .order_by(drafts.c.made_us.desc(), drafts.c.ban_id)
        .limit(limit)
    )
    return [_draft(unit, row) for row in unit.execute(chosen).all()]


def drop_draft(unit: Connection, ban_id: bytes) -> None:
    """Forget what is prepared, with its signatures."""
    for table in (signatures, drafts):
        unit.execute(delete(table).where(table.c.ban_id == ban_id))


def put_signature(unit: Connection, ban_id: bytes, signer: Address, signature: bytes) -> None:
    """Keep a guardian's signature; its first one stays."""
    row = {"ban_id": ban_id, "signer": signer, "signature": signature}
    unit.execute(insert(signatures).on_conflict_do_nothing(), row)


def put_words(unit: Connection, digest: bytes, text: str, *, at_us: int) -> None:
    """Keep words under their hash, from an instant on that is the newest they were said at."""
    put = insert(words).on_conflict_do_update(
        index_elements=[words.c.digest], set_={"at_us": at_us}, where=words.c.at_us < at_us
    )
    unit.execute(put, {"digest": digest, "words": text, "at_us": at_us})


def put_proposed(
    unit: Connection, node_key: bytes, digest: bytes, text: str, *, at_us: int, limit: int
) -> None:
    """Keep grounds that may be sent, so many of a node at most: the oldest go."""
    others = (proposed.c.node_key == node_key) & (proposed.c.digest != digest)
    newest = select(proposed.c.digest).where(others).order_by(proposed.c.at_us.desc())
    kept = newest.limit(limit - 1)
    mine = proposed.c.node_key == node_key
    unit.execute(delete(proposed).where(mine, proposed.c.digest.not_in(kept)))
    row = {"node_key": node_key, "digest": digest, "words": text, "at_us": at_us}
    unit.execute(proposed.insert(), row)


def settle_proposed(unit: Connection, digest: bytes) -> None:
    """Keep the words of a hash that the chain has."""
    chosen = select(proposed.c.words, proposed.c.at_us).where(proposed.c.digest == digest)
    for row in unit.execute(chosen.limit(1)).all():
        put_words(unit, digest, row.words, at_us=row.at_us)
    unit.execute(delete(proposed).where(proposed.c.digest == digest))


def forget(unit: Connection, before_s: int, *, limit: int) -> int:
    """Forget what was said of bans that were over before a second; return how many rows went.

    So many of each table at most. Cases and steps stay, with the hashes of the words.
    """
    before_us = before_s * SECOND_US
    over = select(drafts.c.ban_id).where(drafts.c.ends_s < before_s).limit(limit)
    gone = list(unit.scalars(over))
    for ban_id in gone:
        drop_draft(unit, ban_id)
    looked_at = select(proposed.c.node_key, proposed.c.digest)
    for node_key, digest in unit.execute(
        looked_at.where(proposed.c.at_us < before_us).limit(limit)
    ).all():
        mine = (proposed.c.node_key == node_key) & (proposed.c.digest == digest)
        gone += [digest] * unit.execute(delete(proposed).where(mine)).rowcount
    unsaid = words.c.digest.not_in(_said_of(before_s))
    old = select(words.c.digest).where(words.c.at_us < before_us, unsaid).limit(limit)
    digests = list(unit.scalars(old))
    unit.execute(delete(words).where(words.c.digest.in_(digests)))
    return len(gone) + len(digests)


def _said_of(before_s: int) -> CompoundSelect[Any]:
    """Choose the hashes of words of bans that were not over before a second.

    A ban is over when its time is, and the time of every step that was taken against it.
    """
    open_step = (steps.c.ban_id == cases.c.ban_id) & (steps.c.due_s >= before_s)
    going_on = (cases.c.ends_s >= before_s) | select(steps.c.ban_id).where(open_step).exists()
    appealed = steps.c.ban_id.in_(select(cases.c.ban_id).where(going_on))
    return union_all(
        select(cases.c.evidence_root).where(going_on),
        select(steps.c.grounds_hash).where(appealed),
        select(drafts.c.evidence_root),
    )


def words_of(unit: Connection, digests: Iterable[bytes]) -> dict[bytes, str]:
    """Return the words that are known of some hashes."""
    chosen = select(words).where(words.c.digest.in_(list(digests)))
    return {row.digest: row.words for row in unit.execute(chosen)}


def _cases(unit: Connection, rows: Sequence[Row[Any]]) -> list[Case]:
    """Put each case together with the last step it took."""
    ids = [row.ban_id for row in rows]
    chosen = select(steps).where(steps.c.ban_id.in_(ids)).order_by(steps.c.stage)
    taken: dict[bytes, list[Row[Any]]] = {ban_id: [] for ban_id in ids}
    for step in unit.execute(chosen):
        taken[step.ban_id].append(step)
    return [_case(row, taken[row.ban_id]) for row in rows]


def _case(row: Row[Any], taken: Sequence[Row[Any]]) -> Case:
    appealed = next((one for one in taken if one.stage == Stage.APPEALED.value), None)
    return Case(
        ban_id=row.ban_id,
        node_key=row.node_key,
        reason_hash=row.reason_hash,
        evidence_root=row.evidence_root,
        starts_s=row.starts_s,
        ends_s=row.ends_s,
        escrow_minor=int(row.escrow_minor),
        due_s=[one.due_s for one in taken if one.due_s][-1],
        stage=Stage(taken[-1].stage),
        grounds_hash=bytes(32) if appealed is None else appealed.grounds_hash,
        tx_hash=row.tx_hash,
    )


def _draft(unit: Connection, row: Row[Any]) -> Draft:
    chosen = select(signatures).where(signatures.c.ban_id == row.ban_id)
    statement = BanStatement(
        node_id=row.node_key,
        reason_hash=reason_hash(row.code),
        evidence_root=row.evidence_root,
        starts_at_s=row.starts_s,
        ends_at_s=row.ends_s,
        slash_minor=row.slash_minor,
    )
    assert statement.ban_id == row.ban_id, "a draft is named by its statement"
    return Draft(
        node_id=row.node_id,
        code=row.code,
        statement=statement,
        by=row.by,
        made_us=row.made_us,
        signatures=tuple(
            (Address(one.signer), one.signature)
            for one in unit.execute(chosen.order_by(signatures.c.signer))
        ),
    )
