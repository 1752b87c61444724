"""GPQA: graduate-level questions that a search does not answer (Rein et al., 2023, arXiv:2311.12022).

Asked and read as OpenAI's simple-evals does: every question four times, each time with its options in
another order, all orders drawn by one generator seeded 0; the first "Answer: X" counts, and a lower-case
letter is wrong. A sample's id is "<Record ID>/<number of the order>"; the orders of one question are one
cluster.

The authors ask that questions appear nowhere in plain text. So the tasks are private: a Run holds neither
their prompts nor the answers in its tables, pages show none, and no message of this file quotes an item.
The journal of a Run (answers.jsonl) still holds what the model said.

Data: gpqa_diamond*.csv, gpqa_main*.csv in WATERBED_DATA/gpqa, from the authors' password-protected archive or
the gated hub repository, or --items.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
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
from .mmlu_pro import letter_score

ORDERS, SEED = 4, 0
_OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_ANSWER = re.compile(r"(?i)Answer[ \t]*:[ \t]*\$?([A-D])\$?")
_ASKED = (
    "Answer the following multiple choice question. The last line of your response should be of the "
    "following format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by "
    "step before answering."
)


def answered_letter(text: str) -> str | None:
    """The letter after the first "Answer:", in the case it was written in."""
    found = _ANSWER.search(text)
    return found[1] if found else None


class _Questions:
    """The questions of one subset, each in four orders of its options."""

    STEM = ""

    def __init__(self, items: Path | None = None) -> None:
        self.items = items

    def samples(self) -> Iterator[Sample]:
        """Every question in every order, all questions in the first order before the second.

        Raises:
            UsageError: no file was named or found.
            DataError: a row lacks a field; the message quotes no item.
        """
        rows = list(self._rows())
        generator = random.Random(SEED)
        for order in range(ORDERS):
            for id, question, options in rows:
                shuffled = [options[i] for i in generator.sample(range(4), 4)]
                target = "ABCD"[shuffled.index(options[0])]
                shown = {"question": question, "options": shuffled}
                yield Sample(f"{id}/{order}", shown, target, cluster=id)

    def _rows(self) -> Iterator[tuple[str, str, list[str]]]:
        where = (
            f"{self.STEM}.csv of huggingface.co/datasets/Idavidrein/gpqa (gated: accept its terms there, "
            "then download it with your HF_TOKEN; waterbed fetches nothing)"
        )
        files = [self.items] if self.items else find_files("gpqa", self.STEM, where)
        for file in files:
            for number, row in enumerate(_read(file), 1):
                place = f"{file}: row {number}"
                options = [text_of(row, field, place) for field in _OPTIONS]
                question = text_of(row, "Question", place)
                yield str(row.get("Record ID") or content_hash(question)), question, options

    def prompt(self, sample: Sample) -> Prompt:
        shown = sample.input
        options = (f"{x}) {text}" for x, text in zip("ABCD", shown["options"], strict=True))
        return user("\n".join([f"{_ASKED}\n\n{shown['question']}\n", *options]).strip())

    def grade(self, sample: Sample, generation: Generation) -> Score:
        return letter_score(answered_letter(generation.text), sample.target, generation)


def _read(file: Path) -> list[Row]:
    try:
        return list(read_items(file))
    except DataError:  # its message may quote a line
        raise DataError(f"'{file}' is not a readable file of its kind; get it again.") from None


def _card(questions: int, reference: dict[str, float]) -> Card:
    return Card(
        measures="Graduate-level biology, physics and chemistry, multiple choice with four options.",
        not_measures="Whether the steps are right; a single order of options.",
        source="github.com/idavidrein/gpqa",
        licence="CC-BY-4.0, gated; not to be shown in plain text",
        items=questions * ORDERS,
        chance=0.25,
        reference=reference,
        verified="unverified: data not seen",
        private=True,
    )


_SETTINGS = GenerationSettings(max_tokens=2048, temperature=0.5)
_DIAMOND = {"gpt-4o-2024-05-13": 0.499, "gpt-4o-2024-08-06": 0.531, "gpt-4o-mini": 0.402}


@task(
    "gpqa-diamond",
    domain="knowledge",
    metrics=(Metric("correct"),),
    settings=_SETTINGS,
    card=_card(198, _DIAMOND),
)
class GPQADiamond(_Questions):
    """The 198 questions that both experts answered and most others did not."""

    STEM = "gpqa_diamond"


@task(
    "gpqa-main",
    domain="knowledge",
    metrics=(Metric("correct"),),
    settings=_SETTINGS,
    card=_card(448, {}),
)
class GPQAMain(_Questions):
    """The main set of 448 questions."""

    STEM = "gpqa_main"
