"""A folder that holds a test federation: authorities, what they issued, their revocation lists.

Keys are files of mode 0600 and appear in no result. The layout:

    trust.pem               all roots
    authorities.pem         roots and what is under them: for servers that judge devices
    root0.crt root0.key     and policy0, issuing0, root1, policy1, issuing1
    crls.pem                the lists of all authorities
    ends/NAME.crt           a certificate; NAME.pem: it and its chain; NAME.key
    index.json              what was issued, with its serial numbers and whether it is revoked
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from opencarrier.identity.pki import issue, names
from opencarrier.identity.pki.model import (
    DAY_S,
    Algorithm,
    Branch,
    Holder,
    PkiReason,
    PublicKey,
    Revoked,
    Role,
    Wanted,
)
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal

BRANCHES = 2
CRL_VALID_S = 7 * DAY_S
ENDS_MAX = 10_000

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_AUTHORITIES = ("root", "policy", "issuing")

Entry = dict[str, Any]
"""One certificate of the index: serial, not_after_us, revoked_us and the rest of `_entry`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A certificate to be issued under a name: in which branch, with what kind of key.

    Where `key` is given its holder keeps the private one: only the certificate is written.
    """

    name: str
    wanted: Wanted
    branch: int = BRANCHES - 1
    algorithm: Algorithm = Algorithm.EC
    key: PublicKey | None = None


class PkiFolder:
    """Everything `opencarrier pki` does, one call a command."""

    def __init__(self, root: Path, *, clock: Clock, entropy: Entropy) -> None:
        self.root = root
        self._clock = clock
        self._entropy = entropy

    @property
    def begun(self) -> bool:
        """Whether a federation stands here."""
        return (self.root / "index.json").exists()

    def begin(self, algorithm: Algorithm) -> Entry | Refusal:
        """Make two roots, each with a policy and an issuing authority; once."""
        if self.begun:
            return Refusal(PkiReason.EXISTS, f"{self.root} holds a federation")
        (self.root / "ends").mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.chmod(0o700)
        made = issue.federation(
            entropy=self._entropy, now_us=self._clock.now_us(), algorithm=algorithm, roots=BRANCHES
        )
        for number, branch in enumerate(made.branches):
            for word, holder in zip(_AUTHORITIES, branch.authorities, strict=True):
                _write(self.root / f"{word}{number}.crt", holder.certificate_pem)
                _write(self.root / f"{word}{number}.key", holder.key_pem, secret=True)
        _write(self.root / "trust.pem", made.trust_pem)
        _write(self.root / "authorities.pem", made.authorities_pem)
        self._keep({"crl_number": 0, "ends": {}})
        return self.write_lists(CRL_VALID_S)

    def issue(self, order: Order) -> Entry | Refusal:
        """Issue a certificate under a name that nothing stands under yet."""
        if not _NAME.fullmatch(order.name):
            return Refusal(PkiReason.INVALID_NAME, f"{order.name!r}: letters, digits, . _ -")
        with self._locked():
            index = self._index()
            if order.name in index["ends"]:
                return Refusal(PkiReason.EXISTS, f"{order.name} was issued: renew it")
            if len(index["ends"]) >= ENDS_MAX:
                return Refusal(PkiReason.EXISTS, f"{ENDS_MAX} names are issued")
            return self._issue(index, order)

    def renew(self, name: str, key: PublicKey | None = None) -> Entry | Refusal:
        """Issue a certificate of the same content again, with a new key; the old one stays good.

        Whoever holds its own key brings the new one.
        """
        with self._locked():
            index = self._index()
            last = self._last(index, name)
            if isinstance(last, Refusal):
                return last
            if last["held"] != (key is None):
                return Refusal(
                    PkiReason.INVALID_KEY, f"{name}: who holds the key brings the new one"
                )
            again = Order(
                name=name,
                wanted=_wanted(last["wanted"]),
                branch=last["branch"],
                algorithm=Algorithm(last["algorithm"]),
                key=key,
            )
            return self._issue(index, again)

    def revoke(self, name: str, reason: x509.ReasonFlags) -> Entry | Refusal:
        """Take back the newest certificate of a name, and write the lists anew."""
        with self._locked():
            index = self._index()
            last = self._last(index, name)
            if isinstance(last, Refusal):
                return last
            if last["revoked_us"] is not None:
                return Refusal(PkiReason.REVOKED, f"{name} is revoked")
            last["revoked_us"] = self._clock.now_us()
            last["reason"] = reason.value
            self._keep(index)
            self._lists(index, CRL_VALID_S)
            return {"name": name, **_shown(last)}

    def write_lists(self, valid_s: int) -> Entry:
        """Write every authority's revocation list, numbered one on."""
        with self._locked():
            return self._lists(self._index(), valid_s)

    def status(self, name: str, valid_s: int) -> Entry | Refusal:
        """Write an OCSP response of the newest certificate of a name, to be stapled to it."""
        with self._locked():
            index = self._index()
            last = self._last(index, name)
            if isinstance(last, Refusal):
                return last
            path = self.root / "ends" / f"{name}.ocsp"
            made = issue.status_response(
                self.branch(last["branch"]).issuing,
                x509.load_pem_x509_certificate(path.with_suffix(".crt").read_bytes()),
                _taken_back(last),
                now_us=self._clock.now_us(),
                valid_s=valid_s,
            )
            _write(path, made.public_bytes(Encoding.DER))
        next_us = self._clock.now_us() + valid_s * SECOND_US
        return {"name": name, "response": str(path), "next_us": next_us, **_shown(last)}

    def show(self) -> Entry:
        """Tell what was issued; no key is part of it."""
        index = self._index()
        ends = {name: [_shown(one) for one in made] for name, made in index["ends"].items()}
        trust = str(self.root / "trust.pem")
        return {"crl_number": index["crl_number"], "trust": trust, "ends": ends}

    def has(self, name: str) -> bool:
        """Say whether something was issued under a name."""
        return self.begun and name in self._index()["ends"]

    def newest(self) -> Branch:
        """Read the current root's branch."""
        return self.branch(BRANCHES - 1)

    def anchors(self) -> tuple[x509.Certificate, ...]:
        """Read the roots, the current one first."""
        roots = x509.load_pem_x509_certificates((self.root / "trust.pem").read_bytes())
        return tuple(reversed(roots))

    def branch(self, number: int) -> Branch:
        """Read one branch's authorities with their keys."""
        holders: list[Holder] = []
        for word in _AUTHORITIES:
            above = holders[-1] if holders else None
            holders.append(_read(self.root / f"{word}{number}", above))
        return Branch(*holders)

    def holder(self, name: str) -> Holder:
        """Read an end's certificate, key and chain."""
        last = self._index()["ends"][name][-1]
        return _read(self.root / "ends" / name, self.branch(last["branch"]).issuing)

    def _issue(self, index: Entry, order: Order) -> Entry | Refusal:
        if order.branch not in range(BRANCHES):
            return Refusal(PkiReason.UNKNOWN, f"no root {order.branch}")
        issuer = self.branch(order.branch).issuing
        key = order.key or issue.make_key(order.algorithm)
        public = key if isinstance(key, PublicKey) else key.public_key()
        made = issue.certify(
            issuer, order.wanted, public, entropy=self._entropy, now_us=self._clock.now_us()
        )
        if isinstance(made, Refusal):
            return made
        base = self.root / "ends" / order.name
        own = made.public_bytes(Encoding.PEM)
        if not isinstance(key, PublicKey):
            _write(base.with_name(f"{order.name}.key"), Holder(made, key).key_pem, secret=True)
        _write(base.with_name(f"{order.name}.crt"), own)
        _write(base.with_name(f"{order.name}.pem"), own + issuer.chain_pem)
        entry = _entry(made, order)
        index["ends"].setdefault(order.name, []).append(entry)
        self._keep(index)
        return {"name": order.name, "folder": str(base.parent), **_shown(entry)}

    def _lists(self, index: Entry, valid_s: int) -> Entry:
        number = index["crl_number"] + 1
        now_us = self._clock.now_us()
        octets = b""
        for at in range(BRANCHES):
            branch = self.branch(at)
            for holder in branch.authorities:
                back = _revoked(index, at) if holder is branch.issuing else []
                made = issue.revocation_list(
                    holder, back, number=number, now_us=now_us, valid_s=valid_s
                )
                octets += made.public_bytes(Encoding.PEM)
        _write(self.root / "crls.pem", octets)
        index["crl_number"] = number
        self._keep(index)
        return {
            "folder": str(self.root),
            "crl_number": number,
            "next_us": now_us + valid_s * SECOND_US,
        }

    def _last(self, index: Entry, name: str) -> Entry | Refusal:
        found: list[Entry] = index["ends"].get(name, [])
        return found[-1] if found else Refusal(PkiReason.UNKNOWN, f"nothing was issued as {name}")

    def _index(self) -> Entry:
        found: Entry = json.loads((self.root / "index.json").read_text())
        return found

    def _keep(self, index: Entry) -> None:
        _write(self.root / "index.json", json.dumps(index, indent=1).encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _write(path: Path, octets: bytes, *, secret: bool = False) -> None:
    """Write a file whole or not at all; a secret is never readable by others."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    mode = 0o600 if secret else 0o644
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
    temporary.replace(path)


def _read(base: Path, issuer: Holder | None) -> Holder:
    certificate = x509.load_pem_x509_certificate(base.with_name(f"{base.name}.crt").read_bytes())
    key = load_pem_private_key(base.with_name(f"{base.name}.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey), "we wrote it"
    return Holder(certificate, key, issuer)


def _entry(made: x509.Certificate, order: Order) -> Entry:
    return {
        "serial": f"{made.serial_number:x}",
        "sha256": names.fingerprint(made),
        "not_after_us": int(made.not_valid_after_utc.timestamp()) * SECOND_US,
        "revoked_us": None,
        "reason": None,
        "branch": order.branch,
        "algorithm": order.algorithm.value,
        "held": order.key is None,
        "wanted": asdict(order.wanted),
    }


def _shown(entry: Entry) -> Entry:
    told = ("serial", "sha256", "not_after_us", "revoked_us", "reason", "branch")
    return {"role": entry["wanted"]["role"], **{word: entry[word] for word in told}}


def _wanted(told: Entry) -> Wanted:
    lists = ("dns_names", "addresses", "nai_realms", "consortia")
    role = Role(told["role"])
    return Wanted(**{**told, **{word: tuple(told[word]) for word in lists}, "role": role})


def _revoked(index: Entry, branch: int) -> list[Revoked]:
    found = (
        _taken_back(one)
        for made in index["ends"].values()
        for one in made
        if one["branch"] == branch
    )
    return [one for one in found if one is not None]


def _taken_back(entry: Entry) -> Revoked | None:
    """When and why a certificate was revoked, None where it was not."""
    if entry["revoked_us"] is None:
        return None
    return Revoked(int(entry["serial"], 16), entry["revoked_us"], x509.ReasonFlags(entry["reason"]))
