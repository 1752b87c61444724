"""Short-answer factuality in SimpleQA's format (Wei et al., 2024, arXiv:2411.04368), graded by rules alone.

Each answer is correct, wrong or abstained. The published benchmark lets a model judge; here words are
compared: an answer is correct when it holds every part of the gold answer as whole words and is short, it
has abstained when it says so or is empty, and anything else is wrong. The prompt therefore asks for the
bare answer. No published figure compares.

Not here: other wordings of a right answer, rounding of numbers, contradictions beside the right answer.

Data: a file with `problem` and `answer` (simple_qa_test_set.csv has them) in WATERBED_DATA/simpleqa as
simple_qa*, or --items. A sample's id is the row's `id` or the hash of its question.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

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
from .item_files import find_files, read_items, text_of

Verdict = Literal["correct", "wrong", "abstained"]

#: Words an answer may have and still be a bare one; longer ones could list every candidate.
LONGEST = 60
#: Characters that are read at all; an answer of LONGEST words has fewer.
_READ = 4000
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")
_PARTS = re.compile(r"\s*(?:,(?!\d{3}(?!\d))|;|\band\b|&)\s*")
_ARTICLES = {"a", "an", "the"}
_ABSTAINS = re.compile(
    r"\b(?:i (?:do not|don't|cannot|can't|am unable|am not able|am not sure|couldn't|could not)|"
    r"i'm (?:unable|not able|not sure|not certain)|not sure|unknown|unsure|no idea|no information|"
    r"not (?:publicly )?(?:known|available)|cannot (?:answer|determine|verify))\b|^n/?a\.?$"
)


def words_of(text: str) -> list[str]:
    """Lower-case words and numbers without accents, articles and marks."""
    plain = unicodedata.normalize("NFKD", _THOUSANDS.sub("", text)).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return [word for word in _WORD.findall(plain) if word not in _ARTICLES]


def abstains(answer: str) -> bool:
    """Whether a text with something in it says that it does not know."""
    return bool(_ABSTAINS.search(_beginning(answer).lower()))


def _beginning(answer: str) -> str:
    return answer.strip().replace("’", "'")[:_READ]


def grade_answer(gold: str, answer: str) -> Verdict:
    """Whether an answer is correct, wrong or none, by its words alone."""
    words = words_of(_beginning(answer))
    if not words:
        return "abstained"
    joined = f" {' '.join(words)} "
    parts = [words_of(part) for part in _PARTS.split(gold)]
    held = [f" {' '.join(part)} " in joined for part in parts if part]
    if held and all(held) and len(words) <= LONGEST:
        return "correct"
    return "abstained" if abstains(answer) else "wrong"


@task(
    "simpleqa",
    domain="knowledge",
    metrics=(
        Metric("correct"),
        Metric("wrong", better="lower"),
        Metric("abstained", better="lower", gated=False),
    ),
    settings=GenerationSettings(max_tokens=64),
    card=Card(
        measures="Recall of single facts, and saying so rather than guessing where there is none.",
        not_measures="Answers in other words than the gold answer's; the published, judged figure.",
        source="github.com/openai/simple-evals, simple_qa_test_set.csv, or any file of its format",
        licence="MIT",
        items=4326,
        verified="unverified: data not seen",
    ),
)
class SimpleQA:
    """One question, one turn, a bare answer or an admission."""

    def __init__(self, items: Path | None = None) -> None:
        self.items = items

    def samples(self) -> Iterator[Sample]:
        """One sample a question.

        Raises:
            UsageError: no file was named or found.
            DataError: a row lacks a field.
        """
        where = "simple_qa_test_set.csv of OpenAI's simple-evals"
        for file in [self.items] if self.items else find_files("simpleqa", "simple_qa", where):
            for number, row in enumerate(read_items(file), 1):
                place = f"{file}: row {number}"
                problem, answer = text_of(row, "problem", place), text_of(row, "answer", place)
                yield Sample(str(row.get("id") or content_hash(problem)), problem, answer)

    def prompt(self, sample: Sample) -> Prompt:
        return user(
            f"{sample.input}\n\nGive the answer alone, without a sentence around it. If you do not "
            "know it, write: I don't know."
        )

    def grade(self, sample: Sample, generation: Generation) -> Score:
        if not words_of(sample.target):
            return Score.unscored("bad_data", problem="the gold answer has no words")
        verdict = grade_answer(sample.target, generation.text)
        empty = not generation.text.strip()
        fault = "empty" if empty else None if verdict == "correct" else verdict
        return Score(
            float(verdict == "correct"),
            fault,
            extracted=generation.text.strip()[:200],
            metrics={name: float(name == verdict) for name in ("wrong", "abstained")},
        )

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """Accuracy among attempted questions, and its harmonic mean with accuracy (section 2)."""
        own = [score for several in scores.values() for score in several]
        correct = sum(score.value or 0.0 for score in own) / len(own)
        wrong = sum(score.metrics["wrong"] for score in own) / len(own)
        attempted = correct / (correct + wrong) if correct + wrong else 0.0
        f1 = 2 * attempted * correct / (attempted + correct) if correct else 0.0
        return {"correct_given_attempted": attempted, "f1": f1}
