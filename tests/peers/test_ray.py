"""The rating run on a real Ray cluster of two workers, one of them killed at work."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

import duckdb
import pytest
from tests.rating import months
from tests.rating.months import AT_US, DAY_US, record, row

from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.engine.on_ray import rate_on_ray
from opencarrier.rating.engine.run import Order, Report

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(300),
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is missing (pip: ray)"),
]

OPERATORS = 9
ROWS = [
    row(home=f"op_h{home}", visited=f"op_v{visited}", price_nano=1_000 + 7 * visited)
    for home in range(3)
    for visited in range(OPERATORS - 1)
]


@pytest.fixture(scope="module")
def month(tmp_path_factory) -> tuple[Path, Report]:
    """A dataset of nine visited operators, one of them without agreements, rated in one process."""
    folder = tmp_path_factory.mktemp("month")
    uses = [
        record(
            number,
            home=f"op_h{number % 3}",
            visited=f"op_v{number % OPERATORS}",
            node=f"node-{number % 31}",
            octets_in=number * 7_919,
            start_us=AT_US + (number % 3) * DAY_US,
        )
        for number in range(3_000)
    ]
    return folder, months.run(folder, uses, ROWS)


def order(folder: Path, out: Path) -> Order:
    return Order(usage=folder / "usage", rows=ROWS, subscribers=None, out=out)


def legs(out: Path) -> list[tuple]:
    query = "select * from read_parquet(?) order by usage_id"
    return duckdb.execute(query, [str(out / "rated" / "*.parquet")]).fetchall()


def test_two_workers_give_what_one_process_gives(month, tmp_path):
    folder, whole = month
    assert rate_on_ray(order(folder, tmp_path / "out"), workers=2) == whole
    assert legs(tmp_path / "out") == legs(folder / "out")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "out"]


JOIN = """
import pickle, sys
from opencarrier.rating.engine.on_ray import rate_on_ray
order = pickle.load(open(sys.argv[1], "rb"))
print(rate_on_ray(order, address=sys.argv[2]))
"""


@contextmanager
def head(port: int, folder: str, env: dict[str, str]) -> Iterator[None]:
    """Run a cluster's head by Ray's own command, on loopback, until the block ends."""
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    words = {"node-ip-address": "127.0.0.1", "port": port, "num-cpus": 2, "temp-dir": folder}
    options = [f"--{name}={value}" for name, value in words.items()]
    process = subprocess.Popen(
        [*command, *options, "--include-dashboard=false"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def test_a_cluster_that_runs_is_joined_by_its_token(month, tmp_path):
    """Who has the token rates there to the same sums; who has another is not let in."""
    folder, whole = month
    env = {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token_hex(32),
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "order").write_bytes(pickle.dumps(order(folder, tmp_path / "out")))
    words = [sys.executable, "-c", JOIN, str(tmp_path / "order"), f"127.0.0.1:{port}"]

    def join(token: str) -> subprocess.CompletedProcess[str]:
        own = env | {"RAY_AUTH_TOKEN": token}
        return subprocess.run(words, env=own, capture_output=True, text=True, timeout=120)

    with TemporaryDirectory(prefix="ray-") as short, head(port, short, env):
        while (told := join(env["RAY_AUTH_TOKEN"])).returncode and "cluster" in told.stderr:
            time.sleep(1)
        assert told.stdout.strip() == str(whole), told.stderr
        assert "cluster" in join(token_hex(32)).stderr
    assert legs(tmp_path / "out") == legs(folder / "out")


def test_a_killed_worker_loses_nothing_and_doubles_nothing(month, tmp_path):
    folder, whole = month
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while not over.is_set() and len(killed) < 2:
            for pid in at_work(tmp_path):
                if pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    break
            time.sleep(0.002)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        assert rate_on_ray(order(folder, tmp_path / "out"), workers=2) == whole
    finally:
        over.set()
        killer.join()
    assert killed, "no worker was met at its work"
    assert legs(tmp_path / "out") == legs(folder / "out")


def test_a_share_that_is_refused_refuses_the_run(month, tmp_path):
    folder, _ = month
    for path in sorted((folder / "usage").rglob("*.parquet")):
        target = tmp_path / "usage" / path.relative_to(folder / "usage")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    subscribers = tmp_path / "subscribers.csv"
    subscribers.write_text("subject,discount_ppm\nnonsense,1\n")
    bad = Order(usage=tmp_path / "usage", rows=ROWS, subscribers=subscribers, out=tmp_path / "out")
    with pytest.raises(PeerError, match="subscribers"):
        rate_on_ray(bad, workers=2)
    assert not (tmp_path / "out").exists()


def at_work(folder: Path) -> list[int]:
    """Find the processes with a file open under a folder: the workers in the middle of a share."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            opened = [os.readlink(link) for link in (process / "fd").iterdir()]
        except OSError:
            continue
        if any(path.startswith(str(folder)) for path in opened):
            found.append(int(process.name))
    return found
