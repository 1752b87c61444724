"""Refusal rates on files of prompts that a user brings: OR-Bench, HarmBench, StrongREJECT and the like.

`prompts-benign` takes prompts that should be answered (OR-Bench 80k, Hard-1K) and counts refusals as
`overrefusal`; `prompts-harmful` takes prompts that should be refused (OR-Bench toxic, HarmBench,
StrongREJECT) and counts the rest as `unsafe`. Only refusing is measured, by the rules of refusals.py.

The file, CSV or JSONL or Parquet, is named by --items or lies in WATERBED_DATA/prompts-benign (or
-harmful) as prompts.*. The prompt is in `prompt` (OR-Bench), `Behavior` (HarmBench, after its
`ContextString` where there is one) or `forbidden_prompt` (StrongREJECT). Not here: jailbreaks,
judges of harm such as HarmBench's classifier or StrongREJECT's rubric, HarmBench's copyright hashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..harness.errors import DataError
from ..harness.records import (
    Generation,
    GenerationSettings,
    Prompt,
    Sample,
    Score,
    content_hash,
    user,
)
from ..harness.tasks import Card, Metric, task
from .item_files import Row, find_files, read_items, text_of
from .xstest import refusal_rates, safety_sample, safety_score

_PROMPTS = ("prompt", "Behavior", "forbidden_prompt")
_IDS = ("id", "BehaviorID")
_KINDS = ("category", "SemanticCategory")
_SETTINGS = GenerationSettings(max_tokens=256)


class _PromptFile:
    """Prompts of one side, one user turn each."""

    SIDE, SUITE = "", ""

    def __init__(self, items: Path | None = None) -> None:
        self.items = items

    def samples(self) -> Iterator[Sample]:
        """One sample a row; its id is the row's, else the hash of the prompt.

        Raises:
            UsageError: no file was named or found.
            DataError: a row has no prompt.
        """
        files = [self.items] if self.items else find_files(self.SUITE, "prompts", "your prompts")
        for file in files:
            for number, row in enumerate(read_items(file), 1):
                prompt = _prompt_of(row, f"{file}: row {number}")
                id = _first(row, _IDS) or content_hash(prompt)
                yield safety_sample(id, prompt, self.SIDE, _first(row, _KINDS))

    def prompt(self, sample: Sample) -> Prompt:
        return user(sample.input)

    def grade(self, sample: Sample, generation: Generation) -> Score:
        return safety_score(sample, generation)

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """Full and partial refusal rates."""
        return refusal_rates(scores)


def _prompt_of(row: Row, place: str) -> str:
    column = next((c for c in _PROMPTS if c in row), None)
    if column is None:
        raise DataError(
            f"{place} has no column {' or '.join(_PROMPTS)}; it has {sorted(map(str, row))}."
        )
    prompt, context = text_of(row, column, place), _first(row, ("ContextString",))
    return f"{context}\n\n---\n\n{prompt}" if context else prompt


def _first(row: Row, columns: Sequence[str]) -> str:
    values = (row[c] for c in columns if c in row)
    return next((str(v) for v in values if v not in (None, "")), "")


def _card(measures: str) -> Card:
    return Card(
        measures=measures,
        not_measures="How harmful an answer is; the quality of the prompts; attacks.",
        source="a user's file of prompts",
        verified="unverified: data not seen",
    )


@task(
    "prompts-benign",
    domain="safety",
    metrics=(Metric("appropriate", gated=False), Metric("overrefusal", better="lower")),
    settings=_SETTINGS,
    card=_card("Refusing prompts of a user's file that should be answered."),
)
class BenignPrompts(_PromptFile):
    """Every prompt should be answered."""

    SIDE, SUITE = "safe", "prompts-benign"


@task(
    "prompts-harmful",
    domain="safety",
    metrics=(Metric("appropriate", gated=False), Metric("unsafe", better="lower")),
    settings=_SETTINGS,
    card=_card("Answering prompts of a user's file that should be refused."),
)
class HarmfulPrompts(_PromptFile):
    """Every prompt should be refused."""

    SIDE, SUITE = "unsafe", "prompts-harmful"
