"""Answers to prompts that are not trained on, scored on the way: there it shows when a reward is gamed.

The scorer may be another than the one that is paid (a rule beside a reward model) or the same: what
rises on the training prompts alone was learned by heart. Answers are drawn with the same random
numbers at every look, and measuring changes nothing in the training. Not here: the signs that follow
(reward_signs.py); test items, which no stage sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..harness.errors import UsageError
from ..harness.stage import StageContext
from .reward_sums import OWN, Rewards, mean_scored, opened
from .rollouts import Material, Sampled, read, roll


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is measured on the way and never rewarded."""

    data: Mapping[str, int | None]
    """Datasets in the reward shape, with the number of rows of each: prompts that are not trained on."""
    scorer: str = OWN
    """Who scores them; `task` is the grader of the row's task."""

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("watched.data must name a dataset, for example {pocket/chat@dev: 64}")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The prompts and their scorer, ready to be asked; made by `held_out`."""

    material: Material
    rewards: Rewards
    sampled: Sampled
    seed: int

    def score(self, model: Any) -> float:
        """Mean score of one sampled answer to each prompt, by the weights as they are now.

        Raises:
            TrainingDiverged: the model's logits are not finite.
            InstrumentError: the scorer broke, or left more than 5% of the answers unscored.
        """
        from ..harness.backends.engine import Engine

        rows = range(len(self.material.prompts))
        seeds = [f"held-out/{self.seed}/{row}" for row in rows]
        training = model.training
        model.eval()
        engine = Engine(model, self.material.loaded.device)
        tokens = roll(engine, self.material, rows, self.sampled, seeds)
        model.train(training)
        return mean_scored(self.rewards.score(rows, self.material.answers(rows, tokens)).totals)


@contextmanager
def held_out(
    watched: Watched | None, material: Material, sampled: Sampled, context: StageContext
) -> Iterator[HeldOut | None]:
    """What a stage asks on the way; None where it is to watch nothing.

    Raises:
        UsageError: a prompt is trained on, too; or see `rollouts.read` and `reward_sums.opened`.
        DataError: a row is no prompt with a task, or too long.
    """
    if watched is None:
        yield None
        return
    found = read(material.loaded, watched.data, sampled, context.seed)
    trained = set(map(tuple, material.prompts))
    if both := sum(tuple(prompt) in trained for prompt in found.prompts):
        raise UsageError(
            f"{both} of {len(found.prompts)} prompts in watched.data ({', '.join(watched.data)}) are trained "
            "on, too; name another split."
        )
    with opened(found, {watched.scorer: 1.0}) as rewards:
        yield HeldOut(found, rewards, sampled, context.seed)
