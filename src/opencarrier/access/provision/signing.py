"""Signatures over profiles: CMS for Apple's, XML-DSig for Windows'.

`cryptography` writes the instant of a CMS signature from the machine's clock and takes no other.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

from opencarrier.access.provision.model import PrivateKey
from opencarrier.access.provision.xml import DECLARATION


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """Who signs: a certificate with its key, and the authorities between it and its root."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()


def cms(content: bytes, signer: Signer) -> bytes:
    """Return CMS SignedData in DER that holds its content (RFC 5652)."""
    builder = PKCS7SignatureBuilder().set_data(content)
    builder = builder.add_signer(signer.certificate, signer.key, SHA256())
    for one in signer.chain:
        builder = builder.add_certificate(one)
    return builder.sign(Encoding.DER, [PKCS7Options.Binary])


def enveloped(content: bytes, signer: Signer) -> bytes:
    """Return a document with its signature as the root's last child (XML-DSig, SHA-256)."""
    from lxml import etree
    from signxml.algorithms import CanonicalizationMethod, SignatureConstructionMethod
    from signxml.signer import XMLSigner

    algorithm = "ecdsa" if isinstance(signer.key, ec.EllipticCurvePrivateKey) else "rsa"
    maker = XMLSigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=f"{algorithm}-sha256",
        digest_algorithm="sha256",
        c14n_algorithm=CanonicalizationMethod.CANONICAL_XML_1_0,
    )
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    certificates = [signer.certificate, *signer.chain]
    signed = maker.sign(etree.fromstring(content, parser), key=signer.key, cert=certificates)
    octets: bytes = etree.tostring(signed)
    return DECLARATION + octets
