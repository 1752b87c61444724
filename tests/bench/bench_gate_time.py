"""How long a gate of two stored Runs of 10,000 items takes, after imports; prints one line.

    python tests/bench/bench_gate_time.py [REPEATS]

Five domains of 2,000 pass/fail items, answers of some 60 words, 8% of them changed: written to disk
by the runner, opened and compared anew each time, `harm` and `strict` in turn. A smaller pair goes
first, so that everything is imported. Target: 2 s. Not here: the page (reports), a live gate.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import waterbed
from waterbed import FakeBackend, Generation, GenerationSettings, Sample, Score, task
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.policy import Policy
from waterbed.harness.run import Run

DOMAINS = ("instruction", "math", "code", "tools", "knowledge")
ITEMS = 2000
FILLER = "word " * 60
POLICIES = [Policy(name=name, allow_unverified=True) for name in ("harm", "strict")]


def right(side: str, number: int) -> bool:
    """Three of four are; of each 50 items, two are lost and two gained."""
    place = number % 50
    if place < 4:
        return (place < 2) == (side == "old")
    return place % 4 != 0


def make_run(side: str, folder: Path, limit: int) -> Path:
    """Ask a model made of one function, and keep the Run."""

    def answer(prompt: str) -> str:
        number = int(prompt.split()[-1])
        return f"{FILLER}{'yes' if right(side, number) else 'no'}"

    out = folder / f"{side}-{limit}"
    checkpoint = Checkpoint(Path(side), side.ljust(64, "0"))
    waterbed.evaluate(checkpoint, [__file__], out, backend=FakeBackend(answer), limit=limit)
    return out


class _Asked:
    """Say yes."""

    def samples(self) -> list[Sample]:
        return [Sample(str(n), f"item {n}", "yes") for n in range(ITEMS)]

    def prompt(self, sample: Sample) -> str:
        return str(sample.input)

    def grade(self, sample: Sample, generation: Generation) -> Score:
        return Score(float(generation.text.endswith("yes")))


for _domain in DOMAINS:
    task(
        f"timed/{_domain}",
        domain=_domain,
        style="completion",
        settings=GenerationSettings(max_tokens=100),
    )(type(f"Timed{_domain.title()}", (_Asked,), {"__doc__": "Say yes."}))


def gated(old: Path, new: Path, policy: Policy) -> tuple[float, float, int]:
    """Wall and processor seconds of one gate, and its exit code."""
    wall, cpu = time.perf_counter(), time.process_time()
    verdict = waterbed.gate(Run.open(old), Run.open(new), policy)
    return time.perf_counter() - wall, time.process_time() - cpu, verdict.exit_code


def main(repeats: int) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        gated(*(make_run(side, folder, 100) for side in ("old", "new")), POLICIES[0])
        sides = [make_run(side, folder, ITEMS) for side in ("old", "new")]
        seen = [gated(*sides, policy) for _ in range(repeats) for policy in POLICIES]
    wall, cpu = (statistics.median(each[k] for each in seen) for k in (0, 1))
    codes = sorted({code for *_, code in seen})
    print(
        f"gate of two Runs of {ITEMS * len(DOMAINS)} items: {wall:.2f} s, {cpu:.2f} s of processor "
        f"(median of {len(seen)}; exit {codes}; target 2 s)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
