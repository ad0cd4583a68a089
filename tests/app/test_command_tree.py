"""A command line builds the one command it names: that one is the command of the whole tree."""

from __future__ import annotations

import pytest
from typer.main import get_command

from opencarrier import __version__
from opencarrier.app.cli.root import _towards, make, run_command


def leaves(command, path=()):
    """Every command that is no group, by the words that name it."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, under in command.commands.items():
        yield from leaves(under, (*path, name))


def options(command) -> list[tuple[str, list[str], bool]]:
    return [(one.name, one.opts, one.required) for one in command.params]


def test_each_command_is_the_same_alone():
    tree, whole = make(), dict(leaves(get_command(make())))
    assert len(whole) > 150
    for path, command in whole.items():
        ((found, alone),) = leaves(get_command(_towards(tree, [*path, "--json"])))
        assert found == path
        assert options(alone) == options(command)
        assert alone.help == command.help


@pytest.mark.parametrize("words", [[], ["--help"], ["nod"], ["--version"]])
def test_what_names_no_command_has_all_before_it(words):
    tree = make()
    assert _towards(tree, words) is tree


def test_a_group_whose_command_is_none_has_all_of_its_own():
    groups = get_command(_towards(make(), ["node", "ad"])).commands
    assert list(groups) == ["node"]
    assert {"add", "run", "status"} <= set(groups["node"].commands)


def test_it_says_which_version_it_is(capsys):
    with pytest.raises(SystemExit) as ended:
        run_command(make(), ["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"opencarrier {__version__}\n"
