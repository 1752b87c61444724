"""What the reinforcement stages share: prompts with their graders, answers as tokens, and rewards by name.

A reward is a scorer of the harness: `task` is the grader of the row's own task (programs go through the
sandbox), anything else a scorer's name such as `reward-model:FOLDER`. An answer that one of them leaves
unscored has no reward: it is masked out, never 0. A scorer that raises or gives no number stops the stage
with the sample. Not here: what a method makes of rewards; signs that they are gamed (reward_signs.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

from ..harness.backends.loading import Loaded
from ..harness.backends.loading import load as load_model
from ..harness.backends.stopping import Speech, Stops
from ..harness.backends.thinking import opens_thinking, split_thinking
from ..harness.checkpoints import Checkpoint
from ..harness.datasets import Row, load
from ..harness.errors import (
    DataError,
    InstrumentError,
    TrainingDiverged,
    UsageError,
    WaterbedError,
)
from ..harness.records import (
    Generate,
    Generation,
    GenerationSettings,
    Message,
    Role,
    Sample,
    Score,
    content_hash,
)
from ..harness.rewards import MAX_UNSCORED, Scorer, is_grader, make_scorer
from ..harness.stage import StageContext
from ..harness.tasks import Task, tasks

if TYPE_CHECKING:
    from ..harness.backends.base import Backend
    from ..harness.backends.engine import Engine

#: The reward that is the grader of a row's own task.
OWN = "task"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """How answers are drawn from the model that is trained."""

    n: int = 8
    """Answers to one prompt: a group."""
    max_tokens: int = 256
    temperature: float = 1.0
    """Log-probabilities in the loss are taken at the same temperature."""

    def __post_init__(self) -> None:
        for name in ("n", "max_tokens", "temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"sampled.{name} must be above 0, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Material:
    """What a reinforcement stage starts from, all of it checked."""

    loaded: Loaded
    data: Mapping[str, list[Row]]
    """Rows in the reward shape under the references that the recipe names."""
    samples: list[Sample]
    """What the graders are shown, in the order of the rows."""
    graders: list[Task]
    """The task of each row."""
    prompts: list[list[int]]
    """The rendered prompt of each row as tokens."""
    opened: list[bool]
    """Whether a prompt ends inside a thinking block."""

    @property
    def rows(self) -> list[Row]:
        """The rows of all references, in order."""
        return [row for rows in self.data.values() for row in rows]


def gather(
    checkpoint: Checkpoint | None,
    data: Mapping[str, int | None],
    sampled: Sampled,
    context: StageContext,
    stage: str,
) -> Material:
    """Read and check the prompts and load the checkpoint, before any training time is spent.

    Raises:
        UsageError: no checkpoint, no chat template, no data, an unknown or multi-turn task, a test split.
        CheckpointError: the checkpoint does not load as a whole, or is no language model.
        DataError: a row is not a prompt with a task, or leaves no room for an answer.
    """
    if checkpoint is None:
        raise UsageError(
            f"Stage '{stage}' needs a checkpoint to start from; name one or pretrain first."
        )
    if not data:
        raise UsageError(
            "data is empty; name at least one dataset, for example pocket/instruction-prompts@train."
        )
    found = {name: load(name, shape="reward", n=n, seed=context.seed) for name, n in data.items()}
    rows = [row for own in found.values() for row in own]
    graders = [_grader(str(row["task"])) for row in rows]
    loaded = load_model(checkpoint.path, context.device, "float32", trust_remote_code=False)
    texts = _rendered(loaded, rows, str(checkpoint.path))
    prompts = _encoded(loaded, texts, sampled, found)
    opened = [opens_thinking(text) for text in texts]
    return Material(loaded, found, [sample_of(row) for row in rows], graders, prompts, opened)


def _grader(name: str) -> Task:
    task = tasks.get(name)
    if task.multi_turn:
        raise UsageError(
            f"Task '{name}' is multi-turn and cannot be a reward; use a single-turn one."
        )
    return task


def sample_of(row: Row) -> Sample:
    """The sample that a grader is shown; `input` is the prompt where the row names none."""
    given = row.get("input", row["prompt"])
    return Sample(
        id=str(row.get("id") or content_hash([row["task"], row["prompt"]])),
        input=given,
        target=row.get("target"),
        metadata=row.get("metadata") or {},
    )


def _rendered(loaded: Loaded, rows: Sequence[Row], name: str) -> list[str]:
    from ..harness.backends.prompts import Prompts

    turns = [tuple(Message(t["role"], t["content"]) for t in row["prompt"]) for row in rows]
    prompts = Prompts(loaded.tokenizer, name)
    return [prompts.render(Generate(asked)) for asked in turns]


def _encoded(
    loaded: Loaded, texts: Sequence[str], sampled: Sampled, data: Mapping[str, Sequence[Row]]
) -> list[list[int]]:
    ids: list[list[int]] = loaded.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    names = [f"{name}: row {i}" for name, rows in data.items() for i, _ in enumerate(rows, 1)]
    for name, tokens in zip(names, ids, strict=True):
        needed = len(tokens) + sampled.max_tokens
        if loaded.context is not None and needed > loaded.context:
            raise DataError(
                f"{name} has {len(tokens)} tokens, and {sampled.max_tokens} for the answer make {needed}, "
                f"more than the context of {loaded.context}; shorten it or lower sampled.max_tokens."
            )
    return ids


def answered(
    speech: Speech, prompt: Sequence[int], tokens: Sequence[int], ends: frozenset[int], opened: bool
) -> Generation:
    """Sampled tokens as the answer that a scorer is shown, read as in an evaluation."""
    ended = bool(tokens) and tokens[-1] in ends
    thinking, text = split_thinking(speech.text(tokens[: -1 if ended else None]), opened)
    return Generation(
        text=text,
        stop_reason="stop" if ended else "length",
        thinking=thinking,
        prompt_tokens=len(prompt),
        completion_tokens=len(tokens),
    )


def roll(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    sampled: Sampled,
    ends: frozenset[int],
    seeds: Sequence[str],
    speech: Speech,
) -> list[list[int]]:
    """Sampled tokens of each answer, with the token that ended it.

    A prefix that prompts share is read anew each time, since the weights have changed.

    Raises:
        TrainingDiverged: the model's logits are not finite.
    """
    from ..harness.backends.decoding import Row, decode

    engine.prefix = None
    settings = GenerationSettings(max_tokens=sampled.max_tokens, temperature=sampled.temperature)
    rows = [
        Row(
            index=index,
            prompt=prompt,
            limit=sampled.max_tokens,
            settings=settings,
            stops=Stops(speech, ()),
            opened=False,
            draws=Random(seed),
        )
        for index, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True))
    ]
    found: dict[int, list[int]] = {}
    for row in decode(engine, rows, ends):
        if row.reason is None:
            raise TrainingDiverged(f"While sampling, {row.fault}; lower the learning rates.")
        found[row.index] = [*row.tokens, *([] if row.end is None else [row.end])]
    return [found[index] for index in range(len(rows))]


@dataclass(frozen=True, slots=True)
class Rewarded:
    """What answers have earned."""

    totals: list[float | None]
    """Weighted sum of each answer's rewards; None where one of them is unscored."""
    figures: Mapping[str, float]
    """For the metrics: means of each reward, the watched scorer, and what hacking shows in."""


