"""Static files: an address names their content, so a browser asks once and keeps them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PREFIX = "/static"
DIGEST_DIGITS = 16
KEPT = "public, max-age=31536000, immutable"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
COMPRESSED_FROM_OCTETS = 512


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent: its type, its octets, and the same compressed."""

    media_type: str
    octets: bytes
    compressed: bytes | None


class Assets:
    """All static files under one digest of them all, so that modules import each other by name."""

    def __init__(self, found: Mapping[str, bytes]) -> None:
        self._files = found
        whole = sha256()
        for name, octets in sorted(self._files.items()):
            whole.update(f"{name}\0{len(octets)}\0".encode() + octets)
        self.digest = whole.hexdigest()[:DIGEST_DIGITS]
        self._sent: dict[str, Asset] = {}

    @property
    def names(self) -> frozenset[str]:
        """Every file."""
        return frozenset(self._files)

    def octets(self, name: str) -> bytes:
        """Return a file as it lies in the package."""
        return self._files[name]

    def address(self, name: str) -> str:
        """Return a file's address; a name that is no file is our own mistake."""
        assert name in self._files, f"{name} is no static file"
        return f"{PREFIX}/{self.digest}/{name}"

    def asset(self, digest: str, name: str) -> Asset | None:
        """Return a file by its address, None where there is none of this content."""
        if digest != self.digest or name not in self._files:
            return None
        if name not in self._sent:
            self._sent[name] = _asset(name, self._files[name])
        return self._sent[name]

    def route(self) -> Route:
        """Return the route that serves them."""

        async def serve(request: Request) -> Response:
            found = self.asset(request.path_params["digest"], request.path_params["name"])
            if found is None:
                raise HTTPException(404)
            return _response(found, request.headers.get("accept-encoding", ""))

        return Route(PREFIX + "/{digest}/{name:path}", serve, name="static")


@cache
def assets() -> Assets:
    """Return the files of this program; they are read once."""
    return Assets(dict(_walked(files("opencarrier.app.console").joinpath("static"), "")))


def _response(asset: Asset, accepted: str) -> Response:
    headers = {"Cache-Control": KEPT, "Vary": "Accept-Encoding"}
    if asset.compressed is not None and "gzip" in accepted:
        headers["Content-Encoding"] = "gzip"
        return Response(asset.compressed, media_type=asset.media_type, headers=headers)
    return Response(asset.octets, media_type=asset.media_type, headers=headers)


def _asset(name: str, octets: bytes) -> Asset:
    compressed = gzip.compress(octets, 9, mtime=0) if len(octets) > COMPRESSED_FROM_OCTETS else None
    return Asset(TYPES[name[name.rindex(".") :]], octets, compressed)


def _walked(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walked(entry, f"{prefix}{entry.name}/")
        elif any(entry.name.endswith(ending) for ending in TYPES):
            yield prefix + entry.name, entry.read_bytes()
