"""Every story the contracts are tried with, read back from its events alone (C13, R8, N13, S10).

Each contract that a story deployed is found by its code; afterwards the index holds what each of
them answers, number by number, and the totals they keep are the sums of their parts.
"""

from __future__ import annotations

import pytest
from contract_story import scenarios
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from opencarrier.chain import store
from opencarrier.chain.client import ChainClient
from opencarrier.chain.index import FOLDS, Fold, Indexer
from opencarrier.chain.index import store as index_store
from opencarrier.chain.node import EmbeddedNode
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address

SCENARIOS = scenarios()
LONG = {"clearing", "rewards"}
"""Stories of hundreds of accounts."""


def deployed(node: EmbeddedNode, client: ChainClient) -> dict[Address, Fold]:
    """Return a fold of each of our contracts on the chain."""
    found: dict[Address, Fold] = {}
    for number in range(node.head.number + 1):
        for transaction in node.database.transactions(number):
            if transaction.contract_address is not None:
                address = Address("0x" + transaction.contract_address.hex())
                code = client.code(address)
                found.update((address, f(address)) for f in FOLDS if fits(f, address, code))
    return found


def fits(fold: type[Fold], address: Address, code: bytes) -> bool:
    try:
        fold.KIND(address).check_code(code)
    except PeerError:
        return False
    return True


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.deep] if n in LONG else []) for n in SCENARIOS]
)
def test_a_story_is_rebuilt_from_its_events(name: str, told) -> None:
    story = told(name)
    folds = deployed(story.node, story.client)
    assert folds
    engine = create_engine("sqlite://", poolclass=StaticPool)
    store.metadata.create_all(engine)
    checked = Indexer(story.client, folds).check(engine.begin)
    assert checked.differences == ()
    with engine.begin() as unit:
        kept = {folds[a].KIND.NAME: index_store.count(unit, a) for a in folds}
    assert checked.numbers >= sum(kept.values()) > 0
