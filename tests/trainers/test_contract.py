"""What every stage promises: finite, reloadable, repeatable, round-tripping, and whole after a SIGKILL."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.backends.loading import load, load_reward_model
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.stage import StageContext, stages
from waterbed.harness.stage_config import from_settings, from_yaml, to_yaml

CHATS = {"data": {"pocket/math@train": 60, "pocket/chat-replay@train": 20}}
PAIRS = {"data": {"pocket/chat-preferences@train": 48}}
SMALL = {"hidden_size": 16, "layers": 1, "heads": 1, "vocabulary": 320, "positions": 256}
SHAPE = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 64, "head_dim": 32}
SHAPE |= {"num_attention_heads": 2, "num_key_value_heads": 1}
LOOP = {"batch_tokens": 512, "save_every": 2, "timing": {"repeats": 0}}
#: Five or six steps of each stage.
SETTINGS: dict[str, dict[str, Any]] = {
    "pretrain": {"data": {"pocket/pretrain@train": 200}, **SMALL, "save_every": 2},
    "continued-pretrain": {**CHATS, "batch_tokens": 512, "save_every": 2},
    "sft": {**CHATS, "batch_size": 16, "save_every": 2},
    **{s: {**PAIRS, "batch_size": 8, "save_every": 2} for s in ("dpo", "ipo", "kto", "orpo")},
    "reward-model": {**PAIRS, "batch_size": 8, "save_every": 2},
    "distill": {**CHATS, "student": SHAPE, **LOOP},
    "prune-heal": {**CHATS, "rounds": 2, **LOOP},
}
#: Stages without steps of training: they end in seconds, and after a kill begin again.
COMPRESSED: dict[str, dict[str, Any]] = {
    "prune": {},
    "prune-calibrated": {"data": {"pocket/math@train": 8}, "rule": "wanda"},
    "prune-structured": {"data": {"pocket/math@train": 8}, "neurons": 0.5},
}

#: Stages without steps, held to what they promise in tests of their own.
QUANTIZATION = {"rtn", "gptq", "awq", "int8-dynamic", "int8-static", "smoothquant", "fp8"}
#: Stages that need a second checkpoint; test_merge.py holds them to their own promises.
MIXED = ("interpolate", "average", "choose")
#: Stages on rewards: their losses are no distance to an answer, and tests of their own hold them.
REINFORCEMENT = {"grpo", "rloo", "reinforce", "ppo", "rejection-sampling"}


def run(stage: str, base: Checkpoint, context: StageContext, **settings: Any) -> Checkpoint:
    start = None if stage == "pretrain" else base
    return stages.get(stage).run(start, context, **{**SETTINGS[stage], **settings})


@pytest.fixture(scope="module")
def made(pocket_base, tmp_path_factory):
    """Each stage's checkpoint, made once."""
    folder, found = tmp_path_factory.mktemp("made"), {}

    def of(stage: str) -> Checkpoint:
        if stage not in found:
            found[stage] = run(stage, pocket_base, StageContext(folder / stage))
        return found[stage]

    return of


