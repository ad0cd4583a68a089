"""Two hundred thousand open sessions: memory does not follow them, a killed server loses none."""

from __future__ import annotations

import pytest

from opencarrier.bench import soak

pytestmark = pytest.mark.deep

CAP_MIB = 64
"""What remembered replies may add; nothing else grows."""


def test_memory_does_not_follow_sessions_and_nothing_is_lost() -> None:
    told = soak.run(200_000)
    print(told)
    begun_mib, *quarters_mib = told["resident_mib"]
    assert max(quarters_mib) - begun_mib < CAP_MIB
    assert quarters_mib[-1] - quarters_mib[0] < CAP_MIB // 8
    assert (told["lost"], told["strange"]) == (0, 0)
