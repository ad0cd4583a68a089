"""The commands of `identity` as plain functions: text in, one object out; secrets from files only.

Each function takes the open unit and returns what `--json` prints, or the refusal. What was typed
or filed wrongly raises `InputError`, with a hint. No secret is ever an argument, a result or part
of a message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection

from opencarrier.identity.model import IdentityReason, Login, PartyKind, SimKeys
from opencarrier.identity.places.rules import read_place
from opencarrier.identity.rules import RADIUS_SECRET_OCTETS_ADVISED, is_certificate_name
from opencarrier.identity.service import Identity
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import KeySigner
from opencarrier.spine.access import Credential, CredentialKind
from opencarrier.spine.parties import PartyId, RadiusClient, Subscriber

Result = dict[str, Any] | Refusal

SECRET_FILE_OCTETS_MAX = 4096
CERTIFICATE_FILE_OCTETS_MAX = 65_536
STANDARD_INPUT = "-"
KEY_DIGITS = 32
"""Of a SIM's keys: 128 bits."""

ACCOUNT_KEY_DIGITS = 64

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_SHARE = re.compile(r"[0-9]{1,7}")


class InputError(ValueError):
    """An input cannot be used: which, and on its own line what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def operator_add(
    identity: Identity,
    unit: Connection,
    *,
    name: str,
    jurisdiction: str,
    realms: Sequence[str] = (),
    plmns: Sequence[str] = (),
    address: str | None = None,
) -> Result:
    """`operator add`: an operator with its realms and network codes; a key is made if none."""
    made = identity.register.add_operator(
        unit, name=name, jurisdiction=jurisdiction, realms=realms, plmns=plmns, address=address
    )
    if isinstance(made, Refusal):
        return made
    return {
        "party_id": made.party_id,
        "name": made.name,
        "address": made.address,
        "jurisdiction": made.jurisdiction,
        "realms": list(made.realms),
        "plmns": list(made.plmns),
    }


def host_add(
    identity: Identity, unit: Connection, *, name: str, payout: str | None = None
) -> Result:
    """`host add --payout`: whoever owns nodes; without an address a key is made and held here."""
    made = identity.register.add_host(unit, name=name, payout=payout)
    if isinstance(made, Refusal):
        return made
    return {"party_id": made.party_id, "name": made.name, "payout": made.payout}


def host_split(identity: Identity, unit: Connection, *, name: str, to: Sequence[str]) -> Result:
    """`host split --to ADDRESS=PPM`: whom a host's shares of later cycles go to."""
    named = [_read_share(text) for text in to]
    host = find(identity, unit, PartyKind.HOST, name)
    if isinstance(host, Refusal):
        return host
    made = identity.register.split_host(unit, host, named)
    if isinstance(made, Refusal):
        return made
    return {"party_id": host, "shares_ppm": {one.payout: one.share_ppm for one in made}}


def node_add(
    identity: Identity,
    unit: Connection,
    *,
    node_id: str,
    operator: str,
    host: str,
    nas_identifier: str | None = None,
    place: str = "",
) -> Result:
    """`node add`: an access point of a host, serving for an operator, on whose word it is there."""
    owner = find(identity, unit, PartyKind.OPERATOR, operator)
    owned_by = find(identity, unit, PartyKind.HOST, host)
    if isinstance(owner, Refusal):
        return owner
    if isinstance(owned_by, Refusal):
        return owned_by
    where = read_place(place, owner) if place else None
    if isinstance(where, Refusal):
        return where
    made = identity.register.add_node(
        unit, node_id=node_id, operator=owner, host=owned_by, nas_identifier=nas_identifier
    )
    if isinstance(made, Refusal):
        return made
    if where is not None:
        refusal = identity.places.put(unit, made.node_id, where)
        assert refusal is None, refusal
    return {
        "node_id": made.node_id,
        "nas_identifier": made.nas_identifier,
        "operator": made.operator,
        "host": made.host,
        "place": None if where is None else asdict(where),
    }


def client_add(
    identity: Identity,
    unit: Connection,
    *,
    prefix: str,
    operator: str,
    secret: bytes | None = None,
    client_id: str | None = None,
) -> Result:
    """`client add --secret-file`: a source or a certificate that speaks RADIUS for an operator."""
    if secret is None and not is_certificate_name(prefix):
        raise InputError(f"{prefix} needs a shared secret", "name its file with --secret-file")
    owner = find(identity, unit, PartyKind.OPERATOR, operator)
    if isinstance(owner, Refusal):
        return owner
    made = identity.clients.add(
        unit, prefix=prefix, secret=secret or b"", operator=owner, client_id=client_id
    )
    if isinstance(made, Refusal):
        return made
    short = secret is not None and len(secret) < RADIUS_SECRET_OCTETS_ADVISED
    return {
        "client_id": made.client_id,
        "prefix": made.prefix,
        "operator": made.operator,
        "warnings": ["the shared secret is shorter than 16 octets"] if short else [],
    }