def metrics(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_registered_stage_is_held_to_the_contract():
    assert {
        n for n, s in stages.all().items() if s.function.__module__.startswith("waterbed.")
    } == {*SETTINGS, *COMPRESSED, *QUANTIZATION, *REINFORCEMENT, *MIXED, "engine"}


@pytest.mark.parametrize("stage", SETTINGS)
def test_the_loss_is_finite_and_told(made, stage):
    context = StageContext(made(stage).path)
    losses = [line["loss"] for line in metrics(context.metrics_path) if "loss" in line]
    assert losses and all(0 < loss < 50 for loss in losses)
    assert not context.work.exists()


@pytest.mark.parametrize("stage", SETTINGS)
def test_the_checkpoint_loads_and_says_where_it_comes_from(made, stage, pocket_base):
    checkpoint = made(stage)
    loader = load_reward_model if stage == "reward-model" else load
    assert loader(checkpoint.path, "cpu", "float32", False).tokenizer.chat_template
    lineage = json.loads((checkpoint.path / "waterbed.json").read_text())
    assert checkpoint.parent == (None if stage == "pretrain" else pocket_base.digest)
    assert {name: d["rows"] for name, d in lineage["data"].items()} == SETTINGS[stage]["data"]
    assert all(len(d["sha256"]) == 64 for d in lineage["data"].values())
    assert (lineage["seed"], lineage["world_size"]) == (0, 1)
    assert {"torch", "trl", "peft"} <= set(lineage["packages"])


@pytest.mark.parametrize("stage", SETTINGS)
def test_a_config_survives_yaml(stage, tmp_path):
    config = from_settings(stages.get(stage).config, SETTINGS[stage], stage)
    file = tmp_path / "stage.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    assert from_yaml(type(config), file) == config


@pytest.mark.parametrize("stage", SETTINGS)
def test_a_dry_run_counts_and_times_and_writes_nothing(made, stage, pocket_base, tmp_path):
    start = None if stage == "pretrain" else pocket_base
    plan = stages.get(stage).plan(start, StageContext(tmp_path / "out"), **SETTINGS[stage])
    assert plan.steps > metrics(StageContext(made(stage).path).metrics_path)[-1]["step"]
    assert plan.tokens > plan.rows > 0
    assert plan.memory_bytes >= 4 * plan.parameters >= 4 * plan.trainable > 0
    assert plan.seconds is not None and plan.seconds > 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", SETTINGS)
def test_a_killed_stage_leaves_no_checkpoint_and_then_makes_the_same_one(
    made, stage, pocket_base, tmp_path
):
    context = StageContext(tmp_path / "out")
    killed_at(3, stage, pocket_base, context)
    assert not context.out.exists()
    done: list[int] = []
    again = run(
        stage, pocket_base, replace(context, progress=lambda _w, step, _n: done.append(step))
    )
    assert again.digest == made(stage).digest
    assert done[0] == 3
    steps = [line["step"] for line in metrics(context.metrics_path)]
    assert steps == sorted(set(steps))


def killed_at(step: int, stage: str, base: Checkpoint, context: StageContext) -> None:
    """Run a stage in a child that kills itself, without any farewell, at the end of a step."""

    def die(_what: str, done: int, _total: int) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            run(stage, base, replace(context, progress=die))
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize("stage", COMPRESSED)
def test_a_killed_compression_leaves_nothing_and_then_makes_the_same_checkpoint(
    stage, pocket_base, tmp_path
):
    def compressed(context: StageContext) -> Checkpoint:
        given = {**COMPRESSED[stage], "timing": {"repeats": 0}}
        return stages.get(stage).run(pocket_base, context, **given)

    def die(_what: str, _done: int, _total: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    first, context = compressed(StageContext(tmp_path / "first")), StageContext(tmp_path / "out")
    child = os.fork()
    if not child:
        try:
            compressed(replace(context, progress=die))
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert not context.out.exists()
    assert compressed(context).digest == first.digest != pocket_base.digest
    assert first.parent == pocket_base.digest
    assert load(first.path, "cpu", "float32", False).tokenizer.chat_template


@pytest.mark.parametrize("stage", COMPRESSED)
def test_a_compression_plans_without_writing_and_survives_yaml(stage, pocket_base, tmp_path):
    entry, file = stages.get(stage), tmp_path / "stage.yaml"
    plan = entry.plan(pocket_base, StageContext(tmp_path / "out"), **COMPRESSED[stage])
    assert (plan.parameters, plan.trainable) == (320064, 0)
    assert plan.steps > 0
    assert not list(tmp_path.iterdir())
    config = from_settings(entry.config, COMPRESSED[stage], stage)
    file.write_text(to_yaml(config), encoding="utf-8")
    assert from_yaml(type(config), file) == config
