"""A judged claim at equal length and style, beside the votes as they are.

A judge may like length or markup. Both sides answered the same prompts, so half a vote and half the
difference between their votes is the candidate's share against the baseline; it is modelled on how the two
answers differ in style (statistics/style_control.py). FAIL reads the difference at equal style; PASS needs it
and the votes as they are (gate statistics d). Where hardly any two answers are of one style there is no such
figure: then a loss counts as it was voted, nothing PASSes and no gain is shown. An empty answer is no matter of style. Not
here: fixed lists, of which the votes are all there is to say; whether the judge can be trusted
(judge_report.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .comparability import Manifest
from .judging import KEY
from .pairing import Claim, PairedClaim
from .statistics.decision import Decision, Flag, Outcome, reaches
from .statistics.normal import critical_value, upper_tail
from .statistics.style_control import FEATURES, Controlled, control, difference
from .verdict import EqualStyle

if TYPE_CHECKING:
    import pandas as pd

Place = tuple[str, str]
_NONE = [0.0] * len(FEATURES)


def judged_tasks(claim: Claim, manifest: Manifest) -> frozenset[str]:
    """The tasks of a claim on whose answers a judge votes."""
    return frozenset(claim.tasks) & frozenset(manifest.get("judging") or {})


def at_equal_style(
    own: PairedClaim,
    decision: Decision,
    judged: frozenset[str],
    sides: Iterable[pd.DataFrame],
    alpha_fail: float,
) -> tuple[Decision, EqualStyle]:
    """The decision on a judged claim with style held equal, and the figure behind it.

    Args:
        own: the claim's pairs.
        decision: on the votes as they are.
        judged: which of its tasks a judge votes on; the others have no style.
        sides: both score tables, the baseline's first.
        alpha_fail: level of FAIL, as for `decision`.
    """
    if decision.too_few:
        return decision, EqualStyle(why=f"{decision.n} prompts are too few")
    if not decision.b + decision.c:  # nothing that style could explain
        return decision, EqualStyle(0.0, decision.low, decision.high, decision.se, decision.p_loss)
    try:
        apart = _differences(own, [_styles(frame, judged) for frame in sides])
    except (KeyError, TypeError, ValueError):
        return _by_votes(decision, "a side's scores do not hold the style of its answers")
    shares = [float(s) for s in (1 + own.candidate - own.baseline) / 2]
    found = control(shares, apart, decision.confidence, list(own.unit))
    if isinstance(found, str):
        return _by_votes(decision, found)
    return _decided(decision, found, alpha_fail)


def _by_votes(decision: Decision, why: str) -> tuple[Decision, EqualStyle]:
    """A loss counts as it was voted; nothing PASSes, and no gain is shown."""
    if decision.verdict == "pass":
        decision = replace(decision, verdict="inconclusive", flags=())
    return replace(decision, z_gain=0.0, p_gain=1.0), EqualStyle(why=why)


def _decided(
    decision: Decision, found: Controlled, alpha_fail: float
) -> tuple[Decision, EqualStyle]:
    margin = decision.margin
    z_pass, z_loss = found.z_above((1 - margin) / 2), -found.z_above(0.5)
    p_pass, p_loss, p_gain = upper_tail(z_pass), upper_tail(z_loss), upper_tail(-z_loss)
    delta, low, high = (2 * share - 1 for share in (found.share, found.low, found.high))
    slope = 2 * found.share * (1 - found.share)
    shown = EqualStyle(delta, low, high, slope * found.se, p_loss)
    lost = z_loss >= critical_value(alpha_fail) and reaches(delta, margin)
    passed = decision.verdict == "pass" and p_pass <= (1 - decision.confidence) / 2
    gained = "gain" in decision.flags and p_gain <= alpha_fail
    verdict: Outcome = "fail" if lost else "pass" if passed else "inconclusive"
    flags: list[Flag] = ["material"] if lost and high < -margin else []
    flags += ["gain"] if verdict == "pass" and gained else []
    return replace(
        decision,
        z_pass=min(decision.z_pass, z_pass),
        z_loss=z_loss,
        z_gain=min(decision.z_gain, -z_loss),
        p_pass=max(decision.p_pass, p_pass),
        p_loss=p_loss,
        p_gain=max(decision.p_gain, p_gain),
        verdict=verdict,
        flags=tuple(flags),
    ), shown


def _styles(scores: pd.DataFrame, judged: frozenset[str]) -> dict[Place, list[float]]:
    """Mean style of each item's answers; an item of which some answer is empty has none.

    Raises:
        KeyError, TypeError, ValueError: a score does not say.
    """
    rows = scores[scores["task"].isin(judged) & scores["value"].notna()]
    rows = rows.drop_duplicates(["task", "sample_id", "repeat"])
    answers: dict[Place, list[list[float]]] = {}
    for task, sample, detail in rows[["task", "sample_id", "detail"]].itertuples(index=False):
        own = [float(x) for x in json.loads(detail)[KEY]["looks"]["own"]]
        if len(own) != len(FEATURES) or not all(math.isfinite(x) and x >= 0 for x in own):
            raise ValueError(f"{own} is no style")
        answers.setdefault((str(task), str(sample)), []).append(own)
    return {
        place: [math.fsum(column) / len(several) for column in zip(*several, strict=True)]
        for place, several in answers.items()
        if all(own[0] for own in several)
    }


def _differences(
    own: PairedClaim, sides: Iterable[Mapping[Place, list[float]]]
) -> list[list[float]]:
    """Candidate's style less baseline's, by item; nothing where either has none."""
    old, new = sides
    places: list[Any] = list(zip(own.task, own.sample_id, strict=True))
    return [
        difference(new[place], old[place]) if place in old and place in new else _NONE
        for place in places
    ]
