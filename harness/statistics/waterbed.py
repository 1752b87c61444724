"""Pushed down here, bulging there: naming the waterbed, and describing its size.

The one claim is a conjunction: a declared target really gained, and an off-target domain really
lost. Everything else here is descriptive and printed with its error: the net change, the share that
was lost, the price of a point.

Does not: test domains (hand over their p-values), call a domain a target afterwards, or read an
undetected loss as none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .families import holm
from .normal import checked_alpha, critical_value
from .paired import Pairs, interval
from .sentences import points

_HALF_NORMAL = 1 / math.sqrt(2 * math.pi)
"""E[max(0, -X)] / SE of an X without a change: .399."""


@dataclass(frozen=True, slots=True)
class Waterbed:
    """Whether gain and loss are both real."""

    p: float
    """max of p_gain and p_loss: the level at which both are shown"""
    named: bool
    p_gain: float
    """Holm minimum over the targets"""
    p_loss: float
    """smallest Holm-adjusted loss p off target"""
    adjusted: dict[str, float]
    """Holm-adjusted loss p of each off-target domain"""
    losers: tuple[str, ...]
    """every off-target domain with a confirmed loss, named or not"""
    gainers: tuple[str, ...]
    """targets with a confirmed gain"""


def name_waterbed(
    gain_p: Mapping[str, float], loss_p: Mapping[str, float], alpha: float = 0.05
) -> Waterbed:
    """Name the waterbed when a target's gain and an off-target loss are both significant.

    The level is alpha if no gain is real or no loss is real (intersection-union, Berger 1982).

    Args:
        gain_p: p of "no gain" for each target declared before the run.
        loss_p: p of "no loss" for every other domain.
        alpha: level of the claim.

    Raises:
        ValueError: no target, a domain on both sides, or a p outside [0, 1].
    """
    checked_alpha(alpha)
    both = gain_p.keys() & loss_p.keys()
    if not gain_p or both:
        raise ValueError(
            f"need a target, and none that is also off target; got both: {sorted(both)}"
        )
    gains = dict(zip(gain_p, holm(list(gain_p.values())), strict=True))
    losses = dict(zip(loss_p, holm(list(loss_p.values())), strict=True))
    p_gain, p_loss = min(gains.values()), min(losses.values(), default=1.0)
    return Waterbed(
        p=max(p_gain, p_loss),
        named=max(p_gain, p_loss) <= alpha,
        p_gain=p_gain,
        p_loss=p_loss,
        adjusted=losses,
        losers=tuple(name for name, p in losses.items() if p <= alpha),
        gainers=tuple(name for name, p in gains.items() if p <= alpha),
    )


@dataclass(frozen=True, slots=True)
class Exchange:
    """Points lost in one domain per point gained in another."""

    rate: float
    low: float
    high: float


def exchange_rate(target: Pairs, loser: Pairs, confidence: float = 0.95) -> Exchange | None:
    """-delta_loser / delta_target with Fieller's set (Fieller, JRSS B 16 (1954) 175-185).

    None where the set is unbounded, because the gain itself may be 0: "not estimable".
    """
    z = critical_value((1 - confidence) / 2)
    gain, loss = target.delta, 0.0 - loser.delta
    a = gain**2 - (z * target.se) ** 2
    if a <= 0:
        return None
    c = loss**2 - (z * loser.se) ** 2
    center, half = gain * loss / a, math.sqrt(max(0.0, (gain * loss) ** 2 - a * c)) / a
    return Exchange(loss / gain, center - half, center + half)


@dataclass(frozen=True, slots=True)
class Index:
    """How much was gained and lost. Proportions, not points; descriptive."""

    net: float
    """weighted mean of all differences"""
    net_se: float
    gain: float
    """G: weighted gains of the targets"""
    loss: float
    """L: weighted losses off target, biased up by what follows"""
    noise_floor: float
    """the L to expect when nothing changed"""
    certified_loss: float
    """a lower bound of the true L, at level alpha"""
    certified_gain: float
    """a lower bound of the true G, at level alpha"""

    @property
    def share(self) -> float | None:
        """L/(L + G): 0 a free gain, .5 a zero sum, 1 a pure loss; to be shown only when named.

        None where nothing was gained or lost.
        """
        total = self.loss + self.gain
        return self.loss / total if total > 0 else None


def index(
    targets: Mapping[str, Pairs],
    off_target: Mapping[str, Pairs],
    weights: Mapping[str, float] | None = None,
    alpha: float = 0.05,
) -> Index:
    """Sizes of gain and loss over complete domains that share no items.

    The certified bounds use one-sided limits at alpha/J (Bonferroni). Without a change the share
    L/(L + G) has a median of .96, so it means nothing unless the waterbed is named.

    Args:
        targets: paired scores of the declared targets.
        off_target: of all other domains.
        weights: by domain, summing to 1; equal where None.
        alpha: level of each certified bound.

    Raises:
        ValueError: no domain, a domain on both sides, or weights that do not fit.
    """
    checked_alpha(alpha)
    domains = {**targets, **off_target}
    if not domains or len(domains) < len(targets) + len(off_target):
        raise ValueError("need domains, each either a target or off target")
    w = dict.fromkeys(domains, 1 / len(domains)) if weights is None else dict(weights)
    if w.keys() != domains.keys() or min(w.values()) < 0 or abs(math.fsum(w.values()) - 1) > 1e-9:
        raise ValueError(f"need a weight >= 0 for each domain with sum 1, got {w}")
    return Index(
        net=math.fsum(w[name] * p.delta for name, p in domains.items()),
        net_se=math.sqrt(math.fsum((w[name] * p.se) ** 2 for name, p in domains.items())),
        gain=math.fsum(w[name] * max(0.0, p.delta) for name, p in targets.items()),
        loss=math.fsum(w[name] * max(0.0, -p.delta) for name, p in off_target.items()),
        noise_floor=_HALF_NORMAL * math.fsum(w[name] * p.se for name, p in off_target.items()),
        certified_loss=_certified(off_target, w, alpha, side=1),
        certified_gain=_certified(targets, w, alpha, side=0),
    )


def _certified(
    domains: Mapping[str, Pairs], weights: Mapping[str, float], alpha: float, side: int
) -> float:
    """Weighted sum of what even the simultaneous limit leaves: low ends of gains, high ones of losses."""
    if not domains:
        return 0.0
    confidence = 1 - 2 * alpha / len(domains)
    sign = -1.0 if side else 1.0
    return math.fsum(
        weights[name] * max(0.0, sign * interval(pairs, confidence)[side])
        for name, pairs in domains.items()
    )


@dataclass(frozen=True, slots=True)
class Change:
    """A domain's change as it is printed."""

    domain: str
    delta: float
    low: float
    high: float


