"""Converged charging over HTTP: reserve, report, release, by a client that is not ours."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.app.charging_consumer import (
    MIB,
    Consumer,
    asks,
    charging,
    imsi_of,
    money,
    price_minor,
    settle_now,
    subscribed,
    unit_of,
    used,
)
from tests.app.scene import SECOND_US

from opencarrier.app.http_charging import BASE
from opencarrier.charging.wire import BODY_OCTETS_MAX, GROUPS_MAX, UINT64_MAX

SESSION_S = 3_600


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with charging(tmp_path_factory.mktemp("charging")) as made:
        yield made


@pytest.fixture
def consumer(stage, request):
    """Somebody new at the same node, with a name and money of its own."""
    made, client = stage
    imsi = imsi_of(request.node.name)
    return Consumer(client, replace(made, subscriber=subscribed(made, imsi)), imsi)


def test_a_session_reserves_posts_and_releases(consumer):
    """Held is what may be used, posted what was, released the rest; it is a usage as any other."""
    made = consumer.made
    before, _ = money(made)
    path, told = consumer.create(asks())
    assert unit_of(told)["resultCode"] == "SUCCESS"
    assert unit_of(told)["grantedUnit"] == {"totalVolume": 10 * MIB}
    assert unit_of(told)["validityTime"] > 0
    assert money(made) == (before, price_minor(10 * MIB))
    made.clock.set(made.clock.now_us() + 60 * SECOND_US)
    report = consumer.body(1, used(MIB, 7 * MIB, more=5 * MIB))
    status, told = consumer.post(f"{path}/update", report)
    assert (status, unit_of(told)["grantedUnit"]) == (200, {"totalVolume": 5 * MIB})
    assert money(made) == (before, price_minor(13 * MIB))
    made.clock.set(made.clock.now_us() + 60 * SECOND_US)
    status, told = consumer.post(f"{path}/release", consumer.body(2, used(0, MIB)))
    assert (status, told) == (204, {})
    assert money(made) == (before, price_minor(9 * MIB))
    made.settle()
    assert money(made) == (before - price_minor(9 * MIB), 0)
    with made.place.base.store.read() as unit:
        assert made.place.settlement.reconcile(unit).agrees
        ids = made.place.clearing.usages(unit, made.closed.cycle.cycle_id)
        found = [made.place.base.usage.usage(unit, usage_id) for usage_id in ids]
    (usage,) = [usage for usage in found if usage.counters_to.octets_out == 8 * MIB]
    assert usage.quantities.as_mapping() == {
        "octets_in": MIB,
        "octets_out": 8 * MIB,
        "duration_s": 120,
    }
    assert usage.closed_by == "stop"


def test_a_cycle_within_a_session_is_not_held_for_twice(consumer):
    """What a cycle posted is no longer held; the session goes on with the rest."""
    made = consumer.made
    before, _ = money(made)
    path, _ = consumer.create(asks())
    made.clock.set(made.clock.now_us() + 60 * SECOND_US)
    consumer.post(f"{path}/update", consumer.body(1, used(0, 4 * MIB, more=10 * MIB)))
    settle_now(made)
    assert money(made)[0] == before - price_minor(4 * MIB)
    consumer.post(f"{path}/update", consumer.body(2, used(0, MIB, more=2 * MIB)))
    assert money(made) == (
        before - price_minor(4 * MIB),
        price_minor(7 * MIB) - price_minor(4 * MIB),
    )
    consumer.post(f"{path}/release", consumer.body(3))
    made.settle()
    assert money(made) == (before - price_minor(5 * MIB), 0)


def test_a_retransmission_is_answered_as_the_first_time(consumer):
    """Create, update and release again, with or without the flag: nothing is counted twice."""
    made = consumer.made
    create = consumer.body(0, asks())
    first = consumer.post("/chargingdata", create)
    place = consumer.answered["location"]
    again = consumer.post("/chargingdata", {**create, "retransmissionIndicator": True})
    assert again == first
    assert consumer.answered["location"] == place
    path = place.partition(BASE)[2]
    update = consumer.body(1, used(0, MIB, more=MIB))
    first, held = consumer.post(f"{path}/update", update), money(made)
    assert consumer.post(f"{path}/update", update) == first
    assert money(made) == held
    late = consumer.post("/chargingdata", create)
    assert (late[0], late[1]["cause"]) == (400, "CHARGING_FAILED")
    release = consumer.body(2, used(0, MIB))
    assert consumer.post(f"{path}/release", release) == (204, {})
    assert consumer.post(f"{path}/release", release) == (204, {})
    assert money(made)[1] == price_minor(2 * MIB)
    for action in ("update", "release"):
        status, told = consumer.post(f"{path}/{action}", consumer.body(3))
        assert (status, told["cause"]) == (404, "CONTEXT_NOT_FOUND")


def test_the_last_quota_says_so(consumer):
    """Where money ends the quota is what it covers, to the octet, and final; then none."""
    made = consumer.made
    have, _ = money(made)
    path, _ = consumer.create(asks(1 << 30))
    status, told = consumer.post(f"{path}/update", consumer.body(1, used(0, 1 << 30, more=1 << 30)))
    assert status == 200
    sequence, total = 1, 1 << 30
    while "finalUnitIndication" not in unit_of(told):
        granted = unit_of(told)["grantedUnit"]["totalVolume"]
        sequence, total = sequence + 1, total + granted
        report = consumer.body(sequence, used(0, granted, more=1 << 30))
        _, told = consumer.post(f"{path}/update", report)
    assert unit_of(told)["finalUnitIndication"] == {"finalUnitAction": "TERMINATE"}
    last = unit_of(told)["grantedUnit"]["totalVolume"]
    assert price_minor(total + last) <= have < price_minor(total + last + 1)
    report = consumer.body(sequence + 1, used(0, last, more=MIB))
    _, told = consumer.post(f"{path}/update", report)
    assert unit_of(told) == {
        "ratingGroup": 1,
        "resultCode": "QUOTA_LIMIT_REACHED",
        "finalUnitIndication": {"finalUnitAction": "TERMINATE"},
    }
    consumer.stamp = "2026-01-05T10:30:00Z"
    status, told = consumer.post("/chargingdata", consumer.body(0, asks()))
    assert (status, told["cause"]) == (403, "QUOTA_LIMIT_REACHED")


def test_when_the_grant_ends_so_does_the_session(consumer):
    """Its validity never reaches beyond the authorisation; after it nothing is granted."""
    made = consumer.made
    path, told = consumer.create(asks(MIB))
    validity_s = unit_of(told)["validityTime"]
    made.clock.set(made.clock.now_us() + (SESSION_S + 1) * SECOND_US)
    assert validity_s <= SESSION_S
    _, told = consumer.post(f"{path}/update", consumer.body(1, used(0, MIB, more=MIB)))
    assert unit_of(told)["resultCode"] == "END_USER_SERVICE_DENIED"
    assert "grantedUnit" not in unit_of(told)
    assert money(made)[1] == price_minor(MIB)


def test_groups_have_quotas_of_their_own(consumer):
    """A group the plan does not cover fails alone and cannot report use."""
    path, told = consumer.create(asks(MIB), asks(MIB, group=7))
    codes = {u["ratingGroup"]: u["resultCode"] for u in told["multipleUnitInformation"]}
    assert codes == {1: "SUCCESS", 7: "RATING_FAILED"}
    held = money(consumer.made)
    status, told = consumer.post(f"{path}/update", consumer.body(1, used(0, MIB, group=7)))
    assert (status, told["cause"]) == (400, "CHARGING_FAILED")
    assert money(consumer.made) == held


def container(**fields) -> dict:
    return {"ratingGroup": 1, "usedUnitContainer": [{"localSequenceNumber": 1, **fields}]}


HOSTILE = {
    "no json": (b"{", "INVALID_MSG_FORMAT"),
    "no object": (b"[]", "INVALID_MSG_FORMAT"),
    "not utf-8": (b'{"a": "\xff"}', "INVALID_MSG_FORMAT"),
    "nested": (b"[" * 20_000, "INVALID_MSG_FORMAT"),
    "infinite": (b'{"invocationSequenceNumber": Infinity}', "INVALID_MSG_FORMAT"),
    "negative": ([container(totalVolume=-1)], "OPTIONAL_IE_INCORRECT"),
    "a fraction": ([container(totalVolume=1.5)], "OPTIONAL_IE_INCORRECT"),
    "true": ([container(totalVolume=True)], "OPTIONAL_IE_INCORRECT"),
    "a text": ([container(totalVolume="1")], "OPTIONAL_IE_INCORRECT"),
    "over 64 bits": ([container(totalVolume=UINT64_MAX + 1)], "OPTIONAL_IE_INCORRECT"),
    "over 63 bits": ([container(totalVolume=UINT64_MAX)], "CHARGING_FAILED"),
    "beyond the price": ([container(totalVolume=1 << 61)], "CHARGING_FAILED"),
    "a sum that is none": (
        [container(totalVolume=5, uplinkVolume=1, downlinkVolume=1)],
        "OPTIONAL_IE_INCORRECT",
    ),
    "no local sequence": (
        [{"ratingGroup": 1, "usedUnitContainer": [{"totalVolume": 1}]}],
        "MANDATORY_IE_MISSING",
    ),
    "no group": ([{"requestedUnit": {}}], "MANDATORY_IE_MISSING"),
    "group over 32 bits": ([{"ratingGroup": 1 << 32}], "MANDATORY_IE_INCORRECT"),
    "a group twice": ([asks(), asks()], "OPTIONAL_IE_INCORRECT"),
    "many groups": ([asks(group=n) for n in range(GROUPS_MAX + 1)], "OPTIONAL_IE_INCORRECT"),
    "a group never granted": ([used(0, 1, group=9)], "CHARGING_FAILED"),
}


def test_hostile_reports_change_nothing(consumer):
    """Each is refused with its cause, and money and use are as before."""
    path, _ = consumer.create(asks())
    held = money(consumer.made)
    for name, (hostile, cause) in HOSTILE.items():
        body = hostile if isinstance(hostile, bytes) else consumer.body(1, *hostile)
        status, told = consumer.post(f"{path}/update", body)
        assert (status, told["cause"]) == (400, cause), name
        assert consumer.answered["content-type"] == "application/problem+json", name
        assert money(consumer.made) == held, name
    stale = consumer.body(0, used(0, MIB))
    assert consumer.post(f"{path}/update", stale)[1]["cause"] == "CHARGING_FAILED"
    assert consumer.post(f"{path}/update", b" " * (BODY_OCTETS_MAX + 1))[0] == 413
    assert consumer.post(f"{path}/update", consumer.body(1), Authorization="no")[0] == 401
    assert consumer.post("/chargingdata/other/update", consumer.body(1))[0] == 404
    assert consumer.post(f"{path}/release", consumer.body(1))[0] == 204
    assert money(consumer.made)[1] == 0


@pytest.mark.parametrize(
    ("changed", "status", "cause"),
    [
        ({"subscriberIdentifier": "imsi-001019999999999"}, 404, "USER_UNKNOWN"),
        ({"subscriberIdentifier": "nai-someone"}, 404, "USER_UNKNOWN"),
        (
            {"nfConsumerIdentification": {"nodeFunctionality": "SMF", "nFFqdn": "stranger"}},
            403,
            "CHARGING_NOT_APPLICABLE",
        ),
        ({"nfConsumerIdentification": {}}, 400, "MANDATORY_IE_MISSING"),
        ({"invocationTimeStamp": "yesterday"}, 400, "MANDATORY_IE_INCORRECT"),
        ({"invocationTimeStamp": "2026-01-05T10:00:00"}, 400, "MANDATORY_IE_INCORRECT"),
        ({"oneTimeEvent": True}, 400, "OPTIONAL_IE_INCORRECT"),
        ({"multipleUnitUsage": [used(0, 1)]}, 400, "CHARGING_FAILED"),
    ],
)
def test_who_may_not_begin_is_told_the_cause(consumer, changed, status, cause):
    found, told = consumer.post("/chargingdata", consumer.body(0, asks(), **changed))
    assert (found, told["cause"]) == (status, cause)
    assert money(consumer.made)[1] == 0


STEPS = st.lists(
    st.tuples(st.integers(0, 200 * MIB), st.one_of(st.none(), st.integers(0, 300 * MIB))),
    max_size=5,
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_money_is_conserved_whatever_is_reported(consumer, steps):
    """Nothing moves but between free and held: held is the price of all that is or may be used.

    It never exceeds what there is, and a released session holds what it used, not more.
    """
    made = consumer.made
    consumer.count += 1
    have, elsewhere = money(made)
    status, told = consumer.post(
        "/chargingdata", consumer.body(0, asks(MIB), chargingId=consumer.count)
    )
    if status == 403:
        return
    path = consumer.answered["location"].partition(BASE)[2]
    total = 0
    for sequence, (octets, more) in enumerate(steps, 1):
        report = consumer.body(sequence, used(0, octets, more=more))
        status, told = consumer.post(f"{path}/update", report)
        assert status == 200
        total += octets
        granted = 0
        if more is not None:
            granted = unit_of(told).get("grantedUnit", {}).get("totalVolume", 0)
            assert granted <= (more or 10 * MIB)
        held = money(made)[1] - elsewhere
        assert held == min(price_minor(total + granted), have - elsewhere)
        assert money(made)[0] == have
    assert consumer.post(f"{path}/release", consumer.body(99))[0] == 204
    assert money(made) == (have, elsewhere + min(price_minor(total), have - elsewhere))
