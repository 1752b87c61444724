"""AlpacaEval's length control refitted from published annotations, without the authors' difficulties.

The table of difficulties and gamed baselines is on a hub. Here the gamed rows are made of both gamed
baselines' real answers and published weights, and difficulties have their published distribution in an order
estimated from the models' own votes; so figures agree within some points, not exactly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from waterbed.harness.folders import data_root
from waterbed.suites.alpaca_figures import Gamed, Weights, fit, predict, standardized

Floats: TypeAlias = NDArray[np.float64]

MODELS = ("NullModel", "claude-2.1", "gpt-3.5-turbo-1106", "gemma-7b-it")
GAMED = {"gpt4_1106_preview_concise": 22.92, "gpt4_1106_preview_verbose": 64.30}
FOLDER = Path("alpaca_eval2")


@pytest.fixture(scope="module")
def published() -> Mapping[str, Any]:
    file = Path(os.environ.get("WATERBED_VECTORS", "")) / "alpaca_eval2.json"
    if not file.is_file() or not (data_root() or Path()).joinpath(FOLDER).is_dir():
        pytest.skip("needs alpaca_eval2 in WATERBED_VECTORS and WATERBED_DATA")
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def rows(name: str) -> list[dict[str, Any]]:
    file = (data_root() or Path()) / FOLDER / name
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def votes(published: Mapping[str, Any]) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Share, length and the baseline's length by instruction, of each model, in one order."""
    found = {}
    for model in MODELS:
        own = sorted(rows(f"annotations/{model}.json"), key=lambda row: str(row["instruction"]))
        found[model] = (
            np.array([row["preference"] - 1 for row in own]),
            np.array([len(row["output_2"]) for row in own]),
            np.array([len(row["output_1"]) for row in own]),
        )
    return found


def shares(weights: Weights, apart: Floats, difficulty: Floats) -> Floats:
    logits = weights.length * np.tanh(apart) + weights.difficulty * difficulty + weights.model
    return np.asarray(1 / (1 + np.exp(-logits)))


def weights_of(published: Mapping[str, Any], model: str) -> Weights:
    return Weights(*published["all_published_lc"][model]["w"])


def quantiles(published: Mapping[str, Any], n: int) -> Floats:
    """The published distribution of difficulties at n even steps."""
    steps = np.asarray(published["recovered_difficulty_distribution"])
    cumulated = np.cumsum(steps[:, 1]) / steps[:, 1].sum()
    return np.asarray(steps[np.searchsorted(cumulated, (np.arange(n) + 0.5) / n), 0])


@pytest.mark.parametrize("model", MODELS)
def test_published_weights_give_back_the_raw_win_rate_at_the_real_lengths(
    published: Mapping[str, Any], votes: Mapping[str, tuple[Floats, Floats, Floats]], model: str
) -> None:
    share, own, base = votes[model]
    hard = quantiles(published, 200)
    weights, apart = weights_of(published, model), standardized(list(own), list(base))
    there = shares(weights, apart[:, None], hard[None, :]).mean()
    back = shares(weights, -apart[:, None], hard[None, :]).mean()
    assert 100 * there == pytest.approx(100 * share.mean(), abs=1.5)
    assert 100 * back > 100 * share.mean() + 10  # the other sign of the length would not do


def difficulties(
    published: Mapping[str, Any], votes: Mapping[str, tuple[Floats, Floats, Floats]]
) -> Floats:
    """Where models win more than their lengths say, the instruction is easy for them all."""
    n = len(votes[MODELS[0]][0])
    hard, surprise = quantiles(published, 200), np.zeros(n)
    for model, (share, own, base) in votes.items():
        apart = standardized(list(own), list(base))
        expected = shares(weights_of(published, model), apart[:, None], hard[None, :]).mean(axis=1)
        surprise += (share - expected) / np.sqrt(expected * (1 - expected))
    found = np.empty(n)
    found[np.argsort(surprise, kind="stable")] = quantiles(published, n)
    return found


def test_the_fit_from_real_annotations_lands_near_the_published_figures(
    published: Mapping[str, Any], votes: Mapping[str, tuple[Floats, Floats, Floats]]
) -> None:
    difficulty, design, gamed = difficulties(published, votes), [], []
    base = votes[MODELS[0]][2]
    for name, win_rate in GAMED.items():
        own = sorted(rows(f"model_outputs/{name}.json"), key=lambda row: str(row["instruction"]))
        apart = standardized([len(row["output"]) for row in own], list(base))
        share = shares(weights_of(published, name), apart, difficulty)
        assert 100 * share.mean() == pytest.approx(win_rate, abs=1.0)
        design.append(np.column_stack([apart, difficulty]))
        gamed.append(share)
    table = Gamed(np.vstack(design), np.concatenate(gamed), difficulty)
    for model, (share, own, base) in votes.items():
        weights = fit(list(share), list(own), list(base), list(difficulty), table)
        expected = published["models"][model]["published"]["length_controlled_winrate"]
        found = 100 * predict(weights, list(difficulty)).win_rate
        assert found == pytest.approx(expected, abs=3.0), model
        assert abs(found - expected) < abs(100 * share.mean() - expected) / 3, model
