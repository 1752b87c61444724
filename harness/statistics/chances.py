"""How likely each verdict of one domain is at a given true loss, before anything is run.

Pass/fail items by exact enumeration (`operating`), graded scores by the normal approximation, both
at one fixed number of items.

Does not: several looks, clusters, or the mean over domains.
"""

from dataclasses import dataclass

from .normal import critical_value, upper_tail
from .operating import fail_probability, pass_probability
from .planning import DomainPlan


@dataclass(frozen=True, slots=True)
class Chances:
    """P(PASS), P(FAIL), P(INCONCLUSIVE); they add to 1."""

    passed: float
    failed: float

    @property
    def inconclusive(self) -> float:
        """Neither a loss nor its absence is shown."""
        return max(0.0, 1.0 - self.passed - self.failed)


def verdict_chances(
    plan: DomainPlan, loss: float, alpha_pass: float = 0.05, alpha_fail: float = 0.05
) -> Chances:
    """The chance of each verdict where the truth is a loss of `loss` (a proportion, >= 0).

    FAIL is taken at the first Holm step, alpha_fail / J, which is where the blind spot is stated;
    the discordance is at least the loss itself.

    Raises:
        ValueError: a loss outside [0, 1].
    """
    if not 0 <= loss <= 1:
        raise ValueError(f"a loss must lie in [0, 1], got {loss}")
    level = alpha_fail / plan.family
    if plan.graded:
        return _graded(plan, loss, alpha_pass, level)
    spread = max(plan.discordance, loss)
    return Chances(
        passed=pass_probability(plan.n, spread, plan.margin, -loss, alpha_pass),
        failed=fail_probability(plan.n, spread, -loss, level, plan.margin),
    )


def _graded(plan: DomainPlan, loss: float, alpha_pass: float, alpha_fail: float) -> Chances:
    """The estimate is normal around -loss with the planned standard error."""
    se = plan.se
    must_lose = max(critical_value(alpha_fail) * se, plan.margin)
    return Chances(
        passed=upper_tail(critical_value(alpha_pass) - (plan.margin - loss) / se),
        failed=upper_tail((must_lose - loss) / se),
    )
