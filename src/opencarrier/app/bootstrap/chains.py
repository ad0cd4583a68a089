"""Which chain an installation stands on: the running process's, its own file, or a remote one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opencarrier.app.bootstrap.installation import Installation
from opencarrier.app.bootstrap.venue import X402, Onchain
from opencarrier.app.config import ConfigError
from opencarrier.app.folder import FolderError
from opencarrier.app.venue import (
    x402_codes,
)
from opencarrier.chain.client import ChainClient, connect, shown_url
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.chain.model import Finality
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.quorum import QuorumClient

GENESIS_WEI = 10**24
"""What the hub's key has on an embedded chain: gas without end."""

REMOTE_FINALITY = "depth:12"


@contextmanager
def onchain(base: Installation) -> Iterator[Onchain]:
    """Open the installation's chain: the running process's, our own file, or a remote one.

    `FolderError` where that chain does not answer or is not the one its venue stands on,
    `ConfigError` where the settings name none.
    """
    running = base.folder.running()
    if base.settings.chain != "embedded:":
        yield Onchain(base, public(base), None)
    elif base.settings.chain_second:
        raise ConfigError("an embedded chain has no second endpoint: unset chain_second")
    elif running is not None:
        yield Onchain(base, _remote(base, running.rpc, ""), None)
    else:
        _see_that_it_is_here(base)
        with embedded_node(base) as node:
            yield Onchain(base, connect("embedded:", node=node), node)


def public(base: Installation) -> ChainClient:
    """Open a public chain: through one endpoint, or through two that must agree.

    Errors as those of `onchain`.
    """
    settings = base.settings
    first = _remote(base, settings.chain, settings.finality)
    if not settings.chain_second:
        return first
    return QuorumClient(first, _remote(base, settings.chain_second, settings.finality))


def _remote(base: Installation, url: str, finality: str) -> ChainClient:
    """Open a chain's JSON-RPC, with the profile that is set, else the venue's own."""
    manifest = base.manifest()
    text = finality or (manifest.finality if manifest else REMOTE_FINALITY)
    try:
        profile = Finality.parse(text)
    except ValueError:
        raise ConfigError(f"finality is depth:N, safe or finalized, not {text!r}") from None
    try:
        return connect(url, finality=profile)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except ChainUnavailableError as error:
        raise FolderError(
            f"the chain at {shown_url(url)} does not answer ({error})",
            "see that its node runs and that --chain or config.toml names it",
        ) from None


def _see_that_it_is_here(base: Installation) -> None:
    manifest = base.manifest()
    if manifest is not None and not base.folder.chain.exists():
        raise FolderError(
            f"the venue of {base.folder.root} stands on chain {manifest.chain_id}, elsewhere",
            f'write chain = "URL" into {base.folder.config}',
        )


@contextmanager
def embedded_node(base: Installation) -> Iterator[EmbeddedNode]:
    """Open the folder's own chain, funding the hub's key where the chain begins.

    It begins with our channels at x402's address where the settings ask for that.
    """
    assert base.hub.address is not None
    chain_id, begins = base.settings.chain_id, not base.folder.chain.exists()
    wanted = begins and base.settings.channels == X402
    settings = NodeSettings(
        chain_id=chain_id,
        genesis={base.hub.address: GENESIS_WEI},
        code=x402_codes(chain_id, base.clock) if wanted else {},
    )
    node = EmbeddedNode.open(base.folder.chain, settings, base.clock)
    try:
        yield node
    finally:
        node.close()
