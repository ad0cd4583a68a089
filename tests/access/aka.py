"""A phone and the server's EAP-AKA machine, with no network between them and a home beside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.access.fakes import (
    IMSI,
    NODE,
    NOW_US,
    REALM,
    VISITED,
    FakeDirectory,
    FakePolicy,
    FakeVectors,
    usim,
)

from opencarrier.access.wire import eap
from opencarrier.access.wire.aka import Aka, AkaHome
from opencarrier.access.wire.aka_identity import PrivacyRing, PseudonymRing
from opencarrier.access.wire.aka_profile import AKA, AKA_PRIME, Profile
from opencarrier.access.wire.aka_reauthentication import Reauthentications
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.sim.eap_peer import AkaPeer, PeerMemory
from opencarrier.sim.usim import Usim
from opencarrier.spine.access import AuthorisationRequest, Credential, CredentialKind

AUTHORISE = eap.Authorise(Credential(CredentialKind.SIM, IMSI), REALM)
DAY_US = 86_400_000_000


def network_name(profile: Profile) -> bytes | None:
    return b"WLAN" if profile is AKA_PRIME else None


@dataclass
class World:
    """One server and one phone over many attempts."""

    profile: Profile = AKA_PRIME
    privacy: PrivacyRing | None = None
    card: Usim = field(default_factory=usim)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW_US))
    entropy: SeededEntropy = field(default_factory=lambda: SeededEntropy(11))
    remembered: Reauthentications = field(default_factory=Reauthentications)
    memory: PeerMemory = field(default_factory=PeerMemory)
    vectors: FakeVectors = field(default_factory=FakeVectors)
    policy: FakePolicy = field(default_factory=FakePolicy)

    def machine(self, **changed: Any) -> Aka:
        home = AkaHome(
            self.entropy, self.clock, PseudonymRing(b"p" * 32), self.privacy, self.remembered
        )
        return Aka(home, self.profile, network_name=network_name(self.profile), **changed)

    def phone(self, **changed: Any) -> AkaPeer:
        changed.setdefault("methods", (self.profile,))
        return AkaPeer(
            self.card,
            REALM,
            memory=self.memory,
            random=lambda size: self.entropy.octets("phone", size),
            **changed,
        )

    def attempt(self, machine: dict[str, Any] | None = None, **phone: Any) -> Attempt:
        return Attempt(self, self.phone(**phone), self.machine(**machine or {}))

    def attach(self, **phone: Any) -> Attempt:
        """A whole attempt; what came of it is its last effect."""
        it = self.attempt(**phone)
        it.run()
        return it


@dataclass
class Attempt:
    """One attempt, step by step or all of it."""

    world: World
    phone: AkaPeer
    machine: Aka
    identifier: int = 1
    effect: eap.Effect | None = None
    effects: list[eap.Effect] = field(default_factory=list)

    def begin(self) -> eap.Effect:
        identity = eap.parse_eap(self.phone.identity()).data
        return self._moved(self.machine.start(identity, self.identifier))

    def answer(self, answer: eap.Answer) -> eap.Effect:
        return self._moved(self.machine.answer(answer, self.identifier))

    def reply(self) -> bytes:
        assert isinstance(self.effect, eap.Ask), self.effect
        response = self.phone.respond(self.effect.octets)
        assert response is not None
        return response

    def take(self, response: bytes) -> eap.Effect:
        self.identifier += 1
        return self._moved(self.machine.receive(eap.parse_eap(response), self.identifier))

    def step(self) -> eap.Effect:
        return self.take(self.reply())

    def attend(self) -> eap.Effect:
        """Let the home answer what is needed."""
        match self.effect:
            case eap.NeedVector(imsi, _, name):
                assert imsi == IMSI
                return self.answer(self._vector(name))
            case eap.NeedResync(imsi, _, name, rand, auts):
                refused = self.world.vectors.resynchronise(None, imsi, rand=rand, auts=auts)  # type: ignore[arg-type]
                assert refused is None
                return self.answer(self._vector(name))
            case eap.Authorise(credential):
                return self.answer(self._grant(credential))
        raise AssertionError(self.effect)

    def run(self) -> eap.Effect:
        """Go on to the end, which the phone is told."""
        effect = self.effect or self.begin()
        while not isinstance(effect, eap.Succeed | eap.Fail):
            effect = self.step() if isinstance(effect, eap.Ask) else self.attend()
        code = eap.EapCode.SUCCESS if isinstance(effect, eap.Succeed) else eap.EapCode.FAILURE
        self.phone.respond(eap.encode_eap(code, self.identifier))
        return effect

    def kinds(self) -> list[str]:
        return [type(effect).__name__ for effect in self.effects]

    def _vector(self, name: bytes | None) -> eap.Answer:
        made = self.world.vectors.vector(None, IMSI, name)  # type: ignore[arg-type]
        assert not isinstance(made, Refusal)
        return made

    def _grant(self, credential: Credential) -> eap.Answer:
        subscriber = FakeDirectory().subscribers[credential.value]
        request = AuthorisationRequest(
            subscriber=subscriber, visited=VISITED, node=NODE, at_us=self.world.clock.now_us()
        )
        granted = self.world.policy.authorise(None, request)  # type: ignore[arg-type]
        return eap.Refused(granted.code) if isinstance(granted, Refusal) else granted

    def _moved(self, outcome: tuple[Aka, eap.Effect]) -> eap.Effect:
        self.machine, self.effect = outcome
        self.effects.append(self.effect)
        return self.effect


PROFILES = (AKA, AKA_PRIME)
