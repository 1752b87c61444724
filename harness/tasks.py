"""Tasks: what to ask for one sample, and how to score what came back.

A benchmark is one class with `@task` on it: `samples()`, `prompt(sample)` and `grade(sample,
generation)`; a multi-turn or judged benchmark writes `converse(sample)` instead, a generator of
requests that returns a Score. Generators are pure: no clock, no unseeded randomness. The same
`grade` is the reward in training. Not here: who answers the requests (runner.py).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import GeneratorType
from typing import Any, Literal, Protocol, TypeVar, cast

from .errors import UsageError
from .plugins import Registry
from .records import (
    DOMAINS,
    Conversation,
    Generate,
    Generation,
    GenerationSettings,
    Prompt,
    Role,
    Sample,
    Score,
    content_hash,
)

T = TypeVar("T", bound=type)


class SingleTurn(Protocol):
    """What most benchmarks write; one that offers functions writes `tools(sample)` as well."""

    def samples(self) -> Iterable[Sample]: ...
    def prompt(self, sample: Sample) -> Prompt: ...
    def grade(self, sample: Sample, generation: Generation) -> Score | Conversation: ...


class MultiTurn(Protocol):
    """What a benchmark with several requests a sample writes."""

    def samples(self) -> Iterable[Sample]: ...
    def converse(self, sample: Sample) -> Conversation: ...


@dataclass(frozen=True, slots=True)
class Metric:
    """One number a sample yields. Values lie in [0, 1] in their natural direction."""

    name: str
    better: Literal["higher", "lower"] = "higher"
    gated: bool = True
    """Whether a gate tests it; the others are shown only."""
    margin: float | None = None
    """Loss that is tolerated, as a proportion; None means the domain's default."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a user must know before trusting a benchmark's number."""

    measures: str
    not_measures: str = ""
    source: str = ""
    licence: str = ""
    revision: str = ""
    items: int | None = None
    chance: float = 0.0
    reference: Mapping[str, float] = field(default_factory=dict)
    """Published scores, as proportions, by model name."""
    verified: str = "unverified: nothing compared"
    """`against ...` or `unverified: ...`; an unverified task does not gate unless the policy says so."""
    toy: bool = False
    """Made for toy models; wherever its figures are shown, the words "toy model" stand beside them."""
    private: bool = False
    """Its items must not appear in plain text: a Run's tables, and so all pages, hold neither its prompts
    nor the answers, which may quote them. The journal still holds the answers."""


@dataclass(frozen=True)
class Task:
    """A registered benchmark. `metrics[0]` is the headline and the reward."""

    name: str
    domain: str
    version: str
    style: Literal["chat", "completion"]
    metrics: tuple[Metric, ...]
    settings: GenerationSettings
    repeats: int
    groups: tuple[str, ...]
    roles: tuple[Role, ...]
    """Who answers besides the candidate: `sandbox`, `judge`, `user`."""
    card: Card
    factory: Callable[..., Any]

    @functools.cached_property
    def body(self) -> Any:
        """The benchmark object, made on first use (making it may read data)."""
        return self.factory()

    @property
    def multi_turn(self) -> bool:
        """Whether one answer is not enough to score a sample."""
        return hasattr(getattr(self.factory, "func", self.factory), "converse")

    @functools.cached_property
    def items(self) -> tuple[Sample, ...]:
        """All samples.

        Raises:
            UsageError: there are none, or two share an id.
        """
        items = tuple(self.body.samples())
        if not items:
            raise UsageError(f"Task '{self.name}' has no samples; check its data file.")
        seen: set[str] = set()
        for item in items:
            if item.id in seen:
                raise UsageError(f"Task '{self.name}' has two samples with id '{item.id}'.")
            seen.add(item.id)
        return items

    @functools.cached_property
    def data_hash(self) -> str:
        """Hash of every item's id, input and target, whatever the order."""
        return content_hash(sorted(content_hash([s.id, s.input, s.target]) for s in self.items))

    def converse(self, sample: Sample) -> Conversation:
        """The conversation that scores one sample."""
        if self.multi_turn:
            return cast(MultiTurn, self.body).converse(sample)
        return _one_turn(cast(SingleTurn, self.body), sample)

    def grade(self, sample: Sample, generation: Generation) -> Conversation:
        """Score an answer that already exists; may still ask a judge or the sandbox.

        Raises:
            UsageError: the task is multi-turn, so one answer is not what it scores.
        """
        if self.multi_turn:
            raise UsageError(
                f"Task '{self.name}' is multi-turn and cannot score single answers; evaluate it live."
            )
        return _graded(cast(SingleTurn, self.body), sample, generation)

    def decoded(self, **settings: Any) -> Task:
        """The same benchmark with other decoding settings; None keeps the task's own.

        Raises:
            UsageError: a value that means nothing.
        """
        changed = {k: v for k, v in settings.items() if v is not None}
        if not changed:
            return self  # a copy would make its items again
        try:
            return replace(self, settings=replace(self.settings, **changed))
        except (TypeError, ValueError) as error:
            raise UsageError(f"Decoding settings of '{self.name}': {error}.") from error

    def reference(self, sample: Sample) -> str | None:
        """An answer that must score 1, where the benchmark has one for this sample."""
        known = getattr(self.body, "reference", None)
        return known(sample) if known else None

    def vote(self, score: Score) -> Hashable | None:
        """What an answer says, for a majority; None has no vote."""
        own = getattr(self.body, "vote", None)
        return cast("Hashable | None", own(score)) if own else score.extracted

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """Extra numbers beyond the mean of each metric, from the scores of each sample id."""
        extra = getattr(self.body, "aggregate", None)
        return extra(scores) if extra else {}

    @property
    def judging(self) -> Mapping[str, Any]:
        """How a judged benchmark asks its judge (judging.about); empty where it keeps no evidence of one."""
        own = getattr(self.body, "judging", None)
        return own() if own and "judge" in self.roles else {}

    def on(self, items: Path) -> Task:
        """The same benchmark on a user's file of problems in its format.

        Raises:
            UsageError: the benchmark reads no such files.
        """
        if "items" not in inspect.signature(self.factory).parameters:
            raise UsageError(
                f"Suite '{self.name}' does not read problems from a file; leave out --items."
            )
        return replace(self, factory=functools.partial(self.factory, items=items))

    def variant(self, text: str) -> Task:
        """The same benchmark set as `text` says, under the name `name@text`: other items, so another task.

        Raises:
            UsageError: the benchmark has nothing to set, or `text` is not how it is set.
        """
        own = getattr(self.factory, "func", self.factory)
        if not hasattr(own, "variant"):
            raise UsageError(
                f"Suite '{self.name}' has no variants, so '@{text}' means nothing; write '{self.name}'."
            )
        chosen = functools.partial(self.factory, **own.variant(text))
        card = replace(self.card, items=None)
        return replace(self, name=f"{self.name}@{text}", factory=chosen, card=card)


