"""`route`, `client carry`, `operator wba`, and what `status` says an installation does."""

from __future__ import annotations

import json

import pytest
from tests.app.test_cli import SECRET

from opencarrier.access.hub.model import HubMetrics
from opencarrier.app.accessing import discovery_settings
from opencarrier.app.config import ConfigError, Settings
from opencarrier.app.metrics import passing_exposition
from opencarrier.app.passing_on import name_servers


def told_by(here, *words: str):
    return json.loads(here(*words, "--json"))


def test_routes_servers_and_roles_stand_where_they_were_put(here, tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    here("operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893", "--realm", "l.test")
    here("client", "add", "192.0.2.10", "--operator", "Lumen", "--secret-file", str(secret))
    told = told_by(here, "status")
    assert told["roles"] == {"identity_provider": True, "access_network": False, "hub": False}
    first = told_by(
        here,
        *("route", "add", "Home.Test", "--to", "radsec.home.test", "--to", "udp://192.0.2.20"),
        *("--secret-file", str(secret)),
    )
    assert first == {
        "realm": "home.test",
        "kind": "upstream",
        "servers_of": "home.test",
        "inward": False,
    }
    here("route", "add", "*.home.test", "--via", "home.test")
    here("route", "add", "*", "--discover")
    here("route", "add", "no.test", "--refuse")
    here("client", "carry", "192.0.2.10/32", "--any", "--inside")
    assert told_by(here, "operator", "wba", "Lumen", "lumen:fr")["wba_id"] == "LUMEN:FR"
    listed = told_by(here, "route", "list")
    assert [r["realm"] for r in listed["routes"]] == ["*", "*.home.test", "home.test", "no.test"]
    assert listed["servers"] == {
        "home.test": ["tls://radsec.home.test:2083", "udp://192.0.2.20:1812"]
    }
    told = told_by(here, "status")
    assert told["roles"] == {"identity_provider": True, "access_network": True, "hub": True}
    assert told["routes"] == listed["routes"]
    assert SECRET not in str(listed) + str(told)
    here("route", "remove", "*")
    here("route", "remove", "*", code=1)
    here("route", "add", "a.test", code=2)
    here("route", "add", "a.test", "--discover", "--local", code=2)
    here("route", "add", "a.test", "--to", "udp://192.0.2.1", code=2)
    here("route", "add", "nodot", "--discover", code=1)
    here("client", "carry", "nobody", "--any", code=1)


def test_settings_of_discovery_are_read() -> None:
    assert discovery_settings(Settings()).tags == ("aaa+auth:radius.tls.tcp",)
    both = discovery_settings(Settings(discovery_tags="a b", discovery_private="yes"))
    assert (both.tags, both.private) == (("a", "b"), True)
    for tags in ("", " ".join("abcdefghi")):
        with pytest.raises(ConfigError):
            discovery_settings(Settings(discovery_tags=tags))
    named = name_servers(Settings(dns_servers="192.0.2.53 127.0.0.1:5353 [::1]:53"))
    assert named == [("192.0.2.53", 53), ("127.0.0.1", 5353), ("::1", 53)]
    with pytest.raises(ConfigError):
        name_servers(Settings(dns_servers="192.0.2.53:x"))


def test_what_is_passed_on_is_counted_by_upstream() -> None:
    class Neighbours:
        def outcomes(self):
            return {("home.test", "a:1", "answered"): 3, ("discovered", "discovered", "timeout"): 1}

    class Hub:
        metrics = HubMetrics(passed_on=4)
        neighbours = Neighbours()

    class Passing:
        unrouted = 2
        hub = Hub()

    text = passing_exposition(Passing())  # type: ignore[arg-type]
    assert "opencarrier_passed_on_total 4\n" in text
    assert "opencarrier_owed_realms_unrouted 2\n" in text
    labels = 'upstream="home.test",server="a:1",outcome="answered"'
    assert f"opencarrier_upstream_requests_total{{{labels}}} 3\n" in text
    assert passing_exposition(None) == ""
