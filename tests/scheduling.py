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
    "tests/peers/test_postgresql.py",
    "tests/crash/test_app_crash.py",
    "tests/documents/test_pages.py",
    "tests/peers/test_node_venue.py",
    "tests/peers/test_halmos.py",
    "tests/console/test_fuzzed_api.py",
    "tests/app/test_demo.py",
    "tests/browser/test_languages.py",
    "tests/peers/test_app_access.py",
    "tests/browser/test_receipt_kinds.py",
    "tests/app/test_exchange_daemons.py",
    "tests/browser/test_subscriber_pages.py",
    "tests/browser/test_enrol.py",
    "tests/browser/test_pages.py",
    "tests/browser/test_operator_pages.py",
    "tests/peers/test_app_eap_tls.py",
    "tests/browser/test_receipt_page.py",
    "tests/peers/test_ray.py",
    "tests/browser/test_host_pages.py",
    "tests/browser/test_people_pages.py",
    "tests/crash/test_charging_crash.py",
    "tests/browser/test_webhook_pages.py",
    "tests/crash/test_webhook_crash.py",
    "tests/peers/test_spark.py",
    "tests/access/test_crash.py",
    "tests/peers/test_x402_exact.py",
    "tests/app/test_confluence.py",
    "tests/crash/test_channel_crash.py",
    "tests/peers/test_contract_conformance.py",
    "tests/app/test_benches.py",
    "tests/peers/test_x402_paid_by_channel.py",
    "tests/peers/test_x402_batch.py",
    "tests/peers/test_postgresql_alike.py",
    "tests/peers/test_bench_accounting.py",
    "tests/app/test_cli.py",
    "tests/contracts/test_gas.py",
    "tests/browser/test_line.py",
    "tests/crash/test_node_crash.py",
    "tests/console/test_rights.py",
    "tests/crash/test_voucher_crash.py",
    "tests/crash/test_agent_crash.py",
    "tests/peers/test_app_anvil.py",
    "tests/peers/test_chain_pages.py",
    "tests/browser/test_trace_page.py",
    "tests/channels/test_chain.py",
    "tests/contracts/test_build.py",
    "tests/app/test_bench_clearing.py",
    "tests/rating/test_engine.py",
    "tests/paywall/test_by_channel.py",
    "tests/paywall/test_channel_client.py",
    "tests/ledger/test_twins.py",
    "tests/settlement/test_machine.py",
    "tests/clearing/test_shadow.py",
    "tests/app/test_schema.py",
    "tests/app/test_agreed.py",
    "tests/contracts/test_index.py",
    "tests/app/test_workers.py",
    "tests/browser/test_network_page.py",
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
