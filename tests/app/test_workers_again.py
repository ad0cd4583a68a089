"""A worker whose process cannot be made yet is begun later, and does not keep us from ending."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from opencarrier.access.model import Metrics
from opencarrier.app.config import Settings
from opencarrier.app.workers import Workers, read_metrics, write_metrics


async def test_a_worker_that_cannot_begin_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    tried_again = asyncio.Event()

    async def none_to_be_had(*_: Any, **__: Any) -> None:
        tried.append(1)
        if len(tried) == 3:
            tried_again.set()
        raise BlockingIOError("resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", none_to_be_had)
    monkeypatch.setattr("opencarrier.app.workers.AGAIN_S", 0.001)
    settings = replace(Settings(), workers=2)
    base: Any = SimpleNamespace(settings=settings, folder=SimpleNamespace(root=tmp_path))
    workers = Workers(base)
    workers.start(1812, 1813)
    async with asyncio.timeout(10):
        await tried_again.wait()
    await workers.stop()
    assert workers.pids == []


def test_counters_come_over_as_they_are() -> None:
    metrics = Metrics(accepts=2, rejects=Counter(eap_missing=3), eap=Counter({"tls accepted": 1}))
    line = write_metrics(metrics)
    assert "\n" not in line
    assert read_metrics(line) == metrics
