"""What an evaluation would cost, from what an earlier one did, and what a solved item cost in one.

Tokens come from the stored answers, answer by answer; time from that Run's wall clock over all its
tokens, so it holds for the same machine, engine and batch size only. What was not measured is None,
never 0: recorded answers have no tokens, answers from the cache took no time. Money is counted only for
roles whose price of tokens the user told.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .errors import UsageError
from .records import Choice, Generation

if TYPE_CHECKING:
    from .comparability import RunLike
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


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in the user's currency.

    Raises:
        UsageError: no amount of money.
    """

    prompt: float
    completion: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(p) and p >= 0 for p in (self.prompt, self.completion)):
            raise UsageError(
                f"{self.prompt:g} and {self.completion:g} are no prices of a million tokens; both are "
                "0 or more."
            )

    def of(self, answer: Generation | Choice) -> float:
        """What an answer cost."""
        spent = answer.prompt_tokens * self.prompt + answer.completion_tokens * self.completion
        return spent / 1e6


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


def seconds_per_token(run: RunLike) -> float | None:
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


def by_role(entries: Iterable[Entry]) -> dict[str, dict[str, Any]]:
    """Answers, tokens and seconds an answer (the median) of each role but the sandbox.

    Tokens and seconds are None where nobody counted them, as for recorded answers and for alternatives that
    were weighed here. An answer from the cache counts with its tokens and took no time.
    """
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.role != "sandbox":
            found.setdefault(entry.role, []).append(entry)
    return {role: _role(own) for role, own in sorted(found.items())}


def _role(own: Sequence[Entry]) -> dict[str, Any]:
    said = [e.answer for e in own if isinstance(e.answer, Generation | Choice)]
    prompt = sum(answer.prompt_tokens for answer in said)
    completion = sum(answer.completion_tokens for answer in said)
    counted = prompt + completion > 0
    took = [e.answer.latency_s for e in own if isinstance(e.answer, Generation) and not e.cached]
    return {
        "answers": len(own),
        "cached": sum(e.cached for e in own),
        "prompt_tokens": prompt if counted else None,
        "completion_tokens": completion if counted else None,
        "median_s": round(statistics.median(took), 4) if any(took) else None,
    }


def money(
    entries: Iterable[Entry], scores: Mapping[ScoreKey, Score], prices: Mapping[Role, Price]
) -> dict[str, Any]:
    """What the answers cost by their token counts, in the currency of the prices; empty without prices.

    In all, by role, by task and per solved item. `uncounted` answers, whose tokens the server did not
    tell, cost something that is not in here; so do tries that failed. Cached answers cost nothing.
    """
    if not prices:
        return {}
    roles: dict[str, float] = dict.fromkeys(prices, 0.0)
    tasks: dict[str, float] = {}
    uncounted = 0
    for entry in entries:
        price = prices.get(entry.role)
        if not price or entry.cached:
            continue
        said = entry.answer
        if not (
            isinstance(said, Generation | Choice) and said.prompt_tokens + said.completion_tokens
        ):
            uncounted += 1
            continue
        cost, task = price.of(said), entry.ticket.task
        roles[entry.role] += cost
        tasks[task] = tasks.get(task, 0.0) + cost
    solved = {(task, sample) for (task, sample, _), s in scores.items() if s.value == 1.0}
    count = {task: sum(t == task for t, _ in solved) for task in tasks}
    return {
        "prices": {role: asdict(price) for role, price in prices.items()},
        "total": sum(roles.values()),
        "by_role": roles,
        "by_task": tasks,
        "per_solved": {t: tasks[t] / n if n else None for t, n in count.items()},
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
