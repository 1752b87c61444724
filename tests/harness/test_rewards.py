"""A grader is a reward: same scores, in order, and an instrument's fault stops the training."""

from __future__ import annotations

from pathlib import Path

import pytest

from waterbed.harness.errors import InstrumentError, UsageError
from waterbed.harness.records import Generation
from waterbed.harness.rewards import reward
from waterbed.harness.tasks import Task, resolve


@pytest.fixture
def toys() -> dict[str, Task]:
    return {t.name: t for t in resolve([str(Path(__file__).with_name("toy_tasks.py"))])}


def test_rewards_are_the_graders_scores_in_order(toys: dict[str, Task]) -> None:
    task = toys["toy/sums"]
    samples = [task.items[i % 3] for i in range(30)]  # the same prompt many times, as in a group
    answers = [str(s.target) if i % 2 else "?" for i, s in enumerate(samples)]
    scores = reward(task, samples, [Generation(a) for a in answers])
    assert [s.value for s in scores] == [float(i % 2) for i in range(30)]


def test_a_multi_turn_task_is_refused_by_name(toys: dict[str, Task]) -> None:
    task = toys["toy/dialogue"]
    with pytest.raises(UsageError, match="toy/dialogue"):
        reward(task, task.items[:1], [Generation("x")])


def test_an_unscored_reward_stays_unscored(toys: dict[str, Task]) -> None:
    task = toys["toy/sums"]
    answers = [Generation("raise"), *[Generation("1")] * 39]
    scores = reward(task, list(task.items), answers)
    assert [s.scored for s in scores] == [False, *[True] * 39]


def test_many_unscored_rewards_stop_the_training(toys: dict[str, Task]) -> None:
    task = toys["toy/sums"]
    answers = [Generation("raise")] * 3 + [Generation("1")] * 37
    with pytest.raises(InstrumentError, match="3 of 40"):
        reward(task, list(task.items), answers)
