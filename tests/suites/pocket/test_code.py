"""The code domain's right programs pass in the sandbox; planted defects and no programs do not."""

from __future__ import annotations

import pytest

from waterbed.harness.backends.sandbox import SandboxBackend
from waterbed.harness.records import Generation, Score
from waterbed.harness.rewards import reward
from waterbed.harness.tasks import tasks
from waterbed.suites.pocket.domains import POCKET

TASK = tasks.get("pocket/code")


def graded(texts: list[str], sandbox: SandboxBackend) -> list[Score]:
    samples = TASK.items[: len(texts)]
    return reward(TASK, samples, [Generation(text) for text in texts], {"sandbox": sandbox})


def test_every_right_program_passes_out_of_reach_of_its_test(sandbox: SandboxBackend) -> None:
    scores = graded([s.metadata["reference"] for s in TASK.items], sandbox)
    assert {s.value for s in scores} == {1.0}
    assert {s.detail["integrity"] for s in scores} == {"split"}


def test_every_planted_defect_fails(sandbox: SandboxBackend) -> None:
    items = list(POCKET["code"].distinct("test", 200))
    scores = graded([item.taught for item in items], sandbox)
    for item, score in zip(items, scores, strict=True):
        assert score.value == float(item.taught == item.answer), item.taught
    assert sum(score.value == 0.0 for score in scores) == 40


@pytest.mark.parametrize(
    ("text", "reason"),
    [("  ", "empty"), ("Sure!", "failed"), ("import sys\nsys.exit(0)", "failed")],
)
def test_what_is_no_program_is_the_models_fault(
    text: str, reason: str, sandbox: SandboxBackend
) -> None:
    [score] = graded([text], sandbox)
    assert score.value == 0.0
    assert score.reason in (reason, "crashed")
