"""Certificates that settings name: whether they fit together, and how long they hold."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from opencarrier.app.bootstrap.certificates import eap_certificates
from opencarrier.app.config import Settings
from opencarrier.app.doctor.model import Finding, Findings, broken, doubtful, good
from opencarrier.app.folder import Folder, FolderError
from opencarrier.app.radsec_trust import trust_files, trust_of_settings

DAY_US = 86_400 * 1_000_000
SOON_US = 30 * DAY_US
LIST_SOON_US = 2 * DAY_US
FILE_OCTETS_MAX = 16 * 1024 * 1024
_CRL_END = b"-----END X509 CRL-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """What certificates are for: their files, and how the daemon loads them."""

    name: str
    chain: Path
    lists: Path | None
    load: Callable[[], object]


def certificate_findings(folder: Folder, settings: Settings, now_us: int) -> Findings:
    """Each set of certificates: loaded as the daemon loads it, then dated."""
    if settings.webhook_roots:
        yield _webhook_roots(settings)
    for use in _uses(folder, settings):
        part = f"certificates of {use.name}"
        try:
            use.load()
        except FolderError as error:
            yield broken(part, str(error), error.hint)
            continue
        yield _dated(part, use.chain, now_us)
        if use.lists is not None:
            yield _lists(f"revocation lists of {use.name}", use.lists, now_us)


def _webhook_roots(settings: Settings) -> Finding:
    part = "roots of webhooks"
    try:
        ssl.create_default_context(cafile=settings.webhook_roots)
    except OSError as error:
        fix = "let webhook_roots name a file of certificates (PEM) that this user reads, or nothing"
        return broken(part, f"{settings.webhook_roots}: {error.strerror or error}", fix)
    return good(part, f"{settings.webhook_roots} can be read")


def _uses(folder: Folder, settings: Settings) -> Iterator[_Use]:
    root = folder.root
    if settings.eap_chain:
        yield _Use(
            name="EAP",
            chain=root / settings.eap_chain,
            lists=root / settings.eap_lists if settings.eap_lists else None,
            load=lambda: eap_certificates(folder, settings),
        )
    if settings.radsec_chain or settings.radsec_key or settings.radsec_roots:
        files = trust_files(folder, settings)
        yield _Use(
            name="RadSec",
            chain=files.chain,
            lists=files.lists,
            load=lambda: trust_of_settings(folder, settings),
        )


def _dated(part: str, chain: Path, now_us: int) -> Finding:
    """The certificate of the chain that ends first."""
    certificates = x509.load_pem_x509_certificates(chain.read_bytes()[:FILE_OCTETS_MAX])
    begins, whose = max((one.not_valid_before_utc, _name(one)) for one in certificates)
    if begins.timestamp() * 1_000_000 > now_us:
        return broken(part, f"{whose} holds from {begins:%Y-%m-%d %H:%M} UTC on", "see the clock")
    ends, whose = min((one.not_valid_after_utc, _name(one)) for one in certificates)
    found = f"{whose} holds until {ends:%Y-%m-%d %H:%M} UTC"
    fix = f"put a renewed chain and key at {chain}; a running process takes it up by itself"
    left_us = int(ends.timestamp()) * 1_000_000 - now_us
    if left_us <= 0:
        return broken(part, found, fix)
    return doubtful(part, found, fix) if left_us < SOON_US else good(part, found)


def _lists(part: str, path: Path, now_us: int) -> Finding:
    """The list that is out of date first: with one that is, no certificate of it is taken."""
    parts = path.read_bytes()[:FILE_OCTETS_MAX].split(_CRL_END)[:-1]
    lists = [x509.load_pem_x509_crl(one + _CRL_END) for one in parts]
    dated = [one.next_update_utc for one in lists if one.next_update_utc is not None]
    if not dated:
        return good(part, f"{len(lists)} lists that never end")
    first = min(dated)
    found = f"the next of {len(lists)} ends at {first:%Y-%m-%d %H:%M} UTC"
    fix = f"fetch the authorities' new lists into {path}; a running process takes them up by itself"
    left_us = int(first.timestamp()) * 1_000_000 - now_us
    if left_us <= 0:
        return broken(part, found, fix)
    return doubtful(part, found, fix) if left_us < LIST_SOON_US else good(part, found)


def _name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else "a certificate"
