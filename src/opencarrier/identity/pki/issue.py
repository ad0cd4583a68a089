"""Making certificates: who signs, what stands in them, and a whole federation at once.

Instants and serial numbers come in as arguments. Keys, and the nonce of an ECDSA signature, come
from `cryptography`'s own generator: it takes no other, and no test needs the same key twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from opencarrier.identity.pki import names, passpoint
from opencarrier.identity.pki.model import (
    DAY_S,
    Algorithm,
    Branch,
    Federation,
    Holder,
    PkiReason,
    PrivateKey,
    PublicKey,
    Revoked,
    Role,
    Wanted,
)
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal

SKEW_S = 300
"""A certificate is valid so long before it is made: a device's clock may be behind."""

SERIAL_OCTETS = 16
RSA_BITS_MIN, RSA_BITS_MAX = 2048, 4096
CSR_OCTETS_MAX = 16_384

_AUTHORITY_YEARS = {Role.ROOT: 20, Role.POLICY: 15, Role.ISSUING: 10}
_PATH_LENGTH = {Role.ROOT: None, Role.POLICY: 1, Role.ISSUING: 0}
_USES = {
    Role.SERVER: [ExtendedKeyUsageOID.SERVER_AUTH],
    Role.CLIENT: [ExtendedKeyUsageOID.CLIENT_AUTH],
    Role.COMBINED: [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
    Role.SUBSCRIBER: [ExtendedKeyUsageOID.CLIENT_AUTH],
}


def instant(at_us: int) -> datetime:
    """Return an instant as certificates say it: UTC, whole seconds."""
    return datetime.fromtimestamp(at_us // SECOND_US, UTC)


def make_key(algorithm: Algorithm) -> PrivateKey:
    """Make a key with `cryptography`'s generator."""
    if algorithm is Algorithm.EC:
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def issue(
    issuer: Holder, wanted: Wanted, *, algorithm: Algorithm, entropy: Entropy, now_us: int
) -> Holder | Refusal:
    """Make a key and its certificate under an authority."""
    key = make_key(algorithm)
    made = certify(issuer, wanted, key.public_key(), entropy=entropy, now_us=now_us)
    return made if isinstance(made, Refusal) else Holder(made, key, issuer)


def certify(
    issuer: Holder, wanted: Wanted, key: PublicKey, *, entropy: Entropy, now_us: int
) -> x509.Certificate | Refusal:
    """Certify a key that was made elsewhere; no certificate outlives its issuer's."""
    refusal = names.checked(wanted)
    if refusal is not None:
        return refusal
    if not _may_issue(issuer.certificate, wanted.role):
        return Refusal(PkiReason.NOT_AN_AUTHORITY, f"it does not issue {wanted.role} certificates")
    unsigned = _unsigned(wanted, key, issuer.certificate.subject, entropy=entropy, now_us=now_us)
    ends = min(instant(now_us) + timedelta(seconds=wanted.valid_s), _ends(issuer.certificate))
    if ends <= instant(now_us):
        return Refusal(PkiReason.NOT_AN_AUTHORITY, "the authority's own certificate is over")
    authority_key = issuer.key.public_key()
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key)
    unsigned = unsigned.not_valid_after(ends).add_extension(identifier, critical=False)
    return unsigned.sign(issuer.key, hashes.SHA256())


def self_signed(
    common_name: str, organisation: str, *, algorithm: Algorithm, entropy: Entropy, now_us: int
) -> Holder:
    """Make a root."""
    wanted = Wanted(role=Role.ROOT, common_name=common_name, organisation=organisation)
    key = make_key(algorithm)
    name = names.subject(wanted)
    unsigned = _unsigned(wanted, key.public_key(), name, entropy=entropy, now_us=now_us)
    ends = instant(now_us) + timedelta(days=365 * _AUTHORITY_YEARS[Role.ROOT])
    return Holder(unsigned.not_valid_after(ends).sign(key, hashes.SHA256()), key)


def federation(
    *, entropy: Entropy, now_us: int, algorithm: Algorithm = Algorithm.EC, roots: int = 2
) -> Federation:
    """Make the federation's shape: a legacy root and the current one, each over its branch."""
    return Federation(
        tuple(
            branch(number, entropy=entropy, now_us=now_us, algorithm=algorithm)
            for number in range(roots)
        )
    )


def branch(number: int, *, entropy: Entropy, now_us: int, algorithm: Algorithm) -> Branch:
    """Make a root with a policy authority under it, and an issuing one under that."""
    organisation = f"Test Federation {number}"
    root = self_signed(
        f"Test Root {number}", organisation, algorithm=algorithm, entropy=entropy, now_us=now_us
    )
    holders = [root]
    for role in (Role.POLICY, Role.ISSUING):
        wanted = Wanted(
            role=role,
            common_name=f"Test {role.title()} {number}",
            organisation=organisation,
            valid_s=365 * DAY_S * _AUTHORITY_YEARS[role],
        )
        made = issue(holders[-1], wanted, algorithm=algorithm, entropy=entropy, now_us=now_us)
        assert isinstance(made, Holder), "our own names are names"
        holders.append(made)
    return Branch(*holders)


def read_request(octets: bytes) -> PublicKey | Refusal:
    """Return the key of a PKCS#10 request whose holder proves to have it; its names are ignored.

    P-256 and RSA of 2048 to 4096 bits are taken. PEM or DER.
    """
    if len(octets) > CSR_OCTETS_MAX:
        return Refusal(PkiReason.INVALID_REQUEST, f"longer than {CSR_OCTETS_MAX} octets")
    try:
        pem = octets.lstrip().startswith(b"-----")
        load = x509.load_pem_x509_csr if pem else x509.load_der_x509_csr
        request = load(octets)
        proven = request.is_signature_valid
        key = request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        return Refusal(PkiReason.INVALID_REQUEST, "no PKCS#10 request")
    if not proven:
        return Refusal(PkiReason.INVALID_REQUEST, "its signature does not verify")
    return checked_key(key)


def checked_key(key: object) -> PublicKey | Refusal:
    """Take a P-256 key, or an RSA key of 2048 to 4096 bits."""
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        return key
    return Refusal(PkiReason.INVALID_KEY, "P-256, or RSA of 2048 to 4096 bits")


def revocation_list(
    authority: Holder, revoked: list[Revoked], *, number: int, now_us: int, valid_s: int
) -> x509.CertificateRevocationList:
    """Make an authority's CRL; numbers rise from list to list (RFC 5280 section 5.2.3)."""
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(instant(now_us))
        .next_update(instant(now_us) + timedelta(seconds=valid_s))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    for one in revoked:
        made = made.add_revoked_certificate(_entry(one))
    return made.sign(authority.key, hashes.SHA256())


def status_response(
    authority: Holder,
    certificate: x509.Certificate,
    revoked: Revoked | None,
    *,
    now_us: int,
    valid_s: int,
) -> ocsp.OCSPResponse:
    """Make an OCSP response of a certificate, signed by who issued it (RFC 6960 section 4.2).

    SHA-1 names the certificate, as every client looks for it; it protects nothing.
    """
    at, good = instant(now_us), ocsp.OCSPCertStatus.GOOD
    return (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=certificate,
            issuer=authority.certificate,
            algorithm=hashes.SHA1(),  # noqa: S303
            cert_status=good if revoked is None else ocsp.OCSPCertStatus.REVOKED,
            this_update=at,
            next_update=at + timedelta(seconds=valid_s),
            revocation_time=None if revoked is None else instant(revoked.revoked_us),
            revocation_reason=None if revoked is None else revoked.reason,
        )
        .responder_id(ocsp.OCSPResponderEncoding.NAME, authority.certificate)
        .sign(authority.key, hashes.SHA256())
    )


