"""One home with its certificates, and a description of each kind of credential."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from cryptography import x509

from opencarrier.access.provision.model import (
    ClientCertificate,
    Credential,
    Inner,
    Password,
    Profile,
    Sim,
)
from opencarrier.access.provision.signing import Signer
from opencarrier.identity.pki import issue, names
from opencarrier.identity.pki.model import Algorithm, Federation, Holder, Role, Wanted
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.entropy import SeededEntropy

NOW_US = 1_795_000_000 * SECOND_US
ENDS_US = NOW_US + 30 * 86_400 * SECOND_US
REALM = "lumen.example"
SERVER = "aaa.lumen.example"
CONSORTIA = ("5A03BA0000", "5A03BA0800", "004096")
P12_PASSWORD = "unlock"
HOSTILE = "</string>\"'<!--&lumen;]]> \\ # {%s}"


@dataclass(frozen=True)
class Home:
    federation: Federation
    server: Holder
    subscriber: Holder
    signer: Signer

    @property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        """The current root first, which the server's certificate hangs on."""
        return tuple(one.root.certificate for one in reversed(self.federation.branches))

    @property
    def certificate(self) -> ClientCertificate:
        found = self.subscriber
        return ClientCertificate(found.certificate, found.key, tuple(found.chain[1:]))

    def profile(self, credential: Credential | None = None, **change: object) -> Profile:
        made = Profile(
            operator_name="Lumen Mobile",
            realm=REALM,
            home_fqdn=REALM,
            consortia=CONSORTIA,
            anchors=self.anchors,
            server_names=(SERVER, "aaa2.lumen.example"),
            credential=credential or self.certificate,
            valid_until_us=ENDS_US,
        )
        return replace(made, **change)


@cache
def home(algorithm: Algorithm = Algorithm.EC, now_us: int = NOW_US) -> Home:
    entropy = SeededEntropy(3)
    made = issue.federation(entropy=entropy, now_us=now_us, algorithm=algorithm)
    issuing = made.branches[1].issuing
    server = Wanted(role=Role.SERVER, common_name=SERVER, dns_names=(SERVER,))
    nai = names.pseudonymous_nai(entropy, REALM)
    subscriber = names.of_subscriber(nai, valid_s=30 * 86_400)
    holders = [
        issue.issue(issuing, one, algorithm=algorithm, entropy=entropy, now_us=now_us)
        for one in (server, subscriber)
    ]
    assert all(isinstance(one, Holder) for one in holders)
    signer = Signer(holders[0].certificate, holders[0].key, tuple(holders[0].chain[1:]))
    return Home(made, holders[0], holders[1], signer)


PASSWORD = Password(f"alice@{REALM}", "correct horse", Inner.MSCHAPV2)
PAP = Password(f"alice@{REALM}", HOSTILE, Inner.PAP)
SIM = Sim("208930000000001")
