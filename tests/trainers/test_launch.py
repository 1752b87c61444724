"""Stages as programs: in two processes over gloo, by the module's command line, with the promised world."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from waterbed.harness.backends.loading import load
from waterbed.harness.errors import UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.distributed import assert_alone, assert_world
from waterbed.trainers.launch import main

SETTINGS = {
    "data": {"pocket/math@train": 32},
    "batch_size": 16,
    "optimizer": "adamw",
    "decay": "constant",
    "warmup": 0.0,
    "lr": 1e-3,
    "save_every": None,
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "sft.yaml"
    file.write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    return file


def first_gradient(out: Path) -> float:
    lines = out.with_name(out.name + ".metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return float(json.loads(lines[0])["grad_norm"])


def test_two_processes_take_the_steps_of_one_with_the_doubled_batch(pocket_base, config, tmp_path):
    alone, both = tmp_path / "alone", tmp_path / "both"
    stages.get("sft").run(pocket_base, StageContext(alone), **SETTINGS)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--master_addr", "127.0.0.1", "--master_port", "0", "--rdzv_backend", "c10d"]
    command += ["--rdzv_endpoint", "127.0.0.1:0", "-m", "waterbed.trainers.launch", "sft"]
    command += [str(pocket_base.path), "--config", str(config), "--out", str(both)]
    done = subprocess.run(
        [*command, "--world-size", "2"],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert first_gradient(both) == pytest.approx(first_gradient(alone), rel=1e-4)
    one, two = (load(folder, "cpu", "float32", False).model for folder in (alone, both))
    base = load(pocket_base.path, "cpu", "float32", False).model
    for first, second, start in zip(
        one.parameters(), two.parameters(), base.parameters(), strict=True
    ):
        assert (first - second).abs().max() < 0.05 * (first - start).abs().max()
    assert json.loads((both / "waterbed.json").read_text())["world_size"] == 2


def test_another_number_of_processes_than_promised_stops_the_stage(tmp_path):
    with pytest.raises(
        UsageError, match="promised 2 processes and runs in 1; start it with torchrun"
    ):
        assert_world(StageContext(tmp_path, world_size=2), "sft")


def test_a_stage_for_one_process_refuses_two(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="in one process, not in 2"):
        assert_alone(StageContext(tmp_path, world_size=2), "pretrain")


def test_a_stage_runs_from_a_file_of_settings(pocket_base, config, tmp_path, capsys):
    out = tmp_path / "made"
    arguments = ["sft", str(pocket_base.path), "--config", str(config), "--out", str(out)]
    assert main([*arguments, "--plan"]) == 0
    assert "steps: 2\n" in capsys.readouterr().out
    assert not out.exists()
    assert main(arguments) == 0
    assert len(capsys.readouterr().out.strip()) == 64
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_wrong_key_of_the_file_is_named_with_its_line(config, tmp_path, capsys):
    config.write_text("data: {pocket/math@train: 8}\nlearning: 3\n", encoding="utf-8")
    assert main(["sft", "x", "--config", str(config), "--out", str(tmp_path / "o")]) == 2
    assert "sft.yaml:2: unknown key 'learning'" in capsys.readouterr().err


def test_the_fsdp2_configuration_is_shipped(capsys):
    assert main(["--fsdp2"]) == 0
    found = yaml.safe_load(Path(capsys.readouterr().out.strip()).read_text(encoding="utf-8"))
    assert found["fsdp_config"]["fsdp_version"] == 2
