"""The commands of a node agent's folder, and the home's commands about nodes' meters."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.access.agent.test_rules import NODE, chain_of
from typer.testing import CliRunner

from opencarrier.access.agent.documents import (
    SignedRequest,
    read_request,
    read_statement,
    write_statement,
)
from opencarrier.access.agent.holders import Held, Request
from opencarrier.access.agent.location import location_attributes
from opencarrier.access.agent.model import Source
from opencarrier.access.agent.sessions import Accepted, Session
from opencarrier.access.agent.statement import Signed
from opencarrier.access.agent.store import AgentStore
from opencarrier.app.bootstrap import Installation, open_installation
from opencarrier.app.cli import node_meters
from opencarrier.app.cli.root import make
from opencarrier.app.config import ConfigError, Settings
from opencarrier.app.folder import Folder, FolderError
from opencarrier.app.node_folder import NodeFolder
from opencarrier.app.node_who import answer
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import KeySigner

NOW_S = 1_767_603_600
PERSONS = [KeySigner(bytes((n,)) * 32) for n in (11, 12)]
SETTINGS = f"""
[node]
nas_identifier = "cafe-1"
operator_name = "4LUMEN:FR"
auth_port = 0
acct_port = 0

[hub]
transport = "udp"
host = "127.0.0.1"
secret_file = "hub.secret"

[[access_point]]
name = "hall"
prefix = "127.0.0.0/8"
secret_file = "hall.secret"
port = "lan1"

[location]
country = "FR"
city = "Nice"
latitude = 43.695
longitude = -7.265

[who]
persons = ["{PERSONS[0].address}", "{PERSONS[1].address}"]

