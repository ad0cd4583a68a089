"""Plug the rooms together; the only package that names concrete parts.

`Installation` is everything that needs no chain. `Onchain` adds the venue and what settles there.
"""

from __future__ import annotations

from opencarrier.app.bootstrap.chains import embedded_node, onchain, public
from opencarrier.app.bootstrap.installation import (
    Installation,
    Real,
    load_settings,
    open_installation,
)
from opencarrier.app.bootstrap.venue import Bans, Channels, Onchain

__all__ = [
    "Bans",
    "Channels",
    "Installation",
    "Onchain",
    "Real",
    "embedded_node",
    "load_settings",
    "onchain",
    "open_installation",
    "public",
]
