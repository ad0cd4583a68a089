"""Two hundred thousand open sessions: memory does not follow them, a killed server loses none."""

from __future__ import annotations

from typing import Any

import pytest

from opencarrier.bench import soak

pytestmark = pytest.mark.deep

CAP_MIB = 64
"""What remembered replies may add; nothing else grows."""


@pytest.fixture(scope="module")
def soaked() -> dict[str, Any]:
    told = soak.run(200_000)
    print(told)
    return told


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_memory_does_not_follow_sessions_and_nothing_is_lost(
    soaked: dict[str, Any], store: str
) -> None:
    told = soaked[store]
    if isinstance(told, str):
        pytest.skip(f"{store} is {told}")
    begun_mib, *quarters_mib = told["resident_mib"]
    assert max(quarters_mib) - begun_mib < CAP_MIB * told["workers"]
    assert quarters_mib[-1] - quarters_mib[0] < CAP_MIB // 8 * told["workers"]
    assert (told["lost"], told["strange"]) == (0, 0)
