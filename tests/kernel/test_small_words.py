"""Clock, entropy, quantities, refusals: what each promises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.clock import FixedClock, Window
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.money import INT64_MAX, MoneyError
from opencarrier.kernel.quantity import Quantities, UnitError
from opencarrier.kernel.refusals import PeerError, Reason, Refusal


class Colour(Reason):
    TOO_RED = 1


def test_entropy_follows_from_seed_label_and_turn_whatever_the_order() -> None:
    one, other = SeededEntropy(7), SeededEntropy(7)
    first = [one.octets("a", 32), one.octets("a", 32), one.octets("b", 48)]
    b = other.octets("b", 48)
    assert [other.octets("a", 32), other.octets("a", 32), b] == first
    assert first[0] != first[1]
    assert first[2][:32] not in first[:2]
    assert SeededEntropy(8).octets("a", 32) != first[0]
    assert len({len(SeededEntropy(1).octets("x", size)) - size for size in range(100)}) == 1


@given(st.lists(st.sampled_from("abc"), max_size=12), st.randoms())
def test_entropy_is_deterministic_by_label(labels: list[str], random: object) -> None:
    def drawn(order: list[str]) -> dict[str, list[bytes]]:
        entropy = SeededEntropy(1)
        out: dict[str, list[bytes]] = {}
        for label in order:
            out.setdefault(label, []).append(entropy.octets(label, 8))
        return out

    shuffled = list(labels)
    random.shuffle(shuffled)
    assert drawn(shuffled) == drawn(labels)


def test_a_label_that_could_be_two_labels_is_refused() -> None:
    with pytest.raises(AssertionError):
        SeededEntropy(1).octets("a\x001", 8)


def test_windows_are_half_open() -> None:
    window = Window(10, 20)
    assert [window.holds(at) for at in (9, 10, 19, 20)] == [False, True, True, False]
    assert not window.overlaps(Window(20, 30))
    assert window.overlaps(Window(19, 30))
    assert not Window(5, 5).holds(5)
    with pytest.raises(AssertionError):
        Window(2, 1)


def test_a_fixed_clock_never_goes_back() -> None:
    clock = FixedClock(5)
    clock.set(9)
    assert clock.now_us() == 9
    with pytest.raises(AssertionError):
        clock.set(8)


def test_equal_amounts_are_equal_quantities() -> None:
    one = Quantities.of({"octets_out": 2, "octets_in": 1, "duration_s": 0})
    assert one == Quantities.of({"octets_in": 1, "octets_out": 2})
    assert one.as_mapping() == {"octets_in": 1, "octets_out": 2}
    assert [one.get(unit) for unit in ("octets_in", "duration_s")] == [1, 0]


def test_quantities_know_their_units_and_limits() -> None:
    with pytest.raises(UnitError):
        Quantities.of({"furlongs": 1})
    with pytest.raises(MoneyError):
        Quantities.of({"octets_in": INT64_MAX + 1})
    with pytest.raises(AssertionError):
        Quantities.of({"octets_in": -1})


def test_a_refusal_is_a_value_with_a_stable_code() -> None:
    refusal = Refusal(Colour.TOO_RED, "by far")
    assert refusal.code == "too_red"
    assert str(refusal) == "too_red: by far"
    assert str(Refusal(Colour.TOO_RED)) == "too_red"
    assert refusal == Refusal(Colour.TOO_RED, "by far")


def test_a_peer_error_keeps_its_reason_and_offset() -> None:
    error = PeerError("truncated", "two octets missing", offset=12)
    assert (error.reason, error.offset) == ("truncated", 12)
    assert str(error) == "truncated: two octets missing"
