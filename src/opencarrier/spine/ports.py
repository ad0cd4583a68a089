"""What a room may ask of another without knowing it; `app/bootstrap` supplies the answers.

`unit` is the caller's open database transaction: everything asked within it commits or fails
together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.spine.access import (
    Accepted,
    AkaVector,
    AuthorisationRequest,
    Change,
    Credential,
    Grant,
)
from opencarrier.spine.money import (
    Charge,
    Cleared,
    Deferral,
    Discount,
    Due,
    Entitlement,
    Nets,
    Position,
    RatedUsage,
    Sale,
    Suspense,
)
from opencarrier.spine.parties import (
    Beneficiary,
    Host,
    Node,
    Operator,
    PartyId,
    RadiusClient,
    RadiusServer,
    Route,
    Subscriber,
)
from opencarrier.spine.people import Held, Person
from opencarrier.spine.routing import Choice
from opencarrier.spine.stages import Step
from opencarrier.spine.usage import Counters, Observation, Sought, Stretch, Usage

if TYPE_CHECKING:
    from sqlalchemy import Connection

Unit_contra = TypeVar("Unit_contra", contravariant=True)


class Directory(Protocol):
    """Who is who (answered by `identity`)."""

    def client(self, unit: Connection, source: str) -> RadiusClient | None:
        """Return the RADIUS client whose prefix is the longest that holds a source address."""
        ...

    def peer(self, unit: Connection, names: Sequence[str]) -> RadiusClient | None:
        """Return the RADIUS client of the first of a certificate's names that is known."""
        ...

    def serves(self, unit: Connection, realm: str) -> bool:
        """Say whether a realm's subscribers are here, not at another's installation."""
        ...

    def routes(self, unit: Connection) -> Sequence[Route]:
        """Return where realms go, ascending by pattern."""
        ...

    def servers(self, unit: Connection, upstream: str) -> Sequence[RadiusServer]:
        """Return the servers that stand in for each other under a name, in their order."""
        ...

    def operator_named_by_wba(self, unit: Connection, wba_id: str) -> PartyId | None:
        """Return whom the federation calls so; of `SUB.EXAMPLE:US` its member."""
        ...

    def wba_id(self, unit: Connection, operator: PartyId) -> str | None:
        """Return how the federation calls an operator, None where it has no name there."""
        ...

    def node(self, unit: Connection, nas_identifier: str) -> Node | None:
        """Return the node a NAS-Identifier names."""
        ...

    def node_by_id(self, unit: Connection, node_id: str) -> Node | None:
        """Return a node by its id."""
        ...

    def operator(self, unit: Connection, party_id: PartyId) -> Operator | None:
        """Return an operator."""
        ...

    def operators(self, unit: Connection) -> Sequence[Operator]:
        """Return all operators, ascending by party id."""
        ...

    def home_of(self, unit: Connection, realm: str) -> Operator | None:
        """Return the operator a realm belongs to, by its realms or its PLMNs' 3GPP realm."""
        ...

    def host(self, unit: Connection, party_id: PartyId) -> Host | None:
        """Return a host."""
        ...

    def subscriber(self, unit: Connection, party_id: PartyId) -> Subscriber | None:
        """Return a subscriber."""
        ...

    def subscriber_by_imsi(self, unit: Connection, imsi: str) -> Subscriber | None:
        """Return the subscriber a permanent SIM identity belongs to."""
        ...

    def subscribers_by(
        self, unit: Connection, credentials: Collection[Credential]
    ) -> Mapping[Credential, Subscriber]:
        """Return whom credentials belong to, by credential; those that let nobody on are left out.

        They are barred, revoked, expired or unknown.
        """
        ...


class VectorSource(Protocol):
    """The authentication centre (answered by `identity`); each vector uses up a sequence number."""

    def vector(
        self, unit: Connection, imsi: str, network_name: bytes | None
    ) -> AkaVector | Refusal:
        """Make the next vector for a SIM: for EAP-AKA' bound to the access network's name.

        Without a name it is one for EAP-AKA.
        """
        ...

    def resynchronise(
        self, unit: Connection, imsi: str, *, rand: bytes, auts: bytes
    ) -> Refusal | None:
        """Move the sequence number to what the SIM proved with AUTS (TS 33.102 section 6.3.5)."""
        ...


class Passwords(Protocol):
    """What passwords are compared with (answered by `identity`)."""

    def passwords(
        self, unit: Connection, asked: Sequence[tuple[str, str]]
    ) -> Sequence[bytes | None]:
        """Return NT hashes (`kernel.passwords`) by user name and realm; None lets nobody on.


        Whether there is such a user should show neither in the answer nor in the time it takes.
        """
        ...


