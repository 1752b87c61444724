"""What a repair proposes for a compression follows from the settings that its stage has and what it made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.loop import loop
from waterbed.harness.loop_case import Case
from waterbed.harness.loop_records import Judged, Proposal, Skipped
from waterbed.harness.loop_repair import learned, proposals
from waterbed.harness.recipe import StageStep
from waterbed.harness.stage import stages

ROWS = {"pocket/pretrain@train": 64}


@pytest.fixture
def tried(tmp_path: Path):
    """`tried("prune", {settings}, "heal", ...)`: what follows a red first attempt."""

    def tries(
        stage: str, settings: dict[str, Any], *remedies: str, packed: bool = False, **known: Any
    ) -> list[Proposal | Skipped]:
        config = {"quantization_config": {}} if packed else {}
        (tmp_path / "config.json").write_text(json.dumps(config))
        red = Judged(
            attempt="small.1",
            outcome="red",
            exit_code=1,
            headline="REGRESSION",
            sentence="math lost 40 points.",
            lost=("math",),
            deltas={"math": -0.4, "code": -0.1, "safety/unsafe": 0.0},
            checkpoint=str(tmp_path),
        )
        said = {"name": "small", "stage": stage, "on_red": "repair", "repair": remedies}
        step = StageStep.model_validate({**said, "settings": settings, **known.pop("step", {})})
        case = Case(step, Checkpoint(Path("/before"), "0" * 64), [], **known)
        following = proposals(case)
        next(following)
        case.judged.append(red)
        return list(following)

    return tries


def test_what_was_pruned_is_healed_by_the_checkpoint_before_it(tried) -> None:
    (healed,) = tried("prune", {}, "heal", learned={"pocket/math@train": 6000}, targets={"math"})
    assert isinstance(healed, Proposal)
    assert (healed.stage, healed.settings["teacher"]) == ("distill", "/before")
    assert healed.mends is not None and healed.mends.attempt == "small.1"
    replay = {"pocket/code-replay@train": 1000, "pocket/safety-replay@train": 1000}
    assert healed.settings["data"] == {"pocket/math@train": 6000, **replay}
    assert healed.why == "small.1, taught by the checkpoint before it on 8000 rows"
    stages.get("distill").settings(**healed.settings)


def test_what_healing_did_not_mend_is_taught_once_more() -> None:
    step = StageStep(name="small", stage="prune", on_red="repair", repair=("heal",))
    case = Case(step, Checkpoint(Path("/before"), "0" * 64), learned={"pocket/math@train": 60})
    tries, said = proposals(case), {"exit_code": 1, "headline": "", "sentence": ""}
    for attempt in ("small.1", "small.2"):
        next(tries)
        made = Judged(attempt=attempt, outcome="red", checkpoint=attempt, **said)
        case.judged.append(made)
    again = next(tries)
    assert isinstance(again, Proposal) and again.mends is made
    assert again.why == "small.2, taught once more on 60 rows"


def test_a_recipe_may_say_how_to_heal(tried) -> None:
    said = {"heal": {"data": ROWS, "muon_lr": 0.004}}
    (healed,) = tried("prune-structured", {"neurons": 0.5, "data": ROWS}, "heal", step=said)
    assert isinstance(healed, Proposal)
    assert (healed.settings["data"], healed.settings["muon_lr"]) == (ROWS, 0.004)


def test_less_is_pruned_in_each_try_and_more_bits_are_kept(tried) -> None:
    pruned = tried("prune-heal", {"data": ROWS}, "lighter")
    assert [t.settings["sparsity"] for t in pruned] == [0.3, 0.15]
    rounded = tried("rtn", {"bits": 3}, "lighter")
    assert [t.settings["bits"] for t in rounded] == [4, 8]
    assert rounded[0].why == "compressed less: bits 4"
    shrunk = tried("prune-structured", {"neurons": 0.5, "groups": 0.5, "data": ROWS}, "lighter")
    assert [(t.settings["neurons"], t.settings["groups"]) for t in shrunk] == [
        (0.3, 0.3),
        (0.15, 0.15),
    ]


def test_a_compression_that_cannot_be_lighter_says_why(tried) -> None:
    (fours,) = tried("prune", {"scope": "2:4"}, "lighter")
    assert isinstance(fours, Skipped) and "2:4 is a sparsity of 0.5" in fours.why
    (whole,) = tried("int8-dynamic", {}, "lighter")
    assert isinstance(whole, Skipped) and "nothing to compress less by" in whole.why


def test_rounded_weights_are_not_healed(tried) -> None:
    (skipped,) = tried("rtn", {}, "heal", packed=True)
    assert isinstance(skipped, Skipped) and "rounded weights cannot learn" in skipped.why


def test_a_training_is_not_healed_and_a_compression_is_not_undone(tried) -> None:
    trained = tried("sft", {"data": ROWS}, "heal", "lighter", "keep")
    assert [t.why for t in trained if isinstance(t, Skipped)] == [
        "stage 'sft' does not compress",
        "stage 'sft' has nothing to compress less by",
        "stage 'sft' cannot keep its most sensitive parts",
    ]
    (line,) = tried("prune", {}, "interpolate")
    assert isinstance(line, Skipped) and "undo the compression" in line.why


def test_what_a_training_learned_is_known_with_its_replay() -> None:
    data = {"pocket/math@train": 100}
    replay = {"rows": 60, "domains": {"code": 2, "tools": 1}}
    assert learned({"data": data, "replay": replay}) == {
        **data,
        "pocket/code-replay@train": 40,
        "pocket/tools-replay@train": 20,
    }
    assert learned({"data": {"pocket/chat-preferences@train": 50}}) == {}, "pairs are no text"
    assert learned({"sparsity": 0.5}) == {}


def test_a_compression_that_looks_at_a_few_rows_does_not_make_the_loop_forget_the_others() -> None:
    name, all_rows = "pocket/math@train", {"pocket/code-replay@train": None}
    before = {name: 6000, **all_rows}
    looked = {"keep_most_sensitive": 2, "data": {name: 64, "pocket/code-replay@train": 64}}
    assert learned(looked, before) == before
    assert learned({"data": {name: 9000}}, before) == {name: 9000, **all_rows}


@pytest.mark.parametrize(
    "settings",
    [
        ["data"],
        {"data": {"pocket/math@train": "many"}},
        {"data": {"pocket/math@train": 10}, "replay": 5},
        {"data": {"pocket/math@train": 10}, "replay": {"rows": 5, "domains": {"code": 0}}},
        {"data": {"nobody/knows": 10}},
    ],
)
def test_a_base_that_says_nonsense_of_itself_has_learned_nothing_that_is_known(settings) -> None:
    assert learned(settings, {"pocket/math@train": 3}) == {"pocket/math@train": 3}


def test_a_healed_checkpoint_has_the_rejected_one_as_its_parent(recipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    step = {
        "name": "small",
        "stage": "prune",
        "settings": {"sparsity": 0.6, "timing": {"repeats": 0}},
        "on_red": "repair",
        "repair": ["heal"],
        "tries": 2,
        "heal": {"data": {"pocket/knowledge-replay@train": 200}, "timing": {"repeats": 0}},
    }
    done = loop(recipe([step], limit=100), out)
    first, second = done.summary["attempts"]
    assert (first["how"], second["how"]) == ("first", "heal")
    assert (second["parent"], second["stage"]) == ("small.1", "distill")
    made = json.loads((out / "checkpoints" / "small.2" / "waterbed.json").read_text())
    assert made["parent"] == first["digest"]
    assert made["achieved"]["after"]["sparsity"] == pytest.approx(0.6, abs=0.01)
