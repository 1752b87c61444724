"""Pruning by magnitude: the smallest go, exclusions stay, 2:4 holds, healing keeps what went at zero."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch

from waterbed.harness.backends.loading import load
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.dense import matrices
from waterbed.trainers.masks import drop_smallest, two_of_four
from waterbed.trainers.prune_heal import PruneHealConfig, in_rounds, sparsity_after

UNTIMED = {"timing": {"repeats": 0}}
CHATS = {"data": {"pocket/math@train": 60}, "batch_tokens": 512}


def weights_of(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return matrices(load(checkpoint.path, "cpu", "float32", False).model)


def recorded(checkpoint: Checkpoint):
    return json.loads((checkpoint.path / "waterbed.json").read_text())["achieved"]["after"]


def test_exactly_the_smallest_weights_of_each_matrix_go():
    a = torch.tensor([[3.0, -1.0, 2.0, -4.0]])
    b = torch.tensor([[0.1, -0.4, 0.3, 0.2]])
    drop_smallest({"a": a, "b": b}, 0.5, "matrix")
    assert a.tolist() == [[3.0, 0.0, 0.0, -4.0]]
    torch.testing.assert_close(b, torch.tensor([[0.0, -0.4, 0.3, 0.0]]))


def test_a_global_rule_compares_matrices_with_each_other():
    a, b = torch.tensor([[3.0, -1.0, 2.0, -4.0]]), torch.tensor([[0.1, -0.4, 0.3, 0.2]])
    drop_smallest({"a": a, "b": b}, 0.5, "global")
    assert (a != 0).all()
    assert (b == 0).all()


def test_of_equal_weights_exactly_half_go():
    equal = torch.ones(4, 6)
    drop_smallest({"a": equal}, 0.5, "matrix")
    assert equal.sum() == 12


def test_two_of_every_four_stay_even_where_all_are_equal_or_zero():
    mask = two_of_four(torch.tensor([[5.0, -6, 1, 2, 1, 1, 1, 1], [0, 0, 0, 0, 9, 0, 0, 0]]))
    assert mask.reshape(-1, 4).sum(1).tolist() == [2, 2, 2, 2]
    assert mask[0, :4].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("scope", ["matrix", "global", "2:4"])
def test_half_the_inner_weights_are_zero_and_the_others_are_as_before(pocket_base, tmp_path, scope):
    context = StageContext(tmp_path / "out")
    made = stages.get("prune").run(pocket_base, context, scope=scope, **UNTIMED)
    assert recorded(made)["sparsity"] == 0.5
    assert recorded(made)["embedding_sparsity"] == 0
    before = weights_of(pocket_base)
    for name, weight in weights_of(made).items():
        kept = weight != 0
        assert torch.equal(weight[kept], before[name][kept])


def test_excluded_matrices_are_left_alone(pocket_base, tmp_path):
    context = StageContext(tmp_path / "out")
    made = stages.get("prune").run(pocket_base, context, exclude=["*.down_proj"], **UNTIMED)
    matrices = recorded(made)["matrices"]
    assert matrices["model.layers.3.mlp.down_proj"]["sparsity"] == 0
    assert matrices["model.layers.3.mlp.up_proj"]["sparsity"] == 0.5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"exclude": ["*.w1"]}, r"'\*.w1' names no linear layer"),
        ({"exclude": ["*"]}, "leaves none of the 28 linear layers"),
        ({"sparsity": 1.0}, "between 0 and 1"),
        ({"scope": "2:4", "sparsity": 0.6}, "2:4 is a sparsity of 0.5"),
    ],
)
def test_settings_that_prune_nothing_or_all_are_refused(pocket_base, tmp_path, settings, words):
    with pytest.raises(UsageError, match=words):
        stages.get("prune").run(pocket_base, StageContext(tmp_path / "out"), **settings)


def test_a_bfloat16_checkpoint_stays_one(pocket_base, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    small = shutil.copytree(pocket_base.path, tmp_path / "bf16")
    tensors = load_file(small / "model.safetensors")
    narrow = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    save_file(narrow, small / "model.safetensors", metadata={"format": "pt"})
    context = StageContext(tmp_path / "out")
    made = stages.get("prune").run(Checkpoint(small, "x"), context, **UNTIMED)
    assert recorded(made)["bits_per_weight"] == 16


def test_a_quantized_checkpoint_is_refused(pocket_base, tmp_path):
    import shutil

    packed = shutil.copytree(pocket_base.path, tmp_path / "packed")
    config = json.loads((packed / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "compressed-tensors"}
    (packed / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="is quantized already; run 'prune' on the checkpoint"):
        stages.get("prune").run(Checkpoint(packed, "x"), StageContext(tmp_path / "out"))


def test_each_round_prunes_more_and_what_went_stays_at_zero():
    torch.manual_seed(0)
    weight = torch.randn(10, 100)
    config = PruneHealConfig(data={}, sparsity=0.8, rounds=2)
    constrain = in_rounds({"a": weight}, config)
    seen = []
    for done in range(7):
        weight += 0.1 * torch.randn(10, 100)  # a step of an optimizer that knows no masks
        constrain(done, 6)
        seen.append(float((weight == 0).float().mean()))
    first = pytest.approx(sparsity_after(1, 2, 0.8))
    assert seen == [first] * 3 + [pytest.approx(0.8)] * 4


def test_sparsity_rises_fast_and_then_slowly_to_its_end():
    shares = [sparsity_after(r, 4, 0.5) for r in range(5)]
    steps = [b - a for a, b in pairwise(shares)]
    assert (shares[0], shares[-1]) == (0, 0.5)
    assert steps == sorted(steps, reverse=True)


@pytest.mark.parametrize("teaching", [{}, None])
def test_healing_lowers_the_loss_and_keeps_the_sparsity(pocket_base, tmp_path, teaching):
    context = StageContext(tmp_path / "out")
    settings = {**CHATS, "epochs": 3, "teaching": teaching, **UNTIMED}
    made = stages.get("prune-heal").run(pocket_base, context, **settings)
    assert recorded(made)["sparsity"] == pytest.approx(0.5, abs=1e-3)
    lines = [json.loads(line) for line in context.metrics_path.read_text().splitlines()]
    assert lines[-1]["loss"] < 5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"rounds": 2, "scope": "2:4"}, "1 for 2:4"),
        ({"teaching": None, "teacher": "some/where"}, "drop one of them"),
    ],
)
def test_rounds_and_teachers_that_make_no_sense_are_refused(pocket_base, tmp_path, settings, words):
    context = StageContext(tmp_path / "out")
    with pytest.raises(UsageError, match=words):
        stages.get("prune-heal").run(pocket_base, context, **{**CHATS, **settings})
