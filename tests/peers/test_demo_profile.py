"""A visitor of the demo takes a profile from its page; `eapol_test` gets on by it, unmodified."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.cast import Cast, Script

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("eapol_test") is None, reason="eapol_test is missing"),
]

SEED = 3
HOME, NODE = "Lumen Mobile", "cafe-lumiere-1"


@pytest.fixture
def running(tmp_path: Path):
    """The demo as a person starts it, once it lets visitors look around."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "opencarrier", "demo", "--seed", str(SEED)]
    told = tmp_path / "told"
    with told.open("w") as out:
        process = subprocess.Popen(
            [*command, "--http-port", str(port), "--data", str(tmp_path / "world")],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        while "is on Wi-Fi" not in told.read_text():
            assert process.poll() is None, told.read_text()
            time.sleep(0.2)
        yield json.loads((tmp_path / "world" / "run.json").read_text())
    finally:
        process.kill()
        process.wait()


def profile_of(page: str) -> str:
    """The Linux profile with a password, taken the way a subscriber does."""
    with httpx.Client(base_url=page, headers={"Origin": page}) as browser:
        browser.post("/sign-in/as", data={"role": "subscriber"})
        (grant,) = browser.get("/v1/me").json()["grants"]
        path = f"/subscriber/{grant['party']}/connect"
        token = re.search(r'name="csrf" value="([^"]+)"', browser.get(path).text)
        assert token
        made = browser.post(path, data={"csrf": token[1]}).text
        link = re.search(r'href="(http://localhost:\d+/enrol/[^"]+)"', made)
        assert link
        assert "listens on its own machine alone" in made
        found = browser.get(f"{link[1]}/linux/password")
        assert browser.get(link[1]).status_code == 404, "it was for one device"
        assert "Profile with a password" in browser.get(path).text
    return found.text


def network_of(profile: str, folder: Path) -> Path:
    """The credential of a profile as a network: eapol_test has no air to find one in."""
    named = dict(re.findall(r'^    (\w+)=("?[^\n]+)$', profile, re.MULTILINE))
    keys = ("eap", "ca_cert", "domain_suffix_match", "password", "phase2")
    lines = [f"{key}={named[key]}" for key in keys] + [f"identity={named['username']}"]
    blob = profile[profile.index("blob-base64-anchors") :]
    config = folder / "eapol.conf"
    block = "\n".join(['ssid="test"', "key_mgmt=WPA-EAP", *lines])
    config.write_text("network={\n" + block + "\n}\n" + blob)
    return config


def test_a_visitor_gets_a_device_on(running: dict, tmp_path: Path) -> None:
    config = network_of(profile_of(running["http"]), tmp_path)
    secret = Cast(Script(seed=SEED), SeededEntropy(SEED)).secret(HOME).decode()
    server = ("-a", "127.0.0.1", "-p", str(running["radius_port"]), "-s", secret)
    said = subprocess.run(
        ["eapol_test", "-c", config, "-t", "10", "-N", f"32:s:{NODE}", "-A", "127.0.0.1", *server],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    ).stdout
    assert "MPPE keys OK: 1  mismatch: 0" in said, said[-2_000:]
