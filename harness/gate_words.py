"""The gate's own sentences: verdict lines, rules with observed numbers, what stays unseen.

Sentences about one domain's figures come from `statistics.sentences`; here they are joined with what
the gate adds: Holm's correction, missing and required evidence, blind spots. Not here: any decision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from .gate_evidence import Evidence
from .gate_fixed import fixed_sentence
from .gate_looks import TENTHS
from .gate_plan import ClaimPlan, Plan
from .gate_units import sampling
from .policy import Policy
from .statistics.decision import FEWEST_ITEMS, Decision
from .statistics.families import Pooled
from .statistics.planning import plan_domain
from .statistics.proportions import wilson_interval
from .statistics.sentences import blind_spot, estimate, outcome, p_value, points, preflight
from .statistics.two_level import TwoLevel


def plan_sentence(plan: ClaimPlan) -> str:
    """What this claim can show, before a run, with its blind spot."""
    id = plan.claim.id
    if plan.listed and plan.units >= FEWEST_ITEMS:
        return (
            f"{id}: what the full run of these {plan.listed} problems says, and nothing of others."
        )
    if plan.numbers is None:
        return f"{id}: {_few(plan, comma=' are')}; no verdict is possible."
    sentences = [_in_units(preflight(id, plan.numbers), clustered=plan.clustered)]
    if "at_floor" in plan.flags:
        sentences.append(f"{_floor(plan)}.")
    else:
        spot = blind_spot(id, plan.numbers)
        sentences.append(f"{_in_units(spot, clustered=plan.clustered)}.")
    if plan.clustered and plan.numbers is not None:
        sentences.append(f"{plan.items} items in {plan.units} clusters; the unit is the cluster.")
    if plan.sampling:
        k = round(1 / plan.sampling.inverse_k_candidate)
        sentences.append(f"Planned with {k} answers an item on both sides. {_parts(plan.sampling)}")
    return " ".join(sentences)


def domain_sentence(found: Evidence, *, failed: bool, adjusted: float | None, family: int) -> str:
    """What happened to one claim, in the words of its decision."""
    if found.missing or found.trouble:
        return found.missing or found.trouble
    if found.decision is None:
        return f"{found.plan.claim.id}: no item is scored on both sides."
    if "unverified" in found.plan.flags:
        return f"{_unverified(found.plan)}: {estimate(found.decision)}."
    if "at_floor" in found.plan.flags:
        return f"INCONCLUSIVE: {estimate(found.decision)}; {_floor(found.plan)}."
    if found.plan.listed:
        return fixed_sentence(found.decision, found.paired.n, found.plan.listed)
    seen = _seen(found, found.decision)
    said = _in_units(outcome(seen), clustered=found.paired.clustered)
    if seen.verdict == "fail" and not failed:
        p = _stated(1.0 if adjusted is None else adjusted)
        said = (
            f"INCONCLUSIVE: {estimate(seen)}; a loss if this were the only claim, but not "
            f"among {family} (Holm p {p})."
        )
    rest = [_at_equal_style(found), _unit(found), _sampled(found), _early(found)]
    return " ".join(filter(None, [said, *rest]))


def saved(read: int, planned: int, tokens: int) -> str:
    """What a live gate did not have to ask; tokens by the mean of the items that were asked."""
    if read >= planned:
        return (
            f"All {planned} items were asked, tenth by tenth; each claim counts as it stood where it "
            "was decided."
        )
    return (
        f"Stopped early: {read} of {planned} items were enough ({planned - read} items saved, and an "
        f"estimated {tokens} tokens by the mean of the answered ones)."
    )


def second_decision() -> str:
    """A complete Run that another gate asked by its own looks."""
    return (
        "The candidate was asked by the looks of another gate (another policy, target or baseline); "
        "this is a second decision on the same answers, with an error rate of its own."
    )


def _early(found: Evidence) -> str:
    reading = found.reading
    if reading is None or not reading.stop or reading.tenth == TENTHS:
        return ""
    whole = reading.looks.plan.items
    return (
        f"Decided after {found.paired.n} of {whole} items; where one stops early, the estimate "
        "exaggerates."
    )


def _at_equal_style(found: Evidence) -> str:
    """What a judge's votes say with length and style held equal."""
    style, decision = found.equal_style, found.decision
    if style is None or decision is None:
        return ""
    if style.delta is None or style.p_loss is None:
        return (
            f"No figure at equal length and style ({style.why}), so a loss counts as it was voted and nothing "
            "can PASS."
        )
    if decision.verdict == "fail":
        return f"That is at equal length and style (a modelling assumption); as voted {estimate(decision)}."
    level = f"{100 * decision.confidence:g}%"
    return (
        f"At equal length and style {points(style.delta)} points, {level} CI "
        f"[{points(style.low or 0.0)}, {points(style.high or 0.0)}], p {_stated(style.p_loss)} (a "
        "modelling assumption): FAIL reads this, PASS needs both."
    )


