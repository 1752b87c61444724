"""MMLU-Pro: 12,032 questions with up to ten options in 14 fields (Wang et al., 2024, arXiv:2406.01574).

Asked as the authors' script does: five worked examples of the same category from the validation
split, then the question. `mmlu-pro` continues that text; `mmlu-pro-chat` sends it as one user turn.
The letter is read by the authors' three patterns in turn.

Two differences from that script. Where no pattern finds a letter it draws an option with a seeded
generator; here that is a miss, so a figure can only be lower. And it drops worked examples from prompts
above 2,048 tokens; here all five stay, and a prompt that does not fit the context is unscored.

Data: test* and validation* in WATERBED_DATA/mmlu_pro, as the hub's Parquet or as JSONL, or --items with
a validation file beside it. Nothing is downloaded: no revision of it has been seen. A sample's id is
its question_id.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..harness.errors import DataError, UsageError
from ..harness.records import Generation, GenerationSettings, Prompt, Sample, Score, user
from ..harness.tasks import Card, Metric, task
from .item_files import ENDINGS, Row, find_files, read_items, text_of

LETTERS = "ABCDEFGHIJ"
SHOTS = 5
_WHERE = "the {} split of huggingface.co/datasets/TIGER-Lab/MMLU-Pro"
_HEAD = (
    "The following are multiple choice questions (with answers) about {}. Think step by step and then "
    'finish your answer with "the answer is (X)" where X is the correct letter choice.\n\n\n'
)
_STATED = re.compile(r"answer is \(?([A-J])\)?")
_LABELLED = re.compile(r"[aA]nswer:(?=\s*+([A-J]))")
_ALONE = re.compile(r"\b[A-J]\b")


def stated_letter(text: str) -> str | None:
    """The letter of an answer by the authors' patterns, each only where those before find nothing.

    First "answer is (X)"; then the last "Answer: X" of the first line that has one; then the last
    letter A to J that stands alone. None where all fail.
    """
    if found := _STATED.search(text):
        return found[1]
    if labelled := _last_of_line(text):
        return labelled
    alone = deque(_ALONE.finditer(text), maxlen=1)
    return alone[0][0] if alone else None


def _last_of_line(text: str) -> str | None:
    """The letter after the last "Answer:" of the first line that has one with a letter."""
    letter, end = None, len(text)
    for found in _LABELLED.finditer(text):
        if letter is None:
            end = text.find("\n", found.start()) % (len(text) + 1)
        if found.start() > end:
            break
        letter = found[1]
    return letter


def letter_score(letter: str | None, target: str, generation: Generation) -> Score:
    """Score a chosen letter, naming the fault."""
    right = letter == target
    reason = None if right else "wrong"
    if letter is None:
        reason = "truncated" if generation.truncated else "unparsed"
    if not generation.text.strip():
        reason = "empty"
    return Score(float(right), reason, extracted=letter)


def _question(row: Row, place: str) -> Sample:
    """A row as a sample.

    Raises:
        DataError: a field is missing, or the answer is none of the options.
    """
    question, category = text_of(row, "question", place), text_of(row, "category", place)
    raw = row.get("options")
    options = [str(o) for o in raw if o != "N/A"] if isinstance(raw, list) else []
    if not 2 <= len(options) <= len(LETTERS):
        raise DataError(f"{place} has {len(options)} options, expected a list of 2 to 10.")
    answer = text_of(row, "answer", place)
    if answer not in tuple(LETTERS[: len(options)]):
        raise DataError(f"{place} has the answer {answer!r}, which is none of its options.")
    shown = {"question": question, "options": options, "category": category}
    return Sample(str(row.get("question_id")), shown, answer)


def _shown(question: str, options: Sequence[str]) -> str:
    lines = [f"{letter}. {option}\n" for letter, option in zip(LETTERS, options, strict=False)]
    return f"Question:\n{question}\nOptions:\n{''.join(lines)}"


class _Questions:
    """The questions, their worked examples and their grading."""

    def __init__(self, items: Path | None = None) -> None:
        self.items = items

    def samples(self) -> Iterator[Sample]:
        """One sample a question.

        Raises:
            UsageError: no file was named or found, or a category has no worked examples.
            DataError: a row lacks a field.
        """
        for file in (
            [self.items] if self.items else find_files("mmlu_pro", "test", _WHERE.format("test"))
        ):
            for number, row in enumerate(read_items(file), 1):
                sample = _question(row, f"{file}: row {number}")
                if sample.input["category"] not in self.examples:
                    raise UsageError(
                        f"The validation split has no example of '{sample.input['category']}'; put the "
                        f"whole split beside {file.name}."
                    )
                yield sample

    @functools.cached_property
    def examples(self) -> Mapping[str, str]:
        """The worked examples of each category, as text."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for file in self._validation():
            for number, row in enumerate(read_items(file), 1):
                place = f"{file}: row {number}"
                shown = _question(row, place).input
                steps = text_of(row, "cot_content", place)
                steps = steps.replace("A: Let's think", "Answer: Let's think")
                found[shown["category"]].append(
                    f"{_shown(shown['question'], shown['options'])}{steps}\n\n"
                )
        return {category: "".join(texts[:SHOTS]) for category, texts in found.items()}

    def _validation(self) -> list[Path]:
        if self.items is not None:
            beside = (self.items.parent.glob(f"validation*{ending}") for ending in ENDINGS)
            for found in map(sorted, beside):
                if found:
                    return found
        return find_files("mmlu_pro", "validation", _WHERE.format("validation"))

    def text(self, sample: Sample) -> str:
        """The text a model continues."""
        shown = sample.input
        head = _HEAD.format(shown["category"]) + self.examples[shown["category"]]
        return (
            f"{head}{_shown(shown['question'], shown['options'])}Answer: Let's think step by step."
        )

    def grade(self, sample: Sample, generation: Generation) -> Score:
        score = letter_score(stated_letter(generation.text), sample.target, generation)
        detail = {"category": sample.input["category"]}
        return Score(score.value, score.reason, score.extracted, detail=detail)

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """Accuracy in each category."""
        values: defaultdict[str, list[float]] = defaultdict(list)
        for score in (score for own in scores.values() for score in own):
            values[f"category/{score.detail['category']}"].append(score.value or 0.0)
        return {name: sum(found) / len(found) for name, found in sorted(values.items())}


_SETTINGS = GenerationSettings(max_tokens=2048, stop=("Question:",))
_CARD = Card(
    measures="Knowledge and reasoning in 14 fields, multiple choice with up to ten options.",
    not_measures="Whether the steps are right; answers in one's own words.",
    source="github.com/TIGER-AI-Lab/MMLU-Pro",
    licence="MIT",
    items=12032,
    chance=0.1,
    reference={"GPT-4o": 0.726, "Llama-3-70B-Instruct": 0.562, "Llama-3-8B-Instruct": 0.410},
    verified="unverified: data not seen",
)


@task(
    "mmlu-pro",
    domain="knowledge",
    style="completion",
    metrics=(Metric("correct"),),
    settings=_SETTINGS,
    card=_CARD,
)
class MMLUPro(_Questions):
    """MMLU-Pro, five worked examples, text to continue."""

    def prompt(self, sample: Sample) -> Prompt:
        return self.text(sample)


@task(
    "mmlu-pro-chat",
    domain="knowledge",
    metrics=(Metric("correct"),),
    settings=_SETTINGS,
    card=_CARD,
)
class MMLUProChat(_Questions):
    """MMLU-Pro, the same text as one user turn."""

    def prompt(self, sample: Sample) -> Prompt:
        return user(self.text(sample))
