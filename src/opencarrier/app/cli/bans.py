"""Commands about bans of nodes: how one stands, ban, sign, appeal, decide, close; who may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    digest_of,
    signer_of,
    taken,
    venue,
)
from opencarrier.app.output import CommandError, Exit, emit

if TYPE_CHECKING:
    from opencarrier.app.banning import Banning
    from opencarrier.app.bootstrap import Onchain
    from opencarrier.kernel.signatures import Address

HINT = "see how it stands: opencarrier node standing NODE"

NodeName = Annotated[str, typer.Argument(help="The node's id.")]
BanId = Annotated[str, typer.Argument(help="The ban's id, 0x and 64 hex digits.")]
NamedBan = Annotated[
    str, typer.Option("--ban", help="Which ban's id; else the one that silence would end first.")
]
KeyFile = Annotated[
    str,
    typer.Option("--key-file", help="The actor's key, 64 hex digits, where it is not held here."),
]


def standing(which: NodeName, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Say how a node stands: its bans, who signed them, and what is prepared.

    Example: opencarrier node standing cafe-1 --json
    """
    from dataclasses import asdict

    from opencarrier.app.console.views.bans import BanViews
    from opencarrier.app.errands import Errands

    with venue(data) as place:
        host = _host(place, which)
        Errands(place).follow_bans()
        told = asdict(BanViews(place).standing(host, which, drafts=True))
    emit(told, as_json=as_json)


def undecided(
    cursor: Annotated[str, typer.Option(help="What the page before said is `next`.")] = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """List bans that are not decided, first what silence ends first, 100 at a time.

    Example: opencarrier node bans --json
    """
    from dataclasses import asdict

    from opencarrier.app.console.views.bans import BanViews
    from opencarrier.app.errands import Errands

    with venue(data) as place:
        Errands(place).follow_bans()
        told = asdict(BanViews(place).undecided(cursor, 100))
    emit(told, as_json=as_json)


def ban(
    which: NodeName,
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            help="false_use, false_place, altered_traffic, unlawful, lost_key or other.",
        ),
    ],
    days: Annotated[int, typer.Option("--days", min=1, help="For how long.")] = 30,
    cost: Annotated[
        int, typer.Option("--cost", min=0, help="What it takes of the bond at most, minor units.")
    ] = 0,
    evidence: Annotated[
        str, typer.Option("--evidence", help="What shows it; the host reads this.")
    ] = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Ban a node: it is sent, or kept until its guardians signed and people approved it.

    Example: opencarrier node ban cafe-1 --reason false_place --days 30 --evidence "It moved."
    """
    from opencarrier.app.banning import Wish
    from opencarrier.kernel.ids import to_hex

    wish = Wish(node_id=which, code=reason, days=days, slash_minor=cost, evidence=evidence)
    with venue(data) as place:
        _host(place, which)
        bans = _banning(place)
        done = taken(bans.begin(wish), HINT)
    told = {
        "node": which,
        "ban": to_hex(done.draft.ban_id),
        "digest": to_hex(bans.digest(done.draft)),
        "tx_hash": done.tx_hash,
        "waits": "" if done.waits is None else str(done.waits),
    }
    emit(told, as_json=as_json)


def ban_sign(
    ban_id: BanId,
    key_file: KeyFile = "",
    signature: Annotated[
        str, typer.Option("--signature", help="Or the signature over its digest, 65 octets in hex.")
    ] = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Sign a ban that is prepared, as a guardian whose key is elsewhere.

    Example: opencarrier node ban-sign 0xBAN --key-file guardian.hex
    """
    from opencarrier.kernel.ids import to_hex

    key, octets = signer_of(key_file), b""
    with venue(data) as place:
        bans, which = _banning(place), digest_of(ban_id, "ban")
        draft = bans.draft(which)
        if draft is None or bool(key) == bool(signature):
            raise CommandError(Exit.USAGE, "name a ban that is prepared, and one signature", HINT)
        try:
            octets = key.sign(bans.digest(draft)).octets if key else _octets(signature)
        except ValueError as error:
            raise CommandError(Exit.USAGE, f"--signature: {error}", "65 octets in hex") from None
        signer = taken(bans.sign(which, octets), HINT)
    emit({"ban": to_hex(which), "signer": signer}, as_json=as_json)


