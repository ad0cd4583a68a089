"""Who answers for a realm, remembered: found for as long as the DNS says, "nobody" for a while."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from opencarrier.access.discovery.model import (
    Answer,
    DiscoverySettings,
    Found,
    Nothing,
    Question,
)
from opencarrier.access.discovery.rules import Lookup, lookup
from opencarrier.kernel.entropy import Entropy

Ask = Callable[[Question], Awaitable[Answer]]
_Sought = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class _Running:
    """A lookup under way: for whom it was begun, under whose name."""

    asker: str
    suffix: str
    task: asyncio.Task[Found | Nothing]


class Discovery:
    """Looks realms up; at most `lookups_max` at a time, and a realm once for all who ask at once.

    Where there is no room the longest lookup of whoever has the most gives way: of the same asker
    where that is at its bound, else of all; there of the domain that most of them are under. So
    made-up realms keep nobody out whose name servers answer. The memory is bounded: the entry
    that was used longest ago goes first, and nobody's realm pushes out one that was found.
    `metrics` counts outcomes by reason.
    """

    def __init__(
        self,
        ask: Ask,
        settings: DiscoverySettings,
        *,
        entropy: Entropy,
        monotonic: Callable[[], float],
    ) -> None:
        self._ask = ask
        self._settings = settings
        self._entropy = entropy
        self._monotonic = monotonic
        self._found: OrderedDict[_Sought, tuple[float, Found]] = OrderedDict()
        self._nobody: OrderedDict[_Sought, tuple[float, Nothing]] = OrderedDict()
        self._running: dict[_Sought, _Running] = {}
        self.metrics: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many realms are remembered."""
        return len(self._found) + len(self._nobody)

    def known(self, realm: str, *, accounting: bool = False) -> Found | Nothing | None:
        """Return what is remembered of a realm and still holds."""
        sought = (realm.lower(), accounting)
        entry = self._found.get(sought) or self._nobody.get(sought)
        if entry is None or entry[0] <= self._monotonic():
            return None
        if sought in self._found:
            self._found.move_to_end(sought)
        else:
            self._nobody.move_to_end(sought)
        return entry[1]

    async def find(
        self, realm: str, *, asker: str = "", accounting: bool = False
    ) -> Found | Nothing:
        """Return who answers for a realm, from memory or from the DNS; `asker` bears the lookup.

        Where the lookup had to give way, what was found before holds on.
        """
        accounting = accounting and bool(self._settings.accounting_tags)
        sought = (realm.lower(), accounting)
        remembered = self.known(realm, accounting=accounting)
        if remembered is not None:
            self.metrics["remembered"] += 1
            return remembered
        running = self._running.get(sought)
        if running is None:
            self._make_room(asker)
            task = asyncio.get_running_loop().create_task(self._look_up(sought))
            running = self._running[sought] = _Running(asker, _suffix(sought[0]), task)
        with suppress(asyncio.CancelledError):
            return await asyncio.shield(running.task)
        if not running.task.cancelled():
            raise asyncio.CancelledError  # whoever asked no longer waits
        return self._lapsed(sought) or Nothing("discovery_busy", 0)

    def _lapsed(self, sought: _Sought) -> Found | None:
        until_s, found = self._found.get(sought, (0.0, None))
        return found if until_s + self._settings.ttl_max_s > self._monotonic() else None

    def _make_room(self, asker: str) -> None:
        """End a lookup where one more is too many; those who wait for it are told so."""
        askers = Counter(one.asker for one in self._running.values())
        if askers[asker] >= self._settings.lookups_per_asker_max:
            most = asker
        elif len(self._running) >= self._settings.lookups_max:
            most = askers.most_common(1)[0][0]
        else:
            return
        crowd = {s: one for s, one in self._running.items() if one.asker == most}
        suffix = Counter(one.suffix for one in crowd.values()).most_common(1)[0][0]
        oldest = next(sought for sought, one in crowd.items() if one.suffix == suffix)
        self._running.pop(oldest).task.cancel()
        self.metrics["discovery_busy"] += 1

    async def stop(self) -> None:
        """End the lookups that run."""
        tasks = [one.task for one in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_up(self, sought: _Sought) -> Found | Nothing:
        settings = self._settings
        machine = lookup(sought[0], settings, self._dice, accounting=sought[1])
        try:
            found = await asyncio.wait_for(self._drive(machine), settings.lookup_s)
        except TimeoutError:
            found = Nothing("dns_timeout", settings.failure_ttl_s)
        finally:
            running = self._running.get(sought)
            if running is not None and running.task is asyncio.current_task():
                del self._running[sought]
        self.metrics["found" if isinstance(found, Found) else found.reason] += 1
        self._remember(sought, found)
        return found

    async def _drive(self, machine: Lookup) -> Found | Nothing:
        try:
            question = next(machine)
            while True:
                question = machine.send(await self._ask(question))
        except StopIteration as end:
            outcome: Found | Nothing = end.value
            return outcome

    def _remember(self, sought: _Sought, found: Found | Nothing) -> None:
        until_s = self._monotonic() + found.ttl_s
        if isinstance(found, Found):
            self._nobody.pop(sought, None)
            self._trim(self._found)
            self._found[sought] = (until_s, found)
        else:
            self._found.pop(sought, None)
            self._trim(self._nobody)
            self._nobody[sought] = (until_s, found)

    def _trim(self, memory: OrderedDict[_Sought, Any]) -> None:
        while len(memory) >= self._settings.entries_max:
            memory.popitem(last=False)

    def _dice(self, most: int) -> int:
        return int.from_bytes(self._entropy.octets("access/srv", 8), "big") % (most + 1)


def _suffix(realm: str) -> str:
    """The last two labels: what somebody has to own to be asked under it."""
    return ".".join(realm.split(".")[-2:])
