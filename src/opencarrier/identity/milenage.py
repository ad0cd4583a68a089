"""Milenage, the 3GPP example set f1, f1*, f2, f3, f4, f5, f5* on AES-128 (TS 35.206)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_OCTETS = 16
SQN_OCTETS = 6
SQN_MAX = 2**48 - 1
AMF_OCTETS = 2
AUTN_OCTETS = 16
AUTS_OCTETS = 14

# TS 33.102 Annex H: the separation bit is set for vectors that EAP-AKA' may use.
AMF_SEPARATION_BIT = b"\x80\x00"
AMF_PLAIN = b"\x00\x00"
# TS 33.102 section 6.3.3: AUTS is always computed with a dummy AMF of zeros.
AMF_RESYNCHRONISATION = b"\x00\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class MilenageVector:
    """One UMTS authentication vector: what a home network hands to an authenticator (TS 33.102)."""

    rand: bytes
    autn: bytes
    xres: bytes = field(repr=False)
    ck: bytes = field(repr=False)
    ik: bytes = field(repr=False)


def _xor(left: bytes, right: bytes) -> bytes:
    assert len(left) == len(right)
    size = len(left)
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(size, "big")


def _encrypt(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(block)


def derive_opc(k: bytes, op: bytes) -> bytes:
    """OPc is OP encrypted under K and added to OP (TS 35.206 section 4.1)."""
    assert len(k) == KEY_OCTETS
    assert len(op) == KEY_OCTETS
    return _xor(_encrypt(k, op), op)


class Milenage:
    """The seven functions for one subscriber key; every method is pure (TS 35.206 section 4.1).

    Holds key material: its repr shows none of it.
    """

    __slots__ = ("_encryptor", "_opc")

    def __init__(self, k: bytes, opc: bytes) -> None:
        assert len(k) == KEY_OCTETS
        assert len(opc) == KEY_OCTETS
        self._encryptor = Cipher(algorithms.AES(k), modes.ECB()).encryptor()  # noqa: S305
        self._opc = opc

    def __repr__(self) -> str:
        return "Milenage(<sealed>)"

    def f1(self, rand: bytes, sqn: int, amf: bytes) -> bytes:
        """MAC-A, the network's proof to the USIM: 8 octets."""
        return self._out1(rand, sqn, amf)[:8]

    def f1_star(self, rand: bytes, sqn: int, amf: bytes) -> bytes:
        """MAC-S, the USIM's proof in a resynchronisation: 8 octets."""
        return self._out1(rand, sqn, amf)[8:]

    def f2_f5(self, rand: bytes) -> tuple[bytes, bytes]:
        """RES (8 octets) and the anonymity key AK (6 octets), which share one block."""
        block = self._out(self._temp(rand), rotate_bits=0, constant=1)
        return block[8:], block[:6]

    def f3(self, rand: bytes) -> bytes:
        """The cipher key CK: 16 octets."""
        return self._out(self._temp(rand), rotate_bits=32, constant=2)

    def f4(self, rand: bytes) -> bytes:
        """The integrity key IK: 16 octets."""
        return self._out(self._temp(rand), rotate_bits=64, constant=4)

    def f5_star(self, rand: bytes) -> bytes:
        """The anonymity key of a resynchronisation: 6 octets."""
        return self._out(self._temp(rand), rotate_bits=96, constant=8)[:6]

    def vector(self, rand: bytes, sqn: int, amf: bytes) -> MilenageVector:
        """The vector for one challenge; AUTN is `SQN xor AK | AMF | MAC-A` (TS 33.102 6.3.2)."""
        temp = self._temp(rand)
        block = self._out(temp, rotate_bits=0, constant=1)
        concealed_sqn = _xor(sqn.to_bytes(SQN_OCTETS, "big"), block[:6])
        return MilenageVector(
            rand=rand,
            autn=concealed_sqn + amf + self.f1(rand, sqn, amf),
            xres=block[8:],
            ck=self._out(temp, rotate_bits=32, constant=2),
            ik=self._out(temp, rotate_bits=64, constant=4),
        )

    def auts(self, rand: bytes, sqn_ms: int) -> bytes:
        """The USIM's answer to a stale challenge: `SQN_MS xor AK* | MAC-S` (TS 33.102 6.3.3)."""
        concealed = _xor(sqn_ms.to_bytes(SQN_OCTETS, "big"), self.f5_star(rand))
        return concealed + self.f1_star(rand, sqn_ms, AMF_RESYNCHRONISATION)

    def open_auts(self, rand: bytes, auts: bytes) -> int | None:
        """The SQN_MS that a genuine AUTS carries; None where its MAC-S is wrong."""
        assert len(auts) == AUTS_OCTETS
        sqn_ms = int.from_bytes(_xor(auts[:SQN_OCTETS], self.f5_star(rand)), "big")
        expected = self.f1_star(rand, sqn_ms, AMF_RESYNCHRONISATION)
        return sqn_ms if hmac.compare_digest(expected, auts[SQN_OCTETS:]) else None

    def _temp(self, rand: bytes) -> bytes:
        assert len(rand) == KEY_OCTETS
        return self._encryptor.update(_xor(rand, self._opc))

    def _out1(self, rand: bytes, sqn: int, amf: bytes) -> bytes:
        assert 0 <= sqn <= SQN_MAX
        assert len(amf) == AMF_OCTETS
        in1 = (sqn.to_bytes(SQN_OCTETS, "big") + amf) * 2
        rotated = _rotate_left(_xor(in1, self._opc), 64)
        return _xor(self._encryptor.update(_xor(self._temp(rand), rotated)), self._opc)

    def _out(self, temp: bytes, *, rotate_bits: int, constant: int) -> bytes:
        block = _rotate_left(_xor(temp, self._opc), rotate_bits)
        block = block[:-1] + bytes([block[-1] ^ constant])
        return _xor(self._encryptor.update(block), self._opc)


def _rotate_left(block: bytes, bits: int) -> bytes:
    octets = bits // 8
    return block[octets:] + block[:octets]