def client_protect(
    identity: Identity,
    unit: Connection,
    *,
    client_id: str,
    require_message_authenticator: bool | None,
    limit_proxy_state: bool,
) -> Result:
    """`client protect`: what a client's packets without Message-Authenticator are worth."""
    made = identity.clients.protect(
        unit,
        client_id,
        require_message_authenticator=require_message_authenticator,
        limit_proxy_state=limit_proxy_state,
    )
    return made if isinstance(made, Refusal) else _client_line(made)


def client_list(identity: Identity, unit: Connection) -> dict[str, Any]:
    """`client list`: all clients, without their secrets."""
    return {"clients": [_client_line(one) for one in identity.clients.all(unit)]}


def client_remove(identity: Identity, unit: Connection, *, client_id: str) -> Result:
    """`client remove`: its packets are a stranger's from then on, its connections are closed."""
    refusal = identity.clients.remove(unit, client_id)
    return refusal or {"client_id": client_id, "removed": True}


def _client_line(client: RadiusClient) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "prefix": client.prefix,
        "operator": client.operator,
        "require_message_authenticator": client.require_message_authenticator,
        "limit_proxy_state": client.limit_proxy_state,
    }


def subscriber_add(
    identity: Identity,
    unit: Connection,
    *,
    operator: str,
    plan_id: str,
    imsi: str,
    keys: SimKeys,
    name: str | None = None,
) -> Result:
    """`subscriber add --imsi --ki-file --opc-file`: a subscriber of a home operator with its SIM.

    Without a name it bears that of its IMSI, kept in this installation only.
    """
    home = find(identity, unit, PartyKind.OPERATOR, operator)
    if isinstance(home, Refusal):
        return home
    with unit.begin_nested() as savepoint:
        made = identity.subscriptions.add(unit, name=name or imsi, home=home, plan_id=plan_id)
        if isinstance(made, Refusal):
            return made
        credential = identity.subscriptions.add_credential(
            unit, subscriber=made.party_id, imsi=imsi, keys=keys
        )
        if isinstance(credential, Refusal):
            savepoint.rollback()
            return credential
    return {
        "party_id": made.party_id,
        "operator": made.home,
        "plan": made.plan_id,
        "imsi": credential.imsi,
    }


def person_add(
    identity: Identity, unit: Connection, *, operator: str, plan_id: str, name: str
) -> Result:
    """`subscriber add --name`: a subscriber without a SIM; certificates and passwords follow."""
    home = find(identity, unit, PartyKind.OPERATOR, operator)
    if isinstance(home, Refusal):
        return home
    made = identity.subscriptions.add(unit, name=name, home=home, plan_id=plan_id)
    if isinstance(made, Refusal):
        return made
    return {"party_id": made.party_id, "operator": made.home, "plan": made.plan_id, "imsi": None}


def credential_list(identity: Identity, unit: Connection, subscriber: PartyId) -> dict[str, Any]:
    """`subscriber credential list`: how each certificate and password of a subscriber stands."""
    return {
        "subscriber": subscriber,
        "credentials": [credential(one) for one in identity.logins.of(unit, subscriber)],
    }


def credential(made: Login) -> dict[str, Any]:
    """A certificate or a password as `--json` prints it: how it stands, nothing secret."""
    return {
        "subscriber": made.subscriber,
        "kind": made.credential.kind.value,
        "value": made.credential.value,
        "expires_us": made.expires_us,
        "revoked_us": made.revoked_us,
    }


def credential_named(text: str) -> Credential:
    """Return what a value names: 64 hex digits a certificate, anything else a user."""
    digits = text.lower().replace(":", "")
    if _FINGERPRINT.fullmatch(digits):
        return Credential(CredentialKind.CERTIFICATE, digits)
    return Credential(CredentialKind.PASSWORD, text.lower())


def read_password(password_file: str, *, standard_input: TextIO) -> str:
    """Read a password: the one line of a file, without its line end."""
    return _read(password_file, "the password", standard_input)


def read_certificate(file: str, *, standard_input: TextIO) -> bytes:
    """Read a certificate in PEM."""
    if file == STANDARD_INPUT:
        return standard_input.read(CERTIFICATE_FILE_OCTETS_MAX).encode()
    return _read_file(Path(file), "the certificate", CERTIFICATE_FILE_OCTETS_MAX).encode()


