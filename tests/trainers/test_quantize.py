"""Post-training quantization: what is stored, how it reloads, and what each method promises."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import waterbed
from waterbed.harness.backends.loading import load
from waterbed.harness.checkpoints import Checkpoint, open_checkpoint
from waterbed.harness.errors import UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.harness.stage_config import from_settings, from_yaml, to_yaml

ROWS = {"data": {"pocket/math@train": 24, "pocket/chat-replay@train": 8}}
UNTIMED = {"timing": {"repeats": 0}}
#: Settings of each method that runs on a CPU.
METHODS: dict[str, dict[str, Any]] = {
    "rtn": {},
    "gptq": ROWS,
    "int8-dynamic": {},
    "int8-static": ROWS,
    "smoothquant": ROWS,
    "fp8": {},
}
LAYER = "model.layers.0.mlp.up_proj"


@pytest.fixture(scope="module")
def made(pocket_base, tmp_path_factory):
    """Checkpoints by stage and settings, each made once."""
    folder, found = tmp_path_factory.mktemp("made"), {}

    def of(stage: str, **settings: Any) -> Checkpoint:
        key = json.dumps([stage, settings])
        if key not in found:
            context = StageContext(folder / str(len(found)))
            asked = {**METHODS[stage], **UNTIMED, **settings}
            found[key] = stages.get(stage).run(pocket_base, context, **asked)
        return found[key]

    return of


def module(checkpoint: Checkpoint, layer: str = LAYER) -> torch.nn.Module:
    """A layer as it is used."""
    return load(checkpoint.path, "cpu", "float32", False).model.get_submodule(layer)


def weights(checkpoint: Checkpoint, layer: str = LAYER) -> torch.Tensor:
    """A layer's weights as they are used, [outputs, inputs]."""
    return module(checkpoint, layer).weight.detach()


