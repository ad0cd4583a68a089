"""Commands about what subscribers prove themselves with besides SIMs: certificates, passwords."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    group,
    installation,
    standard_input_once,
    taken,
)
from opencarrier.app.output import CommandError, Exit, emit

if TYPE_CHECKING:
    from opencarrier.identity.model import Login

credential = group("credential", "Certificates and passwords that subscribers get on with.")

Who = Annotated[str, typer.Argument(help="The subscriber's name, IMSI or party id.")]
DAYS_MAX = 36_500


@credential.command("certificate")
def credential_certificate(
    who: Who,
    file: Annotated[str, typer.Option("--file", help="The certificate in PEM; or -.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let a subscriber on by EAP-TLS with a certificate; its key stays with the device.

    Example: opencarrier subscriber credential certificate alice --file alice.crt
    """
    from opencarrier.identity import cli

    pem = cli.read_certificate(file, standard_input=sys.stdin)
    with installation(data) as base, base.store.write() as unit:
        subscriber = taken(cli.find_subscriber(base.identity, unit, who)).party_id
        made = taken(base.identity.logins.add_certificate(unit, subscriber=subscriber, pem=pem))
    _emit(made, as_json=as_json)


@credential.command("password")
def credential_password(
    who: Who,
    user_name: Annotated[
        str, typer.Option("--user-name", help="What stands before the realm, in lower case.")
    ],
    password_file: Annotated[
        str, typer.Option("--password-file", help="File with the password on one line; or -.")
    ],
    days: Annotated[
        int, typer.Option("--days", help="How long it holds; 0: until it is revoked.", min=0)
    ] = 0,
    change: Annotated[
        bool, typer.Option("--change", help="Take it in place of the one there is.")
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let a subscriber on by EAP-TTLS with a password, which comes from a file, never an argument.

    Example: opencarrier subscriber credential password alice --user-name alice --password-file -
    """
    from opencarrier.identity import cli
    from opencarrier.kernel.clock import SECOND_US

    if days > DAYS_MAX:
        raise CommandError(Exit.USAGE, f"--days is at most {DAYS_MAX}", "0 says: no end")
    standard_input_once(password_file)
    password = cli.read_password(password_file, standard_input=sys.stdin)
    with installation(data) as base, base.store.write() as unit:
        logins = base.identity.logins
        subscriber = taken(cli.find_subscriber(base.identity, unit, who)).party_id
        ends = base.clock.now_us() + days * 86_400 * SECOND_US if days else None
        if change:
            made = logins.change_password(
                unit, subscriber, user_name=user_name, password=password, expires_us=ends
            )
        else:
            made = logins.add_password(
                unit,
                subscriber=subscriber,
                user_name=user_name,
                password=password,
                expires_us=ends,
            )
        taken(made)
    _emit(taken(made), as_json=as_json)


@credential.command("revoke")
def credential_revoke(
    value: Annotated[
        str, typer.Argument(help="A certificate's SHA-256 in hex, or a user name; see list.")
    ],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let nobody on with a certificate or a password any more, resumed sessions included.

    Example: opencarrier subscriber credential revoke alice
    """
    from opencarrier.identity import cli

    with installation(data) as base, base.store.write() as unit:
        made = taken(base.identity.logins.revoke(unit, cli.credential_named(value)))
    _emit(made, as_json=as_json)


@credential.command("list")
def credential_list(who: Who, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List a subscriber's certificates and passwords, and how each stands.

    Example: opencarrier subscriber credential list alice
    """
    from opencarrier.identity import cli

    with installation(data) as base, base.store.read() as unit:
        subscriber = taken(cli.find_subscriber(base.identity, unit, who)).party_id
        found = cli.credential_list(base.identity, unit, subscriber)
    emit(found, as_json=as_json, empty="add one: opencarrier subscriber credential --help")


def _emit(made: Login, *, as_json: bool) -> None:
    from opencarrier.identity import cli

    emit(cli.credential(made), as_json=as_json)
