"""What holds for every test: only loopback is reached, missing peers are counted."""

from __future__ import annotations

import gc
import importlib.util
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.scheduling import ByFile, from_both_ends, longest_first

ROOT = Path(__file__).parent.parent
GUARD = ROOT / "tools" / "guard"
PEERS = "tests/peers/"

if importlib.util.find_spec("sha3") is not None:  # as the engine does, before anything else hashes
    os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, max_examples=40)
settings.register_profile("deep", settings.get_profile("default"), max_examples=2_000)


def _stay_at_home() -> None:
    spec = importlib.util.spec_from_file_location("loopback_guard", GUARD / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    inherited = os.environ.get("PYTHONPATH", "")
    if str(GUARD) not in inherited.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(GUARD), inherited)))


def pytest_configure(config: pytest.Config) -> None:
    default = "ci" if os.environ.get("CI") else "default"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", default))
    _stay_at_home()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first(items)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let the collector walk no more over what was imported; it is a tenth of a run."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        peer = item.get_closest_marker("peer") is not None
        report.user_properties.append(("skipped", f"{'peer' if peer else 'data'}: {_why(report)}"))
        if peer and _peers_required():
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: a peer is required here: {_why(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    from_both_ends(collector, report.result)
    if report.skipped and PEERS in report.nodeid and _peers_required():
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: a peer is required here: {_why(report)}"
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    """Count aloud what was not tested, and why."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        if isinstance(report, pytest.CollectReport):
            reasons[f"peer: {_why(report)}" if PEERS in report.nodeid else _why(report)] += 1
        else:
            told = dict(report.user_properties).get("skipped", _why(report))
            reasons[str(told)] += 1
    if reasons:
        terminalreporter.section("not tested here")
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count:4d} skipped  {reason}")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Where real captures lie; a test that needs one skips, with a reason, where it is absent."""
    return Path(os.environ.get("OPENCARRIER_TEST_DATA", ROOT.parent / "shared" / "data"))


def _why(report: pytest.TestReport | pytest.CollectReport) -> str:
    longrepr = report.longrepr
    reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return reason.removeprefix("Skipped: ")


def _peers_required() -> bool:
    return os.environ.get("OPENCARRIER_REQUIRE_PEERS", "") not in ("", "0")
