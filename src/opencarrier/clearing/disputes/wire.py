"""A move as signed octets: of which exchange and usage, what, by whom, when, with what."""

from __future__ import annotations

from opencarrier.clearing.disputes.rules import Move, MoveKind
from opencarrier.clearing.exchange.wire import Sign
from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import Value, encode
from opencarrier.kernel.ids import ID_OCTETS, Id, derive
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address, recover

OCTETS_MAX = 512


def seal(exchange: Id, usage: Id, move: Move, sign: Sign) -> bytes:
    """Write and sign a move."""
    fields = _fields(exchange, usage, move)
    return encode([*fields, sign(derive("dispute/move", *fields)).octets])


def unseal(octets: bytes) -> tuple[Id, Id, Move]:
    """Read a move that its party signed; `PeerError` for anything else."""
    if len(octets) > OCTETS_MAX:
        raise PeerError("too_long", f"{len(octets)} octets, the limit is {OCTETS_MAX}")
    match decode(octets):
        case [
            bytes(exchange),
            bytes(usage),
            int(kind),
            str(party),
            int(at),
            int(amount),
            bytes(digest),
            bytes(sealed),
        ]:
            if {len(exchange), len(usage)} != {ID_OCTETS} or len(digest) not in (0, ID_OCTETS):
                raise PeerError("wrong_type", "an id has 32 octets")
            if not (0 <= at <= INT64_MAX and 0 <= amount <= INT64_MAX and kind in _KINDS):
                raise PeerError("out_of_bounds")
            move = Move(
                at_us=at,
                kind=MoveKind(kind),
                party=Address(party),
                amount_minor=amount,
                digest=digest,
            )
            signed = derive("dispute/move", *_fields(Id(exchange), Id(usage), move))
            if recover(signed, sealed) != party:
                raise PeerError("wrong_key", party[:42])
            return Id(exchange), Id(usage), move
    raise PeerError("not_a_move")


_KINDS = frozenset(MoveKind)


def _fields(exchange: Id, usage: Id, move: Move) -> list[Value]:
    kind, party = int(move.kind), move.party
    return [exchange, usage, kind, party, move.at_us, move.amount_minor, move.digest]