@dataclass(frozen=True, slots=True)
class Rewards:
    """Scorers with their weights, ready to be asked; made by `opened`."""

    material: Material
    weights: Mapping[str, float]
    watched: str | None
    backends: Mapping[Role, Backend]
    known: dict[tuple[str, str], Scorer]

    def score(self, rows: Sequence[int], generations: Sequence[Generation]) -> Rewarded:
        """Rewards of `generations[i]` as answers to row `rows[i]`, in order.

        Raises:
            InstrumentError: a scorer raised or gave no number, or more than 5% are unscored.
            UsageError: a verdict could have been forged.
        """
        parts = {name: self._by(name, rows, generations) for name in self.weights}
        totals = [
            _total([(weight, parts[name][i].value) for name, weight in self.weights.items()])
            for i in range(len(rows))
        ]
        self._refuse_lost(rows, totals, parts)
        figures = {
            f"rewards/{_shown(name)}/mean": _mean([s.value for s in scores])
            for name, scores in parts.items()
        }
        if self.watched:
            seen = parts.get(self.watched) or self._by(self.watched, rows, generations)
            figures["watched"] = _mean([s.value for s in seen])
        figures["unscored"] = sum(total is None for total in totals) / len(totals)
        figures["duplicates"] = 1 - len({g.text for g in generations}) / len(generations)
        return Rewarded(totals, figures)

    def _by(self, name: str, rows: Sequence[int], generations: Sequence[Generation]) -> list[Score]:
        """One scorer's scores; rows of one task are asked together."""
        places: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(self.material.graders[row].name, []).append(place)
        found: dict[int, Score] = {}
        for task, own in places.items():
            samples = [self.material.samples[rows[place]] for place in own]
            scores = ask(self.known[name, task], name, samples, [generations[p] for p in own])
            found.update(zip(own, scores, strict=True))
        return [found[place] for place in range(len(rows))]

    def _refuse_lost(
        self,
        rows: Sequence[int],
        totals: Sequence[float | None],
        parts: Mapping[str, Sequence[Score]],
    ) -> None:
        lost = [i for i, total in enumerate(totals) if total is None]
        if len(lost) <= MAX_UNSCORED * len(totals):
            return
        name, score = next((n, s[lost[0]]) for n, s in parts.items() if not s[lost[0]].scored)
        raise InstrumentError(
            f"{len(lost)} of {len(totals)} answers have no reward (first: sample "
            f"'{self.material.samples[rows[lost[0]]].id}', '{name}' says {score.reason}); mend the scorer "
            "before training on it."
        )


