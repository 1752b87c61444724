"""Training data from a model's own judgment under written principles (constitutional AI).

The method is Bai et al. 2022 (arXiv 2212.08073). `revise` is its supervised part (section 3): the model
answers, criticizes its answer under a principle drawn by weight, and writes it anew; the last revision
is what `sft` learns. `prefer` is where the preferences of its second part come from (section 4): two
sampled answers are put to a judge under a principle, whose log-probabilities of the two letters are
averaged over both orders; what it prefers either way goes to a preference stage. The prompts and the
default principles are this project's own words.

Both write a Run (so they resume, and share answers) whose `rows.jsonl` is data for a stage and says of
each row which principle, texts and model it came from. Unlike the paper: hard labels, no chain of
thought before a vote, no worked examples before a critique. A model too small to criticize makes rows
that are well-formed and worthless; nothing here can tell.
"""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from ..harness import manifest, tables
from ..harness.answer_cache import AnswerCache
from ..harness.backends.base import Backend
from ..harness.checkpoints import Checkpoint
from ..harness.config import Config
from ..harness.dataset_rows import Row, check_rows
from ..harness.datasets import load
from ..harness.errors import DataError, Interrupted
from ..harness.records import (
    Choose,
    Conversation,
    Generate,
    GenerationSettings,
    Message,
    Role,
    Sample,
    Score,
    content_hash,
)
from ..harness.run import RunWriter
from ..harness.runner import Outcome, Runner, TaskPlan
from ..harness.tasks import Card, Metric, Task

Kind = Literal["revise", "prefer"]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]

ROWS = "rows.jsonl"
LETTERS = ("A", "B")
BALLOT = (
    "Below are a conversation and two answers to its last message.\n\n{conversation}\n\n"
    "Answer A: {a}\n\nAnswer B: {b}\n\n{question}\nReply with the letter A or B alone."
)


class Principle(Config):
    """One rule, in the words that are put to the model."""

    name: Words
    critique: Words
    """Asks what is wrong with the last answer under this rule."""
    revision: Words
    """Asks for the answer anew, with what was criticized mended."""
    choose: Words = "Which of the two answers is better?"
    """Asks which of two answers follows the rule better."""
    weight: float = Field(default=1.0, gt=0)
    """How often it is drawn, in relation to the others."""


class Constitution(Config):
    """The principles of a user."""

    principles: tuple[Principle, ...]

    @field_validator("principles")
    @classmethod
    def _named_once(cls, principles: tuple[Principle, ...]) -> tuple[Principle, ...]:
        if not principles:
            raise ValueError("there is no principle; write at least one")
        names = [p.name for p in principles]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two principles are called '{twice}'; give each a name of its own")
        return principles

    def draw(self, *place: object) -> Principle:
        """A principle by weight; the same place gives the same one."""
        weights = [p.weight for p in self.principles]
        return Random("/".join(map(str, place))).choices(self.principles, weights)[0]


