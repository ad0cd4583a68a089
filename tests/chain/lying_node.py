"""An endpoint between us and a true one, that lies as the test tells it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Answer = dict[str, Any]
Lie = Callable[[list[Any], Answer], Answer]


class LyingNode:
    """Passes requests on; the answers of a method in `lies` go through its lie."""

    def __init__(self, ask: Callable[[str, list[Any]], Answer]) -> None:
        self._ask = ask
        self.lies: dict[str, Lie] = {}

    def request(self, method: str, params: list[Any]) -> Answer:
        answer = copy.deepcopy(dict(self._ask(method, params)))
        lie = self.lies.get(method)
        return answer if lie is None else lie(params, answer)


def changed(**fields: Any) -> Lie:
    """Answer with an object some fields of which are others."""

    def lie(_params: list[Any], answer: Answer) -> Answer:
        result = answer.get("result")
        return answer if result is None else {**answer, "result": {**result, **fields}}

    return lie


def saying(result: Any) -> Lie:
    """Answer the same whatever is asked."""
    return lambda _params, answer: {
        **{key: value for key, value in answer.items() if key != "error"},
        "result": result,
    }


def without_last(_params: list[Any], answer: Answer) -> Answer:
    """Keep the last of a list back."""
    return {**answer, "result": answer["result"][:-1]}


def lagging(blocks: int) -> Lie:
    """Be some blocks behind."""

    def lie(_params: list[Any], answer: Answer) -> Answer:
        return {**answer, "result": hex(max(int(answer["result"], 16) - blocks, 0))}

    return lie
