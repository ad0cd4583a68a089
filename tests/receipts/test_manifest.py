"""The pinned manifest: what it takes, what it refuses, and that it pins every contract."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from opencarrier.chain.contracts import ClearingHouse, Contract
from opencarrier.kernel.refusals import PeerError
from opencarrier.receipts.manifest import (
    CONTRACTS_MAX,
    MANIFEST_OCTETS_MAX,
    Manifest,
    Pinned,
    check_venue,
    manifest_of,
    read_manifest,
)


class Unknown(Contract):
    NAME = "Unknown"


@pytest.fixture(scope="module")
def manifest(settled) -> Manifest:
    return settled.place.manifest


def changed(manifest: Manifest, **values) -> str:
    """The manifest's text with other values; None takes a key out."""
    told = {**json.loads(manifest.to_json()), **values}
    return json.dumps({key: value for key, value in told.items() if value is not None})


def test_what_is_written_is_read(manifest):
    assert read_manifest(manifest.to_json()) == manifest


def test_every_contract_is_pinned_by_its_code(manifest, settled):
    """Other code at any of the addresses is another venue."""
    check_venue(manifest, settled.place.client)
    for name, pinned in manifest.contracts.items():
        other = {**manifest.contracts, name: replace(pinned, code_hash="0x" + "00" * 32)}
        with pytest.raises(PeerError, match=name):
            check_venue(replace(manifest, contracts=other), settled.place.client)


def test_a_contract_the_venue_lacks_is_named(manifest):
    assert manifest.at(ClearingHouse) == manifest.clearing_house
    with pytest.raises(PeerError, match="no Unknown"):
        manifest.at(Unknown)


def test_code_that_is_not_ours_is_never_pinned(manifest, settled):
    """A contract is recognised by its artefact before its address is written down."""
    contracts = {ClearingHouse: manifest.token}
    with pytest.raises(PeerError) as failure:
        manifest_of(settled.place.client, contracts, domain="other", from_block=0)
    assert failure.value.reason == "other_code"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"format": "opencarrier-manifest/1"}, "manifest_format"),
        ({"format": "opencarrier-manifest/3"}, "manifest_format"),
        ({"format": None}, "manifest_format"),
        ({"chain_id": "31337"}, "manifest_value"),
        ({"from_block": True}, "manifest_value"),
        ({"domain": 1}, "manifest_value"),
        ({"domain": None}, "manifest_keys"),
        ({"more": 1}, "manifest_keys"),
        ({"contracts": {}}, "manifest_value"),
        ({"contracts": ["ClearingHouse"]}, "manifest_value"),
        ({"contracts": {"ClearingHouse": "0x00"}}, "manifest_value"),
        ({"contracts": {"ClearingHouse": {"address": "0x00"}}}, "manifest_keys"),
        ({"contracts": {"ClearingHouse": {"address": 1, "code_hash": "0x"}}}, "manifest_value"),
    ],
)
def test_another_form_is_refused(manifest, values, reason):
    with pytest.raises(PeerError) as failure:
        read_manifest(changed(manifest, **values))
    assert failure.value.reason == reason


def test_the_former_form_says_what_to_do(manifest):
    with pytest.raises(PeerError, match="use that program"):
        read_manifest(changed(manifest, format="opencarrier-manifest/1"))


def test_limits(manifest):
    """Octets and contracts end where they are said to end."""
    one = Pinned(address=manifest.token, code_hash="0x")
    many = {f"Contract{number}": one for number in range(CONTRACTS_MAX)}
    assert read_manifest(replace(manifest, contracts=many).to_json()).contracts == many
    with pytest.raises(PeerError) as failure:
        read_manifest(replace(manifest, contracts={**many, "More": one}).to_json())
    assert failure.value.reason == "manifest_value"
    with pytest.raises(PeerError) as failure:
        read_manifest(" " * (MANIFEST_OCTETS_MAX + 1))
    assert failure.value.reason == "manifest_too_large"
