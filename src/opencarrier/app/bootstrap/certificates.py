"""Where the TLS of EAP-TLS and EAP-TTLS gets its certificates: files that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from opencarrier.access.tls_files import TlsFiles, TlsFilesError, TlsPaths
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder, FolderError


def eap_certificates(
    folder: Folder, settings: Settings, monotonic_s: Callable[[], float] = monotonic
) -> TlsFiles | None:
    """Open the files, None where no chain is named: only SIMs get on then."""
    if not settings.eap_chain:
        return None
    if not settings.eap_key:
        raise FolderError("eap_chain is set and eap_key is not", "set eap_key to its key's file")
    root = folder.root
    paths = TlsPaths(
        chain=root / settings.eap_chain,
        key=root / settings.eap_key,
        anchors=root / settings.eap_roots if settings.eap_roots else None,
        revocations=root / settings.eap_lists if settings.eap_lists else None,
        staple=root / settings.eap_staple if settings.eap_staple else None,
        version_min=settings.eap_tls_min,
    )
    try:
        return TlsFiles(paths, monotonic_s)
    except TlsFilesError as error:
        raise FolderError(str(error), error.hint) from None
