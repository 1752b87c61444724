"""GSM8K: grade-school word problems, graded on the final number (Cobbe et al., 2021, arXiv:2110.14168).

Two tasks: `gsm8k` asks as lm-eval does (five worked examples, text to continue), `gsm8k-0shot` asks a
chat model in one turn. Both are graded by the same rule. A sample's id is its 0-based line number in
test.jsonl, "0" to "1318".

Three ways to read the final number, all pure functions: `strict_answer` (lm-eval's strict-match, the
headline), `flexible_answer` (lm-eval's flexible-extract, shown beside it) and `openai_answer` (the
authors'). None compares values: "18.0" is not "18", as in the references.

The data come from WATERBED_DATA/gsm8k (train.jsonl, test.jsonl) and from nowhere else. Not here: the
chain-of-thought variants gsm8k_cot and cot_llama.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from ..harness.errors import DataError
from ..harness.folders import data_file
from ..harness.jsonl import read_jsonl
from ..harness.records import Generation, GenerationSettings, Prompt, Sample, Score, user
from ..harness.tasks import Card, Metric, task

Row: TypeAlias = dict[str, Any]

_MARKED = re.compile(r"#### (-?[0-9.,]+)")
_NUMBER = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")

_COMMIT = "3101c7d5072418e28b9008a6636bde82a006892c"
_SHA256 = {
    "train": "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
    "test": "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
}


def strict_answer(text: str) -> str | None:
    """The number after the first `#### `, without `,`, `$` and one final `.`; None if there is none."""
    found = _MARKED.search(text)
    return _normalized(found[1]) if found else None


def flexible_answer(text: str) -> str | None:
    """The last thing that looks like a number, normalized as in `strict_answer`; None if none does."""
    found = _NUMBER.findall(text)
    return _normalized(found[-1]) if found else None


def openai_answer(text: str) -> str | None:
    """The number after the first `#### `, without `,` alone; None if there is none."""
    found = _MARKED.search(text)
    return found[1].replace(",", "") if found else None


def _normalized(number: str) -> str:
    return number.replace(",", "").replace("$", "").removesuffix(".")


def grade_answer(target: str, generation: Generation) -> Score:
    """Score an answer against the gold number, both read by the strict rule."""
    strict, flexible = strict_answer(generation.text), flexible_answer(generation.text)
    return Score(
        float(strict == target),
        _fault(strict, target, generation),
        extracted=strict,
        metrics={"flexible": float(flexible == target)},
        detail={"flexible": flexible},
    )


def _fault(strict: str | None, target: str, generation: Generation) -> str | None:
    if strict == target:
        return None
    if not generation.text.strip():
        return "empty"
    if strict is None:
        return "truncated" if generation.truncated else "unparsed"
    return "wrong"


def _rows(split: str) -> list[Row]:
    where = (
        f"grade_school_math/data/{split}.jsonl of github.com/openai/grade-school-math @ {_COMMIT}"
    )
    return list(read_jsonl(data_file(f"gsm8k/{split}.jsonl", _SHA256[split], where)))


class _Problems:
    """The test problems and their grading; how they are asked is the tasks' business."""

    def samples(self) -> Iterator[Sample]:
        for number, row in enumerate(_rows("test")):
            gold = strict_answer(row["answer"])
            if gold is None:
                raise DataError(
                    f"gsm8k/test.jsonl:{number + 1} has no '#### ' answer; get it again."
                )
            yield Sample(str(number), row["question"], gold)

    def grade(self, sample: Sample, generation: Generation) -> Score:
        return grade_answer(sample.target, generation)

    def reference(self, sample: Sample) -> str:
        """The last line that the rule wants."""
        return f"#### {sample.target}"


_METRICS = (Metric("strict"), Metric("flexible", gated=False))
_VERIFIED = (
    "against the authors' 5,276 labelled solutions (286, 515, 458 and 742 of 1,319 correct), and "
    "lm-eval 0.4.13's extraction"
)


def _card(how: str, verified: str) -> Card:
    return Card(
        measures=f"Multi-step arithmetic in words, {how}; the final number must follow '#### '.",
        not_measures="Whether the steps are right; mathematics beyond the four operations.",
        source="github.com/openai/grade-school-math",
        licence="MIT",
        revision=_COMMIT,
        items=1319,
        reference={
            "GPT-3 6B finetuned": 286 / 1319,
            "GPT-3 6B with verifier": 515 / 1319,
            "GPT-3 175B finetuned": 458 / 1319,
            "GPT-3 175B with verifier": 742 / 1319,
        },
        verified=verified,
    )


@task(
    "gsm8k",
    domain="math",
    style="completion",
    metrics=_METRICS,
    settings=GenerationSettings(max_tokens=256, stop=("Question:", "</s>", "<|im_end|>")),
    groups=("core", "full"),
    card=_card("after five worked examples", f"{_VERIFIED} and prompts"),
)
class GSM8K(_Problems):
    """GSM8K as lm-eval's task `gsm8k` (version 3) asks it.

    lm-eval draws each problem's five examples from the training split with one generator seeded 1234
    that runs through the problems in order, so they differ from problem to problem.
    """

    SHOTS, SEED = 5, 1234

    @functools.cached_property
    def train(self) -> Sequence[Row]:
        """The training split, where the examples come from."""
        return _rows("train")

    @functools.cached_property
    def draws(self) -> list[list[int]]:
        """Row numbers of the examples, one list a problem."""
        generator = random.Random(self.SEED)
        return [generator.sample(range(len(self.train)), self.SHOTS) for _ in range(1319)]

    def prompt(self, sample: Sample) -> Prompt:
        rows = [self.train[i] for i in self.draws[int(sample.id)]]
        shots = [f"Question: {row['question']}\nAnswer: {row['answer']}" for row in rows]
        return "\n\n".join([*shots, f"Question: {sample.input}\nAnswer:"])


@task(
    "gsm8k-0shot",
    domain="math",
    metrics=_METRICS,
    settings=GenerationSettings(max_tokens=1024),
    card=_card("asked in one chat turn of our own wording", _VERIFIED),
)
class GSM8KZeroShot(_Problems):
    """GSM8K in one chat turn; the wording is this project's, so no published figure compares."""

    def prompt(self, sample: Sample) -> Prompt:
        return user(
            f"{sample.input}\n\nSolve this step by step. Then write a last line made of four number signs, "
            "a space and the final number alone, without units, like this:\n#### 72"
        )
