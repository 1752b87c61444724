"""The words people read: one sentence an answer, in points, filled with the numbers at hand.

The wording is a contract: reports, CI files and the terminal print these strings unchanged. The
minus sign is "-"; a page may replace it.

Does not: decide anything, or round a blind spot in its own favor.
"""

import math

from .decision import Decision
from .planning import MORE_SAMPLES as _MORE
from .planning import DomainPlan, detectable_loss, detectable_mean, items_needed, paired_sd

_SEARCH_FLOOR = 1e-7


def points(x: float, *, signed: bool = True) -> str:
    """A proportion in points with one decimal: "-2.4", "+2.6", "0.0" (never "-0.0")."""
    text = f"{100 * x:+.1f}" if signed else f"{100 * x:.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def p_value(p: float) -> str:
    """ "0.034", "2.1e-5", or "< 1e-7" below the floor of the search."""
    if p < _SEARCH_FLOOR:
        return "< 1e-7"
    if p >= 0.001:
        return f"{p:.3f}"
    digits, exponent = f"{p:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def preflight(domain: str, plan: DomainPlan) -> str:
    """What this domain can show, before a run; the long form where 80% power is missing."""
    expected = (
        f"expected spread {plan.sd:.2f}"
        if plan.graded
        else f"expected discordance {100 * plan.discordance:.3g}%"
    )
    start = f"{domain}: {plan.n} items, {expected}. At margin {points(plan.margin, signed=False)} a"
    share = f"{_percent(plan.p_pass)} of the time"
    if plan.p_pass >= 0.8:
        return f"{start} change-free candidate would PASS {share}."
    cures = [f"80% needs {plan.items_needed} items"]
    if plan.passable is not None:
        cures.append(f"margin {points(plan.passable, signed=False)}")
    if plan.sampled_margin is not None:
        about = points(plan.sampled_margin, signed=False)
        cures.append(f"{_MORE[1]} samples an item (about {about})")
    treated = "GATING" if plan.gating else "ADVISORY"
    return (
        f"{start} change-free candidate would PASS only {share}; {', or '.join(cures)}. "
        f"Treated as {treated}."
    )


def blind_spot(name: str, plan: DomainPlan) -> str:
    """What stays unseen: losses below the smallest that FAILs with 80% power among J claims."""
    if plan.detectable_family is None:
        return f"{name}: no loss can be seen with {plan.n} items"
    start = f"{name}: losses below {_half_points_up(plan.detectable_family)} points cannot be seen"
    better = plan.sampled_family
    if better is None or _half_points_up(better) == _half_points_up(plan.detectable_family):
        return start
    return f"{start}; {_MORE[1]} samples an item bring it to {_half_points_up(better)}"


def pooled_blind_spot(loss: float) -> str:
    """The same for the mean over domains."""
    return f"mean over domains: losses below {_half_points_up(loss)} points cannot be seen"


def outcome(decision: Decision) -> str:
    """The sentence of one domain after a run, whatever its verdict."""
    if decision.too_few:
        changed = decision.b + decision.c
        return f"no verdict: {decision.n} items are fewer than 30; {changed} changed, listed below"
    sentence = _SENTENCES[decision.verdict](decision)
    if decision.b + decision.c == 0:
        sentence = f"{unchanged(decision)}. {sentence}" if decision.verdict != "pass" else sentence
    return f"{sentence} {small_set(decision)}." if decision.small else sentence


def estimate(decision: Decision) -> str:
    """ "-2.4 points, 90% CI [-7.6, +2.6]"."""
    level = _percent(decision.confidence)
    low, high = points(decision.low), points(decision.high)
    return f"{points(decision.delta)} points, {level} CI [{low}, {high}]"


def inconclusive(decision: Decision) -> str:
    """What was not shown, and how many more items or samples would show it."""
    margin = points(decision.margin, signed=False)
    start = (
        f"INCONCLUSIVE: {estimate(decision)}; neither a loss beyond {margin} nor its absence "
        "is shown."
    )
    needed = items_needed(decision.discordance, decision.margin, decision.delta)
    samples = f"{_MORE[1]} samples an item"
    helps = paired_sd(*_MORE) < math.sqrt(decision.discordance)
    if needed <= decision.n:
        # Enough items for a harmless candidate: the estimate itself lies near the margin.
        cure = f" or {samples}" if helps else ""
        return f"{start} More items{cure} would narrow the interval."
    spread = (
        f"this discordance ({100 * decision.discordance:.1f}%)"
        if decision.method in ("tango", "exact")
        else f"this spread ({math.sqrt(decision.discordance):.2f})"
    )
    more = f"needs {needed} items ({needed - decision.n} more)"
    cure = f" or {samples}" if helps else ""
    return f"{start} 80% power at margin {margin} and {spread} {more}{cure}."


def unchanged(decision: Decision) -> str:
    """Nothing changed: zero discordance is not zero uncertainty."""
    excluded = points(-decision.low, signed=False)
    level = _percent((1 + decision.confidence) / 2)
    return f"no item changed; loss above {excluded} points is excluded at {level} (n={decision.n})"


def small_set(decision: Decision) -> str:
    """The warning of 30 to 99 items, with the loss that the observed spread lets one see."""
    spread = max(decision.discordance, decision.margin)
    if decision.method in ("tango", "exact"):
        loss = detectable_loss(decision.n, spread, margin=decision.margin)
    else:
        loss = detectable_mean(math.sqrt(spread), decision.n, margin=decision.margin)
    if loss is None:
        return "small set: no loss can be seen"
    return f"small set: only losses above {points(loss, signed=False)} points can be seen"


def _pass(decision: Decision) -> str:
    margin = points(decision.margin, signed=False)
    sentence = f"PASS: {estimate(decision)}; a loss beyond {margin} is excluded"
    if decision.b + decision.c == 0:
        return f"PASS: {unchanged(decision)}."
    if "gain" in decision.flags:
        return f"{sentence}, and the gain is real (p {_stated(decision.p_gain)})."
    if "small_real_loss" in decision.flags:
        return f"{sentence}, but a smaller loss is real (p {_stated(decision.p_loss)})."
    return f"{sentence}."


def _fail(decision: Decision) -> str:
    margin = points(decision.margin, signed=False)
    beyond = ", and it is beyond the margin" if "material" in decision.flags else ""
    return (
        f"FAIL: {estimate(decision)}; the loss is real (p {_stated(decision.p_loss)}){beyond}; "
        f"{margin} was allowed."
    )


_SENTENCES = {"pass": _pass, "fail": _fail, "inconclusive": inconclusive}


def _stated(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _percent(share: float) -> str:
    """A whole percentage that is 0% or 100% only when it is exact."""
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{100 * share:.0f}%"


def _half_points_up(x: float) -> str:
    """Points, rounded up to a half: a blind spot is never understated."""
    return f"{math.ceil(200 * x - 1e-9) / 2:g}"
