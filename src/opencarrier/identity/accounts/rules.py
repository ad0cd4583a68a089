"""What names and grants must look like, and who may give them."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv6Address, ip_address, ip_network

from opencarrier.identity.accounts.model import NAME_MAX, AccountReason, Grant, Role
from opencarrier.kernel.refusals import Refusal

_PREFIXES = {Role.OPERATOR: "op_", Role.HOST: "host_", Role.SUBSCRIBER: "sub_"}
_PARTY = re.compile(r"[a-z]+_[0-9a-f]{32}")
_PASSED_ON = frozenset({Role.OPERATOR, Role.HOST})


def checked_name(name: str) -> Refusal | None:
    """Refuse a name that is empty, long, or has what a page would not show as it is."""
    fits = 0 < len(name) <= NAME_MAX and name == name.strip() and name.isprintable()
    return None if fits else Refusal(AccountReason.INVALID_NAME, f"1 to {NAME_MAX} characters")


def checked_grant(grant: Grant) -> Refusal | None:
    """Refuse a role at a party of another kind; owners are of the installation."""
    prefix, party = _PREFIXES.get(grant.role), grant.party
    if grant.role is Role.OWNER:
        fits = party is None
    elif grant.role is Role.AUDITOR:
        fits = party is None or not party.startswith("sub_")
    else:
        fits = party is not None and prefix is not None and party.startswith(prefix)
    fits = fits and (party is None or _PARTY.fullmatch(party) is not None)
    return None if fits else Refusal(AccountReason.INVALID_GRANT, f"{grant.role} at {party}")


def may_give(held: Collection[Grant], grant: Grant) -> bool:
    """Say whether who holds these grants may give one, or take it.

    An owner may any; who is an operator's or a host's may let others be so at the same party, and
    others look on there.
    """
    if Grant(Role.OWNER) in held:
        return True
    if grant.party is None:
        return False
    if grant.role is Role.AUDITOR:
        return any(Grant(role, grant.party) in held for role in _PASSED_ON)
    return grant.role in _PASSED_ON and grant in held


def coarse(address: str) -> str:
    """Return the network an address is in, as coarse as tells one attacker from another.

    24 bits of IPv4, 56 of IPv6: a household, not a device. What is no address is nowhere.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return "this machine"
    return str(ip_network((parsed, 24 if parsed.version == 4 else 56), strict=False))
