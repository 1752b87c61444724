"""HumanEval+ and MBPP+: the problems of HumanEval and MBPP with many more tests (Liu et al., 2023, arXiv:2305.01210).

A program must give the reference solution's results, within tolerances, on the original inputs (`base`) and
on the added ones as well (`plus`, the headline). Inputs, reference solution and comparison run in the sandbox,
in another process than the program.

Differences from the authors' harness: all inputs of a set share one time limit (8 s and 20 s), where there
each has its own; a chat answer's first code block is taken whole instead of being trimmed by its syntax
tree, and the problem's prompt with its imports stands before it.

Data: HumanEvalPlus*.jsonl and MbppPlus*.jsonl in WATERBED_DATA/evalplus (assets of the releases v0.1.10 and
v0.2.0, unpacked), or --items. A sample's id is its task_id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from ..harness.errors import DataError
from ..harness.records import (
    Conversation,
    Generation,
    GenerationSettings,
    Prompt,
    Sample,
    user,
)
from ..harness.sandbox.program import Call, Limits, Program
from ..harness.tasks import Card, Metric, task
from .item_files import Row, find_files, read_items, text_of
from .programs import code_block, execute

#: For all inputs of a set together, reference solution included; memory as the authors'.
LIMITS = {
    "base": Limits(wall_s=8.0, memory_bytes=4 << 30),
    "plus": Limits(wall_s=20.0, memory_bytes=4 << 30),
}
_ENDS = ("\nif __name__", "\ndef main(", "\nprint(")
#: What ends a completion of a raw prompt (evalplus/provider/utility.py).
STOP_HUMANEVAL = (*_ENDS, "\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ")
STOP_MBPP = (*_ENDS, '\n"""', "\nassert")


@cache
def _rules() -> str:
    return Path(__file__).with_name("evalplus_rules.py").read_text("utf-8")


def _sample(row: Row, place: str) -> Sample:
    """A row as a sample; inputs stay JSON text, which may hold NaN.

    Raises:
        DataError: a field is missing or of another type.
    """
    prompt, entry = text_of(row, "prompt", place), text_of(row, "entry_point", place)
    solution = text_of(row, "canonical_solution", place)
    sets = {name: row.get(f"{name}_input") for name in ("base", "plus")}
    if not all(isinstance(inputs, list) for inputs in sets.values()) or not sets["base"]:
        raise DataError(f"{place} needs the lists 'base_input', not empty, and 'plus_input'.")
    if not isinstance(atol := row.get("atol", 0), (int, float)):
        raise DataError(f"{place} has the tolerance {atol!r}, expected a number.")
    target = {
        "entry_point": entry,
        "solution": prompt + solution,
        "atol": atol,
        "base": json.dumps(sets["base"]),
        "plus": json.dumps(sets["plus"]) if sets["plus"] else "",
    }
    return Sample(text_of(row, "task_id", place), prompt, target)


def program(sample: Sample, completion: str, inputs: str) -> Program:
    """The program of one answer with its test on one set of inputs, `base` or `plus`."""
    known = {name: sample.target[name] for name in ("entry_point", "solution", "atol")}
    problem = json.dumps({"task_id": sample.id, **known})
    call = (
        f"judge({{**parsed({problem!r}), 'inputs': parsed({sample.target[inputs]!r})}}, candidate)"
    )
    return Program(
        prompt=sample.input,
        completion=completion,
        check=Call(f"{_rules()}\n\ndef check(candidate):\n    {call}\n"),
        entry_point=sample.target["entry_point"],
        limits=LIMITS[inputs],
    )


def grade_program(sample: Sample, completion: str) -> Conversation:
    """Run the base inputs, and the added ones where those pass."""
    base = yield from execute(program(sample, completion, "base"))
    if base.value != 1.0 or not sample.target["plus"]:
        return replace(base, metrics={"base": base.value or 0.0})
    plus = yield from execute(program(sample, completion, "plus"))
    return replace(plus, metrics={"base": 1.0})


