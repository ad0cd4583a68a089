"""A node's agent enters itself by a link: it makes its key, asks once, and writes its settings."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from opencarrier.app.node_folder import EXAMPLE, NodeFolder
from opencarrier.app.output import CommandError, Exit
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.signatures import Address
from opencarrier.spine.nodes import join_digest

LINK_CHARACTERS_MAX: Final = 1_024
ANSWER_OCTETS_MAX: Final = 16_384
TIMEOUT_S: Final = 30
SECRET_OCTETS: Final = 24
REQUEST_OCTETS: Final = 16
BESIDE_THE_HUB: Final = 20_000
"""Added to the agent's ports where the hub is on the same machine and has the usual ones."""

TRIES_MAX: Final = 3
"""How often is asked under one Idempotency-Key: what was entered is told again."""

Ask = Callable[[str, Mapping[str, str], str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """Where to ask, and the token to show there."""

    url: str
    host: str
    token: str
    is_here: bool


def read_link(text: str) -> Link:
    """Read a link as a page shows it; over plain HTTP its token goes to this machine only."""
    parts = urlsplit(text.strip()[:LINK_CHARACTERS_MAX])
    is_here = _is_loopback(parts.hostname or "")
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.fragment:
        raise CommandError(Exit.USAGE, "this is no link of a node", "copy it whole from the page")
    if parts.scheme == "http" and not is_here:
        raise CommandError(Exit.REFUSED, "the link is not https", "ask for one over TLS")
    url = parts._replace(fragment="").geturl()
    return Link(url, parts.hostname, parts.fragment, is_here)


def join(folder: NodeFolder, link: Link, entropy: Entropy, ask: Ask) -> dict[str, Any]:
    """Enter the node a link is for; the folder is then ready to be run.

    Killed at any instant it is run again with the same link: the folder keeps the key that asks.
    """
    if folder.settings_file.exists() and folder.settings_file.read_text() != EXAMPLE:
        raise CommandError(
            Exit.REFUSED, f"{folder.settings_file} is written already", "name another folder"
        )
    signer = folder.begin(entropy)
    signature = signer.sign(join_digest(link.token, Address(signer.address))).octets
    told = ask(
        link.url,
        {"token": link.token, "kid": signer.address, "signature": to_hex(signature)},
        entropy.octets("join-request", REQUEST_OCTETS).hex(),
    )
    crashpoint("node.join.told")
    _write(folder.root / "hub.secret", str(told["secret"]) + "\n")
    crashpoint("node.join.secret")
    _write(
        folder.root / "access-point.secret",
        entropy.octets("access-point-secret", SECRET_OCTETS).hex() + "\n",
    )
    _write(folder.settings_file, _settings(link, told))
    return {
        "node": told["node_id"],
        "kid": signer.address,
        "settings": str(folder.settings_file),
        "access_point_secret": str(folder.root / "access-point.secret"),
    }


def ask_over_http(url: str, body: Mapping[str, str], key: str) -> Mapping[str, Any]:
    """Post to the console; its refusal ends the command with 1.

    Where the answer is lost the same is asked again: its key is told the same until the link ends.
    """
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    request = Request(  # noqa: S310 - http or https, as the link was read
        url, data=json.dumps(body).encode(), headers=headers
    )
    why: Exception | None = None
    for _ in range(TRIES_MAX):
        try:
            with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
                told: Mapping[str, Any] = json.loads(answer.read(ANSWER_OCTETS_MAX))
                return told
        except HTTPError as error:
            raise _refused(error) from None
        except (OSError, HTTPException, ValueError) as error:
            why = error
    raise CommandError(
        Exit.UNKNOWN, f"{urlsplit(url).netloc} does not answer: {why}", "make another link"
    )


def _refused(error: HTTPError) -> CommandError:
    with error:
        try:
            problem = json.loads(error.read(ANSWER_OCTETS_MAX) or b"{}")
        except ValueError:
            problem = {}
    return CommandError(Exit.REFUSED, str(problem.get("detail", error.reason)), "make another link")


def _settings(link: Link, told: Mapping[str, Any]) -> str:
    more = BESIDE_THE_HUB if link.is_here else 0
    name = json.dumps(str(told["nas_identifier"]), ensure_ascii=False)
    return f"""\
# Written by `opencarrier node join`; see docs/guides/venue-node.md for all there is to set.
[node]
nas_identifier = {name}
host = "127.0.0.1"                  # where the access points reach the agent
auth_port = {1812 + more}
acct_port = {1813 + more}

[hub]
transport = "udp"
host = {json.dumps(link.host)}
port = {int(told["auth_port"])}
acct_port = {int(told["acct_port"])}
secret_file = "hub.secret"

[[access_point]]
name = "access-point"
prefix = "127.0.0.0/8"              # where it asks from: write its address here
secret_file = "access-point.secret" # enter the same secret in the access point
"""


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
