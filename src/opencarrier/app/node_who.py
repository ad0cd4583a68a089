"""Who held an address: asked by two persons, logged before it is answered."""

from __future__ import annotations

from opencarrier.access.agent.documents import SignedRequest
from opencarrier.access.agent.holders import Entry, Outcome, permitted
from opencarrier.access.agent.store import AgentStore, Holding
from opencarrier.app.node_folder import NodeFolder
from opencarrier.app.system import SystemClock
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.refusals import Refusal


def answer(
    folder: NodeFolder, signed: SignedRequest, clock: Clock | None = None
) -> list[Holding] | Refusal:
    """Answer a request, or say why not; either way it is in the log, durable, before this returns.

    What the retention has ended is deleted first, and found no more.
    """
    settings, node = folder.load(), folder.signer().address
    now_us = (clock or SystemClock()).now_us()
    request = signed.request
    store = AgentStore(folder.store_file)
    try:
        signers = permitted(
            request, signed.signatures, node=node, persons=settings.persons, now_us=now_us
        )
        refusal = signers if isinstance(signers, Refusal) else None
        with store.write():
            store.forget_holders(now_us - settings.limits.holders_kept_s * SECOND_US)
            found = [] if refusal else store.holders(request.address, request.port, request.at_us)
            number, previous = store.log_end()
            store.log(
                Entry(
                    number=number,
                    previous=previous,
                    at_us=now_us,
                    request=request,
                    signers=() if isinstance(signers, Refusal) else tuple(signers),
                    outcome=Outcome.REFUSED if refusal else Outcome.ANSWERED,
                    reason=refusal.code if refusal else "",
                    found=len(found),
                )
            )
        return refusal or found
    finally:
        store.close()