class PrivacyKeySource(Protocol):
    """The home's keys for identities that phones encrypted (answered by `identity`)."""

    def private_keys(self, unit: Connection) -> Mapping[str, bytes]:
        """Return a few RSA keys by the identifier phones name them by, PKCS #8 in DER."""
        ...


class AccessPolicy(Protocol):
    """Quote and hold (answered by `rating` over the ledger)."""

    def authorise(self, unit: Connection, request: AuthorisationRequest) -> Grant | Refusal:
        """Quote both contracts and open the hold; the same unit keeps the authorisation."""
        ...

    def authorise_all(
        self, unit: Connection, requests: Sequence[AuthorisationRequest]
    ) -> Sequence[Grant | Refusal]:
        """Answer requests of one instant as `authorise` would one after the other."""
        ...

    def grant(self, unit: Connection, authorisation_id: bytes) -> Grant | None:
        """Return a grant made before."""
        ...

    def release(self, unit: Connection, authorisation_id: bytes, *, at_us: int) -> None:
        """Give back what is held for a grant that let nobody in; again changes nothing."""
        ...


class AgreedTerms(Protocol):
    """What other installations' homes agreed to of sessions here (answered by `rating`)."""

    def keep(self, unit: Connection, accepted: Accepted) -> bool:
        """Keep what was agreed; False where the same authorisation is kept with other terms."""
        ...

    def find(self, unit: Connection, authorisations: Iterable[bytes]) -> Mapping[bytes, Accepted]:
        """Return what was agreed under some authorisations, those that are known."""
        ...


class Disconnects(Protocol):
    """Ends or changes running sessions at whoever serves them (answered by `access`).

    An order is kept with the unit and brought there until it is answered or the session is over,
    whatever stops in between. False: it is not known where such a session is served.
    """

    def disconnect(
        self, unit: Connection, authorisation_id: bytes, *, reason: str, at_us: int
    ) -> bool:
        """Have a session ended."""
        ...

    def change(
        self,
        unit: Connection,
        authorisation_id: bytes,
        change: Change,
        *,
        reason: str,
        at_us: int,
        or_end: bool = False,
    ) -> bool:
        """Have a session served otherwise; with `or_end` it ends where that is refused."""
        ...


class Spending(Protocol):
    """Sees what running sessions report (answered by `rating`)."""

    def observed(
        self, unit: Connection, observations: Sequence[Observation], *, at_us: int
    ) -> None:
        """Slow and end the sessions whose money may not last, in the unit of the reports."""
        ...

    def concerned(
        self, unit: Connection, observations: Sequence[Observation], *, at_us: int
    ) -> bool:
        """Say whether `observed` may do anything about these; it changes nothing."""
        ...


class Sales(Protocol):
    """Who pays as it uses (answered by `channels`); such a grant holds nothing in advance."""

    def payers(self, unit: Connection, subscribers: Collection[PartyId]) -> set[PartyId]:
        """Return those of some subscribers that pay as they use; the others are prepaid."""
        ...

    def sale(self, unit: Connection, subscriber: Subscriber, visited: PartyId) -> Sale | None:
        """Return who sells to a subscriber here, None where it is prepaid."""
        ...

    def sold(self, unit: Connection, grant: Grant) -> None:
        """Note a grant made for a sale: what it is used for is owed as far as the device says."""
        ...


class SessionKeys(Protocol):
    """Where an attach leaves what its device proves itself with (answered by `channels`)."""

    def keep(self, unit: Connection, digests: Mapping[bytes, bytes]) -> None:
        """Keep, by authorisation, the SHA-256 of the key that server and device derived in EAP."""
        ...


class CarriedPayments(Protocol):
    """Where payments go that a node's agent brought with a report (answered by `channels`)."""

    def carried(
        self,
        unit: Connection,
        voucher: bytes,
        ack: bytes,
        *,
        session_id: Id,
        node_id: str,
        at_us: int,
    ) -> Refusal | None:
        """Take a payment of this session; `PeerError` where the octets are none."""
        ...


class RetailPrices(Protocol):
    """What a session costs its subscriber (answered by `rating`), to the unit as it is charged."""

    def retail_minor(
        self, unit: Connection, authorisation_id: bytes, counters: Counters
    ) -> int | None:
        """Return the price of a session so far, tax included; None beyond the formula's range."""
        ...

    def cover(
        self,
        unit: Connection,
        authorisation_id: bytes,
        amount_minor: int,
        *,
        payer: str,
        reference: Id,
        at_us: int,
    ) -> None:
        """Move money from the account `payer` to the subscriber, and hold it for the session.

        The same reference again moves nothing.
        """
        ...


