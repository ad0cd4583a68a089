"""The pinned manifest: which chain and contracts a verifier trusts, before it sees any receipt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import ClearingHouse, Contract, RewardDistributor, StableToken
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address
from opencarrier.receipts.form import check_nesting

FORMAT = "opencarrier-manifest/2"
FORMER_FORMAT = "opencarrier-manifest/1"
MANIFEST_OCTETS_MAX = 64 * 1024
CONTRACTS_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A contract where it stands; the hash of its code (`0x` hex) pins what it does,
    constructor values included.
    """

    address: Address
    code_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One settlement venue: hashes are `0x` hex; `finality` is a profile such as `depth:12`.

    `genesis_hash` names the chain (two chains may share an id), `contracts` each contract by its
    name; no log of theirs lies below `from_block`.
    """

    domain: str
    chain_id: int
    genesis_hash: str
    finality: str
    asset: AssetId
    rulebook_hash: str
    from_block: int
    contracts: Mapping[str, Pinned]

    @property
    def token(self) -> Address:
        """The token the venue settles in."""
        return self.at(StableToken)

    @property
    def clearing_house(self) -> Address:
        """Where members' collateral is and cycles settle."""
        return self.at(ClearingHouse)

    @property
    def distributor(self) -> Address:
        """Where hosts claim."""
        return self.at(RewardDistributor)

    def at(self, contract: type[Contract]) -> Address:
        """Return where a contract stands; `PeerError` in a venue that has none of the kind."""
        pinned = self.contracts.get(contract.NAME)
        if pinned is None:
            raise PeerError("contract", f"the venue has no {contract.NAME}")
        return pinned.address

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
    form = values.pop("format", None) if isinstance(values, dict) else None
    if form == FORMER_FORMAT:
        raise PeerError(
            "manifest_format",
            f"{FORMER_FORMAT} pins the contracts of an earlier program; "
            "use that program for its venue, or put up a new one in another folder",
        )
    if form != FORMAT:
        raise PeerError("manifest_format", f"expected {FORMAT}")
    _check_keys(values, Manifest)
    contracts = values.pop("contracts")
    _check_kinds(values, numbers=("chain_id", "from_block"))
    return Manifest(**values, contracts=_contracts(contracts))


def _contracts(value: Any) -> dict[str, Pinned]:
    if not isinstance(value, dict) or not 0 < len(value) <= CONTRACTS_MAX:
        raise PeerError("manifest_value", f"contracts: 1 to {CONTRACTS_MAX} by name")
    for pinned in value.values():
        if not isinstance(pinned, dict):
            raise PeerError("manifest_value", "contracts")
        _check_keys(pinned, Pinned)
        _check_kinds(pinned)
    return {name: Pinned(**pinned) for name, pinned in value.items()}


def _check_keys(values: Mapping[str, Any], form: type[Manifest | Pinned]) -> None:
    odd = sorted(set(values) ^ {field.name for field in fields(form)})
    if odd:
        raise PeerError("manifest_keys", f"unknown or missing: {', '.join(odd)}")


def _check_kinds(values: Mapping[str, Any], numbers: tuple[str, ...] = ()) -> None:
    for name, value in values.items():
        if type(value) is not (int if name in numbers else str):
            raise PeerError("manifest_value", name)


def check_venue(manifest: Manifest, client: ChainClient) -> None:
    """Check that a node is on the manifest's chain and the contracts are what it pins.

    `PeerError` names the first thing that differs.
    """
    if client.chain_id != manifest.chain_id:
        raise PeerError("chain", f"the node is on chain {client.chain_id}")
    if "0x" + client.genesis_hash().hex() != manifest.genesis_hash:
        raise PeerError("chain", "the node's chain has another genesis block")
    for name, pinned in manifest.contracts.items():
        if code_hash(client, pinned.address) != pinned.code_hash:
            raise PeerError("code", f"the {name} at {pinned.address} is not the pinned contract")


def code_hash(client: ChainClient, address: Address) -> str:
    """Return the Keccak-256 of the code at an address, as `0x` hex."""
    return "0x" + keccak(client.code(address)).hex()


def manifest_of(
    client: ChainClient,
    contracts: Mapping[type[Contract], Address],
    *,
    domain: str,
    from_block: int,
) -> Manifest:
    """Pin contracts as they stand on a chain now; `PeerError` where the code is not theirs."""
    for kind, address in contracts.items():
        kind(address).check_code(client.code(address))
    token = contracts[StableToken]
    house = ClearingHouse(contracts[ClearingHouse])
    return Manifest(
        domain=domain,
        chain_id=client.chain_id,
        genesis_hash="0x" + client.genesis_hash().hex(),
        finality=str(client.finality),
        asset=AssetId(f"eip155:{client.chain_id}/erc20:{token}"),
        rulebook_hash="0x" + house.rulebook_hash().ask(client).hex(),
        from_block=from_block,
        contracts={
            kind.NAME: Pinned(address=address, code_hash=code_hash(client, address))
            for kind, address in contracts.items()
        },
    )
