"""Small tasks for the runner's own tests: a file a user could have written."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from waterbed import Generate, Generation, GenerationSettings, Sample, Score, task


@task(
    "toy/sums",
    domain="math",
    style="completion",
    settings=GenerationSettings(max_tokens=8),
    groups=("toy",),
)
class Sums:
    """Sums of two numbers."""

    def samples(self) -> list[Sample]:
        return [Sample(f"{a}+{b}", f"{a}+{b}=", str(a + b)) for a in range(8) for b in range(5)]

    def prompt(self, sample: Sample) -> str:
        return str(sample.input)

    def grade(self, sample: Sample, generation: Generation) -> Score:
        if generation.text == "raise":
            raise RuntimeError("the grader broke")
        return Score(float(generation.text == sample.target), extracted=generation.text)


@task("toy/dialogue", domain="chat", style="completion", groups=("toy",))
class Dialogue:
    """Two turns, then a judge."""

    def samples(self) -> list[Sample]:
        return [Sample(str(n), f"q{n}") for n in range(20)]

    def converse(self, sample: Sample) -> Generator[Generate, Any, Score]:
        first = yield Generate(f"{sample.input} first")
        second = yield Generate(f"{sample.input} after {first.text}")
        vote = yield Generate(f"judge {second.text}", role="judge")
        return Score(float(vote.text == "yes"), detail={"turns": [first.text, second.text]})