class Acknowledgements(Protocol):
    """What devices signed for (answered by `channels`)."""

    def acknowledged(self, unit: Connection, sessions: Mapping[Id, bytes]) -> Mapping[Id, Counters]:
        """Return how far each session that pays as it uses was acknowledged, from its start.

        `sessions` gives each session's authorisation. One that is prepaid is left out; one that
        nothing was signed for has zero counters.
        """
        ...


class Credit(Protocol):
    """How much more a session may use (answered by `rating` over the ledger)."""

    def reserve(
        self,
        unit: Connection,
        authorisation_id: bytes,
        session_id: Id,
        *,
        used: Counters,
        octets: int,
        ahead_s: int,
        at_us: int,
    ) -> int | None:
        """Hold what is used and as many more octets as the money covers; return how many.

        None where what is used is beyond the formula's range.
        """
        ...


class TermChanges(Protocol):
    """When what use costs changes (answered by `rating`)."""

    def changes(self, unit: Connection, stretches: Sequence[Stretch]) -> Mapping[Id, Sequence[int]]:
        """Return the instants within each stretch, ascending, at which a session is to be cut.

        Sessions whose terms stay are left out.
        """
        ...


class UsageSink(Protocol):
    """Where observations are kept (answered by `usage`)."""

    def record(self, unit: Connection, observations: Sequence[Observation]) -> int:
        """Keep observations durably with the unit; return how many were new."""
        ...

    def add(self, unit: Connection, observations: Sequence[Observation]) -> int:
        """Keep observations durably with a unit that only adds, beside others of its kind."""
        ...


class Reported(Protocol):
    """What was reported of sessions (answered by `usage`)."""

    def octets_before(self, unit: Connection, observation: Observation) -> int:
        """Return what a session had counted when its authorisation took over from another.

        An access point that authenticates a device again goes on counting where it was.
        """
        ...

    def last_heard(
        self, unit: Connection, sessions: Sequence[Sought]
    ) -> Mapping[bytes, tuple[int, bool]]:
        """Return by authorisation when it was last reported on, and if it ended or passed on."""
        ...


class UsageSource(Protocol):
    """Where a cycle gets its usage (answered by `usage`)."""

    def cut(self, unit: Connection, *, cycle_id: Id, cut_us: int) -> Sequence[Usage]:
        """End a cycle: what each session has new up to `cut_us`, ascending by usage id.

        That is one usage a session, and one more for each change of its terms.

        The same id again returns the same usages. A cycle in which nothing fell due stays open;
        its later cuts have ids of their own (`spine.ids.cut_id`).
        """
        ...

    def usage(self, unit: Connection, usage_id: Id) -> Usage | None:
        """Return a usage."""
        ...


class Rater(Protocol):
    """What use costs (answered by `rating`)."""

    def rate(
        self, unit: Connection, *, cycle_id: Id, usages: Sequence[Usage], at_us: int
    ) -> tuple[Sequence[Charge], Sequence[Suspense]]:
        """Rate and book both charges of each usage, and of suspended ones that now can be.

        Booking posts holds, overruns and the wholesale accrual in the ledger, in this unit.
        """
        ...

    def rated(self, unit: Connection, usage_id: Id) -> RatedUsage | None:
        """Return a usage with its charges, or None while it is unrated."""
        ...

    def adjust(self, unit: Connection, *, cycle_id: Id, at_us: int) -> Sequence[Due]:
        """Make and book what deals still move of the periods that are over, in their order.

        Returned are the cycle's adjustments, those made before too; the same again books nothing.
        """
        ...

    def due(self, unit: Connection, adjustment_id: Id) -> Due | None:
        """Return an adjustment, made again from what it was made from."""
        ...


class Stages(Protocol[Unit_contra]):
    """Where some uses, or the cycles that pay them, stand with one room (answered by each).

    The unit is the database's transaction, or for a month on disk the engine that reads its files.
    """

    def steps(self, unit: Unit_contra, about: Sequence[Id]) -> Sequence[Step]:
        """Return what happened to each here, as it stands now; nothing of what is not known."""
        ...


class PersonalData(Protocol):
    """What a room keeps of a person (answered by each room that keeps anything)."""

    def held(self, unit: Connection, person: Person) -> Held:
        """Return every row that tells of the person, without secrets."""
        ...

    def erase(self, unit: Connection, person: Person) -> None:
        """Take away what tells who it was; sums, roots and others' proofs stay as they are.

        The caller has seen that nothing of the person is under way. Again changes nothing.
        """
        ...


