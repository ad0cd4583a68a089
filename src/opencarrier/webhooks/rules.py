"""Pure rules: what a signature is, and when to try again."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.webhooks.model import (
    DELAYS_S,
    KINDS,
    PAUSE_S_MAX,
    Delivery,
    DeliveryState,
    Endpoint,
    HookReason,
    Outcome,
)

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how one begins


def check_kinds(kinds: Sequence[str]) -> Refusal | None:
    """See that kinds are known ones."""
    unknown = [kind for kind in kinds if kind not in KINDS]
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


def rested(endpoint: Endpoint, outcome: Outcome, now_us: int) -> Endpoint:
    """Return an endpoint after an attempt: one that fails rests, longer each time."""
    if outcome.heard:
        return replace(endpoint, failures=0, rests_until_us=0)
    failures = endpoint.failures + 1
    pause_s = min(2 ** min(failures, 16), PAUSE_S_MAX)
    off = "gone" if outcome.gone else endpoint.off
    return replace(
        endpoint, failures=failures, rests_until_us=now_us + pause_s * SECOND_US, off=off
    )
