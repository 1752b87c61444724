"""What the paired scores say about each planned claim, and whether they can be believed.

For every claim of the plan: the pairs, the decision of `statistics`, and the reasons why it may not
count: data trouble (exit 4), or tasks that one side does not have (exit 3). Not here: corrections
over claims, outcomes and exit codes (gate.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .comparability import RunLike
from .gate_fixed import fixed_decision
from .gate_looks import TENTHS, Looks
from .gate_plan import ClaimPlan, Plan
from .gate_readings import ClaimReading, Prefixes, available, read_claim
from .gate_style import at_equal_style, judged_tasks
from .gate_units import unit_pairs
from .judge_report import troubles as judge_troubles
from .pairing import PairedClaim, SideCounts, pair, shortfall, uneven
from .policy import Policy
from .statistics.decision import Decision, decide
from .statistics.tango import EXACT_ITEMS
from .verdict import EqualStyle

if TYPE_CHECKING:
    import pandas as pd

#: A Run that was stopped at one of ten looks: levels are divided by ten (Bonferroni), which is valid
#: whatever rule stopped it. Where this very gate stopped it, its own boundaries hold (gate_looks.py).
LOOKS = 10


@dataclass(frozen=True, slots=True)
class Evidence:
    """One claim's pairs, what they say, and why they may not count."""

    plan: ClaimPlan
    paired: PairedClaim
    decision: Decision | None
    """None where no item is scored on both sides."""
    trouble: str
    """Why the data cannot be believed, or empty."""
    missing: str
    """Which tasks a side lacks, or empty."""
    stopped: bool
    """Whether a side was stopped before its last item, by no rule that decided this claim."""
    whole: PairedClaim
    """All pairs there are; `paired` are those up to where a live gate decided."""
    reading: ClaimReading | None = None
    """Where a live gate stood on it; what is compared are the items up to there."""
    tenths: int = 0
    """How many tenths of its tasks a live gate has asked."""
    equal_style: EqualStyle | None = None
    """Of a claim that a judge votes on: what is said with length and style held equal."""

    @property
    def p_loss(self) -> float:
        """p of "no loss" for the family; 1 where the claim may not speak."""
        if not self.usable or self.decision is None:
            return 1.0
        return min(1.0, self.decision.p_loss * (LOOKS if self.stopped else 1))

    @property
    def p_gain(self) -> float:
        """p of "no gain"; 1 where the claim may not speak."""
        if not self.usable or self.decision is None:
            return 1.0
        return min(1.0, self.decision.p_gain * (LOOKS if self.stopped else 1))

    @property
    def read(self) -> Decision | None:
        """The decision with the difference that a loss is read from: at equal style, where there is one."""
        style, decision = self.equal_style, self.decision
        if decision is None or style is None or style.delta is None or style.se is None:
            return decision
        low, high = style.low or 0.0, style.high or 0.0
        return replace(decision, delta=style.delta, low=low, high=high, se=style.se)

    @property
    def moved(self) -> tuple[float, float] | None:
        """The difference that counts in the mean over domains, with its standard error."""
        return (self.read.delta, self.read.se) if self.read else None

    @property
    def usable(self) -> bool:
        """Whether this claim is complete and tested."""
        complete = not self.trouble and not self.missing
        tested = self.plan.can_fail and self.decision is not None and not self.decision.too_few
        return complete and tested


def gather(
    frozen: Plan,
    domains: Mapping[str, str],
    baseline: RunLike,
    candidate: RunLike,
    policy: Policy,
    looks: Looks | None = None,
    *,
    reference: str = "baseline",
) -> tuple[Evidence, ...]:
    """Read both sides' scores and judge each planned claim by itself.

    Args:
        frozen: the plan.
        domains: the tasks to compare with their domains (comparability.chosen_tasks).
        baseline: the reference Run.
        candidate: the Run under test.
        policy: see policy.py.
        looks: by which a live gate asked the candidate, if it did.
        reference: how sentences call the reference Run.

    Raises:
        DataError: a score table cannot be used.
    """
    sides = {reference: baseline, "candidate": candidate}
    scores = {name: run.scores() for name, run in sides.items()}
    gaps = {name: shortfall(sides[name].manifest, scores[name], domains) for name in sides}
    prefixes = frozenset(
        task
        for name, run in sides.items()
        for task, gap in gaps[name].items()
        if run.status == "stopped" and gap > 0
    )
    paired = pair(
        (p.claim for p in frozen.claims), scores[reference], scores["candidate"], prefixes
    )
    judged = [judge_troubles(sides[name].manifest, scores[name], name) for name in sides]
    lacks = lacking(domains, sides)
    have = available(looks, scores["candidate"]) if looks else {}
    prefixes_of = Prefixes(looks, paired) if looks else None
    found = []
    for plan in frozen.claims:
        own = whole = paired[plan.claim.id]
        missing = lacks.get(plan.claim.domain, "")
        stopped = not prefixes.isdisjoint(plan.claim.tasks)
        decision = decision_of(own, plan.margin, policy, LOOKS if stopped else 1)
        if plan.listed:
            decision = fixed_decision(own, plan, policy, frozen.family_size, candidate)
        reading, tenths = None, 0
        if looks and prefixes_of and not missing and plan.claim.id in looks.claims:
            tenths = min(have[task] for task in plan.claim.tasks)
            reading = read_claim(looks.claims[plan.claim.id], prefixes_of, tenths)
        if looks and reading:
            own = _up_to(looks, plan, scores, reading.tenth)
            decision, stopped = reading.decision(policy), not reading.stop
        style = None
        if decision and not plan.listed and (voted := judged_tasks(plan.claim, candidate.manifest)):
            level = policy.alpha_fail / (LOOKS if stopped else 1)
            decision, style = at_equal_style(own, decision, voted, scores.values(), level)
        told = [s for side in judged for task in plan.claim.tasks for s in side.get(task, ())]
        told += _troubles(own, gaps, prefixes, policy, reference)
        trouble = "" if missing else " ".join(told)
        one = Evidence(
            plan, own, decision, trouble, missing, stopped, whole, reading, tenths, style
        )
        found.append(one)
    return tuple(found)


