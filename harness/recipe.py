"""Recipes: which stages a loop runs, how each is gated, and what happens when a gate is not green.

Users write YAML; every unknown key, setting and stage is named with its line before anything runs. Not
here: running a recipe (loop.py), what a repair does (loop_repair.py), what a stage's settings mean
(trainers/).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PrivateAttr, StringConstraints, field_validator

from .config import Config, Loc, line_of, load_config
from .errors import ConfigError, UsageError
from .policy import ClaimId, Policy
from .records import content_hash
from .stage import stages
from .stage_config import problems
from .tasks import resolve

Action = Literal["stop", "rollback", "retry", "repair"]
"""`stop` ends the loop; `rollback` drops the stage and goes on; the others try again from where the
stage began."""
Remedy = Literal["replay", "keep", "heal", "lighter", "interpolate", "earlier", "gentler"]
REMEDIES: tuple[Remedy, ...] = get_args(Remedy)
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$")]
#: `reserve: rest`: the items beyond `limit` are kept for confirmation.
REST = "rest"
#: The stage that teaches a damaged checkpoint what the one before it answers.
HEAL_STAGE = "distill"


class Budget(Config):
    """What a loop may spend before it ends with what was accepted by then."""

    tries: Annotated[int, Field(ge=1)] | None = None
    """Attempts over all stages."""
    hours: Annotated[float, Field(gt=0)] | None = None
    """Wall time of training and evaluation, over all sittings."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """Prompt and answer tokens of the evaluations."""


class StageStep(Config):
    """One stage of a recipe."""

    name: Name
    """How folders and decisions call it."""
    stage: str
    """What is registered: sft, dpo, quantize ... (`waterbed list stages`)."""
    settings: dict[str, Any] = Field(default_factory=dict)
    target: ClaimId | None = None
    """The domain that this stage is meant to improve."""
    policy: str | None = None
    """Instead of the recipe's."""
    on_red: Action = "stop"
    on_inconclusive: Action = "stop"
    otherwise: Literal["stop", "rollback"] = "stop"
    """What to do where no try was accepted."""
    retry: tuple[dict[str, Any], ...] = ()
    """Changes to `settings`, one for each try."""
    repair: tuple[Remedy, ...] = REMEDIES
    """What is tried, in this order; what does not apply to the stage is skipped with a sentence."""
    heal: dict[str, Any] = Field(default_factory=dict)
    """Settings of `distill` where `repair` heals by it, instead of those that follow from the loop."""
    tries: Annotated[int, Field(ge=1, le=20)] = 5
    """Attempts at this stage, the first one included."""

    @field_validator("repair")
    @classmethod
    def _once(cls, repair: tuple[Remedy, ...]) -> tuple[Remedy, ...]:
        if len(set(repair)) != len(repair):
            raise ValueError("names a remedy twice; each is tried as often as it can help anyway")
        return repair

    def variants(self) -> Iterator[tuple[Loc, dict[str, Any]]]:
        """The settings of every try that is known beforehand, each with the key that says so."""
        yield ("settings",), self.settings
        for number, changed in enumerate(self.retry):
            yield ("retry", number), {**self.settings, **changed}


