"""The pinned manifest: which chain and contracts a verifier trusts, before it sees any receipt."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import ClearingHouse, RewardDistributor, StableToken
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address
from opencarrier.receipts.form import check_nesting

FORMAT = "opencarrier-manifest/1"
MANIFEST_OCTETS_MAX = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One settlement venue: hashes are `0x` hex; `finality` is a profile such as `depth:12`.

    `genesis_hash` names the chain (two chains may share an id), the code hashes pin what the
    contracts do, constructor values included.
    """

    domain: str
    chain_id: int
    genesis_hash: str
    finality: str
    asset: AssetId
    token: Address
    clearing_house: Address
    distributor: Address
    token_code_hash: str
    clearing_house_code_hash: str
    distributor_code_hash: str
    rulebook_hash: str

    def to_json(self) -> str:
        """Write the manifest as people keep it."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n"


def read_manifest(text: str) -> Manifest:
    """Read a manifest; `PeerError` for another format, an unknown or a missing key."""
    if len(text) > MANIFEST_OCTETS_MAX:
        raise PeerError("manifest_too_large", f"more than {MANIFEST_OCTETS_MAX} octets")
    check_nesting(text)
    try:
        values: Any = json.loads(text)
    except ValueError as error:
        raise PeerError("manifest_not_json", str(error)) from None
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise PeerError("manifest_format", f"expected {FORMAT}")
    wanted = {field.name: field.type for field in fields(Manifest)}
    if set(values) != set(wanted):
        odd = sorted(set(values) ^ set(wanted))
        raise PeerError("manifest_keys", f"unknown or missing: {', '.join(odd)}")
    for name, value in values.items():
        if type(value) is not (int if name == "chain_id" else str):
            raise PeerError("manifest_value", name)
    return Manifest(**values)


def check_venue(manifest: Manifest, client: ChainClient) -> None:
    """Check that a node is on the manifest's chain and the contracts are what it pins.

    `PeerError` names the first thing that differs.
    """
    if client.chain_id != manifest.chain_id:
        raise PeerError("chain", f"the node is on chain {client.chain_id}")
    if "0x" + client.genesis_hash().hex() != manifest.genesis_hash:
        raise PeerError("chain", "the node's chain has another genesis block")
    for name, address, expected in (
        ("token", manifest.token, manifest.token_code_hash),
        ("clearing house", manifest.clearing_house, manifest.clearing_house_code_hash),
        ("distributor", manifest.distributor, manifest.distributor_code_hash),
    ):
        if code_hash(client, address) != expected:
            raise PeerError("code", f"the {name} at {address} is not the pinned contract")


def code_hash(client: ChainClient, address: Address) -> str:
    """Return the Keccak-256 of the code at an address, as `0x` hex."""
    return "0x" + keccak(client.code(address)).hex()


def manifest_of(
    client: ChainClient,
    *,
    domain: str,
    token: Address,
    clearing_house: Address,
    distributor: Address,
) -> Manifest:
    """Pin contracts as they stand on a chain now."""
    house = ClearingHouse(clearing_house)
    assert house.token().ask(client) == token
    assert house.distributor().ask(client) == distributor
    assert RewardDistributor(distributor).token().ask(client) == token
    assert StableToken(token).decimals().ask(client) == 6
    return Manifest(
        domain=domain,
        chain_id=client.chain_id,
        genesis_hash="0x" + client.genesis_hash().hex(),
        finality=str(client.finality),
        asset=AssetId(f"eip155:{client.chain_id}/erc20:{token}"),
        token=token,
        clearing_house=clearing_house,
        distributor=distributor,
        token_code_hash=code_hash(client, token),
        clearing_house_code_hash=code_hash(client, clearing_house),
        distributor_code_hash=code_hash(client, distributor),
        rulebook_hash="0x" + house.rulebook_hash().ask(client).hex(),
    )
