"""Wanda and SparseGPT: the asked sparsity is there, Wanda drops by its paper's score, what is left is mended."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
import torch

from waterbed.harness.backends.loading import load
from waterbed.harness.errors import UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.calibration import gather

pytestmark = pytest.mark.skipif(
    find_spec("llmcompressor") is None, reason="needs llm-compressor (waterbed[compress])"
)

DATA = {"data": {"pocket/math@train": 12, "pocket/pretrain@train": 12}}
FIRST = "model.layers.0.self_attn.q_proj"


def pruned(base, out, **settings):
    given = {**DATA, "timing": {"repeats": 0}, **settings}
    return stages.get("prune-calibrated").run(base, StageContext(out), **given)


def weight(folder, name=FIRST):
    model = load(folder, "cpu", "float32", False).model
    return model.get_submodule(name).weight


@pytest.mark.parametrize("rule", ["wanda", "sparsegpt"])
@pytest.mark.parametrize("two_four", [False, True])
def test_half_the_inner_weights_are_zero_and_tables_are_whole(
    pocket_base, tmp_path, rule, two_four
):
    made = pruned(pocket_base, tmp_path / "out", rule=rule, two_four=two_four)
    lineage = json.loads((made.path / "waterbed.json").read_text())
    after = lineage["achieved"]["after"]
    assert after["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert after["embedding_sparsity"] == 0
    assert {name: rows["rows"] for name, rows in lineage["data"].items()} == DATA["data"]
    mended = weight(made.path)[weight(made.path) != 0]
    same = torch.isin(mended, weight(pocket_base.path)).float().mean()
    assert same == 1 if rule == "wanda" else same < 0.9


def test_wanda_drops_the_least_weight_times_input_norm_of_each_row(pocket_base, tmp_path):
    made = pruned(pocket_base, tmp_path / "out", rule="wanda")
    loaded = load(pocket_base.path, "cpu", "float32", False)
    squares = torch.zeros(64)

    def watch(_module, inputs, _output):
        squares.add_(inputs[0].square().sum((0, 1)))

    loaded.model.get_submodule(FIRST).register_forward_hook(watch)
    for example in gather(DATA["data"], loaded.tokenizer, loaded.context, 0).examples:
        loaded.model(input_ids=torch.tensor([example.tokens]))
    score_oi = loaded.model.get_submodule(FIRST).weight.abs() * squares.sqrt()
    dropped_oi = score_oi.argsort(1).argsort(1) < 32
    assert (dropped_oi == (weight(made.path) == 0)).float().mean() > 0.99


def test_excluded_matrices_are_left_alone(pocket_base, tmp_path):
    made = pruned(pocket_base, tmp_path / "out", rule="wanda", exclude=["*.q_proj"])
    assert (weight(made.path) != 0).all()


def test_an_unknown_rule_is_named(pocket_base, tmp_path):
    with pytest.raises(UsageError, match="rule"):
        pruned(pocket_base, tmp_path / "out", rule="magnitude")
