"""`waterbed gate RUN CHECKPOINT` with the real pocket model: stops early, resumes, opts out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.run import Run

SUITES = "pocket/math,pocket/knowledge"
ITEMS = 300
ASKED = ("--suites", SUITES, "--limit", str(ITEMS), "--batch-size", "32", "--threads", "1")


@pytest.fixture(scope="module")
def baseline(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("live") / "old"
    run("eval", pocket_base.path, *ASKED, "--out", out)
    return out


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Two domains of 300 items cannot see a mean loss of three points; here six are tolerated."""
    file = tmp_path / "gate.yaml"
    file.write_text("name: harm\nmax_mde: 8\nrequire: []\n")
    return file


def run(*arguments: object, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "waterbed", *map(str, arguments)]
    env = {**os.environ, **({"WATERBED_CACHE": str(cache)} if cache else {})}
    return subprocess.run(line, check=False, capture_output=True, text=True, env=env)


@pytest.fixture(scope="module")
def collapsed(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base with the rows of its embedding in another order: every token means another."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("collapsed") / "model"
    shutil.copytree(pocket_base.path, folder)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    name = next(key for key in tensors if "embed_tokens" in key)
    order = torch.randperm(len(tensors[name]), generator=torch.Generator().manual_seed(0))
    tensors[name] = tensors[name][order].contiguous()
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def test_a_copy_of_the_baseline_is_green_before_its_last_item(
    baseline: Path, pocket_base: Checkpoint, policy: Path, tmp_path: Path
) -> None:
    copy, out = tmp_path / "copy", tmp_path / "gate"
    shutil.copytree(pocket_base.path, copy)
    done = run("gate", baseline, copy, "--policy", policy, *ASKED, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads((out / "verdict.json").read_text())
    assert said["headline"] == "NO HARM SHOWN"
    assert said["candidate"]["status"] == "stopped"
    assert said["early"]["items_read"] < said["early"]["items_planned"] == 2 * ITEMS
    assert said["early"]["tokens_saved"] > 0
    assert f"Stopped early: {said['early']['items_read']} of 600 items" in " ".join(
        done.stdout.split()
    )


def test_a_collapsed_model_is_red_after_the_first_looks_and_full_asks_everything(
    baseline: Path, collapsed: Path, policy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gate"
    line = ("gate", baseline, collapsed, "--policy", policy, *ASKED)
    assert run(*line, "--out", out).returncode == 1
    said = json.loads((out / "verdict.json").read_text())
    assert said["early"]["items_read"] <= 0.4 * 2 * ITEMS
    assert run(*line, "--full", "--out", tmp_path / "full").returncode == 1
    said = json.loads((tmp_path / "full" / "verdict.json").read_text())
    assert said["early"] is None
    assert said["candidate"]["status"] == "complete"


def test_a_stopped_run_that_eval_completes_keeps_its_looks_and_its_verdict(
    baseline: Path, pocket_base: Checkpoint, policy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gate"
    line = ("gate", baseline, pocket_base.path, "--policy", policy, *ASKED, "--out", out)
    assert run(*line).returncode == 0
    said = json.loads((out / "verdict.json").read_text())
    assert run("eval", pocket_base.path, *ASKED, "--out", out / "candidate").returncode == 0
    assert Run.open(out / "candidate").status == "complete"
    again = tmp_path / "again"
    sides = (baseline, out / "candidate")
    done = run("gate", *sides, "--policy", policy, *ASKED[:4], "--out", again)
    assert done.returncode == 0, done.stdout + done.stderr
    later = json.loads((again / "verdict.json").read_text())
    assert later["early"]["frame"] == said["early"]["frame"]
    assert later["early"]["claims"] == said["early"]["claims"]
    assert later["early"]["items_read"] == 2 * ITEMS
    # Another policy decides anew, on all items, and says that it is a second decision.
    other = run("gate", *sides, "--policy", "strict", *ASKED[:4], "--out", tmp_path / "other")
    second = json.loads((tmp_path / "other" / "verdict.json").read_text())
    assert second["early"] is None
    assert "second decision" in " ".join(second["warnings"]), other.stderr


def test_a_gate_that_was_killed_in_the_middle_gives_the_same_verdict(
    baseline: Path, pocket_base: Checkpoint, policy: Path, tmp_path: Path
) -> None:
    line = ("gate", baseline, pocket_base.path, "--policy", policy, *ASKED, "--out")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(*line, whole).returncode == 0
    journal = cut / "candidate" / "answers.jsonl"
    half = (whole / "candidate" / "answers.jsonl").stat().st_size // 2
    empty = tmp_path / "cache"  # or the answers of the run before would be shared
    process = subprocess.Popen(
        [sys.executable, "-m", "waterbed", *map(str, (*line, cut))],
        env={**os.environ, "WATERBED_CACHE": str(empty)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (journal.exists() and journal.stat().st_size >= half):
        assert process.poll() is None, "the gate ended before it was killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Run.open(cut / "candidate").status == "partial"
    assert run(*line, cut, cache=empty).returncode == 0
    first, second = (_timeless(folder / "verdict.json", folder) for folder in (whole, cut))
    assert first == second


def _timeless(file: Path, folder: Path) -> str:
    """A verdict without its folder, its times, and what came from the cache."""
    said = json.loads(file.read_text().replace(str(folder), "OUT"))
    said["created"] = said["candidate"]["made"] = said["candidate"]["cost"] = ""
    return json.dumps(said, sort_keys=True)
