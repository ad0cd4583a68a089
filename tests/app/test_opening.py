"""Opening the console: which link, who is shown it, and that no list of processes has it."""

from __future__ import annotations

import json
import webbrowser
from base64 import urlsafe_b64encode

import pytest
from starlette.testclient import TestClient
from tests.app.scene import scene

from opencarrier.access.model import Metrics
from opencarrier.app.bootstrap import Real, open_installation
from opencarrier.app.cli import remote, run
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder, Running
from opencarrier.app.http import Web, make_app
from opencarrier.app.output import CommandError
from opencarrier.identity.accounts.model import LINKS_MAX, KeyKind
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy


@pytest.fixture
def web(tmp_path):
    with scene(tmp_path, one_sided_window_s=0) as made:
        yield Web(made.place, Metrics, token="t")


def test_a_link_is_printed_until_somebody_owns_the_installation(web):
    accounts, store = web.place.base.accounts, web.place.base.store
    assert not web.is_owned()
    link = web.owner_link("http://127.0.0.1:8400")
    assert link.startswith("http://localhost:8400/welcome/")
    with store.write() as unit:
        (owner,) = accounts.book.owners(unit)
        accounts.book.add_key(
            unit, owner, kind=KeyKind.WALLET, name="w", credential=b"0x" + b"1" * 40
        )
    assert web.is_owned()
    for _ in range(LINKS_MAX + 1):  # the first link ended with the key
        link = web.owner_link("http://127.0.0.1:8400")
    assert link == "http://localhost:8400/", "as many links are open as may be"


def test_the_command_opens_a_file_of_its_own_user(web, monkeypatch, tmp_path, capsys):
    """The token is in a file that nobody else reads, not among a process's arguments."""
    client = TestClient(make_app(web), base_url="http://127.0.0.1:8400")

    def post(running: Running, path: str) -> dict:
        return client.post(path, headers={"Authorization": f"Bearer {running.token}"}).json()

    opened: list[str] = []
    running = Running(1, "http://127.0.0.1:8400", "", 0, 0, "t")
    monkeypatch.setattr(remote, "post", post)
    monkeypatch.setattr(Folder, "running", lambda self: running)
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    run.open_console(data=tmp_path)
    page = tmp_path / "open.html"
    assert opened == [page.resolve().as_uri()]
    assert page.stat().st_mode & 0o777 == 0o600
    assert "http://localhost:8400/welcome/" in page.read_text()
    assert "welcome" not in capsys.readouterr().out
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    run.open_console(data=tmp_path, as_json=True)
    told = json.loads(capsys.readouterr().out)["url"]
    assert client.get(told.removeprefix("http://localhost:8400")).status_code == 200
    monkeypatch.setattr(Folder, "running", lambda self: None)
    with pytest.raises(CommandError, match="nothing serves"):
        run.open_console(data=tmp_path)


def test_people_in_a_told_world_have_their_own_time_and_randomness(tmp_path):
    """The demo's clock jumps and its seed is known: neither ends sessions nor makes tokens."""
    told = {"clock": FixedClock(1), "entropy": SeededEntropy(1)}
    base = open_installation(
        Folder(tmp_path), Settings(), **told, people=Real(FixedClock(7), SeededEntropy(2))
    )
    try:
        with base.store.write() as unit:
            token = base.accounts.owner_link(unit)
            (owner,) = base.accounts.book.page(unit)
        assert owner.made_us == 7
        expected = SeededEntropy(2).octets("link", 32)
        assert token == urlsafe_b64encode(expected).decode()[:43]
    finally:
        base.close()
