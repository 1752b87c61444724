"""Pairs the scores of two Runs item by item, and groups them into the claims a gate tests.

A claim is a domain, or one gated metric of a domain whose tasks declare several (`safety/unsafe`).
Items of all tasks of a claim are pooled with equal weight, so a larger task weighs more; several
repeats of an item are averaged first. A row counts only if both sides are scored; what is lost is
counted by side. Metrics where lower is better are turned round, so that a negative difference is
always a loss. Items of one cluster keep its name; what follows from it is in gate_units.py. Not here:
tests and verdicts (statistics/, gate.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .errors import DataError, UsageError
from .records import DOMAINS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_ITEM = ["task", "sample_id"]
_ANSWER = [*_ITEM, "repeat"]
_ROW = [*_ANSWER, "metric"]
#: Level of "more answers are lost on one side": a claim's lost pairs, two-sided mid-p.
UNEVEN_LEVEL = 0.01


@dataclass(frozen=True, slots=True)
class Claim:
    """What a gate says something about."""

    id: str
    domain: str
    metric: str
    """The gated metric; several names joined where the tasks call their only one differently."""
    lower_is_better: bool
    metrics: tuple[tuple[str, str], ...]
    """(task, metric), sorted."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Its tasks, sorted."""
        return tuple(task for task, _ in self.metrics)


@dataclass(frozen=True, slots=True)
class SideCounts:
    """What happened to one side's rows of a claim."""

    dropped: int
    """Rows unscored on this side and scored on the other."""
    missing: int
    """Rows that the other side has and this one does not."""
    unscored: Mapping[str, int]
    """Rows without a score, by reason."""
    notes: Mapping[str, int]
    """Scored rows by reason of the model's fault."""


@dataclass(frozen=True, slots=True)
class PairedClaim:
    """The paired scores of one claim, as numpy arrays of one length: the items."""

    claim: Claim
    rows: int
    """Rows that either side has, before anything was dropped."""
    task: NDArray[np.object_]
    sample_id: NDArray[np.object_]
    baseline: Floats
    """Scores in [0, 1], turned so that higher is better; the mean of an item's repeats."""
    candidate: Floats
    unit: NDArray[np.object_]
    """What an item shares with others (a fact, a passage); a name of its own where it stands alone."""
    samples: tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]] | None
    """Each item's single scores, baseline's and candidate's, where an item has several."""
    baseline_counts: SideCounts
    candidate_counts: SideCounts
    both_dropped: int
    """Rows unscored on both sides."""
    parts: Mapping[str, PairedClaim]
    """The same by task, where the claim has several."""

    @property
    def n(self) -> int:
        """Items scored on both sides."""
        return len(self.baseline)

    @property
    def units(self) -> int:
        """Independent observations among the items: clusters, and items that stand alone."""
        return len(set(self.unit))

    @property
    def clustered(self) -> bool:
        """Whether items share clusters."""
        return self.units < self.n

    @property
    def dropped(self) -> int:
        """Rows lost to the instrument, on whichever side."""
        return self.both_dropped + self.baseline_counts.dropped + self.candidate_counts.dropped


def claims(tasks: Mapping[str, Mapping[str, Any]]) -> tuple[Claim, ...]:
    """The claims that the tasks of a manifest make, in the order of the domains.

    Raises:
        DataError: a task belongs to no known domain.
        UsageError: tasks of one claim disagree on whether higher is better.
    """
    by_domain: dict[str, list[tuple[str, str, bool]]] = {domain: [] for domain in DOMAINS}
    for name, task in sorted(tasks.items()):
        if task["domain"] not in by_domain:
            raise DataError(
                f"Task '{name}' has the domain '{task['domain']}'; known: {', '.join(DOMAINS)}."
            )
        by_domain[task["domain"]] += [
            (name, str(m["name"]), m["better"] == "lower") for m in task["metrics"] if m["gated"]
        ]
    found: list[Claim] = []
    for domain, metrics in by_domain.items():
        names = list(dict.fromkeys(metric for _, metric, _ in metrics))
        for name in names:
            own = [entry for entry in metrics if entry[1] == name]
            found.append(_claim(domain if len(names) == 1 else f"{domain}/{name}", domain, own))
    return tuple(found)


