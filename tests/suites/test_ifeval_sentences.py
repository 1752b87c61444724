"""Sentences and capital words are those of NLTK."""

from __future__ import annotations

import functools
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

from waterbed.suites.ifeval_sentences import capital_words, plain_sentences, punkt

FOLDER = Path(os.environ.get("WATERBED_DATA") or "nowhere") / "ifeval" / "punkt_tab_english"
VECTORS = Path(os.environ.get("WATERBED_VECTORS") or "nowhere") / "ifeval.jsonl"
needs_punkt = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="WATERBED_DATA has no Punkt parameters"
)

FRAGMENTS = [
    "Dr. No",
    "e.g.",
    "U.S.",
    "J.",
    "Smith",
    "the",
    "The",
    "it",
    "3.",
    "1,000.",
    "-5.",
    "No.",
    "...",
    ". . .",
    "?",
    "!",
    "?!",
    '"',
    "'",
    ")",
    "(",
    "”",
    "’",
    "]",
    "--",
    "-",
    ",",
    ":",
    ";",
    "*",
    "\n",
    "\n\n",
    "\t",
    "CANNOT",
    "GONNA",
    "USA",
    "I'M",
    "O'NEIL",
    "HELLO-WORLD",
    "ÉTÉ",
    "«",
    "»",
    "`",
    "''",
    "$5",
    "a.m.",
    "\xa0",
    "A",
    "I",
]


@functools.cache
def nltk_sentences() -> Any:
    lines = {file.name: file.read_text("utf-8").split("\n")[:-1] for file in FOLDER.iterdir()}
    parameters: Any = PunktParameters()
    parameters.abbrev_types = set(lines["abbrev_types.txt"])
    parameters.sent_starters = set(lines["sent_starters.txt"])
    parameters.collocations = {tuple(line.split("\t")) for line in lines["collocations.tab"]}
    pairs = (line.split("\t") for line in lines["ortho_context.tab"])
    parameters.ortho_context.update({word: int(bits) for word, bits in pairs})
    return PunktSentenceTokenizer(parameters)


def assert_same(text: str) -> None:
    sentences = list(nltk_sentences().tokenize(text))
    assert punkt()(text) == sentences, text
    words = NLTKWordTokenizer()
    capitals = sum(word.isupper() for s in sentences for word in words.tokenize(s))
    assert capital_words(text, punkt()) == capitals, text


@needs_punkt
def test_mixtures_of_awkward_pieces_are_split_as_nltk_splits_them() -> None:
    draw = random.Random(0)
    for _ in range(1_500):
        pieces = draw.choices(FRAGMENTS, k=draw.randint(1, 25))
        assert_same("".join(piece + draw.choice(("", " ", " ", "\n", ". ")) for piece in pieces))


@needs_punkt
@pytest.mark.skipif(not VECTORS.is_file(), reason="WATERBED_VECTORS has no ifeval.jsonl")
def test_recorded_answers_are_split_as_nltk_splits_them() -> None:
    lines = VECTORS.read_text("utf-8").splitlines()
    for row in list(map(json.loads, lines))[::5]:
        assert_same(row.get("response", ""))


@needs_punkt
def test_a_long_blank_changes_no_word() -> None:
    assert capital_words("IT'S" + " " * 50 + "A-B. OK.'", punkt()) == 4


def test_the_plain_rule_splits_after_closing_marks_and_at_abbreviations() -> None:
    assert plain_sentences('He said "No." Dr. X left!\nWell?) Yes.') == [
        'He said "No."',
        "Dr.",
        "X left!",
        "Well?)",
        "Yes.",
    ]
