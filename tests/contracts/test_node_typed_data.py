"""What guardians sign, against a general EIP-712 encoder and the contract (N9)."""

from __future__ import annotations

from dataclasses import astuple

from contract_nodes import NodeWorld
from hypothesis import given
from hypothesis import strategies as st
from test_bindings import domains, reference_digest, uints, words

from opencarrier.chain import typed_data
from opencarrier.chain.typed_data import BanStatement

MEMBERS = (
    "bytes32 node_id,bytes32 reason_hash,bytes32 evidence_root,"
    "uint256 starts_at,uint256 ends_at,uint256 slash_amount"
)
statements = st.builds(
    BanStatement,
    node_id=words,
    reason_hash=words,
    evidence_root=words,
    starts_at_s=uints,
    ends_at_s=uints,
    slash_minor=uints,
)


@given(domains, statements)
def test_ban_digest(domain, statement):
    """The digest by hand equals a general encoder's."""
    digest = typed_data.ban_digest(domain, statement)
    assert digest == reference_digest(domain, "Ban", MEMBERS, astuple(statement))


def test_the_contract_hashes_alike(nodes: NodeWorld):
    statement = nodes.statement()
    query = nodes.registry.ban_digest(statement)
    assert query.ask(nodes.evm) == typed_data.ban_digest(nodes.domain, statement)
