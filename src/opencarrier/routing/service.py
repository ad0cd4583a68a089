"""The door of routing: take adverts, choose, send elsewhere, say what was chosen from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import verify
from opencarrier.routing import store
from opencarrier.routing.measuring import quality_ppm
from opencarrier.routing.model import (
    ADVERT_DAYS_MAX,
    ADVERTS_PER_SELLER_MAX,
    CANDIDATES_MAX,
    DAY_US,
    AdvertReason,
    SignedAdvert,
    Steering,
    SteeringReason,
    Verdict,
)
from opencarrier.routing.rules import better_near, ranked, shortlist, verdict_of
from opencarrier.spine.access import AuthorisationRequest, Grant
from opencarrier.spine.parties import PartyId, Subscriber
from opencarrier.spine.ports import AccessPolicy, Directory
from opencarrier.spine.routing import Candidate, Choice, Demand

_HARD: Final = {
    Verdict.BELOW_FLOOR: SteeringReason.BELOW_FLOOR,
    Verdict.ABOVE_CEILING: SteeringReason.ABOVE_CEILING,
}


@dataclass(frozen=True, slots=True)
class Routing:
    """Adverts and choices over the caller's unit."""

    directory: Directory
    steering: Steering

    def take(self, unit: Connection, signed: SignedAdvert, *, at_us: int) -> Refusal | None:
        """Take an advert its seller signed; None also when it is here already.

        Refused by reason: an unknown seller, another key's or a wrong signature, one that is over
        or lasts longer than a month, an earlier sequence, one place too many.
        """
        reason = self._refused(unit, signed, at_us)
        if reason is not None:
            return Refusal(reason, signed.advert.place)
        store.put_advert(unit, signed)
        return None

    def candidates(self, unit: Connection, place: str, *, at_us: int) -> list[Candidate]:
        """Return who advertises at a place now, ascending by seller."""
        return [self._candidate(unit, signed) for signed in store.adverts_at(unit, place, at_us)]

    def ranked(
        self, unit: Connection, place: str, home: PartyId, plan_id: str, *, at_us: int
    ) -> list[Candidate]:
        """Return who may serve a plan's subscribers at a place, the best first; at most sixteen."""
        found = self.candidates(unit, place, at_us=at_us)
        currency = found[0].currency if found else ""
        demand = self._demand(unit, home, plan_id, currency)
        return ranked(found, demand)[:CANDIDATES_MAX]

    def choices(
        self, unit: Connection, requests: Sequence[AuthorisationRequest]
    ) -> Iterator[Choice | None]:
        """Yield what each session is chosen from; None where its price is said nowhere.

        Each is looked up when it is its turn: what was said to one counts for the next.
        """
        places = store.places_of(unit, {request.node.node_id for request in requests})
        for one in requests:
            yield self._choice(unit, one, places.get(one.node.node_id))

    def _choice(
        self, unit: Connection, request: AuthorisationRequest, place: str | None
    ) -> Choice | None:
        found = self.candidates(unit, place, at_us=request.at_us) if place is not None else []
        taken = self._taken(unit, request, found)
        if taken is None:
            return None
        person = request.subscriber
        demand = self._demand(unit, person.home, person.plan_id, taken.currency)
        return Choice(
            place=place or request.node.node_id,
            taken=request.visited,
            demand=demand,
            candidates=shortlist(found, taken, demand),
            refusals=self._refusals(unit, person, place, request.at_us),
        )

    def judge(
        self, unit: Connection, request: AuthorisationRequest, choice: Choice
    ) -> Refusal | None:
        """Say whether a session is served where it came, or why it should not be.

        Never above the ceiling nor below the host's floor; and, where the home steers, not while
        another is better by more than the margin, a few times.
        """
        taken = next(item for item in choice.candidates if item.seller == choice.taken)
        hard = _HARD.get(verdict_of(taken, choice.demand))
        if hard is not None:
            return Refusal(hard, f"{taken.price_nano} nano per KiB")
        steers = self.steering.margin_ppm > 0 and choice.refusals < self.steering.refusals_max
        better = better_near(choice) if steers else None
        if better is None:
            return None
        store.note_refusal(
            unit,
            request.subscriber.party_id,
            choice.place,
            since_us=request.at_us - self.steering.window_s * SECOND_US,
            at_us=request.at_us,
        )
        return Refusal(SteeringReason.BETTER_NEAR, better.seller)

    def _refused(self, unit: Connection, signed: SignedAdvert, at_us: int) -> AdvertReason | None:
        advert, signature = signed.advert, signed.signature
        seller = self.directory.operator(unit, advert.seller)
        if seller is None:
            return AdvertReason.UNKNOWN_SELLER
        if signature.kid != seller.address or not verify(advert.hash, signature):
            return AdvertReason.NOT_SIGNED
        if advert.valid_until_us <= max(at_us, advert.valid_from_us):
            return AdvertReason.EXPIRED
        if advert.valid_until_us - at_us > ADVERT_DAYS_MAX * DAY_US:
            return AdvertReason.TOO_LONG
        known = store.advert_of(unit, advert.seller, advert.place)
        is_other = known is not None and known.advert != advert
        if known is not None and is_other and advert.sequence <= known.advert.sequence:
            return AdvertReason.REPLAYED
        # What an advert replaced may last a month longer than it does; till then it is known.
        store.drop_expired(unit, advert.seller, at_us - ADVERT_DAYS_MAX * DAY_US)
        is_full = store.count_of(unit, advert.seller) >= ADVERTS_PER_SELLER_MAX
        return AdvertReason.TOO_MANY if known is None and is_full else None

    def _candidate(self, unit: Connection, signed: SignedAdvert) -> Candidate:
        advert = signed.advert
        measured_ppm = quality_ppm(unit, advert.seller)
        stands_for = advert.quality_ppm
        return Candidate(
            seller=advert.seller,
            advert_hash=advert.hash,
            currency=advert.currency,
            price_nano=advert.price_nano,
            quality_ppm=stands_for if measured_ppm is None else min(stands_for, measured_ppm),
            floor_nano=0,
        )

    def _taken(
        self, unit: Connection, request: AuthorisationRequest, found: Sequence[Candidate]
    ) -> Candidate | None:
        """Return the one a session came to, at the dearer of its advert and its quote in band."""
        quote = request.offered.quote
        own = next((item for item in found if item.seller == request.visited), None)
        if own is None and quote is None:
            return None
        measured_ppm = quality_ppm(unit, request.visited)
        known_ppm = PPM if measured_ppm is None else measured_ppm
        quoted = quote is not None and (own is None or quote.currency == own.currency)
        return Candidate(
            seller=request.visited,
            advert_hash=own.advert_hash if own else b"",
            currency=own.currency if own else quote.currency if quote else "",
            price_nano=max(
                own.price_nano if own else 0, quote.nano_per_kib if quote and quoted else 0
            ),
            quality_ppm=own.quality_ppm if own else known_ppm,
            floor_nano=store.floor_of(unit, request.node.host),
        )

    def _demand(self, unit: Connection, home: PartyId, plan_id: str, currency: str) -> Demand:
        ceiling = store.ceiling_of(unit, home, plan_id)
        return Demand(
            currency=ceiling.currency if ceiling else currency,
            ceiling_nano=ceiling.ceiling_nano if ceiling else INT64_MAX,
            quality_min_ppm=ceiling.quality_min_ppm if ceiling else 0,
            margin_ppm=self.steering.margin_ppm,
        )

    def _refusals(self, unit: Connection, person: Subscriber, place: str | None, at_us: int) -> int:
        if place is None:
            return 0
        since_us = at_us - self.steering.window_s * SECOND_US
        return store.refusals_of(unit, person.party_id, place, since_us=since_us)


