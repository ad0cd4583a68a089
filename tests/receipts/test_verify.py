"""A receipt holds as issued; any change of it fails, and the step that broke is named."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.receipts.tampering import changed, leaves, put

from opencarrier.kernel.refusals import PeerError
from opencarrier.receipts import form
from opencarrier.receipts.document import SETTLED_KEYS
from opencarrier.receipts.issue import AUDIENCES
from opencarrier.receipts.manifest import read_manifest
from opencarrier.receipts.model import DUE_FORMAT
from opencarrier.receipts.verify import Verifier

STEPS = {"form", "usage", "record", "rating", "signature", "settlement"}


@pytest.fixture(scope="module")
def verifier(settled):
    return Verifier(settled.place.manifest, settled.place.client)


@pytest.fixture(scope="module")
def co_signed(receipts):
    return next(text for text in receipts.values() if '"rung": 2' in text)


@pytest.fixture(scope="module")
def one_sided(receipts):
    return next(text for text in receipts.values() if '"rung": 2' not in text)


def test_every_receipt_holds(receipts, verifier):
    """Four records were settled; each verifies as included, rated right, signed and final."""
    assert len(receipts) == 4
    for text in receipts.values():
        verdict = verifier.verify(text)
        assert verdict.included
        assert verdict.final
        assert "wholesale" in verdict.rated_right
        assert len(verdict.signed_by["agreement"]) == 2


def test_co_signed_and_one_sided_say_so(co_signed, one_sided, verifier):
    """The statement of a co-signed record has both signatures, a one-sided one the creditor's."""
    assert len(verifier.verify(co_signed).signed_by["statement"]) == 2
    assert len(verifier.verify(one_sided).signed_by["statement"]) == 1
    assert verifier.verify(co_signed).rated_right == ("wholesale", "retail")
    assert verifier.verify(one_sided).rated_right == ("wholesale",)


@pytest.mark.parametrize("audience", sorted(AUDIENCES))
def test_each_audience_sees_its_parts_and_can_verify(settled, receipts, verifier, audience):
    """A host sees no retail price, a subscriber no wholesale price; both verify."""
    place = settled.place
    with place.base.store.read() as unit:
        for usage_id in receipts:
            text = place.issuer.issue(unit, usage_id, parts=AUDIENCES[audience])
            verdict = verifier.verify(text)
            assert set(verdict.rated_right) <= AUDIENCES[audience]
            document = json.loads(text)
            for name in ("wholesale", "retail"):
                if name not in AUDIENCES[audience] and document[name] is not None:
                    assert set(document[name]) == {"commitment"}


@pytest.mark.parametrize("which", ["co_signed", "one_sided"])
def test_every_field_changed_fails(request, verifier, which):
    """Every field, changed to a plausible other value and spelt properly again, fails."""
    text = request.getfixturevalue(which)
    document = json.loads(text)
    count = 0
    for path, value in leaves(document):
        for other in changed(value):
            if other == value:
                continue
            with pytest.raises(PeerError) as failure:
                verifier.verify(form.write(put(document, path, other)))
            assert failure.value.reason in STEPS, (path, other)
            count += 1
    assert count > 100


@pytest.mark.parametrize("which", ["co_signed", "one_sided"])
def test_every_key_added_removed_or_doubled_fails(request, verifier, which):
    """An unknown key, a missing one, one that stands twice: all are refused."""
    document = json.loads(request.getfixturevalue(which))
    objects = [()] + [p[:i] for p, _ in leaves(document) for i in range(1, len(p))]
    for path in sorted(set(objects), key=str):
        place = document
        for key in path:
            place = place[key]
        if not isinstance(place, dict):
            continue
        for key in list(place):
            changed = copy.deepcopy(document)
            target = changed
            for step in path:
                target = target[step]
            del target[key]
            _fails(verifier, changed, path, key)
        changed = copy.deepcopy(document)
        target = changed
        for step in path:
            target = target[step]
        target["unknown"] = 1
        _fails(verifier, changed, path, "unknown")


