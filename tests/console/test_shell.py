"""The frame around every page: addresses of static files, headers, errors, languages, words."""

from __future__ import annotations

import gzip
import re
import shutil
import tomllib
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from fastapi import FastAPI, HTTPException
from starlette.testclient import TestClient
from tools.vendor import check

from opencarrier.app.console import frame_routes
from opencarrier.app.console.assets import KEPT, Assets, assets
from opencarrier.app.console.events import Events
from opencarrier.app.console.glossary import glossary
from opencarrier.app.console.locales import chosen_locale, words
from opencarrier.app.console.security import POLICY
from opencarrier.app.console.shell import SECTIONS, SECTIONS_ABREAST, Shell, section_of, sections_of
from opencarrier.app.console.visitor import Visitor
from opencarrier.identity.accounts.model import AccountId, Grant, Role
from opencarrier.kernel.clock import FixedClock
from opencarrier.spine.parties import PartyId

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "src" / "opencarrier" / "app" / "console" / "static" / "vendor"
PAGE = {"Accept": "text/html,application/xhtml+xml"}
SECRET = "a detail of the inside"


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    shell = Shell(domain="example", chain_id=5, code=lambda: "USD")
    frame_routes(app, shell, Events(FixedClock(0)))

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError(SECRET)

    @app.get("/refused/{status}")
    def refused(status: int) -> None:
        raise HTTPException(status)

    @app.get("/counted")
    def counted(number: int) -> int:
        return number

    return TestClient(app, raise_server_exceptions=False)


def linked(page: str) -> set[str]:
    return set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page))


def test_a_page_asks_for_files_that_are_there_and_are_kept(client):
    files = linked(client.get("/words").text)
    assert len(files) >= 5
    for address in files:
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["cache-control"] == KEPT
        name = address.split("/", 3)[3]
        assert answer.content == assets().octets(name)


def test_an_address_is_of_one_content(client):
    """Whatever changes in one file changes every address; another's address is nobody's."""
    same = {name: assets().octets(name) for name in assets().names}
    assert Assets(same).address("console.css") == assets().address("console.css")
    after = Assets({**same, "console.js": b""}).address("console.css")
    assert after != assets().address("console.css")
    assert client.get(after).status_code == 404
    assert client.get(assets().address("console.css") + "/../shell.py").status_code == 404


def test_files_travel_compressed_and_are_the_same(client):
    address = assets().address("vendor/land-110m.json")
    plain = client.get(address, headers={"Accept-Encoding": "identity"})
    packed = assets().asset(assets().digest, "vendor/land-110m.json")
    assert "content-encoding" not in plain.headers
    assert client.get(address).headers["content-encoding"] == "gzip"
    assert packed.compressed is not None
    assert gzip.decompress(packed.compressed) == plain.content
    assert len(packed.compressed) < len(plain.content) // 2


def test_everything_says_what_a_browser_may_do(client):
    """Pages, files, errors and what a programme asks alike; no inline script or style anywhere."""
    for path in ("/words", assets().address("console.js"), "/absent", "/broken", "/openapi.json"):
        headers = client.get(path).headers
        assert headers["content-security-policy"] == POLICY, path
        assert headers["x-content-type-options"] == "nosniff"
        assert (headers["cache-control"] == "no-store") == (not path.endswith(".js")), path
    assert "unsafe" not in POLICY
    page = client.get("/words").text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*src=)", page)


ERRORS = [
    ("/absent", 404),
    ("/broken", 500),
    ("/counted?number=x", 422),
    ("/refused/400", 400),
    ("/refused/409", 409),
    ("/refused/413", 413),
    ("/refused/418", 418),
    ("/refused/429", 429),
    ("/refused/503", 503),
]


@pytest.mark.parametrize(("path", "status"), ERRORS)
def test_an_error_says_what_to_do_and_nothing_of_the_inside(client, path, status):
    page = client.get(path, headers=PAGE)
    assert page.status_code == status
    assert 'href="/"' in page.text
    assert SECRET not in page.text
    assert "Traceback" not in page.text
    told = client.get(path, headers={"Accept": "application/json"})
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json()["status"] == status
    assert re.fullmatch(r"/problems/[a-z0-9_]+", told.json()["type"])
    assert SECRET not in told.text


def test_a_script_of_ours_gets_words_to_show_and_a_part_of_a_page_no_page(client):
    """In the language of who looks; a part that is refused leaves the one of before."""
    french = {"Accept": "application/json", "Accept-Language": "fr"}
    told = client.get("/refused/429", headers=french).json()
    assert told["detail"] == words("fr").gettext("Wait a minute and try again.")
    assert told["detail"] != "Wait a minute and try again."
    part = client.get("/refused/409", headers={**PAGE, "HX-Request": "true"})
    assert part.headers["content-type"] == "application/problem+json"
    assert '"noSwap": [204, 304, "4xx", "5xx"]' in client.get("/words").text


def test_only_what_is_not_there_says_that_nothing_is_here(client):
    said = {
        status: re.search(r"<h1>(.*?)</h1>", client.get(path, headers=PAGE).text)[1]
        for path, status in ERRORS
    }
    assert [status for status, words in said.items() if words == said[404]] == [404, 418]
    assert len(set(said.values())) == len(said) - 1


