"""The chart of accounts: what each is called, and its limit."""

from __future__ import annotations

from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.ledger.model import AccountFlags, Opening
from opencarrier.spine.parties import PartyId

CUSTODY = "custody"
"""What the contracts hold for us; stands in debit."""

TILL = "till"
"""What the hub's till holds of payments made to it; stands in debit."""

UNCLAIMED = "unclaimed"
"""What reached the till and is no payment's, or not yet."""

ENTITLED = "entitled/"
"""What the names of all entitlements begin with."""

NOTICES = "notices"
"""The other side of all notices: a note that no money moved for."""

_LIMITED = frozenset(
    (
        "collateral",
        "escrow",
        "noticed",
        "accrued",
        "entitled",
        "prepaid",
        "refunds",
        "discounts",
        "unclaimed",
    )
)
_OPEN = frozenset(
    ("custody", "notices", "till", "clearing", "revenue", "retail-tax", "overrun", "funding")
)
_OWED = frozenset(("vouchers", "claimed"))


def collateral(party: PartyId) -> str:
    """A member's balance in the clearing house."""
    return f"collateral/{party}"


def escrow(debtor: PartyId) -> str:
    """What one-sided claims hold of a member's money in the clearing house, bonds included."""
    return f"escrow/{debtor}"


def noticed(party: PartyId) -> str:
    """What a member has asked to withdraw; it still is collateral, for no new credit."""
    return f"noticed/{party}"


def clearing(party: PartyId) -> str:
    """A member's wholesale accruals, either sign; zero once all is settled."""
    return f"clearing/{party}"


def accrued(host: PartyId) -> str:
    """A host's shares, accrued and unsettled."""
    return f"accrued/{host}"


def entitled(payout: Address, host: PartyId) -> str:
    """What an address has of a host's shares, funded in the distributor and unclaimed.

    By address and host: whoever claims takes what is its own, whatever others earn there.
    """
    return f"{ENTITLED}{payout}/{host}"


def entitled_host(account: str) -> PartyId:
    """Return whose shares an account of entitlements holds."""
    assert account.startswith(ENTITLED), f"{account} holds no entitlement"
    return PartyId(account.rpartition("/")[2])


def prepaid(subscriber: PartyId) -> str:
    """A subscriber's prepaid money; holds are pending debits here."""
    return f"prepaid/{subscriber}"


def prepaid_of(account: str) -> PartyId | None:
    """Return whose prepaid money an account is, None for any other account."""
    kind, _, party = account.partition("/")
    return PartyId(party) if kind == "prepaid" else None


def refunds(subscriber: PartyId) -> str:
    """What a subscriber asked back of its prepaid money and was not given yet."""
    return f"refunds/{subscriber}"


def revenue(operator: PartyId) -> str:
    """An operator's retail income."""
    return f"revenue/{operator}"


def retail_tax(operator: PartyId) -> str:
    """Retail tax an operator collected."""
    return f"retail-tax/{operator}"


def overrun(operator: PartyId) -> str:
    """Use above the hold, borne by the home operator."""
    return f"overrun/{operator}"


def discounts(operator: PartyId) -> str:
    """An operator's capped discount budget."""
    return f"discounts/{operator}"


def funding(operator: PartyId) -> str:
    """Where an operator's top-ups and budgets come from; may stand in debit."""
    return f"funding/{operator}"


def vouchers(operator: PartyId) -> str:
    """What subscribers acknowledged and signed vouchers for, unclaimed; stands in debit."""
    return f"vouchers/{operator}"


def claimed(operator: PartyId) -> str:
    """What was claimed from channels and not yet paid out to the operator; stands in debit."""
    return f"claimed/{operator}"


def opening(asset: AssetId, name: str) -> Opening:
    """Return the opening of an account with the limit the chart gives it."""
    kind = name.partition("/")[0]
    assert kind in _LIMITED | _OPEN | _OWED, f"{kind} is not in the chart of accounts"
    flags = AccountFlags.NONE
    if kind in _LIMITED:
        flags = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
    elif kind in _OWED:
        flags = AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS
    return Opening(asset=asset, name=name, flags=flags)
