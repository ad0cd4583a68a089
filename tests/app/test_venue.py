"""Which chain a folder settles on, and what is said where that cannot be."""

from __future__ import annotations

import pytest

from opencarrier.app.bootstrap import onchain, open_installation
from opencarrier.app.config import ConfigError, Settings
from opencarrier.app.folder import Folder, FolderError


@pytest.mark.parametrize(
    ("settings", "error", "word"),
    [
        ({"chain": "ftp://127.0.0.1"}, ConfigError, "ftp://127.0.0.1"),
        ({"chain": "http://127.0.0.1:1", "finality": "soon"}, ConfigError, "soon"),
        ({"chain": "http://127.0.0.1:1"}, FolderError, "http://127.0.0.1:1 does not answer"),
        ({"chain_second": "http://127.0.0.1:1"}, ConfigError, "no second endpoint"),
    ],
)
def test_a_chain_that_cannot_be_is_named(tmp_path, settings, error, word):
    base = open_installation(Folder(tmp_path), Settings(**settings))
    try:
        with pytest.raises(error, match=word), onchain(base):
            pass
    finally:
        base.close()


def test_a_venue_that_stands_elsewhere_is_not_begun_anew(tmp_path):
    """Without its chain a folder says where to look; on another chain it says what differs."""
    base = open_installation(Folder(tmp_path), Settings())
    try:
        with onchain(base) as place:
            assert place.is_new
        with onchain(base) as place:
            assert not place.is_new
        base.folder.chain.rename(tmp_path / "away")
        with pytest.raises(FolderError, match="elsewhere"), onchain(base):
            pass
        assert not base.folder.chain.exists()
        text = base.folder.manifest.read_text()
        (tmp_path / "away").rename(base.folder.chain)
        genesis = place.manifest.genesis_hash
        base.folder.manifest.write_text(text.replace(genesis, "0x" + "11" * 32))
        with pytest.raises(FolderError, match="another genesis block"), onchain(base):
            pass
    finally:
        base.close()


def test_a_venue_is_put_up_once_and_again_finds_the_same(tmp_path):
    """Without its manifest, as after a crash, the same contracts are pinned: nothing is doubled."""
    base = open_installation(Folder(tmp_path), Settings())
    try:
        with onchain(base) as place:
            pinned, height = place.manifest, place.client.block_number()
        base.folder.manifest.unlink()
        with onchain(base) as place:
            assert place.manifest == pinned
            assert place.client.block_number() == height
    finally:
        base.close()


def test_a_manifest_of_an_earlier_program_is_refused(tmp_path):
    base = open_installation(Folder(tmp_path), Settings())
    try:
        base.folder.manifest.write_text('{"format": "opencarrier-manifest/1"}')
        with pytest.raises(FolderError, match="earlier program"), onchain(base):
            pass
    finally:
        base.close()
