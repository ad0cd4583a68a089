"""Enrolling a subscriber's devices: a link, and behind it profiles with fresh credentials.

Each profile has a credential of its own under a new pseudonym, recorded before it is handed out.
A device's key is made here only where its system reads PKCS#12; who can make its own brings a
request.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from opencarrier.access.provision import android, apple, eap_config, supplicant, windows
from opencarrier.access.provision.model import (
    ClientCertificate,
    Credential,
    Inner,
    Password,
    Profile,
    Sim,
    checked,
)
from opencarrier.identity.enrolment import Enrolment, EnrolmentReason
from opencarrier.identity.pki import issue, names
from opencarrier.identity.pki.folder import PkiFolder
from opencarrier.identity.pki.model import DAY_S, Algorithm, Holder, PublicKey
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.sentences import Sentence, sentence
from opencarrier.spine.parties import Operator, PartyId, Subscriber

if TYPE_CHECKING:
    from cryptography import x509

    from opencarrier.access.provision.signing import Signer
    from opencarrier.app.bootstrap import Installation

PATH = "/enrol/"
KINDS = ("certificate", "password", "sim")
SECRET_OCTETS = 15
PEM = "application/x-pem-file"


@dataclass(frozen=True, slots=True, repr=False)
class Handed:
    """A file as it is served; it holds secrets."""

    octets: bytes
    content_type: str
    filename: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a link shows before anything is taken from it."""

    operator: str
    uses_left: int
    expires_us: int
    choices: tuple[tuple[str, str], ...]


Writer = Callable[[Profile, str], bytes | Refusal]

_FILES: Mapping[str, tuple[Writer, str, str]] = {
    "apple": (apple.mobileconfig, apple.CONTENT_TYPE, "mobileconfig"),
    "android": (lambda one, _: android.wifi_config(one), android.CONTENT_TYPE, "conf"),
    "windows": (lambda one, _: windows.carrier_provisioning(one), windows.CONTENT_TYPE, "xml"),
    "linux": (supplicant.passpoint, supplicant.CONTENT_TYPE, "wpa_supplicant.conf"),
    "geteduroam": (eap_config.eap_config, eap_config.CONTENT_TYPE, "eap-config"),
}
PLATFORMS = tuple(_FILES)
_NOT_OFFERED = {("windows", "certificate"), ("windows", "sim"), ("geteduroam", "sim")}


NO_ADDRESS: Final = sentence("the setting %(setting)s is empty", setting="enrol_url")