def _up_to(
    looks: Looks, plan: ClaimPlan, scores: Mapping[str, pd.DataFrame], tenth: int
) -> PairedClaim:
    """A claim's pairs up to a tenth, with what each side lost up to there."""
    old, new = (rows[rows["task"].isin(plan.claim.tasks)] for rows in scores.values())
    if tenth < TENTHS:
        old, new = looks.within(old, tenth), looks.within(new, tenth)
    return pair([plan.claim], old, new)[plan.claim.id]


def lacking(domains: Mapping[str, str], sides: Mapping[str, RunLike]) -> dict[str, str]:
    """Which tasks a side does not have, one sentence by domain."""
    absent: dict[str, list[str]] = {}
    for task, domain in domains.items():
        without = [name for name, run in sides.items() if task not in run.manifest["tasks"]]
        if without:
            absent.setdefault(domain, []).append(f"{' and '.join(without)} without '{task}'")
    return {
        domain: f"{domain} is missing ({'; '.join(where)}); evaluate both sides on the same suites, "
        "or name what to compare with --suites."
        for domain, where in absent.items()
    }


def decision_of(paired: PairedClaim, margin: float, policy: Policy, looks: int) -> Decision | None:
    """The decision on some pairs taken alone; None where there are none."""
    if not paired.n:
        return None
    pairs = unit_pairs(paired)
    return decide(
        pairs,
        margin,
        policy.alpha_pass / looks,
        policy.alpha_fail / looks,
        exact=policy.exact and pairs.binary and pairs.n <= EXACT_ITEMS,
    )


def _troubles(
    paired: PairedClaim,
    gaps: Mapping[str, Mapping[str, int]],
    prefixes: frozenset[str],
    policy: Policy,
    reference: str,
) -> Iterator[str]:
    """Reasons not to believe a claim's data, a sentence each."""
    id = paired.claim.id
    counts = {reference: paired.baseline_counts, "candidate": paired.candidate_counts}
    for side, own in counts.items():
        short = {t: gaps[side].get(t, 0) for t in paired.claim.tasks if t not in prefixes}
        if any(short.values()):
            listed = ", ".join(f"{t}: {-gap:+d}" for t, gap in short.items() if gap)
            yield (
                f"{id}: the {side} does not have the answers its run.json declares ({listed}); "
                "run its `waterbed eval` command again, it resumes."
            )
        elif own.missing:
            yield (
                f"{id}: the {side} lacks {own.missing} of {paired.rows} scores that the other side "
                "has; evaluate both on the same items."
            )
        yield from _beyond_limits(paired, side, own, policy)
    if not paired.n:
        yield f"{id}: no item is scored on both sides; see the reasons in the Run's results.json."
    elif paired.dropped > policy.max_dropped * paired.rows:
        yield f"{_lost(paired)}, more than {100 * policy.max_dropped:g}%; {_REDO}"
    elif uneven(paired):
        yield f"{_lost(paired)}, significantly more on one side; {_REDO}"


def _beyond_limits(
    paired: PairedClaim, side: str, own: SideCounts, policy: Policy
) -> Iterator[str]:
    """Where a side has more truncated, empty, unparsed or unscored answers than the policy believes."""
    for kind, limit in sorted(policy.validity.items()):
        seen = sum(own.unscored.values()) if kind == "unscored" else own.notes.get(kind, 0)
        if seen > limit * paired.rows:
            yield (
                f"{paired.claim.id}: {seen} of {paired.rows} answers of the {side} are {kind}, more "
                f"than the {100 * limit:g}% that the policy believes (validity.{kind}); mend what "
                "cuts or loses them, or raise the limit."
            )


_REDO = "mend the instrument and run the evaluations again."


def _lost(paired: PairedClaim) -> str:
    baseline, candidate = paired.baseline_counts, paired.candidate_counts
    both = f", {paired.both_dropped} on both" if paired.both_dropped else ""
    return (
        f"{paired.claim.id}: {paired.dropped} of {paired.rows} pairs have no score "
        f"(baseline {baseline.dropped}{_reasons(baseline.unscored)}, "
        f"candidate {candidate.dropped}{_reasons(candidate.unscored)}{both})"
    )


def _reasons(unscored: Mapping[str, int]) -> str:
    return f" [{', '.join(f'{k} {v}' for k, v in unscored.items())}]" if unscored else ""
