"""The mean of domain differences under a sequential gate, read at common looks only.

Every domain must have been read to the same share of its items, three tenths or more. The mean of
estimates that stopped at different times is biased upward: its test passed a mean loss of the whole
margin in 10% of simulated suites where 5% were asked for.

Does not: stop or continue a domain (`sequential` does), or know which claims make up a domain (hand
over the pooled mean). A domain that is decided must be read on for as long as the mean needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .boundaries import boundary, sequential_p
from .families import Pooled, mean_harm_p
from .normal import checked_alpha, checked_margin, z_from_upper_tail

EARLIEST = 0.3
#: How the mean spends its levels. A loss shows in the mean only when nearly all items are read, so its
#: test keeps its level for the end (late stops cost no power); absence is claimed as early as in a domain.
SPENDING_FAIL, SPENDING_HARMLESS = "obf", "power:2"


@dataclass(frozen=True, slots=True)
class MeanPlan:
    """The common looks, fixed before the first answer."""

    fractions: tuple[float, ...]
    """Share of every domain's items at each."""
    harm_margin: float
    """The mean loss that must be excluded."""
    bounds_fail: tuple[float, ...]
    bounds_harmless: tuple[float, ...]


def plan_mean(
    fractions: Sequence[float],
    *,
    alpha_fail: float = 0.05,
    family: int = 1,
    harm_margin: float = 0.02,
    alpha_harmless: float = 0.05,
) -> MeanPlan:
    """Freeze the boundaries of the mean at the looks that all domains share.

    Args:
        fractions: shares at which every domain is looked at, rising to 1; those before three tenths
            are left out.
        alpha_fail: level of all loss claims of the gate together.
        family: J, claims that share it.
        harm_margin: largest tolerated mean loss.
        alpha_harmless: chance of excluding it where it is there.

    Raises:
        ValueError: no look, or fractions that do not rise to 1.
        UsageError: a level or margin out of range.
    """
    shared = tuple(t for t in fractions if t >= EARLIEST)
    if not shared or shared[-1] != 1:
        raise ValueError(f"common looks must rise to 1, got {tuple(fractions)}")
    return MeanPlan(
        fractions=shared,
        harm_margin=checked_margin(harm_margin),
        bounds_fail=boundary(checked_alpha(alpha_fail) / family, shared, SPENDING_FAIL),
        bounds_harmless=boundary(alpha_harmless, shared, SPENDING_HARMLESS),
    )


@dataclass(frozen=True, slots=True)
class MeanReading:
    """The mean over domains where it was last read."""

    look: int
    """1 for the first"""
    pooled: Pooled
    z_losses: tuple[float, ...]
    """scores of H0: mean difference >= 0 at this look (the last) and all earlier ones"""
    p_loss: float
    """sequential p of H0: mean difference >= 0"""
    failed: bool
    """whether the loss reached its boundary with an estimate large enough to FAIL"""
    harmless: bool
    """whether a mean loss of the harm margin was excluded"""
    last: bool
    """whether every item was read"""

    @property
    def settled(self) -> bool:
        """Whether no further look can change what is claimed."""
        return self.failed or self.harmless or self.last


def look_mean(plan: MeanPlan, pooled: Pooled, before: MeanReading | None = None) -> MeanReading:
    """Read the mean at the next common look.

    Args:
        plan: frozen before the first answer.
        pooled: the mean over domains that were all read to this look's share.
        before: the common look before; None at the first.

    Raises:
        ValueError: the mean was settled before.
    """
    k = 0 if before is None else before.look
    if before is not None and before.settled:
        raise ValueError(f"the mean was settled at common look {k}; there is none after")
    z_losses = (*(before.z_losses if before else ()), pooled.z_loss)
    z_harm = z_from_upper_tail(mean_harm_p(pooled, plan.harm_margin))
    return MeanReading(
        look=k + 1,
        pooled=pooled,
        z_losses=z_losses,
        p_loss=sequential_p(z_losses, plan.fractions[: k + 1], SPENDING_FAIL),
        failed=pooled.large and pooled.z_loss >= plan.bounds_fail[k],
        harmless=z_harm >= plan.bounds_harmless[k],
        last=k + 1 == len(plan.fractions),
    )
