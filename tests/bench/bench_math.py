r"""Grading of mathematics answers against math-verify and lm-eval's Minerva rule, on the same answers.

    PEER_PYTHON=python python tests/bench/bench_math.py [--rounds 3]

Graded are the answers with recorded grades of prm800k's own grader (WATERBED_VECTORS, math.jsonl) and
the 500 solutions of MATH-500 (WATERBED_DATA), which are right: texts in, verdicts out. Every side has
one comparison to warm up and then grades each answer once, in a process of its own, on one thread;
math-verify and lm-eval[math] lie in the environment of --peer-python. Of the phase only the wall
seconds count our sympy helper, of the whole both; peak memory counts it nowhere. Other graders answer
another question than prm800k's, so their verdicts need not be those recorded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from side_by_side import Phase, compare, report

Row = tuple[str, str, bool]
WARM_UP: Row = ("\\boxed{x+1}", "1+x", True)


def answers() -> list[Row]:
    """(text, gold answer, recorded verdict): the boxed answers with grades, then the solutions."""
    graded = (Path(os.environ["WATERBED_VECTORS"]) / "math.jsonl").read_text("utf-8").splitlines()
    solved = (Path(os.environ["WATERBED_DATA"]) / "math500" / "test.jsonl").read_text("utf-8")
    recorded = [row for row in map(json.loads, graded) if row["type"] == "grade"]
    rows = [(f"\\boxed{{{row['given']}}}", row["gold"], row["correct"]) for row in recorded]
    problems = map(json.loads, solved.splitlines())
    return rows + [(row["solution"], row["answer"], True) for row in problems]


def graded(grade: Callable[[str, str], bool]) -> None:
    """Be a side: grade all answers and say how long it took."""
    rows = answers()
    assert grade(*WARM_UP[:2])
    phase = Phase()
    found = [grade(text, gold) for text, gold, _ in rows]
    figures = phase.figures()
    same = sum(mine == recorded for mine, (*_, recorded) in zip(found, rows, strict=True))
    report(**figures, items=len(rows), output=f"{same} of {len(rows)} as recorded")


def ours(folder: Path) -> None:
    from waterbed.harness.records import Generation
    from waterbed.suites.math500 import grade_answer

    graded(lambda text, gold: grade_answer(gold, Generation(text)).value == 1.0)


def math_verify(folder: Path) -> None:
    from math_verify import parse, verify  # type: ignore[import-not-found]

    graded(lambda text, gold: bool(verify(parse(f"${gold}$"), parse(text))))


def minerva(folder: Path) -> None:
    from lm_eval.tasks.minerva_math import utils  # type: ignore[import-not-found]

    def grade(text: str, gold: str) -> bool:
        boxed = utils.last_boxed_only_string(text)
        said = utils.remove_boxed(boxed) if boxed else ""
        sides = (utils.normalize_final_answer(answer) for answer in (said, gold))
        return bool(utils.is_equiv(*sides))

    graded(grade)


if __name__ == "__main__":
    sides = {"waterbed": ours, "MATH-VERIFY": math_verify, "LM-EVAL MINERVA": minerva}
    compare(__file__, sides, lambda mine, other: other)
