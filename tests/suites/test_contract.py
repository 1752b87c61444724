"""What every registered benchmark owes the gate: stable ids, a right answer that scores 1, an empty one
that scores 0 and says why, and prompts that change only together with the version."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from waterbed.harness.backends.sandbox import SandboxBackend
from waterbed.harness.errors import UsageError
from waterbed.harness.records import (
    Generation,
    GenerationSettings,
    Prompt,
    Sample,
    Score,
    content_hash,
)
from waterbed.harness.rewards import reward
from waterbed.harness.tasks import Task, tasks

#: Prompts and settings by task and version; `python tests/suites/test_contract.py` writes it anew.
GOLDEN = Path(__file__).with_name("prompts.json")
#: Tasks whose items have no one right text, and why.
NO_REFERENCE = {
    "bfcl-native": "calls, no text",
    "pocket/tools-native": "calls, no text",
    "ifeval": "constraints, no gold text",
    "ifeval-nopunkt": "constraints, no gold text",
    "smoke/ifeval": "constraints, no gold text",
}
FEW = 25
NAMES = sorted(n for n, t in tasks.all().items() if t.factory.__module__.startswith("waterbed."))


def loaded(name: str) -> Task:
    task = tasks.get(name)
    try:
        assert task.items
    except UsageError as error:
        pytest.skip(str(error))
    return task


def graded(
    task: Task, samples: list[Sample], texts: list[str], sandbox: SandboxBackend
) -> list[Score]:
    return reward(task, samples, [Generation(t) for t in texts], {"sandbox": sandbox})


def plain(prompt: Prompt) -> object:
    return prompt if isinstance(prompt, str) else [m.as_dict() for m in prompt]


def prompts_hash(task: Task) -> str:
    """Over the first prompts and what the decoding settings change of the defaults."""
    asked = [plain(task.body.prompt(s)) for s in task.items[:FEW]]
    default = asdict(GenerationSettings())
    chosen = {k: v for k, v in asdict(task.settings).items() if v != default[k]}
    return content_hash([asked, chosen, task.style])


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique_and_the_same_when_loaded_again(name: str) -> None:
    task = loaded(name)
    again = list(task.factory().samples())
    assert [s.id for s in again] == [s.id for s in task.items]
    assert len({s.id for s in again}) == len(again)
    assert task.card.items in (None, len(again))


@pytest.mark.parametrize("name", NAMES)
def test_a_right_answer_scores_one(name: str, sandbox: SandboxBackend) -> None:
    task = loaded(name)
    if task.multi_turn or "judge" in task.roles or name in NO_REFERENCE:
        pytest.skip(NO_REFERENCE.get(name, "multi-turn, or a judge says what is right"))
    samples = list(task.items[:FEW])
    texts = [task.reference(s) for s in samples]
    assert None not in texts, "give the task a reference(), or name it in NO_REFERENCE"
    assert [s.value for s in graded(task, samples, texts, sandbox)] == [1.0] * len(samples)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", " \n\t "])
def test_an_empty_answer_scores_zero_and_says_why(
    name: str, text: str, sandbox: SandboxBackend
) -> None:
    task = loaded(name)
    if task.multi_turn:
        pytest.skip("multi-turn")
    samples = list(task.items[:FEW])
    for sample, score in zip(
        samples, graded(task, samples, [text] * len(samples), sandbox), strict=True
    ):
        assert (score.value, bool(score.reason)) == (0.0, True), sample.id


@pytest.mark.parametrize("name", NAMES)
def test_prompts_change_only_together_with_the_version(name: str) -> None:
    task = loaded(name)
    if task.multi_turn:
        pytest.skip("multi-turn")
    golden = json.loads(GOLDEN.read_text()).get(name)
    assert golden is not None, f"write {GOLDEN.name} anew: '{name}' is not in it"
    assert golden == {"version": task.version, "prompts": prompts_hash(task)}, (
        "prompts or settings changed: raise the task's version, then write the file anew"
    )


if __name__ == "__main__":
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    for each in NAMES:
        found = tasks.get(each)
        if not found.multi_turn:
            try:
                known[each] = {"version": found.version, "prompts": prompts_hash(found)}
            except UsageError as error:
                print(f"{each}: left as it was ({error})")
    GOLDEN.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
