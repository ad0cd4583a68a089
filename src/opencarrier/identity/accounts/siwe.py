"""Sign-In with Ethereum (EIP-4361): the message, written and read by its grammar, and judged.

A message is read strictly: other spacing, another order of fields, or anything after the last one
is no message. What a wallet signed is the octets, so nothing is mended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, Address, checksummed, recover

MESSAGE_OCTETS_MAX = 4_096
AGE_S_MAX = 600
"""How far an end may lie behind the issue: who signs lets in for minutes, not for days."""

SKEW_S = 60
"""How far a wallet's clock may be ahead of ours."""

_DATE_TIME: Final = r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})"
_MESSAGE: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<domain>[^\s/?#@]+)"
    r" wants you to sign in with your Ethereum account:\n"
    r"(?P<address>0x[0-9A-Fa-f]{40})\n"
    r"\n"
    r"(?:(?P<statement>[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;= ]+)\n)?"
    r"\n"
    r"URI: (?P<uri>[A-Za-z][A-Za-z0-9+.-]*:[^\s]*)\n"
    r"Version: (?P<version>1)\n"
    r"Chain ID: (?P<chain_id>\d{1,18})\n"
    r"Nonce: (?P<nonce>[A-Za-z0-9]{8,128})\n"
    rf"Issued At: (?P<issued_at>{_DATE_TIME})"
    rf"(?:\nExpiration Time: (?P<expiration_time>{_DATE_TIME}))?"
    rf"(?:\nNot Before: (?P<not_before>{_DATE_TIME}))?"
    r"(?:\nRequest ID: (?P<request_id>[A-Za-z0-9\-._~!$&'()*+,;=:@%]*))?"
    r"(?P<resources>\nResources:(?:\n- [A-Za-z][A-Za-z0-9+.-]*:[^\s]*)*)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The fields of a message; instants in microseconds, None where the message has none."""

    domain: str
    address: Address
    uri: str
    chain_id: int
    nonce: str
    issued_us: int
    expires_us: int | None = None
    not_before_us: int | None = None
    scheme: str | None = None
    statement: str | None = None
    request_id: str | None = None
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a message to us says: our origin, our chain, our words."""

    scheme: str
    domain: str
    chain_id: int
    statement: str

    @property
    def uri(self) -> str:
        """The origin as a URI, without a path."""
        return f"{self.scheme}://{self.domain}"


def write(message: Message) -> str:
    """Write a message; source: the ABNF of EIP-4361."""
    scheme = "" if message.scheme is None else f"{message.scheme}://"
    statement = "" if message.statement is None else f"{message.statement}\n"
    lines = [
        f"{scheme}{message.domain} wants you to sign in with your Ethereum account:",
        checksummed(message.address),
        "",
        f"{statement}",
        f"URI: {message.uri}",
        "Version: 1",
        f"Chain ID: {message.chain_id}",
        f"Nonce: {message.nonce}",
        f"Issued At: {_written(message.issued_us)}",
    ]
    if message.expires_us is not None:
        lines.append(f"Expiration Time: {_written(message.expires_us)}")
    if message.not_before_us is not None:
        lines.append(f"Not Before: {_written(message.not_before_us)}")
    if message.request_id is not None:
        lines.append(f"Request ID: {message.request_id}")
    if message.resources:
        lines += ["Resources:", *(f"- {uri}" for uri in message.resources)]
    return "\n".join(lines)


def read(text: str) -> Message:
    """Read a message; `PeerError` for anything that is none."""
    if len(text.encode("utf-8", "replace")) > MESSAGE_OCTETS_MAX:
        raise PeerError("siwe_too_long", f"over {MESSAGE_OCTETS_MAX} octets")
    found = _MESSAGE.fullmatch(text)
    if found is None:
        raise PeerError("siwe_malformed", "not a message of EIP-4361")
    address = Address(found["address"].lower())
    if checksummed(address) != found["address"]:
        raise PeerError("siwe_address", "the address is not checksummed (EIP-55)")
    resources = found["resources"]
    return Message(
        domain=found["domain"],
        address=address,
        uri=found["uri"],
        chain_id=int(found["chain_id"]),
        nonce=found["nonce"],
        issued_us=_read(found["issued_at"]),
        expires_us=_read_optional(found["expiration_time"]),
        not_before_us=_read_optional(found["not_before"]),
        scheme=found["scheme"],
        statement=found["statement"],
        request_id=found["request_id"],
        resources=() if not resources else tuple(resources.split("\n- ")[1:]),
    )


def objection(message: Message, expected: Expected, *, now_us: int) -> str:
    """Say which field of a message is not as it has to be, nothing where all are.

    The nonce is judged by who made it. An end is required, at most `AGE_S_MAX` after the issue.
    """
    skew_us, age_us = SKEW_S * SECOND_US, AGE_S_MAX * SECOND_US
    starts_us = max(message.issued_us, message.not_before_us or 0)
    ends_us = message.expires_us
    faults = {
        "scheme": message.scheme not in (None, expected.scheme),
        "domain": message.domain != expected.domain,
        "uri": message.uri.removesuffix("/") != expected.uri,
        "chain_id": message.chain_id != expected.chain_id,
        "statement": message.statement != expected.statement,
        "request_id": message.request_id is not None,
        "resources": message.resources != (),
        "not_yet": starts_us > now_us + skew_us,
        "expiration": ends_us is None or not 0 < ends_us - message.issued_us <= age_us,
        "expired": ends_us is not None and ends_us <= now_us,
    }
    return next((name for name, faulty in faults.items() if faulty), "")


def signer(text: str, signature: bytes) -> Address | None:
    """Return whose key signed a text as wallets do (EIP-191 version 0x45), None where nobody's.

    Some hardware wallets write the recovery id as 0 or 1 instead of 27 or 28.
    """
    if len(signature) == SIGNATURE_OCTETS and signature[64] in (0, 1):
        signature = signature[:64] + bytes((signature[64] + 27,))
    return recover(digest(text), signature)


def digest(text: str) -> bytes:
    """Return what wallets sign of a text (EIP-191 version 0x45)."""
    octets = text.encode()
    return keccak(b"\x19Ethereum Signed Message:\n" + str(len(octets)).encode() + octets)


def _written(at_us: int) -> str:
    instant = datetime.fromtimestamp(at_us // SECOND_US, UTC)
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _read_optional(text: str | None) -> int | None:
    return None if text is None else _read(text)


def _read(text: str) -> int:
    """Return an instant of RFC 3339 in microseconds."""
    try:
        instant = datetime.fromisoformat(text.upper())
        return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise PeerError("siwe_instant", "an instant of no calendar") from None
