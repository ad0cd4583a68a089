"""The one door to `identity`: everything the other rooms and the commands are handed."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from opencarrier.identity.authentication import AuthenticationCentre
from opencarrier.identity.clients import Clients
from opencarrier.identity.directory import Directory
from opencarrier.identity.enrolment import Enrolments
from opencarrier.identity.keyring import Keyring
from opencarrier.identity.logins import Logins
from opencarrier.identity.node_enrolment import NodeEnrolments
from opencarrier.identity.notary import Notary
from opencarrier.identity.places.service import Places
from opencarrier.identity.privacy import PrivacyKeys
from opencarrier.identity.register import Register
from opencarrier.identity.routing import Routing
from opencarrier.identity.sealing import SealingKey
from opencarrier.identity.secrets import Secrets
from opencarrier.identity.subscriptions import Subscriptions
from opencarrier.identity.vault import Vault
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.entropy import Entropy


class Identity:
    """Who takes part, over one database; every call takes the caller's unit.

    `directory`, `authentication`, `logins` and `notary` answer the spine's ports Directory,
    VectorSource, Passwords and Notary. `register`, `clients`, `routing`, `subscriptions`,
    `logins`, `enrolments`, `node_enrolments`, `places` and `keyring` add and change. `vault` seals;
    `secrets` are the installation's own; by `privacy` phones hide who they are.
    """

    def __init__(
        self,
        sealing_key: SealingKey,
        *,
        clock: Clock,
        entropy: Entropy,
        people: Clock | None = None,
        monotonic_s: Callable[[], float] = monotonic,
    ) -> None:
        links = people or clock  # a link is followed by who lives by the time of day
        self.vault = Vault(sealing_key, entropy)
        self.secrets = Secrets(self.vault, entropy)
        self.directory = Directory(self.vault, clock, monotonic_s=monotonic_s)
        self.privacy = PrivacyKeys(self.secrets, clock=clock, entropy=entropy)
        self.authentication = AuthenticationCentre(self.vault, entropy)
        self.notary = Notary(self.vault, clock)
        self.keyring = Keyring(self.vault, clock=clock, entropy=entropy)
        self.register = Register(self.directory, self.keyring, clock=clock, entropy=entropy)
        self.clients = Clients(self.directory, self.vault)
        self.enrolments = Enrolments(links, entropy)
        self.node_enrolments = NodeEnrolments(links, entropy)
        self.routing = Routing(self.directory, self.vault)
        self.places = Places(self.directory, clock)
        self.logins = Logins(self.directory, self.vault, self.secrets, clock)
        self.subscriptions = Subscriptions(self.directory, self.vault, entropy)
