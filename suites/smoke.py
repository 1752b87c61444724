"""The group `smoke`: a few items of four benchmarks, to see in minutes that a checkpoint and this machine work.

Forty items a benchmark, chosen by the hash of their ids, and answers of at most 256 tokens. A slice is
too small for a gate to see anything but a collapse, and its figure compares with its own alone: cut
answers and few items are other conditions than the benchmark's. `core` and `full` are the groups for
gates; each task names its groups where it is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ..harness.records import Sample, content_hash
from ..harness.tasks import task, tasks
from .gsm8k import GSM8KZeroShot
from .humaneval import HumanEvalChat
from .ifeval import IFEval
from .xstest import XSTest

ITEMS = 40
MAX_TOKENS = 256


def few(samples: Iterable[Sample]) -> list[Sample]:
    """ITEMS samples, the same ones always, whatever their order."""
    return sorted(samples, key=lambda sample: content_hash(sample.id))[:ITEMS]


def _slice_of(name: str) -> Callable[[type], type]:
    """Register a class as the slice of a benchmark, with its settings but for MAX_TOKENS."""
    whole = tasks.get(name)
    return task(
        f"smoke/{name}",
        domain=whole.domain,
        version=whole.version,
        style=whole.style,
        metrics=whole.metrics,
        settings=replace(whole.settings, max_tokens=MAX_TOKENS),
        roles=whole.roles,
        groups=("smoke",),
        card=replace(
            whole.card,
            not_measures=f"The benchmark's figure: {ITEMS} items, answers cut at {MAX_TOKENS} tokens.",
            items=ITEMS,
            reference={},
        ),
    )


@_slice_of("ifeval")
class SmokeIFEval(IFEval):
    """A slice of IFEval."""

    def samples(self) -> Iterator[Sample]:
        yield from few(super().samples())


@_slice_of("gsm8k-0shot")
class SmokeGSM8K(GSM8KZeroShot):
    """A slice of GSM8K in one chat turn."""

    def samples(self) -> Iterator[Sample]:
        yield from few(super().samples())


@_slice_of("humaneval-chat")
class SmokeHumanEval(HumanEvalChat):
    """A slice of HumanEval for chat models."""

    def samples(self) -> Iterator[Sample]:
        yield from few(super().samples())


@_slice_of("xstest")
class SmokeXSTest(XSTest):
    """A slice of XSTest, safe and unsafe prompts mixed."""

    def samples(self) -> Iterator[Sample]:
        yield from few(super().samples())
