"""How a candidate's behavior drifted from its baseline's, beside whether it is still right.

Two Runs' stored answers, paired item by item: length, truncation, loops, repetition, silence, format,
script, refusals, churn of the scores. Hard metrics follow the rules of a domain (a real change, and an
estimate of at least the margin) and give p-values that may join a gate's Holm family; soft ones are
corrected together (Benjamini-Hochberg, q = .10) and only warn; the rest is shown. Without an A/A run of the
baseline (drift_noise.py) nothing gates or warns. Margins are proportions (a point is 0.01), those
of the length log ratios.

Not here: entropy and KL to the baseline, which need the log-probabilities of the baseline's text, and
no Run holds those (their rows say so); over-refusal and unsafe compliance, which are domains of
their own; languages of one script (drift_text.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .drift_figures import Figure, Tested, churn_test, length_test, mix_test, over_tasks, share_test
from .drift_pairs import AnsweredRun, pair_answers
from .statistics.decision import FEWEST_ITEMS
from .statistics.families import benjamini_hochberg
from .statistics.normal import critical_value

if TYPE_CHECKING:
    import pandas as pd

Kind: TypeAlias = Literal["hard", "soft", "shown"]
#: A/A figures: task -> metric -> figure.
Noise: TypeAlias = Mapping[str, Mapping[str, Figure]]

_ALPHA = 0.05
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


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One metric's drift. Every number is finite or None."""

    metric: str
    kind: Kind
    words: str
    margin: float | None
    figures: Tested | None
    noise: Figure | None
    """The same figure between two runs of the baseline, over the same tasks."""
    counts: bool
    """Whether it may gate (hard) or warn (soft): measured, with an A/A run, on at least 30 items."""
    p_adjusted: float | None
    """Benjamini-Hochberg among the soft metrics that count."""
    warned: bool
    why: str
    """Why it does not count, or empty."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What drifted between two Runs."""

    rows: tuple[DriftRow, ...]
    unpaired: tuple[int, int]
    """Answers that only the baseline, and only the candidate, has."""
    noise_source: str = ""
    """Where the A/A figures come from; empty: there are none."""
    notes: tuple[str, ...] = field(default_factory=tuple)

    def row(self, metric: str) -> DriftRow:
        """The row of one metric; KeyError where there is none."""
        return {r.metric: r for r in self.rows}[metric]

    def p_values(self) -> dict[str, float]:
        """p of "no harm" of the hard metrics that count, for a gate's Holm family: `drift/loop` ..."""
        return {
            f"drift/{r.metric}": r.figures.p_harm
            for r in self.rows
            if r.kind == "hard" and r.counts and r.figures and r.figures.p_harm is not None
        }

    def failed(self, adjusted: Mapping[str, float], alpha: float = _ALPHA) -> tuple[str, ...]:
        """The hard metrics that fail once Holm's correction is done, by their family names."""
        harmed = {f"drift/{r.metric}" for r in self.rows if r.figures and r.figures.harmed}
        own = self.p_values()
        return tuple(n for n in own if n in harmed and adjusted.get(n, 1.0) <= alpha)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each soft metric that drifted."""
        return tuple(sentence(r) for r in self.rows if r.warned)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `verdict.json`, each row with its sentence."""
        return {
            **dataclasses.asdict(self),
            "rows": [{**dataclasses.asdict(r), "sentence": sentence(r)} for r in self.rows],
        }


def measure_drift(
    baseline: AnsweredRun,
    candidate: AnsweredRun,
    noise: Noise | None = None,
    *,
    tasks: frozenset[str] | None = None,
    noise_source: str = "",
    alpha: float = _ALPHA,
) -> Drift:
    """Compare the stored answers of two Runs.

    Args:
        baseline: the reference.
        candidate: the Run under test.
        noise: A/A figures of the baseline (drift_noise.load_aa); without them nothing counts.
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
    absent = [
        DriftRow(name, "soft", name, None, None, None, False, None, False, _NO_LOGPROBS)
        for name in ABSENT
    ]
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
    floor = 0.0
    figures: Tested | None
    if metric.name == "language_mix":
        items = frame["task"].value_counts()
        known = over_tasks(aa, {str(t): Figure(int(n), 0.0, 0.0) for t, n in items.items()})
        floor = known.change if known else 0.0
        figures = mix_test(frame, floor, metric.margin, alpha)
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
        metric.name,
        metric.kind,
        metric.words,
        metric.margin,
        figures,
        noise,
        not why,
        None,
        False,
        why,
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


def sentence(row: DriftRow) -> str:
    """One row in words."""
    found = row.figures
    if found is None:
        return f"{row.metric}: not measured ({row.why})."
    by_length = row.metric.startswith("length")
    ends = (found.change, found.low, found.high)
    change, low, high = (100 * (math.expm1(x) if by_length else x) for x in ends)
    p = "" if found.p_harm is None else f", p {max(found.p_harm, 1e-7):.2g}"
    adjusted = "" if row.p_adjusted is None else f" (BH {max(row.p_adjusted, 1e-7):.2g})"
    noise = "" if row.noise is None else f", A/A {_noise(row.noise, by_length)}"
    drifted = row.warned or (row.kind == "hard" and found.harmed)
    state = f"not gated: {row.why}" if row.why else "DRIFT" if drifted else "no drift shown"
    return (
        f"{row.words}: {change:+.1f}{'%' if by_length else ' points'} [{low:.1f}, {high:.1f}]{noise}, "
        f"{found.n} items{p}{adjusted}; {state}."
    )


def _noise(figure: Figure, by_length: bool) -> str:
    """The A/A figure with its 90% interval."""
    half = critical_value(_ALPHA) * figure.se
    ends = (figure.change - half, figure.change + half)
    low, high = (100 * (math.expm1(x) if by_length else x) for x in ends)
    return f"[{low:.1f}, {high:.1f}]"
