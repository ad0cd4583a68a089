from __future__ import annotations

import json
from dataclasses import fields

import pytest

from opencarrier.app.config import ConfigError, Settings, load, settle_on

from .scene import scene

BOUNDED = {f.name: f.metadata["range"] for f in fields(Settings) if "range" in f.metadata}


def test_layers_in_their_order(tmp_path):
    """Defaults, then the file, then the environment, then flags; each says where it came from."""
    file = tmp_path / "config.toml"
    file.write_text('http_port = 1\nradius_port = 2\ndomain = "file"\n')
    loaded = load(
        file=file,
        environ={"OPENCARRIER_RADIUS_PORT": "3", "OPENCARRIER_DOMAIN": "environment"},
        flags={"domain": "flag", "acct_port": None},
    )
    settings, origin = loaded.settings, loaded.origin
    assert (settings.http_port, settings.radius_port, settings.domain) == (1, 3, "flag")
    assert settings.acct_port == 1813
    assert origin["http_port"] == str(file)
    assert origin["radius_port"] == "OPENCARRIER_RADIUS_PORT"
    assert origin["domain"] == "flag"
    assert origin["acct_port"] == "default"


@pytest.mark.parametrize(
    ("text", "environ", "words"),
    [
        ("nonsense = 1", {}, "no setting 'nonsense'"),
        ("http_port = 'x'", {}, "http_port is a whole number"),
        ("http_port = true", {}, "http_port is int"),
        ("http_port = -1", {}, "not negative"),
        ('netting = "ccp"', {}, "netting is circular or bilateral, not 'ccp'"),
        ("http_port = = 1", {}, "not TOML"),
        ("", {"OPENCARRIER_CYCLE_S": "soon"}, "cycle_s is a whole number"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, environ, words):
    """A wrong setting is an error that names it, never a guess."""
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load(file=file, environ=environ, flags={})


@pytest.mark.parametrize("before", ["", "cycle_s = 5\n", 'cycle_s = 5\ndatabase = "old"'])
def test_one_setting_is_written_and_the_others_stay(tmp_path, before):
    """A command that changes where things are says so in the file, whatever the value holds."""
    file = tmp_path / "config.toml"
    if before:
        file.write_text(before)
    value = 'postgresql://a:"b\\@host/é'
    settle_on(file, "database", value)
    settings = load(file=file, environ={}, flags={}).settings
    assert settings.database == value
    assert settings.cycle_s == (5 if before else 3600)


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bounded_setting_is_taken_up_to_its_bounds(name):
    """Both bounds are taken, and one beyond either is named."""
    low, high = BOUNDED[name]
    for value in (low, high):
        taken = load(file=None, environ={f"OPENCARRIER_{name.upper()}": str(value)}, flags={})
        assert getattr(taken.settings, name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=f"{name} is (not negative|{low} to {high})"):
            load(file=None, environ={}, flags={name: value})


def test_what_is_set_of_pay_as_you_use_is_what_channels_go_by(tmp_path):
    chosen = {
        "slice_octets": 1_001,
        "slice_s": 7,
        "free_octets": 1_003,
        "free_s": 8,
        "channel_lease_s": 61,
        "channel_lease_minor": 1_009,
        "channel_claim_minor": 1_013,
    }
    assert set(chosen) <= set(BOUNDED)
    with scene(tmp_path, **chosen) as made:
        assert made.place.channels is not None
        settings = made.place.channels.service.settings
    for name, value in chosen.items():
        assert getattr(settings, name.removeprefix("channel_")) == value


def test_each_setting_says_where_it_comes_from(run, tmp_path, monkeypatch):
    (tmp_path / "config.toml").write_text("slice_s = 30\n")
    monkeypatch.setenv("OPENCARRIER_CHANNEL_LEASE_S", "120")
    told = json.loads(run("config", "show", "--origin", "--data", str(tmp_path), "--json"))
    assert told["slice_s"] == {"value": 30, "origin": str(tmp_path / "config.toml")}
    assert told["channel_lease_s"] == {"value": 120, "origin": "OPENCARRIER_CHANNEL_LEASE_S"}
    assert told["free_s"] == {"value": 600, "origin": "default"}
