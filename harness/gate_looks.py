"""A gate that looks at tenths of the items: what is frozen before the first answer.

The frame (order, places of the looks, boundaries) follows from the baseline, the policy and the
target, so the live gate and the gate of a stored Run build the same one; its id in run.json says so.
Not here: reading the looks (gate_readings.py), asking the model (gate_live.py), boundaries and tests
(statistics/), outcomes (gate.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .comparability import RunLike
from .gate_plan import Plan
from .gate_style import judged_tasks
from .pairing import PairedClaim, pair
from .policy import Policy
from .records import content_hash
from .runner import hash_place
from .statistics.common_looks import MeanPlan, plan_mean
from .statistics.decision import FEWEST_ITEMS, SMALL_SET
from .statistics.sequential import FEWEST_GRADED, SequentialPlan, plan_looks
from .waivers import waiver_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

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
    plan: SequentialPlan
    """Units (items or clusters) there, and boundaries by the share of the items."""
    waived: bool
    """A loss of it turns no gate red, and it has no part in the mean over domains."""


@dataclass(frozen=True, slots=True)
class Looks:
    """The frozen frame of a sequential gate."""

    id: str
    """Hash of all that could change a decision: policy, target, baseline, order, looks."""
    seed: int
    """Of the order in which items are asked."""
    cuts: Mapping[str, tuple[int, ...]]
    """Items of each task after each tenth."""
    tenth: Mapping[Place, int]
    """(task, sample id) -> the tenth it belongs to, 1 to 10."""
    claims: Mapping[str, ClaimLooks]
    shared: frozenset[str]
    """Domains whose claims are made on the same items (gate_plan.domain_means)."""
    common: tuple[int, ...]
    """Tenths at which the mean over domains is read; none where every claim is waived."""
    mean: MeanPlan | None
    """Its boundaries at those."""

    @property
    def averaged(self) -> dict[str, ClaimLooks]:
        """The claims that the mean over domains is taken of."""
        return {name: claim for name, claim in self.claims.items() if not claim.waived}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, to be written down before the first answer."""
        claims = {
            name: {
                "tenths": list(claim.tenths),
                "units": list(claim.plan.looks),
                "bounds_pass": list(claim.plan.bounds_pass),
                "bounds_fail": list(claim.plan.bounds_fail),
            }
            for name, claim in self.claims.items()
        }
        return {
            "frame": self.id,
            "seed": self.seed,
            "claims": claims,
            "mean_tenths": list(self.common),
            "mean_bounds_fail": list(self.mean.bounds_fail) if self.mean else [],
            "mean_bounds_harmless": list(self.mean.bounds_harmless) if self.mean else [],
        }

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
    # A list is not looked at in tenths, nor is what a judge says at equal style.
    whole = any(c.listed or judged_tasks(c.claim, baseline.manifest) for c in frozen.tested)
    if whole or not frozen.tested or baseline.status != "complete":
        return None
    scores = baseline.scores()
    cuts, tenth = _tenths(scores, baseline, {t for c in frozen.tested for t in c.claim.tasks}, seed)
    own = pair((c.claim for c in frozen.tested), scores, scores)
    claims: dict[str, ClaimLooks] = {}
    for planned in frozen.tested:
        name, domain = planned.claim.id, planned.claim.domain
        tenths, items, units = _places(own[name], tenth)
        claims[name] = ClaimLooks(
            id=name,
            domain=domain,
            tasks=planned.claim.tasks,
            tenths=tenths,
            plan=plan_looks(
                units[-1],
                planned.margin,
                looks=units,
                fractions=[n / items[-1] for n in items],
                alpha_pass=policy.alpha_pass,
                alpha_fail=policy.alpha_fail,
                family=frozen.family_size,
                target=target in (name, domain),
                alpha_gain=policy.alpha_fail,
            ),
            waived=waiver_of(name, policy.waivers) is not None,
        )
    common, mean = _mean_looks(claims.values(), policy, frozen.family_size)
    digest = (baseline.manifest.get("checkpoint") or {}).get("digest")
    rules = policy.model_copy(update={"limit": None})  # what it leaves shows in the cuts
    facts = [rules.hash, target, digest, seed, {k: list(v) for k, v in cuts.items()}]
    shown = {k: [list(c.tenths), list(c.plan.looks), c.plan.margin] for k, c in claims.items()}
    return Looks(
        id=content_hash([*facts, frozen.family_size, shown]),
        seed=seed,
        cuts=cuts,
        tenth=tenth,
        claims=claims,
        shared=frozen.shared,
        common=common,
        mean=mean,
    )


def _mean_looks(
    claims: Iterable[ClaimLooks], policy: Policy, family: int
) -> tuple[tuple[int, ...], MeanPlan | None]:
    """The tenths that all claims of the mean are looked at after, from three tenths on."""
    own = [c for c in claims if not c.waived]
    if not own:
        return (), None
    shared = [k for k in range(1, TENTHS + 1) if all(k in c.tenths for c in own)]
    mean = plan_mean(
        [k / TENTHS for k in shared],
        alpha_fail=policy.alpha_fail,
        family=family,
        harm_margin=policy.mean_harm,
        alpha_harmless=policy.alpha_pass,
    )
    return tuple(shared[-len(mean.fractions) :]), mean


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
    numbers = tenths_of(own, tenth)
    parts = [(k, first(own, numbers, k)) for k in range(1, TENTHS)]
    found = [(k, part.n, part.units) for k, part in parts if part.units >= fewest]
    tenths, items, units = zip(*found, (TENTHS, own.n, own.units), strict=True)
    return tenths, items, units


def tenths_of(paired: PairedClaim, tenth: Mapping[Place, int]) -> NDArray[np.int64]:
    """The tenth of each of a claim's items."""
    import numpy as np

    places = zip(paired.task, paired.sample_id, strict=True)
    return np.array([tenth.get(place, TENTHS) for place in places], dtype=np.int64)


def first(paired: PairedClaim, numbers: NDArray[np.int64], k: int) -> PairedClaim:
    """A claim's items up to a tenth, for the tests; counts by side stay those of all items."""
    keep = numbers <= k
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
