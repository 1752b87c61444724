"""BFCL's figures from the accuracy of each category: what V2, V3 and V4 call their overall score.

Weights are those of V4's code at the recorded commit; those of V2 and V3 are from its change log and
from memory of their leaderboards, so they are this project's reading. A figure whose parts are not all
present is left out: V4's overall is never among them, because its web search (20 %) needs a service
and one of its three memories (20 %) a model of sentence embeddings, neither of which is here, and V4
counts an absent category as 0 rather than leaving it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

#: Correct (1) or not (0) of each scored item, by category.
Values = Mapping[str, Sequence[float]]

_SIMPLE = ("simple_python", "simple_java", "simple_javascript")
_SEVERAL = ("multiple", "parallel", "parallel_multiple")
_LIVE = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
_IRRELEVANCE = ("irrelevance", "live_irrelevance")
MULTI_TURN = tuple(
    f"multi_turn_{kind}" for kind in ("base", "miss_func", "miss_param", "long_context")
)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _accuracy(values: Values, categories: Sequence[str]) -> list[float]:
    return [_mean(values[category]) for category in categories]


def _pooled(values: Values, categories: Sequence[str]) -> float:
    """Mean over items: every category weighs by its number of items."""
    return _mean([value for category in categories for value in values[category]])


def _non_live(values: Values) -> list[float]:
    return [_mean(_accuracy(values, _SIMPLE)), *_accuracy(values, _SEVERAL)]


def _with_irrelevance(values: Values) -> list[float]:
    """Non-live and live as V2 and V3 have them, irrelevance and relevance among them."""
    non_live = _mean([*_non_live(values), *_accuracy(values, ["irrelevance"])])
    return [non_live, _pooled(values, [*_LIVE, "live_irrelevance", "live_relevance"])]


_FIGURES: Mapping[str, Callable[[Values], float]] = {
    "non_live": lambda v: _mean(_non_live(v)),
    "live": lambda v: _pooled(v, _LIVE),
    "irrelevance": lambda v: _mean(_accuracy(v, _IRRELEVANCE)),
    "relevance": lambda v: _mean(v["live_relevance"]),
    "multi_turn": lambda v: _mean(_accuracy(v, MULTI_TURN)),
    "overall_v2": lambda v: _mean(_with_irrelevance(v)),
    "overall_v3": lambda v: _mean([*_with_irrelevance(v), _mean(_accuracy(v, MULTI_TURN))]),
}


def figures(values: Values) -> dict[str, float]:
    """Every category's accuracy as `category/<name>`, and each figure whose parts are present."""
    found = {f"category/{name}": _mean(own) for name, own in sorted(values.items()) if own}
    for name, figure in _FIGURES.items():
        try:
            found[name] = figure(values)
        except (KeyError, ZeroDivisionError):
            continue  # a part was not evaluated
    return found