def test_what_does_not_fit_is_named_and_not_said_back(client):
    told = client.get("/counted?number=%3Cscript%3E")
    assert [one["where"] for one in told.json()["errors"]] == ["query.number"]
    assert "script" not in told.text


def test_who_asks_the_api_gets_a_problem_whatever_it_accepts(client):
    told = client.get("/v1/absent", headers=PAGE)
    assert told.headers["content-type"] == "application/problem+json"


def test_the_choice_of_light_or_dark_is_drawn_by_the_server(client):
    assert "data-theme" not in client.get("/words").text
    client.cookies.set("theme", "dark")
    assert 'data-theme="dark"' in client.get("/words").text
    client.cookies.set("theme", '"><script>')
    assert "data-theme" not in client.get("/words").text
    client.cookies.clear()


def test_the_first_known_language_is_answered_in():
    assert chosen_locale("") == "en"
    assert chosen_locale("xx-YY, en-GB;q=0.5") == "en"
    assert chosen_locale(",".join(["xx"] * 10_000)) == "en"


def test_amounts_are_short_and_exact_in_their_titles():
    english = words("en")
    assert str(english.money(3_419_872, "USD")) == (
        '<data class="money" value="3419872" title="3.419872 USD">$3.42</data>'
    )
    assert ">-0.000001\u00a0DUSD<" in english.money(-1, "DUSD")
    assert ">0.00\u00a0DUSD<" in english.money(0, "DUSD")
    assert ">9,223,372,036,854.78\u00a0DUSD<" in english.money((1 << 63) - 1, "DUSD")
    assert "<script>" not in english.money(1, "<script>")


def test_octets_counts_and_instants():
    english = words("en")
    assert ">999 byte<" in english.octets(999)
    assert ">1.5 kB<" in english.octets(1_500)
    assert ">150 MB<" in english.octets(150_000_000)
    assert 'title="1,700,000"' in english.compact(1_700_000)
    assert "1.7M" in english.compact(1_700_000)
    assert english.share(125_000) == "12.5%"
    assert english.duration(3_600) == "1 hour"
    at = english.when(1_767_603_600_000_000)
    assert 'datetime="2026-01-05T09:00:00Z"' in at
    assert ">5 Jan 2026, 09:00:00<" in at


def test_every_word_is_explained_once_and_shortly():
    page_of = glossary()
    assert len({term.name for term in page_of.values()}) == len(page_of)
    for term in page_of.values():
        assert 20 < len(term.says) < 240
        assert term.says.endswith(".")


def test_every_icon_of_a_template_and_of_the_navigation_is_in_the_sprite():
    symbols = set(re.findall(r'<symbol id="([a-z-]+)"', assets().octets("icons.svg").decode()))
    assert {part.icon for part in SECTIONS} <= symbols
    assert {"check", "clock", "alert", "cloud-off", "mark"} <= symbols


def test_the_navigation_keeps_what_is_rare_behind_more_where_not_all_has_room():
    owner = Visitor(account=AccountId("somebody"), grants=frozenset({Grant(Role.OWNER)}))
    shown, more = sections_of(owner)
    assert [part.key for part in more] == ["chain", "webhooks", "people", "audit"]
    assert {*shown, *more} == set(SECTIONS)
    host = replace(owner, grants=frozenset({Grant(Role.HOST, PartyId("host_1"))}))
    shown, more = sections_of(host)
    assert [part.key for part in shown] == [
        "network", "host", "trace", "chain", "webhooks", "people",
    ]  # fmt: skip
    assert (len(shown), more) == (SECTIONS_ABREAST, [])
    person = replace(owner, grants=frozenset({Grant(Role.SUBSCRIBER, PartyId("sub_1"))}))
    assert [part.key for part in sections_of(person)[0]] == [
        "network", "subscriber", "trace", "chain",
    ]  # fmt: skip
    assert section_of(person, "webhooks") == "subscriber"
    assert section_of(host, "webhooks") == "webhooks"


def test_the_vendored_scripts_are_those_of_the_manifest():
    entries = tomllib.loads((VENDOR / "VENDOR.toml").read_text())["file"]
    assert not list(check(entries, VENDOR))
    for entry in entries:
        octets = assets().octets(f"vendor/{entry['file']}")
        assert sha256(octets).hexdigest() == entry["sha256"]


def test_a_changed_or_unnamed_file_is_found(tmp_path):
    shutil.copytree(VENDOR, tmp_path, dirs_exist_ok=True)
    entries = tomllib.loads((VENDOR / "VENDOR.toml").read_text())["file"]
    (tmp_path / entries[0]["file"]).write_bytes(b"another")
    (tmp_path / "more.js").write_bytes(b"")
    (tmp_path / "uplot.LICENSE.txt").unlink()
    found = "\n".join(check(entries, tmp_path))
    for part in (entries[0]["file"], "more.js", "uplot.LICENSE.txt is missing"):
        assert part in found
