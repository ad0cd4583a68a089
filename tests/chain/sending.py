"""Send a call as somebody would who has a key and no manager."""

from __future__ import annotations

from opencarrier.chain.client import ChainClient
from opencarrier.chain.keys import DynamicFeeTransaction, LocalSigner
from opencarrier.chain.model import Call, Receipt

GAS_MAX = 10_000_000


def send(client: ChainClient, signer: LocalSigner, call: Call) -> Receipt:
    """Have a signer's call mined and return its receipt; the node mines at once."""
    signed = signer.sign_transaction(
        DynamicFeeTransaction(
            chain_id=client.chain_id,
            nonce=client.nonce(signer.address),
            max_fee_per_gas_wei=10**11,
            max_priority_fee_per_gas_wei=10**9,
            gas_limit=GAS_MAX,
            to=call.to,
            value_wei=0,
            data=call.data,
        )
    )
    client.send_raw(signed.raw)
    receipt = client.receipt(signed.tx_hash)
    assert receipt is not None
    return receipt