def _fails(verifier, changed, *context):
    with pytest.raises(PeerError) as failure:
        verifier.verify(form.write(changed))
    assert failure.value.reason in STEPS, context


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.deep)])
def test_every_byte_flipped_fails(co_signed, verifier, step):
    """One flipped bit in any byte fails at some named step, never with another exception."""
    octets = co_signed.encode()
    for place in range(0, len(octets), step):
        flipped = bytearray(octets)
        flipped[place] ^= 1 << (place % 8)
        try:
            text = bytes(flipped).decode()
        except UnicodeDecodeError:
            continue
        with pytest.raises(PeerError):
            verifier.verify(text)


@pytest.mark.parametrize("spoilt", ["0x {}", "0x{}\n", "0x{}0", "0X{}", "0x{}\u0660\u0660"])
def test_octets_have_one_spelling(co_signed, verifier, spoilt):
    """Blanks, odd digits, capitals and digits of other scripts: the reader takes none of them."""
    document = json.loads(co_signed)
    document["path"]["cycle_id"] = spoilt.format(document["path"]["cycle_id"][2:])
    with pytest.raises(PeerError) as failure:
        verifier.verify(form.write(document))
    assert failure.value.reason == "form"


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_garbage_is_refused_by_name(data, verifier, co_signed):
    """Cut, doubled and spliced text is refused as form or a later step, nothing else happens."""
    start = data.draw(st.integers(0, len(co_signed)))
    end = data.draw(st.integers(start, len(co_signed)))
    text = data.draw(
        st.sampled_from(
            [
                co_signed[:start],
                co_signed[start:],
                co_signed[:start] + co_signed[end:],
                co_signed + co_signed[start:end],
            ]
        )
    )
    if text == co_signed:
        return
    with pytest.raises(PeerError) as failure:
        verifier.verify(text)
    assert failure.value.reason in STEPS


def test_another_venue_is_no_anchor(settled, receipts, verifier, co_signed):
    """The receipt cannot name its own trust anchor: another house's manifest refuses it."""
    from dataclasses import replace

    manifest = replace(settled.place.manifest, domain="other")
    with pytest.raises(PeerError) as failure:
        Verifier(manifest, settled.place.client).verify(co_signed)
    assert failure.value.reason == "settlement"
    pinned = settled.place.manifest
    house = replace(pinned.contracts["ClearingHouse"], code_hash="0x" + "00" * 32)
    wrong_code = replace(pinned, contracts={**pinned.contracts, "ClearingHouse": house})
    with pytest.raises(PeerError) as failure:
        Verifier(wrong_code, settled.place.client)
    assert failure.value.reason == "code"


def test_limits(verifier):
    """A text beyond the limit is refused before it is read."""
    with pytest.raises(PeerError) as failure:
        verifier.verify(" " * (form.RECEIPT_OCTETS_MAX + 1))
    assert failure.value.reason == "form"
    for deep in ("[" * 500_000 + "]" * 500_000, '{"a":' * 100_000, "[" * form.BRACKETS_MAX):
        with pytest.raises(PeerError) as failure:
            verifier.verify(deep)
        assert failure.value.reason == "form"
        with pytest.raises(PeerError):
            read_manifest(deep)


def test_a_truth_is_no_number(co_signed, verifier):
    """Python's True is 1 and JSON's is not: what was rated from a number is not `true`."""
    document = json.loads(co_signed)
    for path, step in (
        (("usage", "content", "rung"), "usage"),
        (("wholesale", "content", "kind"), "rating"),
    ):
        with pytest.raises(PeerError) as failure:
            verifier.verify(form.write(put(document, path, True)))
        assert failure.value.reason == step


@pytest.mark.parametrize(
    "spoilt", ["\ud800", [[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]], ids=["half", "deep"]
)
def test_what_has_no_canonical_form_is_a_peers_mistake(verifier, co_signed, spoilt):
    """JSON holds half a character, or lists deeper than what is hashed; nothing else is raised."""
    document = json.loads(co_signed)
    document["usage"]["content"]["node_id"] = spoilt
    due = {
        **{name: document[name] for name in SETTLED_KEYS},
        "format": DUE_FORMAT,
        "record_id": document["usage_id"],
        "adjustment": {"salt": document["usage"]["salt"], "content": {"payer": spoilt}},
    }
    for spoilt_document in (document, due):
        with pytest.raises(PeerError) as failure:
            verifier.verify(form.write(spoilt_document))
        assert failure.value.reason == "form"
