"""Pure rules: what a signature is, and when to try again."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.notices import NoticeKind
from opencarrier.webhooks.model import (
    DELAYS_S,
    ENDPOINTS_MAX,
    EVENTS,
    OWN_ENDPOINTS_MAX,
    PAUSE_S_MAX,
    Audience,
    Delivery,
    DeliveryState,
    Endpoint,
    HookReason,
    Off,
    Outcome,
)

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how one begins


def kinds_for(audience: Audience) -> tuple[str, ...]:
    """Return the kinds of messages that somebody's machines may hear, in alphabetical order."""
    return tuple(sorted(kind for kind, heard_by in EVENTS.items() if audience in heard_by))


def endpoints_max(audience: Audience) -> int:
    """Return how many endpoints one party may have."""
    return OWN_ENDPOINTS_MAX if audience is Audience.SUBSCRIBER else ENDPOINTS_MAX


def check_kinds(kinds: Sequence[str], audience: Audience) -> Refusal | None:
    """See that kinds are known ones, and its own to hear."""
    known = kinds_for(audience)
    unknown = [kind for kind in kinds if kind not in known]
    return Refusal(HookReason.UNKNOWN_KIND, unknown[0][:64]) if unknown else None


def write_secret(secret: bytes) -> str:
    """Write a secret as Standard Webhooks does."""
    return SECRET_PREFIX + b64encode(secret).decode()


def signature(secrets: Sequence[bytes], message: str, at_s: int, body: bytes) -> str:
    """Return `webhook-signature`: one of each secret, newest first (Standard Webhooks, v1)."""
    signed = f"{message}.{at_s}.".encode() + body
    made = (b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets)
    return " ".join(f"v1,{one}" for one in made)


def after(delivery: Delivery, outcome: Outcome, now_us: int) -> Delivery:
    """Return a delivery after an attempt: heard, to be tried again later, or parked."""
    tried = replace(
        delivery,
        attempts=delivery.attempts + 1,
        tried_us=now_us,
        status=outcome.status,
        answer=outcome.answer,
    )
    if outcome.heard:
        return replace(tried, state=DeliveryState.DELIVERED)
    if tried.attempts > len(DELAYS_S) or outcome.gone:
        return replace(tried, state=DeliveryState.PARKED)
    return replace(tried, next_us=now_us + DELAYS_S[tried.attempts - 1] * SECOND_US)


def is_last(delivery: Delivery) -> bool:
    """Say whether an endpoint has heard, or will not hear, that its person was erased."""
    over = delivery.state is not DeliveryState.WAITING
    return over and delivery.kind == NoticeKind.ERASURE_DONE


def rested(endpoint: Endpoint, outcome: Outcome, now_us: int) -> Endpoint:
    """Return an endpoint after an attempt: one that fails rests, longer each time."""
    if outcome.heard:
        return replace(endpoint, failures=0, rests_until_us=0)
    failures = endpoint.failures + 1
    pause_s = min(2 ** min(failures, 16), PAUSE_S_MAX)
    off = Off.GONE if outcome.gone else endpoint.off
    return replace(
        endpoint, failures=failures, rests_until_us=now_us + pause_s * SECOND_US, off=off
    )
