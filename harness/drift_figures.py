"""The figures and tests of behavior drift on paired answers: shares, lengths, languages, churn.

The unit is the item, or the cluster it belongs to; repeats and members are averaged first. Every test
answers two questions: how surprising is this harm if there were none (`p_harm`), and how surprising
if it were as large as the margin (`p_within`). Not here: which metric is hard or soft, corrections
over metrics (drift.py), reading answers (drift_pairs.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .drift_record import Figure, Tested
from .statistics.decision import decide, reaches
from .statistics.normal import critical_value, upper_tail
from .statistics.paired import pair_scores, t_upper_tail

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DRAWS = 1000
_SEED = 20261120


def share_test(frame: pd.DataFrame, name: str, margin: float, alpha: float) -> Tested | None:
    """A measure in [0, 1] where more is harm: Tango on pairs of 0 and 1, paired t on graded ones.

    The rules of a domain's verdict with harm as the loss. None where the measure applies nowhere.
    """
    old, new = _unit_means(frame, f"{name}_b", f"{name}_c")
    if not len(old):
        return None
    found = decide(pair_scores(1.0 - old, 1.0 - new), margin, alpha, alpha)
    return Tested(
        n=found.n,
        baseline=float(old.mean()),
        candidate=float(new.mean()),
        change=0.0 - found.delta,
        low=0.0 - found.high,
        high=0.0 - found.low,
        more=found.c,
        less=found.b,
        p_harm=found.p_loss,
        p_within=found.p_pass,
        reaches=reaches(found.delta, margin),
        harmed=found.verdict == "fail",
        parts=_parts(frame, frame[f"{name}_c"] - frame[f"{name}_b"]),
    )


def length_test(
    frame: pd.DataFrame, margin: float, alpha: float, *, both_ways: bool
) -> Tested | None:
    """Mean log ratio of the answers' tokens (an answer of none counts as one), paired t.

    Args:
        frame: paired answers.
        margin: a log ratio.
        alpha: level of the interval and of `harmed`.
        both_ways: shorter is drift as well: two-sided p, and equivalence by two one-sided tests
            (TOST); otherwise only longer is.
    """
    import numpy as np

    ratio = np.log(frame["tokens_c"].clip(lower=1) / frame["tokens_b"].clip(lower=1))
    if not (frame["tokens_b"].max() > 0 and frame["tokens_c"].max() > 0):
        return None
    (d,) = _unit_means(frame.assign(ratio=ratio), "ratio")
    if len(d) < 2:
        return None
    mean, df = math.fsum(d) / len(d), len(d) - 1
    se = float(d.std(ddof=1)) / math.sqrt(len(d))
    longer, shorter = _t_tail(mean, se, df), _t_tail(-mean, se, df)
    under = _t_tail(margin - mean, se, df)
    over = _t_tail(margin + mean, se, df)
    p_harm = min(1.0, 2 * min(longer, shorter)) if both_ways else longer
    half = _t_quantile(alpha, df) * se
    large = reaches(-abs(mean) if both_ways else -mean, margin)
    return Tested(
        n=len(d),
        baseline=None,
        candidate=None,
        change=mean,
        low=mean - half,
        high=mean + half,
        more=int((d > 0).sum()),
        less=int((d < 0).sum()),
        p_harm=p_harm,
        p_within=max(under, over) if both_ways else under,
        reaches=large,
        harmed=p_harm <= alpha and large,
        parts=_parts(frame, ratio),
    )


def mix_test(
    frame: pd.DataFrame, aa: Mapping[str, Figure], margin: float, alpha: float
) -> Tested | None:
    """Total variation between the sides' joint shares of (item's script, answer's script).

    The p exchanges the sides of each item at random; the interval draws items anew (both with a
    fixed seed). The first repeat of each item only, so that items stay independent; a total variation
    is never below 0, hence that of the A/A run is taken off before it is held against the margin.
    """
    import numpy as np
    import pandas as pd

    cells = ["asked", "script_b", "script_c"]
    rows = frame.drop_duplicates("unit").dropna(subset=cells)
    if rows.empty:
        return None
    parts = _mix_parts(rows)
    noise = over_tasks(aa, parts)
    floor = noise.change if noise else 0.0
    counted = rows.groupby(cells, observed=True).size()
    codes, names = pd.factorize(
        np.array([f"{a}\0{s}" for a, b, c in counted.index for s in (b, c)], dtype=object)
    )
    ends, counts = codes.reshape(-1, 2), counted.to_numpy(dtype=np.int64)
    n, k, draw = int(counts.sum()), len(names), np.random.default_rng(_SEED)
    observed = float(_variation(counts[None, :], ends, k)[0]) / n
    swapped = draw.binomial(counts, 0.5, size=(_DRAWS, len(counts)))
    null = _variation(counts - 2 * swapped, ends, k) / n
    again = _variation(draw.multinomial(n, counts / n, size=_DRAWS), ends, k) / n
    p = (1 + int((null >= observed - 1e-12).sum())) / (1 + _DRAWS)
    return Tested(
        n=n,
        baseline=None,
        candidate=None,
        change=observed,
        low=float(np.quantile(again, alpha)),
        high=float(np.quantile(again, 1 - alpha)),
        more=int((rows["script_b"] != rows["script_c"]).sum()),
        less=0,
        p_harm=p,
        p_within=(1 + int((again - floor >= margin).sum())) / (1 + _DRAWS),
        reaches=reaches(floor - observed, margin),
        harmed=p <= alpha and reaches(floor - observed, margin),
        parts=parts,
    )


def churn_test(
    frame: pd.DataFrame, aa: Mapping[str, Figure], margin: float, alpha: float
) -> Tested | None:
    """Share of items whose score changed, either way, against the churn of an A/A run.

    Tasks weigh as in this comparison. Unpaired z with the standard errors of both: the A/A items are
    often a part of these, which only makes the test cautious. Without an A/A run the share is shown
    and nothing is tested.
    """
    (d,) = _unit_means(frame, "churn")
    if not len(d):
        return None
    n, rate = len(d), float(d.mean())
    parts = _parts(frame, frame["churn"])
    se = smoothed_se(d)
    half = critical_value(alpha) * se
    noise = over_tasks(aa, parts)
    p_harm, p_within, excess = None, None, rate
    if noise is not None:
        excess, both = rate - noise.change, math.hypot(se, noise.se)
        p_harm, p_within = upper_tail(excess / both), upper_tail((margin - excess) / both)
    return Tested(
        n=n,
        baseline=None,
        candidate=None,
        change=rate,
        low=max(0.0, rate - half),
        high=min(1.0, rate + half),
        more=int((frame["value_c"] > frame["value_b"]).sum()),
        less=int((frame["value_c"] < frame["value_b"]).sum()),
        p_harm=p_harm,
        p_within=p_within,
        reaches=p_harm is not None and reaches(-excess, margin),
        harmed=p_harm is not None and p_harm <= alpha and reaches(-excess, margin),
        parts=parts,
    )


def over_tasks(aa: Mapping[str, Figure], parts: Mapping[str, Figure]) -> Figure | None:
    """A/A figures of one metric pooled with the weights of a comparison; None if a task lacks one."""
    if not parts or any(task not in aa for task in parts):
        return None
    total = sum(part.n for part in parts.values())
    shares = {task: part.n / total for task, part in parts.items()}
    return Figure(
        n=sum(aa[task].n for task in parts),
        change=math.fsum(w * aa[task].change for task, w in shares.items()),
        se=math.sqrt(math.fsum((w * aa[task].se) ** 2 for task, w in shares.items())),
    )


def smoothed_se(d: Floats) -> float:
    """Standard error of the mean of d as if one more pair of units had one change: never 0."""
    n = len(d)
    variance = (math.fsum(d * d) + 1) / (n + 2) - (math.fsum(d) / n) ** 2
    return math.sqrt(max(variance, 1 / (n + 2) ** 2) / n)


def _unit_means(frame: pd.DataFrame, *columns: str) -> tuple[Floats, ...]:
    """The mean of each unit in each column, over the rows where all of them apply."""
    import numpy as np
    import pandas as pd

    values = [frame[c].to_numpy(dtype=np.float64) for c in columns]
    kept = ~np.isnan(np.array(values)).any(axis=0)
    codes, units = pd.factorize(frame["unit"].to_numpy()[kept])
    if len(units) == len(codes):
        return tuple(v[kept] for v in values)
    members = np.bincount(codes)
    return tuple(np.bincount(codes, v[kept]) / members for v in values)


def _parts(frame: pd.DataFrame, change: Any) -> dict[str, Figure]:
    parts = {}
    own = frame[["task", "unit"]].assign(change=change)
    for task, rows in own.groupby("task", sort=True, observed=True):
        (d,) = _unit_means(rows, "change")
        if len(d):
            parts[str(task)] = Figure(len(d), float(d.mean()), smoothed_se(d))
    return parts


def _mix_parts(rows: pd.DataFrame) -> dict[str, Figure]:
    """Total variation by task; its error is at most that of the share of answers that moved."""
    import numpy as np

    parts = {}
    for task, own in rows.groupby("task", sort=True, observed=True):
        shares = [
            own.groupby(["asked", f"script_{end}"], observed=True).size() / len(own)
            for end in ("b", "c")
        ]
        distance = (
            shares[0]
            .rename_axis(["asked", "said"])
            .sub(shares[1].rename_axis(["asked", "said"]), fill_value=0.0)
        )
        moved = np.asarray(own["script_b"] != own["script_c"], dtype=np.float64)
        parts[str(task)] = Figure(len(own), float(distance.abs().sum()) / 2, smoothed_se(moved))
    return parts


def _variation(weights: Any, ends: Any, k: int) -> Any:
    """Total variation of draws: weights (draws, cells) of items from `ends[:, 0]` to `ends[:, 1]`."""
    import numpy as np

    total = np.zeros((len(ends), k))
    at = np.arange(len(ends))
    np.add.at(total, (at, ends[:, 0]), 1.0)
    np.add.at(total, (at, ends[:, 1]), -1.0)
    return np.abs(weights @ total).sum(axis=1) / 2


def _t_tail(distance: float, se: float, df: int) -> float:
    """P(T >= distance / se); certain where nothing varies."""
    if se <= 1e-12:
        return 1.0 if distance <= 1e-12 else 0.0
    return t_upper_tail(distance / se, df)


def _t_quantile(alpha: float, df: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, 1 - alpha))
