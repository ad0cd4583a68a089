"""Commands of the agent beside an access point: run it, check its statements, ask it who was on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import AsJson, readable, standard_input_once, taken
from opencarrier.app.output import CommandError, Exit, emit, refused, say

if TYPE_CHECKING:
    from opencarrier.access.agent.statement import Signed
    from opencarrier.app.node_agent import NodeRunning
    from opencarrier.app.node_folder import NodeFolder

REQUEST_OCTETS_MAX = 65_536

NodeData = Annotated[
    Path, typer.Option("--data", envvar="OPENCARRIER_NODE", help="The node agent's folder.")
]
DEFAULT = Path("opencarrier-node")
RequestFile = Annotated[Path, typer.Argument(help="The request's file.")]


def init(data: NodeData = DEFAULT, as_json: AsJson = False) -> None:
    """Begin an agent's folder: its key, and an example of its settings to write over.

    Example: opencarrier node init --data /var/lib/opencarrier-node
    """
    from opencarrier.app.system import SystemEntropy

    folder = _folder(data)
    signer = folder.begin(SystemEntropy())
    emit({"kid": signer.address, "settings": str(folder.settings_file)}, as_json=as_json)


def join(data: NodeData = DEFAULT, as_json: AsJson = False) -> None:
    """Enter this agent by a link that a host's page made; the link comes on standard input.

    Example: opencarrier node join --data /var/lib/opencarrier-node <link.txt
    """
    from opencarrier.app.node_joining import LINK_CHARACTERS_MAX, ask_over_http, read_link
    from opencarrier.app.node_joining import join as entered
    from opencarrier.app.system import SystemEntropy

    link = read_link(sys.stdin.readline(LINK_CHARACTERS_MAX))
    emit(entered(_folder(data), link, SystemEntropy(), ask_over_http), as_json=as_json)


def run(data: NodeData = DEFAULT) -> None:
    """Serve the access points of this venue until Ctrl-C.

    Example: opencarrier node run --data /var/lib/opencarrier-node
    """
    import asyncio
    import logging

    from opencarrier.app.node_agent import serve

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    folder = _folder(data)
    with folder.lock():
        folder.run.unlink(missing_ok=True)
        asyncio.run(serve(folder, _greet))
    say("stopped")


def status(data: NodeData = DEFAULT, as_json: AsJson = False) -> None:
    """Say how the agent stands: what waits for the hub, since when, what was mended.

    Example: opencarrier node status --json
    """
    from dataclasses import asdict

    from opencarrier.access.agent.store import AgentStore

    folder = _existing(data)
    told = folder.told()
    if told is None:
        store = AgentStore(folder.store_file)
        told = {"kid": folder.signer().address, **asdict(store.stock())}
        store.close()
        told = {"running": False, **told}
    else:
        told = {"running": True, **told}
    emit(told, as_json=as_json)


def statements(
    session: Annotated[str, typer.Argument(help="An Acct-Session-Id; none: all.")] = "",
    data: NodeData = DEFAULT,
) -> None:
    """Print the signed meter statements of a session, one JSON object a line.

    Example: opencarrier node statements 5F00A1B2 > statements.jsonl
    """
    from opencarrier.access.agent.documents import write_statement
    from opencarrier.access.agent.store import AgentStore

    store = AgentStore(_existing(data).store_file)
    for signed in store.statements(session or None):
        print(write_statement(signed))
    store.close()


def verify(
    file: Annotated[Path, typer.Argument(help="Statements, one a line.")],
    kid: Annotated[str, typer.Option("--kid", help="The node's key, 0x and 40 hex digits.")],
    as_json: AsJson = False,
) -> None:
    """Check meter statements: whose they are, whether each chain is whole, and none is forked.

    A gap is told and is no failure: a later statement says all an earlier one did.

    Example: opencarrier node verify statements.jsonl --kid 0x...
    """
    from opencarrier.access.agent.documents import read_statements
    from opencarrier.access.agent.statement import Flaw, judge
    from opencarrier.kernel.signatures import Address

    with readable(), file.open("rb") as lines:
        sessions = _by_session(list(read_statements(lines)))
    found = [
        {"session": name, "flaw": one.flaw.name.lower(), "sequence": one.sequence}
        for name, chain in sessions.items()
        for one in judge(chain, [Address(kid.lower())])
    ]
    bad = [one for one in found if one["flaw"] != Flaw.GAP.name.lower()]
    emit(
        {
            "sessions": len(sessions),
            "statements": sum(len(chain) for chain in sessions.values()),
            "findings": found,
            "holds": not bad,
        },
        as_json=as_json,
    )
    if bad:
        refused(f"{len(bad)} flaws; the first: {bad[0]['flaw']} at {bad[0]['sequence']}")


def ask(
    address: Annotated[str, typer.Argument(help="An IPv4 or IPv6 address.")],
    kid: Annotated[str, typer.Option("--kid", help="The key of the node that is asked.")],
    at_s: Annotated[int, typer.Option("--at", help="When, in seconds since 1970.")],
    purpose: Annotated[str, typer.Option("--purpose", help="Why, and by which order.")],
    port: Annotated[int | None, typer.Option("--port", help="A port behind a NAT.")] = None,
) -> None:
    """Write a request to be told who held an address; two persons sign it.

    Example: opencarrier node ask 192.0.2.1 --kid 0x... --at 1767603600 --purpose "order 4711"
    """
    from opencarrier.access.agent.documents import SignedRequest, write_request
    from opencarrier.access.agent.holders import Request
    from opencarrier.app.system import SystemClock
    from opencarrier.kernel.clock import SECOND_US
    from opencarrier.kernel.signatures import Address

    request = Request(
        node=Address(kid.lower()),
        address=address,
        port=port,
        at_us=at_s * SECOND_US,
        purpose=purpose,
        written_us=SystemClock().now_us(),
    )
    print(write_request(SignedRequest(request)))


def sign(
    file: RequestFile,
    key_file: Annotated[str, typer.Option("--key-file", help="Your key; -: standard input.")],
) -> None:
    """Sign a request with your own key, and print it with your signature.

    Example: opencarrier node sign request.json --key-file mine.key > signed.json
    """
    from dataclasses import replace

    from opencarrier.access.agent.documents import write_request
    from opencarrier.identity.cli import read_account_key

    standard_input_once(key_file)
    signed = _request(file)
    signature = read_account_key(key_file, standard_input=sys.stdin).sign(signed.request.digest)
    print(write_request(replace(signed, signatures=(*signed.signatures, signature.octets))))


def who(file: RequestFile, data: NodeData = DEFAULT, as_json: AsJson = False) -> None:
    """Say who held an address: to two persons who signed, and into the log first.

    Example: opencarrier node who signed.json --json
    """
    from opencarrier.access.agent.documents import holding_document
    from opencarrier.app.node_who import answer

    found = taken(answer(_existing(data), _request(file)))
    emit(
        {"holders": [holding_document(one) for one in found]},
        as_json=as_json,
        empty="nobody held the address then; its clock or port may be another",
    )


def who_log(data: NodeData = DEFAULT, as_json: AsJson = False) -> None:
    """Print who asked, signed by whom, and what became of it; a line taken out shows.

    Example: opencarrier node who-log --json
    """
    from opencarrier.access.agent.documents import entry_document
    from opencarrier.access.agent.holders import first_break
    from opencarrier.access.agent.statement import BEGINNING
    from opencarrier.access.agent.store import AgentStore

    store = AgentStore(_existing(data).store_file)
    log = list(store.log_entries())
    store.close()
    broken = first_break(log, BEGINNING)
    emit(
        {"requests": [entry_document(entry) for entry in log]},
        as_json=as_json,
        empty="nobody asked who held an address",
    )
    if broken is not None:
        refused(f"line {broken} does not follow from the one before")


def _greet(running: NodeRunning) -> None:
    host, auth = running.auth
    say(f"signs    as {running.kid}")
    if running.payments is not None:
        say(f"devices  on {running.payments[0]}:{running.payments[1]}")
    say(f"ready    RADIUS on {host}: {auth} authentication, {running.acct[1]} accounting")


def _folder(data: Path) -> NodeFolder:
    from opencarrier.app.node_folder import NodeFolder

    return NodeFolder(data.resolve())


def _existing(data: Path) -> NodeFolder:
    folder = _folder(data)
    if not folder.key_file.exists():
        raise CommandError(
            Exit.ENVIRONMENT, f"{data} is no node's folder", "opencarrier node init begins one"
        )
    return folder


def _request(file: Path) -> Any:
    from opencarrier.access.agent.documents import read_request

    with readable(), file.open("rb") as stream:
        return read_request(stream.read(REQUEST_OCTETS_MAX))


def _by_session(chain: list[Signed]) -> dict[str, list[Signed]]:
    sessions: dict[str, list[Signed]] = {}
    for signed in chain:
        name = f"{signed.statement.nas_identifier}/{signed.statement.acct_session_id}"
        sessions.setdefault(name, []).append(signed)
    return sessions


COMMANDS: dict[str, Callable[..., None]] = {
    "init": init,
    "join": join,
    "run": run,
    "status": status,
    "statements": statements,
    "verify": verify,
    "ask": ask,
    "sign": sign,
    "who": who,
    "who-log": who_log,
}