def find(identity: Identity, unit: Connection, kind: PartyKind, text: str) -> PartyId | Refusal:
    """Return the party of a kind that a name or an id means, or the refusal that it is unknown."""
    found = identity.directory.named(unit, kind, text)
    if found is not None:
        return found.party_id
    reasons = {
        PartyKind.OPERATOR: IdentityReason.UNKNOWN_OPERATOR,
        PartyKind.HOST: IdentityReason.UNKNOWN_HOST,
        PartyKind.SUBSCRIBER: IdentityReason.UNKNOWN_SUBSCRIBER,
    }
    return Refusal(reasons.get(kind, IdentityReason.UNKNOWN_PARTY), f"no {kind} is {text!r}")


def find_subscriber(identity: Identity, unit: Connection, who: str) -> Subscriber | Refusal:
    """Return the subscriber that an IMSI, a name or an id means, or that it is unknown."""
    found = identity.directory.subscriber_by_imsi(unit, who)
    if found is not None:
        return found
    party = find(identity, unit, PartyKind.SUBSCRIBER, who)
    if isinstance(party, Refusal):
        return party
    found = identity.directory.subscriber(unit, party)
    assert found is not None, "who is found by name or id is a subscriber"
    return found


def read_sim_keys(*, ki_file: str, opc_file: str, standard_input: TextIO) -> SimKeys:
    """Read K and OPc, 32 hex digits each; `-` for both reads two lines of standard input."""
    if ki_file == opc_file == STANDARD_INPUT:
        lines = standard_input.read(SECRET_FILE_OCTETS_MAX).splitlines()
        if len(lines) != 2:
            raise InputError(
                f"standard input has {len(lines)} lines, not two", "K first, OPc on the next line"
            )
        return SimKeys(_hex_key(lines[0], "K"), _hex_key(lines[1], "OPc"))
    return SimKeys(
        _hex_key(_read(ki_file, "K", standard_input), "K"),
        _hex_key(_read(opc_file, "OPc", standard_input), "OPc"),
    )


def read_secret(secret_file: str, *, standard_input: TextIO) -> bytes:
    """Read a RADIUS shared secret: the one line of a file, without its line end."""
    line = _read(secret_file, "the shared secret", standard_input)
    if not line.isprintable():
        raise InputError(
            "the shared secret has unprintable characters",
            "a shared secret is one line of printable text",
        )
    if line != line.strip():
        raise InputError(
            "the shared secret begins or ends with a blank", "remove it: access points do too"
        )
    return line.encode()


def read_account_key(key_file: str, *, standard_input: TextIO) -> KeySigner:
    """Read the secret key of a chain account: 64 hex digits."""
    line = _read(key_file, "the key", standard_input)
    secret = _hex_key(line, "the key", digits=ACCOUNT_KEY_DIGITS)
    try:
        return KeySigner(secret)
    except ValueError:
        raise InputError(
            "the key is none of secp256k1", "zero and huge numbers are no keys"
        ) from None


def _read_share(text: str) -> tuple[str, int]:
    address, _, share = text.partition("=")
    if not _SHARE.fullmatch(share):
        raise InputError(
            f"{text!r} is not ADDRESS=PPM", "write 250000 for a quarter; all sum to 1000000"
        )
    return address, int(share)


def _read(file: str, what: str, standard_input: TextIO) -> str:
    if file == STANDARD_INPUT:
        text, place = standard_input.read(SECRET_FILE_OCTETS_MAX + 1), "standard input"
    else:
        text, place = _read_file(Path(file), what), file
    if len(text) > SECRET_FILE_OCTETS_MAX:
        raise InputError(f"{place}: too long for {what}", "one line is expected")
    line = text.removesuffix("\n").removesuffix("\r")
    if not line:
        raise InputError(f"{place}: {what} is empty", "one line is expected")
    if "\n" in line or "\r" in line:
        raise InputError(f"{place}: {what} is one line, this has several", "keep one per file")
    return line


def _read_file(path: Path, what: str, octets_max: int = SECRET_FILE_OCTETS_MAX) -> str:
    try:
        with path.open("rb") as file:
            octets = file.read(octets_max + 1)
        return octets.decode()
    except OSError as error:
        raise InputError(
            f"{path}: cannot read {what}: {error.strerror}", "name a file that you may read"
        ) from None
    except UnicodeDecodeError:
        raise InputError(
            f"{path}: {what} is not text", f"write it as text, for example with: xxd -p {path}"
        ) from None


def _hex_key(line: str, what: str, *, digits: int = KEY_DIGITS) -> bytes:
    if line.startswith(("0x", "0X")):
        raise InputError(f"{what} begins with 0x", f"write the {digits} hex digits alone")
    for position, character in enumerate(line, start=1):
        if character not in "0123456789abcdefABCDEF":
            kind = "a blank" if character.isspace() else "no hex digit"
            raise InputError(
                f"{what}: character {position} is {kind}", f"write {digits} hex digits"
            )
    if len(line) != digits:
        raise InputError(
            f"{what} has {len(line)} hex digits, not {digits}", f"this key has {4 * digits} bits"
        )
    return bytes.fromhex(line)
