"""Mixing weights: exact at both ends, a mean by hand, foreign shapes and tokenizers refused, choosing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from waterbed.harness.checkpoints import Checkpoint, open_checkpoint
from waterbed.harness.errors import UsageError
from waterbed.harness.stage import StageContext, stages


def shifted(base: Checkpoint, out: Path, change) -> Checkpoint:
    """A copy of a checkpoint with each tensor changed."""
    shutil.copytree(base.path, out)
    tensors = {n: change(n, t).contiguous() for n, t in tensors_of(base).items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return open_checkpoint(out)


def tensors_of(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return load_file(checkpoint.path / "model.safetensors")


@pytest.fixture(scope="module")
def other(pocket_base, tmp_path_factory) -> Checkpoint:
    out = tmp_path_factory.mktemp("other") / "model"
    return shifted(pocket_base, out, lambda _name, t: t * 1.37 + 0.01)


def mixed(base, out, stage, **settings) -> Checkpoint:
    return stages.get(stage).run(base, StageContext(out), **settings)


def test_both_ends_are_exact_to_the_digest(pocket_base, other, tmp_path):
    for alpha, end in ((0.0, pocket_base), (1.0, other)):
        out = tmp_path / str(alpha)
        made = mixed(pocket_base, out, "interpolate", other=str(other.path), alpha=alpha)
        assert made.digest == end.digest


def test_between_the_ends_each_weight_lies_on_the_line(pocket_base, other, tmp_path):
    made = mixed(pocket_base, tmp_path / "out", "interpolate", other=str(other.path), alpha=0.25)
    first, second = tensors_of(pocket_base), tensors_of(other)
    for name, tensor in tensors_of(made).items():
        torch.testing.assert_close(tensor, 0.75 * first[name] + 0.25 * second[name])
    lineage = json.loads((made.path / "waterbed.json").read_text())
    assert (lineage["parent"], lineage["beside"]) == (pocket_base.digest, [other.digest])


def test_an_average_is_the_weighted_mean(pocket_base, other, tmp_path):
    settings = {"others": [str(other.path), str(pocket_base.path)], "weights": [1, 2, 1]}
    made = mixed(pocket_base, tmp_path / "out", "average", **settings)
    half = mixed(pocket_base, tmp_path / "half", "average", others=[str(other.path)])
    first, second, third = tensors_of(pocket_base), tensors_of(other), tensors_of(half)
    for name, tensor in tensors_of(made).items():
        torch.testing.assert_close(tensor, (first[name] + second[name]) / 2)
        torch.testing.assert_close(tensor, third[name])


def test_the_average_of_a_checkpoint_with_itself_is_itself(pocket_base, tmp_path):
    given = [str(pocket_base.path)] * 2
    assert (
        mixed(pocket_base, tmp_path / "out", "average", others=given).digest == pocket_base.digest
    )


def test_bfloat16_weights_stay_bfloat16_and_exact(pocket_base, tmp_path):
    one = shifted(pocket_base, tmp_path / "one", lambda _name, t: t.bfloat16())
    two = shifted(pocket_base, tmp_path / "two", lambda _name, t: (t * 1.5).bfloat16())
    made = mixed(one, tmp_path / "out", "interpolate", other=str(two.path), alpha=1.0)
    assert made.digest == two.digest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda n, t: t[:-4] if "up_proj" in n else t,
            r"'model.layers.0.mlp.up_proj.weight' is \[",
        ),
        (lambda n, t: t.to(torch.int8) if "up_proj" in n else t, r"is packed \(I8\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(pocket_base, tmp_path, change, words):
    foreign = shifted(pocket_base, tmp_path / "foreign", change)
    with pytest.raises(UsageError, match=words):
        mixed(pocket_base, tmp_path / "out", "interpolate", other=str(foreign.path))
    assert not (tmp_path / "out").exists()


def test_another_tokenizer_is_refused(pocket_base, tmp_path):
    foreign = shutil.copytree(pocket_base.path, tmp_path / "foreign")
    tokenizer = json.loads((foreign / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (foreign / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UsageError, match="their tokenizers differ"):
        mixed(pocket_base, tmp_path / "out", "average", others=[str(foreign)])


def test_what_the_other_end_was_trained_on_is_remembered(pocket_base, other, tmp_path):
    from waterbed.harness.contamination_trace import Trace

    bare = shutil.copytree(other.path, tmp_path / "bare")
    (bare / "waterbed.ngrams.npz").unlink()
    made = mixed(pocket_base, tmp_path / "out", "interpolate", other=str(bare))
    trace = Trace.load(made.path)
    assert trace is not None
    assert trace.unknown == (other.digest,)


def test_the_checkpoint_with_the_lowest_loss_is_chosen(pocket_base, other, tmp_path):
    data = {"pocket/math@dev": 40, "pocket/chat@dev": 40}
    settings = {"others": [str(pocket_base.path)], "data": data}
    made = mixed(other, tmp_path / "out", "choose", **settings)
    lineage = json.loads((made.path / "waterbed.json").read_text())
    assert made.digest == made.parent == lineage["chosen"] == pocket_base.digest
    losses = [sum(c["loss"].values()) for c in lineage["candidates"]]
    assert losses[1] < losses[0]
    assert lineage["development"]["pocket/math@dev"]["rows"] == 40


def test_choosing_on_a_test_split_is_refused(pocket_base, other, tmp_path):
    settings = {"others": [str(other.path)], "data": {"pocket/math@test": 5}}
    with pytest.raises(UsageError, match="test split"):
        mixed(pocket_base, tmp_path / "out", "choose", **settings)


@pytest.mark.parametrize(
    ("stage", "settings", "words"),
    [
        ("interpolate", {"other": "x", "alpha": 1.5}, r"alpha must be in \[0, 1\]"),
        ("interpolate", {"other": "nowhere/at/all"}, "There is no checkpoint folder"),
        ("average", {"others": []}, "others is empty"),
        ("average", {"others": ["x"], "weights": [1]}, "weights needs 2 numbers"),
        ("choose", {"others": ["x"], "data": {"a@dev": 1}, "weights": {"b": 1}}, "must name the"),
    ],
)
def test_wrong_settings_are_named(pocket_base, tmp_path, stage, settings, words):
    with pytest.raises(UsageError, match=words):
        mixed(pocket_base, tmp_path / "out", stage, **settings)


@pytest.mark.parametrize(
    ("stage", "settings", "rows", "steps"),
    [
        ("interpolate", {"other": "OTHER"}, 0, 38),
        ("average", {"others": ["OTHER", "OTHER"]}, 0, 38),
        ("choose", {"others": ["OTHER"], "data": {"pocket/math@dev": 40}}, 40, 4),
    ],
)
def test_a_dry_run_counts_tensors_or_passes_and_writes_nothing(
    pocket_base, other, tmp_path, stage, settings, rows, steps
):
    text = json.dumps(settings).replace("OTHER", str(other.path))
    plan = stages.get(stage).plan(pocket_base, StageContext(tmp_path / "out"), **json.loads(text))
    assert (plan.rows, plan.steps, plan.parameters, plan.trainable) == (rows, steps, 320064, 0)
    assert 0 < plan.memory_bytes <= 4 * plan.parameters
    assert not list(tmp_path.iterdir())


def test_every_stage_has_a_dry_run():
    assert [name for name, found in stages.all().items() if found.planner is None] == []