def waterbed_sentence(
    found: Waterbed, target: Change, off_target: Mapping[str, Change], price: Exchange | None = None
) -> str:
    """The sentence people read: who paid for the gain, or what is still possible.

    Args:
        found: of `name_waterbed`.
        target: the target shown, the one with the smallest p where there are several.
        off_target: every off-target domain's change.
        price: the exchange rate with the largest loser; None: not estimable.
    """
    if not found.named:
        return _unnamed(found, off_target)
    payers = sorted((off_target[name] for name in found.losers), key=lambda change: change.delta)
    paid = ", ".join(_changed(change) for change in payers)
    if price is None:
        rate = "exchange rate not estimable"
    else:
        rate = (
            f"exchange rate {price.rate:.1f} points lost per point gained "
            f"[{price.low:.1f}, {price.high:.1f}]"
        )
    return f"WATERBED: {_changed(target)} paid by {paid}; {rate}."


def _unnamed(found: Waterbed, off_target: Mapping[str, Change]) -> str:
    if found.losers:
        lost = ", ".join(_changed(off_target[name]) for name in found.losers)
        return f"no waterbed shown: the target's gain is not confirmed; real losses: {lost}."
    if not off_target:
        return "no waterbed can be shown: no domain off target was compared."
    worst = max(0.0, *(-change.low for change in off_target.values()))
    shown = "no waterbed shown" if found.gainers else "no gain and no waterbed shown"
    return f"{shown}; off-target losses above {points(worst, signed=False)} are excluded."


def _changed(change: Change) -> str:
    low, high = points(change.low, signed=False), points(change.high, signed=False)
    return f"{change.domain} {points(change.delta)} [{low}, {high}]"