def _seen(found: Evidence, decision: Decision) -> Decision:
    """The decision with the figures that it rests on: a loss is read at equal length and style."""
    return (found.read or decision) if decision.verdict == "fail" else decision


def claim_lost(found: Evidence) -> str:
    """How a lost claim is called: with what was held equal, where its votes are not what counts."""
    id = found.plan.claim.id
    return f"{id} at equal length and style" if found.read is not found.decision else id


def _unit(found: Evidence) -> str:
    if not found.paired.clustered:
        return ""
    counted = f"{found.paired.n} items in {found.paired.units} clusters"
    few = (
        "; fewer than 30 clusters are advisory" if found.decision and found.decision.too_few else ""
    )
    return f"The unit is the cluster: {counted}{few}."


def _sampled(found: Evidence) -> str:
    """Several samples an item: what the error is made of."""
    parts = sampling(found.paired)
    if parts is None:
        return ""
    return _parts(parts)


def _parts(parts: TwoLevel) -> str:
    """What an error is made of, and which of items and samples makes it smaller."""
    now, endless = points(parts.se, signed=False), points(parts.se_endless_samples, signed=False)
    return (
        f"Standard error {now} points, {endless} with endless samples an item; more "
        f"{parts.helps_more} help more."
    )


def _in_units(text: str, *, clustered: bool) -> str:
    """A sentence about items, said of clusters where these are what was counted."""
    if not clustered:
        return text
    return text.replace(" items", " clusters").replace("no item changed", "no cluster changed")


def _few(plan: ClaimPlan, comma: str = ",") -> str:
    """ "12 items, fewer than 30", or the same of clusters."""
    if plan.clustered:
        return f"{plan.items} items in {plan.units} clusters{comma} fewer than 30 clusters"
    return f"{plan.items} items{comma} fewer than 30"


def rule(found: Evidence, adjusted: float | None, family: int) -> str:
    """What was allowed and what was seen."""
    allowed = f"{found.plan.claim.id} must not drop by more than {_up(found.plan.margin)} points"
    if found.decision is None:
        return f"{allowed}; nothing was observed."
    holm = "" if adjusted is None else f", Holm-adjusted over {family} {_stated(adjusted)}"
    seen = _seen(found, found.decision)
    how = "" if seen is found.decision else " at equal length and style"
    low, high = points(seen.low), points(seen.high)
    return f"{allowed}; observed {points(seen.delta)} [{low}, {high}]{how}, p {_stated(seen.p_loss)}{holm}."


def pooled_sentence(pooled: Pooled | None, adjusted: float | None) -> str:
    """The mean over domains."""
    if pooled is None:
        return "The mean over domains is not taken: not every tested domain is complete."
    over = f"{pooled.domains} domain{'s' * (pooled.domains != 1)}"
    low, high = points(pooled.low), points(pooled.high)
    p = "" if adjusted is None else f"; Holm p of a loss {_stated(adjusted)}"
    return f"Mean over {over}: {points(pooled.delta)} points [{low}, {high}]{p}."


def no_harm(frozen: Plan) -> str:
    """Exit 0 under `harm`, never without what could not be seen."""
    if frozen.listed:
        return _on_lists(frozen)
    return f"No loss of a whole margin is shown; {unseen(frozen)}."


def _on_lists(frozen: Plan) -> str:
    """Exit 0 where only fixed lists are spoken of."""
    lists = [f"these {c.listed} problems ({c.claim.id})" for c in frozen.tested]
    return f"No loss of a whole margin on {', '.join(lists)}; nothing is said of other problems."


def unseen(frozen: Plan) -> str:
    """The blind spots of every claim and of the mean, in points, rounded up to a half."""
    spots = [f"{c.claim.id} {_up(c.blind_spot)}" for c in frozen.tested if c.blind_spot is not None]
    blind = [c.claim.id for c in frozen.claims if c.blind_spot is None]
    mean = frozen.pooled_blind_spot
    pooled = "" if mean is None else f", mean over domains {_up(mean)}"
    text = f"losses below these cannot be seen (points): {', '.join(spots)}{pooled}"
    return f"{text}; nothing can be seen in {', '.join(blind)}" if blind else text


def excluded(frozen: Plan, policy: Policy) -> str:
    """Exit 0 under `release` and `strict`."""
    if frozen.listed:
        return _on_lists(frozen)
    gating = [c.claim.id for c in frozen.tested if c.gating]
    advisory = [c.claim.id for c in frozen.claims if not c.gating]
    names = gating if policy.name == "strict" else list(policy.critical)
    start = f"Losses beyond the margins are excluded in {', '.join(names)}; " if names else ""
    rest = f"; advisory only: {', '.join(advisory)}" if advisory and policy.name == "strict" else ""
    mean = _up(policy.mean_harm)
    text = f"{start}a mean loss of {mean} points is excluded{rest}; {unseen(frozen)}."
    return text[0].upper() + text[1:]


