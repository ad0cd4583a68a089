"""The certificates RadSec is served and asked with, as an installation's settings name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from opencarrier.access.radsec.trust import Trust, TrustFiles
from opencarrier.app.bootstrap import Installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder, FolderError

NAMED_TOGETHER = ("radsec_chain", "radsec_key", "radsec_roots")


def trust_of(base: Installation) -> Trust | None:
    """Load the RadSec certificates that an installation's settings name; None without."""
    return trust_of_settings(base.folder, base.settings)


def trust_of_settings(folder: Folder, settings: Settings) -> Trust | None:
    """Load the RadSec certificates that settings name, relative to the folder; None without.

    `FolderError` where they cannot be used.
    """
    named = {name: getattr(settings, name) for name in NAMED_TOGETHER}
    if not any(named.values()):
        return None
    missing = [name for name, path in named.items() if not path]
    if missing:
        raise FolderError(f"RadSec needs {' and '.join(missing)} too", "see: opencarrier pki")
    files = trust_files(folder, settings)
    try:
        return Trust(files)
    except (OSError, ValueError) as error:
        raise FolderError(
            f"RadSec certificates: {error}", f"see to {_names(files)}; opencarrier pki makes some"
        ) from None


def trust_files(folder: Folder, settings: Settings) -> TrustFiles:
    """Return where they are."""
    root = folder.root
    return TrustFiles(
        chain=root / settings.radsec_chain,
        key=root / settings.radsec_key,
        roots=root / settings.radsec_roots,
        lists=root / settings.radsec_lists if settings.radsec_lists else None,
    )


def _names(files: TrustFiles) -> str:
    found: Sequence[Path | None] = (files.chain, files.key, files.roots, files.lists)
    return " ".join(str(path) for path in found if path is not None)