def _claim(id: str, domain: str, entries: list[tuple[str, str, bool]]) -> Claim:
    if len({lower for _, _, lower in entries}) > 1:
        raise UsageError(
            f"The tasks of '{id}' disagree on whether a higher '{entries[0][1]}' is better; "
            "give one of their metrics another name."
        )
    metrics = tuple((task, metric) for task, metric, _ in entries)
    return Claim(id, domain, entries[0][1], entries[0][2], metrics)


def shortfall(
    manifest: Mapping[str, Any], scores: pd.DataFrame, tasks: Iterable[str]
) -> dict[str, int]:
    """Answers that the manifest declares and the table lacks (negative: has too many), by task."""
    present = scores[_ANSWER].drop_duplicates().groupby("task", observed=True).size()
    declared = {t: manifest["tasks"][t] for t in tasks if t in manifest["tasks"]}
    gaps = {
        name: int(task["items"]) * int(task["repeats"]) - int(present.get(name, 0))
        for name, task in declared.items()
    }
    return {name: gap for name, gap in gaps.items() if gap}


def pair(
    wanted: Iterable[Claim],
    baseline: pd.DataFrame,
    candidate: pd.DataFrame,
    prefixes: frozenset[str] = frozenset(),
) -> dict[str, PairedClaim]:
    """Pair two score tables (columns of scores.parquet) by task, sample, repeat and metric.

    Args:
        wanted: the claims to build.
        baseline: rows of the baseline.
        candidate: rows of the candidate.
        prefixes: tasks that were stopped early on a side; compared on the common items, and what
            the other side has beyond them is not missing.

    Raises:
        DataError: a row occurs twice, or a score lies outside [0, 1].
    """
    import pandas as pd

    wanted = list(wanted)
    ids = {key: claim.id for claim in wanted for key in claim.metrics}
    old, new = _rows(baseline, ids, "baseline"), _rows(candidate, ids, "candidate")
    both = pd.merge(old, new, on=[*_ROW, "claim"], how="outer", suffixes=("_b", "_c"), sort=True)
    for end, frame in (("b", baseline), ("c", candidate)):
        both[f"lost_{end}"] = _absent(both, frame, end) & ~both["task"].isin(prefixes)
    # A null row whose partner does not exist, although its sample does: it counts for nothing there.
    both = both[_counts(both)]
    groups = dict(list(both.groupby("claim", sort=False, observed=True)))
    empty = both.iloc[:0]
    return {claim.id: _paired(claim, groups.get(claim.id, empty)) for claim in wanted}


def uneven(paired: PairedClaim) -> bool:
    """Whether significantly more answers were lost on one side than on the other."""
    from .statistics.mcnemar import midp_two_sided

    lost = (paired.baseline_counts.dropped, paired.candidate_counts.dropped)
    return midp_two_sided(*lost) <= UNEVEN_LEVEL


def _rows(frame: pd.DataFrame, ids: Mapping[tuple[str, str], str], side: str) -> pd.DataFrame:
    """One side's gated rows, checked, with their claim."""
    import pandas as pd

    keys = pd.DataFrame(
        [(*key, claim) for key, claim in ids.items()], columns=["task", "metric", "claim"]
    )
    if "cluster" not in frame:  # tables of before there were clusters
        frame = frame.assign(cluster=None)
    rows = frame[[*_ROW, "value", "reason", "cluster"]].merge(
        keys, on=["task", "metric"], how="inner"
    )
    rows["value"] = rows["value"].astype("float64")  # a column of nothing but nulls has no type
    twice = rows.duplicated(_ROW)
    if twice.any():
        first = ", ".join(map(str, rows.loc[twice, _ROW].iloc[0]))
        raise DataError(f"The {side} has the row ({first}) twice; run the evaluation again.")
    outside = rows["value"].notna() & ~rows["value"].between(0.0, 1.0)
    if outside.any():
        worst = rows[outside].iloc[0]
        raise DataError(
            f"The {side} scores '{worst['sample_id']}' of '{worst['task']}' {worst['value']!r}; "
            "scores lie in [0, 1]: correct the scorer and run the evaluation again."
        )
    return rows.assign(there=True)


