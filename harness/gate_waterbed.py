"""Pushed down here, bulging there: whether this gate may name the waterbed.

One claim, made only where the user declared a target beforehand: the target gained and another
domain lost, both beyond chance. It changes no exit code; a loss is red with or without it. Not
here: the conjunction itself and its sentence (statistics/waterbed.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from .gate_evidence import Evidence
from .gate_units import unit_pairs
from .statistics.waterbed import (
    Change,
    Exchange,
    Waterbed,
    exchange_rate,
    name_waterbed,
    waterbed_sentence,
)
from .verdict import WaterbedVerdict


def waterbed_of(
    evidence: Sequence[Evidence], target: str | None, alpha: float
) -> WaterbedVerdict | None:
    """Name the waterbed, or say what is excluded; None without a target that was tested.

    Args:
        evidence: of every claim of the gate.
        target: the declared domain, or one claim of it.
        alpha: level of the claim.
    """
    usable = [e for e in evidence if e.usable and e.decision]
    goal = {e.plan.claim.id: e for e in usable if target in (e.plan.claim.id, e.plan.claim.domain)}
    if not goal:
        return None
    others = {e.plan.claim.id: e for e in usable if e.plan.claim.id not in goal}
    gains = {name: e.p_gain for name, e in goal.items()}
    found = name_waterbed(gains, {name: e.p_loss for name, e in others.items()}, alpha)
    best = goal[min(gains, key=lambda name: (gains[name], name))]
    price = _price(found, best, others) if found.named else None
    changes = {name: _change(e) for name, e in others.items()}
    return WaterbedVerdict(
        named=found.named,
        p=found.p,
        p_gain=found.p_gain,
        p_loss=found.p_loss,
        gainers=found.gainers,
        losers=found.losers,
        rate=price.rate if price else None,
        rate_low=price.low if price else None,
        rate_high=price.high if price else None,
        sentence=waterbed_sentence(found, _change(best), changes, price),
    )


def _price(found: Waterbed, best: Evidence, others: dict[str, Evidence]) -> Exchange | None:
    worst = min((others[name] for name in found.losers), key=lambda e: _change(e).delta)
    return exchange_rate(unit_pairs(best.paired), unit_pairs(worst.paired))


def _change(found: Evidence) -> Change:
    seen = found.read
    assert seen is not None
    return Change(found.plan.claim.id, seen.delta, seen.low, seen.high)
