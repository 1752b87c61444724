"""Stages against domains: cells on the same items, forgetting without the bias of its maximum."""

import numpy as np
import pytest

from waterbed.harness.statistics.matrix import (
    attribute,
    backward_transfer,
    final_mean,
    forgetting,
    forgetting_split,
    stage_matrix,
)

MARGINS = {"math": 0.03, "chat": 0.05}


def history(losses: dict[str, float]) -> dict[str, dict[str, np.ndarray]]:
    """base, sft, rl: the share of math and chat items that each stage newly loses."""
    rng = np.random.default_rng(20261120)
    now = {"math": np.ones(600), "chat": np.ones(400)}
    found = {"base": dict(now)}
    for stage in ("sft", "rl"):
        lost = losses.get(stage, 0.0)
        now = {
            "math": now["math"],
            "chat": now["chat"] * (rng.random(400) >= lost),
        }
        found[stage] = dict(now)
    return found


def test_steps_add_up_to_the_cumulative_change() -> None:
    matrix = stage_matrix(history({"sft": 0.1, "rl": 0.05}), MARGINS)
    for domain in MARGINS:
        steps = sum(matrix.step[stage, domain].delta for stage in ("sft", "rl"))
        assert steps == pytest.approx(matrix.cumulative["rl", domain].delta, abs=1e-12)
    assert matrix.step["sft", "chat"] == matrix.cumulative["sft", "chat"]
    assert matrix.cumulative["rl", "math"].delta == 0.0


def test_the_first_stage_that_lost_is_named_with_its_share() -> None:
    matrix = stage_matrix(history({"rl": 0.12}), MARGINS)
    found = attribute(matrix, "chat")
    assert found is not None
    assert (found.stage, found.share) == ("rl", pytest.approx(1.0))
    assert attribute(matrix, "math") is None
    both = attribute(stage_matrix(history({"sft": 0.12, "rl": 0.12}), MARGINS), "chat")
    assert both is not None
    assert both.stage == "sft"
    assert both.share == pytest.approx(0.5, abs=0.15)


def test_a_loss_that_was_mended_has_no_share() -> None:
    scores = history({"sft": 0.12})
    scores["rl"]["chat"] = np.ones(400)
    found = attribute(stage_matrix(scores, MARGINS), "chat")
    assert found is not None
    assert found.share is None


def test_many_unchanged_cells_are_seldom_suspected() -> None:
    rng, suspected = np.random.default_rng(20261120), 0
    for _ in range(40):
        scores = {
            str(k): {"a": rng.random(200) < 0.9, "b": rng.random(200) < 0.9} for k in range(5)
        }
        suspected += bool(stage_matrix(scores, {"a": 0.03, "b": 0.03}).suspected)
    assert suspected <= 9


def test_split_forgetting_is_unbiased_where_the_plain_maximum_is_not() -> None:
    rng = np.random.default_rng(20261120)
    plain, split = [], []
    for _ in range(400):
        items = (rng.random((6, 200)) < 0.5).astype(float)
        plain.append(forgetting(items.mean(axis=1, keepdims=True), domains=[0]))
        split.append(forgetting_split(items))
    assert np.mean(plain) > 0.03
    assert np.mean(split) == pytest.approx(0.0, abs=0.01)


def test_a_real_loss_is_forgotten_in_both() -> None:
    items = np.vstack([np.zeros(100), np.ones(100), np.repeat([0.0, 1.0], 50)])
    assert forgetting(items.mean(axis=1, keepdims=True), domains=[0]) == pytest.approx(0.5)
    shuffled = np.random.default_rng(1).permutation(items.T).T
    assert forgetting_split(shuffled) == pytest.approx(0.5, abs=0.05)


def test_transfer_of_a_stage_for_each_domain() -> None:
    r = [[0.8, 0.3], [0.7, 0.6]]
    assert backward_transfer(r) == pytest.approx(-0.1)
    assert final_mean(r) == pytest.approx(0.65)
    with pytest.raises(ValueError, match="use forgetting"):
        backward_transfer([[0.8, 0.3, 0.1], [0.7, 0.6, 0.1]])


def test_histories_that_do_not_fit_are_refused() -> None:
    scores = history({})
    with pytest.raises(ValueError, match="two stages"):
        stage_matrix({"base": scores["base"]}, MARGINS)
    del scores["rl"]["chat"]
    with pytest.raises(ValueError, match="rl has"):
        stage_matrix(scores, MARGINS)
    with pytest.raises(ValueError, match="two items"):
        forgetting_split([[0.5], [0.5]])
    with pytest.raises(ValueError, match="not the last"):
        forgetting([[0.5], [0.4]])
    with pytest.raises(ValueError, match="finite"):
        forgetting([[0.5, np.nan], [0.4, 0.1]])
