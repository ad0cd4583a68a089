"""What the documents claim about the repository is what the repository has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tools import dev, environment, locks, wheels

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAME = re.compile(r"[A-Za-z0-9_.-]+")


def names(entries: list[str]) -> list[str]:
    return [NAME.match(entry)[0].lower() for entry in entries]


def pinned(lock: Path) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", lock.read_text()):
        versions.setdefault(name, set()).add(version)
    return versions


@pytest.mark.parametrize(
    "name",
    names(PROJECT["project"]["dependencies"])
    + names(PROJECT["dependency-groups"]["dev"])
    + names(PROJECT["dependency-groups"]["build"]),
)
def test_every_dependency_has_its_reason_written_down(name: str) -> None:
    family = name.partition("-")[0] if name.startswith("pytest-") else name
    reasons = (ROOT / "docs" / "rfd" / "0002-dependencies.md").read_text()
    assert re.search(rf"(?i)(?<![\w-]){re.escape(family)}(?![\w-])", reasons)


def test_users_install_what_the_tests_ran_on() -> None:
    runtime, tested = pinned(locks.RUNTIME), pinned(locks.DEV)
    assert len(runtime) > 50
    assert {name: tested.get(name) for name in runtime} == runtime
    for name in names(PROJECT["project"]["dependencies"]):
        assert name.replace("_", "-") in runtime
    for heavy in ("vyper", "titanoboa", "pytest", "uv"):
        assert heavy not in runtime, "a user's environment needs no compiler and no tests"


@pytest.mark.parametrize("lock", [locks.RUNTIME, locks.DEV])
def test_every_pin_has_hashes_and_no_place(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_the_help_names_every_command() -> None:
    for name in dev.COMMANDS:
        assert f"\n  {name} " in dev.USAGE
    for word in dev.KINDS:
        assert f" {word} " in dev.USAGE


def test_what_the_wheel_must_carry_is_there() -> None:
    for name in wheels.SHIPPED:
        assert (ROOT / "src" / name).exists()


def test_the_lock_and_the_definition_decide_whether_to_install(monkeypatch, tmp_path) -> None:
    for name in (*environment.LOCKS.values(), "pyproject.toml"):
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    first = environment.fingerprint("runtime")
    assert environment.fingerprint("runtime") == first
    (tmp_path / "requirements-dev.lock").write_text("2")
    assert environment.fingerprint("runtime") == first
    (tmp_path / "requirements.lock").write_text("2")
    assert environment.fingerprint("runtime") != first


def test_a_python_without_venv_is_told_what_to_install(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(environment, "VENV", tmp_path / "absent")
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(environment.Stop, match="without venv and ensurepip") as caught:
        environment.make(environment.VENV)
    assert "apt install python3." in caught.value.hint
    assert caught.value.code == 3
