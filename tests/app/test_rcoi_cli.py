"""`opencarrier rcoi`: of a policy, and in words."""

from __future__ import annotations

import json


def test_a_policy_comes_to_identifiers_and_each_reads_back(run):
    words = ("--paid", "settled", "--enhanced", "--type", "service-provider", "--json")
    carried = json.loads(run("rcoi", "carried", *words))["rcoi"]
    assert len(carried) == 8
    assert json.loads(run("rcoi", "broadcast", *words))["rcoi"] == ["baa2d08100"]
    said = json.loads(run("rcoi", "read", "BAA2D08100", "--json"))
    assert (said["paid"], said["assurance"], said["identity"]) == (
        "settled",
        "enhanced",
        "service_provider",
    )
    assert run("rcoi", "broadcast", "--own", "A1B2C3") == "a1b2c30000\n"
    assert "rcoi_base" in run("rcoi", "read", "A1-B2-C3-00-00", code=1)
    assert '"own"' in run("rcoi", "read", "A1-B2-C3-00-00", "--own", "A1B2C3", "--json")
    assert "government" in run("rcoi", "broadcast", "--type", "pirate", code=2)
    assert "six hex digits" in run("rcoi", "broadcast", "--own", "A1B2C3D4", code=2)
    assert "hex" in run("rcoi", "read", "xyz", code=2)
