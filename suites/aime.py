r"""AIME 2024 and 2025: thirty competition problems a year with an integer from 0 to 999 as the answer.

`aime24` and `aime25` ask in one chat turn of our own wording and draw 16 answers a problem; results carry
avg@16, pass@k and maj@k (harness/sampling.py). The answer is read by the first rule that applies: the last
`\boxed{...}`, whatever it holds; what stands between the first and the last `$`, if that is an integer; the
last integer. The last two are for complete answers only: a number where the token limit cut is not an
answer. Answers are compared as integers, so "025" is 25. `aime24-greedy` and `aime25-greedy` decode once.

The problems are copyrighted (MAA), so they come from WATERBED_DATA/aime or --items and from nowhere else.
A sample's id is the file's. Not here: symbolic equality (math_answers.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..harness.errors import DataError
from ..harness.folders import data_file
from ..harness.jsonl import read_jsonl
from ..harness.records import Generation, GenerationSettings, Prompt, Sample, Score, user
from ..harness.tasks import Card, Metric, task
from .math_answers import LONGEST, boxed, no_answer, plain_form

_SHA256 = {
    2024: "14ef1a7378143626aa34d87d132db7e6cd36349327867d785bc6a8224ceb8db9",
    2025: "515cd9edde7d4647ca9600851e679e3af920873a936e61e766d66773bae3d804",
}
_WHERE = {
    2024: "data/aime24/test.jsonl of Zhuofeng-Li/math-evaluation-harness @ 1b9885d8",
    2025: "the 30 problems of AIME 2025 as {id, problem, answer} lines (from YuYingLi0/FiRe-OPD @ 2e23cd6d)",
}
_ALONE = re.compile(r"(?:[^$]*=)?\+?(-?[0-9]{1,15})\.?")
_INTEGER = re.compile(r"(?<![\w.])-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?!\w|\.[0-9])")
_SPACING = re.compile(r"\\[,; ]|[,{}]")


def integer(text: str) -> int | None:
    """The integer that a short text consists of, in LaTeX or not; None for anything else."""
    if len(text) > LONGEST:
        return None
    found = _ALONE.fullmatch(_SPACING.sub("", plain_form(text.strip("$ "))))
    return int(found[1]) if found else None


def final_integer(text: str, *, complete: bool = True) -> str | None:
    """The answer of a text by the three rules: an integer in plain digits, or what else was boxed.

    Args:
        text: what the model wrote.
        complete: False where the token limit cut it; then only a box counts.
    """
    inside = boxed(text)
    if inside is not None:
        value = integer(inside)
        return inside if value is None else str(value)
    if not complete:
        return None
    first, last = text.find("$"), text.rfind("$")
    if first < last and (value := integer(text[first + 1 : last])) is not None:
        return str(value)
    found = _INTEGER.findall(text[-LONGEST:])
    return _plain_digits(found[-1]) if found else None


def _plain_digits(number: str) -> str:
    digits = number.replace(",", "")
    return str(int(digits)) if len(digits) <= 15 else digits


def grade_answer(target: int, generation: Generation) -> Score:
    """1 if the answer is the integer `target`."""
    said = final_integer(generation.text, complete=not generation.truncated)
    if said is None:
        return no_answer(generation)
    right = said == str(target)
    return Score(float(right), None if right else "wrong", extracted=said)


class _Problems:
    """The problems of one year, official or from a user's file in the same format."""

    YEAR = 0

    def __init__(self, items: Path | None = None) -> None:
        self.items = items

    def samples(self) -> Iterator[Sample]:
        """One sample a problem.

        Raises:
            UsageError: no file.
            DataError: another file of that name, a missing field, or an answer that is no integer.
        """
        relative = f"aime/aime{self.YEAR}.jsonl"
        file = self.items or data_file(relative, _SHA256[self.YEAR], _WHERE[self.YEAR])
        for number, row in enumerate(read_jsonl(file), 1):
            problem, gold = row.get("problem"), integer(str(row.get("answer", "")))
            if not isinstance(problem, str) or not problem.strip():
                raise DataError(f"{file}: problem {number} lacks the text 'problem'.")
            if gold is None or not 0 <= gold <= 999:
                raise DataError(
                    f"{file}: the 'answer' of problem {number} is {str(row.get('answer'))[:40]!r}, "
                    "not an integer from 0 to 999."
                )
            yield Sample(str(row.get("id", number)), problem, gold)

    def prompt(self, sample: Sample) -> Prompt:
        return user(
            f"{sample.input}\n\nReason step by step. The answer is an integer from 0 to 999; write it at the "
            "end as \\boxed{answer}."
        )

    def reference(self, sample: Sample) -> str:
        """An answer that scores 1."""
        return f"\\boxed{{{sample.target:03d}}}"

    def grade(self, sample: Sample, generation: Generation) -> Score:
        return grade_answer(sample.target, generation)


def _card(year: int, reference: dict[str, float]) -> Card:
    return Card(
        measures=f"Competition mathematics for strong school pupils: AIME I and II of {year}.",
        not_measures="Proofs, and whether the steps are right; 30 problems, so one is 3.3 points.",
        source="Mathematical Association of America",
        licence="problems (c) MAA, no open licence; local use only",
        revision=_WHERE[year],
        items=30,
        chance=0.001,
        reference=reference,
        verified="unverified: no recorded verdicts of another grader; hand-written cases only",
    )


SAMPLED = GenerationSettings(max_tokens=32768, temperature=0.6, top_p=0.95)
GREEDY = GenerationSettings(max_tokens=32768)
_METRICS = (Metric("correct"),)
_CARD24 = _card(2024, {"DeepSeek-R1": 0.798, "DeepSeek-R1-Distill-Qwen-7B": 0.555})
_CARD25 = _card(2025, {})


@task("aime24-greedy", domain="math", metrics=_METRICS, settings=GREEDY, card=_CARD24)
@task("aime24", domain="math", metrics=_METRICS, settings=SAMPLED, repeats=16, card=_CARD24)
class AIME24(_Problems):
    """AIME 2024, I and II."""

    YEAR = 2024


@task("aime25-greedy", domain="math", metrics=_METRICS, settings=GREEDY, card=_CARD25)
@task("aime25", domain="math", metrics=_METRICS, settings=SAMPLED, repeats=16, card=_CARD25)
class AIME25(_Problems):
    """AIME 2025, I and II."""

    YEAR = 2025
