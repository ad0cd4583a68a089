"""How bans are told to people: why, how far a case is, and why something was not done."""

from __future__ import annotations

from typing import Final

from opencarrier.app.console.catalogue import N_

WHY: Final = {
    "false_use": N_("it reported use that did not happen"),
    "false_place": N_("it stands elsewhere than it says"),
    "altered_traffic": N_("it changed or listened to what people sent"),
    "unlawful": N_("it was run against the law"),
    "lost_key": N_("its key was in strangers’ hands"),
    "other": N_("it did something else, told below"),
    "": N_("it did something that has no name here"),
}
"""Why a node was banned, as the end of a sentence."""

STAGES: Final = {
    "open": ("act", N_("may be appealed")),
    "appealed": ("wait", N_("appealed, not decided yet")),
    "upheld": ("act", N_("upheld")),
    "lifted": ("good", N_("lifted")),
}
"""How a case is coloured and called."""

NOT_DONE: Final = {
    "no_registry": N_("There is no registry of nodes here."),
    "unknown_reason": N_("Choose a reason from the list."),
    "bad_words": N_("Say it in at most 2,000 characters."),
    "bad_times": N_("A ban lasts from one day to as long as the contract allows."),
    "bad_amount": N_("It may cost nothing, or an amount of the bond."),
    "not_a_token": N_(
        "This node is not its host’s token on the chain yet, so nobody could appeal. Mint it first."
    ),
    "already_banned": N_("This node is banned already."),
    "unknown_ban": N_("That ban is not here."),
    "no_guardians": N_("Nobody is named here to sign bans."),
    "not_guardian": N_("No guardian signed exactly this ban. Nothing was kept."),
    "signatures_missing": N_("More guardians have to sign it first."),
    "too_many_drafts": N_("Many bans of this node wait already: send or drop one."),
    "over": N_("Its time has passed: prepare another."),
    "not_open": N_("There is no ban to appeal against or to close."),
    "late": N_("The time for that is over; silence has decided."),
    "not_appealed": N_("Nobody appealed against a ban of this node."),
    "early": N_("There still is time to appeal or to decide."),
    "refused": N_("The contract refuses it."),
    "not_approved": N_("It waits until enough people have approved it."),
    "no_key": N_("The key that may do this is not held here. Send it from that wallet."),
    "other_key": N_("Another key may do this."),
    "too_often": N_("It was tried too often."),
    "chain_silent": N_("The chain does not take it just now. Nothing is lost: try later."),
}