class _Problems:
    """The problems, official or from a user's file in the same format; the raw prompt is continued."""

    STEM, WHERE = "", ""

    def __init__(self, items: Path | None = None) -> None:
        self.items = items

    def samples(self) -> Iterator[Sample]:
        """One sample a problem.

        Raises:
            UsageError: no file was named or found.
            DataError: a row lacks a field.
        """
        files = [self.items] if self.items else find_files("evalplus", self.STEM, self.WHERE)
        for file in files:
            for number, row in enumerate(read_items(file), 1):
                yield _sample(row, f"{file}: problem {number}")

    def prompt(self, sample: Sample) -> Prompt:
        return str(sample.input)

    def grade(self, sample: Sample, generation: Generation) -> Conversation:
        return grade_program(sample, generation.text)


def chat_prompt(sample: Sample) -> Prompt:
    """One turn that asks for the whole program in a code block."""
    asked = (
        "Write a self-contained Python script that solves this problem. Answer with one code block."
    )
    return user(f"{asked}\n\n```python\n{sample.input.strip()}\n```")


def grade_chat(sample: Sample, generation: Generation) -> Conversation:
    """Grade the first code block, after the prompt: a function defined again replaces its signature."""
    return grade_program(sample, f"\n{code_block(generation.text)}")


def _card(measures: str, release: str, items: int, reference: dict[str, float]) -> Card:
    return Card(
        measures=measures,
        not_measures="Larger programs, other languages; the problems are widely leaked.",
        source=f"github.com/evalplus/{release}",
        licence="Apache-2.0",
        items=items,
        reference=reference,
        verified="unverified: data not seen",
    )


_METRICS = (Metric("plus"), Metric("base", gated=False))
_SETTINGS = GenerationSettings(max_tokens=1024)
_HUMANEVAL_CARD = _card(
    "Writing one Python function from its signature and docstring, with some 80 times more tests.",
    "humanevalplus_release",
    164,
    {"GPT-4 (May 2023)": 0.793},
)
_MBPP_CARD = _card(
    "Writing one short Python function from a sentence and an example, with some 35 times more tests.",
    "mbppplus_release",
    378,
    {},
)


@task(
    "humaneval-plus",
    domain="code",
    style="completion",
    metrics=_METRICS,
    settings=replace(_SETTINGS, stop=STOP_HUMANEVAL),
    roles=("sandbox",),
    card=_HUMANEVAL_CARD,
)
class HumanEvalPlus(_Problems):
    """HumanEval+, the raw prompt continued."""

    STEM = "HumanEvalPlus"
    WHERE = "HumanEvalPlus-v0.1.10.jsonl of github.com/evalplus/humanevalplus_release, unpacked,"


@task(
    "humaneval-plus-chat",
    domain="code",
    metrics=_METRICS,
    settings=_SETTINGS,
    roles=("sandbox",),
    card=_HUMANEVAL_CARD,
)
class HumanEvalPlusChat(HumanEvalPlus):
    """HumanEval+ for chat models."""

    def prompt(self, sample: Sample) -> Prompt:
        return chat_prompt(sample)

    def grade(self, sample: Sample, generation: Generation) -> Conversation:
        return grade_chat(sample, generation)


@task(
    "mbpp-plus",
    domain="code",
    style="completion",
    metrics=_METRICS,
    settings=replace(_SETTINGS, stop=STOP_MBPP),
    roles=("sandbox",),
    card=_MBPP_CARD,
)
class MbppPlus(_Problems):
    """MBPP+, the raw prompt continued."""

    STEM = "MbppPlus"
    WHERE = "MbppPlus-v0.2.0.jsonl of github.com/evalplus/mbppplus_release, unpacked,"


@task(
    "mbpp-plus-chat",
    domain="code",
    metrics=_METRICS,
    settings=_SETTINGS,
    roles=("sandbox",),
    card=_MBPP_CARD,
)
class MbppPlusChat(MbppPlus):
    """MBPP+ for chat models."""

    def prompt(self, sample: Sample) -> Prompt:
        return chat_prompt(sample)

    def grade(self, sample: Sample, generation: Generation) -> Conversation:
        return grade_chat(sample, generation)
