"""The chain's pages: every call and event of ours decoded, roles read, nobody's name, bounded."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.console import pseudo
from tests.console.people import Installation, installation

from opencarrier.app.console.chain import BLOCKS_MAX
from opencarrier.app.console.views import decoded
from opencarrier.app.console.views.chain import ROLES
from opencarrier.chain.abi import _types, encode, load
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.spine.ids import net_word
from opencarrier.spine.money import Net

CONTRACTS = (
    "BatchChannels",
    "ClearingHouse",
    "Erc3009DepositCollector",
    "NodeRegistry",
    "RewardDistributor",
    "StableToken",
    "StakeDiscount",
)
SOMEBODY = "0x" + "ab" * 20


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("chain")) as found:
        found.made.use("one", octets=5_000_000, grant=found.made.authorise())
        found.made.settle()
        yield found


@pytest.fixture(scope="module")
def settled(home: Installation) -> str:
    steps = home.browser("owner").ask("/v1/trace/cycle:1").json()["items"][0]["steps"]
    return str(steps[-1]["tx_hash"])


def named(address: str) -> str:
    return "somebody" if address == SOMEBODY else ""


def some(item: dict[str, Any]) -> Any:
    """A value of an ABI's type."""
    kind = item["type"]
    if kind.endswith("]"):
        count = kind[kind.rindex("[") + 1 : -1]
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return [some(inner) for _ in range(int(count or 2))]
    if kind == "tuple":
        return tuple(some(part) for part in item["components"])
    if kind == "address":
        return SOMEBODY
    if kind == "bool":
        return True
    if kind == "string":
        return "words"
    if kind.startswith("bytes"):
        return b"\x01" * int(kind[5:] or 3)
    return net_word(Net(address=SOMEBODY, amount_minor=-7)) if item["name"] == "nets" else 7


def leaves(item: dict[str, Any], name: str) -> list[str]:
    kind = item["type"]
    if kind.endswith("]"):
        inner, count = {**item, "type": kind[: kind.rindex("[")]}, kind[kind.rindex("[") + 1 : -1]
        return [n for at in range(int(count or 2)) for n in leaves(inner, f"{name}[{at}]")]
    if kind == "tuple":
        return [n for p in item["components"] for n in leaves(p, f"{name}.{p['name']}")]
    return [name]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_call_and_event_has_a_decoded_form(contract):
    """Each by its name, each field by its own, whatever structs and lists it stands in."""
    artefact = load(contract)
    for key, entry in artefact.functions.items():
        inputs = entry["inputs"]
        data = artefact.call_data(key, *(some(item) for item in inputs))
        found = decoded.call(contract, data, named)
        assert found.name == entry["name"]
        assert [a.name for a in found.arguments] == [
            n for i in inputs for n in leaves(i, i["name"])
        ]
        shown = {a.name_of for a in found.arguments if a.kind == "address"}
        assert shown <= {"somebody"}
        cut = decoded.call(contract, data[:-1], named) if inputs else found
        assert cut.name == ("" if inputs else entry["name"])
    for topic, entry in artefact.events.items():
        plain = [item for item in entry["inputs"] if not item["indexed"]]
        indexed = [item for item in entry["inputs"] if item["indexed"]]
        topics = [topic, *(encode([item["type"]], [some(item)]) for item in indexed)]
        data = encode(_types(plain), [some(item) for item in plain])
        told = decoded.event(contract, topics, data, named)
        assert told.name == entry["name"]
        assert {re.split(r"[.\[]", a.name)[0] for a in told.arguments} == {
            item["name"] for item in entry["inputs"]
        }
        assert not decoded.event(contract, topics[:1], b"", named).name or not entry["inputs"]


def test_what_is_none_of_ours_is_told_as_octets():
    assert decoded.call("StableToken", b"\x00" * 300, named).name == ""
    assert len(decoded.call("StableToken", b"\x00" * 300, named).arguments[0].value) == 2 + 2 * 256
    assert decoded.event("StableToken", [], b"", named).arguments == []
    words = [net_word(Net(address=SOMEBODY, amount_minor=7))] * (decoded.ITEMS_MAX + 1)
    item = {"name": "nets", "type": "uint256[]"}
    found = list(decoded._walk("nets", item, words, named))
    assert len(found) == decoded.ITEMS_MAX + 1
    assert (found[0].kind, found[0].value, found[-1].value) == ("net", "7", "51")


