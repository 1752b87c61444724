"""How a candidate's behavior drifted from its baseline's, beside whether it is still right.

Two Runs' stored answers, paired item by item: length, truncation, loops, repetition, silence, format,
script, refusals, churn of the scores. Hard metrics follow the rules of a domain (a real change, and an
estimate of at least the margin) and give p-values that may join a gate's Holm family; soft ones are
corrected together (Benjamini-Hochberg, q = .10) and only warn; the rest is shown. Without an A/A run of the
baseline (noise.py) nothing gates or warns. Margins are proportions (a point is 0.01), those
of the length log ratios.

Not here: entropy and KL to the baseline, which need the log-probabilities of the baseline's text, and
no Run holds those (their rows say so); over-refusal and unsafe compliance, which are domains of
their own; languages of one script (drift_text.py); the record itself (drift_record.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from .drift_figures import churn_test, length_test, mix_test, over_tasks, share_test
from .drift_pairs import AnsweredRun, pair_answers
from .drift_record import ALPHA, Drift, DriftRow, Figure, Kind, Tested
from .statistics.decision import FEWEST_ITEMS
from .statistics.families import benjamini_hochberg

if TYPE_CHECKING:
    import pandas as pd

#: A/A figures: task -> metric -> figure.
Noise: TypeAlias = Mapping[str, Mapping[str, Figure]]

_FALSE_WARNINGS = 0.10
_TENTH_LONGER = math.log(1.1)
_HALF_LONGER = math.log(1.5)


@dataclass(frozen=True, slots=True)
class Metric:
    """One kind of drift, fixed before any answer is read."""

    name: str
    kind: Kind
    margin: float
    words: str


METRICS = (
    Metric("length", "soft", _TENTH_LONGER, "length of the answers, mean log ratio of tokens"),
    Metric("length_by_half", "hard", _HALF_LONGER, "answers longer by half"),
    Metric("truncated", "hard", 0.01, "answers cut by the token limit"),
    Metric("loop", "hard", 0.01, "answers that repeat four words eight times"),
    Metric("repetition", "soft", 0.02, "repeated runs of four words (rep-4)"),
    Metric("empty", "hard", 0.01, "empty answers"),
    Metric("unparsed", "hard", 0.01, "answers the scorer could not read"),
    Metric(
        "broken_json", "hard", 0.01, "answers that begin JSON and are none, in tasks that ask it"
    ),
    Metric("wrong_script", "hard", 0.02, "answers in another script than the item's"),
    Metric("language_mix", "soft", 0.02, "total variation of answer script by item script"),
    Metric("refusal", "shown", 0.03, "answers that open with a refusal"),
    Metric("churn", "soft", 0.05, "items whose score changed, above the A/A churn"),
)
#: Metrics without evidence in a Run, and why.
ABSENT = ("entropy", "kl")
_NO_LOGPROBS = "needs the log-probabilities of the baseline's text, which no Run holds"


def measure_drift(
    baseline: AnsweredRun,
    candidate: AnsweredRun,
    noise: Noise | None = None,
    *,
    tasks: frozenset[str] | None = None,
    noise_source: str = "",
    alpha: float = ALPHA,
) -> Drift:
    """Compare the stored answers of two Runs.

    Args:
        baseline: the reference.
        candidate: the Run under test.
        noise: A/A figures of the baseline (noise.load_noise); without them nothing counts.
        tasks: the tasks to compare; default: all that both have.
        noise_source: where the A/A figures come from, for people.
        alpha: level of the intervals and of the hard metrics, before Holm's correction.
    """
    paired = pair_answers(baseline, candidate, tasks)
    stopped = [r.label for r in (baseline, candidate) if r.status != "complete"]
    # A judge may prefer length: where one votes, a tenth more is no longer a matter of taste.
    judged = "judge" in baseline.manifest.get("roles", {})
    rows = []
    for metric in METRICS:
        if judged and metric.name == "length":
            metric = dataclasses.replace(metric, kind="hard")
        own = {t: f[metric.name] for t, f in (noise or {}).items() if metric.name in f}
        rows.append(_row(metric, paired.frame, own, alpha, stopped))
    absent = [DriftRow(name, "soft", name, why=_NO_LOGPROBS) for name in ABSENT]
    notes = (
        () if noise else ("No A/A run of the baseline: drift is shown and nothing gates on it.",)
    )
    return Drift((*_corrected(rows), *absent), paired.unpaired, noise_source, notes)


def figures_by_task(drift: Drift) -> dict[str, dict[str, Figure]]:
    """Each task's figures; of a baseline against itself they are its noise floor."""
    found: dict[str, dict[str, Figure]] = {}
    for row in drift.rows:
        for task, figure in (row.figures.parts if row.figures else {}).items():
            found.setdefault(task, {})[row.metric] = figure
    return found


def _row(
    metric: Metric, frame: pd.DataFrame, aa: Mapping[str, Figure], alpha: float, stopped: list[str]
) -> DriftRow:
    figures: Tested | None
    if metric.name == "language_mix":
        figures = mix_test(frame, aa, metric.margin, alpha)
    elif metric.name in ("length", "length_by_half"):
        both = metric.name == "length"
        figures = length_test(frame, metric.margin, alpha, both_ways=both)
    elif metric.name == "churn":
        figures = churn_test(frame, aa, metric.margin, alpha)
    else:
        figures = share_test(frame, metric.name, metric.margin, alpha)
    noise = over_tasks(aa, figures.parts) if figures else None
    why = _why_not(metric, figures, noise, stopped)
    return DriftRow(
        metric.name, metric.kind, metric.words, metric.margin, figures, noise, not why, why=why
    )


def _why_not(
    metric: Metric, figures: Tested | None, noise: Figure | None, stopped: list[str]
) -> str:
    """Why a metric neither gates nor warns, or nothing."""
    if figures is None:
        return "no answer it applies to"
    if metric.kind == "shown":
        return "shown only: a rule on opening words is no measure of refusal"
    if noise is None:
        return "no A/A run of the baseline on every one of these tasks"
    if stopped:
        return f"'{stopped[0]}' was not run to its end"
    if figures.n < FEWEST_ITEMS:
        return f"{figures.n} items are fewer than {FEWEST_ITEMS}"
    return ""


def _corrected(rows: list[DriftRow]) -> list[DriftRow]:
    """The soft metrics corrected together, and which of them warn."""
    tested = [
        (i, r.figures.p_harm, r.figures)
        for i, r in enumerate(rows)
        if r.kind == "soft" and r.counts and r.figures and r.figures.p_harm is not None
    ]
    adjusted = benjamini_hochberg([p for _, p, _ in tested])
    done = list(rows)
    for (i, _, figures), p in zip(tested, adjusted, strict=True):
        warned = p <= _FALSE_WARNINGS and figures.reaches
        done[i] = dataclasses.replace(rows[i], p_adjusted=p, warned=warned)
    return done
