"""What this hub pays the gas of: calls by signature at its venue's contracts, and claims."""

from __future__ import annotations

from opencarrier.chain.contracts import (
    BatchChannels,
    ClearingHouse,
    Contract,
    Erc3009DepositCollector,
    RewardDistributor,
    StableToken,
    StakeDiscount,
)
from opencarrier.chain.sponsored import Sponsored, Sponsorship
from opencarrier.kernel.signatures import Address
from opencarrier.receipts.manifest import Manifest

Payer = tuple[str, ...]

SPONSORED: tuple[tuple[type[Contract], str, Payer], ...] = (
    (StableToken, "transferWithAuthorization", ("sender",)),
    (StableToken, "cancelAuthorization", ("authorizer",)),
    (StableToken, "permit", ("owner",)),
    (ClearingHouse, "set_mandate_by_signature", ("member",)),
    (RewardDistributor, "claim", ("account",)),
    (BatchChannels, "deposit", ("config", "payer")),
    (StakeDiscount, "stake_with_authorization", ("account",)),
    (StakeDiscount, "stake_by_signature", ("account",)),
    (StakeDiscount, "withdraw", ("account",)),
)
"""Contract, function, and the argument that names the payer."""

MAY_FAIL = frozenset({"permit"})
"""Steps that whoever saw them first may have done for us."""


def sponsorship(manifest: Manifest) -> Sponsorship:
    """Return what is sponsored at a venue, of the contracts that stand there."""
    return Sponsorship(
        [
            Sponsored(
                contract=kind(manifest.at(kind)),
                function=function,
                payer=payer,
                may_fail=function in MAY_FAIL,
                fixed=_fixed(manifest, kind),
            )
            for kind, function, payer in SPONSORED
            if kind.NAME in manifest.contracts
        ]
    )


def _fixed(manifest: Manifest, kind: type[Contract]) -> tuple[tuple[Payer, Address], ...]:
    """A deposit is of the venue's token, by the collector that checks its payer's signature."""
    if kind is not BatchChannels:
        return ()
    collector = manifest.at(Erc3009DepositCollector)
    return ((("collector",), collector), (("config", "token"), manifest.token))
