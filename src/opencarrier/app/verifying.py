"""Verify files: find the pinned manifest, ask the node, say what held and what broke."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from opencarrier.app.output import CommandError, Exit
from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.model import Finality
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import PeerError
from opencarrier.receipts.form import RECEIPT_OCTETS_MAX
from opencarrier.receipts.manifest import Manifest, check_venue, read_manifest
from opencarrier.receipts.model import ChoiceRead, DiscountRead, Verdict
from opencarrier.receipts.verify import Verifier

PINNED_FOLDER = "opencarrier/manifests"
PINNED_MAX = 256
SHOWN_MAX = 1_000
ZIPPED_MAX = 10_000
"""Receipts in one ZIP."""


def verify_files(paths: Sequence[Path], *, rpc: str, manifest: Path | None) -> dict[str, Any]:
    """Verify receipts; the result lists each with its answers or the step that broke."""
    try:
        pinned, client = _pinned(rpc, manifest)
        verifier = Verifier(pinned, client)
    except PeerError as error:
        raise CommandError(
            Exit.REFUSED, f"{rpc} is not the pinned venue: {error}", "ask another node of its chain"
        ) from None
    told = [_verify(verifier, name, read) for path in paths for name, read in _receipts_of(path)]
    held = sum(item["holds"] for item in told)
    return {
        "verified": held,
        "failed": len(told) - held,
        "clearing_house": pinned.clearing_house,
        "chain_id": pinned.chain_id,
        "receipts": told[:SHOWN_MAX],
    }


def pin(manifest: Manifest) -> Path:
    """Keep a manifest where this person's `verify` finds it; done where the venue was put up."""
    folder = pinned_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{manifest.chain_id}-{manifest.clearing_house}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(manifest.to_json())
    temporary.replace(path)
    return path


def pinned_folder() -> Path:
    """Return where this person's pinned manifests are (XDG base directories)."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / PINNED_FOLDER


def _verify(verifier: Verifier, name: str, read: Callable[[], str]) -> dict[str, Any]:
    try:
        verdict = verifier.verify(read())
    except PeerError as error:
        return {"file": name, "holds": False, "broke": error.reason, "detail": error.detail}
    return {"file": name, "holds": True, **told(verdict)}


def _receipts_of(path: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield a file, or each receipt in a ZIP, with what reads it."""
    if path.suffix != ".zip":
        yield str(path), partial(_read, path)
        return
    try:
        with ZipFile(path) as zipped:
            names = [name for name in zipped.namelist() if name.endswith(".json")]
            if not 0 < len(names) <= ZIPPED_MAX:
                raise BadZipFile(f"{len(names)} receipts, 1 to {ZIPPED_MAX} are read")
            yield from ((f"{path}/{name}", partial(_unzipped, zipped, name)) for name in names)
    except (BadZipFile, OSError) as error:
        yield str(path), partial(_refused, f"cannot be read: {error}")


def _unzipped(zipped: ZipFile, name: str) -> str:
    """Read a receipt out of a ZIP, and no more of it than any receipt has."""
    try:
        with zipped.open(name) as file:
            return file.read(RECEIPT_OCTETS_MAX + 1).decode()
    except (BadZipFile, NotImplementedError, RuntimeError, ValueError, zlib.error, OSError):
        raise PeerError("form", "not text that the ZIP holds whole") from None


def _refused(detail: str) -> str:
    raise PeerError("form", detail)


def told(verdict: Verdict) -> dict[str, Any]:
    """Put a verdict's four answers in JSON's terms."""
    return {
        f"{verdict.kind}_id": to_hex(verdict.record_id),
        "included": verdict.included,
        "rated_right": list(verdict.rated_right),
        "discount": _discount(verdict.discount),
        "choice": _choice(verdict.choice),
        "signed_by": {name: list(keys) for name, keys in verdict.signed_by.items()},
        "finality": verdict.finality,
        "final": verdict.final,
        "amount_minor": verdict.amount_minor,
        "records_root": to_hex(verdict.records_root),
    }


def _discount(read: DiscountRead | None) -> dict[str, Any] | None:
    if read is None:
        return None
    return {
        "ppm": read.ppm,
        "contract": read.reading.contract,
        "account": read.reading.account,
        "timepoint_s": read.reading.timepoint_s,
    }


def _choice(read: ChoiceRead | None) -> dict[str, Any] | None:
    if read is None:
        return None
    return {
        "place": read.choice.place,
        "taken": read.choice.taken,
        "best": read.best,
        "candidates": len(read.choice.candidates),
        "refusals": read.choice.refusals,
    }


def _read(path: Path) -> str:
    try:
        with path.open(newline="") as file:
            return file.read(RECEIPT_OCTETS_MAX + 1)
    except UnicodeDecodeError:
        raise PeerError("form", "not text") from None
    except OSError as error:
        raise PeerError("form", f"cannot be read: {error.strerror}") from None


def _pinned(rpc: str, manifest: Path | None) -> tuple[Manifest, ChainClient]:
    """Return the manifest to trust: the one named, else the one of ours the node's chain fits."""
    if manifest is not None:
        try:
            pinned = read_manifest(manifest.read_text())
        except (OSError, PeerError) as error:
            raise CommandError(
                Exit.USAGE, f"{manifest}: {error}", "name the venue's manifest"
            ) from None
        return pinned, _client(rpc, pinned)
    for candidate in _known():
        client = _client(rpc, candidate)
        try:
            check_venue(candidate, client)
        except PeerError:
            continue
        return candidate, client
    raise CommandError(
        Exit.REFUSED,
        f"no pinned manifest fits the chain at {rpc}",
        "name the venue you trust with --manifest (its operator gives you venue.json)",
    )


def _client(rpc: str, manifest: Manifest) -> ChainClient:
    try:
        return connect(rpc, finality=Finality.parse(manifest.finality))
    except ValueError as error:
        raise CommandError(Exit.USAGE, f"--rpc {rpc}: {error}", "give an http(s) URL") from None


def _known() -> list[Manifest]:
    texts = [
        item.read_text()
        for item in package_files("opencarrier.receipts").joinpath("manifests").iterdir()
        if item.name.endswith(".json")
    ]
    folder = pinned_folder()
    newest = (
        sorted(folder.glob("*.json"), key=lambda p: -p.stat().st_mtime) if folder.exists() else []
    )
    texts += [path.read_text() for path in newest[:PINNED_MAX]]
    return [manifest for text in texts if (manifest := _readable(text)) is not None]


def _readable(text: str) -> Manifest | None:
    """Read a pinned manifest; one that an earlier program kept here pins nothing for this one."""
    try:
        return read_manifest(text)
    except PeerError:
        return None
