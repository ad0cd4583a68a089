"""The demo as others script it; and that its seed decides everything that is hashed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from opencarrier.app.folder import FolderError
from opencarrier.demo.play import Request
from opencarrier.demo.play import run as run_demo

SEED = "5"
HOSTS = 8


def demo(*flags: str, **environ: str) -> dict:
    command = [sys.executable, "-m", "opencarrier", "demo", "--exit", "--json", "--http-port", "0"]
    done = subprocess.run(
        [*command, "--seed", SEED, *flags],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout)


def decided(told: dict) -> dict:
    """What the seed decides: not transaction hashes, not retransmissions."""
    cycles = [{k: v for k, v in c.items() if k != "tx_hash"} for c in told["cycles"]]
    radius = {k: told["radius"][k] for k in ("accepts", "rejects", "accounting_responses")}
    return {
        **{
            k: told[k]
            for k in ("ledger", "hosts", "operators", "stakers", "channels", "receipts_verified")
        },
        "cycles": cycles,
        "radius": radius,
    }


@contextmanager
def playing(**environ: str):
    """The demo as a person starts it, who scripts it too: the process while it lives on."""
    command = [sys.executable, "-m", "opencarrier", "demo", "--json", "--http-port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*command, "--seed", SEED], env={**os.environ, **environ}, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def pasted(line: str) -> str:
    """Run a line as a shell does where it is pasted, in some folder of another terminal."""
    done = subprocess.run(
        line, shell=True, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    return done.stdout


def typed(run, line: str, *more: str) -> str:
    """Run a line like one that was pasted, without a process for it."""
    return run(*shlex.split(line)[1:], *more)


def look_around(folder: Path) -> None:
    """Look at it as each of its guests: somebody of one of its parties, without a key."""
    page = json.loads((folder / "run.json").read_text())["http"]
    for role in ("operator", "host", "subscriber"):
        with httpx.Client(base_url=page) as browser:
            entered = browser.post("/sign-in/as", data={"role": role}, headers={"Origin": page})
            assert entered.status_code == 303
            (grant,) = browser.get("/v1/me").json()["grants"]
            assert grant["role"] == role
            assert grant["party"].startswith(("op_", "host_", "sub_"))


def goes_on_elsewhere(run, root: Path, data: str) -> None:
    """A copy made while use flows is equal once restored, and settles what was under way."""
    run("backup", f"{root}/kept", "--data", data)
    there = ("--data", f"{root}/restored", "--json")
    told = json.loads(run("restore", f"{root}/kept", *there))
    assert told["equal"] + len(told["of_people"]) == told["tables"]
    assert all(table.startswith("accounts_") for table in told["of_people"])
    closed = json.loads(run("cycle", "close", *there))
    assert (closed["state"], closed["halted"]) == ("final", False)
    assert closed["records"] > 0
    books = json.loads(run("ledger", "check", *there))
    assert books["agrees_with_contracts"]
    assert set(books["sum_minor"].values()) == {0}


@pytest.mark.crash
@pytest.mark.timeout(400)
def test_the_demo_tells_what_scripts_match_on_and_lives_on(run, tmp_path):
    """What it says to do next works as it stands there; no unit of money is lost meanwhile."""
    with playing() as process:
        steps = [process.stderr.readline() for _ in range(4)]
        assert "an hour each minute" in steps[0]
        trigger, trace, receipt = (line.strip() for line in steps[1:])
        roamed = json.loads(pasted(f"{trigger} --json"))
        assert roamed["octets_out"] > 0
        again = json.loads(typed(run, trigger, "--json"))
        assert again["session_id"] != roamed["session_id"]
        assert "claimed" in pasted(trace)
        assert "included" in pasted(receipt)
        look_around(Path(shlex.split(trace)[-1]))
        of_session = trace.replace(trace.split()[-3], roamed["session_id"])
        assert roamed["node"] in typed(run, of_session)
        status = json.loads(typed(run, trigger.replace("trigger roam", "status"), "--json"))
        assert status["ledger"]["transfers"] > 0
        assert status["usage"]["sessions_open"] > 0
        goes_on_elsewhere(run, tmp_path, shlex.split(trigger)[-1])
        process.send_signal(signal.SIGINT)
        out, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints
    told = json.loads(out)
    assert [cycle["sequence"] for cycle in told["cycles"]] == [1, 2, 3]
    for cycle in told["cycles"]:
        for name in ("cycle_id", "settlement_id", "tx_hash", "records_root"):
            assert len(cycle[name]) == 66
        assert cycle["gross_minor"] >= cycle["net_minor"] > 0
        assert cycle["payments"] > 0
    assert set(told["ledger"]["sum_minor"].values()) == {0}
    assert told["ledger"]["agrees"]
    assert len(told["hosts"]) == HOSTS
    assert all(host["earned_minor"] == host["withdrawn_minor"] for host in told["hosts"])
    assert told["radius"]["accepts"] > 60
    assert told["radius"]["rejects"] == 2
    channels = told["channels"]
    assert channels["opened"] >= 6
    assert channels["vouchers"] > 5 * channels["opened"], "many vouchers, one deposit"
    for line in channels["operators"]:
        assert line["earned_minor"] == line["settled_minor"] > 0
    (staker,) = told["stakers"]
    assert staker["name"] == "Ada"
    assert staker["saved_minor"] * 10 > staker["paid_minor"] > 0, "a twelfth and more is off"
    assert told["receipts_verified"] == sum(cycle["records"] for cycle in told["cycles"])
    worse = demo("--lose", "120", "--double", "60", PYTHONHASHSEED="12345")
    assert worse["radius"]["retransmissions"] > 0
    assert worse["radius"]["duplicates"] > 0
    assert decided(worse) == decided(told), "whatever is lost or doubled, and where hashes begin"


@contextmanager
def burning():
    """Keep a processor busy beside the run."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_five_runs_under_loss_and_load_come_to_the_same():
    """Neither lost nor doubled datagrams, nor a busy machine, nor hash seeds change a thing."""
    first = demo()
    lossy = demo("--lose", "60", "--double", "30")
    worse = demo("--lose", "120", "--double", "60", PYTHONHASHSEED="12345")
    with burning(), burning():
        busy = demo("--lose", "60")
        last = demo("--double", "200", PYTHONHASHSEED="1")
    assert lossy["radius"]["retransmissions"] > 0
    assert last["radius"]["duplicates"] > 0
    for other in (lossy, worse, busy, last):
        assert decided(other) == decided(first)


