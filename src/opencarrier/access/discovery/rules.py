"""From a realm to servers, as a machine that asks and is answered. Pure (RFC 7585 section 3.4.3).

No fallback: a realm without a fitting NAPTR record has nobody, whatever else the DNS says of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field

from opencarrier.access.discovery import names
from opencarrier.access.discovery.model import (
    RADSEC_PORT,
    Answer,
    DiscoverySettings,
    Found,
    Kind,
    Naptr,
    Nothing,
    Peer,
    Question,
    Srv,
)
from opencarrier.kernel.refusals import PeerError

Dice = Callable[[int], int]
"""Returns a number from 0 up to and with its argument, by chance."""

Lookup = Generator[Question, Answer, Found | Nothing]
_Asking = Generator[Question, Answer, list[Peer]]

_SERVERS, _ADDRESSES = "s", "a"


@dataclass(slots=True)
class _Cost:
    """What a lookup used up, and the shortest time anything it learnt is good for."""

    settings: DiscoverySettings
    questions: int = 0
    ttls_s: list[int] = field(default_factory=list)

    def ask(self, question: Question) -> Generator[Question, Answer, Answer]:
        if self.questions >= self.settings.questions_max:
            return Answer((), self.settings.failure_ttl_s, failed="discovery_questions_max")
        self.questions += 1
        answer = yield question
        self.ttls_s.append(self.settings.failure_ttl_s if answer.failed else answer.ttl_s)
        return answer


def lookup(
    realm: str, settings: DiscoverySettings, dice: Dice, *, accounting: bool = False
) -> Lookup:
    """Ask for who answers for a realm; the machine yields questions and returns what it found."""
    try:
        name = names.realm_name(realm)
    except PeerError as error:
        return Nothing(error.reason, settings.negative_ttl_max_s)
    cost = _Cost(settings)
    answer = yield from cost.ask(Question(name, Kind.NAPTR))
    if answer.failed:
        return Nothing(answer.failed, settings.failure_ttl_s)
    tags = settings.accounting_tags if accounting else settings.tags
    records = [r for r in answer.records if isinstance(r, Naptr)]
    pointers = fitting(records, tags) or fitting(records, settings.tags)
    peers: list[Peer] = []
    for pointer in pointers:
        peers += yield from _behind(pointer, cost, dice)
    if peers:
        ttl_s = min(max(min(cost.ttls_s), settings.ttl_min_s), settings.ttl_max_s)
        return Found(tuple(peers[: settings.peers_max]), ttl_s)
    return _nothing(pointers, cost)


def _nothing(pointers: Sequence[Naptr], cost: _Cost) -> Nothing:
    reason = "realm_without_servers" if pointers else "realm_unknown"
    least, most = cost.settings.ttl_min_s, cost.settings.negative_ttl_max_s
    return Nothing(reason, min(max(min(cost.ttls_s), least), most))


def fitting(pointers: Iterable[Naptr], tags: Sequence[str]) -> list[Naptr]:
    """Return the pointers of a service with the lowest order, by preference, then by tag.

    One that would rewrite the name, or is not final, is none (RFC 3958 section 2.2).
    """
    wanted = {tag.lower(): place for place, tag in enumerate(tags)}
    able = [
        p
        for p in pointers
        if p.service in wanted and p.flags in (_SERVERS, _ADDRESSES) and not p.regexp
    ]
    first = min((p.order for p in able), default=0)
    return sorted(
        (p for p in able if p.order == first), key=lambda p: (p.preference, wanted[p.service], p)
    )


def _behind(pointer: Naptr, cost: _Cost, dice: Dice) -> _Asking:
    try:
        target = names.host_name(pointer.replacement)
    except PeerError:
        return []
    if pointer.flags == _ADDRESSES:
        return (yield from _addresses(target, RADSEC_PORT, cost))
    answer = yield from cost.ask(Question(target, Kind.SRV))
    peers: list[Peer] = []
    for server in by_weight([r for r in answer.records if isinstance(r, Srv)], dice):
        if len(peers) >= cost.settings.peers_max:
            break
        try:
            host = names.host_name(server.target)
        except PeerError:
            continue
        if server.port:
            peers += yield from _addresses(host, server.port, cost)
    return peers


def _addresses(host: str, port: int, cost: _Cost) -> _Asking:
    found: list[str] = []
    for kind in (Kind.AAAA, Kind.A):
        answer = yield from cost.ask(Question(host, kind))
        for text in (r for r in answer.records if isinstance(r, str)):
            try:
                found.append(names.address(text, private=cost.settings.private))
            except PeerError:
                continue
    return [Peer(host, port, tuple(found[: cost.settings.peers_max]))] if found else []


def by_weight(servers: Iterable[Srv], dice: Dice) -> list[Srv]:
    """Order servers by priority, within one by chance in proportion to weight (RFC 2782)."""
    left, ordered = sorted(servers), []
    while left:
        same = [s for s in left if s.priority == left[0].priority]
        drawn, running = dice(sum(s.weight for s in same)), 0
        for server in same:
            running += server.weight
            if running >= drawn:
                break
        ordered.append(server)
        left.remove(server)
    return ordered
