"""Receipts verified by a browser alone, our server gone: the page says what the command says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.app.scene import START_US, Scene, furnish, scene
from tests.app.serving import served
from tests.browser.look import WIDTHS, Look, looked
from tests.peers.test_app_anvil import rpc, url
from tests.receipts.tampering import every_field, moved, no_receipts

from opencarrier.access.model import Metrics
from opencarrier.app.bootstrap import Onchain, onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.console.receipt import RECEIPTS_MAX
from opencarrier.app.folder import Folder
from opencarrier.app.http import Web, make_app
from opencarrier.app.output import CommandError
from opencarrier.app.verifying import verify_files
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.node.http import rpc_app
from opencarrier.identity.accounts.model import Account, Grant, Role
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.receipts.issue import AUDIENCES

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]

__all__ = ["url"]

NUMBERS = count(1)

ENDED = '[data-verdict]:not([data-state="idle"]):not([data-state="busy"])'


@dataclass
class Shown:
    """A page that was loaded from a server which is gone, and where the chain stands apart."""

    look: Look
    node: str
    manifest: Path
    texts: dict[str, str]

    def ask(self, node: str) -> None:
        self.look.page.fill("#rpc", node)

    def press(self) -> str:
        """Press the button; what the page says in the end."""
        self.look.page.click("[data-go]")
        return self.state()

    def state(self) -> str:
        self.look.page.wait_for_selector(ENDED, timeout=60_000)
        return str(self.look.page.get_attribute("[data-verdict]", "data-state"))

    def drop(self, files: list[bytes]) -> None:
        page = self.look.page
        page.evaluate("() => { document.querySelector('[data-verdict]').dataset.state = 'idle' }")
        told = [{"name": f"{i}.json", "mimeType": "", "buffer": one} for i, one in enumerate(files)]
        page.set_input_files("#files", told)

    def rows(self, files: list[bytes]) -> list[tuple[str, str]]:
        """Drop files in; verdict and reason of each."""
        self.drop(files)
        self.state()
        told = """rows => rows.map((row) => [row.dataset.state, row.dataset.reason])"""
        found = self.look.page.eval_on_selector_all("[data-many] tbody tr", told)
        return [(state, reason) for state, reason in found]


def settle(made: Scene) -> None:
    for number in range(3):
        made.use(f"session-{number}", octets=5_000_000 * (number + 1), grant=made.authorise())
    made.use("weak", octets=9_000_000, grant=None)
    made.settle()
    made.settle()


def issued(place: Onchain) -> dict[str, str]:
    """Every settled use's receipt in each of its disclosures, by id and audience."""
    found = {}
    with place.base.store.read() as unit:
        for cycle, _ in place.settlement.cycles(unit):
            for usage_id in place.clearing.usages(unit, cycle.cycle_id):
                for audience, parts in AUDIENCES.items():
                    text = place.issuer.issue(unit, usage_id, parts=parts)
                    assert isinstance(text, str)
                    found[f"0x{usage_id.hex()} {audience}"] = text
    return found


def sign_in(place: Onchain, look: Look, address: str, grant: Grant) -> None:
    accounts = place.base.accounts
    with place.base.store.write() as unit:
        account = accounts.book.add(unit, f"visitor {next(NUMBERS)}")
        assert isinstance(account, Account)
        accounts.book.give(unit, account.account, grant)
        token, _ = accounts.sessions.begin(unit, account.account, key="k", came_from="")
    name = f"opencarrier-{address.rpartition(':')[2]}"
    look.page.context.add_cookies([{"name": name, "value": token, "url": address}])


@contextmanager
def shown(browser: Browser, made: Scene, manifest: Path) -> Iterator[tuple[Shown, str]]:
    """Load a receipt's page; the server goes when the block is left."""
    texts = issued(made.place)
    page_id = next(iter(texts)).partition(" ")[0]
    with looked(browser, "desktop") as look:
        web = Web(made.place, Metrics, token="the token")
        with served(make_app(web)) as address:
            sign_in(made.place, look, address, Grant(Role.OWNER))
            look.open(f"{address}/receipt/{page_id}")
            web.events.close()
            look.page.context.set_offline(True)
        look.page.context.set_offline(False)
        manifest.write_text(made.place.manifest.to_json())
        yield Shown(look, "", manifest, texts), address


