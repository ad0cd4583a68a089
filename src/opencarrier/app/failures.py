"""How commands fail: every foreseen error becomes a message, a hint and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from opencarrier.app.output import CommandError, Exit, complain


@contextmanager
def ending() -> Iterator[None]:
    """End the process as the error asks; an unforeseen one keeps its trace."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(Exit.DONE)
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        complain(told)
        sys.exit(told.code)


def _told(error: Exception) -> CommandError | None:
    """Put an error in a command's terms; None for one that nobody foresaw."""
    if isinstance(error, CommandError):
        return error
    code = _CODES.get(_name(error))
    if code is None:
        return None
    return CommandError(
        code, str(error), getattr(error, "hint", "") or _HINTS.get(_name(error), "")
    )


def _name(error: Exception) -> str:
    """Name an error by the nearest class known here, so that no room is imported to compare."""
    for kind in type(error).__mro__:
        if kind.__name__ in _CODES:
            return kind.__name__
    return type(error).__name__


_CODES = {
    "FolderError": Exit.ENVIRONMENT,
    "StoreError": Exit.ENVIRONMENT,
    "ConfigError": Exit.USAGE,
    "SealError": Exit.ENVIRONMENT,
    "SchemaError": Exit.ENVIRONMENT,
    "InputError": Exit.USAGE,
    "DocumentError": Exit.USAGE,
    "PeerError": Exit.REFUSED,
    "RevertedError": Exit.REFUSED,
    "ChainMismatchError": Exit.ENVIRONMENT,
    "NodeLockedError": Exit.ENVIRONMENT,
    "QuorumBrokenError": Exit.ENVIRONMENT,
    "NodeCorruptError": Exit.ENVIRONMENT,
    "GasError": Exit.ENVIRONMENT,
    "ChainError": Exit.UNKNOWN,
    "UnknownOutcomeError": Exit.UNKNOWN,
    "ChainWorkError": Exit.UNKNOWN,
}

_HINTS = {
    "SchemaError": "use the program that wrote the data, or a newer one",
    "NodeLockedError": "another command has it open: ask again in a moment",
    "QuorumBrokenError": "compare `chain` and `chain_second` with a third; then start anew",
    "ChainError": "ask again: what was already done is not done twice",
    "ChainWorkError": "ask again: what was already done is not done twice",
    "UnknownOutcomeError": "ask again: the same payment is sent, never a second one",
    "RevertedError": "the contract refused; see the message for its reason",
}
