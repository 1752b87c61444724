"""What an evaluation would cost, from what an earlier one did, and what a solved item cost in one.

Tokens come from the stored answers, answer by answer; time from that Run's wall clock over all its
tokens, so it holds for the same machine, engine and batch size only. What was not measured is None,
never 0: recorded answers have no tokens, answers from the cache took no time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import Run


@dataclass(frozen=True, slots=True)
class TaskCost:
    """One task's expected cost; None where it is unknown."""

    task: str
    domain: str
    items: int
    repeats: int
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None

    @property
    def answers(self) -> int:
        """Items times answers an item."""
        return self.items * self.repeats


def unknown_costs(tasks: Mapping[str, Any]) -> tuple[TaskCost, ...]:
    """Only how much would be run, from a manifest's entries."""
    return tuple(
        TaskCost(name, entry["domain"], entry["items"], entry["repeats"])
        for name, entry in sorted(tasks.items())
    )


def expected_costs(run: Run, wanted: Iterable[TaskCost]) -> tuple[TaskCost, ...]:
    """The same with the tokens and seconds that an answer took in an earlier Run.

    Raises:
        StoreError: the Run's answers cannot be read.
    """
    answers = run.generations()
    own = answers[answers["role"] == "candidate"]
    spent = own.groupby("task")[["prompt_tokens", "completion_tokens"]].sum(min_count=1)
    rate = seconds_per_token(run)
    return tuple(_scaled(run, cost, spent, rate) for cost in wanted)


def seconds_per_token(run: Run) -> float | None:
    """Wall seconds over prompt and completion tokens, or None where they were not measured."""
    cost = run.manifest.get("cost") or {}
    tokens = cost.get("prompt_tokens", 0) + cost.get("completion_tokens", 0)
    measured = run.manifest.get("kind") == "eval" and not cost.get("cached_answers")
    wall = cost.get("wall_s")
    return wall / tokens if measured and tokens and wall else None


def seconds_per_solved(run: Run) -> dict[str, dict[str, float]]:
    """Seconds per solved item by task and figure; `any` is an item that some answer solved.

    The tokens per solved item of results.json, with their share of the prompts, at this Run's own rate;
    empty where time was not measured.
    """
    rate = seconds_per_token(run)
    if rate is None:
        return {}
    found: dict[str, dict[str, float]] = {}
    for task, result in run.results().items():
        cost = result["cost"]
        spent = {"any": cost["per_solved"], **cost.get("per_solved_by", {})}
        completion = cost["completion_tokens"]
        scale = rate * (1 + cost.get("prompt_tokens", 0) / completion) if completion else 0.0
        found[task] = {name: scale * tokens for name, tokens in spent.items() if tokens}
    return found


def _scaled(run: Run, cost: TaskCost, spent: Any, rate: float | None) -> TaskCost:
    entry = run.manifest["tasks"].get(cost.task)
    if entry is None or cost.task not in spent.index:
        return cost
    share = cost.answers / (entry["items"] * entry["repeats"])
    prompt, completion = (float(spent.loc[cost.task, c]) for c in spent.columns)
    if not prompt + completion > 0:  # also where they are not numbers: nothing was generated
        return cost
    return TaskCost(
        cost.task,
        cost.domain,
        cost.items,
        cost.repeats,
        round(prompt * share),
        round(completion * share),
        None if rate is None else (prompt + completion) * share * rate,
    )
