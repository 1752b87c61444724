"""What a compression stage achieved: counts by hand, misses refused, speed measured, scatter told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from waterbed.harness.backends.loading import load
from waterbed.harness.checkpoints import Checkpoint, open_checkpoint
from waterbed.harness.errors import CheckpointError
from waterbed.harness.stage import StageContext
from waterbed.trainers.achieved import Asked, measurement, missed, sparsity, weigh
from waterbed.trainers.speed import Timing, compare

QUICK = Timing(repeats=3, batch=1, prompt_tokens=8, new_tokens=2)
MATRIX = "model.layers.0.mlp.up_proj"


def changed(base: Checkpoint, out: Path, change) -> Path:
    """A copy of a checkpoint with other tensors."""
    shutil.copytree(base.path, out)
    file = out / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    return out


def test_a_dense_model_is_counted_as_torch_counts_it(pocket_base):
    found = weigh(pocket_base.path)
    model = load(pocket_base.path, "cpu", "float32", False).model
    assert found.parameters == found.nonzero == sum(p.numel() for p in model.parameters())
    assert found.bytes_on_disk == (pocket_base.path / "model.safetensors").stat().st_size
    assert list(found.embeddings) == ["model.embed_tokens"]
    assert {m.bits for m in found.inner.values()} == {32.0}
    assert sparsity(found.inner.values()) == 0


def test_zeros_are_counted_in_each_matrix_and_in_all(pocket_base, tmp_path):
    def half(tensors):
        tensors[f"{MATRIX}.weight"][:, ::2] = 0

    dense, found = weigh(pocket_base.path), weigh(changed(pocket_base, tmp_path / "half", half))
    matrix = found.inner[MATRIX]
    assert (matrix.sparsity, matrix.halved) == (0.5, True)
    assert not found.inner["model.layers.1.mlp.up_proj"].halved
    total = sum(m.weights for m in found.inner.values())
    assert sparsity(found.inner.values()) == pytest.approx(matrix.weights / 2 / total)
    assert found.nonzero == dense.parameters - matrix.weights // 2


def test_packed_weights_count_with_their_scales(pocket_base, tmp_path):
    def pack(tensors):
        dense = tensors.pop(f"{MATRIX}.weight")
        rows, width = dense.shape
        tensors[f"{MATRIX}.weight_packed"] = torch.zeros(rows, width // 8, dtype=torch.int32)
        tensors[f"{MATRIX}.weight_scale"] = torch.ones(rows, width // 32, dtype=torch.float16)

    folder = changed(pocket_base, tmp_path / "packed", pack)
    found = weigh(folder, unpacked=pocket_base.path)
    assert found.inner[MATRIX].bits == 4 + 16 / 32
    assert found.inner[MATRIX].sparsity is found.nonzero is None
    assert found.parameters == weigh(pocket_base.path).parameters


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked(sparsity=0.5), r"sparsity 0.5 was asked for and 0.0000 achieved"),
        (Asked(two_four=True), r"is not 2:4 \(28 of 28 are not\)"),
        (Asked(bits=4.5), r"at most 4.5 bits a weight were asked for and 32.000 achieved"),
        (Asked(parameters=10), r"10 parameters were asked for and 320064 achieved"),
        (Asked(among=lambda name: False), "no matrix of this model was meant"),
    ],
)
def test_a_miss_says_what_was_asked_and_what_was_achieved(pocket_base, asked, words):
    with pytest.raises(CheckpointError, match=words):
        measurement("prune", pocket_base, asked, QUICK, StageContext(Path("out")))(pocket_base.path)


def test_nothing_asked_is_never_missed(pocket_base):
    assert missed(Asked(), weigh(pocket_base.path)) is None


def test_a_stage_that_misses_leaves_no_checkpoint(pocket_base, tmp_path):
    context = StageContext(tmp_path / "out")
    with pytest.raises(CheckpointError, match="was asked for"):
        context.finish(
            lambda aside: shutil.copytree(pocket_base.path, aside, dirs_exist_ok=True),
            parent=pocket_base,
            stage="prune",
            config=QUICK,
            rows=(),
            measure=measurement("prune", pocket_base, Asked(sparsity=0.5), QUICK, context),
        )
    assert not context.out.exists()


def test_the_lineage_holds_counts_speed_and_memory_of_both_sides(pocket_base, tmp_path):
    context = StageContext(tmp_path / "out")
    further = {"sensitivity": {"model.layers.0.mlp.down_proj": 0.25}}
    made = context.finish(
        lambda aside: shutil.copytree(pocket_base.path, aside, dirs_exist_ok=True),
        parent=pocket_base,
        stage="prune",
        config=QUICK,
        rows=(),
        measure=measurement("prune", pocket_base, Asked(), QUICK, context, further=further),
    )
    lineage = json.loads((made.path / "waterbed.json").read_text())
    found = lineage["achieved"]
    assert lineage["sensitivity"] == further["sensitivity"]
    assert found["before"]["parameters"] == found["after"]["parameters"] == 320064
    assert found["after"]["matrices"][MATRIX]["sparsity"] == 0
    assert found["speed"]["prefill"]["before"] > 0 < found["speed"]["decode"]["ratio"]
    assert isinstance(found["speed"]["noisy"], bool)
    assert found["speed"]["settings"]["clock"] == "computing"
    assert found["peak_memory_bytes"] > 4 * 320064
    assert open_checkpoint(made.path).digest == pocket_base.digest


def test_a_model_that_does_twice_the_work_is_measured_slower(pocket_base, tmp_path):
    model = load(pocket_base.path, "cpu", "float32", False).model
    slow = load(pocket_base.path, "cpu", "float32", False).model

    def work(_module, _inputs):
        model.model(torch.zeros(8, 256, dtype=torch.long))

    slow.model.register_forward_pre_hook(work)
    timing = Timing(repeats=5, prompt_tokens=64, new_tokens=2)
    found = compare(model, slow, timing, StageContext(tmp_path / "out"))
    assert found["prefill"]["ratio"] < 0.7 > found["decode"]["ratio"]


def test_too_few_repeats_for_quartiles_are_refused():
    with pytest.raises(ValueError, match="repeats must be 0 or at least 3, got 2"):
        Timing(repeats=2)