[limits]
sessions_max = 9
holders_kept_s = 400_000_000
"""


def invoke(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(make(), ["node", *words])
    if code == 0:
        assert done.exit_code == 0, (done.output, done.exception)
    else:
        assert done.exception is not None
    return done.output


def told(*words: str) -> dict[str, Any]:
    return json.loads(invoke(*words, "--json"))


@pytest.fixture
def folder(tmp_path: Path) -> NodeFolder:
    folder = NodeFolder(tmp_path / "node")
    folder.begin(SeededEntropy(1))
    folder.settings_file.write_text(SETTINGS)
    for name in ("hub", "hall"):
        (folder.root / f"{name}.secret").write_text(f"the secret of the {name}\n")
    return folder


def with_holder(folder: NodeFolder) -> None:
    session = Session(
        access_point="hall",
        acct_session_id="s1",
        station="020000000001",
        started_us=0,
        heard_us=0,
        accepted=Accepted(cui=b"pseudonym", user_name=b"pseudonym@home"),
    )
    store = AgentStore(folder.store_file)
    with store.write():
        store.hold(1, session, Held("192.0.2.1", 1024, 2047), (NOW_S - 60) * SECOND_US)
    store.close()


def test_a_folder_is_begun_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    data = tmp_path / "node"
    first = told("init", "--data", str(data))
    assert told("init", "--data", str(data)) == first
    folder = NodeFolder(data)
    assert folder.key_file.stat().st_mode & 0o777 == 0o600
    assert folder.signer().address == first["kid"]
    folder.key_file.chmod(0o640)
    with pytest.raises(FolderError, match="others may read it"):
        folder.signer()


def test_the_settings_are_read_to_the_last(folder: NodeFolder) -> None:
    settings = folder.load()
    (point,) = settings.points
    assert (point.name, point.secret, point.source) == (
        "hall",
        b"the secret of the hall",
        Source.AUTO,
    )
    assert settings.hub.secret == b"the secret of the hub"
    assert "secret" not in repr(settings)
    assert settings.limits.sessions_max == 9
    location = settings.venue.location
    assert location is not None
    assert (location.latitude_microdegrees, location.longitude_microdegrees) == (
        43_695_000,
        -7_265_000,
    )
    assert len(location_attributes(location, since_s=0)) == 4


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('nas_identifier = "cafe-1"', "", "nas_identifier is missing"),
        ('nas_identifier = "cafe-1"', 'nas_identifier = "a b"', "nas_identifier 'a b'"),
        ('transport = "udp"', 'transport = "tcp"', "transport is radsec or udp"),
        ('transport = "udp"', "", "certificate_file is missing"),
        ('"hall.secret"', '"none.secret"', "No such file"),
        ("127.0.0.0/8", "127.0.0.1/8", "host bits"),
        ('port = "lan1"', 'octets = "kernel"', "need a port"),
        ('port = "lan1"', 'port = "../x"', "no interface"),
        ('port = "lan1"', 'octets = "guessed"', "octets is reported, kernel, auto"),
        ('country = "FR"', 'country = "fr"', "two capital letters"),
        ('country = "FR"', "", "needs its country"),
        ("43.695", "90.000001", "at most 90"),
        ("43.695", "1e9", "degrees"),
        ('city = "Nice"', f'city = "{"x" * 240}"', "longer than one attribute"),
        (PERSONS[0].address, "0x12", "40 hex digits"),
        (PERSONS[0].address, PERSONS[1].address, "twice"),
        ("sessions_max = 9", "sessions_max = 0", "at least 1"),
        ("sessions_max = 9", "sessions_most = 9", "no setting 'sessions_most'"),
        ("auth_port = 0", "auth_port = 65536", "0 to 65535"),
        ("auth_port = 0", 'auth_port = "0"', "auth_port is int"),
        ("[who]", "[whom]", "no setting 'whom'"),
        ("[node]", "node = 1\n[nod]", "node is dict"),
        ("[node]", "[node", "not TOML"),
        ("[[access_point]]", "[[access_points]]", "access_point"),
    ],
)
def test_what_is_wrong_in_the_settings_is_named(
    folder: NodeFolder, before: str, after: str, message: str
) -> None:
    assert before in SETTINGS
    folder.settings_file.write_text(SETTINGS.replace(before, after))
    with pytest.raises(ConfigError, match=message):
        folder.load()


def test_the_example_wants_only_its_files(folder: NodeFolder, tmp_path: Path) -> None:
    fresh = NodeFolder(tmp_path / "fresh")
    fresh.begin(SeededEntropy(2))
    (fresh.root / "hall.secret").write_text("x")
    assert fresh.load().hub.transport == "radsec"


def test_two_persons_are_told_and_the_log_holds_every_request(
    folder: NodeFolder, tmp_path: Path
) -> None:
    with_holder(folder)
    kid, data = folder.signer().address, ("--data", str(folder.root))
    request = tmp_path / "request.json"
    asked = ("192.0.2.1", "--kid", kid, "--at", str(NOW_S - 60), "--port", "1500")
    request.write_text(invoke("ask", *asked, "--purpose", "order 4711"))
    assert "needs_two_persons" in repr(refusal(*data, request))
    for number, person in enumerate(PERSONS):
        key = tmp_path / f"{number}.key"
        key.write_text(bytes((11 + number,)).hex() * 32)
        key.chmod(0o600)
        request.write_text(invoke("sign", str(request), "--key-file", str(key)))
        assert person.address
    (holder,) = told("who", str(request), *data)["holders"]
    assert holder["station"] == "020000000001"
    assert holder["ports"] == [1024, 2047]
    log = told("who-log", *data)["requests"]
    assert [(one["outcome"], one["found"]) for one in log] == [("refused", 0), ("answered", 1)]
    assert log[1]["previous"] == log[0]["head"]
    assert "020000000001" not in json.dumps(log)


def refusal(flag: str, data: str, request: Path) -> BaseException | None:
    return CliRunner().invoke(make(), ["node", "who", str(request), flag, data]).exception


def test_a_log_that_lost_a_line_is_told(folder: NodeFolder) -> None:
    text = invoke(
        "ask", "192.0.2.1", "--kid", folder.signer().address, "--at", "1", "--purpose", "x"
    )
    for _ in range(3):
        assert isinstance(answer(folder, read_request(text)), Refusal)
    connection = sqlite3.connect(folder.store_file)
    with connection:
        connection.execute("DELETE FROM who_log WHERE number = 1")
    connection.close()
    done = CliRunner().invoke(make(), ["node", "who-log", "--data", str(folder.root)])
    assert "line 1 does not follow" in repr(done.exception)


def test_what_the_retention_ended_is_not_found_even_before_it_is_swept(
    folder: NodeFolder, tmp_path: Path
) -> None:
    with_holder(folder)
    kept_s = folder.load().limits.holders_kept_s
    held_us = (NOW_S - 60) * SECOND_US
    for after_s, count in ((kept_s, 1), (kept_s + 1, 0)):
        now_us = held_us + after_s * SECOND_US
        request = Request(
            node=folder.signer().address,
            address="192.0.2.1",
            port=None,
            at_us=held_us,
            purpose="order 4711",
            written_us=now_us,
        )
        signatures = tuple(person.sign(request.digest).octets for person in PERSONS)
        found = answer(folder, SignedRequest(request, signatures), FixedClock(now_us))
        assert isinstance(found, list)
        assert len(found) == count


def test_statements_are_verified_from_their_file(tmp_path: Path) -> None:
    chain, file = chain_of(4), tmp_path / "statements.jsonl"
    file.write_text("\n".join(map(write_statement, chain)))
    assert told("verify", str(file), "--kid", NODE.address) == {
        "sessions": 1,
        "statements": 4,
        "findings": [],
        "holds": True,
    }
    lie = chain_of(4, factor=5)[2]
    file.write_text("\n".join(map(write_statement, [*chain, lie])))
    done = CliRunner().invoke(make(), ["node", "verify", str(file), "--kid", NODE.address])
    assert "fork at 2" in repr(done.exception)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flags", 1 << 15),
        ("sequence", -1),
        ("sequence", True),
        ("octets_in", 1 << 63),
        ("previous", "0x12"),
        ("signature", 7),
        ("acct_session_id", "x" * 601),
        ("acct_session_id", "\ud800"),
        ("octets_out", 1.0),
        ("more", 1),
    ],
)
def test_a_malformed_statement_is_a_peers_mistake(name: str, value: object) -> None:
    document = json.loads(write_statement(chain_of(1)[0]))
    assert read_statement(json.dumps(document)) == chain_of(1)[0]
    with pytest.raises(PeerError):
        read_statement(json.dumps({**document, name: value}))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """An installation that the commands find open; making one is most of a test's time."""
    base = open_installation(Folder(tmp_path / "home"), Settings())
    with base.store.write() as unit:
        register = base.identity.register
        operator = register.add_operator(unit, name="Lumen", jurisdiction="FR")
        host = register.add_host(unit, name="Cafe")
        assert not isinstance(operator, Refusal)
        assert not isinstance(host, Refusal)
        register.add_node(
            unit,
            node_id="cafe-1",
            nas_identifier="cafe-1",
            operator=operator.party_id,
            host=host.party_id,
        )
    monkeypatch.setattr(node_meters, "installation", lambda data: nullcontext(base))
    yield base
    base.close()


def test_a_home_learns_a_nodes_key_and_fetched_statements(
    home: Installation, tmp_path: Path
) -> None:
    chain, file = chain_of(3), tmp_path / "statements.jsonl"
    file.write_text("\n".join(map(write_statement, chain)))
    assert told("learn", str(file)) == {"unknown_key": 3}
    invoke("key", "cafe-1", NODE.address)
    assert told("learn", str(file)) == {"new": 3}
    assert told("learn", str(file)) == {"known": 3}
    assert kept(invoke("evidence")) == chain
    assert told("forks") == {"forks": []}
    lie = chain_of(3, factor=5)[1]
    file.write_text(write_statement(lie))
    assert told("learn", str(file)) == {"fork": 1}
    done = CliRunner().invoke(make(), ["node", "forks", "--json"])
    assert "contradictions" in repr(done.exception)
    assert json.loads(done.output)["forks"][0]["flaw"] == "fork"
    invoke("key", "cafe-1", NODE.address, "--end")
    done = CliRunner().invoke(make(), ["node", "key", "cafe-2", NODE.address])
    assert "there is no node cafe-2" in repr(done.exception)


def kept(lines: str) -> list[Signed]:
    return [read_statement(line) for line in lines.splitlines()]
