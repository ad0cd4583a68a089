"""The doctor: what is broken is named with its fix, the fix helps, and nothing is changed."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.access.radsec import LATER_S, Pki
from tests.app.scene import scene
from tests.documents.parsing import parse, typed

from opencarrier.app import schema
from opencarrier.app.bootstrap import open_installation
from opencarrier.app.config import Settings
from opencarrier.app.doctor import machine, service
from opencarrier.app.doctor.model import Finding, Health, doubtful, good
from opencarrier.app.folder import Folder
from opencarrier.app.store import Store
from opencarrier.identity.routing import Wanted
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.spine.parties import Route, RouteKind

DAY_S = 86_400


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation at its venue, closed."""
    root = tmp_path_factory.mktemp("doctor") / "data"
    with scene(root):
        pass
    return root


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Folder:
    """A copy of it to spoil."""
    shutil.copytree(made, tmp_path / "data")
    return Folder(tmp_path / "data")


def configure(folder: Folder, **settings: object) -> None:
    ports = {"radius_port": 0, "acct_port": 0, "http_port": 0, "radsec_port": 0}
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**ports, **settings}.items()]
    folder.config.write_text("\n".join(lines) + "\n")
    folder.config.chmod(0o600)


def seen(folder: Folder, part: str) -> Finding:
    """The one finding of a part."""
    (found,) = (one for one in service.examine(folder) if one.part == part)
    return found


def test_a_sound_installation_is_good_in_every_part_and_stays_octet_for_octet(folder: Folder):
    configure(folder)
    folder.root.chmod(0o700)
    before = sha256(folder.database.read_bytes() + folder.chain.read_bytes()).digest()
    found = {one.part: one for one in service.examine(folder) if one.part != "clock"}
    assert {one.health for one in found.values()} == {Health.GOOD}
    ports = {"port radius_port", "port acct_port", "port http_port"}
    rest = {"settings", "folder", "disk", "database", "schema", "books", "chain", "gas", "settling"}
    assert set(found) == ports | rest
    assert sha256(folder.database.read_bytes() + folder.chain.read_bytes()).digest() == before


def test_the_command_ends_with_what_it_found(folder: Folder, run):
    configure(folder, host="192.0.2.1")
    told = json.loads(run("doctor", "--data", str(folder.root), "--json", code=1))
    assert told["health"] == "broken"
    (port,) = (one for one in told["findings"] if one["part"] == "port radius_port")
    assert "192.0.2.1" in port["found"]
    assert "ip address" in port["fix"]
    shown = run("doctor", "--data", str(folder.root), code=1)
    assert "broken    port radius_port: 192.0.2.1:0 (UDP)" in shown
    assert "          hint: see with `ip address` whether 192.0.2.1 is this machine's" in shown
    configure(folder)
    assert "broken" not in run("doctor", "--data", str(folder.root))
    assert "no data folder" in run("doctor", "--data", str(folder.root / "none"), code=3)


def test_settings_that_cannot_be_read_are_the_only_finding(folder: Folder):
    folder.config.write_text("radius_port = 'many'\n")
    (found,) = service.examine(folder)
    assert (found.part, found.health) == ("settings", Health.BROKEN)
    assert "radius_port" in found.found


@pytest.mark.parametrize(
    ("setting", "kind", "letter"),
    [("acct_port", socket.SOCK_DGRAM, "u"), ("http_port", socket.SOCK_STREAM, "t")],
)
def test_a_port_that_is_taken_is_named_with_who_can_be_asked(folder, setting, kind, letter):
    with closing(socket.socket(socket.AF_INET, kind)) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        configure(folder, **{setting: port})
        found = seen(folder, f"port {setting}")
    assert found.health is Health.BROKEN
    assert f"ss -{letter}lnp 'sport = :{port}'" in found.fix
    assert seen(folder, f"port {setting}").health is Health.GOOD


def test_a_folder_that_others_may_read_and_the_fix_as_it_stands_there(folder: Folder):
    configure(folder)
    folder.config.chmod(0o644)
    found = seen(folder, "folder")
    assert found.health is Health.DOUBTFUL
    assert str(folder.config) in found.found
    subprocess.run(shlex.split(found.fix), check=True)
    assert seen(folder, "folder").health is Health.GOOD


