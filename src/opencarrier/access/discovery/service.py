"""Who answers for a realm, remembered: found for as long as the DNS says, "nobody" for a while."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable

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


class Discovery:
    """Looks realms up; at most `lookups_max` at a time, and a realm once for all who ask at once.

    The memory is bounded: the entry that was used longest ago goes first. `metrics` counts
    outcomes by reason.
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
        self._known: OrderedDict[_Sought, tuple[float, Found | Nothing]] = OrderedDict()
        self._running: dict[_Sought, asyncio.Task[Found | Nothing]] = {}
        self.metrics: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many realms are remembered."""
        return len(self._known)

    def known(self, realm: str, *, accounting: bool = False) -> Found | Nothing | None:
        """Return what is remembered of a realm and still holds."""
        sought = (realm.lower(), accounting)
        entry = self._known.get(sought)
        if entry is None or entry[0] <= self._monotonic():
            return None
        self._known.move_to_end(sought)
        return entry[1]

    async def find(self, realm: str, *, accounting: bool = False) -> Found | Nothing:
        """Return who answers for a realm, from memory or from the DNS."""
        accounting = accounting and bool(self._settings.accounting_tags)
        sought = (realm.lower(), accounting)
        remembered = self.known(realm, accounting=accounting)
        if remembered is not None:
            self.metrics["remembered"] += 1
            return remembered
        task = self._running.get(sought)
        if task is None:
            if len(self._running) >= self._settings.lookups_max:
                self.metrics["discovery_busy"] += 1
                return Nothing("discovery_busy", 0)
            task = asyncio.get_running_loop().create_task(self._look_up(sought))
            self._running[sought] = task
        return await asyncio.shield(task)

    async def stop(self) -> None:
        """End the lookups that run."""
        tasks = list(self._running.values())
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
        while len(self._known) >= self._settings.entries_max:
            self._known.popitem(last=False)
        self._known[sought] = (self._monotonic() + found.ttl_s, found)

    def _dice(self, most: int) -> int:
        return int.from_bytes(self._entropy.octets("access/srv", 8), "big") % (most + 1)
