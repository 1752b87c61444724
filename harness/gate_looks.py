"""A gate that looks at tenths of the items: what is frozen beforehand, and what the looks say.

The frame (order, places of the looks, boundaries) follows from the baseline, the policy and the
target. The same pure replay reads the tenths one after the other for the live gate, which asks
whether more is needed, and for a stored Run, so both come to one verdict. A claim counts as it stood
at its own first deciding look; the mean over domains is read at common looks only. Not here: asking
the model (gate_live.py), boundaries and tests (statistics/), outcomes (gate.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .comparability import RunLike
from .gate_plan import Plan, domain_means
from .gate_units import unit_pairs
from .pairing import Claim, PairedClaim, pair
from .policy import Policy
from .records import content_hash
from .runner import hash_place
from .statistics.boundaries import boundary, sequential_p
from .statistics.common_looks import EARLIEST
from .statistics.decision import FEWEST_ITEMS, SMALL_SET, Decision, decide
from .statistics.families import Pooled, mean_harm_p, pool_domains
from .statistics.normal import z_from_upper_tail
from .statistics.sequential import (
    FEWEST_GRADED,
    LookResult,
    SequentialPlan,
    look,
    plan_looks,
)

if TYPE_CHECKING:
    import pandas as pd

TENTHS = 10
#: Where a Run made by a live gate keeps the id of its frame.
LABEL = "gate_looks"
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ClaimLooks:
    """One claim's looks."""

    id: str
    domain: str
    tasks: tuple[str, ...]
    tenths: tuple[int, ...]
    """After which tenths it is looked at; the last is 10."""
    units: tuple[int, ...]
    """Units (items or clusters) there."""
    plan: SequentialPlan
    """Boundaries by share of the items: the information in a prefix of a random order grows with its
    items or, as clusters fill up, faster; to reckon with items is the careful side."""


@dataclass(frozen=True, slots=True)
class Looks:
    """The frozen frame of a sequential gate."""

    id: str
    """Hash of all that could change a decision: policy, target, baseline, order, looks."""
    cuts: Mapping[str, tuple[int, ...]]
    """Items of each task after each tenth."""
    tenth: Mapping[Place, int]
    """(task, sample id) -> the tenth it belongs to, 1 to 10."""
    claims: Mapping[str, ClaimLooks]
    shared: frozenset[str]
    """Domains whose claims are made on the same items (gate_plan.domain_means)."""
    common: tuple[int, ...]
    """Tenths at which the mean over domains is read."""
    bounds_fail: tuple[float, ...]
    """Its boundaries at those."""
    bounds_harmless: tuple[float, ...]
    mean_harm: float

    def within(self, frame: pd.DataFrame, tenth: int) -> pd.DataFrame:
        """The rows of a score table up to a tenth."""
        places = zip(frame["task"], frame["sample_id"], strict=True)
        return frame[[self.tenth.get(place, TENTHS) <= tenth for place in places]]


def plan_gate_looks(
    frozen: Plan, baseline: RunLike, policy: Policy, target: str | None, seed: int
) -> Looks | None:
    """Freeze the looks of every tested claim; None where there is nothing to look at.

    Args:
        frozen: what is tested (gate_plan.plan).
        baseline: the complete reference Run; its items and their scores say how many there are.
        policy: levels and margins.
        target: domain or claim meant to improve: it goes on until its gain is decided.
        seed: of the order in which the candidate is asked.

    Raises:
        DataError: the baseline's scores cannot be used.
    """
    if not frozen.tested or baseline.status != "complete":
        return None
    scores = baseline.scores()
    cuts, tenth = _tenths(scores, baseline, {t for c in frozen.tested for t in c.claim.tasks}, seed)
    own = pair((c.claim for c in frozen.tested), scores, scores)
    claims: dict[str, ClaimLooks] = {}
    for planned in frozen.tested:
        name = planned.claim.id
        tenths, counts, units = _places(own[name], tenth)
        claims[name] = ClaimLooks(
            name,
            planned.claim.domain,
            planned.claim.tasks,
            tenths,
            units,
            plan_looks(
                counts[-1],
                planned.margin,
                looks=counts,
                alpha_pass=policy.alpha_pass,
                alpha_fail=policy.alpha_fail,
                family=frozen.family_size,
                target=target in (name, planned.claim.domain),
                alpha_gain=policy.alpha_fail,
            ),
        )
    common = tuple(
        k
        for k in range(1, TENTHS + 1)
        if k / TENTHS >= EARLIEST and all(k in c.tenths for c in claims.values())
    )
    times = [k / TENTHS for k in common]
    digest = (baseline.manifest.get("checkpoint") or {}).get("digest")
    facts = [policy.hash, target, digest, seed, {k: list(v) for k, v in cuts.items()}]
    shown = {k: [list(c.tenths), list(c.plan.looks), c.plan.margin] for k, c in claims.items()}
    return Looks(
        id=content_hash([*facts, shown]),
        cuts=cuts,
        tenth=tenth,
        claims=claims,
        shared=frozen.shared,
        common=common,
        bounds_fail=boundary(policy.alpha_fail / frozen.family_size, times),
        bounds_harmless=boundary(policy.alpha_pass, times),
        mean_harm=policy.mean_harm,
    )


