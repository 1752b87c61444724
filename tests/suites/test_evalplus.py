"""EvalPlus's format runs both input sets and compares as its authors do; problems here are hand-written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.backends.sandbox import SandboxBackend
from waterbed.harness.errors import DataError, InstrumentError, UsageError
from waterbed.harness.records import Generation, Score
from waterbed.harness.rewards import reward
from waterbed.harness.tasks import Task, resolve
from waterbed.suites.evalplus_rules import close, restored, right

HALF: dict[str, Any] = {
    "task_id": "HumanEval/900",
    "prompt": "import math\n\n\ndef half(x):\n    '''Half of x.'''\n",
    "entry_point": "half",
    "canonical_solution": "    return x / 2\n",
    "base_input": [[4], [7.0]],
    "plus_input": [[-2], [float("inf")], [1e9]],
    "atol": 0,
}
SHARED = {
    **HALF,
    "task_id": "Mbpp/2",
    "prompt": '"""\nWrite a function to find the shared elements of two tuples.\n"""\n',
    "entry_point": "similar_elements",
    "canonical_solution": "def similar_elements(a, b):\n    return tuple(set(a) & set(b))\n",
    "base_input": [[[1, 2], [2, 3]]],
    "plus_input": [[[], [1]]],
}


def on(name: str, tmp_path: Path, *problems: dict[str, Any]) -> Task:
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(p) + "\n" for p in problems))
    return resolve([name])[0].on(file)


def graded(task: Task, answers: list[str], sandbox: SandboxBackend) -> list[Score]:
    samples = [task.items[0]] * len(answers)
    return reward(task, samples, [Generation(a) for a in answers], {"sandbox": sandbox})


def test_base_and_added_inputs_are_scored_apart(tmp_path: Path, sandbox: SandboxBackend) -> None:
    answers = [
        "    return 0.5 * x\n",
        "    return abs(x) / 2\n",
        "    return x // 2\n",
        "    return x / 2 + 1e-8\n",
        "    return\n  syntax error",
        "",
        "    import os\n    os._exit(0)\n",
    ]
    scores = graded(on("humaneval-plus", tmp_path, HALF), answers, sandbox)
    assert [s.value for s in scores] == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert [s.metrics["base"] for s in scores] == [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert {s.detail["integrity"] for s in scores} == {"split"}
    assert "input 0: wrong result" in scores[1].detail["said"]


def test_a_chat_answers_first_block_is_run_after_the_prompt(
    tmp_path: Path, sandbox: SandboxBackend
) -> None:
    task = on("humaneval-plus-chat", tmp_path, HALF)
    answers = [
        "Sure:\n```python\ndef half(x):\n    return math.ldexp(x, -1)\n```\nDone.",
        "No.",
    ]
    assert [s.value for s in graded(task, answers, sandbox)] == [1.0, 0.0]
    (message,) = task.body.prompt(task.items[0])
    assert "def half(x):" in message.content


def test_mbpp_arguments_are_tuples_again_and_results_compared_as_sets(
    tmp_path: Path, sandbox: SandboxBackend
) -> None:
    head = "def similar_elements(a, b):\n    assert type(a) is tuple\n"
    answers = [f"{head}    return [x for x in a if x in b] * 2\n", f"{head}    return a\n"]
    task = on("mbpp-plus", tmp_path, SHARED)
    assert [s.value for s in graded(task, answers, sandbox)] == [1.0, 0.0]
    blocks = [f"```python\n{answer}```" for answer in answers]
    chat = on("mbpp-plus-chat", tmp_path, SHARED)
    assert [s.value for s in graded(chat, blocks, sandbox)] == [1.0, 0.0]


@pytest.mark.parametrize("broken", ["    return 1 / 0\n", "    return (\n"])
def test_a_failing_reference_is_not_the_programs_fault(
    broken: str, tmp_path: Path, sandbox: SandboxBackend
) -> None:
    task = on("humaneval-plus", tmp_path, {**HALF, "canonical_solution": broken})
    with pytest.raises(InstrumentError, match="sandbox_error"):
        graded(task, ["    return x / 2\n"], sandbox)


def test_the_test_is_out_of_the_programs_reach(tmp_path: Path, sandbox: SandboxBackend) -> None:
    cheat = "    import sys, gc\n    assert not [m for m in sys.modules if 'evalplus' in m]\n"
    cheat += (
        "    return [o for o in gc.get_objects() if isinstance(o, dict) and 'solution' in o][0]\n"
    )
    (score,) = graded(on("humaneval-plus", tmp_path, HALF), [cheat], sandbox)
    assert score.value == 0.0
    assert "IndexError" in score.detail["said"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base_input": []}, "'base_input', not empty"),
        ({"plus_input": "x"}, "'plus_input'"),
        ({"atol": "1"}, "tolerance '1'"),
        ({"entry_point": ""}, "problem 1 lacks the text 'entry_point'"),
    ],
)
def test_a_malformed_problem_is_named(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        _ = on("mbpp-plus", tmp_path, {**SHARED, **change}).items


def test_missing_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATERBED_DATA", raising=False)
    with pytest.raises(UsageError, match=r"evalplus/MbppPlus\.jsonl or .*--items"):
        list(resolve(["mbpp-plus"])[0].body.samples())


@pytest.mark.parametrize(
    ("task_id", "entry", "args", "got", "wanted", "verdict"),
    [
        ("HumanEval/1", "f", [], 1.0000005, 1.0, True),
        ("HumanEval/1", "f", [], 1.000002, 1.0, False),
        ("HumanEval/1", "f", [], 1, 1.0, True),
        ("HumanEval/1", "f", [], 2, 1.0, False),
        ("HumanEval/1", "f", [], [1.0000005], [1.0], True),
        ("HumanEval/1", "f", [], (1.0,), [1.0], False),
        ("HumanEval/1", "f", [], [1.0], [1.0, 2.0], False),
        ("HumanEval/1", "f", [], float("nan"), float("nan"), False),
        ("HumanEval/1", "f", [], float("inf"), float("inf"), True),
        ("HumanEval/1", "f", [], 5.0, float("inf"), False),
        ("HumanEval/32", "find_zero", [[-2, 1]], 2.0, None, True),
        ("HumanEval/32", "find_zero", [[-2, 1]], 2.1, None, False),
        ("HumanEval/1", "sum_div", [1], 0, 5, False),
        ("Mbpp/295", "sum_div", [1], 0, 5, True),
        ("Mbpp/164", "are_equivalent", [1, 2], "x", True, True),
        ("Mbpp/581", "surface_Area", [3, 4], 34, 33, False),
        ("Mbpp/558", "digit_distance_nums", [1, 23], 4, 1, True),
        ("Mbpp/558", "digit_distance_nums", [1, 23], 5, 1, False),
        ("Mbpp/16", "check_str", ["a"], "match", True, True),
        ("Mbpp/16", "check_str", ["a"], False, True, False),
        ("Mbpp/16", "check_str", ["a"], None, False, True),
        ("Mbpp/2", "similar_elements", [], [2, 2, 1], (1, 2), True),
    ],
)
def test_results_are_compared_by_the_authors_rules(
    task_id: str, entry: str, args: list[Any], got: object, wanted: object, verdict: bool
) -> None:
    atol = 1e-4 if entry == "find_zero" else 0
    problem = {"task_id": task_id, "entry_point": entry, "atol": atol}
    assert right(problem, args, got, wanted) is verdict


def test_a_pyramid_may_be_measured_to_its_tip() -> None:
    problem = {"task_id": "Mbpp/581", "entry_point": "surface_Area", "atol": 0}
    assert right(problem, [6, 4], 96, 0)
    assert not right(problem, [6, 4], 97, 0)


@pytest.mark.parametrize(
    ("number", "given", "wanted"),
    [
        ("2", [[1], [2]], [(1,), (2,)]),
        ("63", [[[1], [2]]], [[(1,), (2,)]]),
        ("75", [[[1]], 3], [[(1,)], 3]),
        ("106", [[1], [2]], [[1], (2,)]),
        ("115", [[[1, 1], []]], [[{1}, {}]]),
        ("124", ["1", "1j"], [1.0, 1j]),
        ("250", [[1], 2], [(1,), 2]),
        ("252", ["1+2j"], [1 + 2j]),
        ("259", [[[1], [2]]], [((1,), (2,))]),
        ("278", [[[1], 2]], [((1,), 2)]),
        ("307", [[1], 2, 3], [(1,), 2, 3]),
        ("580", [[[1], 2]], (((1,), 2),)),
        ("722", [{"a": [1]}, 2], [{"a": (1,)}, 2]),
        ("3", [[1]], [[1]]),
    ],
)
def test_argument_types_are_restored_by_problem(number: str, given: Any, wanted: Any) -> None:
    (found,) = restored(f"Mbpp/{number}", [given])
    assert found == wanted
    assert type(found) is type(wanted)
    assert restored(f"HumanEval/{number}", [given]) == [given]


NUMBERS = st.recursive(st.integers(-9, 9) | st.floats(), lambda s: st.lists(s, max_size=3))


@settings(max_examples=300, deadline=None)
@given(NUMBERS, NUMBERS)
def test_closeness_is_numpys_wherever_the_shapes_agree(got: Any, wanted: Any) -> None:
    import numpy as np

    try:
        left, other = np.array(got, dtype=float), np.array(wanted, dtype=float)
    except ValueError:  # ragged
        return
    if left.shape == other.shape and left.size:
        assert close(got, wanted, 1e-6) == np.allclose(left, other, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("answer", ["(" * 100_000, "\ud800\0", "x" * 10_000_000, "```\n" * 100_000])
def test_hostile_answers_fail_as_programs_do(
    answer: str, tmp_path: Path, sandbox: SandboxBackend
) -> None:
    for name in ("humaneval-plus", "humaneval-plus-chat"):
        (score,) = graded(on(name, tmp_path, HALF), [answer], sandbox)
        assert (score.value, score.metrics["base"]) == (0.0, 0.0)
        assert score.reason in ("failed", "crashed", "limit")
