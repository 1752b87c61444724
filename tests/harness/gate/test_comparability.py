"""Comparability: what refuses a comparison, what is only noted, what is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from waterbed.harness.comparability import check_manifest, chosen_tasks, compare, unfinished
from waterbed.harness.errors import DataError, IncomparableRuns, UnknownName

Run = Callable[..., Any]


def differences(old: Any, new: Any) -> Any:
    return compare(old.manifest, new.manifest, ["math"])


@pytest.mark.parametrize(
    ("where", "value", "named"),
    [
        ("version", "2", "math.version: 1 -> 2"),
        ("data_hash", "e", "math.data_hash: d -> e"),
        ("prompt_hash", "q", "math.prompt_hash: p -> q"),
        ("repeats", 4, "math.repeats: 1 -> 4"),
        ("style", "completion", "math.style: chat -> completion"),
        ("settings/temperature", 1.0, "math.settings.temperature: 0.0 -> 1.0"),
        ("settings/stop", ["\n"], "math.settings.stop: none -> ['\\n']"),
        ("metrics", [], "math.metrics.correct"),
    ],
)
def test_what_makes_a_pair_meaningless_is_refused_by_name(
    run: Run, where: str, value: Any, named: str
) -> None:
    old = run("a", math=[1, 0])
    found = differences(old, old.changed(f"tasks/math/{where}", value))
    assert any(line.startswith(named) for line in found.refusals)
    with pytest.raises(IncomparableRuns, match="not made the same way") as caught:
        found.enforce("a", "b")
    assert caught.value.exit_code == 2
    assert named in str(caught.value)


def test_every_differing_thing_is_named(run: Run) -> None:
    old = run("a", math=[1, 0])
    new = old.changed("tasks/math/version", "2").changed("tasks/math/data_hash", "e")
    with pytest.raises(IncomparableRuns, match=r"math\.version.*math\.data_hash"):
        differences(old, new).enforce("a", "b")


@pytest.mark.parametrize(
    ("where", "value", "named"),
    [
        ("backend/dtype", "bfloat16", "backend.dtype: float32 -> bfloat16"),
        ("backend/batch_size", 16, "backend.batch_size: 8 -> 16"),
        ("packages/torch", "2.13.0", "packages.torch: none -> 2.13.0"),
        ("hardware/cpus", 64, "hardware.cpus: 2 -> 64"),
        ("seed", 1, "seed: 0 -> 1"),
        ("tasks/math/items", 1, "math.items: 2 -> 1"),
    ],
)
def test_what_a_reader_should_know_is_noted_and_not_refused(
    run: Run, where: str, value: Any, named: str
) -> None:
    old = run("a", math=[1, 0])
    found = differences(old, old.changed(where, value))
    assert (found.refusals, found.notes) == ((), (named,))


@pytest.mark.parametrize("role", ["judge", "user"])
def test_another_judge_or_simulated_user_is_refused_another_batch_of_theirs_is_noted(
    run: Run, role: str
) -> None:
    old = run("a", math=[1, 0]).changed("roles", {role: {"model": "j1", "batch_size": 1}})
    other = old.changed(f"roles/{role}/model", "j2").changed(f"roles/{role}/batch_size", 2)
    found = differences(old, other)
    assert found.refusals == (f"roles.{role}.model: j1 -> j2",)
    assert found.notes == (f"roles.{role}.batch_size: 1 -> 2",)
    without = old.changed("roles", {})
    assert differences(old, without).refusals == ()
    assert differences(old, without).notes[0].startswith(f"roles.{role}: ")


def test_equal_runs_differ_in_nothing(run: Run) -> None:
    found = differences(run("a", math=[1, 0]), run("b", math=[0, 0]))
    assert (found.refusals, found.notes) == ((), ())


def test_recorded_answers_are_compared_with_a_live_run_although_their_prompts_are_unknown(
    run: Run,
) -> None:
    old = run("a", math=[1, 0])
    new = old.changed("kind", "score").changed("tasks/math/prompt_hash", "other")
    found = differences(old, new.changed("tasks/math/settings", {}))
    assert found.refusals == ()
    assert "kind: eval -> score" in found.notes


def test_prompt_hashes_of_different_item_sets_are_not_compared(run: Run) -> None:
    old = run("a", math=[1, 0])
    new = old.changed("tasks/math/prompt_hash", "q").changed("tasks/math/items", 1)
    assert differences(old, new).refusals == ()
    stopped = old.changed("tasks/math/prompt_hash", "q").changed("status", "stopped")
    assert differences(old, stopped).refusals == ()


def test_a_task_of_one_side_only_is_nothing_to_compare(run: Run) -> None:
    assert (
        compare(run("a", math=[1]).manifest, run("b", code=[1]).manifest, ["math"]).refusals == ()
    )


def test_by_default_the_tasks_of_both_runs_are_chosen(run: Run) -> None:
    old, new = run("a", math=[1], code=[1]).manifest, run("b", math=[1], chat=[1]).manifest
    assert chosen_tasks(old, new, None) == {"chat": "chat", "code": "code", "math": "math"}
    assert chosen_tasks(old, new, ["chat"]) == {"chat": "chat"}


def test_a_domain_chooses_all_its_tasks(run: Run) -> None:
    old = run("a", math=[1], math_b=[1], code=[1]).manifest
    assert list(chosen_tasks(old, old, ["math"])) == ["math", "math_b"]


def test_a_suite_that_nobody_knows_is_refused_with_the_nearest(run: Run) -> None:
    with pytest.raises(UnknownName, match=r"gsm8kk.*did you mean 'gsm8k'"):
        chosen_tasks(run("a", math=[1]).manifest, run("b", math=[1]).manifest, ["gsm8kk"])


def test_a_partial_run_is_refused_with_the_command_that_completes_it(run: Run) -> None:
    said = unfinished(run("a", math=[1]).changed("status", "partial"), "candidate")
    assert said is not None
    assert "`waterbed eval ckpt/a --suites math --out runs/a`" in said


def test_a_manifest_without_what_a_gate_reads_is_named(run: Run) -> None:
    broken = run("a", math=[1])
    del broken.manifest["tasks"]["math"]["items"]
    with pytest.raises(DataError, match=r"runs/a' lacks items of task 'math'"):
        check_manifest(broken)
    with pytest.raises(DataError, match="lists no tasks"):
        check_manifest(run("b").changed("tasks", None))


@pytest.mark.parametrize("status", ["complete", "stopped"])
def test_complete_and_stopped_runs_can_be_gated(run: Run, status: str) -> None:
    assert unfinished(run("a", math=[1]).changed("status", status), "baseline") is None
