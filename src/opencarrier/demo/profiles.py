"""What the demo needs to make profiles for devices: a federation of its own, and who reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from opencarrier.identity.pki.folder import Order, PkiFolder
from opencarrier.identity.pki.model import DAY_S, Algorithm, Role, Wanted
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal

VALID_S: Final = 10 * 365 * DAY_S
"""Devices judge by the time of day, which the demo's does not follow: its servers stay good."""


def certify(root: Path, http_port: int, *, clock: Clock, entropy: Entropy) -> dict[str, Any]:
    """Make the federation in a data folder; return the settings by which it is used.

    Links need an address before the server is bound: a port of 0 leaves them out.
    """
    pki = PkiFolder(root / "pki", clock=clock, entropy=entropy)
    begun = pki.begin(Algorithm.EC)
    assert not isinstance(begun, Refusal), begun
    for name, host in (("server", "aaa.demo.example"), ("profiles", "profiles.demo.example")):
        wanted = Wanted(role=Role.SERVER, common_name=host, dns_names=(host,), valid_s=VALID_S)
        made = pki.issue(Order(name=name, wanted=wanted))
        assert not isinstance(made, Refusal), made
    return {
        "eap_chain": "pki/ends/server.pem",
        "eap_key": "pki/ends/server.key",
        "eap_roots": "pki/authorities.pem",
        "enrol_url": f"http://localhost:{http_port}" if http_port else "",
    }
