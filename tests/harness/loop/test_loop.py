"""Stages are gated one after the other; what is not green is rolled back, tried again or ends the loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.checkpoints import open_checkpoint
from waterbed.harness.errors import InstrumentError, Interrupted, UsageError
from waterbed.harness.loop import loop
from waterbed.harness.loop_journal import LoopJournal
from waterbed.harness.run import Run
from waterbed.harness.verdict import Verdict

HARMLESS, HARMFUL, RUINOUS, BROKEN = 0.001, 0.3, 0.9, 9.0


def events(out: Path, kind: str) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in (out / "loop.jsonl").read_text().splitlines()]
    return {event["key"]: event for event in found if event["kind"] == kind}


def test_green_stages_follow_each_other_and_the_later_is_held_against_the_anchor_too(
    recipe, noisy, tmp_path: Path
) -> None:
    out, said = tmp_path / "out", []
    done = loop(recipe([noisy("one", HARMLESS), noisy("two", HARMLESS)]), out, say=said.append)
    assert done.exit_code == 0
    decided = events(out, "decided")
    assert [event["label"] for event in decided.values()] == ["accepted", "accepted"]
    first, second = (decided[name]["evidence"] for name in ("one.1", "two.1"))
    assert (first["anchored"], second["anchored"]) == (False, True)
    assert (first["alpha_fail"], second["alpha_fail"]) == (0.05, 0.025)
    verdict = Verdict.load(Path(second["verdict"]))
    assert verdict.anchor is not None and verdict.anchor.side.label == "base"
    assert verdict.baseline.label == "one.1"
    link = out / "accepted"
    assert link.is_symlink()
    assert open_checkpoint(link).digest == done.digest == events(out, "trained")["two.1"]["digest"]
    assert json.loads((out / "accepted.json").read_text())["attempt"] == "two.1"
    assert any("two.1 (noise, as the recipe says): NO HARM SHOWN" in line for line in said)


def test_a_red_stage_stops_the_loop_early_with_what_was_accepted_before(
    recipe, noisy, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    steps = [noisy("one", HARMLESS), noisy("two", RUINOUS), noisy("three", HARMLESS)]
    done = loop(recipe(steps, suites=["pocket/math", "pocket/knowledge"], limit=300), out)
    assert done.exit_code == 1
    assert "three.1" not in events(out, "trained")
    assert json.loads((out / "accepted.json").read_text())["attempt"] == "one.1"
    evidence = events(out, "decided")["two.1"]["evidence"]
    assert "knowledge" in evidence["lost"]
    assert evidence["early"] and evidence["items"] < 600
    assert Run.open(evidence["run"]).status == "stopped"


def test_a_red_stage_is_rolled_back_and_the_next_one_starts_before_it(
    recipe, noisy, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    steps = [noisy("one", RUINOUS, on_red="rollback"), noisy("two", HARMLESS)]
    done = loop(recipe(steps), out)
    assert done.exit_code == 1, "a stage that was dropped is no success"
    assert events(out, "trained")["two.1"]["parent"] == "base"
    assert json.loads((out / "accepted.json").read_text())["attempt"] == "two.1"
    assert done.summary["status"] == "finished"


def test_a_second_try_is_not_confirmed_without_a_reserve_and_has_its_share_of_the_level(
    recipe, noisy, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    step = noisy("one", RUINOUS, on_red="retry", retry=[{"lr": HARMFUL}, {"lr": HARMLESS}], tries=4)
    done = loop(recipe([step]), out)
    assert done.exit_code == 0
    decided = events(out, "decided")
    assert list(decided) == ["one.1", "one.2", "one.3"]
    assert decided["one.3"]["label"] == "accepted (selection not confirmed)"
    assert [e["evidence"]["alpha_pass"] for e in decided.values()] == [0.05, 0.0125, 0.0125]
    assert [e["evidence"]["alpha_fail"] for e in decided.values()] == [0.05, 0.05, 0.05]


def test_a_second_try_is_confirmed_on_items_that_no_decision_has_read(
    recipe, noisy, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    step = noisy("one", RUINOUS, on_red="retry", retry=[{"lr": HARMLESS}])
    done = loop(recipe([step], reserve="rest"), out)
    assert done.exit_code == 0
    decided = events(out, "decided")["one.2"]
    assert decided["label"] == "accepted (confirmed on the reserve)"
    verdict = Verdict.load(Path(decided["evidence"]["confirmation"]["verdict"]))
    assert {d.id: d.comparison.n for d in verdict.domain_list} == {"knowledge": 910}
    assert verdict.policy["alpha_pass"] == 0.025, "half of the level, so that later ones have some"


def test_a_reserve_that_is_too_small_confirms_nothing_and_the_level_is_shared_after_all(
    recipe, noisy, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    step = noisy("one", RUINOUS, on_red="retry", retry=[{"lr": HARMLESS}], tries=4)
    done = loop(recipe([step], reserve="rest", limit=980), out)
    assert done.exit_code == 0
    decided = events(out, "decided")["one.2"]
    assert decided["evidence"]["confirmation"]["outcome"] == "inconclusive"
    assert decided["label"] == "accepted (selection not confirmed)"
    assert decided["evidence"]["alpha_pass"] == 0.0125


def test_a_try_that_fails_on_the_reserve_is_red(recipe, noisy, tmp_path: Path) -> None:
    """Maths does not notice this noise; knowledge, which is the reserve, does."""
    out = tmp_path / "out"
    step = noisy("one", BROKEN, on_red="retry", retry=[{"lr": 0.15}])
    file = recipe(
        [step],
        policy={"margins": {"math": 12}},
        suites=["pocket/math"],
        reserve=["pocket/knowledge"],
    )
    done = loop(file, out)
    decided = events(out, "decided")["one.2"]
    assert done.exit_code == 1
    assert decided["evidence"]["sentence"].startswith("On the reserve: knowledge lost")
    assert decided["evidence"]["lost"] == ["knowledge"]
    assert decided["evidence"]["headline"] == "REGRESSION"


def test_an_inconclusive_gate_stops_with_exit_code_3(recipe, noisy, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = loop(recipe([noisy("one", HARMLESS)], policy={"require": ["code"]}), out)
    assert done.exit_code == 3
    assert done.summary["attempts"][0]["decided"]["label"] == "rejected (inconclusive)"
    assert json.loads((out / "accepted.json").read_text())["attempt"] == "base"


def test_required_evidence_that_few_items_cannot_give_is_there_once_noise_is_measured(
    recipe, noisy, tmp_path: Path
) -> None:
    """Ninety items show a loss of eight points at 4% changed items, not at the planned 10%."""
    rules = {"margins": {"knowledge": 4}, "require": ["knowledge"]}
    step = noisy("one", HARMLESS)
    planned = loop(recipe([step], policy=rules), tmp_path / "planned")
    assert planned.exit_code == 3
    assert "waterbed noise" in planned.summary["attempts"][0]["judged"]["verdict"]["sentence"]
    out = tmp_path / "measured"
    assert loop(recipe([step], policy=rules, noise=True), out).exit_code == 0
    assert list(events(out, "noise")) == ["base", "one.1"]
    assert events(out, "noise")["base"]["cost"]["tokens"] > 0


def test_a_stage_that_writes_nan_leaves_no_checkpoint_and_a_gentler_one_is_accepted(
    recipe, noisy, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    step = noisy("one", BROKEN, on_red="retry", retry=[{"lr": HARMLESS}])
    done = loop(recipe([step]), out)
    assert done.exit_code == 0
    assert not (out / "checkpoints" / "one.1").exists()
    assert "NaN" in events(out, "decided")["one.1"]["evidence"]["sentence"]
    alone = loop(recipe([noisy("one", BROKEN)]), tmp_path / "alone")
    assert alone.exit_code == 4
    assert alone.digest == open_checkpoint(recipe_base(out)).digest


def test_training_that_diverges_is_a_broken_attempt_and_other_rates_are_tried(
    recipe, tmp_path: Path
) -> None:
    few = {
        "data": {"pocket/math@train": 48},
        "batch_size": 8,
        "lr": 1e30,
        "optimizer": "muon",
        "muon_lr": 1e30,
    }
    step = {"name": "one", "stage": "sft", "settings": few}
    out = tmp_path / "out"
    done = loop(
        recipe([{**step, "on_red": "retry", "retry": [{"lr": 1e-6, "muon_lr": 1e-6}]}]), out
    )
    assert done.exit_code == 0
    assert "lower lr (1e+30)" in events(out, "decided")["one.1"]["evidence"]["sentence"]
    assert loop(recipe([step]), tmp_path / "alone").exit_code == 4


def recipe_base(out: Path) -> str:
    return str(events(out, "base")["base"]["checkpoint"])


def test_a_stage_that_raises_stops_in_one_sentence_and_is_done_again_once_mended(
    recipe, noisy, tmp_path: Path
) -> None:
    fire, out = tmp_path / "fire", tmp_path / "out"
    fire.touch()
    steps = [
        noisy("one", HARMLESS),
        noisy("two", HARMLESS, settings={"fails_while": str(fire)}),
    ]
    with pytest.raises(
        InstrumentError, match=r"two\.1 raised RuntimeError: the machine is on fire"
    ):
        loop(recipe(steps), out)
    assert json.loads((out / "loop.json").read_text())["status"] == "failed"
    fire.unlink()
    assert loop(recipe(steps), out, resume=True).exit_code == 0


def test_going_on_with_a_finished_loop_does_nothing_again(recipe, noisy, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    steps = [
        noisy("one", HARMLESS, settings={"log": str(log)}),
        noisy("two", RUINOUS, settings={"log": str(log)}),
    ]
    first = loop(recipe(steps), out)
    before = (out / "loop.jsonl").read_bytes()
    second = loop(recipe(steps), out, resume=True)
    assert (second.exit_code, second.digest) == (first.exit_code, first.digest)
    assert (out / "loop.jsonl").read_bytes() == before
    assert log.read_text().split() == ["one.1", "two.1"]


def test_ctrl_c_exits_130_and_the_loop_goes_on_afterwards(recipe, noisy, tmp_path: Path) -> None:
    out, file = tmp_path / "out", recipe([noisy("one", HARMLESS)])

    def pressed(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="--resume"):
        loop(file, out, say=pressed)
    said = json.loads((out / "loop.json").read_text())
    assert (said["exit_code"], said["accepted"]["attempt"]) == (130, "base")
    assert loop(file, out, resume=True).exit_code == 0


def test_a_folder_with_a_loop_is_refused_unless_the_same_recipe_goes_on(
    recipe, noisy, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    loop(recipe([noisy("one", HARMLESS)]), out)
    with pytest.raises(UsageError, match="--resume"):
        loop(recipe([noisy("one", HARMLESS)]), out)
    with pytest.raises(UsageError, match="another recipe"):
        loop(recipe([noisy("one", HARMFUL)]), out, resume=True)


def test_two_loops_on_one_folder_exclude_each_other(recipe, noisy, tmp_path: Path) -> None:
    with LoopJournal(tmp_path), pytest.raises(UsageError, match="Another loop is running"):
        loop(recipe([noisy("one", HARMLESS)]), tmp_path)


def test_a_budget_ends_the_loop_and_a_larger_one_lets_it_go_on(
    recipe, noisy, tmp_path: Path
) -> None:
    out, steps = tmp_path / "out", [noisy("one", HARMLESS), noisy("two", HARMLESS)]
    done = loop(recipe(steps, budget={"tries": 1}), out)
    assert (done.exit_code, done.summary["status"]) == (3, "stopped")
    assert "budget of 1 tries" in done.sentence
    tokens = loop(recipe(steps, budget={"tokens": 10}), out, resume=True)
    assert "budget of 10 tokens" in tokens.sentence
    hours = loop(recipe(steps, budget={"hours": 1e-6}), out, resume=True)
    assert "budget of 1e-06 hours" in hours.sentence
    assert loop(recipe(steps, budget={"hours": 1}), out, resume=True).exit_code == 0


def test_a_loop_without_a_base_begins_with_nothing_and_takes_the_first_as_anchor(
    recipe, noisy, tmp_path: Path
) -> None:
    tiny = {"data": {"pocket/pretrain@train": 200}}
    steps = [{"name": "made", "stage": "pretrain", "settings": tiny}, noisy("two", HARMLESS)]
    done = loop(recipe(steps, base=None, limit=50), tmp_path / "out")
    decided = events(tmp_path / "out", "decided")
    assert decided["made.1"]["evidence"]["headline"] == "ANCHOR"
    # A model that knows nothing has nothing to lose, which is no evidence of no harm.
    assert done.exit_code == 3
    assert decided["two.1"]["evidence"]["outcome"] == "inconclusive"


def test_a_checkpoint_that_was_changed_behind_the_loop_is_refused(
    recipe, noisy, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    file = recipe([noisy("one", HARMLESS)])
    loop(file, out)
    config = out / "checkpoints" / "one.1" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "rms_norm_eps": 0.5}))
    with pytest.raises(ValueError, match="is another checkpoint by now"):
        loop(file, out, resume=True)
