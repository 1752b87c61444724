"""HumanEval's own solutions pass at every level, and the recorded verdicts are reproduced."""

from __future__ import annotations

import gzip
import json
import os
import textwrap
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.sandbox import Call, Limits, Program, Sandbox

#: Completion variants by name, as the recorded verdicts describe them. `no_indent` is known from the
#: recorded messages, which name the line of each syntax error; `os_exit_try` from its recorded
#: time-out, for the reference takes a process that vanished for one; `trailing_junk_after_stop` must
#: begin with a stop string and pass.
VARIANTS = {
    "empty": lambda problem: "",
    "pass_stmt": lambda problem: "    pass\n",
    "return_none": lambda problem: "    return None\n",
    "whole_function_repeated": lambda problem: "\n" + problem["prompt"] + _solution(problem),
    "fenced": lambda problem: f"```python\n{problem['prompt']}{_solution(problem)}```\n",
    "raises": lambda problem: "    raise ValueError('x')\n",
    "trailing_syntax_error": lambda problem: _solution(problem) + "\ndef (:\n",
    "infinite_loop": lambda problem: "    while True:\n        pass\n",
    "sys_exit": lambda problem: "    import sys\n    sys.exit(0)\n",
    "input_stdin": lambda problem: "    return input()\n",
    "no_indent": lambda problem: textwrap.dedent(_solution(problem)),
    "trailing_junk_after_stop": lambda problem: _solution(problem) + "\nprint('junk')\n# junk\n",
    "os_exit_try": lambda problem: (
        "    import os\n    try:\n        os._exit(0)\n    except BaseException:\n        pass\n"
    ),
}


def _solution(problem: dict[str, Any]) -> str:
    return str(problem["canonical_solution"])


@pytest.fixture(scope="session")
def problems() -> list[dict[str, Any]]:
    path = Path(os.environ.get("WATERBED_DATA", "/nowhere")) / "humaneval" / "HumanEval.jsonl.gz"
    if not path.exists():
        pytest.skip("no HumanEval.jsonl.gz under WATERBED_DATA")
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def _program(problem: dict[str, Any], completion: str, wall_s: float = 10.0) -> Program:
    limits = Limits(wall_s=wall_s)
    check = Call(problem["test"])
    return Program(problem["prompt"], completion, check, problem["entry_point"], limits)


def test_every_canonical_solution_passes(sandbox: Sandbox, problems: list[dict[str, Any]]) -> None:
    programs = [_program(problem, _solution(problem)) for problem in problems]
    found = [(problems[index]["task_id"], e) for index, e in sandbox.run(programs) if not e.passed]
    assert found == []
    assert len(problems) == 164


@pytest.mark.parametrize("variant", VARIANTS)
def test_recorded_verdicts_of_variants_are_reproduced(
    any_sandbox: Sandbox, problems: list[dict[str, Any]], variant: str
) -> None:
    path = Path(os.environ.get("WATERBED_VECTORS", "/nowhere")) / "humaneval.json"
    if not path.exists():
        pytest.skip("no humaneval.json under WATERBED_VECTORS")
    recorded = json.loads(path.read_text())["variants"]
    assert set(recorded) == set(VARIANTS)
    verdicts = recorded[variant]
    asked = [problem for problem in problems if problem["task_id"] in verdicts]
    wall_s = 1.0 if variant == "infinite_loop" else 10.0
    programs = [_program(problem, VARIANTS[variant](problem), wall_s) for problem in asked]
    disagreements = {
        asked[index]["task_id"]: execution
        for index, execution in any_sandbox.run(programs)
        if execution.passed != verdicts[asked[index]["task_id"]]["passed"]
        or execution.outcome == "sandbox_error"
    }
    assert disagreements == {}
    assert len(asked) == len(verdicts) > 0
