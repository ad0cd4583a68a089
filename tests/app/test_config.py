from __future__ import annotations

import pytest

from opencarrier.app.config import ConfigError, load


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
