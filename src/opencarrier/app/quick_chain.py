"""The chain's node for whoever waits at a page: in this process, or asked for three seconds."""

from __future__ import annotations

from typing import Final

from opencarrier.app.bootstrap import Onchain
from opencarrier.chain.client import ChainClient, connect

TIMEOUT_S: Final = 3
"""How long a node elsewhere is waited for, once; the first silence ends it."""


class QuickChain:
    """A client that nobody waits long for."""

    def __init__(self, place: Onchain) -> None:
        self._place = place
        self._apart: ChainClient | None = None

    def client(self) -> ChainClient:
        """Return it; `ChainUnavailableError` where a node elsewhere is silent."""
        if self._place.node is not None:
            return self._place.client
        if self._apart is None:
            client = self._place.client
            url = self._place.base.settings.chain
            url = client.url if url == "embedded:" else url
            self._apart = connect(url, finality=client.finality, timeout_s=TIMEOUT_S)
        return self._apart
