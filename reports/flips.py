"""Samples whose score changed between two Runs: what the gate page shows side by side.

Reads the scores and generations of both Runs. Not here: any figure of the verdict; the counts on the
page come from the Verdict, and these samples only illustrate them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..harness.comparability import RunLike as GatedRun
from ..harness.verdict import TaskVerdict, Verdict

if TYPE_CHECKING:
    import pandas as pd

Direction = Literal["newly_failing", "newly_passing"]
#: (prompt, answer) by (sample_id, repeat).
Texts = dict[tuple[str, int], tuple[str, str]]
#: Rows of one sample's scores by repeat.
Repeats = dict[int, dict[str, Any]]


class RunLike(GatedRun, Protocol):
    """What pages read of a Run directory, beyond what a gate reads."""

    def generations(self) -> pd.DataFrame: ...
    def results(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model said to one sample, and how it was scored."""

    text: str
    """All turns of the candidate, in order."""
    value: float | None
    reason: str = ""
    extracted: str = ""
    detail: str = ""
    """The scorer's evidence, as JSON; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Flip:
    """One sample that got better or worse."""

    sample_id: str
    repeat: int
    direction: Direction
    prompt: str
    baseline: Answer
    candidate: Answer


@dataclass(frozen=True, slots=True)
class FlipGroup:
    """The flips of one metric of one task: newly failing first, largest change first."""

    task: str
    metric: str
    flips: tuple[Flip, ...]

    def of(self, direction: Direction) -> tuple[Flip, ...]:
        """Those in one direction."""
        return tuple(f for f in self.flips if f.direction == direction)


def collect_flips(
    verdict: Verdict, baseline_run: RunLike, candidate_run: RunLike, per_task: int = 50
) -> tuple[FlipGroup, ...]:
    """For each task of the verdict up to `per_task` samples whose score changed.

    Only samples scored on both sides count; with several repeats the means over the repeats are
    compared, and the repeat that differs most is shown.
    """
    sides = (_Side.of(baseline_run), _Side.of(candidate_run))
    claimed = [task for domain in verdict.domain_list for task in domain.tasks]
    groups = (_group(task, *sides, per_task) for task in claimed)
    return tuple(group for group in groups if group.flips)


@dataclass(frozen=True, slots=True)
class _Side:
    manifest: Mapping[str, Any]
    scores: pd.DataFrame
    generations: pd.DataFrame

    @classmethod
    def of(cls, run: RunLike) -> _Side:
        return cls(run.manifest, run.scores(), run.generations())

    def rows(self, task: str, metric: str) -> pd.DataFrame:
        """Scored rows of one metric."""
        frame = self.scores
        wanted = frame[(frame["task"] == task) & (frame["metric"] == metric)]
        return wanted[wanted["value"].notna()]

    def texts(self, task: str, sample_ids: set[str]) -> Texts:
        return read_texts(self.generations, task, sample_ids)


def _lower_is_better(manifest: Mapping[str, Any], task: str, metric: str) -> bool:
    metrics = manifest.get("tasks", {}).get(task, {}).get("metrics", [])
    return any(m.get("name") == metric and m.get("better") == "lower" for m in metrics)


def _group(task: TaskVerdict, baseline: _Side, candidate: _Side, limit: int) -> FlipGroup:
    before, after = (side.rows(task.task, task.metric) for side in (baseline, candidate))
    sign = -1.0 if _lower_is_better(candidate.manifest, task.task, task.metric) else 1.0
    moved = sign * (_item_means(after) - _item_means(before)).dropna()
    order = moved[moved != 0].rename("moved").reset_index()
    order = order.assign(gain=order["moved"] > 0, size=-order["moved"].abs())
    order = order.sort_values(["gain", "size", "sample_id"], kind="stable").head(limit)
    ids = {str(i) for i in order["sample_id"]}
    rows = tuple(_by_sample(frame[frame["sample_id"].isin(ids)]) for frame in (before, after))
    texts = tuple(side.texts(task.task, ids) for side in (baseline, candidate))
    flips = tuple(
        _flip(str(i), "newly_passing" if gain else "newly_failing", sign, rows, texts)
        for i, gain in zip(order["sample_id"], order["gain"], strict=True)
    )
    return FlipGroup(task.task, task.metric, flips)


def _item_means(rows: pd.DataFrame) -> pd.Series[float]:
    return rows.groupby("sample_id", observed=True)["value"].mean()


def _by_sample(rows: pd.DataFrame) -> dict[str, Repeats]:
    found: dict[str, Repeats] = {}
    for record in rows.sort_values("repeat", kind="stable").to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        found.setdefault(str(row["sample_id"]), {})[int(row["repeat"])] = row
    return found


def _flip(
    sample_id: str,
    direction: Direction,
    sign: float,
    rows: tuple[dict[str, Repeats], ...],
    texts: tuple[Texts, ...],
) -> Flip:
    """One flip; `sign` is -1 where a lower value is better."""
    wanted = sign if direction == "newly_passing" else -sign
    before, after = (side[sample_id] for side in rows)
    common = [repeat for repeat in before if repeat in after]
    if common:
        repeat = max(common, key=lambda r: wanted * (after[r]["value"] - before[r]["value"]))
        repeats = (repeat, repeat)
    else:  # the sides have no scored repeat in common: show each side's first
        repeats = (min(before), min(after))
    old, new = (
        side.get((sample_id, repeat), ("", "")) for side, repeat in zip(texts, repeats, strict=True)
    )
    return Flip(
        sample_id=sample_id,
        repeat=repeats[1],
        direction=direction,
        prompt=new[0] or old[0],
        baseline=read_answer(before[repeats[0]], old[1]),
        candidate=read_answer(after[repeats[1]], new[1]),
    )


def read_texts(generations: pd.DataFrame, task: str, sample_ids: set[str]) -> Texts:
    """(first prompt, all turns of the candidate) of the named samples of a task."""
    keep = (generations["task"] == task) & (generations["role"] == "candidate")
    keep &= generations["sample_id"].isin(sample_ids)
    found = generations[keep].sort_values("ordinal", kind="stable")
    return {
        (str(key[0]), int(str(key[1]))): (_text(turns["prompt"].iloc[0]), _turns(turns["text"]))
        for key, turns in found.groupby(["sample_id", "repeat"], observed=True)
    }


def read_answer(row: Mapping[str, Any], text: str) -> Answer:
    """An answer with its row of scores.parquet."""
    return Answer(
        text=text,
        value=float(row["value"]),
        reason=_text(row["reason"]),
        extracted=_text(row["extracted"]),
        detail=_evidence(_text(row["detail"])),
    )


def _evidence(detail: str) -> str:
    """The detail column without the empty object that means nothing."""
    try:
        return detail if json.loads(detail or "{}") else ""
    except json.JSONDecodeError:
        return detail


def _turns(texts: pd.Series[Any]) -> str:
    """The answers of a conversation; several are numbered."""
    turns = [_text(t) for t in texts]
    if len(turns) == 1:
        return turns[0]
    return "\n\n".join(f"[turn {i}]\n{turn}" for i, turn in enumerate(turns, 1))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