def test_an_installation_that_does_not_open_is_told_with_what_opening_says(folder: Folder):
    configure(folder)
    folder.seal_key.chmod(0o644)
    found = seen(folder, "installation")
    assert found.health is Health.BROKEN
    subprocess.run(shlex.split(found.fix), check=True)
    assert "installation" not in {one.part for one in service.examine(folder)}


@pytest.mark.parametrize(
    ("free", "health"),
    [
        (machine.FREE_LEAST - 1, Health.BROKEN),
        (machine.FREE_LEAST, Health.DOUBTFUL),
        (machine.FREE_LOW - 1, Health.DOUBTFUL),
        (machine.FREE_LOW, Health.GOOD),
    ],
)
def test_how_full_the_disk_may_be(tmp_path, monkeypatch, free, health):
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    (found,) = machine.disk_findings(Folder(tmp_path))
    assert found.health is health


def test_a_clock_behind_what_was_written_by_it(folder: Folder):
    configure(folder)
    ahead_s = folder.database.stat().st_mtime + 7_200
    os.utime(folder.database, (ahead_s, ahead_s))
    found = seen(folder, "clock")
    assert found.health is Health.BROKEN
    assert "s behind the database" in found.found


@pytest.mark.parametrize(
    ("state", "health"), [(0, Health.GOOD), (None, Health.GOOD), (5, Health.DOUBTFUL)]
)
def test_a_clock_that_nothing_keeps(monkeypatch, state, health):
    monkeypatch.setattr(machine, "_time_state", lambda: state)
    (found,) = machine.clock_findings(0, {"the database": machine.SKEW_US})
    assert found.health is health


def test_a_database_that_is_damaged_is_told_and_the_other_parts_still_looked_at(folder: Folder):
    configure(folder)
    octets = bytearray(folder.database.read_bytes())
    octets[4096:] = os.urandom(len(octets) - 4096)
    folder.database.write_bytes(octets)
    found = {one.part: one for one in service.examine(folder)}
    assert found["database"].health is Health.BROKEN
    assert "restore the newest backup" in found["database"].fix
    assert found["disk"].health is Health.GOOD
    assert "chain" not in found


def test_data_of_another_version_is_left_as_it_is(folder: Folder):
    configure(folder)
    store = Store(folder.database)
    with store.write() as unit:
        unit.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    found = seen(folder, "schema")
    assert found.health is Health.DOUBTFUL
    assert schema.HEAD in found.found
    copy, command = found.fix.split(" && ")
    subprocess.run(shlex.split(copy), check=True)
    assert (folder.root.parent / "data-before" / "opencarrier.sqlite").exists()
    (words,) = typed(command)
    parse(words)
    with store.read() as unit:
        assert schema.version(unit) == "0001"
    store.close()


def test_a_server_that_cannot_be_reached_is_told_with_its_reason(folder: Folder):
    configure(folder, database="postgresql://nobody@127.0.0.1:1/none")
    found = seen(folder, "database")
    assert found.health is Health.BROKEN
    assert "1" in found.found


def test_a_chain_that_does_not_answer_or_is_another(folder: Folder):
    configure(folder, chain="http://127.0.0.1:1/")
    found = seen(folder, "chain")
    assert found.health is Health.BROKEN
    assert "does not answer" in found.found
    pinned = folder.manifest.rename(folder.root / "pinned.json")
    assert seen(folder, "chain").health is Health.BROKEN, "before there is a venue on it too"
    pinned.rename(folder.manifest)
    configure(folder)
    told: dict[str, Any] = json.loads(folder.manifest.read_text())
    told["genesis_hash"] = "0x" + "11" * 32
    folder.manifest.write_text(json.dumps(told))
    assert seen(folder, "chain").health is Health.BROKEN


def test_roots_of_webhooks_that_cannot_be_read_keep_the_process_from_starting(folder, pki):
    configure(folder, webhook_roots="none.pem")
    found = seen(folder, "roots of webhooks")
    assert (found.health, found.found) == (Health.BROKEN, "none.pem: No such file or directory")
    assert "webhook_roots" in found.fix
    roots = pki.files(pki.end("hooks"), "hooks").roots
    configure(folder, webhook_roots=str(roots))
    assert seen(folder, "roots of webhooks").health is Health.GOOD


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"), roots=1)


