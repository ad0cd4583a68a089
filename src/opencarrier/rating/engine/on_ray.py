"""The same run on Ray: a task a share of the visited operators, their sums merged as integers.

Each task is `run.rate` over its share, in a folder that appears whole or not at all; a task whose
worker dies is begun again elsewhere. All workers see the folders at the same paths.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.engine.run import Order, Report, merge, rate, visited_of

SHARES_PER_WORKER: Final = 2
"""A few more tasks than workers, so that one long share does not keep the others waiting."""

RETRIES_MAX: Final = 3
LOOPBACK: Final = "127.0.0.1"
_LOOPBACK_ONLY: Final = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Off, a cluster keeps to loopback everywhere; its agents do not go by an address alone."""


def rate_on_ray(order: Order, *, workers: int = 2, address: str = "") -> Report:
    """Rate a dataset on a Ray cluster; the results are those of `run.rate`, to the unit.

    Without an `address` a cluster of so many workers is begun on loopback and ended. `PeerError`
    where Ray is not installed, a cluster is closed to us, or a share fails as often as it is tried.
    """
    visited = visited_of(order.usage)
    count = max(1, min(len(visited), workers * SHARES_PER_WORKER))
    shares = [frozenset(visited[number::count]) for number in range(count)]
    parts = order.out.with_name(f".{order.out.name}.parts")
    shutil.rmtree(parts, ignore_errors=True)
    try:
        with _cluster(workers, address) as ray:
            task = ray.remote(max_retries=RETRIES_MAX)(rate)
            orders = [
                replace(order, only_visited=share, out=parts / f"{number:04d}", threads=1)
                for number, share in enumerate(shares)
            ]
            _see_through(ray, [task.remote(each) for each in orders])
        return merge([each.out for each in orders], order.out)
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def _see_through(ray: Any, tasks: list[Any]) -> None:
    try:
        ray.get(tasks)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise PeerError("share", f"it failed {RETRIES_MAX + 1} times: {error}") from None


@contextmanager
def _cluster(workers: int, address: str) -> Iterator[Any]:
    """Join a cluster, or have one on loopback that tells nobody of itself."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address:
        os.environ.setdefault(_LOOPBACK_ONLY, "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise PeerError("ray", "it is not installed: pip install 'opencarrier[ray]'") from None
    if address:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:
            raise PeerError("cluster", str(error)) from None
    else:
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _node_ip_address=LOOPBACK,
        )
    try:
        yield ray
    finally:
        ray.shutdown()
