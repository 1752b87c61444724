"""One candidate held against two Runs: the one before it, and one that is kept for good (the anchor).

The candidate is first asked only as many items as the gate against the baseline needs (gate_live.py); red
there ends it. One that is not red is asked the rest, and the gate is decided again on all items with
both. Two decisions share one error rate: each gets half of `alpha_fail`. Not here: what a gate decides
(gate.py), who asks (loop_gate.py, watch_gate.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .comparability import RunLike
from .policy import Policy
from .run import Run

if TYPE_CHECKING:
    from .verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a candidate was held against, and what came of it."""

    verdict: Verdict
    run: Run
    """The candidate's; `stopped` where the gate needed no more items."""
    rules: Policy
    """With the level that each decision had."""
    items: int
    """That the verdict has read."""
    early: bool
    """Decided before the last item."""
    anchored: bool
    """Held against the anchor as well."""


def hold(
    baseline: Run,
    anchor: Run | None,
    rules: Policy,
    suites: Sequence[str],
    target: str | None,
    *,
    live: Callable[[Policy], Run],
    whole: Callable[[], Run],
    complete: bool,
) -> Held:
    """Gate a candidate against its baseline and, where there is one, the anchor.

    Args:
        anchor: None: nothing but the baseline.
        live: evaluates the candidate under the gate of a policy.
        whole: completes that Run.
        complete: complete a green candidate's Run even where no anchor needs it.
    """
    from .gate import gate_runs

    if anchor:
        rules = rules.model_copy(update={"alpha_fail": rules.alpha_fail / 2})
    run = live(rules)
    read = items_of(run)
    verdict = gate_runs(baseline, run, rules, target, suites)
    early = verdict.early is not None and verdict.early.items_read < verdict.early.items_planned
    open_still = verdict.exit_code in (0, 3) and anchor is not None
    if open_still or (verdict.exit_code == 0 and complete):
        run = whole()
    if open_still:
        verdict = gate_runs(baseline, run, rules, target, suites, anchor=anchor)
    return Held(
        verdict=verdict,
        run=run,
        rules=rules,
        items=items_of(run) if open_still else read,
        early=early and not open_still,
        anchored=open_still,
    )


def items_of(run: RunLike) -> int:
    """Items with a score row."""
    table = run.scores()
    return len(set(zip(table["task"], table["sample_id"], strict=True)))


def cost_of(run: Run) -> dict[str, int]:
    """Tokens of a Run's answers."""
    cost = run.manifest.get("cost") or {}
    return {"tokens": int(cost.get("prompt_tokens", 0)) + int(cost.get("completion_tokens", 0))}
