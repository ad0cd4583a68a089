"""Which realm goes where: pure.

What came from the federation is answered here or passed inwards, never back to the federation: a
third party could gain service through us without an agreement with anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from opencarrier.spine.parties import Route, RouteKind

ANY: Final = "*"
SUFFIX: Final = "*."


@dataclass(frozen=True, slots=True)
class Local:
    """This installation answers for the realm."""


@dataclass(frozen=True, slots=True)
class Via:
    """The servers of this name answer for the realm; `inward`: they are our own."""

    upstream: str
    inward: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Discover:
    """The DNS says who answers for the realm, for its accounting perhaps others."""

    realm: str
    accounting: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody answers for the realm; `reason` is told and counted."""

    reason: str


Target = Local | Via | Discover | Unknown


def is_inward(target: Target) -> bool:
    """Say whether a target is servers of our own, whom our access points believe everything."""
    return isinstance(target, Via) and target.inward


class Routes:
    """Finds the target of a realm: its own route, the longest suffix, here, then the default."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._routes: Mapping[str, Route] = {route.pattern: route for route in routes}

    def __len__(self) -> int:
        """How many routes there are."""
        return len(self._routes)

    def of(self, realm: str | None, *, federation: bool, local: Callable[[str], bool]) -> Target:
        """Return where a realm goes; `federation` says that a peer outside asks.

        `local` says whether this installation has a realm's subscribers. Nobody's realm, and one
        a peer outside may not reach through us, are unknown.
        """
        if realm is None:
            return Unknown("realm_missing")
        realm = realm.lower()
        route = self._named(realm)
        if route is None and local(realm):
            return Local()
        route = route or self._routes.get(ANY)
        if route is None:
            return Unknown("realm_unknown")
        return self._target(route, realm, federation=federation)

    def _target(self, route: Route, realm: str, *, federation: bool) -> Target:
        if route.kind is RouteKind.LOCAL:
            return Local()
        if route.kind is RouteKind.REFUSE:
            return Unknown("realm_refused")
        if federation and not route.inward:
            return Unknown("realm_not_served")
        return (
            Discover(realm)
            if route.kind is RouteKind.DISCOVER
            else Via(route.upstream, route.inward)
        )

    def _named(self, realm: str) -> Route | None:
        if not self._routes:
            return None
        found = (self._routes.get(pattern) for pattern in _patterns(realm))
        return next((route for route in found if route is not None), None)


def _patterns(realm: str) -> Iterator[str]:
    """Yield what may name a realm, the most special first."""
    yield realm
    rest = realm
    while rest:
        _, _, rest = rest.partition(".")
        if rest:
            yield SUFFIX + rest