def _tenths(
    scores: pd.DataFrame, baseline: RunLike, tasks: Iterable[str], seed: int
) -> tuple[dict[str, tuple[int, ...]], dict[Place, int]]:
    """Where each task is cut, and which tenth each item lies in."""
    cuts: dict[str, tuple[int, ...]] = {}
    tenth: dict[Place, int] = {}
    for task in sorted(tasks):
        version = str(baseline.manifest["tasks"][task].get("version", ""))
        ids = scores.loc[scores["task"] == task, "sample_id"].unique()
        order = sorted(ids, key=lambda name: hash_place(seed, version, str(name)))
        cuts[task] = tuple(round(len(order) * k / TENTHS) for k in range(1, TENTHS + 1))
        number = 1
        for position, id in enumerate(order):
            while position >= cuts[task][number - 1]:
                number += 1
            tenth[(task, str(id))] = number
    return cuts, tenth


def _places(
    own: PairedClaim, tenth: Mapping[Place, int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The tenths at which a claim is looked at, and its items and units there."""
    if own.units < SMALL_SET:
        return (TENTHS,), (own.n,), (own.units,)
    graded = own.clustered or bool(((own.baseline != 0) & (own.baseline != 1)).any())
    fewest = FEWEST_GRADED if graded else FEWEST_ITEMS
    found: list[tuple[int, int, int]] = []
    for k in range(1, TENTHS):
        part = _first(own, tenth, k)
        rises = part.units > (found[-1][2] if found else 0)
        if part.units >= fewest and rises and part.units < own.units:
            found.append((k, part.n, part.units))
    found.append((TENTHS, own.n, own.units))
    tenths, items, units = zip(*found, strict=True)
    return tenths, items, units


def _first(paired: PairedClaim, tenth: Mapping[Place, int], k: int) -> PairedClaim:
    """A claim's items up to a tenth, for the tests; counts by side stay those of all items."""
    places = zip(paired.task, paired.sample_id, strict=True)
    keep = [i for i, place in enumerate(places) if tenth.get(place, TENTHS) <= k]
    return replace(
        paired,
        task=paired.task[keep],
        sample_id=paired.sample_id[keep],
        baseline=paired.baseline[keep],
        candidate=paired.candidate[keep],
        unit=paired.unit[keep],
        samples=None,
        parts={},
    )


@dataclass(frozen=True, slots=True)
class ClaimReading:
    """Where one claim stands."""

    looks: ClaimLooks
    tenth: int
    """Of the last look that was read."""
    result: LookResult
    decision: Decision
    """The same as one look's decision, with sequential p-values and repeated interval."""

    @property
    def stop(self) -> bool:
        """Whether no further item can change what is claimed of it."""
        return self.result.stop

    @property
    def failed(self) -> bool:
        """Whether a loss reached its boundary."""
        return self.result.outcome == "fail"


@dataclass(frozen=True, slots=True)
class MeanReading:
    """Where the mean over domains stands."""

    tenth: int
    pooled: Pooled
    p_loss: float
    failed: bool
    harmless: bool
    """Whether a mean loss of the policy's `mean_harm` is excluded."""

    @property
    def settled(self) -> bool:
        """Whether no further common look is needed."""
        return self.failed or self.harmless or self.tenth == TENTHS


def read_claim(
    looks: Looks, claim: ClaimLooks, paired: PairedClaim, available: int, policy: Policy
) -> ClaimReading | None:
    """Look after each tenth up to `available`, until the claim is decided; None before the first.

    Pairs that lack a score shorten the looks they fall into; the boundaries stay those planned.
    """
    result, last, pairs = None, 0, None
    read: list[int] = []
    for k, planned in zip(claim.tenths, claim.units, strict=True):
        part = _first(paired, looks.tenth, k)
        if k > available or part.units <= (read[-1] if read else 0):
            break
        pairs, lost = unit_pairs(part), planned - part.units
        read.append(pairs.n)
        rest = (n - lost for n in claim.units[len(read) :])
        now = replace(claim.plan, looks=(*read, *rest), items=claim.units[-1] - lost)
        result, last = look(now, pairs, result), k
        if result.stop:
            break
    if result is None or pairs is None:
        return None
    fixed = decide(pairs, claim.plan.margin, policy.alpha_pass, policy.alpha_fail)
    alone = result.can_fail and result.p_loss <= policy.alpha_fail
    passed = result.passed_at is not None
    decision = replace(
        fixed,
        verdict="pass" if passed else "fail" if alone else "inconclusive",
        flags=result.flags,
        low=result.low,
        high=result.high,
        p_loss=result.p_loss,
        p_gain=result.p_gain,
    )
    return ClaimReading(claim, last, result, decision)


def read_mean(
    looks: Looks, paired: Mapping[str, PairedClaim], available: int
) -> MeanReading | None:
    """Read the mean over domains at the common looks up to `available`, until it is settled."""
    z_losses: list[float] = []
    found = None
    for place, k in enumerate(looks.common):
        if k > available:
            break
        values = []
        for name, claim in looks.claims.items():
            pairs = unit_pairs(_first(paired[name], looks.tenth, k))
            values.append((claim.domain, pairs.delta, pairs.se))
        pooled = pool_domains(*domain_means(values, looks.shared))
        z_losses.append(pooled.z_loss)
        z_harm = z_from_upper_tail(mean_harm_p(pooled, looks.mean_harm))
        times = [t / TENTHS for t in looks.common[: place + 1]]
        found = MeanReading(
            tenth=k,
            pooled=pooled,
            p_loss=sequential_p(z_losses, times),
            failed=pooled.large and pooled.z_loss >= looks.bounds_fail[place],
            harmless=z_harm >= looks.bounds_harmless[place],
        )
        if found.settled:
            break
    return found


def available(looks: Looks, scores: pd.DataFrame) -> dict[str, int]:
    """How many tenths of each task a score table holds wholly."""
    missing: dict[str, int] = dict.fromkeys(looks.cuts, TENTHS)
    present = set(zip(scores["task"], scores["sample_id"], strict=True))
    for place, number in looks.tenth.items():
        if place not in present:
            missing[place[0]] = min(missing[place[0]], number - 1)
    return missing


def looks_of(
    candidate: RunLike, frozen: Plan, baseline: RunLike, policy: Policy, target: str | None
) -> Looks | None:
    """The looks by which this very gate asked the candidate, or None where it did not.

    A Run that another policy, target or baseline stopped is no prefix by a rule of this gate.
    """
    label = (candidate.manifest.get("labels") or {}).get(LABEL)
    if not label:
        return None
    seed = int(candidate.manifest.get("seed") or 0)
    looks = plan_gate_looks(frozen, baseline, policy, target, seed)
    return looks if looks and looks.id == label else None


def mean_reading(
    looks: Looks, claims: Iterable[Claim], baseline: RunLike, candidate: RunLike
) -> MeanReading | None:
    """`read_mean` on two stored Runs, as far as every task of the candidate goes."""
    scores = candidate.scores()
    have = min(available(looks, scores).values())
    paired = pair(claims, looks.within(baseline.scores(), have), looks.within(scores, have))
    return read_mean(looks, paired, have)
