"""Commands about the keys by which phones hide their IMSI at a first attach."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import DEFAULT_DATA, AsJson, Data, group, installation, taken
from opencarrier.app.output import CommandError, Exit, emit

if TYPE_CHECKING:
    from opencarrier.identity.privacy import PrivacyKey

privacy = group("privacy", "Keys by which phones encrypt their permanent identity for the home.")

Identifier = Annotated[str, typer.Argument(help="The key's identifier, as `list` shows it.")]


class Form(StrEnum):
    """How a key is given to phones."""

    PEM = "pem"
    ANDROID = "android"


@privacy.command("make")
def make(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Make a key; a running server takes it within seconds, and older keys still open.

    Example: opencarrier privacy make
    """
    with installation(data) as base, base.store.write() as unit:
        made = taken(base.identity.privacy.make(unit, name=base.settings.domain))
    emit(_shown(made), as_json=as_json)


@privacy.command("list")
def show_all(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show the keys, the one that lasts longest first.

    Example: opencarrier privacy list
    """
    with installation(data) as base, base.store.read() as unit:
        keys = base.identity.privacy.all(unit)
    emit(
        {"keys": [_shown(key) for key in keys]},
        as_json=as_json,
        empty="make one: opencarrier privacy make",
    )


@privacy.command("export")
def export(
    identifier: Identifier,
    form: Annotated[Form, typer.Option("--form", help="A certificate, or Android's JSON.")] = (
        Form.PEM
    ),
    data: Data = DEFAULT_DATA,
) -> None:
    """Print what phones are given: for `imsi_privacy_cert`, or to be served to Android's carriers.

    Example: opencarrier privacy export CertificateSerialNumber=1a2b --form android > keys.json
    """
    with installation(data) as base, base.store.read() as unit:
        keys = {key.identifier: key for key in base.identity.privacy.all(unit)}
    if identifier not in keys:
        raise CommandError(
            Exit.REFUSED, f"unknown_key: {identifier}", "opencarrier privacy list shows the keys"
        )
    typer.echo(_exported(keys[identifier], form), nl=False)


@privacy.command("remove")
def remove(identifier: Identifier, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Destroy a key: phones that still use it are turned away until they have another.

    Example: opencarrier privacy remove CertificateSerialNumber=1a2b
    """
    with installation(data) as base, base.store.write() as unit:
        gone = taken(base.identity.privacy.remove(unit, identifier))
    emit({"removed": gone.identifier}, as_json=as_json)


def _shown(key: PrivacyKey) -> dict[str, Any]:
    return {"identifier": key.identifier, "expires_us": key.expires_us}


def _exported(key: PrivacyKey, form: Form) -> str:
    if form is Form.PEM:
        return key.certificate
    import json

    entry = {
        "key-identifier": key.identifier,
        "certificate": key.certificate.replace("\n", "\r\n").strip(),
        "key-type": "WLAN",
    }
    return json.dumps({"carrier-keys": [entry]}, indent=1) + "\n"