def test_a_settlement_reads_as_what_it_moved(home, settled):
    """Who gained and who lost in money, by name; everybody may look, no person is named."""
    browser = home.browser()
    told = browser.ask(f"/v1/chain/transactions/{settled}").json()
    assert told["succeeded"]
    assert (told["call"]["contract"], told["call"]["name"]) == ("ClearingHouse", "settle")
    event = next(e for e in told["events"] if e["name"] == "Settled")
    nets = {a["name_of"]: int(a["value"]) for a in event["arguments"] if a["kind"] == "net"}
    assert nets["Home"] < 0 < nets["Visited"]
    page = browser.get(f"/chain/tx/{settled}")
    assert page.status_code == 200
    assert "Settled" in page.text
    assert "Ada" not in page.text
    block = browser.ask(f"/v1/chain/blocks/{told['block_number']}").json()
    assert [line["hash"] for line in block["transactions"]] == [settled]
    assert block["transactions"][0]["sender"]["name"] == "opencarrier"
    assert browser.get(f"/chain/block/{told['block_number']}").status_code == 200


def test_blocks_are_paged_newest_first(home):
    browser = home.browser()
    head, seen, cursor = home.made.place.client.block_number(), [], ""
    for _ in range(10):
        page = browser.ask(f"/v1/chain/blocks?limit=7&cursor={cursor}").json()
        seen += [block["number"] for block in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == list(range(head, -1, -1))
    assert browser.get("/chain").status_code == 200
    assert browser.ask(f"/v1/chain/blocks?limit={BLOCKS_MAX + 1}").status_code == 422
    assert browser.ask("/v1/chain/blocks?cursor=nonsense").status_code == 422


def test_roles_are_what_the_chain_says(home):
    browser = home.browser()
    for name in home.made.place.manifest.contracts:
        told = browser.ask(f"/v1/chain/contracts/{name}").json()
        assert {line["role"] for line in told["roles"]} == set(ROLES.get(name, {}))
        assert browser.get(f"/chain/contract/{name}").status_code == 200
    house = browser.ask("/v1/chain/contracts/ClearingHouse").json()
    holders = {line["role"]: line["holder"] for line in house["roles"]}
    assert holders["settler"]["name"] == "opencarrier"
    assert holders["distributor"]["name"] == "RewardDistributor"


@pytest.mark.parametrize(
    "path",
    ["block/99999999", "block/-1", "block/x", f"block/{10**19}", "tx/0x00", "tx/0x" + "ab" * 32,
     "contract/Nothing"],
)  # fmt: skip
def test_what_is_not_there_is_absent(home, path):
    browser = home.browser()
    assert browser.get(f"/chain/{path}").status_code == 404
    kinds = {"block": "blocks", "tx": "transactions", "contract": "contracts"}
    kind, _, rest = path.partition("/")
    assert browser.ask(f"/v1/chain/{kinds[kind]}/{rest}").status_code == 404


def test_a_silent_node_is_said_to_be_silent(home, settled, monkeypatch):
    """Nothing is shown from memory; an answer out of form is as good as none."""

    def silent(*_: Any) -> Any:
        raise ChainUnavailableError("nobody", outcome_unknown=False)

    browser = home.browser()
    for answer in (silent, lambda *_: {"number": "0x1"}):
        monkeypatch.setattr(home.made.place.client, "request", answer)
        for path in ("/chain", "/chain/block/1", f"/chain/tx/{settled}"):
            page = browser.get(path)
            assert page.status_code == 503
            assert "does not answer" in page.text
        assert browser.ask("/v1/chain/blocks").status_code == 503


def test_no_text_of_it_passes_a_catalogue_by(home, settled):
    with pseudo.spoken(home.web.shell):
        number = home.made.place.client.block_number()
        for path in (
            "/chain", "/chain/block/0", f"/chain/block/{number}", f"/chain/tx/{settled}",
            "/chain/contract/ClearingHouse", "/chain/contract/BatchChannels",
        ):  # fmt: skip
            assert not pseudo.bare(home.browser().get(path).text), path
        assert not re.search("Ada", home.browser().get("/chain").text)