class Recipe(Config):
    """A whole recipe; see the fields."""

    stages: Annotated[tuple[StageStep, ...], Field(min_length=1)]
    suites: Annotated[tuple[str, ...], Field(min_length=1)]
    """What every checkpoint is evaluated on."""
    base: str | None = None
    """Folder or hub id to start from, and the anchor; without one the first stage starts from nothing
    and what it makes is the anchor."""
    policy: str = "harm"
    """Of every gate: a bundled name or a YAML file."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Items of each task, in hash order, that decide; as for `waterbed gate --limit`."""
    reserve: tuple[str, ...] | Literal["rest"] = ()
    """Suites that confirm a second try and are never read before, or `rest`: the items beyond `limit`."""
    noise: bool = False
    """Measure the noise floor of what is accepted (`waterbed noise`): the planned share of changed items
    is then a measured one, and drift can fail a gate, for which every item is asked."""
    budget: Budget = Budget()
    seed: int = 0
    """Of every stage, and of the order of the items."""
    device: str = "cpu"
    threads: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Prompts a batch, in evaluations."""
    plugins: tuple[str, ...] = ()
    """Python files that register stages."""

    _source: str | None = PrivateAttr(default=None)

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read and check a YAML file.

        Raises:
            UsageError: there is no such file, or a plugin cannot be imported.
            ConfigError: lists every problem with its line.
        """
        recipe = load_config(path, cls)
        recipe._source = str(path)
        recipe.check()
        return recipe

    def check(self) -> None:
        """Refuse what would fail only hours later: unknown stages, settings, suites and policies.

        Raises:
            ConfigError: lists every problem.
        """
        for file in self.plugins:
            stages.from_file(file)
        found = [f"{self._place(at)}{text}" for at, text in self._problems()]
        if found:
            raise ConfigError.of(found)

    def rules(self, step: StageStep | None = None) -> Policy:
        """The policy of a stage's gate, with the limit of this recipe."""
        policy = Policy.load(step.policy if step and step.policy else self.policy)
        return policy if self.limit is None else policy.model_copy(update={"limit": self.limit})

    @property
    def digest(self) -> str:
        """Changes with whatever could change a decision; the budget may be raised later."""
        said = self.model_dump(mode="json", exclude={"budget"})
        policies = [self.rules(step).hash for step in self.stages]
        return content_hash([said, policies], digits=32)

    def _problems(self) -> Iterator[tuple[Loc, str]]:
        names = [step.name for step in self.stages]
        for number, step in enumerate(self.stages):
            at: Loc = ("stages", number)
            if names.index(step.name) != number:
                yield (*at, "name"), f"two stages are called '{step.name}'; name them apart"
            if "retry" in (step.on_red, step.on_inconclusive) and not step.retry:
                yield at, f"'{step.name}' is to retry; list the changed settings under 'retry'"
            if "repair" in (step.on_red, step.on_inconclusive) and not step.repair:
                yield (*at, "repair"), f"'{step.name}' is to repair; list remedies under 'repair'"
            yield from ((at + place, text) for place, text in _settings_problems(step))
        if self.reserve == REST and self.limit is None:
            yield ("reserve",), "'reserve: rest' keeps the items beyond 'limit'; set a limit"
        yield from self._unresolved()

    def _unresolved(self) -> Iterator[tuple[Loc, str]]:
        """Suites and policies that are not there, reserves that are read anyway."""
        named: list[tuple[Loc, tuple[str, ...]]] = [(("suites",), self.suites)]
        if isinstance(self.reserve, tuple) and self.reserve:
            named.append((("reserve",), self.reserve))
        read: list[set[str]] = []
        for at, names in named:
            try:
                read.append({task.name for task in resolve(names)})
            except UsageError as error:
                yield at, str(error)
        if len(read) == 2 and (both := sorted(read[0] & read[1])):
            yield ("reserve",), f"'{both[0]}' is among the suites, so it is no reserve"
        places: list[tuple[Loc, StageStep | None]] = [(("policy",), None)]
        places += [(("stages", i, "policy"), s) for i, s in enumerate(self.stages) if s.policy]
        for place, step in places:
            try:
                anchor = self.rules(step).anchor
            except UsageError as error:
                yield place, str(error)
            else:
                if anchor:
                    yield (
                        place,
                        f"the policy names the anchor '{anchor}'; a loop's anchor is its base",
                    )

    def _place(self, at: Loc) -> str:
        return f"{self._source}:{line_of(self._source, at)}: " if self._source else ""


def _settings_problems(step: StageStep) -> Iterator[tuple[Loc, str]]:
    """What a stage refuses of its settings; the stage itself if there is none of that name."""
    try:
        config = stages.get(step.stage).config
    except UsageError as error:
        yield ("stage",), str(error)
        return
    for at, settings in step.variants():
        for key, wrong in problems(config, settings, step.stage):
            yield (*at, *key), str(wrong)
    if step.heal and HEAL_STAGE in stages.all():
        follows = {"data": {"rows": 1}, "teacher": "the checkpoint before"}  # known only later
        for key, wrong in problems(
            stages.get(HEAL_STAGE).config, {**follows, **step.heal}, HEAL_STAGE
        ):
            yield ("heal", *key), str(wrong)
