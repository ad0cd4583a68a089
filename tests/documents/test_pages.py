"""A reader pastes every page of ours from top to bottom, and it works."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.documents.blocks import blocks, pages
from tests.documents.reader import Desk, desk, do

READ = [page for page in pages() if any(b.runs and b.language != "meanwhile" for b in blocks(page))]


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    with desk(tmp_path_factory.mktemp("desk")) as laid:
        yield laid


@pytest.mark.peer
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", READ)
def test_a_page_works_as_it_is_pasted(reading: Desk, tmp_path: Path, page: str):
    do(reading, tmp_path / "reader", blocks(page))
