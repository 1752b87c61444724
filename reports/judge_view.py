"""What the page of a Run says of the judge that voted in it, and of the answers that it was shown.

Reads the entry `judge` of results.json (harness/judge_report.py). Not here: measuring, HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class JudgeRow:
    """One figure with what it must keep, in words."""

    name: str
    value: str
    limit: str


@dataclass(frozen=True, slots=True)
class JudgedView:
    """One judged task."""

    task: str
    rows: tuple[JudgeRow, ...]
    problems: tuple[str, ...]


def judged_view(task: str, judge: Mapping[str, Any]) -> JudgedView:
    """Arrange the figures of one judged task."""
    reliability, guard = judge["reliability"], judge["guard"]
    rows = (*_reliability(reliability), *_guard(guard), *_style(judge.get("style") or {}))
    absent = tuple(JudgeRow(name, "absent", str(why)) for name, why in judge["absent"].items())
    problems = (*reliability["problems"], *guard["problems"])
    return JudgedView(task, (*rows, *absent), tuple(map(str, problems)))


def _reliability(found: Mapping[str, Any]) -> Iterator[JudgeRow]:
    if found["pairs"]:
        told = f"of {found['pairs']} pairs in both orders; at least 0.60"
        yield JudgeRow("swap consistency", _share(found["swap_consistency"]), told)
    if found["first_interval"]:
        low, high = found["first_interval"]
        told = f"of {found['decided']} games, 90% CI {low:.2f} to {high:.2f}; within 0.40 to 0.60"
        yield JudgeRow("first shown wins", _share(found["first_wins"]), told)
    how = f"{found['self_how']} ({found['repeats']}); at least 0.80"
    yield JudgeRow("self-consistency", _share(found["self_consistency"]), how)
    if found["labels"]:
        told = f"of {found['labels']} labelled pairs"
        yield JudgeRow("accuracy against the labels", _share(found["accuracy"]), told)
        yield JudgeRow("kappa with the labels", _share(found["kappa"]), f"{told}; at least 0.40")


def _guard(found: Mapping[str, Any]) -> Iterator[JudgeRow]:
    told = f"of {found['answers']} answers, near-identical ones; at most 0.40"
    yield JudgeRow("answers alike", _share(found["alike"]), told)
    told = f"of {found['answers']} answers; at most 5%"
    yield JudgeRow("answers meant for the judge", str(found["gaming"]), told)


def _style(found: Mapping[str, Any]) -> Iterator[JudgeRow]:
    if found:
        yield JudgeRow("share of the vote", _share(found["raw"]), "as voted, both orders")
    if "controlled" in found:
        told = f"90% CI {found['low']:.2f} to {found['high']:.2f}; a modelling assumption"
        yield JudgeRow("share at equal style", _share(found["controlled"]), told)


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
