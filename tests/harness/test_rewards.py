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


def test_a_verdict_that_can_be_forged_is_no_reward_unless_asked(tmp_path: Path) -> None:
    file = tmp_path / "shared.py"
    file.write_text(
        "from waterbed import Sample, Score, task\n"
        "@task('toy/shared', domain='code')\n"
        "class Shared:\n"
        "    def samples(self): return [Sample('a', 'a')]\n"
        "    def prompt(self, sample): return 'a'\n"
        "    def grade(self, sample, generation):\n"
        "        return Score(1.0, detail={'integrity': 'shared'})\n"
    )
    task = resolve([str(file)])[0]
    with pytest.raises(UsageError, match="can be forged"):
        reward(task, list(task.items), [Generation("x")])
    assert reward(task, list(task.items), [Generation("x")], allow_shared=True)[0].value == 1.0
