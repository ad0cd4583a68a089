"""Commands of the home about nodes' meters: whose key signs, what was signed, what contradicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    installation,
    readable,
    taken,
)
from opencarrier.app.output import CommandError, Exit, emit, refused

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from opencarrier.app.bootstrap import Installation
    from opencarrier.spine.parties import Node


def key(
    node_id: Annotated[str, typer.Argument(help="The node's name.")],
    kid: Annotated[str, typer.Argument(help="The key's address: 0x and 40 hex digits.")],
    end: Annotated[bool, typer.Option("--end", help="From now on it signs no more.")] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Say which key signs a node's meter statements; `opencarrier node init` prints it there.

    Example: opencarrier node key cafe-1 0x5b38da6a701c568545dcfcb03fcb875f56beddc4
    """
    from opencarrier.identity.rules import read_address

    address = taken(read_address(kid))
    with installation(data) as base, base.store.write() as unit:
        found = _node(base, unit, node_id)
        now_us = base.clock.now_us()
        if end:
            refusal = base.meters.end_key(unit, address, at_us=now_us)
        else:
            refusal = base.meters.add_key(unit, found.node_id, address, at_us=now_us)
        taken(refusal)
    emit({"node": node_id, "kid": address, "signs": not end}, as_json=as_json)


def evidence(
    session: Annotated[str, typer.Argument(help="An Acct-Session-Id; none: all.")] = "",
    data: Data = DEFAULT_DATA,
) -> None:
    """Print the meter statements that came with accounting, one JSON object a line.

    Example: opencarrier node evidence 5F00A1B2 > statements.jsonl
    """
    from opencarrier.access.agent.documents import write_statement

    with installation(data) as base, base.store.read() as unit:
        for _, chain in base.meters.chains(unit, session or None):
            for signed in chain:
                print(write_statement(signed))


def learn(
    file: Annotated[Path, typer.Argument(help="Statements, one a line, as a node prints them.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Take statements fetched from a node, beside those that came with accounting.

    Example: opencarrier node learn statements.jsonl
    """
    from collections import Counter

    from opencarrier.access.agent.documents import read_statements
    from opencarrier.kernel.refusals import Refusal

    outcomes: Counter[str] = Counter()
    with (
        installation(data) as base,
        readable(),
        file.open("rb") as lines,
        base.store.write() as unit,
    ):
        for signed in read_statements(lines):
            found = base.identity.directory.node(unit, signed.statement.nas_identifier)
            outcome = base.meters.take(
                unit,
                signed,
                node_id=found.node_id if found else "",
                authorisation_id=base.meters.authorisation_of(unit, signed.statement),
                at_us=base.clock.now_us(),
            )
            name = outcome.code if isinstance(outcome, Refusal) else outcome.name.lower()
            outcomes[name] += 1
    emit(dict(sorted(outcomes.items())), as_json=as_json)


def forks(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List what nodes signed that contradicts itself; end with 1 where there is any.

    Example: opencarrier node forks --json
    """
    with installation(data) as base, base.store.read() as unit:
        found: list[dict[str, Any]] = [
            {
                "node": node_id,
                "acct_session_id": statement.acct_session_id,
                "flaw": finding.flaw.name.lower(),
                "sequence": finding.sequence,
            }
            for node_id, statement, finding in base.meters.forks(unit)
        ]
    emit({"forks": found}, as_json=as_json, empty="no node signed two statements of one place")
    if found:
        refused(f"{len(found)} contradictions", "such sessions have no evidence from their node")


def _node(base: Installation, unit: Connection, node_id: str) -> Node:
    found = base.identity.directory.node_by_id(unit, node_id)
    if found is None:
        raise CommandError(Exit.REFUSED, f"there is no node {node_id}", "opencarrier node add")
    return found


COMMANDS: dict[str, Callable[..., None]] = {
    "key": key,
    "evidence": evidence,
    "learn": learn,
    "forks": forks,
}
