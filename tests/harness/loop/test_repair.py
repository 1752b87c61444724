"""What a repair proposes follows from what the gates said, in the order of the recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.checkpoints import Checkpoint, open_checkpoint
from waterbed.harness.loop import loop
from waterbed.harness.loop_case import Case
from waterbed.harness.loop_records import Judged, Proposal, Skipped
from waterbed.harness.loop_repair import LINE, proposals
from waterbed.harness.recipe import StageStep
from waterbed.harness.stage import stages

RED = Judged(
    attempt="maths.1",
    outcome="red",
    exit_code=1,
    headline="REGRESSION",
    sentence="code lost 40 points.",
    lost=("code", "tools"),
    checkpoint="made",
)


def case(judged: Judged = RED, **step: Any) -> Case:
    settings = step.pop("settings", {"data": {"pocket/math@train": 6000}})
    known = {"name": "maths", "stage": "sft", "target": "math", "on_red": "repair", **step}
    start = Checkpoint(Path("base"), "0" * 64)
    return Case(StageStep.model_validate({**known, "settings": settings}), start, [])


def after_first(made: Case, judged: Judged = RED) -> list[Proposal | Skipped]:
    tries = proposals(made)
    next(tries)
    made.judged.append(judged)
    return list(tries)


def test_replay_adds_rows_of_the_lost_domains_and_more_in_each_round() -> None:
    first, second, _ = after_first(case(repair=["replay"]))
    assert isinstance(first, Proposal) and isinstance(second, Proposal)
    replayed = {"pocket/code-replay@train": 3000, "pocket/tools-replay@train": 3000}
    assert first.settings["data"] == {"pocket/math@train": 6000, **replayed}
    assert second.settings["data"]["pocket/code-replay@train"] == 6000


def test_domains_that_were_not_proven_lost_are_replayed_half_as_much() -> None:
    seen = replace(RED, deltas={"math": 0.2, "code": -0.4, "tools": -0.3, "chat": -0.01})
    first = after_first(case(repair=["replay"]), seen)[0]
    assert isinstance(first, Proposal)
    rows = {name.split("-")[0]: n for name, n in first.settings["data"].items() if "replay" in name}
    assert rows == {"pocket/code": 2400, "pocket/tools": 2400, "pocket/chat": 1200}


def test_a_domain_that_falls_in_a_repair_is_replayed_in_the_next_round() -> None:
    made = case(repair=["replay"])
    tries = proposals(made)
    next(tries)
    made.judged.append(RED)
    next(tries)
    made.judged.append(replace(RED, lost=("knowledge",)))
    second = next(tries)
    assert isinstance(second, Proposal)
    named = [name for name in second.settings["data"] if "replay" in name]
    assert named == [f"pocket/{d}-replay@train" for d in ("code", "tools", "knowledge")]


def test_the_target_is_never_replayed_and_a_loss_of_the_mean_replays_all_that_fell() -> None:
    mean = replace(RED, lost=(), deltas={"math": -0.1, "chat": -0.02, "safety/unsafe": -0.01})
    first = after_first(case(repair=["replay"]), mean)[0]
    assert isinstance(first, Proposal)
    assert [n for n in first.settings["data"] if "replay" in n] == [
        "pocket/chat-replay@train",
        "pocket/safety-replay@train",
    ]


def test_what_the_recipe_replays_already_is_kept() -> None:
    settings = {
        "data": {"pocket/math@train": 1000},
        "replay": {"rows": 500, "domains": {"code": 1}},
    }
    first = after_first(case(repair=["replay"], settings=settings))[0]
    assert isinstance(first, Proposal)
    assert first.settings["data"]["pocket/code-replay@train"] == 1000
    assert first.settings["data"]["pocket/tools-replay@train"] == 500
    assert stages.get("sft").settings(**first.settings)["replay"] is None


def test_rows_of_another_shape_are_not_mixed(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    row = {"prompt": "a", "chosen": "b", "rejected": "c"}
    pairs.write_text(json.dumps(row) + "\n")
    (skipped,) = after_first(case(repair=["replay"], settings={"data": {str(pairs): None}}))
    assert isinstance(skipped, Skipped) and "of the data's shape" in skipped.why


def test_gentler_divides_the_rates_and_strengthens_the_pull() -> None:
    first, second = after_first(case(repair=["gentler"]))
    assert isinstance(first, Proposal) and isinstance(second, Proposal)
    full = stages.get("sft").settings(data={})
    assert first.settings["lr"] == pytest.approx(full["lr"] / 3)
    assert second.settings["muon_lr"] == pytest.approx(full["muon_lr"] / 9)
    pairs = {"data": {"pocket/chat-pairs@train": 100}, "beta": 0.1}
    pulled = after_first(case(stage="dpo", repair=["gentler"], settings=pairs))[0]
    assert isinstance(pulled, Proposal)
    assert pulled.settings["beta"] == pytest.approx(0.3)


def test_the_line_back_to_the_start_is_walked_from_the_far_end() -> None:
    tries = after_first(case(repair=["interpolate"]))
    assert [t.settings["alpha"] for t in tries if isinstance(t, Proposal)] == list(LINE)


def test_a_point_on_the_line_back_that_is_green_is_accepted(recipe, noisy, tmp_path: Path) -> None:
    """Noise of 0.2 is red in knowledge; a quarter of it, at the latest, is not."""
    out = tmp_path / "out"
    step = noisy("one", 0.2, on_red="repair", repair=["interpolate"])
    done = loop(recipe([step]), out)
    assert done.exit_code == 0
    tried = done.summary["attempts"]
    assert [a["how"] for a in tried] == ["first", *["interpolate"] * (len(tried) - 1)]
    assert tried[-1]["decided"]["label"] == "accepted (selection not confirmed)"
    assert {a["parent"] for a in tried} == {"base"}
    assert tried[-1]["settings"]["other"] == str(out / "checkpoints" / "one.1")


def test_remedies_come_in_the_order_of_the_recipe_and_say_why_they_do_not_apply() -> None:
    tries = after_first(case(repair=["earlier", "gentler", "replay"]))
    assert [t.how for t in tries] == ["earlier", *["gentler"] * 2, *["replay"] * 3]
    assert isinstance(tries[0], Skipped) and "kept no earlier checkpoint" in tries[0].why


def test_an_inconclusive_gate_is_repaired_only_where_the_recipe_says_so() -> None:
    unsure = replace(RED, outcome="inconclusive", exit_code=3)
    assert after_first(case(repair=["gentler"]), unsure) == []
    assert after_first(case(repair=["gentler"], on_inconclusive="repair"), unsure)


def test_the_latest_checkpoint_that_a_stage_kept_and_that_is_green_is_accepted(
    recipe, noisy, tmp_path: Path
) -> None:
    out, said = tmp_path / "out", []
    kept = {"keeps": [0.0005, 0.001, 0.9]}
    step = noisy("one", 0.9, settings=kept, on_red="repair", repair=["replay", "earlier"])
    done = loop(recipe([step]), out, say=said.append)
    assert done.exit_code == 0
    tried = [a["how"] for a in done.summary["attempts"]]
    assert tried == ["first", "earlier", "earlier"]
    assert done.digest == open_checkpoint(out / "checkpoints" / "one.1.kept" / "step-1").digest
    assert any(line.startswith("one: no replay, ") for line in said)


def test_a_repair_ends_with_the_tries_of_its_stage(recipe, noisy, tmp_path: Path) -> None:
    step = noisy("one", 0.9, on_red="repair", repair=["gentler"], tries=2)
    done = loop(recipe([step]), tmp_path / "out")
    assert done.exit_code == 1
    assert "none of 2 tries at 'one' was accepted, and its 2 tries are used up" in done.sentence
