"""`gate` and `noise` ask a judge about checkpoints: the same judge as before, named anew each time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.api import evaluate
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.run import Run

Command = Callable[..., Any]

TASK = "pocket/chat-judged"
ITEMS = 60
ASKED = ("--suites", TASK, "--limit", ITEMS)


@pytest.fixture(scope="module")
def baseline(
    pocket_base: Checkpoint, pocket_judge: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    out = tmp_path_factory.mktemp("judged") / "baseline"
    return evaluate(pocket_base, [TASK], out, judges={"judge": pocket_judge.path}, limit=ITEMS)


def test_a_checkpoint_is_judged_by_the_baselines_judge_and_priced(
    waterbed: Command,
    baseline: Run,
    pocket_base: Checkpoint,
    pocket_judge: Checkpoint,
    tmp_path: Path,
) -> None:
    out = tmp_path / "gate"
    sides = ("gate", baseline.path, pocket_base.path, *ASKED, "--out", out)
    done = waterbed(*sides, "--judge", pocket_judge.path, "--price", "candidate=1,2")
    verdict = json.loads((out / "verdict.json").read_text())
    assert done.code == verdict["exit_code"] in (0, 3), done.err
    (chat,) = verdict["domain_list"]
    assert (chat["comparison"]["n"], chat["comparison"]["delta"]) == (ITEMS, 0.0)
    made = Run.open(out / "candidate").manifest
    assert made["roles"]["judge"] == baseline.manifest["roles"]["judge"]
    assert made["cost"]["money"]["by_role"] == {"candidate": 0.0}  # all of it lay in the cache
    page = (out / "gate.html").read_text()
    assert "money, by the prices given" in page


@pytest.mark.parametrize(
    ("judge", "told"),
    [
        (None, f"Task '{TASK}' asks for the role 'judge', which has no backend; pass --judge."),
        ("base", "roles.judge.identity"),
    ],
)
def test_no_judge_or_another_one_is_refused_before_anything_is_asked(
    judge: str | None,
    told: str,
    waterbed: Command,
    baseline: Run,
    pocket_base: Checkpoint,
    tmp_path: Path,
) -> None:
    out = tmp_path / "gate"
    named = ("--judge", pocket_base.path) if judge else ()
    done = waterbed("gate", baseline.path, pocket_base.path, *ASKED, "--out", out, *named)
    assert done.code == 2
    assert told in done.err
    assert not (out / "candidate").exists()
    noise = waterbed("noise", baseline.path, *named)
    assert noise.code == 2
    assert told in noise.err
    assert not list((baseline.path / "noise").glob("*/answers.jsonl"))


def test_the_noise_of_a_judged_run_is_measured_with_its_judge(
    waterbed: Command, baseline: Run, pocket_judge: Checkpoint
) -> None:
    done = waterbed("noise", baseline.path, "--judge", pocket_judge.path, "--limit", 30, "--json")
    assert done.code == 0, done.err
    kept = json.loads(done.out)["tasks"][TASK]
    assert kept["items"] == 30
    assert kept["changed"]["win"]["n"] == 30


def test_a_loop_asks_the_judge_about_its_base_and_about_every_attempt(
    waterbed: Command, pocket_base: Checkpoint, pocket_judge: Checkpoint, tmp_path: Path
) -> None:
    stage = Path(__file__).parents[1] / "loop" / "toy_stages.py"
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "loop"
    noise = {"name": "one", "stage": "noise", "settings": {"lr": 0.001}}
    said = {"base": str(pocket_base.path), "suites": [TASK], "limit": ITEMS, "stages": [noise]}
    recipe.write_text(json.dumps({**said, "plugins": [str(stage)]}))  # JSON is YAML
    done = waterbed("loop", recipe, "--out", out, "--judge", pocket_judge.path)
    assert done.code in (0, 3), done.err
    runs = {folder.name: Run.open(folder) for folder in (out / "runs").iterdir()}
    assert set(runs) == {"base", "one.1"}
    assert len({run.manifest["roles"]["judge"]["identity"] for run in runs.values()}) == 1
