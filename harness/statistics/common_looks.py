"""Several domains under one sequential gate: their mean at common looks, and the Holm family.

The mean of domain differences is tested only where every domain has been read to the same share of
its items, at three tenths or later, or at the end. The mean of estimates that stopped at different
times is biased upward: its test passed a mean loss of the whole margin in 10% of simulated suites
where 5% were asked for.

Does not: stop or continue a domain (`sequential` does); a domain that is decided must still be read
on for the mean where the mean is tested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .boundaries import boundary, sequential_p
from .decision import FEWEST_ITEMS
from .families import POOL, LossFamily, Pooled, holm, mean_harm_p, pool_domains
from .normal import checked_alpha, checked_margin, z_from_upper_tail
from .paired import Pairs
from .sequential import LookResult, SequentialPlan

EARLIEST = 0.3
_SAME_SHARE = 0.02  # domains round their tenths to whole items


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """The common looks of the mean over domains, fixed before the first answer."""

    counts: dict[str, tuple[int, ...]]
    """items of each domain at each common look"""
    fractions: tuple[float, ...]
    alpha_fail: float
    family: int
    harm_margin: float | None
    """margin of the mean-harm test (release and strict: 0.02); None: not tested"""
    spending: str
    bounds_fail: tuple[float, ...]
    bounds_harm: tuple[float, ...]


def plan_pool(
    plans: Mapping[str, SequentialPlan],
    *,
    alpha_fail: float = 0.05,
    family: int = 1,
    harm_margin: float | None = None,
    alpha_harm: float = 0.05,
    earliest: float = EARLIEST,
) -> PoolPlan:
    """Find the looks that all domains share, from `earliest` on, and freeze their boundaries.

    Args:
        plans: the domains' plans, of one spending function.
        alpha_fail: level of all loss claims of the gate together.
        family: J, claims that share it.
        harm_margin: largest tolerated mean loss of the mean-harm test.
        alpha_harm: chance of passing that test at a mean loss of its margin.
        earliest: share of the items before which the mean is not read.

    Raises:
        ValueError: no domain, or more than one spending function.
        UsageError: a level or margin out of range.
    """
    if not plans:
        raise ValueError("need at least one domain, got none")
    spendings = {plan.spending for plan in plans.values()}
    if len(spendings) > 1:
        raise ValueError(f"domains must share a spending function, got {sorted(spendings)}")
    shared = _shared_looks(list(plans.values()), earliest)
    counts = {name: tuple(_nearest(plan, t) for t in shared) for name, plan in plans.items()}
    (spending,) = spendings
    if harm_margin is not None:
        checked_margin(harm_margin)
    return PoolPlan(
        counts=counts,
        fractions=shared,
        alpha_fail=checked_alpha(alpha_fail),
        family=family,
        harm_margin=harm_margin,
        spending=spending,
        bounds_fail=boundary(alpha_fail / family, shared, spending),
        bounds_harm=boundary(alpha_harm, shared, spending),
    )


def _shared_looks(plans: Sequence[SequentialPlan], earliest: float) -> tuple[float, ...]:
    """Shares at which every domain has a look; a domain with one look leaves only the end."""
    most = min(plans, key=lambda plan: len(plan.looks))
    return tuple(
        t
        for t in most.fractions
        if t == 1 or (t >= earliest - _SAME_SHARE and all(_has(plan, t) for plan in plans))
    )


def _nearest(plan: SequentialPlan, t: float) -> int:
    return min(plan.looks, key=lambda n: abs(n / plan.items - t))


def _has(plan: SequentialPlan, t: float) -> bool:
    return abs(_nearest(plan, t) / plan.items - t) <= _SAME_SHARE


@dataclass(frozen=True, slots=True)
class PoolLook:
    """The mean over domains after one common look."""

    look: int
    pooled: Pooled
    z_losses: tuple[float, ...]
    p_loss: float
    """sequential p of H0: mean difference >= 0"""
    failed: bool
    """the loss reached its boundary with an estimate large enough to FAIL"""
    harmless_at: int | None
    """the look at which a mean loss of the harm margin was excluded; None: not, or not tested"""


def pool_look(
    plan: PoolPlan, pairs: Mapping[str, Pairs], before: PoolLook | None = None
) -> PoolLook:
    """Read the mean at the next common look.

    Args:
        plan: frozen before the first answer.
        pairs: every domain's pairs up to that look, stopped or not.
        before: the common look before; None at the first.

    Raises:
        ValueError: other domains than planned, a domain read to another number of items, or a mean
            that failed already.
    """
    k = 0 if before is None else before.look
    if before is not None and before.failed:
        raise ValueError(f"the mean failed at common look {k}; there is none after")
    _check_common(plan, pairs, k)
    pooled = pool_domains([p.delta for p in pairs.values()], [p.se for p in pairs.values()])
    z_losses = (*(before.z_losses if before else ()), pooled.z_loss)
    harmless_at = before.harmless_at if before else None
    if harmless_at is None and plan.harm_margin is not None:
        z_harm = z_from_upper_tail(mean_harm_p(pooled, plan.harm_margin))
        harmless_at = k + 1 if z_harm >= plan.bounds_harm[k] else None
    return PoolLook(
        look=k + 1,
        pooled=pooled,
        z_losses=z_losses,
        p_loss=sequential_p(z_losses, plan.fractions[: k + 1], plan.spending),
        failed=pooled.large and pooled.z_loss >= plan.bounds_fail[k],
        harmless_at=harmless_at,
    )


def _check_common(plan: PoolPlan, pairs: Mapping[str, Pairs], k: int) -> None:
    if k >= len(plan.fractions):
        raise ValueError(f"the mean has {len(plan.fractions)} common looks; all of them were read")
    if pairs.keys() != plan.counts.keys():
        raise ValueError(
            f"the mean was planned over {sorted(plan.counts)}, got {sorted(pairs)}; "
            "read every domain"
        )
    for name, found in pairs.items():
        if found.n != plan.counts[name][k]:
            raise ValueError(
                f"common look {k + 1} is on {plan.counts[name][k]} items of {name}, got {found.n}; "
                "a mean over domains that stopped at other shares is biased"
            )


def settle(
    results: Mapping[str, LookResult], pool: PoolLook | None = None, alpha: float = 0.05
) -> LossFamily:
    """Which domains, and whether their mean, FAIL when all have been read: Holm on sequential p.

    Valid wherever each domain stopped, because each p is (Maurer and Bretz 2013). A domain fails
    when its adjusted p is at most alpha and its estimate reaches the margin where it stopped; a
    kept PASS never fails. Domains of fewer than 30 items are no members.
    """
    checked_alpha(alpha)
    if POOL in results:
        raise ValueError(f"'{POOL}' names the mean over domains; give that domain another name")
    p = {name: r.p_loss for name, r in results.items() if r.n >= FEWEST_ITEMS}
    can_fail = {name: results[name].can_fail for name in p}
    if pool is not None:
        p[POOL], can_fail[POOL] = pool.p_loss, pool.pooled.large
    adjusted = dict(zip(p, holm(list(p.values())), strict=True))
    failed = tuple(name for name in p if can_fail[name] and adjusted[name] <= alpha)
    return LossFamily(adjusted, failed)