def test_a_taken_port_is_told_before_anything_is_made(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        request = Request(
            seed=1,
            leave=True,
            http_port=taken.getsockname()[1],
            lost_permille=0,
            doubled_permille=0,
            data=tmp_path / "demo",
            as_json=True,
        )
        with pytest.raises(FolderError, match="Address already in use"):
            run_demo(request)
    assert not (tmp_path / "demo").exists()


def test_the_demos_manifest_is_the_packaged_one():
    """`verify` finds the demo's venue pinned in the package: its contracts are the built ones.

    `OPENCARRIER_WRITE_MANIFEST=1` pins it anew, after a contract was changed or added.
    """
    from importlib.resources import files

    from opencarrier.receipts.manifest import read_manifest

    path = Path(str(files("opencarrier.receipts").joinpath("manifests", "demo.json")))
    told = demo_manifest()
    if os.environ.get("OPENCARRIER_WRITE_MANIFEST"):
        path.write_text(told.to_json())
    assert read_manifest(path.read_text()) == told


def demo_manifest():
    """Put up the demo's venue and return its manifest."""
    import tempfile

    from opencarrier.app.bootstrap import onchain, open_installation
    from opencarrier.app.config import Settings
    from opencarrier.app.folder import Folder
    from opencarrier.demo import DOMAIN, DemoEntropy
    from opencarrier.kernel.clock import FixedClock
    from opencarrier.sim.world import SETUP_US

    with tempfile.TemporaryDirectory() as root:
        base = open_installation(
            Folder(Path(root)),
            Settings(domain=DOMAIN, cycle_s=0),
            clock=FixedClock(SETUP_US),
            entropy=DemoEntropy(99),
        )
        try:
            with onchain(base) as place:
                return place.manifest
        finally:
            base.close()
