"""Run a contract's tests many times: collected once, each time in a copy of this process.

A copy (`Copy`) inherits what was collected, answers one question in JSON and ends.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import Phase, settings

from opencarrier.chain import contracts
from opencarrier.chain.abi import Artefact

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = (
    *("-qq", "-n0", "-s", "--assert=plain", "-p", "no:cacheprovider"),
    *("-m", "not deep and not peer", "-c", str(ROOT / "pyproject.toml")),
)
CPU_S_MAX = 300


class Loop:
    """A pytest plug-in that hands over the tests it collected instead of running them."""

    def __init__(self, use: Callable[[Loop, list[pytest.Item]], None]) -> None:
        self.use = use
        self.failed = ""
        self.error: BaseException | None = None

    def pytest_collection(self) -> None:
        """A failure is enough: it need not be made small, nor be remembered."""
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutation", database=None, derandomize=True, phases=phases)
        settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Hand over."""
        gc.collect()
        gc.freeze()
        try:
            assert not session.testsfailed, "the tests can be collected"
            self.use(self, session.items)
        except BaseException as error:
            self.error = error
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the test that failed."""
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def first_failure(self, items: list[pytest.Item]) -> str:
        """Run tests in turn until one fails; return its name, or nothing."""
        for item, following in pairwise([*items, None]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                break
        return self.failed


def with_tests(files: Iterable[Path], use: Callable[[Loop, list[pytest.Item]], None]) -> None:
    """Collect the fast tests of files and do something with them."""
    loop = Loop(use)
    pytest.main([*OPTIONS, *map(str, files)], [loop])
    if loop.error is not None:
        raise loop.error


class Copy:
    """A copy of this process that answers one question, using so many seconds of a processor."""

    def __init__(self, question: Callable[[], Any]) -> None:
        self.answers, told = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _answer(question, told)
        os.close(told)

    def answer(self) -> Any:
        """Wait for the answer; None where time was over before."""
        with open(self.answers, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
            return None
        assert said, f"a copy ended with {status}"
        return json.loads(said)


def _answer(question: Callable[[], Any], told: int) -> NoReturn:
    """Be the copy: answer and end, whatever happens."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX + 1))
    silent = os.open(os.devnull, os.O_WRONLY)
    errors = os.dup(2)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    try:
        with os.fdopen(told, "w") as pipe:
            pipe.write(json.dumps(question()))
    except BaseException as error:
        os.write(errors, f"{error!r}\n".encode())
    finally:
        os._exit(0)


def use_artefacts(found: Mapping[str, Artefact]) -> None:
    """Let every test deploy these contracts in the place of those that ship."""
    all_of_them = contracts.Contract.artefact.__func__

    def artefact(cls) -> Artefact:
        return found.get(cls.NAME) or all_of_them(cls)

    contracts.Contract.artefact = classmethod(artefact)