DEFAULT = Constitution(
    principles=(
        Principle(
            name="harmless",
            critique="Look at your last answer. Say where it could help somebody to hurt a person, break "
            "the law or deceive, and why.",
            revision="Now answer again so that nobody could be hurt by what you say. Stay friendly, and "
            "say openly what you will not help with.",
            choose="Which of the two answers does less harm?",
        ),
        Principle(
            name="honest",
            critique="Look at your last answer. Name each statement that is untrue, or surer than you can "
            "be.",
            revision="Now answer again: leave out what is untrue, and say so where you do not know.",
            choose="Which of the two answers is more honest?",
        ),
        Principle(
            name="useful",
            critique="Look at your last answer. Say what the question asked for that it does not give, and "
            "what it gives that nobody asked for.",
            revision="Now answer again, to the point, with what the question asked for.",
            choose="Which of the two answers serves the person who asks better?",
        ),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstitutionConfig:
    """Settings of `revise` and `prefer`."""

    prompts: str
    """Any data with prompts, by name; answers in it are not read."""
    n: int | None = None
    """Only the first so many prompts; None is all."""
    rounds: int = 1
    """Critiques and revisions of one answer, each under a principle of its own."""
    max_tokens: int = 256
    temperature: float = 1.0
    """Of the two answers to choose from; answers to revise are greedy."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rounds", "max_tokens", "temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Labelled:
    """What came out."""

    path: Path
    """`rows.jsonl`."""
    rows: int
    dropped: Mapping[str, int]
    """Prompts without a row, by reason."""


def label(
    kind: Kind,
    constitution: Constitution,
    config: ConstitutionConfig,
    backend: Backend,
    checkpoint: Checkpoint,
    out: Path,
    *,
    judge: Backend | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Labelled:
    """Make rows from prompts, or go on where a killed call stopped.

    Args:
        backend: serves `checkpoint`, which writes and revises.
        out: folder of the Run; `rows.jsonl` lies in it afterwards.
        judge: chooses between answers; None is the backend itself.

    Raises:
        UsageError: the folder holds something else, or was begun with other settings.
        DataError: the prompts are bad, or no row came out.
        InstrumentError: a backend cannot go on; what was answered is kept.
    """
    task = _task(kind, constitution, config)
    backends: dict[Role, Backend] = {"candidate": backend, "judge": judge or backend}
    plan = TaskPlan(task, task.items)
    entry = manifest.build(
        kind="constitution",
        label=out.name,
        plans=[plan],
        backends=backends,
        checkpoint=checkpoint,
        seed=config.seed,
        selection={"settings": asdict(config), "principles": constitution.model_dump()},
    )
    with RunWriter(out, entry) as writer:
        outcome = _run(writer, plan, backends, config.seed, progress)
        made = {"model": checkpoint.digest, "judge": backends["judge"].identity}
        rows, dropped = _rows(task, outcome, made)
        if not rows:
            raise DataError(
                f"None of {len(task.items)} prompts gave a row ({_counts(dropped)}); look at the answers "
                f"in '{out}'."
            )
        _write(out / ROWS, rows)
    return Labelled(out / ROWS, len(rows), dropped)


def _run(
    writer: RunWriter,
    plan: TaskPlan,
    backends: Mapping[Role, Backend],
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Outcome:
    runner = Runner(backends, log=writer.journal, cache=AnswerCache(), seed=seed, progress=progress)
    try:
        outcome = runner.run([plan])
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"Stopped with {runner.done} of {runner.total} prompts done; everything answered is kept in "
            f"'{writer.path}', and the same command resumes it."
        ) from error
    writer.write_json("results.json", tables.results([plan.task], outcome))
    scores = tables.scores_table([plan.task], outcome.scores)
    writer.finish("complete", {"scores.parquet": scores})
    runner.share_answers()
    return outcome


def _task(kind: Kind, constitution: Constitution, config: ConstitutionConfig) -> Task:
    body = {"revise": Revising, "prefer": Preferring}[kind]
    return Task(
        name=f"constitution/{kind}",
        domain="safety",
        version=content_hash([constitution.model_dump(), asdict(config)]),
        style="chat",
        metrics=(Metric("kept", gated=False),),
        settings=GenerationSettings(max_tokens=config.max_tokens),
        repeats=1,
        groups=(),
        roles=("judge",) if kind == "prefer" else (),
        card=Card(measures="Nothing: whether a prompt gave a training row."),
        factory=functools.partial(body, constitution, config),
    )


# -- the two conversations -------------------------------------------------------------------------


class _Labelling:
    """Prompts as samples."""

    def __init__(self, constitution: Constitution, config: ConstitutionConfig) -> None:
        self.constitution = constitution
        self.config = config

    def samples(self) -> Iterator[Sample]:
        """Each prompt once, however often the data repeat it."""
        rows = load(self.config.prompts, shape="prompt", n=self.config.n, seed=self.config.seed)
        prompts = {content_hash(row["prompt"]): row["prompt"] for row in rows}
        return (Sample(id, prompt) for id, prompt in prompts.items())


class Revising(_Labelling):
    """Answer, critique, revision."""

    def converse(self, sample: Sample) -> Conversation:
        prompt = tuple(Message(t["role"], t["content"]) for t in sample.input)
        original = answer = (yield Generate(prompt)).text
        steps: list[dict[str, str]] = []
        for number in range(self.config.rounds):
            if not answer.strip():
                return Score(0.0, "empty")
            rule = self.constitution.draw(self.config.seed, sample.id, number)
            asked = (*prompt, Message("assistant", answer), Message("user", rule.critique))
            critique = (yield Generate(asked)).text
            if not critique.strip():
                return Score(0.0, "empty_critique")
            asked = (*asked, Message("assistant", critique), Message("user", rule.revision))
            revision = yield Generate(asked)
            if revision.truncated:
                return Score(0.0, "truncated")
            answer = revision.text
            steps.append({"principle": rule.name, "critique": critique, "revision": answer})
        row = {"messages": [*sample.input, {"role": "assistant", "content": answer}]}
        return Score(1.0, detail={"row": row, "made": {"original": original, "steps": steps}})


class Preferring(_Labelling):
    """Two answers, and a vote in either order."""

    def converse(self, sample: Sample) -> Conversation:
        prompt = tuple(Message(t["role"], t["content"]) for t in sample.input)
        sampled = GenerationSettings(
            max_tokens=self.config.max_tokens, temperature=self.config.temperature
        )
        pair = []
        for _ in LETTERS:
            answer = yield Generate(prompt, sampled)
            if answer.truncated or not answer.text.strip():
                return Score(0.0, "truncated" if answer.truncated else "empty")
            pair.append(answer.text)
        if pair[0].strip() == pair[1].strip():
            return Score(0.0, "equal_answers")
        rule = self.constitution.draw(self.config.seed, sample.id)
        leads = []
        for order in (pair, pair[::-1]):
            vote = yield Choose(_ballot(rule, prompt, order), LETTERS, role="judge")
            leads.append(vote.logprobs[0] - vote.logprobs[1])
        lead = (leads[0] - leads[1]) / 2  # of the first answer, its place averaged out; nats
        if leads[0] * leads[1] >= 0:
            return Score(0.0, "order_decides", detail={"leads": leads})
        chosen, rejected = pair if lead > 0 else pair[::-1]
        row = {
            "prompt": list(sample.input),
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }
        made = {"principle": rule.name, "lead": abs(lead)}
        return Score(1.0, detail={"row": row, "made": made})


def _ballot(
    rule: Principle, prompt: Sequence[Message], answers: Sequence[str]
) -> tuple[Message, ...]:
    conversation = "\n\n".join(f"{turn.role}: {turn.content}" for turn in prompt)
    asked = BALLOT.format(
        conversation=conversation, a=answers[0], b=answers[1], question=rule.choose
    )
    return (Message("user", asked),)


# -- rows ------------------------------------------------------------------------------------------


def _rows(
    task: Task, outcome: Outcome, made: Mapping[str, Any]
) -> tuple[list[Row], dict[str, int]]:
    """Rows that a stage will accept, in the order of the prompts, and why there are no more."""
    shape: Literal["messages", "preference"] = (
        "messages" if task.name.endswith("/revise") else "preference"
    )
    rows: list[Row] = []
    dropped: Counter[str] = Counter()
    for item in task.items:
        score = outcome.scores[(task.name, item.id, 0)]
        if score.value != 1.0:
            dropped[score.reason or "unscored"] += 1
            continue
        try:
            check_rows([(item.id, score.detail["row"])], shape)
        except DataError:  # a model may say what no row may hold
            dropped["unusable"] += 1
            continue
        rows.append({**score.detail["row"], "made": {**made, **score.detail["made"]}})
    return rows, dict(dropped)


def _counts(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items())


def _write(path: Path, rows: Sequence[Row]) -> None:
    aside = path.with_suffix(".partial")
    text = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
