"""Commands about the distributor: claims for many, the guardian's veto, caps, payout addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    digest_of,
    group,
    payout_address,
    signer_of,
    taken,
    venue,
)
from opencarrier.app.output import CommandError, Exit, emit

if TYPE_CHECKING:
    from opencarrier.app.bootstrap import Onchain
    from opencarrier.app.rewarding import Distribution
    from opencarrier.kernel.signatures import Address

rewards = group("rewards", "Hosts' money: claims for many, veto, caps, where an account is paid.")

HINT = "name the file with the key that acts here: --key-file; or see: opencarrier chain rewards"

KeyFile = Annotated[
    str,
    typer.Option("--key-file", help="The actor's key, 64 hex digits, where it is not held here."),
]
Who = Annotated[str, typer.Argument(help="A host's name or party id, or an account's address.")]


@rewards.command("show")
def rewards_show(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Say what was funded and paid, which roots may still be vetoed, and which changes wait.

    Example: opencarrier chain rewards show --json
    """
    with venue(data) as place:
        told = _distribution(place).status()
    emit(told, as_json=as_json)


@rewards.command("claim")
def rewards_claim(
    who: Annotated[
        list[str], typer.Argument(help="Hosts' names or party ids, or accounts' addresses.")
    ] = [],  # noqa: B006
    everybody: Annotated[bool, typer.Option("--all", help="All hosts there are.")] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Push many claims in one transaction: each is paid where it belongs, the hub pays the gas.

    Example: opencarrier chain rewards claim "Cafe Lumiere" "Hotel du Port"
    """
    if bool(who) == everybody:
        raise CommandError(Exit.USAGE, "name hosts, or --all", "see --help")
    with venue(data) as place:
        accounts = _everybody(place) if everybody else [_account(place, name) for name in who]
        told = taken(
            _distribution(place).claim_many(accounts),
            "what a cycle earned comes with its settlement",
        )
    emit(told, as_json=as_json)


@rewards.command("veto")
def rewards_veto(
    root: Annotated[str, typer.Argument(help="The root that must never pay.")],
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Keep a root that is not ready from ever paying, as the guardian.

    Example: opencarrier chain rewards veto 0xROOT --key-file guardian.hex
    """
    with venue(data) as place:
        told = taken(_distribution(place, key_file).veto(digest_of(root, "root")), HINT)
    emit(told, as_json=as_json)


@rewards.command("cap")
def rewards_cap(
    cap_minor: Annotated[int, typer.Argument(help="The most a cycle may add.")],
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Bound what a cycle may add for hosts, as the owner: lower at once, higher after the delay.

    Example: opencarrier chain rewards cap 100000000
    """
    with venue(data) as place:
        told = taken(_distribution(place, key_file).set_cap(cap_minor), HINT)
    emit(told, as_json=as_json)


@rewards.command("apply-cap")
def rewards_apply_cap(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Raise the cap as was asked, once the delay has passed.

    Example: opencarrier chain rewards apply-cap
    """
    with venue(data) as place:
        told = taken(_distribution(place).apply_cap(), HINT)
    emit(told, as_json=as_json)


@rewards.command("guardian")
def rewards_guardian(
    address: Annotated[str, typer.Argument(help="The next guardian's address.")],
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Ask for another guardian, as the owner.

    Example: opencarrier chain rewards guardian 0x70997970c51812dc3a010c7d01b50e0d17dc79c8
    """
    with venue(data) as place:
        told = taken(_distribution(place, key_file).request_guardian(_address(address)), HINT)
    emit(told, as_json=as_json)


@rewards.command("apply-guardian")
def rewards_apply_guardian(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Change the guardian as was asked, once the delay has passed.

    Example: opencarrier chain rewards apply-guardian
    """
    with venue(data) as place:
        told = taken(_distribution(place).apply_guardian(), HINT)
    emit(told, as_json=as_json)


@rewards.command("payout")
def rewards_payout(
    who: Who,
    address: Annotated[str, typer.Argument(help="Where it shall be paid.")],
    key_file: KeyFile = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Ask that an account be paid elsewhere, as that account; it takes effect after the delay.

    Example: opencarrier chain rewards payout Cafe 0x70997970c51812dc3a010c7d01b50e0d17dc79c8
    """
    with venue(data) as place:
        account = _account(place, who)
        made = _distribution(place, key_file).request_payout(account, _address(address))
        told = taken(made, HINT)
    emit(told, as_json=as_json)


@rewards.command("cancel-payout")
def rewards_cancel_payout(
    who: Who, key_file: KeyFile = "", data: Data = DEFAULT_DATA, as_json: AsJson = False
) -> None:
    """Take an account's request to be paid elsewhere back.

    Example: opencarrier chain rewards cancel-payout Cafe
    """
    with venue(data) as place:
        account = _account(place, who)
        told = taken(_distribution(place, key_file).cancel_payout(account), HINT)
    emit(told, as_json=as_json)


@rewards.command("apply-payout")
def rewards_apply_payout(who: Who, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Change where an account is paid as it asked, once the delay has passed.

    Example: opencarrier chain rewards apply-payout Cafe
    """
    with venue(data) as place:
        told = taken(_distribution(place).apply_payout(_account(place, who)), HINT)
    emit(told, as_json=as_json)


def _distribution(place: Onchain, key_file: str = "") -> Distribution:
    from opencarrier.app.rewarding import Distribution

    return Distribution(place, signer_of(key_file))


def _account(place: Onchain, who: str) -> Address:
    return payout_address(place.base, who)


def _address(text: str) -> Address:
    from opencarrier.identity.rules import read_address

    return taken(read_address(text))


def _everybody(place: Onchain) -> list[Address]:
    """Return where all hosts are paid."""
    with place.base.store.read() as unit:
        hosts = place.base.identity.directory.hosts(unit)
    return [host.payout for host in hosts]
