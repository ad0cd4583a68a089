"""Every target takes what was found before, and what hypothesis makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .targets import TARGETS, try_one

CORPUS = Path(__file__).parent / "corpus"


def seeds(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_ends_in_a_value_or_a_peer_error(name: str) -> None:
    """Among it is something that is taken, so that the target is reached at all."""
    assert "taken" in {try_one(TARGETS[name], data) for data in seeds(name)}


@pytest.mark.parametrize("name", TARGETS)
def test_any_octets_end_in_a_value_or_a_peer_error(name: str) -> None:
    known = seeds(name)

    @settings(max_examples=25)
    @given(data=st.binary(max_size=300) | _mutations(known))
    def run(data: bytes) -> None:
        try_one(TARGETS[name], data)

    run()


@st.composite
def _mutations(draw: st.DrawFn, known: list[bytes]) -> bytes:
    """Cut, double or overwrite parts of what is known to be taken."""
    data = bytearray(draw(st.sampled_from(known)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 40)))
        data[start:end] = draw(st.binary(max_size=8) | st.just(bytes(data[start:end]) * 2))
    return bytes(data)
