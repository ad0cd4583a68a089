"""Every kind of receipt, good, changed and made of other terms: browser and command say the same.

What is drawn follows from a seed, which a failure tells; `OPENCARRIER_SEED` draws others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import pytest
from tests.app.scene import START_US, furnish, scene
from tests.browser.test_receipt_page import Shown, agreed, chain_serve, shown
from tests.peers.test_app_anvil import rpc, url
from tests.receipts.kinds import MARGIN_PPM, settle_every_kind, texts_by_kind
from tests.receipts.remade import number, remade
from tests.receipts.tampering import at, drawn, put

from opencarrier.app.bootstrap import onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.receipts import form
from opencarrier.receipts.verify import _check_choice

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]

__all__ = ["url"]

SEED = int(os.environ.get("OPENCARRIER_SEED", "20261126"))
KINDS = ("adjustment", "line", "choice", "stake", "co-signed", "one-sided")
CHANGED = 240
REMADE = 400


@pytest.fixture(scope="module")
def kinds(browser, tmp_path_factory) -> Iterator[tuple[Shown, dict[str, list[str]]]]:
    """A receipt's page whose server is gone, the chain served by the command, and receipts."""
    root, manifest = tmp_path_factory.mktemp("kinds"), tmp_path_factory.mktemp("m") / "venue.json"
    with ExitStack() as stack:
        with scene(root, steering_margin_ppm=MARGIN_PPM) as made:
            settle_every_kind(made)
            texts = texts_by_kind(made.place)
            page, address = stack.enter_context(shown(browser, made, manifest))
        page.node = stack.enter_context(chain_serve(root, address))
        page.ask(page.node)
        yield page, texts


def encoded(texts: list[str]) -> list[bytes]:
    return [text.encode(errors="surrogatepass") for text in texts]


def test_every_kind_holds(kinds, tmp_path):
    page, texts = kinds
    assert set(texts) == set(KINDS)
    files = encoded([text for some in texts.values() for text in some])
    assert agreed(page, [*files, *encoded(list(page.texts.values()))], tmp_path) == {""}


def test_the_page_makes_an_adjustment_again(kinds):
    """The step of rating holds as any other; one unit more, and it is the one that breaks."""
    page, texts = kinds
    text = texts["adjustment"][0]
    page.drop(encoded([text]))
    assert page.state() == "good"
    step = '[data-step="rating"]'
    assert page.look.page.get_attribute(step, "data-state") == "good"
    document = json.loads(text)
    place = ("adjustment", "content", "inputs", "booked", 0)
    page.drop(encoded([form.write(put(document, place, at(document, place) + 1))]))
    assert page.state() == "act"
    assert page.look.page.get_attribute(step, "data-state") == "act"


