"""What the reinforcement stages share: prompts with their graders, and answers sampled as tokens.

A stage that samples by itself goes through the decode loop of the harness, on the very weights that are
trained. Not here: what answers earn (reward_sums.py), what a method makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from ..harness.backends.loading import Loaded
from ..harness.backends.loading import load as load_model
from ..harness.backends.stopping import Speech, Stops
from ..harness.backends.thinking import opens_thinking, split_thinking
from ..harness.checkpoints import Checkpoint
from ..harness.datasets import Row, load
from ..harness.errors import DataError, TrainingDiverged, UsageError
from ..harness.records import (
    Generate,
    Generation,
    GenerationSettings,
    Message,
    Sample,
    content_hash,
)
from ..harness.stage import StageContext, given
from ..harness.tasks import Task, tasks

if TYPE_CHECKING:
    from ..harness.backends.engine import Engine


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
    speech: Speech
    """What tokens of this model are as text."""

    @property
    def rows(self) -> list[Row]:
        """The rows of all references, in order."""
        return [row for rows in self.data.values() for row in rows]

    def answers(self, rows: Sequence[int], tokens: Sequence[Sequence[int]]) -> list[Generation]:
        """Sampled tokens as the answers that a scorer is shown; `tokens[i]` answer row `rows[i]`."""
        return [
            answered(self.speech, self.prompts[row], said, self.loaded.ends, self.opened[row])
            for row, said in zip(rows, tokens, strict=True)
        ]


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
    checkpoint = given(checkpoint, stage)
    if not data:
        raise UsageError(
            "data is empty; name at least one dataset, for example pocket/instruction-prompts@train."
        )
    loaded = load_model(checkpoint.path, context.device, "float32", trust_remote_code=False)
    return read(loaded, data, sampled, context.seed)


def read(loaded: Loaded, data: Mapping[str, int | None], sampled: Sampled, seed: int) -> Material:
    """Prompts by reference, checked and rendered for a model.

    Raises:
        UsageError, DataError: see `gather`.
    """
    found = {name: load(name, shape="reward", n=n, seed=seed) for name, n in data.items()}
    rows = [row for own in found.values() for row in own]
    graders = [_grader(str(row["task"])) for row in rows]
    texts = _rendered(loaded, rows)
    return Material(
        loaded=loaded,
        data=found,
        samples=[sample_of(row) for row in rows],
        graders=graders,
        prompts=_encoded(loaded, texts, sampled, found),
        opened=[opens_thinking(text) for text in texts],
        speech=Speech(loaded.tokenizer),
    )


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


def _rendered(loaded: Loaded, rows: Sequence[Row]) -> list[str]:
    from ..harness.backends.prompts import Prompts

    name = str(loaded.tokenizer.name_or_path)
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
    material: Material,
    rows: Sequence[int],
    sampled: Sampled,
    seeds: Sequence[str],
) -> list[list[int]]:
    """Sampled tokens of one answer to each of `rows`, with the token that ended it.

    A prefix that prompts share is read anew each time, since the weights have changed.

    Raises:
        TrainingDiverged: the model's logits are not finite.
    """
    from ..harness.backends.decoding import Row, decode

    engine.prefix = None
    settings = GenerationSettings(max_tokens=sampled.max_tokens, temperature=sampled.temperature)
    asked = [
        Row(
            index=index,
            prompt=material.prompts[row],
            limit=sampled.max_tokens,
            settings=settings,
            stops=Stops(material.speech, ()),
            opened=False,
            draws=Random(seed),
        )
        for index, (row, seed) in enumerate(zip(rows, seeds, strict=True))
    ]
    found: dict[int, list[int]] = {}
    for row in decode(engine, asked, material.loaded.ends):
        if row.reason is None:
            raise TrainingDiverged(
                f"While sampling, {row.fault}; lower the learning rates, or start from another checkpoint if "
                "nothing was trained yet."
            )
        found[row.index] = [*row.tokens, *([] if row.end is None else [row.end])]
    return [found[index] for index in range(len(asked))]
