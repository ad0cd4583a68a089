"""What a server staples to its certificate: an OCSP response, as long as it is fresh.

Sources: RFC 6960 section 4.2, RFC 6066 section 8, RFC 9190 section 5.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.hashes import Hash
from cryptography.x509 import ocsp

from opencarrier.kernel.clock import SECOND_US


@dataclass(frozen=True, slots=True)
class Staple:
    """A response that says a certificate is good, from one instant to another."""

    octets: bytes
    from_us: int
    until_us: int

    def at(self, now_us: int) -> bytes:
        """The response, empty where it does not hold now: an old one proves nothing."""
        return self.octets if self.from_us <= now_us < self.until_us else b""


NOTHING = Staple(b"", 0, 0)
"""There is no response to staple."""


def staple_of(octets: bytes, leaf: x509.Certificate) -> Staple:
    """Read a response in DER; `ValueError` where it does not say that this certificate is good."""
    made = ocsp.load_der_ocsp_response(octets)
    if made.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise ValueError(f"the OCSP response is {made.response_status.name.lower()}")
    if made.serial_number != leaf.serial_number or not _same_issuer(made, leaf):
        raise ValueError("the OCSP response is of another certificate")
    if made.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        raise ValueError("the OCSP response says the certificate is not good")
    if made.next_update_utc is None:
        raise ValueError("the OCSP response does not say until when it holds")
    from_us, until_us = (
        int(instant.timestamp()) * SECOND_US
        for instant in (made.this_update_utc, made.next_update_utc)
    )
    return Staple(octets, from_us, until_us)


def _same_issuer(made: ocsp.OCSPResponse, leaf: x509.Certificate) -> bool:
    digest = Hash(made.hash_algorithm)
    digest.update(leaf.issuer.public_bytes())
    return digest.finalize() == made.issuer_name_hash