def ban_send(ban_id: BanId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Send a ban that is prepared, once enough guardians signed and people approved it.

    Example: opencarrier node ban-send 0xBAN
    """
    with venue(data) as place:
        done = taken(_banning(place).send(digest_of(ban_id, "ban")), HINT)
    emit({"ban": ban_id, "tx_hash": done}, as_json=as_json)


def appeal(
    which: NodeName,
    grounds: Annotated[str, typer.Option("--grounds", help="Why the ban is wrong.")] = "",
    ban_id: NamedBan = "",
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Appeal against a node's ban, as the node's owner.

    Example: opencarrier node appeal cafe-1 --grounds "It never moved." --key-file host.hex
    """
    with venue(data) as place:
        bans = _banning(place, key_file)
        done = taken(bans.appeal(which, grounds, ban_id=_named(ban_id)), HINT)
    emit({"node": which, "tx_hash": done}, as_json=as_json)


def decide(
    which: NodeName,
    lift: Annotated[bool, typer.Option("--lift/--uphold", help="Whether the ban ends.")],
    ban_id: NamedBan = "",
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Decide an appeal, as the arbiter.

    Example: opencarrier node decide cafe-1 --lift
    """
    with venue(data) as place:
        bans = _banning(place, key_file)
        done = taken(bans.decide(which, lifted=lift, ban_id=_named(ban_id)), HINT)
    emit({"node": which, "lifted": lift, "tx_hash": done}, as_json=as_json)


def close(which: NodeName, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Have it written down what silence decided; the hub pays the gas.

    Example: opencarrier node close-ban cafe-1
    """
    with venue(data) as place:
        done = taken(_banning(place).close(which), HINT)
    emit({"node": which, "tx_hash": done}, as_json=as_json)


def appoint(
    guardian: Annotated[
        list[str], typer.Option("--guardian", help="Who signs bans; all of them, 16 at most.")
    ] = [],  # noqa: B006
    threshold: Annotated[
        int, typer.Option("--threshold", min=1, max=16, help="How many sign a ban.")
    ] = 1,
    arbiter: Annotated[str, typer.Option("--arbiter", help="Who decides appeals.")] = "",
    beneficiary: Annotated[
        str, typer.Option("--beneficiary", help="Who gets what bans cost.")
    ] = "",
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Name who signs bans, decides appeals and gets what bans cost, as the registry's owner.

    Example: opencarrier chain node appoint --arbiter 0x70997970c51812dc3a010c7d01b50e0d17dc79c8
    """
    from dataclasses import asdict

    with venue(data) as place:
        bans = _banning(place, key_file)
        taken(
            bans.appoint(
                guardians=[_address(one) for one in guardian],
                threshold=threshold,
                arbiter=_address(arbiter) if arbiter else None,
                beneficiary=_address(beneficiary) if beneficiary else None,
            ),
            "name them by addresses; the threshold is no more than there are",
        )
        told: dict[str, Any] = asdict(bans.roles())
    emit(told, as_json=as_json)


COMMANDS: Mapping[str, Callable[..., None]] = {
    "standing": standing,
    "bans": undecided,
    "ban": ban,
    "ban-sign": ban_sign,
    "ban-send": ban_send,
    "appeal": appeal,
    "decide": decide,
    "close-ban": close,
}
"""By name, under `node`."""


def _banning(place: Onchain, key_file: str = "") -> Banning:
    from opencarrier.app.banning import Banning

    if place.bans is None:
        raise CommandError(
            Exit.ENVIRONMENT,
            "this venue has no registry of nodes",
            "it was put up before there was",
        )
    return Banning(place, signer_of(key_file))


def _host(place: Onchain, which: str) -> Any:
    with place.base.store.read() as unit:
        directory = place.base.identity.directory
        node = directory.node_by_id(unit, which)
        host = None if node is None else directory.host(unit, node.host)
    if host is None:
        raise CommandError(Exit.REFUSED, f"unknown_node: {which}", "add one: opencarrier node add")
    return host


def _address(text: str) -> Address:
    from opencarrier.identity.rules import read_address

    return taken(read_address(text))


def _named(ban_id: str) -> bytes:
    return digest_of(ban_id, "ban") if ban_id else b""


def _octets(text: str) -> bytes:
    octets = bytes.fromhex(text.removeprefix("0x"))
    if len(octets) != 65:
        raise ValueError(f"{len(octets)} octets")
    return octets
