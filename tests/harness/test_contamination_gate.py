"""A gate refuses scores on items that were trained on, names them, and calls nothing clean unseen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import waterbed
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.contamination_gate import contamination_of
from waterbed.harness.contamination_trace import SIDECAR, leave_trace
from waterbed.harness.errors import DataError
from waterbed.harness.policy import Policy
from waterbed.harness.records import Sample
from waterbed.harness.runner import hash_order
from waterbed.harness.stage import StageContext, stages
from waterbed.harness.tasks import tasks

Command = Callable[..., Any]


@dataclass
class Side:
    """What the judgment reads of a Run."""

    label: str
    record: Any = None
    path: Path = Path("run")
    status: str = "complete"
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.record is not None:
            self.manifest = {"contamination": self.record}

    def scores(self) -> Any:
        raise AssertionError("scores are not needed")


def known(contaminated: int, items: int = 100, task: str = "gsm8k") -> dict[str, Any]:
    ids = [f"i{n}" for n in range(contaminated)]
    entry = {
        "items": items,
        "contaminated": contaminated,
        "share": contaminated / items,
        "ids": ids,
    }
    return {"status": "known", "tasks": {task: entry}}


CLEAN = Side("base", known(0))


def judged(candidate: Side, baseline: Side = CLEAN, **policy: Any) -> Any:
    sides: dict[str, Any] = {"baseline": baseline, "candidate": candidate}
    return contamination_of(sides, ["gsm8k"], Policy(**policy))


def test_more_items_than_allowed_are_a_problem_with_their_names() -> None:
    said = judged(Side("tuned", known(7)))
    assert not said.warnings
    (problem,) = said.problems
    assert "gsm8k: 7 of 100 items (7.0%)" in problem
    assert "candidate 'tuned' (i0, i1, i2, i3, i4, ...)" in problem
    assert "max_contaminated allows (1%)" in problem


@pytest.mark.parametrize(
    ("count", "policy"),
    [(1, {}), (7, {"max_contaminated": 0.07}), (50, {"contamination": "warn"})],
)
def test_what_the_policy_lets_through_is_still_said(count: int, policy: dict[str, Any]) -> None:
    said = judged(Side("tuned", known(count)), **policy)
    assert not said.problems
    assert f"{count} of 100 items" in said.warnings[0]


def test_a_contaminated_baseline_is_a_problem_too() -> None:
    said = judged(Side("tuned", known(0)), baseline=Side("base", known(9)))
    assert "baseline 'base'" in said.problems[0]


def test_tasks_that_are_not_compared_and_ignored_records_say_nothing() -> None:
    assert judged(Side("tuned", known(9, task="mmlu"))) == judged(Side("tuned", known(0)))
    assert not judged(Side("tuned", known(90)), contamination="ignore").problems


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    other = Side("hub model", {"status": "unknown"})
    (warning,) = judged(other, baseline=Side("hub base", {"status": "unknown"})).warnings
    assert "baseline 'hub base' and the candidate 'hub model'" in warning
    assert "is unknown" in warning
    partly = Side("tuned", {**known(0), "status": "partly_unknown"})
    assert "in part only" in judged(partly).warnings[0]
    assert judged(Side("recorded answers")) == judged(CLEAN)


@pytest.mark.parametrize("record", ["a", {"tasks": {"gsm8k": {}}}, {"tasks": {"gsm8k": 3}}])
def test_a_damaged_record_is_refused_with_its_run(record: Any) -> None:
    with pytest.raises(DataError, match=r"run\.json of 'run' is damaged"):
        judged(Side("tuned", record))


def tuned(base: Checkpoint, rows: list[dict[str, Any]], out: Path) -> Checkpoint:
    out.mkdir()
    file = out / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {str(file): None, "pocket/math@train": 300}
    return stages.get("sft").run(base, StageContext(out / "model"), data=data)


def asked(count: int) -> list[Sample]:
    """The test items of the pocket world's maths that are asked first."""
    task = tasks.get("pocket/math")
    return hash_order(task, task.items, 0)[:count]


def chats(count: int) -> list[dict[str, Any]]:
    """Test prompts as training rows."""
    return [
        {"messages": [*s.input, {"role": "assistant", "content": f"#### {s.target}"}]}
        for s in asked(count)
    ]


def test_training_on_test_prompts_is_refused_and_named_and_clean_training_is_not(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    assert (pocket_base.path / SIDECAR).is_file()
    leaked = tuned(pocket_base, chats(30), tmp_path / "leaked")
    story = {
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    }
    clean = tuned(pocket_base, [story], tmp_path / "clean")
    policy = Policy(allow_unverified=True, limit=200)
    runs = {
        name: waterbed.evaluate(model, ["pocket/math"], tmp_path / name / "run", limit=200)
        for name, model in (("base", pocket_base), ("leaked", leaked), ("clean", clean))
    }
    record = runs["leaked"].manifest["contamination"]["tasks"]["pocket/math"]
    assert set(record["ids"]) == {item.id for item in asked(30)}
    refused = waterbed.gate(runs["base"], runs["leaked"], policy, target="math")
    assert (refused.exit_code, refused.headline) == (4, "INVALID")
    assert "30 of 200 items" in refused.problems[0]
    assert record["ids"][0] in refused.problems[0]
    fine = waterbed.gate(runs["base"], runs["clean"], policy, target="math")
    assert not fine.problems
    assert not any("training text" in warning for warning in fine.warnings)


def test_an_evaluation_says_which_items_its_model_was_trained_on(
    waterbed: Command, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(pocket_base.path, model)
    leave_trace(model, "sft", chats(2), ("d1", pocket_base.path))
    done = waterbed("eval", model, "-s", "pocket/math", "--limit", 20, "--out", tmp_path / "run")
    assert done.code == 0
    assert "pocket/math: 2 of 20 items (10.0%) are in the training text" in done.err
    assert asked(1)[0].id in done.err


def test_the_command_names_items_before_training(waterbed: Command, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in chats(3)))
    done = waterbed("contamination", file, "--suites", "pocket/math,pocket/chat", "--json")
    assert done.code == 4
    said = json.loads(done.out)
    assert said["rows"] == 3
    assert set(said["tasks"]["pocket/math"]["ids"]) == {item.id for item in asked(3)}
    assert said["tasks"]["pocket/chat"]["contaminated"] == 0
    assert "3 of 1000 items of 'pocket/math'" in done.err
    lenient = waterbed("contamination", file, "-s", "pocket/math", "--max-share", 0.01)
    assert lenient.code == 0
    assert asked(1)[0].id in lenient.out


def test_the_command_reads_what_a_checkpoint_learned(
    waterbed: Command, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    done = waterbed("contamination", pocket_base.path, "-s", "pocket", "--json")
    assert done.code == 0
    assert json.loads(done.out)["rows"] == 40_000
    (tmp_path / "foreign").mkdir()
    done = waterbed("contamination", tmp_path / "foreign", "-s", "pocket")
    assert done.code == 2
    assert "is unknown" in done.err
