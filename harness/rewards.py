"""A benchmark's grader as a training reward: one function, the same scores.

Judges and programs go through the same pools as in an evaluation. An unscored answer stays unscored
(mask it out of its group, it is not a 0); more than 5% of them means the instrument is broken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .backends.base import Backend
from .errors import InstrumentError, UsageError
from .records import Generation, Role, Sample, Score
from .runner import Runner
from .tasks import Task

#: Share of unscored answers above which training must not go on.
MAX_UNSCORED = 0.05


def reward(
    task: Task,
    samples: Sequence[Sample],
    generations: Sequence[Generation],
    backends: Mapping[Role, Backend] | None = None,
    *,
    allow_shared: bool = False,
) -> list[Score]:
    """Scores of `generations[i]` as answers to `samples[i]`, in order.

    Args:
        allow_shared: accept verdicts of tests that share a process with the program, which a model in
            training learns to forge.

    Raises:
        UsageError: the task is multi-turn, the lengths differ, or a verdict could have been forged.
        InstrumentError: more than 5% could not be scored.
    """
    if task.multi_turn:
        raise UsageError(
            f"Task '{task.name}' is multi-turn and cannot be a reward; use a single-turn one."
        )
    if len(samples) != len(generations):
        raise UsageError(
            f"{len(samples)} samples but {len(generations)} generations; pair them up."
        )
    scores = Runner(backends or {}).score(task, list(zip(samples, generations, strict=True)))
    if not allow_shared and any(s.detail.get("integrity") == "shared" for s in scores):
        raise UsageError(
            f"'{task.name}' runs tests in the program's own process, so its verdicts can be forged; pass "
            "allow_shared=True if you reward them all the same."
        )
    lost = [s for s in scores if not s.scored]
    if len(lost) > MAX_UNSCORED * len(scores):
        raise InstrumentError(
            f"{len(lost)} of {len(scores)} answers to '{task.name}' could not be scored "
            f"(first: {lost[0].reason}); mend the grader before training on it."
        )
    return scores
