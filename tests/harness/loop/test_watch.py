"""The watcher gates each checkpoint once it is complete, and never one that is being written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from waterbed.harness.api import evaluate
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import UsageError
from waterbed.harness.policy import Policy
from waterbed.harness.run import Run
from waterbed.harness.stage import StageContext, stages
from waterbed.harness.watch import Watcher

SUITES, OPTIONS = ["pocket/math", "pocket/knowledge"], {"threads": 1, "batch_size": 32}
RULES = Policy(max_mde=8, require=(), limit=300)


@pytest.fixture(scope="module")
def baseline(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("watched") / "base"
    return evaluate(pocket_base, SUITES, out, options=OPTIONS, limit=300)


@pytest.fixture
def watcher(baseline: Run, tmp_path: Path) -> Watcher:
    (tmp_path / "training").mkdir()
    return Watcher(
        folder=tmp_path / "training",
        baseline=baseline,
        policy=RULES,
        suites=SUITES,
        stop_file=tmp_path / "stop",
        options=OPTIONS,
        limit=300,
    )


@pytest.fixture
def write(pocket_base: Checkpoint, tmp_path: Path) -> Callable[[str, float], Path]:
    """A checkpoint with noise, where a training would leave it."""

    stages.from_file(str(Path(__file__).with_name("toy_stages.py")))

    def make(name: str, spread: float) -> Path:
        out = tmp_path / "training" / name
        return stages.get("noise").run(pocket_base, StageContext(out), lr=spread).path

    return make


def test_a_checkpoint_is_gated_at_the_second_look_and_never_again(watcher, write) -> None:
    made = write("checkpoint-100", 0.001)
    assert watcher.look() == []
    (verdict,) = watcher.look()
    assert verdict.exit_code == 0
    beside = made.with_name("gate-checkpoint-100") / "verdict.json"
    assert json.loads(beside.read_text())["headline"] == "NO HARM SHOWN"
    assert not watcher.stop_file.exists()
    assert watcher.look() == watcher.look() == []


def test_a_red_checkpoint_raises_the_stop_file_with_the_reason(watcher, write) -> None:
    write("checkpoint-200", 0.9)
    watcher.look()
    (verdict,) = watcher.look()
    assert verdict.exit_code == 1
    said = json.loads(watcher.stop_file.read_text())
    assert said["checkpoint"].endswith("checkpoint-200")
    assert "knowledge lost" in said["sentence"]


def test_what_is_still_being_written_is_let_be(watcher, write, tmp_path: Path) -> None:
    made = write("checkpoint-100", 0.001)
    weights = (made / "model.safetensors").read_bytes()
    (made / "model.safetensors").write_bytes(weights[:5000])
    assert watcher.look() == watcher.look() == watcher.look() == []
    (made / "model.safetensors").write_bytes(weights)
    tokenizer = (made / "tokenizer.json").read_bytes()
    (made / "tokenizer.json").write_bytes(tokenizer[:50])
    assert watcher.look() == []
    (made / "tokenizer.json").write_bytes(tokenizer)
    assert watcher.look() == [], "a file changed since the last look"
    assert [v.exit_code for v in watcher.look()] == [0]


def test_work_folders_and_verdicts_are_no_checkpoints(watcher, write) -> None:
    made = write("last", 0.001)
    for name in ("last.partial", "gate-last", ".hidden"):
        shutil.copytree(made, made.with_name(name))
    made.rename(watcher.folder.parent / "away")
    assert watcher.look() == watcher.look() == []


def test_a_folder_that_is_not_there_is_a_usage_error(watcher) -> None:
    watcher.folder.rmdir()
    with pytest.raises(UsageError, match="to watch"):
        watcher.look()


def test_the_command_gates_what_is_there_and_says_the_worst(
    waterbed, baseline: Run, write, tmp_path: Path
) -> None:
    write("checkpoint-100", 0.001)
    write("checkpoint-200", 0.9)
    policy = tmp_path / "p.yaml"
    policy.write_text("max_mde: 8\nrequire: []\n")
    asked = ("--suites", ",".join(SUITES), "--limit", 300, "--threads", 1, "--batch-size", 32)
    line = ("watch", tmp_path / "training", "--baseline", baseline.path, "--policy", policy, *asked)
    done = waterbed(*line, "--once", "--every", 0.2, "--json")
    assert done.code == 1, done.err
    assert [v["exit_code"] for v in json.loads(done.out)] == [0, 1]
    assert (tmp_path / "training" / "gate-checkpoint-200" / "gate.html").is_file()
