"""Commands about corridors: what a creditor may claim without a signature, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    digest_of,
    group,
    operator_address,
    signer_of,
    taken,
    venue,
)
from opencarrier.app.cli.people import Amount
from opencarrier.app.output import emit

if TYPE_CHECKING:
    from pathlib import Path

    from opencarrier.app.bootstrap import Installation, Onchain
    from opencarrier.app.corridors import Corridors, Pair
    from opencarrier.kernel.refusals import Refusal

corridor = group("corridor", "Corridors: claims of one member on another, without its signature.")

HINT = "name the file with the key that acts here: --key-file; or see: opencarrier chain corridor"

Debtor = Annotated[str, typer.Argument(help="Who is claimed from: an operator, or an address.")]
Creditor = Annotated[str, typer.Argument(help="Who claims: an operator, or an address.")]
ClaimId = Annotated[str, typer.Argument(help="The claim's id, 0x and 64 hex digits.")]
KeyFile = Annotated[
    str,
    typer.Option("--key-file", help="The actor's key, 64 hex digits, where it is not held here."),
]


@corridor.command("open")
def corridor_open(
    debtor: Debtor,
    creditor: Creditor,
    cap_minor: Annotated[int, typer.Argument(help="The most that claims hold at a time.")],
    window_s: Annotated[
        int, typer.Option("--window-s", help="Seconds in which a claim may be disputed.")
    ] = 86_400,
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let a creditor claim from a debtor up to a cap, each claim open to dispute for a window.

    Example: opencarrier chain corridor open Home Visited 5000000 --window-s 86400
    """
    with venue(data) as place:
        pair = _pair(place.base, debtor, creditor)
        made = _corridors(place, key_file).open(pair, window_s=window_s, cap_minor=cap_minor)
        told = taken(made, HINT)
    emit(told, as_json=as_json)


@corridor.command("close")
def corridor_close(
    debtor: Debtor,
    creditor: Creditor,
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """End a creditor's new claims once the notice has passed; claims under way go on.

    Example: opencarrier chain corridor close Home Visited
    """
    with venue(data) as place:
        pair = _pair(place.base, debtor, creditor)
        told = taken(_corridors(place, key_file).close(pair), HINT)
    emit(told, as_json=as_json)


@corridor.command("claim")
def corridor_claim(
    creditor: Creditor,
    debtor: Debtor,
    amount_minor: Amount,
    cycle: Annotated[str, typer.Option("--cycle", help="The cycle's id.")],
    records_root: Annotated[
        str, typer.Option("--records-root", help="Root of the records that show what is owed.")
    ],
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Claim what a debtor owes for a cycle; it is paid after the window unless disputed.

    Example: opencarrier chain corridor claim Visited Home 40000 --cycle 0xCYCLE
    --records-root 0xROOT
    """
    with venue(data) as place:
        told = taken(
            _corridors(place, key_file).claim(
                _pair(place.base, debtor, creditor),
                cycle_id=digest_of(cycle, "--cycle"),
                records_root=digest_of(records_root, "--records-root"),
                amount_minor=amount_minor,
            ),
            HINT,
        )
    emit(told, as_json=as_json)


@corridor.command("accept")
def corridor_accept(
    claim: ClaimId, key_file: KeyFile = "", data: Data = DEFAULT_DATA, as_json: AsJson = False
) -> None:
    """Pay a claim at once, as its debtor.

    Example: opencarrier chain corridor accept 0xCLAIM
    """
    _answered(data, claim, key_file, lambda at, key: at.accept(key), as_json=as_json)


@corridor.command("dispute")
def corridor_dispute(
    claim: ClaimId,
    undisputed_minor: Annotated[int, typer.Argument(help="What is owed; it is paid at once.")],
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Dispute a claim, as its debtor: the difference and a bond wait for a decision.

    Example: opencarrier chain corridor dispute 0xCLAIM 15000
    """
    _answered(
        data, claim, key_file, lambda at, key: at.dispute(key, undisputed_minor), as_json=as_json
    )


@corridor.command("decide")
def corridor_decide(
    claim: ClaimId,
    to_creditor_minor: Annotated[int, typer.Argument(help="The creditor's part.")],
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Divide a disputed difference, as the arbiter; whoever gets less loses a bond.

    Example: opencarrier chain corridor decide 0xCLAIM 20000
    """
    _answered(
        data, claim, key_file, lambda at, key: at.decide(key, to_creditor_minor), as_json=as_json
    )


@corridor.command("agree")
def corridor_agree(
    claim: ClaimId,
    to_creditor_minor: Annotated[int, typer.Argument(help="The creditor's part.")],
    party: Annotated[str, typer.Option("--as", help="Who says so: debtor or creditor.")],
    key_file: KeyFile = "",
    reference: Annotated[
        str, typer.Option("--reference", help="Another name, to say again what was said before.")
    ] = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Say how to end a dispute, as one party; it ends when both say the same.

    Example: opencarrier chain corridor agree 0xCLAIM 20000 --as Home
    """
    with venue(data) as place:
        made = _corridors(place, key_file).agree(
            digest_of(claim, "claim"),
            to_creditor_minor,
            party=operator_address(place.base, party),
            reference=reference,
        )
        told = taken(made, HINT)
    emit(told, as_json=as_json)


@corridor.command("finish")
def corridor_finish(claim: ClaimId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """End a claim whose window is over, or a dispute that nobody decided in time.

    Example: opencarrier chain corridor finish 0xCLAIM
    """
    _answered(data, claim, "", lambda at, key: at.finish(key), as_json=as_json)


@corridor.command("show")
def corridor_show(
    which: Annotated[list[str], typer.Argument(help="A claim's id, or DEBTOR CREDITOR.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Show a claim, or what one operator may claim from another.

    Example: opencarrier chain corridor show Home Visited
    """
    from opencarrier.app.output import CommandError, Exit

    if len(which) == 1:
        _answered(data, which[0], "", lambda at, key: at.show(key), as_json=as_json)
        return
    if len(which) != 2:
        raise CommandError(Exit.USAGE, "one claim, or two operators", "see --help")
    with venue(data) as place:
        told = _corridors(place, "").corridor(_pair(place.base, which[0], which[1]))
    emit(told, as_json=as_json)


def _answered(
    data: Path,
    claim: str,
    key_file: str,
    answer: Callable[[Corridors, bytes], dict[str, Any] | Refusal],
    *,
    as_json: bool,
) -> None:
    key = digest_of(claim, "claim")
    with venue(data) as place:
        told = taken(answer(_corridors(place, key_file), key), HINT)
    emit(told, as_json=as_json)


def _corridors(place: Onchain, key_file: str) -> Corridors:
    from opencarrier.app.corridors import Corridors

    return Corridors(place, signer_of(key_file))


def _pair(base: Installation, debtor: str, creditor: str) -> Pair:
    from opencarrier.app.corridors import Pair

    return Pair(debtor=operator_address(base, debtor), creditor=operator_address(base, creditor))
