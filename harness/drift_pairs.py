"""Pairs the answers of two Runs and measures on each side what drifts.

One row for each answer that both sides have: the last of the candidate's turns of (task, sample_id,
repeat). Each measure is a column pair in [0, 1] (`loop_b`, `loop_c`), 1 is harm, NaN where it does not
apply: text of a private task, of which the Run holds no word, and multiple choice, which has no text.
Not here: tests (drift_figures.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from .comparability import Manifest
from .drift_text import Shape, asked_script, broken_json, is_json, shape
from .tables import WITHHELD

if TYPE_CHECKING:
    import pandas as pd

_ANSWER = ["task", "sample_id", "repeat"]
_KEPT = ("text", "stop_reason", "completion_tokens", "prompt")
#: A task speaks JSON where so many of the baseline's answers do.
_JSON_SHARE = 0.5


@runtime_checkable
class AnsweredRun(Protocol):
    """What drift needs of a Run."""

    @property
    def label(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def manifest(self) -> Manifest: ...
    def scores(self) -> pd.DataFrame: ...
    def generations(self) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True)
class PairedAnswers:
    """The answers of two Runs, one row for each that both have."""

    frame: pd.DataFrame
    """`task sample_id repeat unit value_b value_c tokens_b tokens_c asked script_b script_c` and the
    measures."""
    unpaired: tuple[int, int]
    """Answers that only the baseline, and only the candidate, has."""


def pair_answers(
    baseline: AnsweredRun, candidate: AnsweredRun, tasks: frozenset[str] | None = None
) -> PairedAnswers:
    """Pair the answers of the tasks that both Runs have (of these, those named in `tasks`)."""
    import pandas as pd

    common = set(baseline.manifest["tasks"]) & set(candidate.manifest["tasks"])
    wanted = common if tasks is None else common & tasks
    old, new = (_answers(run, wanted) for run in (baseline, candidate))
    both = pd.merge(old, new, on=_ANSWER, how="inner", suffixes=("_b", "_c"), sort=True)
    unpaired = (len(old) - len(both), len(new) - len(both))
    return PairedAnswers(_measured(both), unpaired)


def _answers(run: AnsweredRun, tasks: set[str]) -> pd.DataFrame:
    """The last answer of the candidate's role at each place, with its headline score."""
    table = run.generations()
    table = table[(table["role"] == "candidate") & table["task"].isin(tasks)]
    table = table.sort_values([*_ANSWER, "ordinal"], kind="stable")
    table = table.drop_duplicates(_ANSWER, keep="last")[[*_ANSWER, *_KEPT]]
    return table.merge(_headlines(run, tasks), on=_ANSWER, how="left")


def _headlines(run: AnsweredRun, tasks: set[str]) -> pd.DataFrame:
    import pandas as pd

    first = [(t, run.manifest["tasks"][t]["metrics"][0]["name"]) for t in sorted(tasks)]
    scores = run.scores()
    if "cluster" not in scores:
        scores = scores.assign(cluster=None)
    wanted = pd.DataFrame(first, columns=["task", "metric"])
    rows = scores.merge(wanted, on=["task", "metric"], how="inner")
    rows = rows.drop_duplicates(_ANSWER)[[*_ANSWER, "value", "reason", "cluster"]]
    return rows.assign(value=rows["value"].astype("float64"))


def _measured(both: pd.DataFrame) -> pd.DataFrame:
    """The measures of every pair."""
    columns: dict[str, Any] = {name: both[name] for name in _ANSWER}
    columns["unit"] = _units(both)
    asked = {prompt: asked_script(prompt) for prompt in both["prompt_b"].dropna().unique()}
    columns["asked"] = both["prompt_b"].map(asked)
    known: dict[str, Shape] = {}
    speaking = _speak_json(both)
    for end in ("b", "c"):
        columns |= _of_side(both, end, columns["asked"], known, speaking)
    import pandas as pd

    frame = pd.DataFrame(columns)
    same = (frame["value_b"] == frame["value_c"]).astype("float64")
    scored = frame["value_b"].notna() & frame["value_c"].notna()
    return frame.assign(churn=(1.0 - same).where(scored))


def _units(both: pd.DataFrame) -> pd.Series[str]:
    alone = "item/" + both["task"].astype(str) + "/" + both["sample_id"].astype(str)
    named = both["cluster_b"].where(both["cluster_b"].notna(), both["cluster_c"])
    return alone.where(named.isna(), "cluster/" + named.astype(str))


def _of_side(
    both: pd.DataFrame,
    end: str,
    asked: pd.Series[str],
    known: dict[str, Shape],
    speaking: Mapping[str, bool],
) -> dict[str, Any]:
    """One side's columns."""
    import pandas as pd

    texts, stops = both[f"text_{end}"], both[f"stop_reason_{end}"]
    said = stops.notna() & (stops != "choice")
    read = said & texts.notna() & (texts != WITHHELD)
    for text in texts[read].unique():
        if text not in known:
            known[text] = shape(text)
    shapes = pd.DataFrame(
        [known[t] for t in texts[read]], columns=list(Shape._fields), index=texts[read].index
    ).reindex(both.index)
    of_json = read & both["task"].map(speaking).fillna(False).astype(bool)
    broken = texts[of_json].map(broken_json).astype("float64").reindex(both.index)
    numbers = {
        name: shapes[name].astype("float64") for name in ("empty", "loop", "repetition", "refusal")
    }
    wrong = ((shapes["script"] != asked) & (shapes["script"] != "none")).astype("float64")
    value, reason = both[f"value_{end}"], both[f"reason_{end}"]
    tokens = both[f"completion_tokens_{end}"].astype("float64").where(said)
    measures = {
        **numbers,
        "truncated": (stops == "length").astype("float64").where(said),
        "unparsed": (reason == "unparsed").astype("float64").where(value.notna()),
        "broken_json": broken,
        "wrong_script": wrong.where(read & asked.notna() & (asked != "none")),
        "script": shapes["script"],
        "value": value,
        "tokens": tokens,
    }
    return {f"{name}_{end}": column for name, column in measures.items()}


def _speak_json(both: pd.DataFrame) -> dict[str, bool]:
    """Whether a task's answers are JSON, told from the baseline alone."""
    texts = both["text_b"]
    bare = both["stop_reason_b"] != "choice"  # the log-probabilities of choices are kept as JSON
    tried = bare & texts.notna() & texts.fillna("").str.contains("[{\\[]", regex=True)
    valid = texts[tried].map(is_json).astype("float64").reindex(both.index).fillna(0.0)
    return {str(t): bool(v >= _JSON_SHARE) for t, v in valid.groupby(both["task"]).mean().items()}
