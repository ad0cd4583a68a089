"""Asking a server over several sockets or connections: identifiers, a bounded queue, time."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from opencarrier.access.upstream.identifiers import Identifiers, Question, UnderWay
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.upstream.timers import REQUEST_S
from opencarrier.access.wire.radius import Attribute
from opencarrier.kernel.entropy import Entropy

_Done = asyncio.Future[Reply | Lost]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLimits:
    """How much is asked at once: 256 requests a channel, the rest waits in the queue."""

    channels_max: int = 4
    queue_max: int = 1_024
    request_s: float = REQUEST_S
    silence_s: float = 30.0


class Channel(ABC):
    """A socket or a connection: what has identifiers of its own."""

    def __init__(self, identifiers: Identifiers) -> None:
        self.identifiers = identifiers

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Whether requests may be sent over it now."""

    @abstractmethod
    def send(self, one: UnderWay) -> None:
        """Send a request, and again as its transport needs it."""


class Asking(ABC):
    """An `Upstream` but for its transport; it starts when first asked, and ends by `stop()`.

    `lost` counts what had no reply by reason, `unsound` replies that were no reply, and what was
    asked in reverse that could have none.
    """

    def __init__(self, name: str, secret: bytes, limits: AskLimits, entropy: Entropy) -> None:
        self._name = name
        self._secret = secret
        self._limits = limits
        self._entropy = entropy
        self._queue: dict[_Done, Question] = {}
        self._asked: dict[_Done, tuple[Channel, UnderWay]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self.replies = 0
        self.lost: Counter[str] = Counter()
        self.unsound: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def secret(self) -> bytes:
        """The shared secret."""
        return self._secret

    @property
    def waiting(self) -> int:
        """How many requests have no reply yet."""
        return len(self._queue) + len(self._asked)

    async def request(
        self, code: int, attributes: Sequence[Attribute], *, authenticator: bytes | None = None
    ) -> Reply | Lost:
        """Ask, and wait for the reply."""
        if self._stopped:
            return self._lose(Lost.CLOSED)
        if len(self._queue) >= self._limits.queue_max:
            return self._lose(Lost.QUEUE_FULL)
        try:
            await self.start()
        except OSError:
            return self._lose(Lost.UNREACHABLE)
        loop = asyncio.get_running_loop()
        done: _Done = loop.create_future()

        def settle(outcome: Reply | Lost) -> None:
            if not done.done():
                done.set_result(outcome)

        self._queue[done] = Question.of(code, attributes, authenticator, self._entropy, settle)
        timer = loop.call_later(self._limits.request_s, self._give_up, done, Lost.TIMEOUT)
        self._pump()
        try:
            outcome = await done
        finally:
            timer.cancel()
            self._give_up(done, Lost.CLOSED)  # where whoever asked no longer waits
            self._pump()
        if isinstance(outcome, Lost):
            return self._lose(outcome)
        self.replies += 1
        return outcome

    @abstractmethod
    async def start(self) -> None:
        """Begin, if it has not begun; `OSError` where the address cannot be asked at all."""

    @abstractmethod
    def _channels(self) -> Sequence[Channel]:
        """What there is to send over."""

    @abstractmethod
    def _more(self) -> None:
        """Open one more channel, if there may be one; then `_pump`."""

    def _pump(self) -> None:
        """Send what waits over what is free."""
        for channel in self._channels():
            while self._queue and channel.is_ready and not channel.identifiers.is_full:
                done = next(iter(self._queue))
                one = channel.identifiers.begin(self._queue.pop(done))
                self._asked[done] = (channel, one)
                channel.send(one)
        if self._queue:
            self._more()

    def _give_up(self, done: _Done, reason: Lost) -> None:
        question = self._queue.pop(done, None)
        if question is not None:
            question.done(reason)
        asked = self._asked.pop(done, None)
        if asked is not None:
            asked[0].identifiers.lose(asked[1], reason)

    def _give_up_queue(self, reason: Lost) -> None:
        for done in list(self._queue):
            self._give_up(done, reason)

    async def _end(self) -> None:
        """Give everything up and end what runs."""
        self._stopped = True
        self._give_up_queue(Lost.CLOSED)
        for channel in self._channels():
            channel.identifiers.lose_all(Lost.CLOSED)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _lose(self, reason: Lost) -> Lost:
        self.lost[reason.value] += 1
        return reason
