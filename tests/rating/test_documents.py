"""Documents: what is written reads back, anybody can hash it, and nothing unsaid slips in."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
import pytest

from opencarrier.kernel.clock import Window
from opencarrier.rating.documents import (
    DOCUMENT_OCTETS_MAX,
    read_agreement,
    read_plan,
    write_agreement,
    write_plan,
)
from opencarrier.rating.model import TARIFFS_MAX
from opencarrier.rating.terms import DocumentError

from .worlds import DAY_US, HOME, SIGNERS, START_US, agreement, plan, tariff

EXAMPLES = Path(__file__).parents[2] / "docs/guides/examples"
TWO = agreement(
    tariff(),
    tariff(window=Window(START_US + 20 * DAY_US, START_US + 30 * DAY_US), price_nano=900),
)
SIGNATURE = SIGNERS[HOME].sign(TWO.hash)


def digest(value: Any) -> bytes:
    return sha256(cbor2.dumps(value, canonical=True)).digest()


def test_an_agreement_reads_back_with_its_signatures() -> None:
    assert read_agreement(write_agreement(TWO, (SIGNATURE,))) == (TWO, (SIGNATURE,))


def test_a_plan_reads_back() -> None:
    assert read_plan(write_plan(plan())) == plan()


def test_a_third_party_hashes_an_agreement_from_its_json_alone() -> None:
    document = json.loads(write_agreement(TWO, (SIGNATURE,)))
    tariffs = [digest(["opencarrier/tariff", item]) for item in document.pop("tariffs")]
    for name in ("document", "signatures"):
        del document[name]
    assert digest(["opencarrier/agreement", document, tariffs]) == TWO.hash


def test_a_third_party_hashes_a_plan_from_its_json_alone() -> None:
    document = json.loads(write_plan(plan()))
    del document["document"]
    assert digest(["opencarrier/retail-plan", document]) == plan().hash
    assert digest(["opencarrier/retail-tariff", document["price"]]) == plan().price.hash


def test_the_example_documents_are_read() -> None:
    found, signatures = read_agreement((EXAMPLES / "agreement.json").read_text())
    assert len(found.tariffs) == 2
    assert not signatures
    assert read_plan((EXAMPLES / "plan.json").read_text()).plan_id == "standard"


def with_tariff(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["tariffs"][0].__setitem__(name, value)


def with_field(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (with_field("comment", "x"), "unknown key 'comment'"),
        (with_tariff("price", 1), "unknown key 'price'"),
        (lambda document: document.pop("tax_party"), "no 'tax_party'"),
        (lambda document: document["tariffs"][1].pop("step"), r"tariffs\[1\] has no 'step'"),
        (with_tariff("step", 0), r"tariffs\[0\].step is 0"),
        (with_tariff("step", True), "step is True"),
        (with_tariff("step", "1024"), "step is '1024'"),
        (with_tariff("step", 1.5), "not a whole number"),
        (with_tariff("price_nano", 1 << 63), "price_nano is"),
        (with_tariff("unit", "octets"), "unit is 'octets'"),
        (with_tariff("tax_included", 0), "no boolean"),
        (with_tariff("valid_until_us", START_US), "ends before it starts"),
        (with_tariff("host_ppm", 990_001), "more than the whole price"),
        (with_tariff("host_ppm", 1_000_001), "host_ppm is"),
        (with_field("tariffs", []), "tariffs is empty"),
        (with_field("tariffs", {}), "not a list"),
        (with_field("tariffs", [1]), "not an object"),
        (with_field("tariffs", [0] * (TARIFFS_MAX + 1)), f"at most {TARIFFS_MAX}"),
        (with_field("tariffs", [[]] * (TARIFFS_MAX + 16)), "too many lists"),
        (with_field("home", "Lumen Mobile"), "not a party id"),
        (with_field("home", "op_\ud800"), "not a party id"),
        (with_field("home_address", "0x" + "AB" * 20), "not an address"),
        (with_field("asset", "two words"), "asset is"),
        (with_field("document", "opencarrier/agreement/v2"), "agreement/v2"),
        (with_field("signatures", [{}]), "signature has no"),
        (with_field("signatures", [{"kid": "0x12", "octets": "0x34"}]), "not well formed"),
        (with_field("signatures", [1, 2, 3]), "at most 2"),
    ],
)
def test_a_document_says_exactly_what_it_must(
    change: Callable[[dict[str, Any]], None], what: str
) -> None:
    document = json.loads(write_agreement(TWO))
    change(document)
    with pytest.raises(DocumentError, match=what) as error:
        read_agreement(json.dumps(document))
    assert error.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        "null",
        '{"document": "opencarrier/agreement/v1"',
        '{"document": NaN}',
        '{"document": 1e3}',
        '{"document": "a", "document": "b"}',
        "[" * 100_000,
        "1" * 5_000,
        " " * (DOCUMENT_OCTETS_MAX + 1),
    ],
)
def test_what_is_no_document_is_refused(text: str) -> None:
    for read in (read_agreement, read_plan):
        with pytest.raises(DocumentError):
            read(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plan_id", "Standard plan"),
        ("plan_id", ""),
        ("interim_s", 59),  # below the access point's floor
        ("session_s_max", 59),
        ("rate_cap_octets_per_s", 0),
        ("price", None),
    ],
)
def test_a_plan_says_exactly_what_it_must(name: str, value: Any) -> None:
    document = json.loads(write_plan(plan()))
    document[name] = value
    with pytest.raises(DocumentError):
        read_plan(json.dumps(document))


def test_tariffs_in_force_at_once_are_refused_and_both_are_named() -> None:
    document = json.loads(write_agreement(TWO))
    document["tariffs"][1]["valid_from_us"] = document["tariffs"][0]["valid_until_us"] - 1
    with pytest.raises(DocumentError) as error:
        read_agreement(json.dumps(document))
    assert "tariffs[0] (1000 nano" in error.value.what
    assert "tariffs[1] (900 nano" in error.value.what
    document["tariffs"][1]["valid_from_us"] += 1
    assert len(read_agreement(json.dumps(document))[0].tariffs) == 2
