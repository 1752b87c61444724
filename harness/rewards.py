"""A benchmark's grader as a training reward, and scorers that choose among answers: one function each.

A reward is the task's own grade; judges and programs go through the same pools as in an evaluation. An
unscored answer stays unscored (mask it out of its group, it is not a 0); more than 5% of them means the
instrument is broken. A scorer says how good answers look, `(samples, generations) -> list[Score]`, only
the order of its values matters, and `@scorer` registers it; every task's grader is one, and an oracle,
because it sees the gold answer. Not here: choosing by the scores (sampling.py), reward models
(reward_models.py).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from .backends.base import Backend
from .checkpoints import open_checkpoint
from .errors import InstrumentError, UsageError
from .plugins import Registry
from .records import Generation, Role, Sample, Score
from .runner import Runner
from .tasks import SingleTurn, Task, tasks

if TYPE_CHECKING:
    from .reward_models import RewardModel

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
    lost = [(item, s) for item, s in zip(samples, scores, strict=True) if not s.scored]
    if len(lost) > MAX_UNSCORED * len(scores):
        item, first = lost[0]
        why = first.detail.get("error") or first.detail.get("fault") or ""
        raise InstrumentError(
            f"{len(lost)} of {len(scores)} answers to '{task.name}' could not be scored (first: "
            f"{first.reason}{f', {why}' if why else ''}, sample '{item.id}'); mend the grader before "
            "training on it."
        )
    return scores


class Scorer(Protocol):
    """Says how good answers look, without being asked for the truth."""

    def __call__(self, samples: Sequence[Sample], generations: Sequence[Generation]) -> list[Score]:
        """Scores of `generations[i]` as answers to `samples[i]`, in order; unscored is never chosen."""
        ...


MakeScorer = Callable[[Task, str], Scorer]
"""From the task whose answers are chosen and the text after the colon of `name:text`."""

scorers: Registry[MakeScorer] = Registry("scorer", "waterbed.scorers")


def scorer(name: str) -> Callable[[MakeScorer], MakeScorer]:
    """Register what makes a scorer; `name:text` passes it `text`, for example a checkpoint."""

    def register(make: MakeScorer) -> MakeScorer:
        scorers.add(name, make)
        return make

    return register


def is_grader(name: str) -> bool:
    """Whether a scorer is a task's grader, so an oracle: it sees what the answer should be.

    Raises:
        UnknownName: it is neither a scorer nor a task.
    """
    known, graders = scorers.all(), tasks.all()
    if name.partition(":")[0] in known:
        return False
    if name not in graders:
        scorers.unknown(
            name, {*known, *graders}, "A scorer is one of these or any single-turn suite."
        )
    return True


def make_scorer(name: str, task: Task, backends: Mapping[Role, Backend]) -> Scorer:
    """The scorer of that name for the answers to `task`.

    Args:
        backends: of the roles that a grader asks.

    Raises:
        UnknownName: it is neither a scorer nor a task.
        UsageError: the scorer does not fit the task.
    """
    if is_grader(name):
        grader = tasks.get(name)
        if grader.multi_turn:
            raise UsageError(
                f"Suite '{name}' is multi-turn and cannot be a scorer; use a single-turn one."
            )
        return functools.partial(reward, grader, backends=backends)
    kind, _, text = name.partition(":")
    return scorers.get(kind)(task, text)


def _plain(name: str, text: str) -> None:
    if text:
        raise UsageError(f"The scorer '{name}' takes no '{text}'; write '{name}'.")


@scorer("logprob")
def by_logprob(_: Task, text: str) -> Scorer:
    """The mean token probability that the model gave its own answer (geometric), thinking included."""
    _plain("logprob", text)
    return _each(_own_probability)


@scorer("shortest")
def by_brevity(_: Task, text: str) -> Scorer:
    """The fewest tokens, thinking included."""
    _plain("shortest", text)
    return _each(lambda g: _by_tokens(g, 1 / (1 + g.completion_tokens)))


@scorer("longest")
def by_length(_: Task, text: str) -> Scorer:
    """The most tokens, thinking included."""
    _plain("longest", text)
    return _each(lambda g: _by_tokens(g, 1 - 1 / (1 + g.completion_tokens)))


@scorer("reward-model")
def by_reward_model(task: Task, text: str) -> Scorer:
    """A checkpoint trained to score answers, `reward-model:FOLDER`; loaded when it is first asked."""
    if not text:
        raise UsageError(
            "A reward model is named by its folder; write --scorer reward-model:FOLDER."
        )
    checkpoint = open_checkpoint(text)

    @functools.cache
    def model() -> RewardModel:
        from .reward_models import RewardModel

        return RewardModel(checkpoint)

    def scored(samples: Sequence[Sample], generations: Sequence[Generation]) -> list[Score]:
        prompts = [cast(SingleTurn, task.body).prompt(sample) for sample in samples]
        return model().score(prompts, generations)

    return scored


def _each(score: Callable[[Generation], Score]) -> Scorer:
    def scored(samples: Sequence[Sample], generations: Sequence[Generation]) -> list[Score]:
        return [score(g) for _, g in zip(samples, generations, strict=True)]

    return scored


def _own_probability(generation: Generation) -> Score:
    if generation.logprob is None or not generation.completion_tokens:
        return Score.unscored("the backend gives no log-probabilities of sampled answers")
    mean = generation.logprob / generation.completion_tokens
    return Score(min(1.0, math.exp(mean)), detail={"mean_logprob": mean})


def _by_tokens(generation: Generation, value: float) -> Score:
    if not generation.completion_tokens:
        return Score.unscored("the backend counts no tokens")
    return Score(value)
