"""What a Run says of its judge: reliability, the guard and style control, from the details of its scores.

A judged task puts under `judge` in each score's detail what the judge said (judging.Duel) and what the
answers look like (`looks`). `report` makes the entry of results.json, `troubles` the gate's sentences, both
from the same details. Not here: asking a judge (judging.py), the measures themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import DataError
from .judge_guard import Guard, watch
from .judge_reliability import Reliability, measure
from .judging import KEY
from .records import Score
from .statistics.style_control import Controlled, control

if TYPE_CHECKING:
    import pandas as pd


def report(about: Mapping[str, Any], scores: Iterable[Score]) -> dict[str, Any]:
    """The entry `judge` of a judged task in results.json.

    Args:
        about: how the task asks (its `judging()`); `absent` names figures that it cannot give, with why.
        scores: every score of the task.
    """
    scored = [s for s in scores if s.scored and KEY in s.detail]
    details = [s.detail[KEY] for s in scored]
    reliability, watched = _measured(about, details)
    shown: dict[str, Any] = {"reliability": reliability.as_dict(), "guard": watched.as_dict()}
    shown |= _styled([(float(s.value or 0.0), s.detail[KEY]["looks"]) for s in scored])
    shown["absent"] = {**shown.get("absent", {}), **about.get("absent", {})}
    return shown


def _styled(pairs: Sequence[tuple[float, Mapping[str, Any]]]) -> dict[str, Any]:
    styled = [(share, seen["style"]) for share, seen in pairs if "style" in seen]
    if not styled:
        return {}
    shares, differences = [s for s, _ in styled], [d for _, d in styled]
    found = control(shares, differences)
    raw = sum(shares) / len(shares)
    if not isinstance(found, Controlled):
        return {"style": {"raw": raw}, "absent": {"share at equal style": found}}
    ends = {"controlled": found.share, "low": found.low, "high": found.high}
    return {"style": {"raw": raw, **ends, "coefficients": found.coefficients}}


def _measured(
    about: Mapping[str, Any], details: Sequence[Mapping[str, Any]]
) -> tuple[Reliability, Guard]:
    written = about.get("reading") != "log-probabilities"
    seen = [d["looks"] for d in details]
    watched = watch([s["sketch"] for s in seen], [s["signs"] for s in seen])
    return measure(details, written=written), watched


def troubles(
    manifest: Mapping[str, Any], scores: pd.DataFrame, side: str
) -> dict[str, tuple[str, ...]]:
    """Why the figures of a Run's judged tasks cannot be believed, sentences by task.

    A task that measures the judge on labels (`calibrates`) speaks for every other.

    Raises:
        DataError: the evidence about the judge is damaged.
    """
    found: dict[str, tuple[str, ...]] = {}
    shared: tuple[str, ...] = ()
    for task, about in (manifest.get("judging") or {}).items():
        metric = manifest["tasks"][task]["metrics"][0]["name"]
        rows = scores[(scores["task"] == task) & (scores["metric"] == metric)]
        kept = rows.loc[rows["value"].notna(), "detail"]
        try:
            details = [json.loads(text)[KEY] for text in kept]
            reliability, watched = _measured(about, details)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{task}: what the {side}'s scores say of the judge is damaged ({error!r}); run the "
                "evaluation again."
            ) from error
        found[task] = tuple(_sentences(task, side, reliability, watched))
        if about.get("calibrates"):
            shared += found[task]
    return {task: tuple(dict.fromkeys((*own, *shared))) for task, own in found.items()}


def warnings(results: Mapping[str, Any]) -> Iterator[str]:
    """What a results.json says against its judges and against what they were shown, a sentence each."""
    for task, found in results.items():
        shown = found.get("judge", {})
        for part, what in (("reliability", "its judge"), ("guard", "its answers")):
            problems = shown.get(part, {}).get("problems", [])
            if problems:
                listed = "; ".join(problems)
                yield f"{task}: no gate takes this figure, because of {what}: {listed}."


def _sentences(task: str, side: str, judge: Reliability, watched: Guard) -> Iterator[str]:
    if judge.problems:
        yield (
            f"{task}: the judge of the {side} cannot be trusted ({'; '.join(judge.problems)}); take "
            "another judge."
        )
    if watched.problems:
        yield (
            f"{task}: the {side}'s answers win the judge without answering "
            f"({'; '.join(watched.problems)}), so its figure means nothing; read some of them."
        )