@contextmanager
def chain_serve(data: Path, origin: str) -> Iterator[str]:
    """`opencarrier chain serve` of a folder whose installation is closed."""
    command = [sys.executable, "-m", "opencarrier", "chain", "serve", "--port", "0"]
    command += ["--data", str(data), "--origin", origin]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found = re.search(r"http://\S+:[0-9]+", process.stderr.readline())
        assert found is not None
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)
        process.stderr.close()


@pytest.fixture(scope="module")
def apart(browser, tmp_path_factory) -> Iterator[Shown]:
    """The page, its server gone, and the same chain served by the command."""
    root, manifest = tmp_path_factory.mktemp("apart"), tmp_path_factory.mktemp("m") / "venue.json"
    with ExitStack() as stack:
        with scene(root) as made:
            settle(made)
            page, address = stack.enter_context(shown(browser, made, manifest))
        page.node = stack.enter_context(chain_serve(root, address))
        page.ask(page.node)
        yield page


def test_it_holds_with_our_server_gone(apart):
    assert apart.press() == "good"
    apart.look.shot("receipt-server-gone")
    states = "steps => steps.map((step) => [step.dataset.step, step.dataset.state])"
    found = dict(apart.look.page.eval_on_selector_all("[data-step]", states))
    assert {found.pop("stake"), found.pop("choice")} == {"none"}
    assert set(found.values()) == {"good"}
    root = apart.look.page.inner_text('[data-step="record"] [data-figure]')
    assert root.startswith("0x")


def tampered(texts: dict[str, str]) -> list[bytes]:
    """Good receipts and changed ones: co-signed and one-sided, whole and sealed."""
    all_of = [text for name, text in texts.items() if name.endswith(" all")]
    co_signed = next(text for text in all_of if '"rung": 2' in text)
    one_sided = next(text for text in all_of if '"rung": 2' not in text)
    sealed = next(text for name, text in texts.items() if name.endswith(" subscriber"))
    made = [*texts.values(), *every_field(co_signed), *every_field(one_sided)]
    made += [*every_field(sealed), *moved(co_signed, one_sided), *moved(one_sided, co_signed)]
    return [*(text.encode() for text in made), *no_receipts(co_signed)]


def told_by_command(files: list[bytes], folder: Path, node: str, manifest: Path):
    """What the command says of each, in the page's words."""
    paths = []
    for number, octets in enumerate(files):
        paths.append(folder / f"{number}.json")
        paths[-1].write_bytes(octets)
    answers = verify_files(paths, rpc=node, manifest=manifest)["receipts"]
    return [("good", "") if one["holds"] else ("act", one["broke"]) for one in answers]


def agreed(page: Shown, files: list[bytes], folder: Path) -> set[str]:
    """Compare page and command on each file, verdict and step; return the steps that broke."""
    reasons = set()
    for number in range(0, len(files), RECEIPTS_MAX):
        some = files[number : number + RECEIPTS_MAX]
        ours, theirs = page.rows(some), told_by_command(some, folder, page.node, page.manifest)
        assert len(ours) == len(theirs) == len(some)
        told = zip(some, ours, theirs, strict=True)
        odd = [(text, a, b) for text, a, b in told if a != b]
        assert not odd, (len(odd), odd[:3])
        reasons |= {reason for _, reason in theirs}
    return reasons


def agree(page: Shown, files: list[bytes], folder: Path) -> None:
    assert agreed(page, files, folder) >= {
        "", "form", "usage", "rating", "record", "signature", "settlement",
    }  # fmt: skip


def test_it_agrees_with_the_command_on_good_and_on_changed_receipts(apart, tmp_path):
    """Verdict and step, for every field, path, signature and for what is no receipt at all."""
    files = tampered(apart.texts)
    assert len(files) > 500
    agree(apart, files, tmp_path)


