"""The embedded chain: a whole EVM with real state roots in one SQLite file, behind JSON-RPC."""

from opencarrier.chain.node.model import NodeSettings
from opencarrier.chain.node.node import EmbeddedNode

__all__ = ["EmbeddedNode", "NodeSettings"]
