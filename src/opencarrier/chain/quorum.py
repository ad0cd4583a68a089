"""Two endpoints that nobody runs together: what is final is believed only where they agree.

One asks, the other checks. A block is final when it is on both and is the same there; a receipt, a
log, a block or an answer of that past must be equal on both. An endpoint that lags delays, one
that lies stops: `QuorumBrokenError`, from then on, until a person has looked and starts anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from opencarrier.chain.client import ChainClient
from opencarrier.chain.errors import ChainMismatchError, QuorumBrokenError, RevertedError
from opencarrier.chain.model import LATEST, Block, BlockAt, Call, Log, LogFilter, Receipt
from opencarrier.kernel.signatures import Address

LOOKS = 2
"""Answers that differ are asked for once more, as one endpoint may be several machines."""

_Answer = TypeVar("_Answer")


class QuorumClient(ChainClient):
    """A client of `first` that believes nothing final which `second` does not say too.

    Above the final block everything is `first`'s word, which moves no money. `disagreement` is
    empty until the two have differed.
    """

    def __init__(self, first: ChainClient, second: ChainClient) -> None:
        super().__init__(
            first.road, url=first.url, finality=first.finality, chain_id=second.chain_id
        )
        if first.genesis_hash() != second.genesis_hash():
            raise ChainMismatchError(f"{first.url} and the second endpoint have other blocks 0")
        self.disagreement = ""
        self._second = second
        self._final = -1

    def final_block_number(self) -> int | None:
        """Return the highest block that is final on both, None before there is one."""
        self._check()
        ours, theirs = super().final_block_number(), self._second.final_block_number()
        if ours is None or theirs is None:
            return None
        number = min(ours, theirs)
        self._agreed(
            f"block {number}",
            lambda: super(QuorumClient, self).block(number),
            lambda: self._second.block(number),
        )
        self._final = number
        return number

    def block(self, at: BlockAt | bytes = LATEST) -> Block | None:
        """Return a block; the same on both where it is final."""
        if not self._is_final(at):
            return super().block(at)
        return self._agreed(
            f"block {at!r}",
            lambda: super(QuorumClient, self).block(at),
            lambda: self._second.block(at),
        )

    def nonce(self, address: Address, at: BlockAt = LATEST) -> int:
        """Return an account's nonce as both have reached it: a used one is used on both."""
        return min(super().nonce(address, at), self._second.nonce(address, at))

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """Return a receipt; neither endpoint can make one up, or hide one, that is final."""
        ours, theirs = super().receipt(tx_hash), self._second.receipt(tx_hash)
        if not any(found and self._is_final(found.block_number) for found in (ours, theirs)):
            return ours
        return self._agreed(
            f"the receipt of 0x{tx_hash.hex()}",
            lambda: super(QuorumClient, self).receipt(tx_hash),
            lambda: self._second.receipt(tx_hash),
        )

    def logs(self, wanted: LogFilter) -> list[Log]:
        """Return matching logs; those of final blocks are the same on both."""
        past = min(wanted.to_block, self._final)
        if wanted.from_block > past:
            return super().logs(wanted)
        final = replace(wanted, to_block=past)
        found = self._agreed(
            f"the logs of {final.from_block} to {final.to_block}",
            lambda: super(QuorumClient, self).logs(final),
            lambda: self._second.logs(final),
        )
        if wanted.to_block == past:
            return found
        return [*found, *super().logs(replace(wanted, from_block=past + 1))]

    def call(self, call: Call, at: BlockAt = LATEST) -> bytes:
        """Run a call; in a final block both answer the same, or revert the same."""
        if not self._is_final(at):
            return super().call(call, at)
        answer = self._agreed(
            f"a call of {call.to} in block {at!r}",
            lambda: _outcome(lambda: super(QuorumClient, self).call(call, at)),
            lambda: _outcome(lambda: self._second.call(call, at)),
        )
        if isinstance(answer, bytes):
            return answer
        raise RevertedError(answer[0])

    def _is_final(self, at: BlockAt | bytes) -> bool:
        return isinstance(at, int) and at <= self._final

    def _agreed(
        self, what: str, ours: Callable[[], _Answer], theirs: Callable[[], _Answer]
    ) -> _Answer:
        """Return what both say; stop for good where they differ, also at the second look."""
        self._check()
        for _ in range(LOOKS):
            answer = ours()
            if answer == theirs():
                return answer
        self.disagreement = f"the two endpoints differ on {what}"
        raise QuorumBrokenError(self.disagreement)

    def _check(self) -> None:
        if self.disagreement:
            raise QuorumBrokenError(self.disagreement)


def _outcome(run: Callable[[], bytes]) -> bytes | tuple[bytes]:
    """Return a call's output, or in a tuple the data it reverted with."""
    try:
        return run()
    except RevertedError as error:
        return (error.data,)
