"""The commands as others script them, on one data folder.

The server is a process of its own, and so is what is about processes: reading stdin, exit codes,
one writer at a time. The other commands run in this process, as the entry point runs them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CAPTURES = Path(os.environ.get("OPENCARRIER_TEST_DATA", "../shared/data"))
CAPTURE = CAPTURES / "wba-accounting-download-5gb.pcap"
PAYOUT = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
SECRET = "a secret of sixteen or more"
K, OPC = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"


def found(run) -> None:
    """Found two operators with an agreement, a host's node and money."""
    run("operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893")
    run("operator", "add", "Baobab", "--jurisdiction", "SN", "--realm", "baobab.example")
    run("operator", "deposit", "Lumen", "100000000", "--reference", "first")
    run("host", "add", "Cafe", "--payout", PAYOUT)
    run("node", "add", "cafe-1", "--operator", "Baobab", "--host", "Cafe")
    run(
        *("agreement", "add", "--home", "Lumen", "--visited", "Baobab"),
        *("--price-nano", "1900", "--tax-ppm", "180000"),
    )


def serve(oc, *flags: str) -> subprocess.Popen:
    """Start `up` on free ports and wait until it says that it is ready."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "opencarrier", "up", "--radius-port", "0"),
            *("--acct-port", "0", "--http-port", "0", "--cycle-s", "0", *flags),
        ],
        env=oc.env,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if line.startswith("ready"):
            return process
    raise AssertionError(f"up ended {process.wait()}")


def stop(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.mark.timeout(240)
@pytest.mark.skipif(not CAPTURE.exists(), reason=f"no capture at {CAPTURE}")
def test_a_capture_becomes_money_and_a_receipt_that_verifies(oc, here, tmp_path):
    """Ingest once and twice, close, settle as one-sided evidence, withdraw, verify, restore."""
    found(here)
    words = ("ingest", str(CAPTURE), "--operator", "Baobab", "--node", "cafe-1", "--home", "Lumen")
    first = oc.json(*words)
    assert (first["sessions"], first["usage_new"], first["usage_duplicate"]) == (1, 1, 0)
    assert (first["octets_out"], first["octets_in"]) == (5_682_218_308, 147_699_750)
    assert first["duration_s"] == 1_773
    assert first["refused"] == []
    again = json.loads(here(*words, "--json"))
    assert (again["usage_new"], again["usage_duplicate"]) == (0, 1)

    closed = json.loads(here("cycle", "close", "--json"))
    assert closed["state"] == "final"
    assert closed["records"] == 1
    assert closed["gross_minor"] == closed["net_minor"] > 0
    usage_id = closed["usage_ids"][0]
    receipt = tmp_path / "receipt.json"
    here("receipt", usage_id, "--out", str(receipt))
    assert json.loads(receipt.read_text())["path"]["rung"] == 1

    process = serve(oc)
    try:
        rpc = json.loads((oc.data / "run.json").read_text())["rpc"]
        told = oc.json("verify", str(receipt), "--rpc", rpc)
        assert (told["verified"], told["failed"]) == (1, 0)
        assert told["receipts"][0]["final"]
        assert told["receipts"][0]["finality"].startswith("final (single_operator")
        receipt.write_text(receipt.read_text().replace("1773", "1774"))
        told = json.loads(here("verify", str(receipt), "--rpc", rpc, "--json", code=1))
        assert told["receipts"][0]["broke"] == "usage"

        status = json.loads(here("status", "--json"))
        assert status["running"]
        assert status["radsec"] == [], "asked of the process, with its token"
        books = json.loads(here("ledger", "check", "--json"))
        assert status["ledger"]["transfers"] == books["transfers"]
        assert set(books["sum_minor"].values()) == {0}
        beside = oc.run("up", code=3)
        assert "in use by another process" in beside.stderr
        assert "\nhint: " in beside.stderr

        paid = json.loads(here("host", "withdraw", "Cafe", "--json"))
        assert paid["payout"] == PAYOUT
        assert paid["amount_minor"] == status["hosts_money"][0]["earned_minor"] > 0
        assert "nothing_due" in here("host", "withdraw", "Cafe", code=1)
        kept = json.loads(here("backup", str(tmp_path / "kept"), "--json"))
        assert kept["books_agree"]
    finally:
        stop(process)
    back = json.loads(
        here("restore", str(tmp_path / "kept"), "--data", str(tmp_path / "back"), "--json")
    )
    assert back["books_agree"]
    assert back["journal_entries"] == kept["journal_entries"]
    old = json.loads(here("status", "--json"))
    new = json.loads(here("status", "--json", "--data", str(tmp_path / "back")))
    assert old["ledger"] == new["ledger"]
    assert old["cycles"] == new["cycles"]
    assert old["operators_money"] == new["operators_money"]
    assert old["hosts_money"] == new["hosts_money"]


@pytest.mark.timeout(240)
def test_what_is_added_is_in_force_in_a_running_server_within_a_second(oc, here, tmp_path):
    """A subscriber, client and plan that come while `up` runs: the phone gets on."""
    found(here)
    process = serve(oc)
    try:
        (tmp_path / "secret").write_text(SECRET + "\n")
        here("node", "add", "home-1", "--operator", "Lumen", "--host", "Cafe")
        here(
            *("agreement", "add", "--home", "Lumen", "--visited", "Lumen"),
            *("--price-nano", "1000"),
        )
        here("tariff", "add", "--operator", "Lumen", "--plan", "prepaid", "--price-nano", "5200")
        here(
            *("client", "add", "127.0.0.1", "--operator", "Lumen"),
            *("--secret-file", str(tmp_path / "secret")),
        )
        oc.run(
            *("subscriber", "add"),
            *("--imsi", "208930000000001", "--ki-file", "-", "--opc-file", "-"),
            stdin=f"{K}\n{OPC}\n",
        )
        here("subscriber", "topup", "208930000000001", "50000000")
        time.sleep(1)
        outcome = attach(json.loads((oc.data / "run.json").read_text()))
        assert outcome == "Attached"
        closed = json.loads(here("cycle", "close", "--json"))
        assert closed["state"] == "final"
        assert closed["records"] == 1
    finally:
        stop(process)
    assert not (oc.data / "run.json").exists()


def attach(running: dict) -> str:
    """Attach a software phone and let it use 10 MB."""
    import asyncio

    from opencarrier.access.wire.dictionary import AcctStatus
    from opencarrier.app.system import SystemEntropy
    from opencarrier.sim.eap_peer import AkaPrimePeer
    from opencarrier.sim.radio import Radio, RadioSettings, Report
    from opencarrier.sim.usim import Usim

    async def play() -> str:
        radio = await Radio.open(
            RadioSettings(
                nas_identifier="home-1",
                secret=SECRET.encode(),
                auth=("127.0.0.1", running["radius_port"]),
                acct=("127.0.0.1", running["acct_port"]),
            ),
            SystemEntropy(),
        )
        usim = Usim(imsi="208930000000001", k=bytes.fromhex(K), opc=bytes.fromhex(OPC))
        got = await radio.attach(AkaPrimePeer(usim, "wlan.mnc093.mcc208.3gppnetwork.org"))
        if type(got).__name__ == "Attached":
            for status, octets in ((AcctStatus.START, 0), (AcctStatus.STOP, 10_000_000)):
                await radio.report(
                    Report(
                        status=status,
                        acct_session_id="one",
                        session_time_s=60 if octets else 0,
                        octets_in=0,
                        octets_out=octets,
                    ),
                    got,
                )
        radio.close()
        return type(got).__name__

    return asyncio.run(play())


def test_errors_say_what_happened_and_what_to_do(oc, here, tmp_path):
    """Wrong input ends with its own code, the input named, and a hint on a line of its own."""
    missing = here("status", code=3)
    assert "is no data folder" in missing
    assert "\nhint: " in missing
    here("operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893")
    here("operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893")
    other = here("operator", "add", "Lumen", "--jurisdiction", "SN", "--plmn", "20893", code=1)
    assert "exists_with_different_jurisdiction" in other
    words = ("node", "add", "n", "--operator", "Lumen", "--host", "Nobody")
    assert "unknown_host" in here(*words, code=1)
    secret = here(
        *("client", "add", "10.0.0.1", "--operator", "Lumen"),
        *("--secret-file", str(tmp_path / "none")),
        code=2,
    )
    assert "none" in secret
    assert "hint: " in secret
    keys = oc.run(
        *("subscriber", "add", "--operator", "Lumen", "--plan", "p", "--imsi", "208930000000001"),
        *("--ki-file", "-", "--opc-file", "-"),
        stdin=f"{K}x\n{OPC}\n",
        code=2,
    )
    assert "K" in keys.stderr
    assert K not in keys.stderr
    assert here("bench", "nothing", code=2).count("hint: ") == 1


def test_config_show_says_where_each_value_comes_from(oc, here):
    here("operator", "add", "Lumen", "--jurisdiction", "FR")
    (oc.data / "config.toml").write_text("http_port = 9999\n")
    shown = json.loads(here("config", "show", "--origin", "--json"))
    assert shown["http_port"]["value"] == 9999
    assert shown["http_port"]["origin"].endswith("config.toml")
    assert shown["one_sided_window_s"]["origin"] == "OPENCARRIER_ONE_SIDED_WINDOW_S"
    assert shown["domain"]["origin"] == "default"


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        ("database", "postgresql://me:hunter2@db.example:5432/x", "postgresql://db.example:5432"),
        ("chain", "https://u:hunter2@rpc.example/v1/hunter2?key=hunter2", "https://rpc.example"),
        ("chain", "embedded:", "embedded:"),
    ],
)
def test_config_show_keeps_what_lets_one_in(run, tmp_path, monkeypatch, name, value, seen):
    monkeypatch.setenv(f"OPENCARRIER_{name.upper()}", value)
    shown = run("config", "show", "--origin", "--json", "--data", str(tmp_path))
    assert "hunter2" not in shown
    assert json.loads(shown)[name]["value"].startswith(seen)
