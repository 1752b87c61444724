"""The watcher gates each checkpoint once it is complete, and never one that is being written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from waterbed.harness.api import evaluate
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import UsageError
from waterbed.harness.policy import Policy
from waterbed.harness.recipe import Budget
from waterbed.harness.run import Run
from waterbed.harness.stage import StageContext, stages
from waterbed.harness.verdict import Verdict
from waterbed.harness.watch import Watcher, watch
from waterbed.harness.watch_gate import Gatekeeper

SUITES, OPTIONS = ["pocket/knowledge"], {"threads": 1, "batch_size": 45}
LIMIT = 90
RULES = Policy(margins={"knowledge": 12}, max_mde=12, require=(), limit=LIMIT)


@pytest.fixture(scope="module")
def baseline(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("watched") / "base"
    return evaluate(pocket_base, SUITES, out, options=OPTIONS, limit=LIMIT)


@pytest.fixture
def watcher(baseline: Run, tmp_path: Path) -> Watcher:
    (tmp_path / "training").mkdir()
    return Watcher(
        folder=tmp_path / "training",
        keeper=Gatekeeper(
            baseline=baseline, policy=RULES, suites=SUITES, options=OPTIONS, limit=LIMIT
        ),
        stop_file=tmp_path / "stop",
    )


@pytest.fixture
def write(pocket_base: Checkpoint, tmp_path: Path) -> Callable[[str, float], Path]:
    """A checkpoint with noise, where a training would leave it."""

    stages.from_file(str(Path(__file__).with_name("toy_stages.py")))

    def make(name: str, spread: float) -> Path:
        out = tmp_path / "training" / name
        return stages.get("noise").run(pocket_base, StageContext(out), lr=spread).path

    return make


def look(watcher: Watcher) -> list[Verdict]:
    return list(watcher.look())


def test_a_checkpoint_is_gated_at_the_second_look_and_never_again(watcher, write) -> None:
    made = write("checkpoint-100", 0.001)
    assert look(watcher) == []
    (verdict,) = look(watcher)
    assert verdict.exit_code == 0
    beside = made.with_name("gate-checkpoint-100") / "verdict.json"
    assert json.loads(beside.read_text())["headline"] == "NO HARM SHOWN"
    assert not watcher.stop_file.exists()
    assert look(watcher) == look(watcher) == []


def test_a_red_checkpoint_raises_the_stop_file_with_the_reason(watcher, write) -> None:
    write("checkpoint-200", 0.9)
    look(watcher)
    (verdict,) = look(watcher)
    assert verdict.exit_code == 1
    said = json.loads(watcher.stop_file.read_text())
    assert said["checkpoint"].endswith("checkpoint-200")
    assert "knowledge lost" in said["sentence"]


def test_what_is_still_being_written_is_let_be(watcher, write, tmp_path: Path) -> None:
    made = write("checkpoint-100", 0.001)
    weights = (made / "model.safetensors").read_bytes()
    (made / "model.safetensors").write_bytes(weights[:5000])
    assert look(watcher) == look(watcher) == look(watcher) == []
    (made / "model.safetensors").write_bytes(weights)
    tokenizer = (made / "tokenizer.json").read_bytes()
    (made / "tokenizer.json").write_bytes(tokenizer[:50])
    assert look(watcher) == []
    (made / "tokenizer.json").write_bytes(tokenizer)
    assert look(watcher) == [], "a file changed since the last look"
    assert [v.exit_code for v in look(watcher)] == [0]


def test_work_folders_and_verdicts_are_no_checkpoints(watcher, write) -> None:
    made = write("last", 0.001)
    for name in ("last.partial", "gate-last", ".hidden"):
        shutil.copytree(made, made.with_name(name))
    made.rename(watcher.folder.parent / "away")
    assert look(watcher) == look(watcher) == []


def test_a_folder_that_is_not_there_is_a_usage_error(watcher) -> None:
    watcher.folder.rmdir()
    with pytest.raises(UsageError, match="to watch"):
        look(watcher)


def test_the_command_gates_what_is_there_and_says_the_worst(
    waterbed, baseline: Run, write, tmp_path: Path
) -> None:
    write("checkpoint-100", 0.001)
    write("checkpoint-200", 0.9)
    policy = tmp_path / "p.yaml"
    policy.write_text("margins: {knowledge: 12}\nmax_mde: 12\nrequire: []\n")
    asked = ("--suites", ",".join(SUITES), "--limit", LIMIT, "--threads", 1, "--batch-size", 45)
    line = ("watch", tmp_path / "training", "--baseline", baseline.path, "--policy", policy, *asked)
    done = waterbed(*line, "--once", "--every", 0.2, "--json")
    assert done.code == 1, done.err
    assert [v["exit_code"] for v in json.loads(done.out)] == [0, 1]
    assert (tmp_path / "training" / "gate-checkpoint-200" / "gate.html").is_file()


def test_a_watcher_that_is_behind_gates_the_newest_and_names_the_others(watcher, write) -> None:
    said: list[str] = []
    watcher.newest, watcher.keeper = True, replace(watcher.keeper, say=said.append)
    for step in (100, 200, 300):
        write(f"checkpoint-{step}", 0.001)
    look(watcher)
    assert len(look(watcher)) == 1
    assert said[0] == (
        "Behind the training: passing over checkpoint-100, checkpoint-200 for checkpoint-300."
    )
    assert list(watcher.verdicts()) == ["checkpoint-300"]
    assert look(watcher) == look(watcher) == []
    watcher.newest = False
    assert len(look(watcher)) == 2, "what was passed over can be gated later"


def test_a_budget_ends_a_watch_and_what_was_not_gated_is_named(watcher, write) -> None:
    said: list[str] = []
    watcher.budget, watcher.keeper = Budget(tokens=10), replace(watcher.keeper, say=said.append)
    write("checkpoint-100", 0.001)
    write("checkpoint-200", 0.001)
    looks: list[int] = []

    def until() -> bool:
        looks.append(1)
        return False

    found = list(watch(watcher, every_s=0.01, until=until))
    assert len(found) == 1 and watcher.spent.tokens > 10 and watcher.spent.seconds > 0
    assert said[-1].startswith("Not gated, since the budget of 10 tokens is used up")
    assert said[-1].endswith(": checkpoint-200.")


def test_a_checkpoint_that_crept_away_is_red_against_the_anchor(
    watcher, baseline: Run, write, tmp_path: Path
) -> None:
    """Against a baseline that lost as much already, nothing is lost."""
    worn = write("worn", 0.3)
    worn.rename(tmp_path / "worn")
    before = evaluate(tmp_path / "worn", SUITES, tmp_path / "b", options=OPTIONS, limit=LIMIT)
    write("checkpoint-100", 0.3)
    watcher.keeper = replace(watcher.keeper, baseline=before)
    look(watcher)
    assert look(watcher)[0].exit_code == 0
    watcher.keeper = replace(watcher.keeper, anchor=baseline)
    shutil.rmtree(tmp_path / "training" / "gate-checkpoint-100")
    (verdict,) = look(watcher)
    assert verdict.exit_code == 1 and verdict.anchor is not None
    assert verdict.policy["alpha_fail"] == RULES.alpha_fail / 2


def test_an_empty_watch_is_no_success(waterbed, baseline: Run, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    line = ("watch", tmp_path / "training", "--baseline", baseline.path, "--once", "--every", 0.1)
    done = waterbed(*line)
    assert done.code == 3
    assert "was gated; an empty watch shows nothing" in done.err


def test_a_watch_that_begins_again_says_the_worst_of_before_too(
    waterbed, watcher, baseline: Run, write, tmp_path: Path
) -> None:
    write("checkpoint-200", 0.9)
    look(watcher)
    look(watcher)
    line = ("watch", tmp_path / "training", "--baseline", baseline.path, "--once", "--every", 0.1)
    assert waterbed(*line).code == 1


def test_a_folder_that_never_opens_is_named_at_the_end_and_is_no_success(
    waterbed, watcher, baseline: Run, write, tmp_path: Path
) -> None:
    write("checkpoint-100", 0.001)
    look(watcher)
    assert [v.exit_code for v in look(watcher)] == [0]
    line = ("watch", tmp_path / "training", "--baseline", baseline.path, "--once", "--every", 0.1)
    assert waterbed(*line).code == 0
    made = write("checkpoint-200", 0.001)
    (made / "model.safetensors").rename(made / "pytorch_model.bin")
    done = waterbed(*line)
    assert done.code == 3
    assert done.err.count("checkpoint-200: not gated. ") == 1
    assert "holds pickled weights (pytorch_model.bin)" in done.err


def test_a_checkpoint_that_opens_and_does_not_load_does_not_end_the_watch(watcher, write) -> None:
    said: list[str] = []
    watcher.keeper = replace(watcher.keeper, say=said.append)
    broken = write("checkpoint-100", 0.001)
    (broken / "tokenizer.json").write_text("{")
    write("checkpoint-200", 0.001)
    turns = iter((False, False, True))
    found = list(watch(watcher, every_s=0.01, until=lambda: next(turns)))
    assert len(found) == 1 and list(watcher.verdicts()) == ["checkpoint-200"]
    assert list(watcher.unopened()) == [broken]
    assert said[-1].startswith("checkpoint-100: not gated. ")


def test_what_a_trainer_removes_before_its_turn_is_named(watcher, write) -> None:
    said: list[str] = []
    watcher.keeper = replace(watcher.keeper, say=said.append)
    write("checkpoint-100", 0.001)
    second = write("checkpoint-200", 0.001)
    look(watcher)
    gating = watcher.look()
    next(gating)
    shutil.rmtree(second)
    assert list(gating) == []
    assert said[-1] == "checkpoint-200: removed before it could be gated."


def test_a_red_checkpoint_counts_after_its_trainer_removed_it(
    waterbed, watcher, baseline: Run, write, tmp_path: Path
) -> None:
    made = write("checkpoint-200", 0.9)
    look(watcher)
    look(watcher)
    shutil.rmtree(made)
    line = ("watch", tmp_path / "training", "--baseline", baseline.path, "--once", "--every", 0.1)
    assert waterbed(*line).code == 1


def test_a_wrong_place_is_refused_before_anything_is_evaluated(
    waterbed, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "training").mkdir()
    asked = ("--baseline", pocket_base.path, "--suites", SUITES[0], "--limit", 1)
    typo = waterbed("watch", tmp_path / "trianing", *asked)
    assert typo.code == 2 and "trianing' to watch" in typo.err
    stop = waterbed("watch", tmp_path / "training", *asked, "--stop-file", tmp_path / "no" / "stop")
    assert stop.code == 2 and "to raise the stop file 'stop' in" in stop.err
    assert [path.name for path in tmp_path.iterdir()] == ["training"]
    assert not list((tmp_path / "training").iterdir())
