"""What the looks of a sequential gate say, for the live gate and for a stored Run alike.

A pure replay of the tenths, one after the other, as far as they are wholly there: a claim counts as it
stood at its own first deciding look, the mean over domains as it stood at the common look that settled
it. `needed` says whether a task must be asked more. Not here: what is frozen beforehand
(gate_looks.py), asking the model (gate_live.py), boundaries and tests (statistics/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from .gate_looks import TENTHS, ClaimLooks, Looks, first, tenths_of
from .gate_plan import domain_means
from .gate_units import unit_pairs
from .pairing import PairedClaim
from .policy import Policy
from .statistics.common_looks import MeanReading, look_mean
from .statistics.decision import Decision, decide
from .statistics.families import pool_domains
from .statistics.paired import Pairs
from .statistics.sequential import LookResult, look

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class ClaimReading:
    """Where one claim stands."""

    looks: ClaimLooks
    tenth: int
    """Of the last look that was read."""
    result: LookResult

    @property
    def stop(self) -> bool:
        """Whether no further item can change what is claimed of it."""
        return self.result.stop

    @property
    def failed(self) -> bool:
        """Whether a loss reached its boundary."""
        return self.result.outcome == "fail"

    def decision(self, policy: Policy) -> Decision:
        """The same as one look's decision, with sequential p-values and the repeated interval."""
        result, plan = self.result, self.looks.plan
        fixed = decide(result.pairs, plan.margin, policy.alpha_pass, policy.alpha_fail)
        alone = result.can_fail and result.p_loss <= policy.alpha_fail
        passed = result.passed_at is not None
        low, high = result.repeated_interval
        return replace(
            fixed,
            verdict="pass" if passed else "fail" if alone else "inconclusive",
            flags=result.flags,
            low=low,
            high=high,
            p_loss=result.p_loss,
            p_gain=result.p_gain,
        )


PairsAt: TypeAlias = Callable[[str, int], Pairs | None]
"""(claim, tenth) -> its pairs up to that tenth; None where there are none."""


class Prefixes:
    """The pairs of some claims up to each tenth, from all pairs there are; counted once each.

    Pairs that lack a score shorten the looks they fall into; the boundaries stay those planned.
    """

    def __init__(self, looks: Looks, paired: Mapping[str, PairedClaim]) -> None:
        self.paired = paired
        self._numbers = {name: tenths_of(own, looks.tenth) for name, own in paired.items()}
        self._known: dict[tuple[str, int], Pairs | None] = {}

    def __call__(self, claim: str, tenth: int) -> Pairs | None:
        """See `PairsAt`."""
        key = (claim, tenth)
        if key not in self._known:
            part = first(self.paired[claim], self._numbers[claim], tenth)
            self._known[key] = unit_pairs(part) if part.n else None
        return self._known[key]


def read_claim(claim: ClaimLooks, pairs_at: PairsAt, available: int) -> ClaimReading | None:
    """Look after each tenth up to `available`, until the claim is decided; None before the first."""
    result, last = None, 0
    for k in claim.tenths:
        pairs = pairs_at(claim.id, k) if k <= available else None
        if pairs is None:
            break
        result, last = look(claim.plan, pairs, result), k
        if result.stop:
            break
    return None if result is None else ClaimReading(claim, last, result)


def read_mean(looks: Looks, pairs_at: PairsAt, available: int) -> MeanReading | None:
    """Read the mean over domains at the common looks up to `available`, until it is settled.

    Claims of one domain count as one, and what is waived does not count.
    """
    found = None
    for k in looks.common:
        if k > available or looks.mean is None:
            break
        own = [(claim.domain, pairs_at(name, k)) for name, claim in looks.averaged.items()]
        values = [(domain, pairs.delta, pairs.se) for domain, pairs in own if pairs]
        if len(values) < len(own):
            break
        found = look_mean(looks.mean, pool_domains(*domain_means(values, looks.shared)), found)
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


def red(readings: Iterable[ClaimReading | None]) -> bool:
    """Whether a loss that nobody waived makes the gate red whatever else is answered."""
    return any(r is not None and r.failed and not r.looks.waived for r in readings)
