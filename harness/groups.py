"""What the groups of suites hold: items, expected tokens, and the loss that a gate on them could see.

Tokens are measured where a stored Run has answers to the task. Elsewhere the prompt is counted in
words and marks, which is near the tokens of most tokenizers for English, and an answer has at most the
task's limit. The loss is the blind spot of a plan by the numbers of items at the policy's planned
discordance (outlook.py). Not here: the printing (cli/listing.py), a gate's own plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .cost import TaskCost, expected_costs
from .errors import DataError, UsageError
from .gate_plan import plan
from .planned_run import counted
from .policy import Policy
from .records import Generate
from .run import Run
from .tasks import Task, tasks

_MARKS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Member:
    """One task of a group. Token counts are those of one side of a gate."""

    group: str
    task: str
    domain: str
    items: int | None
    """None where the task's data are not on this machine."""
    answers: int | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    measured: bool = False
    """Whether a stored Run gave the tokens; if not, answer_tokens is the most there can be."""
    detectable: Mapping[str, float] | None = None
    """Loss, as a proportion, that a gate on this group would find in 80% of cases, by claim of the
    domain; None where nothing is gated."""


def members(runs: Sequence[Run] = ()) -> list[Member]:
    """Every task of every group, groups and tasks in the order of their names.

    Args:
        runs: stored Runs whose answers tell how long answers are; the last that has a task counts.
    """
    known = sorted(tasks.all().values(), key=lambda task: (task.domain, task.name))
    names = sorted({group for task in known for group in task.groups})
    return [
        member
        for name in names
        for member in _group(name, [t for t in known if name in t.groups], runs)
    ]


def _group(name: str, own: Sequence[Task], runs: Sequence[Run]) -> Iterator[Member]:
    here = [task for task in own if _readable(task)]
    seen = _detectable(here)
    for task in own:
        if task not in here:
            yield Member(name, task.name, task.domain, None)
            continue
        cost = _measured(task, runs)
        found = cost.prompt_tokens is not None
        yield Member(
            name,
            task.name,
            task.domain,
            cost.items,
            cost.answers,
            cost.prompt_tokens if found else _prompt_words(task),
            cost.completion_tokens if found else cost.answers * task.settings.max_tokens,
            found,
            {claim: loss for claim, loss in seen.items() if claim.split("/")[0] == task.domain},
        )


def _readable(task: Task) -> bool:
    try:
        return bool(task.items)
    except (UsageError, DataError):
        return False


def _detectable(own: Sequence[Task]) -> dict[str, float]:
    if not own:
        return {}
    domains = {task.name: task.domain for task in own}
    claims = plan(counted(own, None, None), Policy(), domains, None).claims
    return {c.claim.id: c.blind_spot for c in claims if c.blind_spot is not None}


def _measured(task: Task, runs: Sequence[Run]) -> TaskCost:
    cost = TaskCost(task.name, task.domain, len(task.items), task.repeats)
    for run in reversed(runs):
        (found,) = expected_costs(run, [cost])
        if found.prompt_tokens is not None:
            return found
    return cost


def _prompt_words(task: Task) -> int | None:
    """Words and marks of all prompts; None where the prompts depend on answers."""
    if task.multi_turn:
        return None
    words = 0
    for item in task.items:
        first = next(task.converse(item))
        if isinstance(first, Generate):
            text = first.prompt
            words += sum(
                sum(1 for _ in _MARKS.finditer(part))
                for part in ([text] if isinstance(text, str) else [m.content for m in text])
            )
    return words * task.repeats
