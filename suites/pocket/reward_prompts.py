"""Prompts of the pocket world to be answered in reinforcement learning: rows of `prompt + task`.

`pocket/<domain>-prompts` asks what the task `pocket/<domain>` asks, for every domain in which answers
vary, and `pocket/instruction-two` only the requests with two constraints. Each row carries what
the grader needs beside the answer. Splits are those of the items, so no row shares a prompt with a
test item. Not here: the graders (tasks.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...harness.datasets import Row, dataset
from .data import rows_rng
from .domains import POCKET
from .instruction import INSTRUCTION, KINDS
from .items import Domain, Item

#: Chat and safety are for a reward model, with their rule scorer to watch it by.
ASKED = ("instruction", "math", "code", "tools", "chat", "safety")
#: Requests with two constraints: one of the two alone earns nothing.
TWO = replace(INSTRUCTION, kinds=tuple(kind for kind in KINDS if "+" in kind))


def row(task: str, item: Item) -> Mapping[str, Any]:
    """An item as a row in the reward shape, with the sample that the task's grader is shown."""
    return {
        "prompt": [turn.as_dict() for turn in item.question()],
        "task": task,
        "id": item.id,
        "target": item.target,
        "metadata": {"kind": item.kind},
    }


def _prompts(name: str, domain: Domain) -> Callable[[str, int | None, int], Iterator[Row]]:
    def rows(split: str, n: int | None, seed: int) -> Iterator[Row]:
        rng = rows_rng(name, split, n, seed)
        return (row(f"pocket/{domain.id}", domain.draw(split, rng)) for _ in range(n or 0))

    return rows


for _id in ASKED:
    dataset(f"pocket/{_id}-prompts", shape="reward")(_prompts(f"pocket/{_id}-prompts", POCKET[_id]))
dataset("pocket/instruction-two", shape="reward")(_prompts("pocket/instruction-two", TWO))
