"""Certificates in files: read again when they change, and only as a set that fits."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from tests.access.fakes import NOW_US, FakeMonotonic
from tests.access.tls import Pki, Scene, pki

from opencarrier.access.tls_files import FILE_OCTETS_MAX, TlsFiles, TlsFilesError, TlsPaths
from opencarrier.access.wire.tls_server import TlsServer
from opencarrier.identity.pki.model import Algorithm


def written(folder: Path, world: Pki, revocations: bytes = b"") -> TlsPaths:
    paths = TlsPaths(
        chain=folder / "chain.pem",
        key=folder / "key.pem",
        anchors=folder / "anchors.pem",
        revocations=folder / "revocations.pem",
    )
    assert paths.anchors
    assert paths.revocations
    replaced(paths.chain, world.server.chain_pem)
    replaced(paths.key, world.server.key_pem)
    replaced(paths.anchors, world.anchors)
    replaced(paths.revocations, revocations or world.revocations())
    return paths


def replaced(path: Path, octets: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(octets)
    os.replace(new, path)


def test_a_renewed_set_is_taken_and_a_half_changed_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monotonic, world, other = FakeMonotonic(), pki(), pki(Algorithm.RSA)
    paths = written(tmp_path, world)
    files = TlsFiles(paths, monotonic)
    first = files.current()
    assert first.chain == world.server.chain_pem
    replaced(paths.chain, other.server.chain_pem)
    assert files.current() is first, "not looked at within the second"
    monotonic.now_s += 1
    with caplog.at_level(logging.WARNING):
        assert files.current() is first, "its key is not there yet"
    assert "certificates stay as they were" in caplog.text
    assert "PRIVATE KEY" not in caplog.text
    replaced(paths.key, other.server.key_pem)
    monotonic.now_s += 1
    second = files.current()
    assert second.chain == other.server.chain_pem
    monotonic.now_s += 1
    assert files.current() is second
    paths.key.unlink()
    monotonic.now_s += 1
    assert files.current() is second


def test_a_list_that_is_renewed_turns_the_next_attempt_away(tmp_path: Path) -> None:
    """The running server: let in, resumed, revoked by the file, turned away."""
    monotonic, world = FakeMonotonic(), pki()
    scene = Scene()
    paths = written(tmp_path, world)
    scene.server = TlsServer(TlsFiles(paths, monotonic), scene.clock, scene.limits)
    device = scene.device()
    assert scene.attempt(device).keys_match
    assert scene.attempt(device).peer.resumed
    assert paths.revocations
    replaced(paths.revocations, world.revocations(world.client))
    monotonic.now_s += 1
    refused = scene.attempt(device)
    assert not refused.peer.resumed
    assert refused.reason == "certificate_revoked"


def test_files_that_cannot_be_used_at_the_start(tmp_path: Path) -> None:
    world = pki()
    paths = written(tmp_path, world)
    for path, octets, words in (
        (paths.chain, b"", "chain.pem"),
        (paths.chain, b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "chain"),
        (paths.key, pki(Algorithm.RSA).server.key_pem, "key"),
        (paths.key, b"no key", "key"),
        (paths.anchors, b"nothing", "anchors"),
        (paths.revocations, b"-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----\n", "rev"),
        (paths.revocations, b"nothing", "no list"),
        (paths.revocations, b"", "empty"),
        (paths.anchors, bytes(FILE_OCTETS_MAX + 1), "longer"),
    ):
        assert path
        kept = path.read_bytes()
        replaced(path, octets)
        with pytest.raises(TlsFilesError, match=words):
            TlsFiles(paths, FakeMonotonic())
        replaced(path, kept)
    TlsFiles(paths, FakeMonotonic())
    paths.chain.unlink()
    with pytest.raises(TlsFilesError, match="No such file"):
        TlsFiles(paths, FakeMonotonic())


def test_without_lists_or_anchors(tmp_path: Path) -> None:
    world = pki(now_us=NOW_US)
    paths = written(tmp_path, world)
    alone = TlsFiles(TlsPaths(chain=paths.chain, key=paths.key), FakeMonotonic())
    assert not TlsServer(alone, Scene().clock, Scene().limits).offers_certificates