@pytest.mark.parametrize("kind", KINDS)
def test_it_agrees_on_changed_receipts(kinds, tmp_path, kind):
    page, texts = kinds
    random = Random(f"{SEED} changed {kind}")
    files = [
        text for one in texts[kind] for text in drawn(one, random, CHANGED // len(texts[kind]))
    ]
    reasons = agreed(page, encoded(files), tmp_path)
    assert reasons >= {"form", "rating"}, (SEED, reasons)


@pytest.mark.parametrize("kind", ["adjustment", "one-sided"])
def test_it_reckons_as_the_command_does(kinds, tmp_path, kind):
    """Terms and sums drawn at random, at their bounds too: what rates right breaks only later."""
    page, texts = kinds
    random = Random(f"{SEED} remade {kind}")
    files = [text for _ in range(10) for text in remade(texts[kind][0], random, REMADE // 10)]
    assert len(files) > REMADE // 2
    assert agreed(page, encoded(files), tmp_path) >= {"rating", "signature"}, SEED


ASK_CHOICE = """async (texts) => {
  const src = document.querySelector('script[src*="receipt.js"]').src;
  const loaded = (name) => import(src.replace("receipt.js", `verify/${name}.js`));
  const [{ read, value, Broken }, { checkChoice }] = [await loaded("form"), await loaded("choice")];
  return texts.map((text) => {
    try {
      return checkChoice(value(read(text))).best;
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      return `broke: ${error.reason}`;
    }
  });
}"""


def test_it_chooses_as_the_command_does(kinds):
    """Whoever changes a choice breaks its record first, so the step is asked for by itself."""
    page, texts = kinds
    random = Random(f"{SEED} choice")
    usage = json.loads(texts["choice"][0])["usage"]["content"]
    whole = [{**usage, "choice": _choice(random), "visited": "b\U0001f4b6"} for _ in range(300)]
    made = [form.write(one) for one in whole]
    made += [text for text in drawn(made[0], random, 300) if _reads(text)]
    found = page.look.page.evaluate(ASK_CHOICE, made)
    told = [_told(text) for text in made]
    odd = [item for item in zip(made, found, told, strict=True) if item[1] != item[2]]
    assert not odd, (SEED, odd[:2])
    assert {"a", "b\U0001f4b6", None, "broke: choice"} <= set(told)


def _choice(random: Random) -> dict[str, object]:
    """Who could have served, with names in which UTF-16 and the characters order otherwise."""
    names = sorted([*random.sample(["a", "b\ue000", "c"], random.randrange(4)), "b\U0001f4b6"])
    price, quality = random.choice((3, INT64_MAX)), random.choice((3, 1_000_000))
    return {
        "place": random.choice(("u09tvw", "\U0001f4b6" * 33, "x" * 64, "x" * 65)),
        "taken": "b\U0001f4b6",
        "demand": ["EUR", number(random, price), number(random, quality), 0],
        "candidates": [
            [name, "0x", random.choice(("EUR", "EUR", "USD")), number(random, price),
             number(random, quality), number(random, price) // 2]
            for name in names
        ],
        "refusals": number(random, INT64_MAX),
    }  # fmt: skip


def _reads(text: str) -> bool:
    """Say whether a text comes as far as a usage of which the step can be asked."""
    try:
        usage = form.from_json(form.read(text))
    except PeerError:
        return False
    return isinstance(usage, dict) and {"choice", "visited"} <= set(usage)


def _told(text: str) -> str | None:
    try:
        found = _check_choice(form.from_json(form.read(text)))
    except PeerError as error:
        return f"broke: {error.reason}"
    assert found is not None
    return found.best


def test_it_agrees_on_a_chain_that_is_not_ours(browser, url, tmp_path):
    """Foundry's anvil. Its clock is of today and the deal's is not, so nothing is staked there."""
    clock, root = FixedClock(START_US), tmp_path / "data"
    settings = Settings(
        cycle_s=0, one_sided_window_s=3_600, chain=url, finality="depth:1",
        steering_margin_ppm=MARGIN_PPM,
    )  # fmt: skip
    base = open_installation(Folder(root), settings, clock=clock, entropy=SeededEntropy(1))
    rpc(url, "anvil_setBalance", base.hub.address, hex(10**21))
    (tmp_path / "files").mkdir()
    with ExitStack() as stack:
        try:
            with onchain(base) as place:
                made = furnish(place, clock)
                settle_every_kind(made, at_stake=False)
                texts = texts_by_kind(place)
                page, _ = stack.enter_context(shown(browser, made, tmp_path / "venue.json"))
        finally:
            base.close()
        page.node = url
        page.ask(url)
        assert set(texts) == set(KINDS) - {"stake"}
        good = [text for some in texts.values() for text in some]
        assert agreed(page, encoded(good), tmp_path / "files") == {""}
        random = Random(f"{SEED} elsewhere")
        files = [text for some in texts.values() for text in drawn(some[0], random, CHANGED // 2)]
        assert agreed(page, encoded(files), tmp_path / "files") >= {"form", "rating"}, SEED