def _one_turn(body: SingleTurn, sample: Sample) -> Conversation:
    offered = getattr(body, "tools", None)
    generation = yield Generate(body.prompt(sample), tools=offered(sample) if offered else ())
    return (yield from _graded(body, sample, generation))


def _graded(body: SingleTurn, sample: Sample, generation: Generation) -> Conversation:
    outcome = body.grade(sample, generation)
    if isinstance(outcome, GeneratorType):
        return (yield from cast(Conversation, outcome))
    return cast(Score, outcome)


tasks: Registry[Task] = Registry("suite", "waterbed.suites")


def task(
    name: str,
    *,
    domain: str,
    version: str = "1",
    style: Literal["chat", "completion"] = "chat",
    metrics: Sequence[Metric] = (Metric("correct"),),
    settings: GenerationSettings = GenerationSettings(),
    repeats: int = 1,
    groups: Sequence[str] = (),
    roles: Sequence[Role] = (),
    card: Card | None = None,
) -> Callable[[T], T]:
    """Register a class as a benchmark under `name`.

    Raises:
        UsageError: unknown domain, or the name is taken.
    """
    if domain not in DOMAINS:
        raise UsageError(f"Task '{name}' names the domain '{domain}'; use one of {DOMAINS}.")

    def register(cls: T) -> T:
        shown = card or Card(measures=(cls.__doc__ or name).strip().splitlines()[0])
        tasks.add(
            name,
            Task(
                name=name,
                domain=domain,
                version=version,
                style=style,
                metrics=tuple(metrics),
                settings=settings,
                repeats=repeats,
                groups=tuple(groups),
                roles=tuple(roles),
                card=shown,
                factory=cls,
            ),
        )
        return cls

    return register


def resolve(names: Iterable[str]) -> tuple[Task, ...]:
    """The tasks that task names, group names and `file.py` paths stand for, each once, in order.

    `name@text` is a task set in its own way, for example `livecodebench@2024-08-01..2025-01-31`.

    Raises:
        UnknownName: nothing is registered under a name.
        UsageError: the selection is empty, or a task cannot be set so.
    """
    chosen: dict[str, Task] = {}
    for name in names:
        for found in _expand(name.strip()):
            chosen[found.name] = found
    if not chosen:
        raise UsageError("No suite was named; pass --suites, for example --suites pocket.")
    return tuple(chosen.values())


def _expand(name: str) -> Iterator[Task]:
    if name.endswith(".py"):
        yield from tasks.from_file(name)
        return
    known = tasks.all()
    members = [t for t in known.values() if name in t.groups]
    if name in known:
        yield known[name]
    elif members:
        yield from members
    elif "@" in name and name.partition("@")[0] in known:
        own, _, text = name.partition("@")
        yield known[own].variant(text)
    else:
        groups = {g for t in known.values() for g in t.groups}
        tasks.unknown(name, {*known, *groups}, "See `waterbed list suites`.")
