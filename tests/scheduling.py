"""How tests are shared among workers: a file is one piece of work, and the longest come first.

What a file's tests share is then made once, by one worker. xdist's own groups do not hold: a worker
tells them by renaming tests, and pytest 9.2 takes no other name (pytest-xdist, issue 1386).
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/peers/test_access_wired.py": "network namespaces",
    "tests/peers/test_app_access.py": "network namespaces",
    "tests/peers/test_node_venue.py": "network namespaces",
    "tests/contracts/test_gas.py": "the contracts' stories",
    "tests/contracts/test_index.py": "the contracts' stories",
}
"""Files that one worker runs, one after another, and what they share."""

LONGEST = (
    "tests/crash/test_app_crash.py",
    "tests/app/test_confluence.py",
    "tests/app/test_exchange_daemons.py",
    "tests/peers/test_halmos.py",
    "tests/peers/test_app_access.py",
    "tests/peers/test_node_venue.py",
    "tests/peers/test_app_eap_tls.py",
    "tests/browser/test_pages.py",
    "tests/browser/test_line.py",
    "tests/browser/test_network_page.py",
    "tests/contracts/test_gas.py",
    "tests/peers/test_spark.py",
    "tests/contracts/test_index.py",
    "tests/documents/test_pages.py",
    "tests/app/test_cli.py",
    "tests/app/test_demo.py",
    "tests/channels/test_chain.py",
    "tests/contracts/test_build.py",
    "tests/app/test_bench_clearing.py",
    "tests/rating/test_engine.py",
    "tests/paywall/test_by_channel.py",
    "tests/paywall/test_channel_client.py",
    "tests/ledger/test_twins.py",
    "tests/settlement/test_machine.py",
    "tests/clearing/test_shadow.py",
    "tests/app/test_benches.py",
    "tests/browser/test_enrol.py",
)
"""What would hold one worker up at the end, if it came late."""

RANK = {file: rank for rank, file in enumerate(LONGEST)}


class ByFile(LoadScopeScheduling):
    """Gives a whole file to a worker, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(file := _file(nodeid), file)


def longest_first(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first, the other files by name; a file's own stay."""
    items.sort(key=lambda item: (RANK.get(file := _file(item.nodeid), len(RANK)), file))


def from_both_ends(collector: pytest.Collector, found: list[Any]) -> None:
    """Let every other worker begin with the last file: what one compiled the other need not."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    if isinstance(collector, pytest.Directory) and int(worker.removeprefix("gw")) % 2:
        found.reverse()


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
