"""HumanEval: 164 functions to complete, each with hidden tests, run in the sandbox.

`humaneval` continues the raw prompt as the paper does; `humaneval-chat` asks in a chat and takes the
first code block. The program is prompt + completion; the test defines `check` and is called with the
entry point (openai/human-eval, execution.py). Here test and program never share a process. Not here:
the extra tests of HumanEval+.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..harness.errors import DataError
from ..harness.folders import data_file
from ..harness.jsonl import read_jsonl
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
from .programs import code_block, execute

_COMMIT = "6d43fb980f9fee3c892a914eda09951f772ad10d"
_SHA256 = "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"
_FIELDS = ("task_id", "prompt", "entry_point", "test")
#: Seconds a program may take, the checker's own default.
LIMITS = Limits(wall_s=3.0)
#: What ends a completion of the raw prompt (Chen et al. 2021, section 2.2).
STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
_CARD = Card(
    measures="Writing one short Python function from its signature and docstring; pass@1.",
    not_measures="Larger programs, other languages; the tests are few, and the set is widely leaked.",
    source="openai/human-eval",
    licence="MIT",
    revision=_COMMIT,
    items=164,
    reference={"gpt-4o-2024-05-13": 0.910, "gpt-4o-mini": 0.872},
    verified="against the official checker's verdicts on 164 canonical solutions and 13 variants",
)


class _Problems:
    """The problems, official or from a user's file in the same format."""

    def __init__(self, items: Path | None = None) -> None:
        self.items = items

    def samples(self) -> Iterator[Sample]:
        """One sample a problem; its id is the task_id.

        Raises:
            DataError: a row of the user's file lacks a field.
        """
        for number, row in enumerate(self._rows(), 1):
            lacks = [f for f in _FIELDS if not isinstance(row.get(f), str)]
            if lacks:
                raise DataError(
                    f"{self.items}: problem {number} lacks the text '{lacks[0]}'; HumanEval's format "
                    f"has {', '.join(_FIELDS)}."
                )
            target = {"entry_point": row["entry_point"], "test": row["test"]}
            known = {"reference": row.get("canonical_solution")}
            yield Sample(str(row["task_id"]), row["prompt"], target, known)

    def _rows(self) -> Iterator[Mapping[str, object]]:
        if self.items is not None:
            yield from read_jsonl(self.items)
            return
        where = f"data/HumanEval.jsonl.gz of openai/human-eval @ {_COMMIT}"
        file = data_file("humaneval/HumanEval.jsonl.gz", _SHA256, where)
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines)

    def reference(self, sample: Sample) -> str | None:
        """The canonical solution, which continues the prompt."""
        return sample.metadata["reference"]  # type: ignore[no-any-return]


def program(sample: Sample, completion: str) -> Program:
    """The program of one answer, with its hidden test."""
    return Program(
        prompt=sample.input,
        completion=completion,
        check=Call(sample.target["test"]),
        entry_point=sample.target["entry_point"],
        limits=LIMITS,
    )


@task(
    "humaneval",
    domain="code",
    style="completion",
    metrics=(Metric("pass@1"),),
    settings=GenerationSettings(max_tokens=1024, stop=STOP),
    roles=("sandbox",),
    groups=("core", "full"),
    card=_CARD,
)
class HumanEval(_Problems):
    """HumanEval as in the paper: continue the raw prompt, stop where the function ends."""

    def prompt(self, sample: Sample) -> Prompt:
        return str(sample.input)

    def grade(self, sample: Sample, generation: Generation) -> Conversation:
        return execute(program(sample, generation.text))


@task(
    "humaneval-chat",
    domain="code",
    metrics=(Metric("pass@1"),),
    settings=GenerationSettings(max_tokens=1024),
    roles=("sandbox",),
    card=_CARD,
)
class HumanEvalChat(_Problems):
    """HumanEval for chat models: the function whole, in a code block."""

    def prompt(self, sample: Sample) -> Prompt:
        asked = "Complete this Python function. Answer with the whole function in one code block."
        return user(f"{asked}\n\n```python\n{sample.input.rstrip()}\n```")

    def reference(self, sample: Sample) -> str | None:
        """The canonical solution as a whole function in a block."""
        body = super().reference(sample)
        return body and f"```python\n{sample.input}{body}\n```"

    def grade(self, sample: Sample, generation: Generation) -> Conversation:
        # A function that is defined again replaces the bare signature before it.
        return execute(program(sample, f"\n{code_block(generation.text)}"))
