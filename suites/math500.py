r"""MATH-500: 500 problems of MATH (Hendrycks et al. 2021, arXiv:2103.03874) in the split of prm800k.

One chat turn of our own wording; the answer is the last `\boxed{...}`, else what follows the first
"Answer:", and equality is prm800k's (math_answers.py). An answer that sympy cannot compare within 5
processor seconds or 1 GiB scores 0 with the reason `timeout` or `limit`: it was not shown to be right. A
helper process that fails for another cause leaves the sample unscored.

Data: WATERBED_DATA/math500/test.jsonl, or --items in its format. A sample's id is its unique_id. Results
carry the share of right answers by subject and level. Not here: a judge that reads answers by meaning.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ..harness.errors import DataError, InstrumentError
from ..harness.folders import data_file
from ..harness.jsonl import read_jsonl
from ..harness.records import Generation, GenerationSettings, Prompt, Sample, Score, user
from ..harness.tasks import Card, Metric, task
from .math_answers import LONGEST, equality, final_answer, full_form, no_answer

_COMMIT = "7ecc7947"
_SHA256 = "35dc41080a3680858b27fa7e0533d2d547825316fc5dafe5d316f4ccc5a06132"
_FIELDS = ("unique_id", "problem", "answer")
_KEPT = ("subject", "level", "solution")


def grade_answer(target: str, generation: Generation) -> Score:
    """1 if the answer equals `target` by prm800k's rule; `detail` says by what that was decided."""
    said = final_answer(generation.text)
    if said is None or not said.strip():
        return no_answer(generation)
    try:
        found = equality(said, target)
    except InstrumentError as error:
        return Score.unscored("scorer_error", error=str(error))
    reason = None if found.equal else found.by if found.by in ("timeout", "limit") else "wrong"
    form = full_form(said) if len(said) <= LONGEST else None
    detail = {"by": found.by, "form": form}
    return Score(float(found.equal), reason, extracted=said[:LONGEST], detail=detail)


@task(
    "math500",
    domain="math",
    metrics=(Metric("correct"),),
    settings=GenerationSettings(max_tokens=32768),
    groups=("full",),
    card=Card(
        measures="Competition mathematics in seven subjects and five levels, with exact answers.",
        not_measures="Proofs, and whether the steps are right; forms of an answer outside prm800k's rule.",
        source="openai/prm800k, prm800k/math_splits/test.jsonl",
        licence="MIT",
        revision=_COMMIT,
        items=500,
        reference={"DeepSeek-R1": 0.973, "o1-1217": 0.964},
        verified="against prm800k's grader: 1,330 of 1,330 recorded grades of altered answers equal",
    ),
)
class Math500:
    """MATH-500, official or from a user's file in the same format; greedy."""

    def __init__(self, items: Path | None = None) -> None:
        self.items = items

    def samples(self) -> Iterator[Sample]:
        """One sample a problem.

        Raises:
            UsageError: no file.
            DataError: another file of that name, or a missing field.
        """
        where = f"prm800k/math_splits/test.jsonl of openai/prm800k @ {_COMMIT}"
        file = self.items or data_file("math500/test.jsonl", _SHA256, where)
        for number, row in enumerate(read_jsonl(file), 1):
            lacks = [f for f in _FIELDS if not isinstance(row.get(f), str) or not row[f].strip()]
            if lacks:
                raise DataError(f"{file}: problem {number} lacks the text '{lacks[0]}'.")
            kept: dict[str, Any] = {key: row[key] for key in _KEPT if key in row}
            yield Sample(row["unique_id"], row["problem"], row["answer"], kept)

    @functools.cached_property
    def kinds(self) -> Mapping[str, tuple[str, ...]]:
        """What each sample counts for besides the whole: its subject and its level."""
        named = (("subject", "{}"), ("level", "level {}"))
        return {
            s.id: tuple(form.format(s.metadata[key]) for key, form in named if key in s.metadata)
            for s in self.samples()
        }

    def prompt(self, sample: Sample) -> Prompt:
        return user(
            f"{sample.input}\n\nReason step by step, and write the final answer at the end as \\boxed{{answer}}."
        )

    def reference(self, sample: Sample) -> str:
        """An answer that scores 1: the solution of the data set, else the boxed answer."""
        return str(sample.metadata.get("solution") or f"\\boxed{{{sample.target}}}")

    def grade(self, sample: Sample, generation: Generation) -> Score:
        return grade_answer(sample.target, generation)

    def vote(self, score: Score) -> str | None:
        """Answers that are written alike up to spelling are one vote."""
        return score.detail.get("form")

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """Means by subject and level."""
        groups: dict[str, list[float]] = {}
        for id, own in scores.items():
            values = [s.value for s in own if s.value is not None]
            for kind in self.kinds.get(id, ()) if values else ():
                groups.setdefault(f"correct/{kind}", []).append(fmean(values))
        return {kind: fmean(values) for kind, values in sorted(groups.items())}