def radsec(pki: Pki, folder: Folder, **holder: Any) -> dict[str, str]:
    """Settings of RadSec with a certificate made for this test."""
    files = pki.files(pki.end("aaa", dns_names=("aaa.home.example",), **holder), "server")
    named = {"radsec_chain": files.chain, "radsec_key": files.key, "radsec_roots": files.roots}
    return {name: os.path.relpath(path, folder.root) for name, path in named.items()}


@pytest.mark.parametrize(
    ("later_s", "health"),
    [
        (-10, Health.DOUBTFUL),
        (LATER_S - 1, Health.DOUBTFUL),
        (LATER_S + 1, Health.BROKEN),
        (-LATER_S * 400, Health.BROKEN),
    ],
)
def test_certificates_by_the_time_that_is_left(folder, pki, later_s, health):
    """Certificates of a day: ending soon, over, and not yet begun."""
    configure(folder, **radsec(pki, folder))
    clock = FixedClock(pki.now_us + later_s * SECOND_US)
    (found,) = (
        one for one in service.examine(folder, clock) if one.part == "certificates of RadSec"
    )
    assert found.health is health, found
    assert "aaa" in found.found or "holds from" in found.found


def test_lists_that_ended_are_told_before_everybody_is_refused(folder, pki):
    lists = os.path.relpath(pki.lists(), folder.root)
    configure(folder, **radsec(pki, folder), radsec_lists=lists)
    for later_s, health in ((LATER_S - 60, Health.DOUBTFUL), (LATER_S + 60, Health.BROKEN)):
        clock = FixedClock(pki.now_us + later_s * SECOND_US)
        found = {one.part: one for one in service.examine(folder, clock)}
        assert found["revocation lists of RadSec"].health is health


def test_a_key_that_is_another_certificates(folder, pki):
    named = radsec(pki, folder)
    other = pki.files(pki.end("other"), "other").key
    configure(folder, **{**named, "radsec_key": os.path.relpath(other, folder.root)})
    found = seen(folder, "certificates of RadSec")
    assert found.health is Health.BROKEN
    assert "pki" in found.fix


@pytest.fixture
def silent() -> Iterator[int]:
    """A UDP port where nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_home_server_that_does_not_answer(folder, monkeypatch, silent):
    """And name servers that do not, where a route needs them."""
    monkeypatch.setattr("opencarrier.app.doctor.peers.WAIT_S", 0.2)
    monkeypatch.setattr("opencarrier.access.discovery.resolver.WAIT_S", 0.05)
    configure(folder, dns_servers=f"127.0.0.1:{silent}")
    base = open_installation(folder, Settings(), entropy=SeededEntropy(3))
    server = Wanted(
        transport="udp", host="127.0.0.1", port=silent, secret=b"sixteen octets at least"
    )
    with base.store.write() as unit:
        for route, servers in (
            (Route(pattern="home.example", kind=RouteKind.UPSTREAM, upstream="home"), [server]),
            (Route(pattern="*", kind=RouteKind.DISCOVER), []),
        ):
            assert isinstance(base.identity.routing.add(unit, route, servers), Route)
    base.close()
    found = {one.part: one for one in service.examine(folder)}
    (asked,) = (one for part, one in found.items() if part.startswith("server "))
    assert asked.health is Health.BROKEN
    assert f"udp://127.0.0.1:{silent}: timeout" in asked.found
    assert "shared secret" in asked.fix
    assert found["names"].health is Health.BROKEN


def test_a_look_that_fails_is_a_finding_and_the_others_go_on(folder, monkeypatch):
    def fails(_: Folder) -> Iterator[Finding]:
        yield good("disk", "so far")
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(service, "disk_findings", fails)
    configure(folder)
    found = {one.part: one for one in service.examine(folder)}
    assert found["disk"].found == "RuntimeError: unforeseen"
    assert found["books"].health is Health.GOOD


def test_whoever_finds_fault_says_what_to_do():
    with pytest.raises(AssertionError):
        doubtful("disk", "full", "")
    with pytest.raises(AssertionError):
        Finding(part="disk", health=Health.GOOD, found="empty", fix="fill it")
