"""Each instruction's rule: what counts, and that no answer, however hostile, crashes or stalls it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.errors import DataError, UnknownName
from waterbed.suites.ifeval_rules import INSTRUCTIONS, follows
from waterbed.suites.ifeval_sentences import plain_sentences

ARGUMENTS: dict[str, dict[str, Any]] = {
    "keywords:existence": {"keywords": ["alpha", "beta"]},
    "keywords:frequency": {"keyword": "alpha", "frequency": 1, "relation": "at least"},
    "keywords:forbidden_words": {"forbidden_words": ["alpha"]},
    "keywords:letter_frequency": {"letter": "#", "let_frequency": 2, "let_relation": "at least"},
    "language:response_language": {"language": "de"},
    "length_constraints:number_sentences": {"num_sentences": 2, "relation": "less than"},
    "length_constraints:number_paragraphs": {"num_paragraphs": 2},
    "length_constraints:number_words": {"num_words": 5, "relation": "less than"},
    "length_constraints:nth_paragraph_first_word": {
        "num_paragraphs": 2,
        "nth_paragraph": 2,
        "first_word": "beta",
    },
    "detectable_content:number_placeholders": {"num_placeholders": 2},
    "detectable_content:postscript": {"postscript_marker": "P.P.S"},
    "detectable_format:number_bullet_lists": {"num_bullets": 2},
    "detectable_format:number_highlighted_sections": {"num_highlights": 2},
    "detectable_format:multiple_sections": {"section_spliter": "Section", "num_sections": 2},
    "combination:repeat_prompt": {"prompt_to_repeat": "Alpha beta"},
    "startend:end_checker": {"end_phrase": "The end."},
    "change_case:capital_word_frequency": {
        "capital_frequency": 2,
        "capital_relation": "less than",
    },
}


def check(kind: str, response: str, **arguments: Any) -> bool:
    """Sentences by the plain rule, so that these tests need no data."""
    given_ = arguments or ARGUMENTS.get(kind, {})
    return follows(kind, given_, response, splitter=plain_sentences)


def test_there_are_25_instructions() -> None:
    assert len(set(INSTRUCTIONS)) == 25


@pytest.mark.parametrize("kind", INSTRUCTIONS)
@pytest.mark.parametrize("response", ["", " \n\t"])
def test_an_empty_answer_fails_every_instruction(kind: str, response: str) -> None:
    assert not check(kind, response)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("keywords:existence", "ALPHABET and beta", "alpha"),
        ("keywords:frequency", "an Alphabet", "none"),
        ("keywords:forbidden_words", "alphabet", "an Alpha."),
        ("keywords:letter_frequency", "# and #", "#"),
        ("language:response_language", "Das ist ein kleiner deutscher Satz.", "This is English."),
        ("length_constraints:number_sentences", "One.", "One. Two."),
        ("length_constraints:number_paragraphs", "a *** b ***", "a *** *** b"),
        ("length_constraints:number_words", "don't don't", "one two three well-known"),
        ("length_constraints:nth_paragraph_first_word", "a\n\n'Beta, yes", "a\n\n**Beta** yes"),
        ("detectable_content:number_placeholders", "[] [a]", "[a\n] [b]"),
        ("detectable_content:postscript", "bye p. p. s", "bye p.s."),
        ("detectable_format:number_bullet_lists", "* a\n---", "*a\n**b**"),
        ("detectable_format:number_highlighted_sections", "*a* **b**", "**a**"),
        ("detectable_format:multiple_sections", "Section 1 a Section2 b", "Section I Section II"),
        ("combination:repeat_prompt", " alpha Beta gamma", "gamma alpha beta"),
        ("startend:end_checker", '"So. THE END." ', "The end. Bye"),
        ("change_case:capital_word_frequency", "Only ONE", "I AM"),
        ("detectable_format:constrained_response", "So: My answer is no.", "my answer is no."),
        ("detectable_format:json_format", '```json\n{"a": 1}\n```', "{'a': 1}"),
        ("detectable_format:title", "<<<a>>", "<<>> <<a\n>>"),
        ("combination:two_responses", "a******b", "a****** a "),
        ("startend:quotation", ' "a" ', '"'),
        ("change_case:english_capital", "THIS IS A SHORT ENGLISH TEXT", "This is"),
        ("change_case:english_lowercase", "this is a short english text", "12"),
        ("punctuation:no_comma", "a\uff0cb", "a,b"),
    ],
)
def test_what_follows_an_instruction_and_what_does_not(kind: str, good: str, bad: str) -> None:
    assert check(kind, good)
    assert not check(kind, bad)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("keywords:existence", {"keywords": ["(x"]}),
        ("keywords:existence", {}),
        ("keywords:frequency", {"keyword": None, "frequency": 1, "relation": "at least"}),
        ("length_constraints:number_words", {"num_words": 5, "relation": "about"}),
        ("detectable_content:number_placeholders", {"num_placeholders": None}),
    ],
)
def test_unusable_arguments_are_the_datas_fault(kind: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=kind):
        follows(kind, arguments, "some answer")


def test_an_unknown_instruction_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'punctuation:no_comma'"):
        follows("punctuation:no_commas", {}, "x")


soup = st.text(alphabet="*-[]<>ps.ab \t\n\r\u00a0", max_size=40)


@given(soup)
@settings(max_examples=300, deadline=None)
def test_linear_rules_equal_the_regular_expressions_of_the_reference(text: str) -> None:
    stars = len(re.findall(r"^\s*\*[^\*].*$", text, re.MULTILINE))
    dashes = len(re.findall(r"^\s*-.*$", text, re.MULTILINE))
    brackets = len(re.findall(r"\[.*?\]", text))
    titles = [t.lstrip("<").rstrip(">").strip() for t in re.findall(r"<<[^\n]+>>", text)]
    postscript = re.findall(r"\s*p\.\s?s\..*$", text.lower(), re.MULTILINE)
    if not text.strip():
        return
    for change in (-1, 0, 1):
        bullets = stars + dashes + change
        assert check("detectable_format:number_bullet_lists", text, num_bullets=bullets) == (
            change == 0
        )
    assert check("detectable_content:number_placeholders", text, num_placeholders=brackets)
    assert not check("detectable_content:number_placeholders", text, num_placeholders=brackets + 1)
    assert check("detectable_format:title", text) == any(titles)
    assert check("detectable_content:postscript", text, postscript_marker="P.S.") == bool(
        postscript
    )


HOSTILE = {
    "open brackets": "[" * 300_000,
    "open titles": "<<" * 150_000,
    "blank lines": "\n" * 300_000 + "x",
    "spaces": "A." + " " * 300_000 + "x",
    "stars": "*" * 300_000,
    "lone stars": "*\n" * 150_000,
    "stops": ". " * 150_000,
    "closers": "A?)" * 100_000,
    "an address": "https://" + "a" * 300_000,
    "quotes": "'A' " * 75_000,
    "surrogates and nuls": "\ud800\0" * 150_000,
    "marks": "e\u0301" * 150_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_get_a_verdict_in_bounded_time(name: str) -> None:
    began = time.process_time()
    for kind in INSTRUCTIONS:
        assert check(kind, HOSTILE[name]) in (True, False)
    assert time.process_time() - began < 4


def test_json_nested_too_deeply_is_no_json() -> None:
    assert not check("detectable_format:json_format", "[" * 200_000 + "]" * 200_000)


@pytest.mark.skipif(
    not (Path(os.environ.get("WATERBED_DATA") or "nowhere") / "ifeval").is_dir(),
    reason="WATERBED_DATA has no ifeval/",
)
def test_sentences_are_punkts_unless_told_otherwise() -> None:
    arguments = {"num_sentences": 2, "relation": "less than"}
    text = "I saw Dr. No at 5 p.m. today."
    assert follows("length_constraints:number_sentences", arguments, text)
    assert not check("length_constraints:number_sentences", text)
