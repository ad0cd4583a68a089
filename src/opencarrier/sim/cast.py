"""Everybody's devices: people's phones with their SIMs, and the access points they meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opencarrier.identity.milenage import derive_opc
from opencarrier.kernel.entropy import Entropy
from opencarrier.sim import world
from opencarrier.sim.eap_peer import AkaPeer, PeerMemory
from opencarrier.sim.radio import Faults, Patience, Radio, RadioSettings
from opencarrier.sim.stage import Stage
from opencarrier.sim.usim import Usim
from opencarrier.sim.world import Person

SECRET_OCTETS = 16
PATIENCE = Patience(first_s=0.3, pause_max_s=2.0, tries=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How to play: the seed, the share of datagrams the network loses and doubles."""

    seed: int
    lost_permille: int = 0
    doubled_permille: int = 0


class Cast:
    """Phones are made when they are first asked for; access points have sockets while open."""

    def __init__(self, script: Script, entropy: Entropy) -> None:
        self.people = {person.name: person for person in world.people()}
        self.operators = {plan.name: plan for plan in world.OPERATORS}
        self._script = script
        self._entropy = entropy
        self._secrets: dict[str, bytes] = {}
        self._keys: dict[str, tuple[bytes, bytes]] = {}
        self._phones: dict[str, Usim] = {}
        self._memories: dict[Usim, PeerMemory] = {}
        self._radios: dict[str, Radio] = {}

    def secret(self, operator: str) -> bytes:
        """The secret that an operator's access points share with the server."""
        if operator not in self._secrets:
            drawn = self._entropy.octets(f"radius/{operator}", SECRET_OCTETS)
            self._secrets[operator] = drawn.hex().encode()
        return self._secrets[operator]

    def keys(self, person: Person) -> tuple[bytes, bytes]:
        """K and OPc of the person's SIM."""
        if person.imsi not in self._keys:
            k = self._entropy.octets(f"sim/{person.imsi}", 16)
            opc = derive_opc(k, self._entropy.octets(f"op/{person.imsi}", 16))
            self._keys[person.imsi] = k, opc
        return self._keys[person.imsi]

    def phone(self, person: Person) -> Usim:
        """The person's SIM, which counts its own sequence numbers."""
        if person.name not in self._phones:
            k, opc = self.keys(person)
            self._phones[person.name] = Usim(imsi=person.imsi, k=k, opc=opc)
        return self._phones[person.name]

    def peer(self, person: Person, usim: Usim | None = None) -> AkaPeer:
        """One attempt of a person's phone to get on, or of another SIM with its number."""
        usim = usim or self.phone(person)
        memory = self._memories.setdefault(usim, PeerMemory())
        return AkaPeer(usim, self.operators[person.operator].realm, memory=memory)

    async def open(self, stage: Stage) -> None:
        """Open every access point."""
        number_of = {name: number for number, name in enumerate(self.operators)}
        script = self._script
        for place, node in enumerate(world.NODES):
            settings = RadioSettings(
                nas_identifier=node.nas_identifier,
                secret=self.secret(node.operator),
                auth=stage.auth,
                acct=stage.acct,
                source=source_of(number_of[node.operator]),
                patience=PATIENCE,
                faults=Faults(
                    seed=script.seed * 1_000 + place,
                    lost_permille=script.lost_permille,
                    doubled_permille=script.doubled_permille,
                ),
            )
            self._radios[node.nas_identifier] = await Radio.open(settings, self._entropy)

    def radio(self, nas_identifier: str) -> Radio:
        """An access point that is open."""
        return self._radios[nas_identifier]

    def close(self) -> int:
        """Close the access points; return how often they had to repeat something."""
        radios: Sequence[Radio] = tuple(self._radios.values())
        self._radios.clear()
        for radio in radios:
            radio.close()
        return sum(radio.retransmissions for radio in radios)


def partners(person: Person) -> list[str]:
    """The operators at whose nodes a person is served."""
    return [visited for home, visited in world.ROAMING if home == person.operator]


def nodes_of(operator: str) -> list[str]:
    """The access points of an operator."""
    return [node.nas_identifier for node in world.NODES if node.operator == operator]


def source_of(number: int) -> str:
    """Return the loopback address an operator's access points speak from."""
    return f"127.0.0.{number + 1}"
