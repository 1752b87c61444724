"""Evidence as e-values: combined by averaging, several at once, or night after night.

An e-value is a bet's payoff with mean at most 1 when nothing is wrong, so 200 or more has a chance
of at most 1/200. Payoffs of one night multiply, means of e-values are e-values however they depend
on each other, and no number of looks spoils them.

Does not: make e-values from scores (`eprocess` does, and `night_payoff` here for one night), or say
when something changed.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .normal import checked_alpha

NIGHT_BET = 0.375
ALARM = 200.0
"""e-CUSUM alarms here: without a change, 200 nights or more pass on average before one."""
Floats = NDArray[np.float64]


def mean_e(e: Sequence[float]) -> float:
    """The mean of e-values, an e-value under any dependence (Vovk and Wang 2021)."""
    if not len(e):
        raise ValueError("need at least one e-value, got none")
    return math.fsum(_checked(e)) / len(e)


def e_bh(e: Sequence[float], alpha: float = 0.1) -> list[bool]:
    """Which claims stand with a share of false ones of at most alpha, under any dependence.

    The k largest stand, for the largest k with e_(k) >= K / (k alpha) (Wang and Ramdas, JRSS B 84
    (2022) 822-852).
    """
    values = _checked(e)
    checked_alpha(alpha)
    order = sorted(range(len(values)), key=lambda i: -values[i])
    stand = [
        rank for rank, i in enumerate(order, start=1) if values[i] * rank * alpha >= len(values)
    ]
    kept = set(order[: max(stand, default=0)])
    return [i in kept for i in range(len(values))]


def e_lond(e: Sequence[float], alpha: float = 0.1) -> tuple[list[float], list[bool]]:
    """The same for claims that arrive one by one: levels alpha_t, and which claims stand.

    alpha_t = alpha 6/(pi^2 t^2) (R_{t-1} + 1), with R the claims that stand so far; e_t stands at
    1/alpha_t or more (Xu and Ramdas, AISTATS 2024). Holds under any dependence, as nights that share
    items have.
    """
    checked_alpha(alpha)
    levels: list[float] = []
    stands: list[bool] = []
    for t, value in enumerate(_checked(e), start=1):
        levels.append(alpha * 6 / (math.pi * t) ** 2 * (sum(stands) + 1))
        stands.append(value * levels[-1] >= 1)
    return levels, stands


def night_payoff(d: ArrayLike, bet: float = NIGHT_BET) -> Floats:
    """e-value of "this night is no worse than the reference": prod(1 - bet d) over the last axis.

    Args:
        d: new differences to the pinned reference in [-1, 1]; no item or an unchanged checkpoint
            pays 1.
        bet: share of the stake in (0, 1), fixed beforehand.

    Raises:
        ValueError: a bet outside (0, 1), or a difference outside [-1, 1].
    """
    x = np.asarray(d, dtype=np.float64)
    if not 0 < bet < 1:
        raise ValueError(f"a bet must be > 0 and < 1, got {bet}; the usual one is {NIGHT_BET}")
    if not np.all(np.abs(x) <= 1):
        raise ValueError("differences must lie in [-1, 1]; drop unscored pairs first")
    return np.asarray(np.exp(np.log1p(-bet * x).sum(axis=-1)))


def e_cusum(e: ArrayLike) -> Floats:
    """M_t = max(M_{t-1}, 1) e_t along the last axis; an alarm is due where M_t >= 200.

    Without a change the mean time to the first alarm at M is at least M nights (Shin, Ramdas and
    Rinaldo, "E-detectors", 2024). For a suite, average the domains' M_t.
    """
    values = np.asarray(e, dtype=np.float64)
    if not np.all(values >= 0):
        raise ValueError("e-values must be >= 0")
    path = np.empty_like(values)
    level = np.ones(values.shape[:-1])
    for t in range(values.shape[-1]):
        level = np.maximum(level, 1.0) * values[..., t]
        path[..., t] = level
    return path


def _checked(e: Sequence[float]) -> list[float]:
    values = [float(x) for x in e]
    for value in values:
        if not value >= 0:
            raise ValueError(f"e-values must be >= 0, got {value}")
    return values
