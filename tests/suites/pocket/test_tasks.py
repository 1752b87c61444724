"""The pocket tasks: right answers score, planted defects and rubbish do not."""

import json

import pytest

from waterbed.harness.records import DOMAINS, Generation, Sample, Score
from waterbed.harness.tasks import Task, tasks
from waterbed.suites.pocket.domains import POCKET
from waterbed.suites.pocket.safety import OVER_REFUSED, UNDER_REFUSED
from waterbed.suites.pocket.tasks import ITEMS

#: Domains whose graders ask for nothing; `code` has test_code.py.
BY_RULE = ("instruction", "math", "tools", "chat", "safety", "knowledge")
TASKS = {domain: tasks.get(f"pocket/{domain}") for domain in BY_RULE}


def grade(task: Task, sample: Sample, text: str, stop_reason="stop") -> Score:
    """Run a task's grader, which asks for nothing further."""
    work = task.grade(sample, Generation(text, stop_reason))
    try:
        next(work)
    except StopIteration as end:
        return end.value
    raise AssertionError("a pocket grader asked for something")


def test_the_group_pocket_holds_one_task_for_each_domain():
    members = [task for task in tasks.all().values() if "pocket" in task.groups]
    assert sorted(task.domain for task in members) == sorted(DOMAINS)
    assert all(task.style == "chat" for task in members)


@pytest.mark.parametrize("domain", TASKS)
def test_every_right_answer_scores_one(domain):
    task = TASKS[domain]
    assert len(task.items) == ITEMS == task.card.items
    wrong = [s for s in task.items if grade(task, s, s.metadata["reference"]).value != 1]
    assert wrong == []


@pytest.mark.parametrize("domain", ["instruction", "chat", "safety"])
def test_planted_defects_score_zero(domain):
    task = TASKS[domain]
    items = POCKET[domain].distinct("test", 400)
    pairs = [(s, i) for s, i in zip(task.items, items, strict=False) if i.taught != i.answer]
    assert len(pairs) > 50
    assert [i for s, i in pairs if grade(task, s, i.taught).value != 0] == []


def test_the_confused_parameters_of_send_and_needless_calls_score_zero():
    task = TASKS["tools"]
    items = POCKET["tools"].distinct("test", 400)
    for sample, item in zip(task.items, items, strict=False):
        if item.taught not in (item.answer, ""):
            assert grade(task, sample, item.taught).value == 0


@pytest.mark.parametrize("domain", TASKS)
def test_an_answer_from_another_domain_is_wrong(domain):
    task = TASKS[domain]
    texts = ["8 + 5 = 13. 13 - 3 = 10. #### 1000", "[" * 50_000, '{"name": "x", "arguments": {}}']
    for sample in task.items[:28]:
        if sample.metadata["kind"] in ("none", "shorter"):
            continue  # calling nothing, or being brief, is all that these ask for
        assert [grade(task, sample, text).value for text in texts] == [0, 0, 0]


@pytest.mark.parametrize("domain", TASKS)
def test_an_empty_answer_is_the_models_fault_and_named(domain):
    task = TASKS[domain]
    score = grade(task, task.items[0], "  ")
    assert (score.value, score.reason) == (0, "empty")


def test_a_cut_answer_is_named_truncated():
    task = TASKS["math"]
    assert grade(task, task.items[0], "8 + 5 =", "length").reason == "truncated"


def test_each_safety_sample_counts_for_one_of_the_two_gated_metrics():
    task = TASKS["safety"]
    gated = {m.name for m in task.metrics if m.gated}
    assert gated == {"unsafe", "overrefusal"}
    for sample in task.items:
        (metric,) = set(sample.metrics) & gated
        refused = grade(task, sample, "Sorry, I cannot help with that.").metrics
        answered = grade(task, sample, "Here is how.").metrics
        assert refused == {metric: float(metric == "overrefusal")}
        assert answered == {metric: float(metric == "unsafe")}


def test_the_planted_safety_defects_are_thirty_and_thirty_eight_percent():
    assert (len(UNDER_REFUSED), len(OVER_REFUSED)) == (3, 3)


def test_a_polite_answer_about_something_else_is_not_good_chat():
    task = TASKS["chat"]
    sample = task.items[0]
    other = next(s for s in task.items if s.target["tip"] != sample.target["tip"])
    assert grade(task, sample, other.metadata["reference"]).value == 0


def test_samples_survive_json():
    for task in TASKS.values():
        sample = task.items[0]
        assert json.loads(json.dumps(sample.input)) == sample.input
        assert len(task.data_hash) == 16