class Enrolling:
    """The use cases of a link, over one installation."""

    def __init__(self, base: Installation) -> None:
        self._base = base
        folder = base.folder.root / base.settings.enrol_pki
        self._pki = PkiFolder(folder, clock=base.clock, entropy=base.entropy)

    def why_not(self, home: Operator) -> Sentence | None:
        """Say what is missing before profiles of a home can be made, None if all is there."""
        settings = self._base.settings
        if not settings.enrol_url:
            return NO_ADDRESS
        if not self._server_names():
            return sentence(
                "neither %(servers)s nor a certificate in %(chain)s names the EAP server",
                servers="enrol_servers",
                chain="eap_chain",
            )
        if not home.realms:
            return sentence("%(name)s has no realm of its own", name=home.name)
        if not self._pki.has(settings.enrol_signer):
            return sentence(
                "%(folder)s has no certificate %(name)s to sign with",
                folder=str(self._pki.root),
                name=settings.enrol_signer,
            )
        refusal = checked(self._described(home, Sim("00101")))
        if refusal is None:
            return None
        return sentence("the settings make no valid profile: %(why)s", why=str(refusal))

    def open(
        self, unit: Connection, subscriber: PartyId, *, ttl_s: int, uses: int
    ) -> tuple[str, Enrolment] | Refusal:
        """Return a new link and what it gives."""
        made = self._base.identity.enrolments.open(unit, subscriber, ttl_s=ttl_s, uses=uses)
        if isinstance(made, Refusal):
            return made
        token, enrolment = made
        return self.link(token), enrolment

    def link(self, token: str) -> str:
        """Return where a token leads."""
        return self._base.settings.enrol_url.rstrip("/") + PATH + token

    def offer(self, token: str) -> Offer | Refusal:
        """Tell what a link gives; looking uses nothing up."""
        with self._base.store.read() as unit:
            found = self._base.identity.enrolments.find(unit, token)
            if isinstance(found, Refusal):
                return found
            subscriber, home = self._who(unit, found.subscriber)
            sims = self._base.identity.subscriptions.credentials(unit, subscriber.party_id)
        if self.why_not(home):
            return Refusal(EnrolmentReason.UNKNOWN_TOKEN, "enrolment is not set up")
        kinds = KINDS if sims and home.plmns else KINDS[:2]
        choices = [(one, kind) for one in PLATFORMS for kind in kinds]
        return Offer(
            operator=home.name,
            uses_left=found.uses_left,
            expires_us=found.expires_us,
            choices=tuple(one for one in choices if one not in _NOT_OFFERED),
        )

    def profile(self, token: str, platform: str, kind: str) -> Handed | Refusal:
        """Make a profile with a credential of its own; one use of the link."""
        offered = self.offer(token)
        if isinstance(offered, Refusal):
            return offered
        if (platform, kind) not in offered.choices:
            return Refusal(EnrolmentReason.UNKNOWN_TOKEN, "there is no such profile")
        with self._base.store.write() as unit:
            used = self._base.identity.enrolments.use(unit, token)
            if isinstance(used, Refusal):
                return used
            _, home = self._who(unit, used.subscriber)
            credential = self._credential(unit, kind, used.subscriber, home)
            return self._written(platform, self._described(home, credential))

    def certificate(self, token: str, request: bytes) -> Handed | Refusal:
        """Certify a device's own key; one use of the link. Of the request the key alone counts."""
        key = issue.read_request(request)
        if isinstance(key, Refusal):
            return key
        offered = self.offer(token)
        if isinstance(offered, Refusal):
            return offered
        with self._base.store.write() as unit:
            used = self._base.identity.enrolments.use(unit, token)
            if isinstance(used, Refusal):
                return used
            _, home = self._who(unit, used.subscriber)
            issuing = self._issuing()
            made = self._certified(unit, issuing, key, used.subscriber, home)
        octets = names.pem(made, *issuing.chain)
        return Handed(octets, PEM, "certificate.pem")

    def _who(self, unit: Connection, party: PartyId) -> tuple[Subscriber, Operator]:
        directory = self._base.identity.directory
        subscriber = directory.subscriber(unit, party)
        assert subscriber is not None, "a link is a subscriber's"
        home = directory.operator(unit, subscriber.home)
        assert home is not None, "a subscriber without a home"
        return subscriber, home

    def _issuing(self) -> Holder:
        return self._pki.newest().issuing

    def _certified(
        self,
        unit: Connection,
        issuing: Holder,
        key: PublicKey,
        subscriber: PartyId,
        home: Operator,
    ) -> x509.Certificate:
        base = self._base
        nai = names.pseudonymous_nai(base.entropy, home.realms[0])
        wanted = names.of_subscriber(nai, valid_s=base.settings.enrol_days * DAY_S)
        made = issue.certify(issuing, wanted, key, entropy=base.entropy, now_us=base.clock.now_us())
        assert not isinstance(made, Refusal), made
        logins = base.identity.logins
        kept = logins.add_certificate(unit, subscriber=subscriber, pem=names.pem(made))
        assert not isinstance(kept, Refusal), kept
        return made

    def _credential(
        self, unit: Connection, kind: str, subscriber: PartyId, home: Operator
    ) -> Credential:
        if kind == "sim":
            plmn = home.plmns[0]
            return Sim(plmn, mnc_digits=len(plmn) - 3)
        if kind == "certificate":
            issuing, key = self._issuing(), issue.make_key(Algorithm.EC)
            made = self._certified(unit, issuing, key.public_key(), subscriber, home)
            return ClientCertificate(made, key, tuple(issuing.chain))
        name = names.pseudonymous_nai(self._base.entropy, home.realms[0])
        password = self._secret("enrolment-password")
        kept = self._base.identity.logins.add_password(
            unit,
            subscriber=subscriber,
            user_name=name.partition("@")[0],
            password=password,
            expires_us=self._ends_us(),
        )
        assert not isinstance(kept, Refusal), kept
        return Password(name, password, Inner.MSCHAPV2)

    def _described(self, home: Operator, credential: Credential) -> Profile:
        settings = self._base.settings
        return Profile(
            operator_name=home.name,
            realm=home.realms[0],
            home_fqdn=home.realms[0],
            consortia=tuple(settings.enrol_consortia.split()),
            anchors=self._pki.anchors(),
            server_names=self._server_names(),
            credential=credential,
            valid_until_us=self._ends_us(),
        )

    def _written(self, platform: str, profile: Profile) -> Handed:
        from opencarrier.access.provision import signing

        writer, content_type, ending = _FILES[platform]
        octets = writer(profile, self._secret("enrolment-p12"))
        assert not isinstance(octets, Refusal), "what is offered can be written"
        if platform == "apple":
            octets = signing.cms(octets, self._signer())
        if platform == "windows":
            octets = signing.enveloped(octets, self._signer())
        return Handed(octets, content_type, f"{profile.realm}.{ending}")

    def _server_names(self) -> tuple[str, ...]:
        """Return what a device expects in the EAP server's certificate."""
        settings = self._base.settings
        if settings.enrol_servers or not settings.eap_chain:
            return tuple(settings.enrol_servers.split())
        return names.dns_names((self._base.folder.root / settings.eap_chain).read_bytes())

    def _ends_us(self) -> int:
        days = self._base.settings.enrol_days
        return self._base.clock.now_us() + days * DAY_S * SECOND_US

    def _signer(self) -> Signer:
        from opencarrier.access.provision.signing import Signer

        found = self._pki.holder(self._base.settings.enrol_signer)
        return Signer(found.certificate, found.key, tuple(found.chain[1:]))

    def _secret(self, label: str) -> str:
        return b32encode(self._base.entropy.octets(label, SECRET_OCTETS)).decode().lower()