def _absent(both: pd.DataFrame, frame: pd.DataFrame, end: str) -> pd.Series[bool]:
    """Rows this side lacks although it should have them.

    Where the other side has a score, the row is lost; where the other is unscored as well, it is
    lost only if the whole answer is absent, since a sample need not count for every metric.
    """
    other = "c" if end == "b" else "b"
    lacks = both[f"there_{end}"].isna()
    if not lacks.any():
        return lacks
    known = frame[_ANSWER].drop_duplicates().assign(answered=True)
    answered = both[_ANSWER].merge(known, on=_ANSWER, how="left")["answered"].notna().to_numpy()
    return lacks & (both[f"value_{other}"].notna() | ~answered)


def _counts(both: pd.DataFrame) -> pd.Series[bool]:
    there = both["there_b"].notna() & both["there_c"].notna()
    return there | both["lost_b"] | both["lost_c"]


def _paired(claim: Claim, rows: pd.DataFrame) -> PairedClaim:
    if len(claim.metrics) == 1:
        return _pool(claim, rows, {})
    tasks = dict(list(rows.groupby("task", sort=False, observed=True)))
    empty = rows.iloc[:0]
    single = [replace(claim, metrics=(entry,)) for entry in claim.metrics]
    parts = {c.tasks[0]: _pool(c, tasks.get(c.tasks[0], empty), {}) for c in single}
    return _pool(claim, rows, parts)


def _pool(claim: Claim, rows: pd.DataFrame, parts: Mapping[str, PairedClaim]) -> PairedClaim:
    scored = rows["value_b"].notna(), rows["value_c"].notna()
    there = rows["there_b"].notna() & rows["there_c"].notna()
    kept, samples = rows[scored[0] & scored[1]], None
    if claim.lower_is_better:
        kept = kept.assign(value_b=1.0 - kept["value_b"], value_c=1.0 - kept["value_c"])
    kept = kept.assign(unit=_units(kept))
    if kept["repeat"].nunique() > 1:
        items = kept.groupby(_ITEM, sort=True, observed=True)
        samples = (
            tuple(tuple(map(float, own)) for _, own in items["value_b"]),
            tuple(tuple(map(float, own)) for _, own in items["value_c"]),
        )
        means = {"value_b": "mean", "value_c": "mean", "unit": "first"}
        kept = items[list(means)].agg(means).reset_index()
    old, new = (kept[c].to_numpy(dtype="float64") for c in ("value_b", "value_c"))
    return PairedClaim(
        claim=claim,
        rows=len(rows),
        task=kept["task"].to_numpy(dtype=object),
        sample_id=kept["sample_id"].to_numpy(dtype=object),
        baseline=old,
        candidate=new,
        unit=kept["unit"].to_numpy(dtype=object),
        samples=samples,
        baseline_counts=_side(rows, "b", there & ~scored[0] & scored[1]),
        candidate_counts=_side(rows, "c", there & ~scored[1] & scored[0]),
        both_dropped=int((there & ~scored[0] & ~scored[1]).sum()),
        parts=parts,
    )


def _units(kept: pd.DataFrame) -> pd.Series[str]:
    """The cluster's name, the baseline's where both sides give one, or the item's own."""
    alone = "item/" + kept["task"].astype(str) + "/" + kept["sample_id"].astype(str)
    named = kept["cluster_b"].where(kept["cluster_b"].notna(), kept["cluster_c"])
    # Over tasks, one name is one cluster: too coarse a unit costs power, too fine a one false alarms.
    return alone.where(named.isna(), "cluster/" + named.astype(str))


def _side(rows: pd.DataFrame, end: str, dropped: pd.Series[bool]) -> SideCounts:
    unscored = rows[f"there_{end}"].notna() & rows[f"value_{end}"].isna()
    noted = rows[f"value_{end}"].notna() & rows[f"reason_{end}"].notna()
    reasons = rows[f"reason_{end}"].fillna("unknown")
    return SideCounts(
        dropped=int(dropped.sum()),
        missing=int(rows[f"lost_{end}"].sum()),
        unscored=_tally(reasons[unscored]),
        notes=_tally(reasons[noted]),
    )


def _tally(reasons: pd.Series[str]) -> dict[str, int]:
    return {str(k): int(v) for k, v in sorted(reasons.value_counts().items())}
