"""Certificates from files, read again when they change: no restart, never a half-changed set."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from opencarrier.access.wire.tls_material import TlsMaterial

_log = logging.getLogger(__name__)

RECHECK_S = 1.0
FILE_OCTETS_MAX = 16 * 1024 * 1024
"""Of one file: a list of revocations with a hundred thousand entries has four million."""

_Stamp = tuple[tuple[int, int, int], ...]


class TlsFilesError(Exception):
    """The files cannot be used as they are; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPaths:
    """Where the certificates are; anchors, revocations and what is stapled may be left out.

    What is stapled may come and go: without it nothing is.
    """

    chain: Path
    key: Path
    anchors: Path | None = None
    revocations: Path | None = None
    staple: Path | None = None
    version_min: str = "1.2"

    @property
    def named(self) -> tuple[Path, ...]:
        """Every file there should be."""
        every = (self.chain, self.key, self.anchors, self.revocations)
        return tuple(path for path in every if path is not None)


class TlsFiles:
    """Answers `MaterialSource` from files; a set that does not fit together is not taken.

    Whoever renews a chain and its key writes two files: in between the old set stays in use.
    """

    def __init__(self, paths: TlsPaths, monotonic: Callable[[], float]) -> None:
        self._paths = paths
        self._monotonic = monotonic
        self._checked_s = monotonic()
        self._stamp = self._stamp_now()
        self._material = self._read()

    def current(self) -> TlsMaterial:
        """The certificates as they were at most a second ago, or the last set that was usable."""
        now_s = self._monotonic()
        if now_s - self._checked_s >= RECHECK_S:
            self._checked_s = now_s
            self._look()
        return self._material

    def _look(self) -> None:
        try:
            stamp = self._stamp_now()
            if stamp == self._stamp:
                return
            self._material = self._read()
        except TlsFilesError as error:
            _log.warning("certificates stay as they were: %s", error)
            return
        self._stamp = stamp
        _log.info("certificates were read again")

    def _stamp_now(self) -> _Stamp:
        try:
            found = [path.stat() for path in self._paths.named]
        except OSError as error:
            raise _unreadable(error) from None
        staple = self._paths.staple
        if staple is not None and staple.exists():
            found.append(staple.stat())
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)

    def _read(self) -> TlsMaterial:
        paths = self._paths
        material = TlsMaterial(
            chain=_octets(paths.chain),
            key=_octets(paths.key),
            anchors=_octets(paths.anchors),
            revocations=_octets(paths.revocations),
            staple=_octets(paths.staple) if paths.staple and paths.staple.exists() else b"",
            version_min=paths.version_min,
        )
        reason = _why_unusable(material)
        if reason:
            names = ", ".join(map(str, paths.named))
            raise TlsFilesError(
                f"{names}: {reason}", "PEM: the chain leaf first, its own key unencrypted"
            )
        return material


def _octets(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        with path.open("rb") as file:
            octets = file.read(FILE_OCTETS_MAX + 1)
    except OSError as error:
        raise _unreadable(error) from None
    if not 0 < len(octets) <= FILE_OCTETS_MAX:
        raise TlsFilesError(f"{path}: empty, or longer than {FILE_OCTETS_MAX} octets")
    return octets


def _why_unusable(material: TlsMaterial) -> str:
    from opencarrier.access.wire.tls_tunnel import why_unusable

    return why_unusable(material)


def _unreadable(error: OSError) -> TlsFilesError:
    return TlsFilesError(
        f"{error.filename}: {error.strerror}", "name files that the daemon may read"
    )
