"""The A/A noise floor is measured on real answers, kept beside its Run, and never assumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import waterbed
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.cli.app import main
from waterbed.harness.drift import measure_drift
from waterbed.harness.errors import StoreError, UsageError
from waterbed.harness.noise import FILE, load_noise, measure_noise
from waterbed.harness.run import Run

SUITES = ["pocket/math", "pocket/tools"]
MATH = ("pocket/math", "correct")


def evaluated(checkpoint: Checkpoint, out: Path, **how: Any) -> Run:
    how = {"limit": 60, "options": {"batch_size": 16, "threads": 1}, **how}
    return waterbed.evaluate(checkpoint, SUITES, out, **how)


@pytest.fixture(scope="module")
def greedy(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A greedy Run of 60 items a task with its noise, measured on 40 of them."""
    run = evaluated(pocket_base, tmp_path_factory.mktemp("greedy") / "run")
    measure_noise(run, limit=40)
    return run


def test_a_greedy_model_is_held_against_itself_with_another_batch_size_and_seed(
    greedy: Run,
) -> None:
    floor = load_noise(greedy)
    assert floor.source.startswith(
        "greedy, batch sizes 16 and 8, seeds 0 and 1, 1 answer(s) an item"
    )
    (again,) = (greedy.path / "noise").iterdir()
    assert Run.open(again).manifest["backend"]["batch_size"] == 8
    assert set(floor.noise) == set(SUITES)
    for figures in floor.noise.values():
        assert figures["churn"].n == 40
        # Float32 on one machine: seen are 0 flips of 40; a few near ties may fall otherwise elsewhere.
        assert figures["churn"].change <= 0.05
        assert figures["churn"].se > 0.0


def test_what_is_kept_says_when_how_and_on_how_many_items(greedy: Run) -> None:
    entry = json.loads((greedy.path / FILE).read_text())["tasks"]["pocket/math"]
    assert entry["items"] == 40
    assert entry["settings"]["temperature"] == 0.0
    assert entry["measured"][:2] == "20"


def test_a_small_run_without_a_change_does_not_claim_that_nothing_ever_changes(greedy: Run) -> None:
    floor = load_noise(greedy)
    assert floor.changed["pocket/math"]["correct"].change <= 0.05
    limit = floor.discordance({MATH: 60})
    assert limit is not None and 0.02 < limit < 0.15
    assert floor.discordance({MATH: 60, ("pocket/code", "correct"): 9}) is None
    assert floor.discordance({}) is None


def test_a_sampled_model_churns_over_all_items_of_its_run(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    run = evaluated(pocket_base, tmp_path / "run", settings={"temperature": 1.0})
    assert load_noise(run).lacking == tuple(SUITES)
    floor = measure_noise(run)
    assert floor.source.startswith("sampled, ")
    churn = floor.noise["pocket/math"]["churn"]
    assert churn.n == 60 and churn.change > 0.05
    assert (floor.discordance({MATH: 60}) or 0.0) > churn.change
    tasks = frozenset(["pocket/math"])
    drift = measure_drift(run, run, floor.noise, tasks=tasks, noise_source=floor.source)
    assert drift.row("churn").counts
    assert drift.row("churn").noise == churn


def test_figures_of_other_tasks_stay_when_one_is_measured_anew(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    run = evaluated(pocket_base, tmp_path / "run", limit=30)
    assert measure_noise(run, ["pocket/math"]).lacking == ()
    assert load_noise(run).lacking == ("pocket/tools",)
    measure_noise(run, ["tools"], batch_size=3)
    assert load_noise(run).lacking == ()
    assert "batch sizes 16 and 3" in load_noise(run, ["pocket/tools"]).source
    with pytest.raises(
        UsageError, match=r"no task 'pocket/code'; it has pocket/math, pocket/tools"
    ):
        measure_noise(run, ["pocket/code"])


def test_noise_of_another_checkpoint_or_a_damaged_file_counts_for_nothing(
    greedy: Run, tmp_path: Path
) -> None:
    other = {**greedy.manifest, "checkpoint": {**greedy.manifest["checkpoint"], "digest": "0"}}
    assert load_noise(replace(greedy, manifest=other)).noise == {}
    whole = (greedy.path / FILE).read_text()
    copy = Run(tmp_path, greedy.manifest)
    for damaged in (whole[:50], whole.replace('"n": 40', '"n": -1'), "[]", '{"tasks": []}'):
        (tmp_path / FILE).write_text(damaged)
        assert load_noise(copy).lacking == tuple(SUITES), damaged
    (tmp_path / FILE).write_text(whole)
    assert load_noise(copy) == load_noise(greedy)


def test_a_folder_that_cannot_be_written_is_an_error(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    run = evaluated(pocket_base, tmp_path / "run", limit=30)
    (run.path / FILE).mkdir()
    with pytest.raises(StoreError, match=r"noise\.json"):
        measure_noise(run, ["pocket/math"])


def test_only_a_complete_run_of_the_same_checkpoint_can_be_measured(greedy: Run) -> None:
    for change, said in (
        ({"kind": "score"}, "recorded answers"),
        ({"backend": {"name": "openai"}, "checkpoint": None}, "answered by a server"),
        ({"status": "partial"}, "is partial"),
        (
            {"checkpoint": {**greedy.manifest["checkpoint"], "digest": "0" * 64}},
            "another checkpoint",
        ),
    ):
        with pytest.raises(UsageError, match=said):
            measure_noise(replace(greedy, manifest={**greedy.manifest, **change}))


def test_the_command_shows_what_gates_will_plan_with(
    pocket_base: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = evaluated(pocket_base, tmp_path / "run", limit=30)
    with pytest.raises(SystemExit, match="0"):
        main(["noise", str(run.path), "--suites", "math"])
    shown = capsys.readouterr()
    assert "pocket/math" in shown.out and "pocket/tools" not in shown.out
    assert "upper 95% limit" in shown.out
    assert "batch sizes 16 and 8" in shown.err