def ask(
    scorer: Scorer, name: str, samples: Sequence[Sample], generations: Sequence[Generation]
) -> list[Score]:
    """A scorer's scores, or the sample at which it broke.

    Raises:
        InstrumentError: it raised, or gave something that is no number in [0, 1].
    """
    try:
        scores = scorer(samples, generations)
    except WaterbedError:
        raise
    except Exception as error:
        if len(samples) > 1:  # find the one it breaks on
            for sample, generation in zip(samples, generations, strict=True):
                ask(scorer, name, [sample], [generation])
        raise InstrumentError(
            f"The reward '{name}' broke on sample '{samples[0].id}' ({error!r}); mend it before training."
        ) from error
    for sample, score in zip(samples, scores, strict=True):
        if score.reason == "scorer_error":
            raise InstrumentError(
                f"The reward '{name}' broke on sample '{sample.id}' ({score.detail.get('error')}); mend it "
                "before training."
            )
    return scores


@contextmanager
def opened(
    material: Material, weights: Mapping[str, float], watched: str | None
) -> Iterator[Rewards]:
    """The scorers of a stage; the sandbox is open as long as they are.

    Raises:
        UsageError: no reward, a weight that is no number, an unknown scorer, or one that asks a judge.
        NoSandbox: a program must run and no sandbox works here.
    """
    if not weights or not all(math.isfinite(w) and w != 0 for w in weights.values()):
        raise UsageError(
            f"rewards is {dict(weights)}; name at least one scorer with a weight that is not 0, for example "
            "{task: 1.0}."
        )
    names = [*weights, *([watched] if watched else [])]
    asked = {task.name: task for task in material.graders}
    with ExitStack() as stack:
        backends: dict[Role, Backend] = {}
        if "sandbox" in _roles(names, asked.values()):
            from ..harness.backends.sandbox import SandboxBackend

            backends["sandbox"] = SandboxBackend()
            stack.callback(backends["sandbox"].close)
        known = {
            (name, task.name): make_scorer(task.name if name == OWN else name, task, backends)
            for name in names
            for task in asked.values()
        }
        yield Rewards(material, weights, watched, backends, known)


def _roles(names: Sequence[str], asked: Any) -> set[Role]:
    """Who must answer besides the model.

    Raises:
        UsageError: a judge or a simulated user.
    """
    graders = [task for task in asked if OWN in names]
    graders += [tasks.get(name) for name in names if name != OWN and is_grader(name)]
    for task in graders:
        if others := set(task.roles) - {"sandbox"}:
            raise UsageError(
                f"Task '{task.name}' asks a {', '.join(sorted(others))}, which training does not have; "
                "train a reward model on its verdicts and name that."
            )
    return {role for task in graders for role in task.roles}


def _total(parts: Sequence[tuple[float, float | None]]) -> float | None:
    if any(value is None for _, value in parts):
        return None
    return math.fsum(weight * (value or 0.0) for weight, value in parts)


def _mean(values: Sequence[float | None]) -> float:
    scored = [value for value in values if value is not None]
    return fmean(scored) if scored else math.nan


def _shown(name: str) -> str:
    """A scorer's name with the last part of a checkpoint's folder."""
    kind, colon, folder = name.partition(":")
    return f"{kind}{colon}{Path(folder).name}"


def spread(totals: Sequence[float | None], n: int) -> dict[str, float]:
    """What a batch of groups of `n` answers says: mean, spread, and groups that teach nothing.

    Returns:
        `reward`, `reward_std` (over the batch) and `frac_reward_zero_std`: the share of groups whose scored
        answers all earned the same, so that no answer stands out from its group.
    """
    scored = [total for total in totals if total is not None]
    groups = [[t for t in totals[i : i + n] if t is not None] for i in range(0, len(totals), n)]
    silent = sum(len(set(group)) < 2 for group in groups) / len(groups)
    deviation = pstdev(scored) if scored else math.nan
    return {"reward": _mean(totals), "reward_std": deviation, "frac_reward_zero_std": silent}