def regression(failed: Sequence[tuple[str, Decision, float]]) -> str:
    """Exit 1: the lost claims (id, decision, Holm p), the worst in full and the others by size."""
    if not failed:
        return ""
    worst, *others = sorted(failed, key=lambda claim: claim[1].delta)
    id, d, p = worst
    first = (
        f"{id} lost {points(-d.delta, signed=False)} points "
        f"({100 * d.confidence:.0f}% CI [{points(d.low)}, {points(d.high)}], Holm p {_stated(p)}; "
        f"{_up(d.margin)} allowed)"
    )
    also = ", ".join(f"{id} {points(d.delta)}" for id, d, _ in others)
    return f"{first}; also lost: {also}." if also else f"{first}."


def churned(found: Evidence) -> str:
    """Where far more items changed than was planned: the blind spot is larger than was printed."""
    seen, planned = found.decision, found.plan
    if not found.usable or seen is None or planned.numbers is None:
        return ""
    low, _ = wilson_interval(seen.discordance * seen.n, seen.n, 0.9)
    if low <= planned.discordance:
        return ""
    now = plan_domain(
        seen.n,
        planned.margin,
        None if planned.graded else seen.discordance,
        sd=math.sqrt(seen.discordance) if planned.graded else None,
        family=planned.numbers.family,
    )
    spot = now.detectable_family
    unseen = "no loss could" if spot is None else f"losses below {_up(spot)} points could not"
    return (
        f"{planned.claim.id}: {100 * seen.discordance:.1f}% of the items changed, more than the "
        f"{100 * planned.discordance:.1f}% planned with; {unseen} be seen."
    )


def discordance_notes(frozen: Plan) -> Iterator[str]:
    """Where planned discordances come from, a line for each source but the table."""
    by_origin: dict[str, list[str]] = {}
    for claim in frozen.claims:
        share = f"{claim.claim.id} {100 * claim.discordance:.1f}%"
        by_origin.setdefault(claim.discordance_from, []).append(share)
    said = {
        "policy": "Planned discordance from the policy",
        "A/A": f"Planned discordance as measured between the baseline and itself ({frozen.noise})",
        "samples": "Planned squared spread of the mean of several answers an item",
    }
    for origin, text in said.items():
        if origin in by_origin:
            yield f"{text}: {', '.join(by_origin[origin])}."


def lost_on_lists(failed: Iterable[Evidence]) -> str:
    """Exit 1 where only fixed lists are spoken of."""
    return " ".join(
        f"{e.plan.claim.id}: {fixed_sentence(e.decision, e.paired.n, e.plan.listed)}"
        for e in failed
        if e.decision and e.plan.listed
    )


def unmet(plan: ClaimPlan) -> str | None:
    """Why a required claim has no evidence, or None."""
    id = plan.claim.id
    if "no_verdict" in plan.flags:
        return f"{id} is required and has {_few(plan)}; evaluate more."
    if "unverified" in plan.flags:
        return (
            f"{_unverified(plan)} and is required; write `allow_unverified: true` to let it gate."
        )
    if "at_floor" in plan.flags:
        return f"{id} is required, but {_floor(plan)}; choose an easier suite."
    if "underpowered" in plan.flags and plan.numbers is not None:
        twice, needed = _up(2 * plan.margin), plan.numbers.items_needed
        return (
            f"{id} is required, but {plan.units} {'clusters' if plan.clustered else 'items'} cannot show a loss of {twice} points "
            f"(80% power); about {needed} can, or a discordance measured by `waterbed noise RUN`."
        )
    return None


def unseen_mean(frozen: Plan, policy: Policy) -> str | None:
    """Why too large a loss over all domains could stay unseen, or None."""
    spot = frozen.pooled_blind_spot
    if spot is None:
        reasons = "; ".join(_untested(c) for c in frozen.claims)
        return f"Nothing can be tested ({reasons or 'the baseline has no gated task'})."
    if spot > policy.max_mde:
        return (
            f"A mean loss of {_up(spot)} points could stay unseen and the policy allows "
            f"{_up(policy.max_mde)} (max_mde); evaluate more items or suites."
        )
    return None


def _untested(plan: ClaimPlan) -> str:
    if "no_verdict" in plan.flags:
        return f"{plan.claim.id} has {_few(plan)}"
    if "unverified" in plan.flags:
        return f"{_unverified(plan)}, which `allow_unverified: true` lets gate"
    return f"{plan.claim.id}: {_floor(plan)}"


def _floor(plan: ClaimPlan) -> str:
    return f"the baseline is within {_up(plan.margin)} points of guessing, so nothing can be lost"


def _unverified(plan: ClaimPlan) -> str:
    return f"{plan.claim.id} is scored by an unverified task"


def _stated(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _up(x: float) -> str:
    """Points, as written for margins; a value with more digits is rounded up to a half."""
    exact = round(100 * x, 6)
    return f"{exact:g}" if exact == round(exact, 1) else f"{math.ceil(2 * exact - 1e-6) / 2:g}"
