"""Why rating says no, in order: of several reasons that apply, the first listed is given."""

from __future__ import annotations

from opencarrier.kernel.refusals import Reason


class AccessReason(Reason):
    """Why a subscriber is not served here now."""

    NO_AGREEMENT = 1
    NO_TARIFF_IN_FORCE = 2
    RATE_NOT_ACCEPTABLE = 3
    NO_PLAN = 4
    PLAN_NOT_IN_FORCE = 5
    BEYOND_RANGE = 6
    INSUFFICIENT_BALANCE = 7
    SPEND_CAP_REACHED = 8
    INSUFFICIENT_COLLATERAL = 9


class DocumentReason(Reason):
    """Why an agreement or a plan is not taken."""

    UNKNOWN_OPERATOR = 1
    ADDRESS_NOT_REGISTERED = 2
    SIGNATURE_OF_STRANGER = 3
    SIGNATURE_INVALID = 4
    SIGNATURE_MISSING = 5
    OVERLAPS = 6


class DisputeReason(Reason):
    """Why a usage is rated as agreed though its reporter quoted something else."""

    QUOTE_IN_OTHER_CURRENCY = 1
    QUOTE_ABOVE_AGREEMENT = 2


class SuspenseReason(Reason):
    """Why a usage cannot be rated yet; its code is the reason a `Suspense` carries."""

    NO_HOME = 1
    AUTHORISATION_MISMATCH = 2
    NO_AGREEMENT = 3
    NO_TARIFF_IN_FORCE = 4
    NO_NODE = 5
    BEYOND_RANGE = 6