def test_one_changed_file_shows_the_step_that_broke(apart):
    text = next(text for name, text in apart.texts.items() if name.endswith(" all"))
    apart.drop([text.replace('"amount_minor": ', '"amount_minor": 1', 1).encode()])
    assert apart.state() == "act"
    apart.look.shot("receipt-changed")
    assert apart.look.page.locator('[data-step][data-state="act"]').count() == 1
    assert not apart.look.axe()
    apart.drop([b"{}"] * (RECEIPTS_MAX + 1))
    assert apart.state() == "act"
    assert apart.look.page.locator("[data-many] tbody tr").count() <= RECEIPTS_MAX


def test_another_chain_or_contract_is_no_anchor(apart, tmp_path):
    """The command refuses the venue before any receipt; the page shows which of the two it is."""
    origin = str(apart.look.page.evaluate("location.origin"))
    node = EmbeddedNode.open(":memory:", NodeSettings(chain_id=4242), FixedClock(START_US))
    with served(rpc_app(node, origins=frozenset({origin}))) as other:
        apart.ask(other)
        assert apart.press() == "act"
        assert apart.look.page.get_attribute('[data-step="chain"]', "data-state") == "act"
        with pytest.raises(CommandError):
            verify_files([], rpc=other, manifest=apart.manifest)
    node.close()
    apart.ask(apart.node)
    spoilt = tmp_path / "spoilt.json"
    spoilt.write_text(re.sub(r'("code_hash": "0x)..', r"\g<1>00", apart.manifest.read_text()))
    apart.look.page.set_input_files("#manifest", spoilt)
    assert apart.press() == "act"
    assert apart.look.page.get_attribute('[data-step="code"]', "data-state") == "act"
    with pytest.raises(CommandError):
        verify_files([], rpc=apart.node, manifest=spoilt)
    apart.look.page.set_input_files("#manifest", apart.manifest)
    assert apart.press() == "good"


def chain_asked(look) -> list[str]:
    """What the page asked, but for its line to our server, which it tries again by itself."""
    return [address for address in look.asked if not address.endswith("/v1/events")]


def test_a_silent_node_and_one_elsewhere_say_nothing_of_the_receipt(apart):
    """Nobody answers: that is said. Where the page may not ask, it does not try."""
    apart.ask("http://127.0.0.1:9")
    assert apart.press() == "wait"
    asked = chain_asked(apart.look)
    apart.ask("https://rpc.example")
    assert apart.press() == "not-allowed"
    assert chain_asked(apart.look) == asked
    apart.ask(apart.node)
    assert apart.press() == "good"


def test_it_agrees_against_a_node_that_is_not_ours(browser, url, tmp_path):
    """Foundry's anvil: other blocks, other answers, the same verdicts."""
    clock, root = FixedClock(START_US), tmp_path / "data"
    settings = Settings(cycle_s=0, one_sided_window_s=3_600, chain=url, finality="depth:1")
    base = open_installation(Folder(root), settings, clock=clock, entropy=SeededEntropy(1))
    rpc(url, "anvil_setBalance", base.hub.address, hex(10**21))
    (tmp_path / "files").mkdir()
    with ExitStack() as stack:
        try:
            with onchain(base) as place:
                made = furnish(place, clock)
                settle(made)
                page, _ = stack.enter_context(shown(browser, made, tmp_path / "venue.json"))
        finally:
            base.close()
        page.node = url
        page.ask(url)
        assert page.press() == "good"
        agree(page, tampered(page.texts), tmp_path / "files")


@pytest.mark.parametrize("device", WIDTHS)
def test_the_page_is_well_made(browser, console, device):
    """Before, after, and where somebody only has a file: all looks, by keyboard alone."""
    page_id = next(iter(issued(console.made.place))).partition(" ")[0]
    with looked(browser, device) as look:
        look.open(f"{console.url}/receipt")
        assert not look.judge_schemes("receipt-empty")
        holder = Grant(Role.SUBSCRIBER, console.made.subscriber.party_id)
        sign_in(console.made.place, look, console.url, holder)
        look.open(f"{console.url}/receipt/{page_id}")
        assert not look.judge_schemes("receipt-before")
        look.page.focus("[data-go]")
        look.page.keyboard.press("Enter")
        look.page.wait_for_selector('[data-verdict][data-state="good"]')
        assert not look.judge_schemes("receipt-good")