def _entry(one: Revoked) -> x509.RevokedCertificate:
    made = (
        x509.RevokedCertificateBuilder()
        .serial_number(one.serial)
        .revocation_date(instant(one.revoked_us))
    )
    if one.reason is not x509.ReasonFlags.unspecified:
        made = made.add_extension(x509.CRLReason(one.reason), critical=False)
    return made.build()


def _ends(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc


def _may_issue(certificate: x509.Certificate, role: Role) -> bool:
    """Ends come from an issuing authority, authorities from those above it."""
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    if not constraints.ca:
        return False
    below = constraints.path_length
    return below != 0 if role.is_authority else below == 0


def _unsigned(
    wanted: Wanted, key: PublicKey, issuer: x509.Name, *, entropy: Entropy, now_us: int
) -> x509.CertificateBuilder:
    serial = int.from_bytes(entropy.octets("certificate-serial", SERIAL_OCTETS)) >> 1 or 1
    made = (
        x509.CertificateBuilder()
        .subject_name(names.subject(wanted))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(instant(now_us) - timedelta(seconds=SKEW_S))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
    for extension, critical in _extensions(wanted):
        made = made.add_extension(extension, critical=critical)
    return made


def _extensions(wanted: Wanted) -> list[tuple[x509.ExtensionType, bool]]:
    authority = wanted.role.is_authority
    length = _PATH_LENGTH.get(wanted.role)
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=authority, path_length=length), True),
        (_key_usage(wanted.role), True),
    ]
    if not authority:
        found.append((x509.ExtendedKeyUsage(_USES[wanted.role]), False))
    if wanted.role not in (Role.ROOT, Role.SUBSCRIBER):
        policy = x509.PolicyInformation(names.POLICY_OID, None)
        found.append((x509.CertificatePolicies([policy]), False))
    alternatives = names.alternatives(wanted)
    if alternatives:
        found.append((x509.SubjectAlternativeName(alternatives), False))
    if wanted.consortia:
        realm = wanted.nai.partition("@")[2]
        found.append((passpoint.attribute(realm, wanted.consortia), False))
    if wanted.crl_url:
        point = [x509.UniformResourceIdentifier(wanted.crl_url)]
        places = x509.CRLDistributionPoints([x509.DistributionPoint(point, None, None, None)])
        found.append((places, False))
    return found


def _key_usage(role: Role) -> x509.KeyUsage:
    authority, member = role.is_authority, not role.is_authority and role is not Role.SUBSCRIBER
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=member,
        data_encipherment=False,
        key_agreement=member,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
