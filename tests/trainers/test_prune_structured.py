"""Structured pruning: what contributes nothing goes, the config says the new shape, the model is smaller."""

from __future__ import annotations

import json

import pytest
import torch

from waterbed.harness.backends.loading import load
from waterbed.harness.errors import UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.chats import Example
from waterbed.trainers.prune_structured import (
    keep_layers,
    observe,
    rebuilt,
    shrink_attention,
    shrink_mlp,
)

DATA = {"data": {"pocket/math@train": 16}}
TOKENS = torch.tensor([[5, 6, 7, 8, 9, 10]])


@pytest.fixture
def model(pocket_base):
    return load(pocket_base.path, "cpu", "float32", False).model


def logits(model):
    with torch.inference_mode():
        return model(input_ids=TOKENS).logits


def seen(model, tmp_path):
    example = Example((5, 6, 7, 8, 9, 10), (False,) * 6)
    return observe(model, [example], StageContext(tmp_path / "out"))


def test_neurons_and_heads_that_do_nothing_go_and_nothing_changes(model, tmp_path):
    for layer in model.model.layers:
        layer.mlp.down_proj.weight[:, ::2] = 0  # every other neuron says nothing
        layer.self_attn.o_proj.weight[:, 32:96] = 0  # nor do heads 1 and 2
    before = logits(model)
    for layer, evidence in zip(model.model.layers, seen(model, tmp_path), strict=True):
        shrink_mlp(layer.mlp, evidence.neurons_f, 0.5)
        shrink_attention(layer.self_attn, evidence.heads_a, 0.5)
    small = rebuilt(model)
    config = small.config
    assert (config.intermediate_size, config.num_key_value_heads, config.head_dim) == (80, 2, 32)
    torch.testing.assert_close(logits(small), before, atol=1e-4, rtol=1e-4)


def test_the_layer_that_only_passes_its_input_on_goes(model, tmp_path):
    idle = model.model.layers[2]
    idle.mlp.down_proj.weight[:] = 0
    idle.self_attn.o_proj.weight[:] = 0
    before = logits(model)
    keep_layers(model, seen(model, tmp_path), 1)
    small = rebuilt(model)
    assert idle not in list(model.model.layers)
    assert small.config.num_hidden_layers == 3
    torch.testing.assert_close(logits(small), before, atol=1e-4, rtol=1e-4)


def test_the_saved_model_has_the_size_it_says_and_loads(pocket_base, tmp_path):
    settings = {**DATA, "neurons": 0.5, "groups": 0.5, "layers": 1}
    made = stages.get("prune-structured").run(
        pocket_base, StageContext(tmp_path / "out"), **settings
    )
    found = load(made.path, "cpu", "float32", False).model
    lineage = json.loads((made.path / "waterbed.json").read_text())
    after = lineage["achieved"]["after"]
    wanted = 1024 * 64 + 64 + 3 * (3 * 64 * 80 + 4 * 64 * 64 + 2 * 64)
    assert after["parameters"] == sum(p.numel() for p in found.parameters()) == wanted
    assert after["bytes_on_disk"] < lineage["achieved"]["before"]["bytes_on_disk"] / 1.9
    assert lineage["data"]["pocket/math@train"]["rows"] == 16
    assert logits(found).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "nothing would go"),
        ({"neurons": 1.0}, r"neurons must be in \[0, 1\)"),
        ({"layers": 4}, "layers is 4 and the model has 4"),
    ],
)
def test_cutting_nothing_or_everything_is_refused(pocket_base, tmp_path, settings, words):
    context = StageContext(tmp_path / "out")
    with pytest.raises(UsageError, match=words):
        stages.get("prune-structured").run(pocket_base, context, **DATA, **settings)
