"""What the page of one Run is given: its metrics as they are stored, and its worst samples.

Not here: HTML (templates/run.html.jinja), comparisons (a Run alone cannot regress).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import charts, wording
from .budget import Plan
from .cost_view import CostView, cost_view
from .flips import Answer, RunLike, read_answer, read_texts
from .hostile import Excerpt, excerpt
from .judge_view import JudgedView, judged_view
from .settings_view import flat

if TYPE_CHECKING:
    import pandas as pd

_SHORT = 200
#: The axis of scores: 0 to 100 percent.
_SCORES = charts.Scale(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class MetricView:
    """One metric of one task, as in results.json."""

    name: str
    lower: bool
    gated: bool
    mean: float | None
    se: float | None
    n: int
    unscored: Mapping[str, int]
    mark: charts.Mark


@dataclass(frozen=True, slots=True)
class SampleView:
    """One sample and what the model said."""

    sample_id: str
    answer: Answer
    prompt: Excerpt
    text: Excerpt
    extracted: Excerpt
    detail: Excerpt


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task of the Run."""

    name: str
    anchor: str
    about: Mapping[str, Any]
    metrics: tuple[MetricView, ...]
    extra: tuple[tuple[str, str], ...]
    reasons: tuple[tuple[str, int], ...]
    """Reasons of the headline metric, most frequent first."""
    failing: int
    """Scored samples below the best possible headline."""
    worst: tuple[SampleView, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """The whole page."""

    label: str
    status: str
    toy: bool
    first_line: str
    scale: charts.Scale
    tasks: tuple[TaskView, ...]
    judged: tuple[JudgedView, ...]
    cost: CostView
    facts: tuple[tuple[str, str], ...]


def run_view(run: RunLike, scores: pd.DataFrame, generations: pd.DataFrame, plan: Plan) -> RunView:
    """Arrange a Run, with its two tables, under a plan of how much detail to show."""
    manifest, results = run.manifest, run.results()
    names = [name for name in manifest.get("tasks", {}) if name in results]
    names += [name for name in results if name not in names]
    places = wording.anchors("task", names)
    frames = scores, generations
    tasks = tuple(
        _task(
            name, places[name], manifest.get("tasks", {}).get(name, {}), results[name], frames, plan
        )
        for name in names
    )
    return RunView(
        label=run.label,
        status=run.status,
        toy=wording.marked_toy(manifest),
        first_line=f"{run.label}: {run.status} run of {', '.join(names) or 'nothing'}",
        scale=_SCORES,
        tasks=tasks,
        judged=tuple(judged_view(n, results[n]["judge"]) for n in names if "judge" in results[n]),
        cost=cost_view(manifest.get("cost") or {}),
        facts=flat(_facts(manifest)),
    )


def _facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What is not shown elsewhere on the page."""
    shown = {k: v for k, v in manifest.items() if k not in ("tasks", "schema_version")}
    cost = shown.get("cost") or {}
    return {**shown, "cost": {k: v for k, v in cost.items() if k not in ("roles", "money")}}


def _task(
    name: str,
    anchor: str,
    about: Mapping[str, Any],
    results: Mapping[str, Any],
    frames: tuple[pd.DataFrame, pd.DataFrame],
    plan: Plan,
) -> TaskView:
    declared = {m["name"]: m for m in about.get("metrics", ())}
    found: Mapping[str, Any] = results.get("metrics") or {}
    order = [*(m for m in declared if m in found), *(m for m in found if m not in declared)]
    several: Mapping[str, Any] = results.get("sampling") or {}
    metrics = tuple(_metric(m, declared.get(m, {}), found[m]) for m in order)
    metrics += tuple(
        _metric(m, {"gated": False}, {**figure, "unscored": _lost(figure)})
        for m, figure in several.get("figures", {}).items()
    )
    rows = _headline_rows(frames[0], name, order[0] if order else "")
    lower = bool(metrics) and metrics[0].lower
    bad = _failing(rows, lower)
    counts = rows["reason"].dropna().value_counts()
    return TaskView(
        name=name,
        anchor=anchor,
        about=about,
        metrics=metrics,
        extra=flat(results.get("extra") or {}) + _costs(results),
        reasons=tuple((str(reason), int(count)) for reason, count in counts.items()),
        failing=len(bad),
        worst=_samples(name, bad.head(plan.samples), frames[1], plan),
    )


def _lost(figure: Mapping[str, Any]) -> dict[str, int]:
    return {"too few scored answers": figure["unscored"]} if figure["unscored"] else {}


def _costs(results: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Tokens per solved item, and why a figure of several answers is not there."""
    cost: Mapping[str, Any] = results.get("cost") or {}
    spent = {"any answer": cost.get("per_solved"), **(cost.get("per_solved_by") or {})}
    several = results.get("sampling") or {}
    return (
        *((f"tokens per solved item, {k}", f"{v:,.0f}") for k, v in spent.items() if v is not None),
        *((f"no {k}", str(v)) for k, v in (several.get("absent") or {}).items()),
        *((str(k), str(v)) for k, v in (several.get("notes") or {}).items()),
    )


def _metric(name: str, declared: Mapping[str, Any], stored: Mapping[str, Any]) -> MetricView:
    mean, se = stored.get("mean"), stored.get("se")
    ends = (mean - se, mean + se) if mean is not None and se is not None else (None, None)
    plot = charts.place(charts.Row(mean, ends[0], ends[1], None), _SCORES)
    return MetricView(
        name=name,
        lower=declared.get("better") == "lower",
        gated=bool(declared.get("gated", True)),
        mean=mean,
        se=se,
        n=int(stored.get("n", 0)),
        unscored=stored.get("unscored") or {},
        mark=plot,
    )


def _headline_rows(scores: pd.DataFrame, task: str, metric: str) -> pd.DataFrame:
    return scores[(scores["task"] == task) & (scores["metric"] == metric)]


def _failing(rows: pd.DataFrame, lower: bool) -> pd.DataFrame:
    """Scored rows short of the best value, worst first."""
    best = 0.0 if lower else 1.0
    bad = rows[rows["value"].notna() & (rows["value"] != best)]
    return bad.sort_values(["value", "sample_id"], ascending=[not lower, True], kind="stable")


def _samples(
    task: str, rows: pd.DataFrame, generations: pd.DataFrame, plan: Plan
) -> tuple[SampleView, ...]:
    texts = read_texts(generations, task, {str(i) for i in rows["sample_id"]})
    views = []
    for record in rows.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        prompt, text = texts.get((str(row["sample_id"]), int(row["repeat"])), ("", ""))
        answer = read_answer(row, text)
        views.append(
            SampleView(
                sample_id=str(row["sample_id"]),
                answer=answer,
                prompt=excerpt(prompt, plan.characters),
                text=excerpt(text, plan.characters),
                extracted=excerpt(answer.extracted, _SHORT),
                detail=excerpt(answer.detail, _SHORT),
            )
        )
    return tuple(views)
