"""Why something was not done, said to a person in their language, whatever the code.

A page knows the refusals that it expects by a table of texts. Any other is said by a sentence that
holds for all of them, with the code, under which `/problems/...` says what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opencarrier.app.console.catalogue import N_
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.sentences import Sentence, sentence

OTHERWISE: Final = N_("That was refused, and nothing was changed. The reason is called %(code)s.")


def why(refusal: Refusal, known: Mapping[Any, str]) -> Sentence:
    """Return why in a sentence; `known` has texts by code, or by the reason that has it.

    Reasons of two rooms may be equal as numbers, so none is looked up as it is.
    """
    texts = {key if isinstance(key, str) else key.name.lower(): known[key] for key in known}
    text = texts.get(refusal.code)
    return sentence(text) if text else sentence(OTHERWISE, code=refusal.code)