class Choices(Protocol):
    """What sessions were chosen from (answered by `routing`)."""

    def choice(self, unit: Connection, session_id: Id) -> Choice | None:
        """Return what a session that was cut was chosen from, None where it was from nothing."""
        ...


class Discounts(Protocol):
    """What a subscriber's stake is worth (answered by `staking`)."""

    def staked(self, unit: Connection, subscribers: Collection[PartyId]) -> set[PartyId]:
        """Return those of some subscribers that may have a discount; the others have none."""
        ...

    def discount(
        self, unit: Connection, subscriber: PartyId, *, seller: PartyId, at_us: int
    ) -> Discount | None:
        """Return the discount a subscriber has with a seller at an instant, None for none."""
        ...


class Clearing(Protocol):
    """Who owes whom (answered by `clearing`)."""

    def take(
        self, unit: Connection, *, cycle_id: Id, charges: Sequence[Charge], cut_us: int
    ) -> Sequence[Position]:
        """Make positions of what was rated; a usage that has a record already is left out."""
        ...

    def take_dues(
        self, unit: Connection, *, cycle_id: Id, dues: Sequence[Due], cut_us: int
    ) -> Sequence[Position]:
        """Make positions of adjustments; one that has them already is left out."""
        ...

    def clear(
        self,
        unit: Connection,
        *,
        cycle_id: Id,
        at_us: int,
        collateral: Callable[[PartyId], int],
        excluded: Mapping[PartyId, str],
    ) -> Cleared:
        """Choose what is due, remove who cannot pay or is excluded, net, and build the tree.

        The chosen positions belong to the cycle until `release` or `finish`. Without any due
        position the result has `positions` zero and nothing is kept.
        """
        ...

    def release(self, unit: Connection, *, cycle_id: Id) -> None:
        """Open a cycle's positions again: the attempt to settle them is provably dead."""
        ...

    def finish(self, unit: Connection, *, cycle_id: Id) -> None:
        """Note that a cycle's positions are settled for good."""
        ...

    def waiting(self, unit: Connection, *, at_us: int) -> Sequence[Deferral]:
        """Return the positions that no cycle at an instant would take, and why, by id."""
        ...

    def charged(self, unit: Connection, *, cycle_id: Id) -> Nets:
        """Sum the charges behind a cycle's records again, one by one, from what rating holds."""
        ...

    def unsettled(self, unit: Connection) -> Nets:
        """Return the nets of all positions that are not settled for good."""
        ...


class RewardBook(Protocol):
    """The hosts' cumulative entitlements (answered by `rewards`)."""

    def entitle(
        self, unit: Connection, *, cycle_id: Id, entitlements: Sequence[Entitlement]
    ) -> bytes:
        """Add a cycle's shares to the lifetime amounts; return the root of the new tree.

        The same cycle again returns the same root and adds nothing.
        """
        ...

    def objection(self, unit: Connection, *, cycle_id: Id, funding_minor: int) -> Refusal | None:
        """Say why the settlement that publishes a cycle's root must not be signed, or nothing."""
        ...

    def take_back(self, unit: Connection, *, cycle_id: Id) -> None:
        """Forget the newest cycle's shares: its attempt is provably dead and moved nothing.

        The cycle can be entitled again with other shares. One that was never entitled is left.
        """
        ...

    def roots(self, unit: Connection, *, limit: int) -> Sequence[bytes]:
        """Return the roots made here, the newest first; the last may not be published yet."""
        ...

    def lifetimes(self, unit: Connection, *, root: bytes) -> Mapping[Address, int]:
        """Return what each account has earned as of a root that was made here."""
        ...


class Consent(Protocol):
    """What people have to say before money moves (answered by the app, by its settings)."""

    def objection(self, unit: Connection, *, settlement_id: Id, net_minor: int) -> Refusal | None:
        """Say why a settlement must not be sent yet, nothing where it may; people are asked then.

        `net_minor` is what moves at the venue. The id carries all that is agreed to.
        """
        ...


class Members(Protocol):
    """The clearing domain as its venue knows it (answered by `identity`)."""

    def members(self, unit: Connection) -> Mapping[PartyId, Address]:
        """Return every member's own address: operators, protocol parties, tax parties."""
        ...

    def beneficiaries(
        self, unit: Connection, host: PartyId, *, at_us: int
    ) -> Sequence[Beneficiary]:
        """Return whom a host's share of a cycle closed at an instant goes to, by address.

        Their shares sum to one million.
        """
        ...


class Notary(Protocol):
    """Whoever signs for the parties of this installation (answered by `identity`)."""

    def sign(self, unit: Connection, address: Address, digest: bytes) -> Signature | None:
        """Sign a digest with a party's key, or None where this installation does not hold it."""
        ...