def lineage(checkpoint: Checkpoint) -> dict[str, Any]:
    return json.loads((checkpoint.path / "waterbed.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("stage", METHODS)
def test_a_quantized_checkpoint_loads_and_says_where_it_comes_from(made, stage, pocket_base):
    checkpoint = made(stage)
    loaded = load(checkpoint.path, "cpu", "float32", False)
    assert loaded.unexpected == 0
    assert loaded.tokenizer.chat_template
    assert (checkpoint.parent, checkpoint.stage) == (pocket_base.digest, stage)
    assert {n: d["rows"] for n, d in lineage(checkpoint)["data"].items()} == (
        METHODS[stage].get("data", {})
    )


@pytest.mark.parametrize("stage", METHODS)
def test_files_are_smaller_and_the_lineage_counts_the_bits(made, stage, pocket_base):
    counted = lineage(made(stage))["achieved"]
    before, after = counted["before"], counted["after"]
    assert before["bits_per_weight"] == 32
    assert after["bits_per_weight"] < 9
    assert after["bytes_on_disk"] < 0.6 * before["bytes_on_disk"]
    assert after["embedding_bits_per_weight"] == 32
    assert after["parameters"] == before["parameters"]


@pytest.mark.parametrize("stage", METHODS)
def test_the_same_stage_twice_gives_the_same_checkpoint(made, stage, pocket_base, tmp_path):
    context = StageContext(tmp_path / "again")
    again = stages.get(stage).run(pocket_base, context, **METHODS[stage], **UNTIMED)
    assert again.digest == made(stage).digest


@pytest.mark.parametrize("stage", [*METHODS, "awq"])
def test_a_config_survives_yaml(stage, tmp_path):
    config = from_settings(stages.get(stage).config, METHODS.get(stage, ROWS), stage)
    file = tmp_path / "stage.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    assert from_yaml(type(config), file) == config


@pytest.mark.parametrize("stage", METHODS)
def test_a_dry_run_counts_and_writes_nothing(stage, pocket_base, tmp_path):
    plan = stages.get(stage).plan(pocket_base, StageContext(tmp_path / "out"), **METHODS[stage])
    assert plan.stage == stage
    assert plan.rows == sum(METHODS[stage].get("data", {}).values())
    assert plan.tokens >= plan.rows
    assert plan.parameters > plan.trainable == plan.steps == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("bits", "worst"), [(8, 0.51), (4, 0.51), (3, 0.51)])
def test_rounding_to_the_nearest_moves_no_weight_by_more_than_half_a_step(
    made, pocket_base, bits, worst
):
    dense, rounded = weights(pocket_base), weights(made("rtn", bits=bits, group_size=32))
    groups = dense.reshape(len(dense), -1, 32)
    step = groups.abs().amax(-1, keepdim=True) / ((2**bits - 1) / 2)
    moved = (rounded.reshape(groups.shape) - groups).abs() / step
    # The greatest weight of a group may lie half a step above the uppermost level.
    assert 0.2 < float(moved.max()) <= worst
    levels = [len(g.unique()) for row in rounded.reshape(groups.shape) for g in row]
    assert max(levels) <= 2**bits


def test_fewer_bits_are_further_from_the_weights(made, pocket_base):
    dense = weights(pocket_base)
    error = [float((weights(made("rtn", bits=b)) - dense).norm()) for b in (8, 4, 3, 2)]
    assert error == sorted(error) and error[0] < 0.1 * error[1]


@pytest.mark.parametrize("bits", [4, 3])
def test_gptq_changes_outputs_less_than_rounding_where_it_was_calibrated(made, pocket_base, bits):
    """Frantar et al. 2022, eq. 1: squared error of the layer's outputs, here of the whole model's."""
    base = load(pocket_base.path, "cpu", "float32", False)
    tokens = torch.tensor([base.tokenizer("What is 12 + 7 * 3? Then take 4 away.")["input_ids"]])

    def off(checkpoint: Checkpoint) -> float:
        model = load(checkpoint.path, "cpu", "float32", False).model
        with torch.no_grad():
            return float((model(tokens).logits - base.model(tokens).logits).pow(2).mean())

    assert off(made("gptq", bits=bits)) < off(made("rtn", bits=bits))


def test_int8_rounds_activations_too(made):
    layer = module(made("int8-dynamic"))
    generator = torch.Generator().manual_seed(0)
    inputs_bti = torch.randn(1, 5, layer.in_features, generator=generator)
    with torch.no_grad():
        outputs_bto = layer(inputs_bti)
        step_bt1 = inputs_bti.abs().amax(-1, keepdim=True) / 127.5
        rounded_bti = (inputs_bti / step_bt1).round().clamp(-128, 127) * step_bt1
        torch.testing.assert_close(outputs_bto, rounded_bti @ layer.weight.T)
        assert not torch.allclose(outputs_bto, inputs_bti @ layer.weight.T)


def test_static_ranges_come_from_the_calibration_rows(made, pocket_base, tmp_path):
    other = {"data": {"pocket/chat-replay@train": 4}}
    made_of_others = stages.get("int8-static").run(
        pocket_base, StageContext(tmp_path / "other"), **other, **UNTIMED
    )
    assert made_of_others.digest != made("int8-static").digest
    seeded = stages.get("int8-static").run(
        pocket_base, StageContext(tmp_path / "seeded", seed=1), **ROWS, **UNTIMED
    )
    assert seeded.digest != made("int8-static").digest


def test_the_output_layer_is_quantized_only_where_asked(made, pocket_base):
    plain, whole = made("rtn", bits=8), made("rtn", bits=8, head=True)
    assert torch.equal(weights(plain, "lm_head"), weights(pocket_base, "lm_head"))
    assert not torch.equal(weights(whole, "lm_head"), weights(pocket_base, "lm_head"))
    for checkpoint in (
        plain,
        whole,
    ):  # the embedding stays as it was, tied to the output layer or not
        table = weights(checkpoint, "model.embed_tokens")
        assert torch.equal(table, weights(pocket_base, "model.embed_tokens"))


def test_the_digest_follows_the_quantization_config(made, tmp_path):
    folder = Path(shutil.copytree(made("rtn").path, tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    assert open_checkpoint(folder).digest == made("rtn").digest
    config["quantization_config"]["config_groups"]["group_0"]["weights"]["num_bits"] = 8
    (folder / "config.json").write_text(json.dumps(config))
    assert open_checkpoint(folder).digest != made("rtn").digest


@pytest.mark.parametrize(
    ("stage", "settings", "said"),
    [
        ("rtn", {"bits": 1}, "bits must be from 2 to 8, got 1"),
        ("rtn", {"group_size": 48}, "no multiple of a group of 48"),
        ("gptq", {"data": {"pocket/math@test": 8}}, "is a test split"),
        ("gptq", {"data": {}}, "data is empty"),
        ("gptq", {**ROWS, "damping": 0}, "damping must be above 0"),
        ("smoothquant", {**ROWS, "strength": 2}, "strength must be in"),
        ("rtn", {"exclude": ["*.none"]}, r"exclude: '\*.none' names no linear layer"),
        ("int8-dynamic", ROWS, "looks at data for keep_most_sensitive only"),
        ("fp8", {"keep_most_sensitive": 1}, "is measured on rows; name some in data"),
        ("gptq", {**ROWS, "keep_most_sensitive": -1}, "must not be below 0, got -1"),
        ("rtn", {**ROWS, "keep_most_sensitive": 16}, "and the model has 16 parts to quantize"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(pocket_base, tmp_path, stage, settings, said):
    with pytest.raises(UsageError, match=said):
        stages.get(stage).run(pocket_base, StageContext(tmp_path / "out"), **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator")
def test_awq_is_refused_without_an_accelerator(pocket_base, tmp_path):
    with pytest.raises(UsageError, match=r"needs an accelerator .* use the stage 'gptq'"):
        stages.get("awq").run(pocket_base, StageContext(tmp_path / "out"), **ROWS)


@pytest.mark.parametrize("stage", ["gptq", "int8-dynamic", "fp8"])
def test_a_bfloat16_checkpoint_keeps_its_tables_and_scales_in_bfloat16(
    pocket_base, tmp_path, stage
):
    folder = Path(shutil.copytree(pocket_base.path, tmp_path / "half"))
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor.bfloat16() for name, tensor in tensors.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    made = stages.get(stage).run(
        open_checkpoint(folder), StageContext(tmp_path / "out"), **METHODS[stage], **UNTIMED
    )
    after = lineage(made)["achieved"]["after"]
    assert after["embedding_bits_per_weight"] == 16 and after["bits_per_weight"] < 8.6
    assert json.loads((made.path / "config.json").read_text())["dtype"] == "bfloat16"
    stored = load_file(made.path / "model.safetensors")
    assert stored[f"{LAYER}.weight_scale"].dtype == torch.bfloat16
    moved = (weights(made) - weights(pocket_base)).norm() / weights(pocket_base).norm()
    assert moved < (0.2 if stage == "gptq" else 0.04)


def test_a_quantized_checkpoint_is_not_quantized_again(made, tmp_path):
    with pytest.raises(UsageError, match="quantized already; run 'rtn' on the checkpoint"):
        stages.get("rtn").run(made("rtn"), StageContext(tmp_path / "out"))


def test_speed_is_measured_and_says_that_weights_were_unpacked(pocket_base, tmp_path):
    quick = {"repeats": 3, "batch": 1, "prompt_tokens": 8, "new_tokens": 2}
    checkpoint = stages.get("rtn").run(pocket_base, StageContext(tmp_path / "out"), timing=quick)
    speed = lineage(checkpoint)["achieved"]["speed"]
    assert speed["unpacked_to_time"] is True
    assert speed["decode"]["before"] > 0 and speed["decode"]["after"] > 0


@pytest.mark.parametrize("stage", ["gptq", "int8-dynamic", "fp8"])
def test_a_quantized_checkpoint_is_evaluated_like_any_other(made, stage, tmp_path):
    waterbed.evaluate(made(stage), suites=["pocket/chat"], out=tmp_path / "run", limit=16)
    found = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    metric = found["pocket/chat"]["metrics"]["correct"]
    assert metric["n"] == 16 and metric["mean"] > 0


def test_layers_that_are_named_stay_as_they_are(made, pocket_base):
    checkpoint = made("rtn", exclude=("*.down_proj", "model.layers.1.*"))
    stored = {
        name: m["bits"] for name, m in lineage(checkpoint)["achieved"]["after"]["matrices"].items()
    }
    for name, bits in stored.items():
        spared = name.endswith("down_proj") or ".layers.1." in name or name == "model.embed_tokens"
        assert (bits == 32) == spared, name
    layer = "model.layers.0.mlp.down_proj"
    assert torch.equal(weights(checkpoint, layer), weights(pocket_base, layer))


def test_the_part_that_rounding_hurts_most_is_found_and_kept(pocket_base, tmp_path):
    """Outliers on inputs that the norm before turns off change nothing, until their groups are rounded."""
    folder = Path(shutil.copytree(pocket_base.path, tmp_path / "planted"))
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.post_attention_layernorm.weight"][::32] = 0.0
    matrix = tensors["model.layers.0.mlp.up_proj.weight"]
    matrix[:, ::32] = 20 * matrix.abs().max()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {**ROWS, **UNTIMED, "keep_most_sensitive": 1}
    context = StageContext(tmp_path / "out")
    checkpoint = stages.get("rtn").run(open_checkpoint(folder), context, **settings)
    measured = lineage(checkpoint)["sensitivity"]
    worst = max(measured, key=measured.get)
    assert worst == "model.layers.0.mlp.gate_proj model.layers.0.mlp.up_proj"
    assert len(measured) == 16 and all(nats > 0 for nats in measured.values())
    stored = lineage(checkpoint)["achieved"]["after"]["matrices"]
    kept = {name for name, matrix in stored.items() if matrix["bits"] == 32}
    assert kept == {*worst.split(), "model.embed_tokens"}
    assert lineage(checkpoint)["data"]["pocket/math@train"]["rows"] == 24


def test_loading_packed_weights_draws_no_bars_then_or_in_the_first_batch(made, capfd):
    model = load(made("rtn").path, "cpu", "float32", False).model
    with torch.no_grad():
        model(input_ids=torch.tensor([[1, 2]]))
    assert capfd.readouterr().err == ""


def test_the_first_use_of_llm_compressor_writes_nothing_to_the_output_of_a_command():
    code = "from waterbed.trainers.oneshot import quiet\nwith quiet(): import llmcompressor.entrypoints"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