@dataclass(frozen=True, slots=True)
class RoutedPolicy:
    """Answers the port `AccessPolicy`: chooses first, asks the next policy about what is left."""

    routing: Routing
    policy: AccessPolicy

    def authorise(self, unit: Connection, request: AuthorisationRequest) -> Grant | Refusal:
        """Choose, then quote and hold; what was chosen from is kept with the authorisation."""
        return self.authorise_all(unit, [request])[0]

    def authorise_all(
        self, unit: Connection, requests: Sequence[AuthorisationRequest]
    ) -> Sequence[Grant | Refusal]:
        """Answer requests that came together as `authorise` would one after the other."""
        judged = [
            (choice, None if choice is None else self.routing.judge(unit, request, choice))
            for request, choice in zip(requests, self.routing.choices(unit, requests), strict=True)
        ]
        chosen, refused = [choice for choice, _ in judged], [no for _, no in judged]
        passed = [r for r, no in zip(requests, refused, strict=True) if no is None]
        answers = iter(self.policy.authorise_all(unit, passed) if passed else ())
        told = [next(answers) if no is None else no for no in refused]
        for choice, answer in zip(chosen, told, strict=True):
            if choice is not None and isinstance(answer, Grant):
                store.add_choice(unit, answer.authorisation_id, choice)
        return told

    def grant(self, unit: Connection, authorisation_id: bytes) -> Grant | None:
        """Return a grant made before."""
        return self.policy.grant(unit, authorisation_id)

    def release(self, unit: Connection, authorisation_id: bytes, *, at_us: int) -> None:
        """Give back what is held for a grant that let nobody in."""
        self.policy.release(unit, authorisation_id, at_us=at_us)


class ChoiceBook:
    """Answers the port `Choices`."""

    def choice(self, unit: Connection, session_id: Id) -> Choice | None:
        """Return what a session that was cut was chosen from, None where it was from nothing."""
        return store.choice_of(unit, session_id)
