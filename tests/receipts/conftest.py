from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_SCENE = Path(__file__).parents[1] / "app" / "scene.py"


def _load():
    spec = importlib.util.spec_from_file_location("opencarrier_tests_scene", _SCENE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


scenes = _load()


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """Two settled cycles: co-signed records in the first, a one-sided one in the second."""
    with scenes.scene(tmp_path_factory.mktemp("receipts"), one_sided_window_s=3_600) as scene:
        for number in range(3):
            scene.use(f"session-{number}", octets=5_000_000 * (number + 1), grant=scene.authorise())
        scene.use("weak", octets=9_000_000, grant=None)
        assert scene.settle() == 1
        assert scene.settle() == 2
        yield scene


@pytest.fixture(scope="module")
def receipts(settled):
    """Every settled record's receipt, by audience."""
    place = settled.place
    found = {}
    with place.base.store.read() as unit:
        for cycle, _ in place.settlement.cycles(unit):
            for usage_id in place.clearing.usages(unit, cycle.cycle_id):
                text = place.issuer.issue(unit, usage_id)
                assert isinstance(text, str), text
                found[usage_id] = text
    return found
