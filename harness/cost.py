"""What an evaluation would cost, from what an earlier one did, and what a solved item cost in one.

Tokens come from the stored answers, answer by answer; time from that Run's wall clock over all its
tokens, so it holds for the same machine, engine and batch size only. What was not measured is None,
never 0: recorded answers have no tokens, answers from the cache took no time. Money is counted only where
a backend was told its prices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .records import Generation

if TYPE_CHECKING:
    from .backends.base import Backend
    from .journal import Entry
    from .records import Role, Score
    from .run import Run
    from .runner import ScoreKey


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


def money(
    entries: Iterable[Entry],
    scores: Mapping[ScoreKey, Score],
    backends: Mapping[Role, Backend],
) -> dict[str, Any]:
    """What the answers cost by their token counts, in the currency of the prices; empty without prices.

    In all, by role, by task and per solved item. `uncounted` answers, whose tokens the server did not
    tell, cost something that is not in here; so do tries that failed. Cached answers cost nothing.
    """
    prices = {role: backend.describe().get("prices") for role, backend in backends.items()}
    by_role: dict[str, float] = {role: 0.0 for role, price in prices.items() if price}
    if not by_role:
        return {}
    by_task: dict[str, float] = {}
    uncounted = 0
    for entry in entries:
        price = prices.get(entry.role)
        if not price or entry.cached:
            continue
        said = entry.answer
        if not isinstance(said, Generation) or not said.prompt_tokens + said.completion_tokens:
            uncounted += 1
            continue
        cost = (
            said.prompt_tokens * price["prompt"] + said.completion_tokens * price["completion"]
        ) / 1e6
        by_role[entry.role] += cost
        by_task[entry.ticket.task] = by_task.get(entry.ticket.task, 0.0) + cost
    solved = {(task, sample) for (task, sample, _), s in scores.items() if s.value == 1.0}
    count = {task: sum(t == task for t, _ in solved) for task in by_task}
    return {
        "total": sum(by_role.values()),
        "by_role": by_role,
        "by_task": by_task,
        "per_solved": {t: by_task[t] / n if n else None for t, n in count.items()},
        "uncounted": uncounted,
    }


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
